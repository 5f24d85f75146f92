//! What leads a packet to a server, made ready per server: the header in front of it, or what its own headers become.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vnet::wire::checksum::add16;
use vnet::wire::ethernet;
use vnet::wire::ip4::protocol;

use crate::config::{Encap, Family};
use crate::nat::SessionChange;

/// IPv4 and what stands between it and the inner packet; or only an address and what goes with it.
///
/// | encapsulation | bytes |
/// |---|---|
/// | gre4, ipip4, gue4 | an IPv4 header, and 4 bytes of GRE |
/// | nat4, nat6 | the server's address (4 or 16 bytes; behind 4 the VIP's own), and from byte 16 on: port (2), what the change to address and port does to checksums (4), and whether that is known (1) |
/// | l3dsr | the same, the change to the address alone, and the DSCP for the port |
/// | all others | the same with port (2), MAC (6) |
///
/// IPv4 headers are as VPP sends them: identification 0, "don't fragment" clear, time to live 128. All but the type of
/// service, the length and the checksum that depends on both are there beforehand. IPv6 headers are written from the address and the source
/// that all of them have ([`Ip6Outer`]): they would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, zerocopy::FromZeros)]
#[repr(C)]
pub struct Outer {
    bytes: [u8; 24],
    /// The sum of the IPv4 header's words as it stands, in ones' complement, its bytes in the order in which they are sent (such a sum
    /// is the same in either order, RFC 1071 section 2).
    sum: u16,
}

/// Bytes of an IPv4 header without options.
const IP4: usize = 20;
/// Where the receiver's address stands, the port or DSCP, and the MAC.
const RECEIVER: usize = 4;
const PORT: usize = 16;
const MAC: usize = 18;
/// Where the change of checksums stands instead, and whether it does.
const CHANGE: usize = MAC;
const HAS_CHANGE: usize = CHANGE + 4;

impl Outer {
    /// What stands for none.
    pub const NONE: Outer = Outer { bytes: [0; 24], sum: 0 };

    /// That of a server: packets of a VIP of a family, in an encapsulation, from `source` (for headers of IPv4) to a server's
    /// address and port.
    pub fn new(encap: Encap, vip: Family, source: Ipv4Addr, server: IpAddr, port: u16, mac: Option<[u8; 6]>) -> Outer {
        match (encap, server) {
            (Encap::Gre4, IpAddr::V4(server)) => Self::gre(vip, source, server),
            (Encap::Ipip4, IpAddr::V4(server)) => {
                Self::ip4(if vip == Family::Ip4 { protocol::IP_IN_IP } else { protocol::IPV6 }, source, server)
            }
            (Encap::Gue4 { direct }, IpAddr::V4(server)) => {
                let mut outer = Self::ip4(protocol::UDP, source, server);
                outer.bytes[IP4] = direct.into();
                outer
            }
            (Encap::Gue6 { direct }, server) => Self::address(server, direct.into(), None),
            (Encap::L3dsr { dscp }, server) => Self::address(server, dscp.into(), None),
            (_, server) => Self::address(server, port, mac),
        }
    }

    /// IPv4 and GRE (RFC 2784, without checksum): 24 bytes.
    fn gre(vip: Family, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut outer = Self::ip4(protocol::GRE, source, destination);
        // No flags, version 0, then the EtherType of what follows.
        outer.bytes[22..24].copy_from_slice(&ethertype(vip).to_be_bytes());
        outer
    }

