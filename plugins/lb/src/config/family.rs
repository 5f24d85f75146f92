//! The two families of addresses.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::Ip4 } else { Family::Ip6 }
    }

    /// VPP's word.
    pub fn word(self) -> &'static str {
        match self {
            Family::Ip4 => "ip4",
            Family::Ip6 => "ip6",
        }
    }

    /// The digit that tells one from the other in names.
    pub fn digit(self) -> char {
        match self {
            Family::Ip4 => '4',
            Family::Ip6 => '6',
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Family::Ip4 { "IPv4" } else { "IPv6" })
    }
}
