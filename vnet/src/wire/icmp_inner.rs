//! What an ICMP or ICMPv6 error is about: the packet that it quotes, whose sender gets the error (RFC 792, RFC 4443).
//!
//! A quote ends anywhere, eight bytes after its IP header at the earliest (RFC 792; RFC 1812 section 4.3.2.3 and RFC 4443
//! section 2.4 (c) ask for more), so nothing beyond the ports is taken for granted. Redirects and source quenches are for
//! hosts on the link and for nobody: they are no errors here.
//!
//! [`Rewrite`] is for those who translate addresses: what they changed in a packet must be changed in the quote, too.

mod rewrite;

use super::flow::FlowKey4;
use super::flow6::FlowKey6;
use super::icmp4::{self, Icmp4Header};
use super::icmp6::{self, Icmp6Header};
use super::ip4::{Ip4Header, protocol};
use super::ip6::Ip6Header;
use super::ip6_ext::{self, ChainError};
pub use rewrite::{Ends, Rewrite, Rewrite4, Rewrite6};

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Kind {
    /// The packet cannot get there: with a code such as [`icmp4::PORT`] or [`icmp6::PORT`].
    Unreachable(u8),
    /// The packet was too long on its way.
    TooBig {
        /// What would fit, in bytes, as the error says: 0 from routers older than RFC 1191, and anything from liars.
        mtu: u32,
    },
    /// The packet has used up its hops (code 0), or pieces were missing when their time was up (1).
    TimeExceeded(u8),
    /// Something in the packet's headers.
    ParameterProblem {
        /// The code.
        code: u8,
        /// At which byte of the packet.
        pointer: u32,
    },
}

/// An error, and the packet it is about. Places are counted from the first byte of the error's own IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner<Key> {
    /// What it says.
    pub kind: Kind,
    /// Where the ICMP header begins.
    pub icmp: usize,
    /// Where the error ends, by its own IP header; more than is at hand where the packet is a chain.
    pub end: usize,
    /// Where the quoted IP header begins.
    pub at: usize,
    /// Where what it carries begins, behind options or extension headers.
    pub upper: usize,
    /// The quoted packet's flow, as its sender sent it: the error goes the way of `key.reverse()`. Its ports are 0 without
    /// [`ports`](Self::ports).
    pub key: Key,
    /// The key has the ports (or the identifier of an echo). Not so for other protocols, and for fragments but the first.
    pub ports: bool,
    /// The quoted packet is a fragment, the first included.
    pub fragment: bool,
}

/// What an ICMP error is about.
pub type Inner4 = Inner<FlowKey4>;
/// What an ICMPv6 error is about.
pub type Inner6 = Inner<FlowKey6>;

/// Why there is nothing to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InnerError {
    /// Another protocol, an echo, a redirect: nothing that quotes a packet for its sender.
    #[error("no ICMP error")]
    NoError,
    /// The error came in pieces.
    #[error("fragment")]
    Fragment,
    /// It ends before the quoted packet's ports.
    #[error("quoted packet cut short")]
    Short,
    /// What is quoted has not this version, or a header that cannot be.
    #[error("quoted packet broken")]
    Broken,
    /// Extension headers cannot be gone through.
    #[error("{0}")]
    Chain(ChainError),
}

impl From<super::Short> for InnerError {
    fn from(_: super::Short) -> Self {
        Self::Short
    }
}

impl From<ChainError> for InnerError {
    fn from(error: ChainError) -> Self {
        if error == ChainError::Short { Self::Short } else { Self::Chain(error) }
    }
}

impl Inner<FlowKey4> {
    /// Reads the ICMP error that begins with its IPv4 header. What was quoted may have been sent with any checksums.
    ///
    /// # Errors
    /// See [`InnerError`].
    pub fn read(packet: &[u8]) -> Result<Self, InnerError> {
        let (ip, _) = Ip4Header::ref_from_prefix(packet)?;
        let (icmp, end) = (ip.header_len(), usize::from(ip.total_len.get()));
        if ip.protocol != protocol::ICMP {
            return Err(InnerError::NoError);
        }
        if ip.is_fragment() {
            return Err(InnerError::Fragment);
        }
        if icmp < Ip4Header::LEN {
            return Err(InnerError::Broken);
        }
        let packet = &packet[..end.min(packet.len())];
        let (header, quote) = Icmp4Header::ref_from_prefix(packet.get(icmp..).unwrap_or_default())?;
        let code = header.code;
        let kind = match header.kind {
            icmp4::UNREACHABLE if code == icmp4::FRAGMENTATION_NEEDED => {
                Kind::TooBig { mtu: u32::from(header.sequence.get()) }
            }
            icmp4::UNREACHABLE => Kind::Unreachable(code),
            icmp4::TIME_EXCEEDED => Kind::TimeExceeded(code),
            icmp4::PARAMETER_PROBLEM => Kind::ParameterProblem { code, pointer: u32::from(header.id.get() >> 8) },
            _ => return Err(InnerError::NoError),
        };
        let at = icmp + Icmp4Header::LEN;
        let (inner, _) = Ip4Header::ref_from_prefix(quote)?;
        if inner.version() != 4 || inner.header_len() < Ip4Header::LEN {
            return Err(InnerError::Broken);
        }
        let upper = at + inner.header_len();
        if upper > packet.len() {
            return Err(InnerError::Short);
        }
        let ports = match inner.protocol {
            _ if !inner.first_fragment() => None,
            protocol::TCP | protocol::UDP => Some(word(packet, upper)?),
            protocol::ICMP => echo(packet, upper, [icmp4::ECHO_REQUEST, icmp4::ECHO_REPLY])?,
            _ => None,
        };
        let (sport, dport) = halves(ports);
        let (src, dst, proto) = (inner.source.get(), inner.destination.get(), inner.protocol);
        let key = FlowKey4 { src, dst, sport, dport, proto };
        Ok(Inner { kind, icmp, end, at, upper, key, ports: ports.is_some(), fragment: inner.is_fragment() })
    }