    /// An address, a port (or another number), and a MAC, of which 0 is none.
    fn address(address: IpAddr, port: u16, mac: Option<[u8; 6]>) -> Self {
        let mut outer = Self::NONE;
        match address {
            IpAddr::V4(address) => outer.bytes[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => outer.bytes[..16].copy_from_slice(&address.octets()),
        }
        outer.bytes[PORT..MAC].copy_from_slice(&port.to_be_bytes());
        outer.bytes[MAC..].copy_from_slice(&mac.unwrap_or_default());
        outer
    }

    fn ip4(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut bytes = [0; 24];
        bytes[0] = 0x45;
        bytes[8] = 128;
        bytes[9] = protocol;
        bytes[12..16].copy_from_slice(&source.octets());
        bytes[16..20].copy_from_slice(&destination.octets());
        let words = bytes[..IP4].as_chunks::<2>().0;
        let sum = words.iter().fold(0, |sum, &word| add16(sum, u16::from_ne_bytes(word)));
        Self { bytes, sum }
    }

    /// Writes the first `N` bytes, at least an IPv4 header's, in front of a packet that is `total` bytes long with them, and whose
    /// type of service is `class`.
    #[inline(always)]
    pub fn write<const N: usize>(&self, total: u16, class: u8, place: &mut [u8; N]) {
        const { assert!(N >= IP4 && N <= 24) }
        place.copy_from_slice(&self.bytes[..N]);
        self.amend_ip4(total, class, place);
    }

    /// Writes an IPv4 header alone into the beginning of `place`.
    #[inline(always)]
    pub fn write_ip4<const N: usize>(&self, total: u16, class: u8, place: &mut [u8; N]) {
        const { assert!(N >= IP4) }
        place[..IP4].copy_from_slice(&self.bytes[..IP4]);
        self.amend_ip4(total, class, place);
    }

    /// What depends on the packet.
    #[inline(always)]
    fn amend_ip4<const N: usize>(&self, total: u16, class: u8, place: &mut [u8; N]) {
        place[1] = class;
        place[2..4].copy_from_slice(&total.to_be_bytes());
        let sum = add16(add16(self.sum, total.to_be()), u16::from_ne_bytes([0, class]));
        place[10..12].copy_from_slice(&(!sum).to_ne_bytes());
    }

    /// The address where it is IPv4 and not in a header.
    #[inline(always)]
    pub fn address4(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.bytes;
        [a, b, c, d]
    }

    /// The address where it is IPv6.
    #[inline(always)]
    pub fn address6(&self) -> &[u8; 16] {
        self.bytes.first_chunk().expect("there are 24")
    }

    /// The port, or the DSCP.
    #[inline(always)]
    pub fn port(&self) -> u16 {
        u16::from_be_bytes([self.bytes[PORT], self.bytes[PORT + 1]])
    }

    /// The same where nearly all packets are to one address (of NAT, also one port) before, and so have this change in common.
    #[must_use]
    pub fn with_change(mut self, receiver: IpAddr, change: SessionChange) -> Outer {
        if let IpAddr::V4(receiver) = receiver {
            self.bytes[RECEIVER..RECEIVER + 4].copy_from_slice(&receiver.octets());
        }
        self.bytes[CHANGE..HAS_CHANGE].copy_from_slice(&change.to_bytes());
        self.bytes[HAS_CHANGE] = 1;
        self
    }

    /// That change for a packet to this address of IPv4. Routes through a VIP bring packets to others.
    #[inline(always)]
    pub fn change_from(&self, receiver: [u8; 4]) -> Option<SessionChange> {
        self.change().filter(|_| self.bytes[RECEIVER..RECEIVER + 4] == receiver)
    }

    /// That change, if packets have one in common, for a packet to that address: of IPv6, for which there is no room here.
    #[inline(always)]
    pub fn change(&self) -> Option<SessionChange> {
        let bytes = self.bytes[CHANGE..HAS_CHANGE].first_chunk().expect("there are 4");
        (self.bytes[HAS_CHANGE] != 0).then(|| SessionChange::of_bytes(*bytes))
    }

    /// The MAC, all 0 for none.
    pub fn mac(&self) -> [u8; 6] {
        *self.bytes.last_chunk().expect("there are 24")
    }

    /// Of GUE: whether the packet follows UDP at once. Behind IPv4's header, or as of [`port`](Outer::port).
    #[inline(always)]
    pub fn is_direct(&self, family: Family) -> bool {
        match family {
            Family::Ip4 => self.bytes[IP4] != 0,
            Family::Ip6 => self.bytes[PORT + 1] != 0,
        }
    }

    /// The same with an Ethernet header instead, in the first 14 bytes.
    pub fn with_link(link: [u8; 14]) -> Outer {
        let mut outer = Self::NONE;
        outer.bytes[..14].copy_from_slice(&link);
        outer
    }

    /// That Ethernet header.
    #[inline(always)]
    pub fn link(&self) -> &[u8; 14] {
        self.bytes.first_chunk().expect("there are 24")
    }
}

/// The EtherType of a family.
pub(crate) fn ethertype(family: Family) -> u16 {
    match family {
        Family::Ip4 => ethernet::IP4,
        Family::Ip6 => ethernet::IP6,
    }
}

/// What all outer IPv6 headers have in common: the source. The hop limit is IPv4's time to live, the flow label 0 as VPP has it.
#[derive(Clone, Copy, Debug)]
pub struct Ip6Outer {
    source: [u8; 16],
}

/// Bytes of an IPv6 header.
const IP6: usize = 40;

impl Default for Ip6Outer {
    fn default() -> Self {
        Ip6Outer::new(Ipv6Addr::from_bits(u128::MAX))
    }
}

impl Ip6Outer {
    /// From this source.
    pub fn new(source: Ipv6Addr) -> Self {
        Ip6Outer { source: source.octets() }
    }

