//! Packets for our own addresses that come in pieces: putting them together, of either family.
//!
//! The nodes are [`node`] and [`expired`]; what they keep is [`places`] of [`datagram`]s.

mod datagram;
mod expired;
mod node;
mod places;

use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;
use vnet::wire::icmp6::Problem;
use vnet::wire::ip4::{Ip4Header, protocol, write_checksum};
use vnet::wire::ip6_ext::{self, FragmentHeader};
use vnet::wire::{Ip6Header, icmp4, icmp6};
use vnet::{Builder, Packet};

use crate::ip::Ip;
use crate::{ip4, ip6};
use datagram::{Added, Key};
use places::Places;

pub(crate) fn register(builder: &mut Builder) {
    family::<Ipv4Addr>(builder);
    family::<Ipv6Addr>(builder);
}

fn family<A: Pieces>(builder: &mut Builder) {
    builder.local(|_| Places::<A>::default());
    builder.node(node::spec::<A>());
    for node in expired::nodes::<A>() {
        builder.node(node);
    }
}

/// What a piece says of itself.
struct Piece<A> {
    key: Key<A>,
    /// Where its payload begins.
    header_len: usize,
    /// Where its payload belongs, in bytes.
    offset: usize,
    /// Whether others follow it.
    more: bool,
}

/// The headers of a packet that was put together.
type Headers = SmallVec<[u8; 64]>;

/// A family's pieces.
trait Pieces: Ip {
    /// The node that puts them together.
    const NODE: &'static str;
    /// The one that gives up what does not come.
    const WALK: &'static str;
    /// Bytes of a packet that a message about it quotes at most.
    const MAX_QUOTE: usize;

    /// What the piece says that begins here with its IP header; `None`: it is cut short, or none.
    fn piece(packet: &[u8]) -> Option<Piece<Self>>;
    /// The longest payload that the pieces behind a header of so many bytes can have together.
    fn longest(header_len: usize) -> usize;
    /// The congestion notification of a header.
    fn ecn(header: &[u8]) -> u8;
    /// The headers in front of this payload, from those of the first piece, which has met congestion or not; `None`: such a
    /// packet is not taken in pieces.
    fn whole(header: &[u8], payload: &[u8], congested: bool) -> Option<Headers>;
    /// Leaves word for the sender of a first piece that others are missing.
    fn missing(packet: &mut Packet<'_>);
    /// Leaves word for the sender of a piece that cannot be; `false`: nobody is told.
    fn object(packet: &mut Packet<'_>, added: Added) -> bool;
}

impl Pieces for Ipv4Addr {
    const NODE: &'static str = "ip4-full-reassembly";
    const WALK: &'static str = "ip4-full-reassembly-expire-walk";
    const MAX_QUOTE: usize = icmp4::MAX_QUOTE;

    fn piece(packet: &[u8]) -> Option<Piece<Self>> {
        let (ip, _) = Ip4Header::ref_from_prefix(packet).ok()?;
        let (source, destination) = (ip.source_address(), ip.destination_address());
        let key = Key { source, destination, id: ip.id.get().into(), protocol: ip.protocol };
        Some(Piece { key, header_len: ip.header_len(), offset: ip.fragment_offset(), more: ip.more_fragments() })
    }

    fn longest(header_len: usize) -> usize {
        usize::from(u16::MAX) - header_len.max(Ip4Header::LEN)
    }

    fn ecn(header: &[u8]) -> u8 {
        header.get(1).map_or(0, |class| class & 3)
    }

    fn whole(header: &[u8], payload: &[u8], congested: bool) -> Option<Headers> {
        let mut headers = Headers::from_slice(header);
        let (ip, _) = Ip4Header::mut_from_prefix(&mut headers).ok()?;
        ip.tos |= if congested { 3 } else { 0 };
        ip.total_len.set((header.len() + payload.len()) as u16);
        ip.flags_offset.set(0);
        write_checksum(&mut headers).ok()?;
        Some(headers)
    }

    fn missing(packet: &mut Packet<'_>) {
        ip4::icmp_error::request(packet, icmp4::Problem::ReassemblyTimeExceeded);
    }

    fn object(_: &mut Packet<'_>, _: Added) -> bool {
        false
    }
}

impl Pieces for Ipv6Addr {
    const NODE: &'static str = "ip6-full-reassembly";
    const WALK: &'static str = "ip6-full-reassembly-expire-walk";
    const MAX_QUOTE: usize = icmp6::MAX_QUOTE;

    fn piece(packet: &[u8]) -> Option<Piece<Self>> {
        let (ip, _) = Ip6Header::ref_from_prefix(packet).ok()?;
        let piece = ip6_ext::walk(packet).ok()?.piece?;
        let (source, destination) = (ip.source_address(), ip.destination_address());
        let key = Key { source, destination, id: piece.id, protocol: 0 };
        let header_len = piece.at + FragmentHeader::LEN;
        Some(Piece { key, header_len, offset: piece.offset, more: piece.more })
    }

    /// The extension headers that every piece has are part of the whole packet's length, the fragment header is not.
    fn longest(header_len: usize) -> usize {
        (usize::from(u16::MAX) + Ip6Header::LEN + FragmentHeader::LEN).saturating_sub(header_len)
    }

    fn ecn(header: &[u8]) -> u8 {
        header.get(1).map_or(0, |class| class >> 4 & 3)
    }

    fn whole(header: &[u8], payload: &[u8], congested: bool) -> Option<Headers> {
        let end = header.len().checked_sub(FragmentHeader::LEN)?;
        let number = *header.get(end)?;
        // RFC 6980 section 5: a neighbour's message in pieces would pass those who look for forged ones.
        if number == protocol::ICMP6 && payload.first().is_some_and(|kind| NEIGHBOURS.contains(kind)) {
            return None;
        }
        let named_at = ip6_ext::named_at(header, end)?;
        let mut headers = Headers::from_slice(&header[..end]);
        headers[named_at] = number;
        headers[1] |= if congested { 0x30 } else { 0 };
        let (ip, _) = Ip6Header::mut_from_prefix(&mut headers).ok()?;
        ip.payload_len.set((end - Ip6Header::LEN + payload.len()) as u16);
        Some(headers)
    }

    fn missing(packet: &mut Packet<'_>) {
        ip6::icmp_error::request(packet, Problem::ReassemblyTimeExceeded);
    }

    /// RFC 8200 section 4.5: the pointer is to the payload length, or to the offset.
    fn object(packet: &mut Packet<'_>, added: Added) -> bool {
        let at = Self::piece(packet.data()).map_or(0, |piece| piece.header_len - FragmentHeader::LEN);
        let pointer = match added {
            Added::Odd => 4,
            Added::TooFar => at as u32 + 2,
            _ => return false,
        };
        ip6::icmp_error::request(packet, Problem::Parameter { code: icmp6::BAD_FIELD, pointer });
        true
    }
}

/// The messages of neighbour discovery.
const NEIGHBOURS: std::ops::RangeInclusive<u8> = icmp6::ROUTER_SOLICITATION..=icmp6::REDIRECT;

#[cfg(test)]
mod tests;
