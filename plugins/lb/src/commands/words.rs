//! Words that several commands take, and what is said of those that no command takes.

use std::net::IpAddr;

use cli::{Args, CliError};

use crate::config::{IpPrefix, Protocol, Service};
use crate::nat::PoolRange;

/// Notes what a word says; refuses to be told twice.
pub(super) fn once<T>(place: &mut Option<T>, word: &str, value: T) -> Result<(), CliError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(CliError::at(format!("`{word}' is given twice"))),
    }
}

/// Notes that a word was said which says all by itself; refuses to be told twice.
pub(super) fn flag(place: &mut bool, word: &str) -> Result<(), CliError> {
    if std::mem::replace(place, true) { Err(CliError::at(format!("`{word}' is given twice"))) } else { Ok(()) }
}

/// The error for a word that has no place here, among words of which some do.
pub(super) fn parse_error(args: &Args<'_>, expected: &str) -> CliError {
    CliError::at(format!("parse error: '{}' (expected {expected})", args.rest()))
}

/// Makes sure that no word is left where one was taken already, or could have been.
pub(super) fn end(args: &Args<'_>, expected: &str) -> Result<(), CliError> {
    if args.is_empty() {
        return Ok(());
    }
    Err(CliError::at(format!("unknown input `{}' (expected {expected})", args.rest())))
}

/// `FIRST-LAST`, or one address.
pub(super) fn pool<A: Copy + std::str::FromStr>(
    args: &mut Args<'_>,
    what: &'static str,
) -> Result<PoolRange<A>, CliError> {
    let word = args.word(what)?;
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok(PoolRange { first, last }),
        _ => Err(CliError::at(format!("expected {what}, got `{word}'"))),
    }
}

/// A VIP's prefix, with host bits cleared as in VPP.
pub(super) fn prefix(args: &mut Args<'_>) -> Result<IpPrefix, CliError> {
    let word = args.word("a VIP prefix")?;
    let invalid = || CliError::at(format!("invalid vip prefix: '{word}' (expected an address/length)"));
    let (address, length) = word.split_once('/').ok_or_else(invalid)?;
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let length: u8 = Some(length)
        .filter(|l| l.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|l| l.parse().ok())
        .ok_or_else(invalid)?;
    IpPrefix::new(address, length).map_err(|error| CliError::at(format!("invalid vip prefix: '{word}': {error}")))
}

/// The words that name a VIP's protocol and port, as far as they have come.
#[derive(Default)]
pub(super) struct Ports {
    protocol: Option<Protocol>,
    port: Option<u16>,
}

impl Ports {
    /// Takes `protocol P` or `port N`, if that is what comes next.
    pub(super) fn take(&mut self, args: &mut Args<'_>) -> Result<bool, CliError> {
        if args.keyword("protocol") {
            let protocol = match args.word("tcp or udp")? {
                "tcp" | "6" => Protocol::Tcp,
                "udp" | "17" => Protocol::Udp,
                other => return Err(CliError::at(format!("expected protocol tcp or udp, got `{other}'"))),
            };
            once(&mut self.protocol, "protocol", protocol)?;
        } else if args.keyword("port") {
            once(&mut self.port, "port", args.number("a port", 1..=u16::MAX)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn service(&self) -> Result<Service, CliError> {
        match (self.protocol, self.port) {
            (None, None) => Ok(Service::All),
            (Some(protocol), Some(port)) => Ok(Service::Port { protocol, port }),
            (Some(protocol), None) => Err(CliError::at(format!("protocol {protocol} needs a port"))),
            (None, Some(port)) => Err(CliError::at(format!("port {port} needs a protocol, tcp or udp"))),
        }
    }
}
