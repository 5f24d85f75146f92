//! Changing addresses and ports in a packet, with every checksum that covers them.

use std::net::IpAddr;

use vnet::wire::ip4::protocol;
use vnet::wire::{Change, FlowKey4, FlowKey6, Ip4Header, Ip6Header, Kept, ip6_ext};
use vnet::{Offload, Packet};

use super::Usual;

/// A family whose packets can be translated.
pub trait Translated: Usual {
    /// Reads the key of a packet; `None`: it has none.
    fn read(packet: &[u8]) -> Option<Self>;
    /// Writes the addresses of a key, where they change so, and gives where the transport header begins.
    fn write(self, packet: &mut [u8], addresses: Kept) -> Option<usize>;
    /// What other addresses change.
    fn change(&self, to: &Self) -> Change;
    /// The addresses alone, of a packet.
    fn addresses(packet: &[u8]) -> Option<Self>;
    /// Source and destination, IPv4's in the first four bytes.
    fn ends(&self) -> Ends;
    /// These addresses and no ports.
    fn of_ends(ends: Ends) -> Self;
}

/// Source and destination, IPv4's in the first four bytes.
pub type Ends = ([u8; 16], [u8; 16]);

impl Translated for FlowKey4 {
    #[inline]
    fn read(packet: &[u8]) -> Option<Self> {
        FlowKey4::read(packet).ok()
    }

    #[inline]
    fn write(self, packet: &mut [u8], addresses: Kept) -> Option<usize> {
        let (header, _) = Ip4Header::mut_from_prefix(packet).ok()?;
        header.source.set(self.src);
        header.destination.set(self.dst);
        header.checksum = addresses.of_field(header.checksum.to_bytes()).into();
        Some(header.header_len())
    }

    #[inline]
    fn change(&self, to: &Self) -> Change {
        let change = Change::NONE.four(self.src.to_be_bytes(), to.src.to_be_bytes());
        change.four(self.dst.to_be_bytes(), to.dst.to_be_bytes())
    }

    fn addresses(packet: &[u8]) -> Option<Self> {
        let (header, _) = Ip4Header::ref_from_prefix(packet).ok()?;
        Some(FlowKey4 { src: header.source.get(), dst: header.destination.get(), ..FlowKey4::default() })
    }

    fn ends(&self) -> Ends {
        let wide = |address: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.to_be_bytes());
            bytes
        };
        (wide(self.src), wide(self.dst))
    }

    fn of_ends((source, destination): Ends) -> Self {
        let narrow = |[a, b, c, d, ..]: [u8; 16]| u32::from_be_bytes([a, b, c, d]);
        FlowKey4 { src: narrow(source), dst: narrow(destination), ..FlowKey4::default() }
    }
}

impl Translated for FlowKey6 {
    #[inline]
    fn read(packet: &[u8]) -> Option<Self> {
        FlowKey6::read(packet).ok()
    }

    #[inline]
    fn write(self, packet: &mut [u8], _: Kept) -> Option<usize> {
        let offset = ip6_ext::walk(packet).ok()?.offset;
        let (header, _) = Ip6Header::mut_from_prefix(packet).ok()?;
        (header.source, header.destination) = (self.src, self.dst);
        Some(offset)
    }

    #[inline]
    fn change(&self, to: &Self) -> Change {
        Change::NONE.sixteen(self.src, to.src).sixteen(self.dst, to.dst)
    }

    fn addresses(packet: &[u8]) -> Option<Self> {
        let (header, _) = Ip6Header::ref_from_prefix(packet).ok()?;
        Some(FlowKey6 { src: header.source, dst: header.destination, ..FlowKey6::default() })
    }

    fn ends(&self) -> Ends {
        (self.src, self.dst)
    }

    fn of_ends((src, dst): Ends) -> Self {
        FlowKey6 { src, dst, ..FlowKey6::default() }
    }
}

/// What a change of addresses, and one of addresses and ports, does to checksums.
#[derive(Clone, Copy, Debug)]
pub struct SessionChange {
    addresses: Kept,
    all: Kept,
}

impl SessionChange {
    /// Nothing.
    pub const NONE: SessionChange = SessionChange { addresses: Kept::NONE, all: Kept::NONE };

    /// From one key to another.
    pub fn new<K: Translated>(from: &K, to: &K) -> Self {
        let addresses = from.change(to);
        let ports = |key: &K| (key.source().1.to_be_bytes(), key.destination().1.to_be_bytes());
        let (had, has) = (ports(from), ports(to));
        SessionChange { addresses: addresses.keep(), all: addresses.two(had.0, has.0).two(had.1, has.1).keep() }
    }

