//! IPv6 extension headers (RFC 8200 section 4): the walk from the IPv6 header to what the packet carries.
//!
//! The walk has two bounds, the bytes at hand and [`MOST`], so that no packet costs more than a few steps. A chain that
//! names itself again and again is thus found to be too long, and one that runs out of the packet to be cut short.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ip6::Ip6Header;

/// Next header: options for every hop; only ever the first.
pub const HOP_BY_HOP: u8 = 0;
/// Next header: addresses to visit.
pub const ROUTING: u8 = 43;
/// Next header: a piece of a packet.
pub const FRAGMENT: u8 = 44;
/// Next header: encrypted from here on (RFC 4303).
pub const ESP: u8 = 50;
/// Next header: authentication (RFC 4302).
pub const AUTHENTICATION: u8 = 51;
/// Next header: there is nothing more.
pub const NO_NEXT: u8 = 59;
/// Next header: options for the receiver.
pub const DESTINATION: u8 = 60;

/// Extension headers of one packet at most. RFC 8200 section 4.1 knows seven, one of them twice.
pub const MOST: usize = 8;

/// A fragment header: 8 bytes (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// What the fragmentable part begins with.
    pub next_header: u8,
    /// 0.
    pub reserved: u8,
    /// The offset in units of 8 bytes (13 bits), two bits of nothing, and whether more follow.
    pub offset_more: U16,
    /// Tells the fragments of one packet from those of another.
    pub id: U32,
}
header!(FragmentHeader);

impl FragmentHeader {
    /// Where the piece belongs in the fragmentable part, in bytes.
    #[inline]
    pub fn offset(&self) -> usize {
        usize::from(self.offset_more.get() & 0xfff8)
    }

    /// Whether more pieces follow.
    #[inline]
    pub fn more(&self) -> bool {
        self.offset_more.get() & 1 != 0
    }
}

/// A packet's place among the pieces of a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where the fragment header stands, in bytes from the IPv6 header's first.
    pub at: usize,
    /// Where the piece belongs in the fragmentable part, in bytes.
    pub offset: usize,
    /// Whether more pieces follow.
    pub more: bool,
    /// Tells the fragments of one packet from those of another.
    pub id: u32,
}

impl Piece {
    /// Whether it is all there is: a fragment header around a whole packet (RFC 6946).
    #[inline]
    pub fn is_atomic(self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// What the walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// What the packet carries, such as TCP; [`NO_NEXT`] or [`ESP`] where the chain ends otherwise.
    pub protocol: u8,
    /// Where that begins, in bytes from the IPv6 header's first. Of a piece that is not the first one, what begins there is
    /// the middle of something.
    pub offset: usize,
    /// Which byte names [`protocol`](Self::protocol): for errors that point to it (RFC 4443 section 3.4).
    pub named_at: usize,
    /// The packet is a piece of a larger one.
    pub piece: Option<Piece>,
    /// A routing header with addresses still to visit: where it stands. Type 0 is among them (RFC 5095 forbids it).
    pub routing: Option<usize>,
}

impl Upper {
    /// Whether the upper layer's header is in this packet.
    #[inline]
    pub fn begins_here(&self) -> bool {
        self.piece.is_none_or(|piece| piece.offset == 0)
    }
}

/// What is wrong with a chain of extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The next one runs out of the packet, or of its first buffer.
    #[error("extension header cut short")]
    Short,
    /// More than [`MOST`].
    #[error("too many extension headers")]
    TooMany,
    /// Hop-by-hop options, but not as the first.
    #[error("hop-by-hop options not first")]
    Misplaced,
}

/// Walks the extension headers of the packet that begins with an IPv6 header and has a payload of `packet.len() - 40`
/// bytes at least in `packet`.
///
/// # Errors
/// See [`ChainError`].
#[inline]
pub fn walk(packet: &[u8]) -> Result<Upper, ChainError> {
    let (header, _) = Ip6Header::ref_from_prefix(packet).map_err(|_| ChainError::Short)?;
    let start = Upper { protocol: header.next_header, offset: Ip6Header::LEN, named_at: 6, piece: None, routing: None };
    // The rule: no extension headers.
    if !is_extension(header.next_header) {
        return Ok(start);
    }
    walk_on(packet, start)
}

/// Whether the number is that of an extension header that [`walk`] goes through.
#[inline]
pub fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

#[cold]
fn walk_on(packet: &[u8], mut upper: Upper) -> Result<Upper, ChainError> {
    for number in 0..=MOST {
        if !is_extension(upper.protocol) {
            return Ok(upper);
        }
        if number == MOST {
            break;
        }
        if upper.protocol == HOP_BY_HOP && number > 0 {
            return Err(ChainError::Misplaced);
        }
        let at = upper.offset;
        let rest = packet.get(at..).unwrap_or_default();
        let [next, units, kind_free @ ..] = rest else { return Err(ChainError::Short) };
        let len = len_of(upper.protocol, *units);
        if rest.len() < len {
            return Err(ChainError::Short);
        }
        match upper.protocol {
            ROUTING if kind_free.get(1).is_some_and(|left| *left > 0) => upper.routing = Some(at),
            FRAGMENT => {
                let (fragment, _) = FragmentHeader::ref_from_prefix(rest).map_err(|_| ChainError::Short)?;
                upper.piece =
                    Some(Piece { at, offset: fragment.offset(), more: fragment.more(), id: fragment.id.get() });
            }
            _ => {}
        }
        (upper.protocol, upper.named_at, upper.offset) = (*next, at, at + len);
        if !upper.begins_here() {
            // What follows is not a header.
            return Ok(upper);
        }
    }
    Err(ChainError::TooMany)
}

/// Bytes of the extension header with this number whose second byte is `units`.
fn len_of(number: u8, units: u8) -> usize {
    match number {
        FRAGMENT => FragmentHeader::LEN,
        // RFC 4302 section 2.2: in 4-byte units, less two.
        AUTHENTICATION => (usize::from(units) + 2) * 4,
        _ => (usize::from(units) + 1) * 8,
    }
}

/// One of the extension headers.
struct Header {
    number: u8,
    at: usize,
    end: usize,
}

/// The extension headers of a packet, in order, as far as they are all there.
fn headers(packet: &[u8]) -> impl Iterator<Item = Header> {
    let mut next = packet.get(6).map(|number| (*number, Ip6Header::LEN));
    std::iter::from_fn(move || {
        let (number, at) = next.filter(|(number, _)| is_extension(*number))?;
        let &[following, units, ..] = packet.get(at..)? else { return None };
        let end = at + len_of(number, units);
        next = Some((following, end));
        (end <= packet.len()).then_some(Header { number, at, end })
    })
    .take(MOST)
}

/// Where the part of a packet ends that all its fragments have in front: the IPv6 header and what every router on the way
/// looks at, up to a routing header or else hop-by-hop options (RFC 8200 section 4.5). At least 40.
pub fn per_fragment_len(packet: &[u8]) -> usize {
    let routed = headers(packet).filter(|header| matches!(header.number, HOP_BY_HOP | ROUTING));
    routed.map(|header| header.end).last().unwrap_or(Ip6Header::LEN)
}

/// Which byte names what begins at `at`: an extension header, or what follows the last one.
pub fn named_at(packet: &[u8], at: usize) -> Option<usize> {
    if at == Ip6Header::LEN {
        return Some(6);
    }
    headers(packet).find(|header| header.end == at).map(|header| header.at)
}

#[cfg(test)]
#[path = "tests/ip6_ext.rs"]
mod tests;