    /// Writes an IPv6 header (RFC 8200 section 3) into the beginning of `place`, in front of a payload of so many bytes with
    /// this number.
    #[inline(always)]
    pub fn write<const N: usize>(
        &self,
        destination: &[u8; 16],
        next_header: u8,
        payload: u16,
        class: u8,
        place: &mut [u8; N],
    ) {
        const { assert!(N >= IP6) }
        place[..4].copy_from_slice(&(6 << 28 | u32::from(class) << 20).to_be_bytes());
        place[4..6].copy_from_slice(&payload.to_be_bytes());
        (place[6], place[7]) = (next_header, 128);
        place[8..24].copy_from_slice(&self.source);
        place[24..40].copy_from_slice(destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(outer: &Outer, total: u16, class: u8) -> [u8; 24] {
        let mut place = [0xaa; 24];
        outer.write(total, class, &mut place);
        place
    }

    /// VPP's own headers, from `ip4-load-balance` in its traces.
    #[test]
    fn checksums_are_vpps() {
        let source = Ipv4Addr::new(10, 0, 2, 1);
        for (last, inner, total, checksum) in
            [(2, 60, 84, 0x2279), (4, 34, 58, 0x2291), (4, 84, 108, 0x225f)] as [(u8, u16, u16, u16); 3]
        {
            let outer = Outer::gre(Family::Ip4, source, Ipv4Addr::new(10, 0, 2, last));
            let header = header(&outer, inner + 24, 0);
            assert_eq!(u16::from_be_bytes([header[2], header[3]]), total);
            assert_eq!(u16::from_be_bytes([header[10], header[11]]), checksum);
        }
    }

    #[test]
    fn every_checksum_verifies() {
        for last in 0..=255 {
            let outer = Outer::gre(Family::Ip4, Ipv4Addr::new(255, 255, 255, last), Ipv4Addr::new(255, 255, last, 255));
            for (inner, class) in [0, 20, 1476, 65511].into_iter().zip([last, 0, 3, 255]) {
                let header = header(&outer, inner + 24, class);
                assert_eq!(header[1], class);
                let mut sum = 0u32;
                for word in header[..20].as_chunks::<2>().0 {
                    sum += u32::from(u16::from_be_bytes(*word));
                }
                while sum > 0xffff {
                    sum = (sum & 0xffff) + (sum >> 16);
                }
                assert_eq!(sum, 0xffff);
            }
        }
    }
}
