//! Lists of destinations, as of Netronome's load balancer: a line is `ADDRESS` or `ADDRESS, MAC`.
//!
//! `#` begins a comment; empty lines are no lines.

use std::collections::HashMap;
use std::net::IpAddr;

use vnet::wire::Mac;

use super::{ImportError, PlannedServer, wrong};

/// Reads a list.
///
/// # Errors
/// The line at fault: what is neither an address nor a MAC that one host can have, more than that, an address that was there
/// before. A list without addresses.
pub fn parse(text: &str) -> Result<Vec<PlannedServer>, ImportError> {
    let mut servers = Vec::new();
    let mut lines: HashMap<IpAddr, usize> = HashMap::new();
    for (line, content) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let server = server(line, content)?;
        if let Some(before) = lines.insert(server.address, line) {
            let reason = format!("`{}' is in the list twice, first in line {before}", server.address);
            return Err(ImportError { line, reason });
        }
        servers.push(server);
    }
    if servers.is_empty() {
        return Err(ImportError { line: 0, reason: "expected lines `ADDRESS' or `ADDRESS, MAC', got none".into() });
    }
    Ok(servers)
}

fn server(line: usize, content: &str) -> Result<PlannedServer, ImportError> {
    let mut fields = content.split(',').map(str::trim);
    let word = fields.next().unwrap_or_default();
    let address = word.parse().map_err(|_| wrong(line, "an IPv4 or IPv6 address", word))?;
    let mac = fields.next().map(|word| mac(line, word)).transpose()?;
    match fields.next() {
        None => Ok(PlannedServer { line, address, port: None, weight: None, mac }),
        Some(word) => Err(wrong(line, "the end of the line after ADDRESS, MAC", &format!(",{word}"))),
    }
}

fn mac(line: usize, word: &str) -> Result<Mac, ImportError> {
    let mac: Option<Mac> = word.parse().ok();
    // IEEE 802: the lowest bit of the first byte marks groups.
    let of_one_host = |mac: &Mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6];
    mac.filter(of_one_host).ok_or_else(|| wrong(line, "the MAC of one host, such as 02:00:00:00:00:01", word))
}
