//! Address prefixes of either family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::family::Family;

/// A prefix whose host bits are clear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPrefix {
    address: IpAddr,
    len: u8,
}

/// A text that is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not `ADDRESS/LENGTH`.
    #[error("expected ADDRESS/LENGTH")]
    Form,
    /// The length exceeds the address's.
    #[error("prefix length over {0}")]
    Length(u8),
}

impl IpPrefix {
    /// The prefix of `len` bits that `address` lies in; host bits are cleared, as VPP does.
    ///
    /// # Errors
    /// If the length is more than the address has bits.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let bits = bits(address);
        if len > bits {
            return Err(PrefixError::Length(bits));
        }
        Ok(Self { address: truncated(address, len), len })
    }

    /// That of one address.
    pub fn host(address: IpAddr) -> Self {
        Self { address, len: bits(address) }
    }

    /// The first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The family of its addresses.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    /// The length in bits.
    #[expect(clippy::len_without_is_empty, reason = "a prefix of length 0 is not empty")]
    pub fn len(self) -> u8 {
        self.len
    }

    /// Whether the address lies in the prefix.
    pub fn contains(self, address: IpAddr) -> bool {
        bits(address) == bits(self.address) && truncated(address, self.len) == self.address
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn truncated(address: IpAddr, len: u8) -> IpAddr {
    let len = u32::from(len);
    match address {
        IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() & !u32::MAX.checked_shr(len).unwrap_or(0)).into(),
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & !u128::MAX.checked_shr(len).unwrap_or(0)).into(),
    }
}

impl FromStr for IpPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = text.split_once('/').ok_or(PrefixError::Form)?;
        let address = address.parse().map_err(|_| PrefixError::Form)?;
        if len.is_empty() || !len.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(PrefixError::Form);
        }
        Self::new(address, len.parse().map_err(|_| PrefixError::Length(bits(address)))?)
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl fmt::Debug for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for IpPrefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared() {
        let text = |text: &str| text.parse::<IpPrefix>().unwrap().to_string();
        assert_eq!(text("90.0.0.77/24"), "90.0.0.0/24");
        assert_eq!(text("90.0.0.77/32"), "90.0.0.77/32");
        assert_eq!(text("90.0.0.77/0"), "0.0.0.0/0");
        assert_eq!(text("2001:db8::1/16"), "2001::/16");
        assert_eq!(text("::1/128"), "::1/128");
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, error) in [
            ("foo", PrefixError::Form),
            ("1.2.3.4", PrefixError::Form),
            ("1.2.3/8", PrefixError::Form),
            ("1.2.3.4/", PrefixError::Form),
            ("1.2.3.4/+8", PrefixError::Form),
            ("1.2.3.4/33", PrefixError::Length(32)),
            ("1.2.3.4/999", PrefixError::Length(32)),
            ("::/129", PrefixError::Length(128)),
        ] {
            assert_eq!(text.parse::<IpPrefix>(), Err(error), "{text}");
        }
    }

    #[test]
    fn families_do_not_mix() {
        let all: IpPrefix = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        let net: IpPrefix = "90.0.0.0/24".parse().unwrap();
        assert!(net.contains("90.0.0.255".parse().unwrap()) && !net.contains("90.0.1.0".parse().unwrap()));
    }
}
