//! ICMP for IPv6 (RFC 4443): echo, and the errors that a router sends.

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Short;
use super::checksum::{self, finish, fold};
use super::ip4::protocol;
use super::ip6::Ip6Header;
use super::ip6_ext;

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: packet too big.
pub const TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Type: router solicitation (RFC 4861 section 4.1).
pub const ROUTER_SOLICITATION: u8 = 133;
/// Type: router advertisement (RFC 4861 section 4.2).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Type: neighbour solicitation (RFC 4861 section 4.3).
pub const NEIGHBOR_SOLICITATION: u8 = 135;
/// Type: neighbour advertisement (RFC 4861 section 4.4).
pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// Type: redirect (RFC 4861 section 4.5).
pub const REDIRECT: u8 = 137;

/// Code of [`UNREACHABLE`]: no route.
pub const NO_ROUTE: u8 = 0;
/// Code of [`UNREACHABLE`]: forbidden by an administrator.
pub const PROHIBITED: u8 = 1;
/// Code of [`UNREACHABLE`]: beyond the scope of the source address.
pub const SCOPE: u8 = 2;
/// Code of [`UNREACHABLE`]: the host does not answer.
pub const ADDRESS: u8 = 3;
/// Code of [`UNREACHABLE`]: nothing here listens on the port.
pub const PORT: u8 = 4;
/// Code of [`TIME_EXCEEDED`]: pieces are missing; 0 speaks of hops.
pub const REASSEMBLY: u8 = 1;
/// Code of [`PARAMETER_PROBLEM`]: a field cannot be so.
pub const BAD_FIELD: u8 = 0;
/// Code of [`PARAMETER_PROBLEM`]: nothing here speaks that protocol.
pub const UNKNOWN_NEXT_HEADER: u8 = 1;
/// Code of [`PARAMETER_PROBLEM`]: an option that asks for this answer.
pub const UNKNOWN_OPTION: u8 = 2;

/// The smallest MTU of a link (RFC 8200 section 5): an error message is no longer than this (RFC 4443 section 2.4).
pub const MIN_MTU: usize = 1280;
/// Bytes of a packet that an error message quotes at most.
pub const MAX_QUOTE: usize = MIN_MTU - Ip6Header::LEN - Icmp6Header::LEN;

/// The first 8 bytes of an ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmp6Header {
    /// The type.
    pub kind: u8,
    /// The code, within the type.
    pub code: u8,
    /// Checksum of the pseudo-header and the whole message.
    pub checksum: U16,
    /// What depends on the type: identifier and sequence number of an echo, the MTU of a packet too big, the pointer of a
    /// parameter problem.
    pub word: U32,
}
header!(Icmp6Header);

impl Icmp6Header {
    /// Offset of the checksum.
    pub const CHECKSUM_OFFSET: usize = 2;

    /// A header, with no checksum yet.
    #[inline]
    pub fn new(kind: u8, code: u8, word: u32) -> Self {
        Self { kind, code, checksum: U16::new(0), word: U32::new(word) }
    }

    /// Whether the message asks for an echo.
    #[inline(always)]
    pub fn is_echo_request(&self) -> bool {
        self.kind == ECHO_REQUEST && self.code == 0
    }

    /// Turns a request into the reply and amends the checksum. That the addresses of the pseudo-header change places does
    /// not change its sum.
    #[inline]
    pub fn into_reply(&mut self) {
        let word = |kind: u8, code: u8| u16::from_be_bytes([kind, code]);
        self.checksum.set(checksum::update16(self.checksum.get(), word(self.kind, self.code), word(ECHO_REPLY, 0)));
        (self.kind, self.code) = (ECHO_REPLY, 0);
    }
}

/// An echo request or reply, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Request or reply.
    pub request: bool,
    /// Says whose echo it is.
    pub id: u16,
    /// Counts the echoes.
    pub sequence: u16,
}

impl Echo {
    /// Writes the whole packet, IPv6 header first, into `out`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Short`] if `out` is too short, or the payload would be longer than 65535 bytes.
    pub fn emit(
        self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Short> {
        let kind = if self.request { ECHO_REQUEST } else { ECHO_REPLY };
        let header = Icmp6Header::new(kind, 0, u32::from(self.id) << 16 | u32::from(self.sequence));
        packet(source, destination, hop_limit, header, payload, out)
    }
}

/// An error that a router reports to a packet's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The packet has used up its hops.
    TimeExceeded,
    /// Pieces of the packet were missing when their time was up.
    ReassemblyTimeExceeded,
    /// The packet cannot get there: a code such as [`ADDRESS`].
    Unreachable(u8),
    /// The packet is longer than `mtu` bytes, and only its sender may fragment it.
    TooBig {
        /// What would fit, in bytes.
        mtu: u32,
    },
    /// Something in the packet cannot be dealt with: a code such as [`UNKNOWN_NEXT_HEADER`].
    Parameter {
        /// The code.
        code: u8,
        /// At which byte of the packet.
        pointer: u32,
    },
}

