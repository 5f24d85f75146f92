//! IPv6 headers (RFC 8200 section 3).

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An IPv6 header: 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ip6Header {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    pub version_class_flow: U32,
    /// Bytes after this header, extension headers included.
    pub payload_len: U16,
    /// What follows: a protocol number.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// The sender.
    pub source: [u8; 16],
    /// The receiver.
    pub destination: [u8; 16],
}
header!(Ip6Header);

impl Ip6Header {
    /// A header with traffic class and flow label 0. The payload length is cut off at 65535.
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload_len: usize, hop_limit: u8) -> Self {
        Self {
            version_class_flow: U32::new(6 << 28),
            payload_len: U16::new(payload_len.min(usize::from(u16::MAX)) as u16),
            next_header,
            hop_limit,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// The version; anything but 6 is an error.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        (self.version_class_flow.get() >> 28) as u8
    }

    /// DSCP (6 bits) and ECN (2 bits).
    #[inline(always)]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }

    /// The flow label (RFC 6437).
    #[inline(always)]
    pub fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & 0xf_ffff
    }

    /// The sender.
    #[inline(always)]
    pub fn source_address(&self) -> Ipv6Addr {
        self.source.into()
    }

    /// The receiver.
    #[inline(always)]
    pub fn destination_address(&self) -> Ipv6Addr {
        self.destination.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_agrees_with_etherparse(
            first: u32, len: u16, next: u8, hops: u8, source: [u8; 16], destination: [u8; 16],
        ) {
            let mut header = Ip6Header::new(source.into(), destination.into(), next, len.into(), hops);
            header.version_class_flow.set(6 << 28 | first & 0xfff_ffff);
            let (theirs, _) = etherparse::Ipv6Header::from_slice(header.as_bytes()).unwrap();
            prop_assert_eq!((theirs.source, theirs.destination), (source, destination));
            prop_assert_eq!((theirs.payload_length, theirs.next_header.0, theirs.hop_limit), (len, next, hops));
            prop_assert_eq!(theirs.traffic_class, header.traffic_class());
            prop_assert_eq!(theirs.flow_label.value(), header.flow_label());
            let bytes = theirs.to_bytes();
            prop_assert_eq!(Ip6Header::ref_from_prefix(&bytes).unwrap().0, &header);
            prop_assert_eq!(header.version(), 6);
        }
    }
}
