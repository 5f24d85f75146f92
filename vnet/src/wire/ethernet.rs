//! Ethernet II frames (IEEE 802.3 section 3.2), MAC addresses, Ethertypes.

use std::fmt;
use std::str::FromStr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Ethertype of IPv4.
pub const IP4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// Ethertype of an IEEE 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// Ethertype of IPv6.
pub const IP6: u16 = 0x86dd;
/// Ethertype of an IEEE 802.1ad service tag.
pub const VLAN_AD: u16 = 0x88a8;
/// Protocol type of an Ethernet frame inside GRE (RFC 1701 appendix).
pub const TRANSPARENT_BRIDGING: u16 = 0x6558;

/// The header of an Ethernet II frame: 14 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// The station that the frame is for.
    pub destination: Mac,
    /// The station that sent it.
    pub source: Mac,
    /// What follows; up to 1500 it is a length (IEEE 802.3 section 3.2.6).
    pub ethertype: U16,
}
header!(EthernetHeader);

impl EthernetHeader {
    /// A header.
    pub fn new(destination: Mac, source: Mac, ethertype: u16) -> Self {
        Self { destination, source, ethertype: U16::new(ethertype) }
    }
}

/// A MAC address.
///
/// Prints as `02:fe:24:95:7d:2b`; is read in that form, with `-` for `:`, and as `02fe.2495.7d2b`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// Nobody; also what ARP asks with.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether the group bit is set (IEEE 802.3 section 3.2.3): multicast, or broadcast.
    #[inline(always)]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether the address is that of every station.
    #[inline(always)]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether the address may be that of one station: no group, not all zero.
    #[inline(always)]
    pub fn is_unicast(self) -> bool {
        !self.is_group() && self != Self::ZERO
    }

    /// The address that a multicast IPv4 group maps to (RFC 1112 section 6.4).
    pub fn multicast4(group: std::net::Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }
}

impl From<[u8; 6]> for Mac {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        // Through `pad`, so that columns of a table can give a width.
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MAC address")]
pub struct NotMac;

impl FromStr for Mac {
    type Err = NotMac;

    fn from_str(text: &str) -> Result<Self, NotMac> {
        let mut bytes = [0; 6];
        if text.contains('.') {
            let mut groups = text.split('.');
            for pair in bytes.chunks_exact_mut(2) {
                pair.copy_from_slice(&hex(groups.next(), 4)?.to_be_bytes());
            }
            return groups.next().is_none().then_some(Self(bytes)).ok_or(NotMac);
        }
        let mut groups = text.split(if text.contains('-') { '-' } else { ':' });
        for byte in &mut bytes {
            *byte = hex(groups.next(), 2)? as u8;
        }
        groups.next().is_none().then_some(Self(bytes)).ok_or(NotMac)
    }
}

/// One to `digits` hexadecimal digits and nothing else: `from_str_radix` alone would take a sign.
fn hex(group: Option<&str>, digits: usize) -> Result<u16, NotMac> {
    let group = group.filter(|group| (1..=digits).contains(&group.len())).ok_or(NotMac)?;
    if !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NotMac);
    }
    u16::from_str_radix(group, 16).map_err(|_| NotMac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_three_ways_to_write_a_mac() {
        let mac = Mac([0x02, 0xfe, 0x12, 0x34, 0x56, 0x78]);
        for text in ["02:fe:12:34:56:78", "02-FE-12-34-56-78", "02fe.1234.5678", "2:fe:12:34:56:78", "2fe.1234.5678"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        let wrong = ["", "02", "02:fe:12:34:56", "02:fe:12:34:56:78:9a", "02:fe:12:34:56:+8", "02:fe:12:34:56:178"];
        let worse = ["02fe.1234", "02fe.1234.5678.9", "02:fe-12:34:56:78", "02:fe::34:56:78", "0x2:fe:12:34:56:78"];
        for text in wrong.iter().chain(&worse) {
            assert_eq!(text.parse::<Mac>(), Err(NotMac), "{text}");
        }
        assert_eq!(format!("<{mac:>20}>"), "<   02:fe:12:34:56:78>");
    }

    #[test]
    fn knows_kinds_of_addresses() {
        assert!(Mac::BROADCAST.is_group() && Mac::BROADCAST.is_broadcast() && !Mac::BROADCAST.is_unicast());
        assert!(!Mac::ZERO.is_unicast() && !Mac::ZERO.is_group());
        assert_eq!(Mac::multicast4("239.129.2.3".parse().unwrap()).to_string(), "01:00:5e:01:02:03");
    }

    proptest! {
        #[test]
        fn mac_round_trips(bytes: [u8; 6]) {
            prop_assert_eq!(Mac(bytes).to_string().parse(), Ok(Mac(bytes)));
        }

        #[test]
        fn mac_parser_never_panics(text in ".{0,24}") {
            let _ = text.parse::<Mac>();
        }

        #[test]
        fn header_agrees_with_etherparse(destination: [u8; 6], source: [u8; 6], kind: u16, payload: Vec<u8>) {
            let header = EthernetHeader::new(destination.into(), source.into(), kind);
            let mut frame = header.as_bytes().to_vec();
            frame.extend(&payload);
            let (theirs, rest) = etherparse::Ethernet2Header::from_slice(&frame).unwrap();
            prop_assert_eq!((theirs.destination, theirs.source, theirs.ether_type.0), (destination, source, kind));
            let (ours, our_rest) = EthernetHeader::ref_from_prefix(&frame).unwrap();
            prop_assert_eq!((ours, our_rest), (&header, rest));
        }
    }

    #[test]
    fn refuses_short_buffers() {
        let mut short = [0; EthernetHeader::LEN - 1];
        assert!(EthernetHeader::ref_from_prefix(&short).is_err());
        assert!(EthernetHeader::mut_from_prefix(&mut short).is_err());
        assert!(EthernetHeader::new(Mac::ZERO, Mac::ZERO, IP4).emit(&mut short).is_err());
    }
}