    /// Of addresses alone.
    #[inline(always)]
    pub fn of_addresses(addresses: Kept) -> Self {
        SessionChange { addresses, all: addresses }
    }

    /// That of the addresses.
    #[inline(always)]
    pub fn addresses(self) -> Kept {
        self.addresses
    }

    /// The same for packets the other way.
    #[inline(always)]
    #[must_use]
    pub fn back(self) -> SessionChange {
        SessionChange { addresses: self.addresses.back(), all: self.all.back() }
    }

    /// In four bytes.
    pub fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.addresses.bits().to_ne_bytes(), self.all.bits().to_ne_bytes());
        [a, b, c, d]
    }

    /// From these.
    #[inline(always)]
    pub fn of_bytes([a, b, c, d]: [u8; 4]) -> SessionChange {
        let kept = |bytes| Kept::from_bits(u16::from_ne_bytes(bytes));
        SessionChange { addresses: kept([a, b]), all: kept([c, d]) }
    }

    /// Changes the checksum of TCP or UDP behind a header of `at` bytes; `false`, and nothing changes: it is cut short. Two ways, each
    /// with its place known.
    #[inline(always)]
    pub fn amend(self, packet: &mut [u8], at: usize, protocol: u8, unfinished: bool) -> bool {
        let udp = protocol == protocol::UDP;
        let field = if udp { packet.get_mut(at + 6..at + 8) } else { packet.get_mut(at + 16..at + 18) };
        let Some(field) = field.and_then(|field| field.first_chunk_mut::<2>()) else { return false };
        *field = self.of_field(*field, udp, unfinished);
        true
    }

    /// The transport's checksum field after the change. One that a device is still to complete (`unfinished`) holds the sum of the
    /// pseudo-header, in which only the addresses are ([`Offload::CHECKSUM`](vnet::Offload::CHECKSUM)). A UDP checksum of 0 is none and stays so (RFC 768, RFC
    /// 6936); one that comes to 0 is all ones.
    #[inline(always)]
    fn of_field(self, field: [u8; 2], udp: bool, unfinished: bool) -> [u8; 2] {
        match udp {
            _ if unfinished => self.addresses.of_sum(field),
            true => self.all.of_udp_field(field),
            false => self.all.of_field(field),
        }
    }
}

/// What another receiver, with another port, changes; `None`: they are not of one family.
pub fn change_of_receiver(from: (IpAddr, u16), to: (IpAddr, u16)) -> Option<SessionChange> {
    match (from, to) {
        ((IpAddr::V4(had), from), (IpAddr::V4(has), to)) => {
            let key = |dst, dport| FlowKey4 { dst, dport, ..FlowKey4::default() };
            Some(SessionChange::new(&key(had.to_bits(), from), &key(has.to_bits(), to)))
        }
        ((IpAddr::V6(had), from), (IpAddr::V6(has), to)) => {
            let key = |dst, dport| FlowKey6 { dst, dport, ..FlowKey6::default() };
            Some(SessionChange::new(&key(had.octets(), from), &key(has.octets(), to)))
        }
        _ => None,
    }
}

/// Gives a fragment that is not the first other addresses: the transport's checksum is in the first, and says so of all.
/// `false`: it is cut short.
pub fn translate_ends<K: Translated>(packet: &mut Packet<'_>, ends: Ends) -> bool {
    let Some(from) = K::addresses(packet.data()) else { return false };
    let to = K::of_ends(ends);
    to.write(packet.data_mut(), from.change(&to).keep()).is_some()
}

/// Makes a packet of one key one of another key, of the same protocol, TCP or UDP. `false`, and nothing useful: it is cut short.
#[inline]
pub fn translate<K: Translated>(packet: &mut Packet<'_>, from: &K, to: &K) -> bool {
    let unfinished = packet.meta().offload.contains(Offload::CHECKSUM);
    translate_bytes(packet.data_mut(), unfinished, from, to)
}