    /// Whether the error's checksum is right; `false` also where not all of it is at hand.
    pub fn checksum_ok(&self, packet: &[u8]) -> bool {
        packet.get(self.icmp..self.end).is_some_and(icmp4::checksum_ok)
    }
}

impl Inner<FlowKey6> {
    /// Reads the ICMPv6 error that begins with its IPv6 header.
    ///
    /// # Errors
    /// See [`InnerError`].
    pub fn read(packet: &[u8]) -> Result<Self, InnerError> {
        let (ip, _) = Ip6Header::ref_from_prefix(packet)?;
        let end = Ip6Header::LEN + usize::from(ip.payload_len.get());
        let packet = &packet[..end.min(packet.len())];
        let outer = ip6_ext::walk(packet)?;
        if outer.protocol != protocol::ICMP6 {
            return Err(InnerError::NoError);
        }
        if outer.piece.is_some_and(|piece| !piece.is_atomic()) {
            return Err(InnerError::Fragment);
        }
        let icmp = outer.offset;
        let (header, quote) = Icmp6Header::ref_from_prefix(packet.get(icmp..).unwrap_or_default())?;
        let (code, word_of) = (header.code, header.word.get());
        let kind = match header.kind {
            icmp6::UNREACHABLE => Kind::Unreachable(code),
            icmp6::TOO_BIG => Kind::TooBig { mtu: word_of },
            icmp6::TIME_EXCEEDED => Kind::TimeExceeded(code),
            icmp6::PARAMETER_PROBLEM => Kind::ParameterProblem { code, pointer: word_of },
            _ => return Err(InnerError::NoError),
        };
        let at = icmp + Icmp6Header::LEN;
        let (inner, _) = Ip6Header::ref_from_prefix(quote)?;
        if inner.version() != 6 {
            return Err(InnerError::Broken);
        }
        let walked = ip6_ext::walk(quote)?;
        let upper = at + walked.offset;
        let ports = match walked.protocol {
            _ if !walked.begins_here() => None,
            protocol::TCP | protocol::UDP => Some(word(packet, upper)?),
            protocol::ICMP6 => echo(packet, upper, [icmp6::ECHO_REQUEST, icmp6::ECHO_REPLY])?,
            _ => None,
        };
        let (sport, dport) = halves(ports);
        let key = FlowKey6 { src: inner.source, dst: inner.destination, sport, dport, proto: walked.protocol };
        let fragment = walked.piece.is_some_and(|piece| !piece.is_atomic());
        Ok(Inner { kind, icmp, end, at, upper, key, ports: ports.is_some(), fragment })
    }

    /// Whether the error's checksum is right; `false` also where not all of it is at hand.
    pub fn checksum_ok(&self, packet: &[u8]) -> bool {
        let Ok((ip, _)) = Ip6Header::ref_from_prefix(packet) else { return false };
        packet.get(self.icmp..self.end).is_some_and(|message| icmp6::checksum_ok(ip, message))
    }
}

fn word(packet: &[u8], at: usize) -> Result<u32, InnerError> {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(InnerError::Short)?;
    Ok(u32::from_be_bytes(*bytes))
}

/// The identifier of an echo, twice; `None` for what is no echo.
fn echo(packet: &[u8], at: usize, kinds: [u8; 2]) -> Result<Option<u32>, InnerError> {
    if !kinds.contains(&((word(packet, at)? >> 24) as u8)) {
        return Ok(None);
    }
    let id = word(packet, at + 4)? >> 16;
    Ok(Some(id << 16 | id))
}

fn halves(ports: Option<u32>) -> (u16, u16) {
    ports.map_or((0, 0), |ports| ((ports >> 16) as u16, ports as u16))
}

#[cfg(test)]
#[path = "tests/icmp_inner.rs"]
mod tests;
