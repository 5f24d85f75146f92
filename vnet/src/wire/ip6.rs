//! IPv6 headers (RFC 8200 section 3).

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum;
use super::ethernet::Mac;

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

    /// The header that these bytes are.
    #[inline(always)]
    pub fn of_bytes_mut(bytes: &mut [u8; Self::LEN]) -> &mut Self {
        zerocopy::transmute_mut!(bytes)
    }

    /// The sum of the pseudo-header for `len` bytes of upper-layer header and payload; `protocol` is the upper layer's, which
    /// is not the header's own field where extension headers stand between (RFC 8200 section 8.1).
    #[inline]
    pub fn pseudo_sum(&self, protocol: u8, len: u32) -> u64 {
        checksum::pseudo6(&self.source_address(), &self.destination_address(), protocol, len)
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

/// What [`check`] found, so that nobody reads it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip6Facts {
    /// Bytes of header and payload; what the frame has beyond is padding.
    pub total_len: usize,
    /// The sender.
    pub source: Ipv6Addr,
    /// The receiver.
    pub destination: Ipv6Addr,
    /// Hops left. Not judged here: a packet for this host may come with any.
    pub hop_limit: u8,
    /// What follows: a protocol or an extension header.
    pub next_header: u8,
}

/// What is wrong with an IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ip6Error {
    /// Fewer bytes than the header has, in the frame or in its first buffer.
    #[error("header truncated")]
    TooShort,
    /// Not version 6.
    #[error("bad version")]
    BadVersion,
    /// The payload goes beyond the frame.
    #[error("bad payload length")]
    BadLength,
}

/// Checks a received header. `packet` begins with the header and holds at least all of it; `frame_len` is the number of
/// bytes of the whole chain from there on.
///
/// # Errors
/// The first thing wrong, in the order of [`Ip6Error`].
#[inline]
pub fn check(packet: &[u8], frame_len: usize) -> Result<Ip6Facts, Ip6Error> {
    let (header, _) = Ip6Header::ref_from_prefix(packet).map_err(|_| Ip6Error::TooShort)?;
    if header.version() != 6 {
        return Err(Ip6Error::BadVersion);
    }
    let total_len = Ip6Header::LEN + usize::from(header.payload_len.get());
    if total_len > frame_len {
        return Err(Ip6Error::BadLength);
    }
    Ok(Ip6Facts {
        total_len,
        source: header.source_address(),
        destination: header.destination_address(),
        hop_limit: header.hop_limit,
        next_header: header.next_header,
    })
}

/// The header of a packet of the most common kind: sound, and as long as the frame. `None`: [`check`] tells.
#[inline(always)]
pub fn common(packet: &[u8], frame_len: usize) -> Option<&Ip6Header> {
    let (header, _) = Ip6Header::ref_from_prefix(packet).ok()?;
    let sound = header.version() == 6 && Ip6Header::LEN + usize::from(header.payload_len.get()) == frame_len;
    sound.then_some(header)
}

/// All nodes of a link (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of a link (RFC 4291 section 2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The group that all who have `address` are in (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Where a group's packets go on Ethernet (RFC 2464 section 7).
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// The link-local address that a MAC gives (RFC 4291, appendix A; RFC 2464 section 5).
pub fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// True for addresses that mean something on one link alone, and so are never forwarded: unicast `fe80::/10` (RFC 4291
/// section 2.5.6), and groups whose scope is an interface or a link (RFC 7346 section 2).
#[inline]
pub fn is_link_scope(address: Ipv6Addr) -> bool {
    match address.octets() {
        [0xff, flags_scope, ..] => flags_scope & 0xf <= 2,
        [0xfe, second, ..] => second & 0xc0 == 0x80,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_told_apart() {
        let header = Ip6Header::new(ALL_NODES, ALL_ROUTERS, 59, 8, 64);
        let mut packet = [header.as_bytes(), &[0; 12]].concat();
        let facts = check(&packet, 52).unwrap();
        assert_eq!((facts.total_len, facts.next_header, facts.hop_limit), (48, 59, 64));
        assert_eq!((facts.source, facts.destination), (ALL_NODES, ALL_ROUTERS));
        assert!(common(&packet, 48).is_some() && common(&packet, 52).is_none());
        assert_eq!(check(&packet, 47), Err(Ip6Error::BadLength));
        assert_eq!(check(&packet[..39], 48), Err(Ip6Error::TooShort));
        packet[0] = 0x45;
        assert_eq!(check(&packet, 52), Err(Ip6Error::BadVersion));
        assert!(common(&packet, 48).is_none());
    }

    #[test]
    fn addresses_of_a_link() {
        // The example of RFC 4291 section 2.7.1, and that of RFC 2464 section 5 with its MAC.
        let text = |address: Ipv6Addr| address.to_string();
        assert_eq!(text(solicited_node("4037::1:800:200e:8c6c".parse().unwrap())), "ff02::1:ff0e:8c6c");
        assert_eq!(text(link_local(Mac([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]))), "fe80::3656:78ff:fe9a:bcde");
        assert_eq!(group_mac(ALL_ROUTERS), Mac([0x33, 0x33, 0, 0, 0, 2]));
        for (address, link) in [
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("ff02::1", true),
            ("ff05::2", false),
            ("::1", false),
        ] {
            assert_eq!(is_link_scope(address.parse().unwrap()), link, "{address}");
        }
    }

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