fn translate_bytes<K: Translated>(bytes: &mut [u8], unfinished: bool, from: &K, to: &K) -> bool {
    let change = SessionChange::new(from, to);
    let Some(at) = to.write(bytes, change.addresses()) else { return false };
    // The checksum first: a packet that is cut short has none.
    if !change.amend(bytes, at, to.protocol(), unfinished) {
        return false;
    }
    let Some(ports) = bytes.get_mut(at..).and_then(|transport| transport.first_chunk_mut::<4>()) else { return false };
    ports[..2].copy_from_slice(&to.source().1.to_be_bytes());
    ports[2..].copy_from_slice(&to.destination().1.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;
    use vnet::wire::checksum;

    use std::net::Ipv4Addr;

    use super::super::{FlowKey, Session};
    use super::*;
    use crate::config::{Encap, Family};
    use crate::flow_table::FlowHash;
    use crate::handle::ServerHandle;
    use crate::outer::Outer;

    fn ip(address: u32) -> IpAddr {
        Ipv4Addr::from(address).into()
    }

    /// What leads to a server, of a VIP of one address and of one of several.
    fn ways(encap: Encap, family: Family, vip: (IpAddr, u16), server: (IpAddr, u16)) -> [Outer; 2] {
        let outer = Outer::new(encap, family, Ipv4Addr::UNSPECIFIED, server.0, server.1, None);
        [outer, outer.with_change(vip.0, change_of_receiver(vip, server).unwrap())]
    }

    fn packet4(key: &FlowKey4, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(key.src.to_be_bytes(), key.dst.to_be_bytes(), 61);
        if key.proto == protocol::UDP {
            builder.udp(key.sport, key.dport).write(&mut packet, payload).unwrap();
        } else {
            builder.tcp(key.sport, key.dport, 1, 2).write(&mut packet, payload).unwrap();
        }
        packet
    }

    fn packet6(key: &FlowKey6, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv6(key.src, key.dst, 61);
        if key.proto == protocol::UDP {
            builder.udp(key.sport, key.dport).write(&mut packet, payload).unwrap();
        } else {
            builder.tcp(key.sport, key.dport, 1, 2).write(&mut packet, payload).unwrap();
        }
        packet
    }

    /// A field as all ones where it may stand for nothing.
    fn same(mut packet: Vec<u8>, at: usize, udp: bool) -> Vec<u8> {
        if udp && packet[at + 6..at + 8] == [0, 0] {
            packet[at + 6..at + 8].fill(0xff);
        }
        packet
    }

    proptest! {
        #[test]
        fn a_translated_packet_is_as_if_made_so(
            from: (u32, u32, u16, u16), to: (u32, u32, u16, u16), udp: bool,
            payload in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let proto = if udp { 17 } else { 6 };
            let key = |(src, dst, sport, dport)| FlowKey4 { src, dst, sport, dport, proto };
            let (from, to) = (key(from), key(to));
            let mut packet = packet4(&from, &payload);
            let key_of = <FlowKey4 as Translated>::read;
            prop_assert_eq!(key_of(&packet), Some(from));
            let mut usual = packet.clone();
            prop_assert!(translate_bytes(&mut packet, false, &from, &to));
            prop_assert!(FlowKey4::stands_in(&from.standing(), &usual));
            // The protocol, the addresses, and the ports.
            for at in std::iter::once(9).chain(12..24) {
                let mut other = usual.clone();
                other[at] ^= 0x10;
                prop_assert!(!FlowKey4::stands_in(&from.standing(), &other), "byte {}", at);
            }
            prop_assert!(FlowKey4::write_in(&to.standing(), &mut usual, SessionChange::new(&from, &to), false));
            prop_assert_eq!(&usual, &packet);
            prop_assert_eq!(same(packet, 20, udp), same(packet4(&to, &payload), 20, udp));
            let (vip, server) = ((ip(from.dst), from.dport), (ip(to.dst), to.dport));
            let to = from.with_destination((to.dst, to.dport));
            for server in ways(Encap::Nat4, Family::Ip4, vip, server) {
                let mut led = packet4(&from, &payload);
                prop_assert!(FlowKey4::lead_to(&server, &mut led, false));
                prop_assert_eq!(same(led.clone(), 20, udp), same(packet4(&to, &payload), 20, udp));
                let back = Session::new((from, to), ServerHandle::NONE, FlowHash { identity: 1, bucket: 1 }, 0);
                let mut answer = packet4(&to.reverse(), &payload);
                prop_assert!(back.answer(&mut answer, false));
                prop_assert_eq!(same(answer, 20, udp), same(packet4(&from.reverse(), &payload), 20, udp));
            }
        }

        #[test]
        fn a_translated_packet_of_ip6_is_as_if_made_so(
            from: ([u8; 16], [u8; 16], u16, u16), to: ([u8; 16], [u8; 16], u16, u16), udp: bool,
            payload in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let proto = if udp { 17 } else { 6 };
            let key = |(src, dst, sport, dport)| FlowKey6 { src, dst, sport, dport, proto };
            let (from, to) = (key(from), key(to));
            let mut packet = packet6(&from, &payload);
            let mut usual = packet.clone();
            prop_assert!(translate_bytes(&mut packet, false, &from, &to));
            prop_assert!(FlowKey6::stands_in(&from.standing(), &usual));
            // The next header, the addresses, and the ports.
            for at in std::iter::once(6).chain(8..44) {
                let mut other = usual.clone();
                other[at] ^= 0x10;
                prop_assert!(!FlowKey6::stands_in(&from.standing(), &other), "byte {}", at);
            }
            prop_assert!(FlowKey6::write_in(&to.standing(), &mut usual, SessionChange::new(&from, &to), false));
            prop_assert_eq!(&usual, &packet);
            prop_assert_eq!(same(packet, 40, udp), same(packet6(&to, &payload), 40, udp));
            let (vip, server) = ((from.dst.into(), from.dport), (to.dst.into(), to.dport));
            let to = from.with_destination((to.dst, to.dport));
            for server in ways(Encap::Nat6, Family::Ip6, vip, server) {
                let mut led = packet6(&from, &payload);
                prop_assert!(FlowKey6::lead_to(&server, &mut led, false));
                prop_assert_eq!(same(led.clone(), 40, udp), same(packet6(&to, &payload), 40, udp));
                let back = Session::new((from, to), ServerHandle::NONE, FlowHash { identity: 1, bucket: 1 }, 0);
                let mut answer = packet6(&to.reverse(), &payload);
                prop_assert!(back.answer(&mut answer, false));
                prop_assert_eq!(same(answer, 40, udp), same(packet6(&from.reverse(), &payload), 40, udp));
            }
        }

        #[test]
        fn an_unfinished_checksum_stays_the_sum_of_the_pseudo_header(from: (u32, u32, u16, u16), to: (u32, u32, u16, u16)) {
            let key = |(src, dst, sport, dport)| FlowKey4 { src, dst, sport, dport, proto: 6 };
            let (from, to) = (key(from), key(to));
            let pseudo = |key: &FlowKey4| checksum::fold(checksum::pseudo4(key.src, key.dst, 6, 20));
            let mut packet = packet4(&from, &[]);
            packet[36..38].copy_from_slice(&pseudo(&from).to_be_bytes());
            let mut usual = packet.clone();
            prop_assert!(translate_bytes(&mut packet, true, &from, &to));
            prop_assert!(FlowKey4::write_in(&to.standing(), &mut usual, SessionChange::new(&from, &to), true));
            prop_assert_eq!(&usual, &packet);
            let field = |packet: &[u8]| u16::from_be_bytes([packet[36], packet[37]]);
            // Both zeros are the same number.
            prop_assert_eq!(field(&packet) % 0xffff, pseudo(&to) % 0xffff);
            let (vip, server) = ((ip(from.dst), from.dport), (ip(to.dst), to.dport));
            let to = from.with_destination((to.dst, to.dport));
            for server in ways(Encap::Nat4, Family::Ip4, vip, server) {
                let mut led = packet4(&from, &[]);
                led[36..38].copy_from_slice(&pseudo(&from).to_be_bytes());
                prop_assert!(FlowKey4::lead_to(&server, &mut led, true));
                prop_assert_eq!(field(&led) % 0xffff, pseudo(&to) % 0xffff);
            }
        }

        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..60), proto in prop::sample::select(vec![6u8, 17])) {
            let key = FlowKey4 { proto, ..FlowKey4::default() };
            let _ = translate_bytes(&mut bytes, false, &key, &key);
            let before = bytes.clone();
            if !FlowKey4::write_in(&key.standing(), &mut bytes, SessionChange::NONE, false) {
                prop_assert_eq!(&bytes, &before);
            }
            let before = bytes.clone();
            if !FlowKey4::lead_to(&Outer::NONE, &mut bytes, false) {
                prop_assert_eq!(&bytes, &before);
            }
            let before = bytes.clone();
            if !FlowKey6::lead_to(&Outer::NONE, &mut bytes, false) {
                prop_assert_eq!(&bytes, &before);
            }
            let key = FlowKey6 { proto, ..FlowKey6::default() };
            let _ = translate_bytes(&mut bytes, true, &key, &key);
        }
    }

    #[test]
    fn a_datagram_without_a_checksum_stays_without() {
        let from = FlowKey4 { src: 1, dst: 2, sport: 3, dport: 4, proto: 17 };
        let to = FlowKey4 { src: 5, ..from };
        let mut packet = packet4(&from, b"hello");
        packet[26..28].fill(0);
        assert!(translate_bytes(&mut packet, false, &from, &to));
        assert_eq!(packet[26..28], [0, 0]);
    }
}