impl Problem {
    /// The header of the message, with no checksum yet.
    pub fn header(self) -> Icmp6Header {
        match self {
            Self::TimeExceeded => Icmp6Header::new(TIME_EXCEEDED, 0, 0),
            Self::ReassemblyTimeExceeded => Icmp6Header::new(TIME_EXCEEDED, REASSEMBLY, 0),
            Self::Unreachable(code) => Icmp6Header::new(UNREACHABLE, code, 0),
            Self::TooBig { mtu } => Icmp6Header::new(TOO_BIG, 0, mtu),
            Self::Parameter { code, pointer } => Icmp6Header::new(PARAMETER_PROBLEM, code, pointer),
        }
    }

    /// Writes the whole packet, IPv6 header first, into `out`; returns its length in bytes. `original` is the packet it is
    /// about, as it came; as much of it is quoted as fits into [`MIN_MTU`] bytes. Ask [`may_report`] first.
    ///
    /// # Errors
    /// [`Short`] if `out` has fewer than [`MIN_MTU`] bytes and the message needs them.
    pub fn emit(
        self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hop_limit: u8,
        original: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Short> {
        let quote = &original[..original.len().min(MAX_QUOTE)];
        packet(source, destination, hop_limit, self.header(), quote, out)
    }

    /// Whether it is reported even of packets to groups (RFC 4443 section 2.4 (e.3)).
    fn is_for_groups(self) -> bool {
        matches!(self, Self::TooBig { .. } | Self::Parameter { code: UNKNOWN_OPTION, .. })
    }
}

fn packet(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    mut icmp: Icmp6Header,
    payload: &[u8],
    out: &mut [u8],
) -> Result<usize, Short> {
    let len = Icmp6Header::LEN + payload.len();
    if len > usize::from(u16::MAX) {
        return Err(Short);
    }
    let ip = Ip6Header::new(source, destination, protocol::ICMP6, len, hop_limit);
    let start = ip.pseudo_sum(protocol::ICMP6, len as u32);
    icmp.checksum.set(finish(checksum::sum(payload, checksum::sum(icmp.as_bytes(), start))));
    let rest = icmp.emit(ip.emit(out)?)?;
    rest.get_mut(..payload.len()).ok_or(Short)?.copy_from_slice(payload);
    Ok(Ip6Header::LEN + len)
}

/// Whether an error about this packet may be sent at all (RFC 4443 section 2.4 (e)): not about an ICMPv6 error or a
/// redirect, a packet from anything but one host, a fragment other than the first, or (with two exceptions) a packet to a
/// group. What was sent to the link's broadcast or a group of it is for the caller to know.
pub fn may_report(problem: Problem, packet: &[u8]) -> bool {
    let Ok((ip, _)) = Ip6Header::ref_from_prefix(packet) else {
        return false;
    };
    let (source, destination) = (ip.source_address(), ip.destination_address());
    if source.is_unspecified() || source.is_multicast() || source.is_loopback() {
        return false;
    }
    if destination.is_multicast() && !problem.is_for_groups() {
        return false;
    }
    // Without its type one cannot know that it is no error.
    let Ok(upper) = ip6_ext::walk(packet) else { return false };
    if upper.protocol != protocol::ICMP6 {
        return upper.begins_here();
    }
    upper.begins_here() && packet.get(upper.offset).is_some_and(|kind| !is_error(*kind) && *kind != REDIRECT)
}

/// Whether messages of this type report an error (RFC 4443 section 2.1).
#[inline]
pub fn is_error(kind: u8) -> bool {
    kind < 128
}

/// Whether the checksum of a whole message, from its type byte on, is right.
#[inline]
pub fn checksum_ok(ip: &Ip6Header, message: &[u8]) -> bool {
    fold(checksum::sum(message, ip.pseudo_sum(protocol::ICMP6, message.len() as u32))) == 0xffff
}

#[cfg(test)]
#[path = "tests/icmp6.rs"]
mod tests;
