//! Configurations of other load balancers, from files.
//!
//! A file is read ([`csv`], [`packetvisor`]) into a [`Plan`], which is data, and the plan is carried out ([`apply`]) as one
//! change: all of it, or nothing. Whatever is wrong is named with its line.

mod apply;
pub mod csv;
pub mod packetvisor;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use vnet::wire::Mac;

pub use apply::{Imported, ImportedVip, apply};

use crate::config::{Scheduler, VipKey};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The VIPs, in the file's order.
    pub vips: Vec<PlannedVip>,
}

impl Plan {
    /// The servers of all VIPs.
    pub fn servers(&self) -> impl Iterator<Item = &PlannedServer> {
        self.vips.iter().flat_map(|vip| &vip.servers)
    }
}

/// A VIP that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedVip {
    /// The line that says so; 0: a command says so.
    pub line: usize,
    /// What names it.
    pub key: VipKey,
    /// How packets travel to its servers, as commands call it.
    pub encap: &'static str,
    /// The DSCP that goes with that.
    pub dscp: Option<u32>,
    /// How servers are picked, unless as usual or as they already are.
    pub scheduler: Option<Scheduler>,
    /// Slots of the scheduler's table, as above.
    pub new_len: Option<u32>,
    /// The servers that it gets, in the file's order; none twice.
    pub servers: Vec<PlannedServer>,
}

/// A server of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedServer {
    /// The line that says so.
    pub line: usize,
    /// Where it is.
    pub address: IpAddr,
    /// The port that it serves, where it is not the VIP's.
    pub port: Option<u16>,
    /// Its weight, unless the usual one.
    pub weight: Option<u32>,
    /// Its MAC, where it is told.
    pub mac: Option<Mac>,
}

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The line at fault, from 1; 0: no line in particular.
    pub line: usize,
    /// What was expected there, and what there is.
    pub reason: String,
}

impl ImportError {
    /// In words, with the file.
    pub fn in_file(&self, file: &str) -> String {
        match self.line {
            0 => format!("{file}: {}", self.reason),
            line => format!("{file}, line {line}: {}", self.reason),
        }
    }
}

/// The error for a word in a line.
fn wrong(line: usize, expected: &str, word: &str) -> ImportError {
    let got = if word.is_empty() { "nothing".into() } else { format!("`{word}'") };
    ImportError { line, reason: format!("expected {expected}, got {got}") }
}

/// Reads a file to import.
///
/// # Errors
/// In words, with the file's name.
pub fn read(file: &str) -> Result<String, String> {
    // What is no file is left to the reading itself.
    if std::fs::metadata(file).is_ok_and(|facts| facts.len() > LONGEST) {
        return Err(format!("cannot read `{file}': it is longer than {} MB", LONGEST >> 20));
    }
    cli::read_text_file(file)
}
