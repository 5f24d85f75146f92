//! The family of a VIP, and so of the packets that are balanced.

use std::net::{Ipv4Addr, Ipv6Addr};

use vnet::wire::icmp_inner::{Inner4, Inner6};
use vnet::wire::icmp4;
use vnet::wire::icmp6;
use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::wire::ip6_ext;
use vnet::wire::{FlowKey4, FlowKey6, Ip6Header};
use vnet::{Packet, Tables};

use super::Next;
use super::flow::NoFlow;
use super::fragments::Piece;
use crate::config::Family;
use crate::flow_bytes::{Bytes4, Bytes6};
use crate::fragments::Key;
use crate::slot_hash::FlowWords;

/// A family of VIPs.
pub(super) trait Inner: Send + Sized + 'static {
    /// What a flow is recognised by.
    type Words: FlowWords;
    /// Addresses, ports and protocol.
    type Flow: Copy;
    /// The family.
    const FAMILY: Family;
    /// Bytes of its header and TCP's, without options.
    const HEADERS: u16;
    /// The type of an echo request.
    const ECHO: u8;
    /// Its number where it is in another IP packet.
    const PROTOCOL: u8;
    /// Where messages to a packet's sender are made.
    const ICMP_ERROR: Next;
    /// Where messages to us go.
    const ICMP: Next;
    /// Where other packets to us go.
    const RECEIVE: Next;

    /// The words of a flow's key of TCP and UDP where they stand as usual, of packets that neither begin nor end a connection.
    fn usual(packet: &[u8]) -> Option<Self::Words>;
    /// The same as the packet has them.
    fn usual_bytes(packet: &[u8]) -> Option<BytesOf<Self>>;
    /// Those of other packets. Echo requests are none of the common ones, though they have a flow.
    fn unusual(packet: &[u8]) -> Result<Self::Words, NoFlow>;
    /// Those of all.
    #[inline(always)]
    fn words(packet: &[u8]) -> Result<Self::Words, NoFlow> {
        Self::usual(packet).map_or_else(|| Self::unusual(packet), Ok)
    }
    /// The same for all flows.
    fn all_words(packet: &[u8]) -> Result<Self::Words, NoFlow>;
    /// The words of the flow, as the client sends it, that an ICMP error is about: the flow of what it quotes, the other way.
    fn quoted_words(packet: &[u8]) -> Option<Self::Words>;
    /// Where the transport header begins.
    fn transport(packet: &[u8]) -> Option<usize>;
    /// A fragment's datagram and, of the first, its flow; `None`: it is none, or cut short.
    fn piece(packet: &[u8]) -> Option<Piece<Self::Flow>>;
    /// The words of a flow.
    fn words_of(flow: &Self::Flow) -> Self::Words;
    /// Type of service or traffic class, from the first bytes of a header.
    fn class(header: &[u8; 2]) -> u8;
    /// Leaves word for the sender of a packet that is longer than `room` bytes; `false`: it may be cut, or must be carried
    /// as it is.
    fn refuse(packet: &mut Packet<'_>, room: u16) -> bool;
    /// Whether the packet has used up its hops; then word is left for its sender, who must find it as it was sent.
    fn expires(packet: &mut Packet<'_>) -> bool;
    /// Whether the packet is for one of our own addresses.
    fn is_ours(tables: &Tables, packet: &[u8]) -> bool;
}

/// A flow's key as a family's packets have it.
pub(super) type BytesOf<I> = <<I as Inner>::Words as FlowWords>::Bytes;

/// IPv4.
pub(super) struct V4;

impl Inner for V4 {
    type Words = [u64; 2];
    type Flow = FlowKey4;
    const FAMILY: Family = Family::Ip4;
    const HEADERS: u16 = 40;
    const ECHO: u8 = icmp4::ECHO_REQUEST;
    const PROTOCOL: u8 = protocol::IP_IN_IP;
    const ICMP_ERROR: Next = Next::IcmpError4;
    const ICMP: Next = Next::Icmp4;
    const RECEIVE: Next = Next::Receive4;

    #[inline(always)]
    fn usual(packet: &[u8]) -> Option<[u64; 2]> {
        let head = usual4(packet)?;
        let ([addresses], ports) = head[12..24].as_chunks::<8>() else { return None };
        let ([ports], _) = ports.as_chunks::<4>() else { return None };
        let ports = u64::from(head[9]) << 32 | u64::from(u32::from_be_bytes(*ports));
        Some([u64::from_be_bytes(*addresses), ports])
    }

    #[inline(always)]
    fn usual_bytes(packet: &[u8]) -> Option<Bytes4> {
        let ([bytes], _) = usual4(packet)?[8..24].as_chunks() else { return None };
        Some(Bytes4::of_packet(*bytes))
    }

    #[inline(never)]
    fn unusual(packet: &[u8]) -> Result<[u64; 2], NoFlow> {
        let key = FlowKey4::read(packet)?;
        let transport = packet.get(usize::from(packet[0] & 15) * 4..).unwrap_or_default();
        match NoFlow::of_transport(key.proto, transport, icmp4::ECHO_REQUEST) {
            Some(why) => Err(why),
            None if key.proto == protocol::ICMP && Inner4::read(packet).is_ok() => Err(NoFlow::Quote),
            None => Ok(key.words()),
        }
    }

    fn all_words(packet: &[u8]) -> Result<[u64; 2], NoFlow> {
        Ok(FlowKey4::read(packet)?.words())
    }

    fn words_of(flow: &FlowKey4) -> [u64; 2] {
        flow.words()
    }

    fn transport(packet: &[u8]) -> Option<usize> {
        Some(Ip4Header::ref_from_prefix(packet).ok()?.0.header_len())
    }

    fn piece(packet: &[u8]) -> Option<Piece<FlowKey4>> {
        let (ip, _) = Ip4Header::ref_from_prefix(packet).ok().filter(|(ip, _)| ip.is_fragment())?;
        let (src, dst, proto) = (ip.source.get(), ip.destination.get(), ip.protocol);
        let datagram = Key::ip4(src, dst, ip.id.get(), proto);
        if !ip.first_fragment() {
            return Some(Piece { datagram, flow: None });
        }
        let (sport, dport) = ports(proto, packet.get(ip.header_len()..)?)?;
        Some(Piece { datagram, flow: Some(FlowKey4 { src, dst, sport, dport, proto }) })
    }

    fn quoted_words(packet: &[u8]) -> Option<[u64; 2]> {
        let quote = Inner4::read(packet).ok()?;
        has_flow(quote.ports, quote.key.proto).then(|| quote.key.reverse().words())
    }

    #[inline(always)]
    fn class([_, class]: &[u8; 2]) -> u8 {
        *class
    }

    fn refuse(packet: &mut Packet<'_>, room: u16) -> bool {
        let refused = Ip4Header::ref_from_prefix(packet.data()).is_ok_and(|(ip, _)| ip.dont_fragment());
        if refused {
            nodes::ip4::icmp_error::request(packet, icmp4::Problem::FragmentationNeeded { mtu: room });
        }
        refused
    }

    fn expires(packet: &mut Packet<'_>) -> bool {
        let expires = Ip4Header::ref_from_prefix(packet.data()).is_ok_and(|(ip, _)| ip.ttl <= 1);
        if expires {
            nodes::ip4::icmp_error::request(packet, icmp4::Problem::TimeExceeded);
        }
        expires
    }

    fn is_ours(tables: &Tables, packet: &[u8]) -> bool {
        <Ipv4Addr as nodes::ip::Ip>::destination(packet).is_some_and(|to| tables.own4.contains(to.into()))
    }
}

/// The bytes of a packet as [`Inner::usual`] wants it.
#[inline(always)]
fn usual4(packet: &[u8]) -> Option<&[u8; 34]> {
    let head = packet.first_chunk::<34>()?;
    let ([first, ..], _) = head.as_chunks::<8>() else { return None };
    (u64::from_le_bytes(*first) & FIRST_MASK == FIRST && is_under_way(head[9], head[33])).then_some(head)
}

/// The same of IPv6.
#[inline(always)]
fn usual6(packet: &[u8]) -> Option<&[u8; 54]> {
    let head = packet.first_chunk::<54>()?;
    is_under_way(head[6], head[53]).then_some(head)
}

/// What counts of a header's first eight bytes: version and length, "more fragments", and the offset.
const FIRST_MASK: u64 = u64::from_le_bytes([0xff, 0, 0, 0, 0, 0, 0x3f, 0xff]);
/// Version 4, 20 bytes, not a fragment.
const FIRST: u64 = 0x45;

/// TCP's FIN, SYN and RST: packets that say something about a connection.
const CONTROL: u8 = 0b111;
const SYN: u8 = 0b010;

/// Whether a packet says nothing of a connection's begin or end: UDP, or TCP with such flags.
#[inline(always)]
fn is_under_way(protocol: u8, flags: u8) -> bool {
    match protocol {
        protocol::UDP => true,
        protocol::TCP => flags & CONTROL == 0,
        _ => false,
    }
}

/// The ports of a first fragment, as a flow's key has them; `None`: they are not in it (RFC 7112 forbids that).
fn ports(protocol: u8, transport: &[u8]) -> Option<(u16, u16)> {
    let word = |at: usize| Some(u16::from_be_bytes(*transport.get(at..)?.first_chunk()?));
    match protocol {
        protocol::TCP | protocol::UDP => Some((word(0)?, word(2)?)),
        protocol::ICMP | protocol::ICMP6 => {
            let kind = *transport.first()?;
            let echo = if protocol == protocol::ICMP {
                matches!(kind, icmp4::ECHO_REQUEST | icmp4::ECHO_REPLY)
            } else {
                matches!(kind, icmp6::ECHO_REQUEST | icmp6::ECHO_REPLY)
            };
            let id = if echo { word(4)? } else { 0 };
            Some((id, id))
        }
        _ => Some((0, 0)),
    }
}

/// Whether a quoted packet's flow is known: of TCP and UDP the ports must be in the quote.
fn has_flow(ports: bool, number: u8) -> bool {
    ports || !matches!(number, protocol::TCP | protocol::UDP)
}

impl NoFlow {
    /// Why a packet with a flow is none of the common ones, if it is not.
    fn of_transport(protocol: u8, transport: &[u8], echo: u8) -> Option<NoFlow> {
        match (protocol, transport) {
            (protocol::TCP, [_, _, _, _, _, _, _, _, _, _, _, _, _, flags, ..]) if flags & CONTROL != 0 => {
                Some(if flags & CONTROL == SYN { NoFlow::Syn } else { NoFlow::End })
            }
            (protocol::ICMP | protocol::ICMP6, [kind, ..]) if *kind == echo => Some(NoFlow::Echo),
            _ => None,
        }
    }
}

/// IPv6.
pub(super) struct V6;

impl Inner for V6 {
    type Words = [u64; 5];
    type Flow = FlowKey6;
    const FAMILY: Family = Family::Ip6;
    const HEADERS: u16 = 60;
    const ECHO: u8 = icmp6::ECHO_REQUEST;
    const PROTOCOL: u8 = protocol::IPV6;
    const ICMP_ERROR: Next = Next::IcmpError6;
    const ICMP: Next = Next::Icmp6;
    const RECEIVE: Next = Next::Receive6;

    #[inline(always)]
    fn usual(packet: &[u8]) -> Option<[u64; 5]> {
        let head = usual6(packet)?;
        let ([s0, s1, d0, d1], ports) = head[8..44].as_chunks::<8>() else { return None };
        let ([ports], _) = ports.as_chunks::<4>() else { return None };
        let ports = u64::from(head[6]) << 32 | u64::from(u32::from_be_bytes(*ports));
        let [s0, s1, d0, d1] = [*s0, *s1, *d0, *d1].map(u64::from_be_bytes);
        Some([s0, s1, d0, d1, ports])
    }

    #[inline(always)]
    fn usual_bytes(packet: &[u8]) -> Option<Bytes6> {
        let head = usual6(packet)?;
        let ([source, destination], ports) = head[8..44].as_chunks() else { return None };
        Some(Bytes6::of_packet(*source, *destination, head[6], *ports.first_chunk()?))
    }

    #[inline(never)]
    fn unusual(packet: &[u8]) -> Result<[u64; 5], NoFlow> {
        let key = FlowKey6::read(packet)?;
        let upper = ip6_ext::walk(packet).map_or(usize::MAX, |upper| upper.offset);
        let transport = packet.get(upper..).unwrap_or_default();
        match NoFlow::of_transport(key.proto, transport, icmp6::ECHO_REQUEST) {
            Some(why) => Err(why),
            None if key.proto == protocol::ICMP6 && Inner6::read(packet).is_ok() => Err(NoFlow::Quote),
            None => Ok(key.words()),
        }
    }

    fn all_words(packet: &[u8]) -> Result<[u64; 5], NoFlow> {
        Ok(FlowKey6::read(packet)?.words())
    }

    fn words_of(flow: &FlowKey6) -> [u64; 5] {
        flow.words()
    }

    fn transport(packet: &[u8]) -> Option<usize> {
        Some(ip6_ext::walk(packet).ok()?.offset)
    }

    fn piece(packet: &[u8]) -> Option<Piece<FlowKey6>> {
        let upper = ip6_ext::walk(packet).ok()?;
        let (ip, _) = Ip6Header::ref_from_prefix(packet).ok()?;
        let piece = upper.piece.filter(|piece| !piece.is_atomic())?;
        let (src, dst, proto) = (ip.source, ip.destination, upper.protocol);
        let datagram = Key::ip6(src, dst, piece.id);
        if !upper.begins_here() {
            return Some(Piece { datagram, flow: None });
        }
        let (sport, dport) = ports(proto, packet.get(upper.offset..)?)?;
        Some(Piece { datagram, flow: Some(FlowKey6 { src, dst, sport, dport, proto }) })
    }

    fn quoted_words(packet: &[u8]) -> Option<[u64; 5]> {
        let quote = Inner6::read(packet).ok()?;
        has_flow(quote.ports, quote.key.proto).then(|| quote.key.reverse().words())
    }

    #[inline(always)]
    fn class([first, second]: &[u8; 2]) -> u8 {
        first << 4 | second >> 4
    }

    /// RFC 8200 section 5: only the sender cuts, and packets of 1280 bytes must be carried.
    fn refuse(packet: &mut Packet<'_>, room: u16) -> bool {
        let refused = super::longest(packet) > MIN_MTU6;
        if refused {
            let mtu = u32::from(room).max(MIN_MTU6 as u32);
            nodes::ip6::icmp_error::request(packet, icmp6::Problem::TooBig { mtu });
        }
        refused
    }

    fn expires(packet: &mut Packet<'_>) -> bool {
        let expires = Ip6Header::ref_from_prefix(packet.data()).is_ok_and(|(ip, _)| ip.hop_limit <= 1);
        if expires {
            nodes::ip6::icmp_error::request(packet, icmp6::Problem::TimeExceeded);
        }
        expires
    }

    fn is_ours(tables: &Tables, packet: &[u8]) -> bool {
        <Ipv6Addr as nodes::ip::Ip>::destination(packet).is_some_and(|to| tables.own6.contains(to))
    }
}

/// RFC 8200 section 5: every link carries packets of this length.
const MIN_MTU6: usize = 1280;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_bytes::FlowBytes;
    use crate::flow_table::{FlowHash, FlowTable, HashKeys};
    use crate::slot_hash::KeyMask;

    /// The short way to a key gives what the long one gives, whatever the bytes are.
    #[test]
    fn both_ways_to_a_key_agree() {
        let mut bytes = [7; 40];
        bytes[..24].copy_from_slice(&[
            0x45, 0, 0, 28, 1, 2, 0x40, 0, 64, 6, 3, 4, 10, 0, 1, 2, 90, 0, 0, 1, 0x12, 0x34, 0, 80,
        ]);
        bytes[33] = 0x18;
        let mut seen = 0;
        for (at, value) in (0..12).flat_map(|at| (0..=255).map(move |value| (at, value))) {
            let before = std::mem::replace(&mut bytes[at], value);
            for len in [19, 23, 24, 33, 34, 40] {
                let (short, long) = (V4::words(&bytes[..len]), FlowKey4::read(&bytes[..len]));
                if !matches!(short, Err(NoFlow::Echo | NoFlow::Syn | NoFlow::End)) {
                    assert_eq!(short.as_ref().ok(), long.as_ref().map(FlowKey4::words).as_ref().ok(), "{bytes:x?}");
                }
                seen += u32::from(short.is_ok());
                if let Some(usual) = V4::usual_bytes(&bytes[..len]) {
                    assert_eq!(hashes(usual), hashes(short.unwrap().bytes()), "{bytes:x?}");
                }
            }
            bytes[at] = before;
        }
        assert!(seen > 1000);
    }

    #[test]
    fn both_ways_to_a_key_of_ip6_agree() {
        let mut bytes: Vec<u8> = (0..60).collect();
        (bytes[0], bytes[4], bytes[5], bytes[53]) = (0x60, 0, 20, 0x10);
        let mut seen = 0;
        for value in 0..=255 {
            bytes[6] = value;
            for len in [39, 43, 44, 60] {
                let (short, long) = (V6::words(&bytes[..len]), FlowKey6::read(&bytes[..len]));
                assert_eq!(short.as_ref().ok(), long.as_ref().map(FlowKey6::words).as_ref().ok(), "{bytes:x?}");
                seen += u32::from(short.is_ok());
                if let Some(usual) = V6::usual_bytes(&bytes[..len]) {
                    assert_eq!(hashes(usual), hashes(short.unwrap().bytes()), "{bytes:x?}");
                }
            }
        }
        assert!(seen > 100);
    }

    /// The hashes of a flow, by all that counts of it and by its source.
    fn hashes(bytes: impl FlowBytes) -> [FlowHash; 2] {
        let table = FlowTable::with_buckets(1, 40, HashKeys::from_words([1, 2, 3, 4])).unwrap();
        [KeyMask::Flow, KeyMask::Source]
            .map(|mask| table.hash_by(&table.keys_towards(table.keys_of(mask, 5), bytes), bytes))
    }

    #[test]
    fn packets_that_begin_and_end_connections_are_told_apart() {
        for (flags, why) in [
            (0x02, Some(NoFlow::Syn)),
            (0x12, Some(NoFlow::Syn)),
            (0xc2, Some(NoFlow::Syn)),
            (0x01, Some(NoFlow::End)),
            (0x11, Some(NoFlow::End)),
            (0x04, Some(NoFlow::End)),
            (0x03, Some(NoFlow::End)),
            (0x10, None),
            (0x18, None),
            (0, None),
        ] {
            // With 0 to 4 bytes of options.
            for options in [0, 4] {
                let mut four = vec![0u8; 40 + options];
                (four[0], four[9], four[33 + options]) = (0x45 + options as u8 / 4, 6, flags);
                assert_eq!(V4::words(&four).err(), why, "{flags:x}");
                four[9] = 17;
                assert!(V4::words(&four).is_ok(), "UDP has no flags");
            }
            let mut six = [0u8; 60];
            (six[0], six[6], six[53]) = (0x60, 6, flags);
            assert_eq!(V6::words(&six).err(), why, "{flags:x}");
        }
    }

    #[test]
    fn echo_requests_are_told_apart() {
        let mut four = [0x45, 0, 0, 28, 1, 2, 0x40, 0, 64, 1, 3, 4, 10, 0, 1, 2, 90, 0, 0, 1, 8, 0, 0, 0, 0, 7, 0, 1];
        assert_eq!(V4::words(&four), Err(NoFlow::Echo));
        assert!(V4::all_words(&four).is_ok());
        four[20] = 0;
        assert!(V4::words(&four).is_ok(), "a reply");
        let mut six = [0u8; 48];
        (six[0], six[5], six[6], six[40]) = (0x60, 8, 58, 128);
        assert_eq!(V6::words(&six), Err(NoFlow::Echo));
        six[40] = 129;
        assert!(V6::words(&six).is_ok());
    }
}
