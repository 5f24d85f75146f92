//! Cutting a large segment into packets in software: where each piece's payload lies, and what its headers become.
//!
//! Pure: nothing here knows buffers. The caller, `ip4-gso-cut`, copies the headers and the payload of each [`Piece`],
//! sums the payload and has the headers completed.

use super::ip4::{self, Ip4Header, protocol};
use super::ip6::Ip6Header;
use super::ip6_ext;
use super::tcp::{TcpFlags, TcpHeader};
use super::udp::UdpHeader;
use super::{Short, checksum};

/// What a large segment is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One TCP segment over IPv4 that stands for several.
    Tcp4,
    /// UDP datagrams over IPv4 under one header; every piece becomes a datagram.
    Udp4,
    /// One TCP segment over IPv6 that stands for several.
    Tcp6,
    /// UDP datagrams over IPv6 under one header.
    Udp6,
}

impl Kind {
    /// Whether it is over TCP; otherwise it is over UDP.
    fn is_tcp(self) -> bool {
        matches!(self, Kind::Tcp4 | Kind::Tcp6)
    }

    /// Where the transport header begins behind an IP header that fits the kind: the family, whole, of that protocol.
    fn transport_at(self, packet: &[u8]) -> Result<usize, GsoError> {
        let number = if self.is_tcp() { protocol::TCP } else { protocol::UDP };
        let (at, fits) = match self {
            Kind::Tcp4 | Kind::Udp4 => {
                let (header, _) = Ip4Header::ref_from_prefix(packet)?;
                let sound = header.version() == 4 && header.header_len() >= Ip4Header::LEN && !header.is_fragment();
                (header.header_len(), sound && header.protocol == number)
            }
            Kind::Tcp6 | Kind::Udp6 => {
                let (header, _) = Ip6Header::ref_from_prefix(packet)?;
                let upper = ip6_ext::walk(packet).map_err(|_| GsoError::WrongHeaders)?;
                let sound = header.version() == 6 && upper.piece.is_none();
                (upper.offset, sound && upper.protocol == number)
            }
        };
        if fits { Ok(at) } else { Err(GsoError::WrongHeaders) }
    }
}

/// Why a large segment cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GsoError {
    /// Not all headers are in the bytes given, or the packet ends with them.
    #[error("header truncated")]
    Short,
    /// The headers are not those of the kind, or are broken.
    #[error("headers do not fit the kind of segment")]
    WrongHeaders,
    /// Pieces of no payload, or longer than IP allows.
    #[error("impossible size of pieces")]
    PieceSize,
}

impl From<Short> for GsoError {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// How a large segment is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    kind: Kind,
    /// Where the IP header begins.
    ip: usize,
    /// Where the transport header begins.
    transport: usize,
    /// Where the payload begins.
    end: usize,
    /// Payload bytes of every piece but the last.
    size: usize,
    /// Payload bytes of all pieces.
    payload: usize,
}

/// One of the packets to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number, from 0.
    pub number: usize,
    /// Where its payload begins, counted from the payload of the whole.
    pub at: usize,
    /// Bytes of its payload; not 0.
    pub len: usize,
}

impl Plan {
    /// Plans the cut of a packet of `packet_len` bytes in all. `headers` begins where the packet does and holds at
    /// least all headers; `ip` is where the IP header begins (0 without a link header, 14 behind Ethernet); `gso_size` is the
    /// payload of a piece in bytes. The length in the IP header is not trusted: 64 KB do not fit into it.
    ///
    /// # Errors
    /// See [`GsoError`].
    pub fn new(headers: &[u8], ip: usize, kind: Kind, gso_size: u16, packet_len: usize) -> Result<Self, GsoError> {
        let transport = ip + kind.transport_at(headers.get(ip..).ok_or(GsoError::Short)?)?;
        let rest = headers.get(transport..).ok_or(GsoError::Short)?;
        let transport_len =
            if kind.is_tcp() { TcpHeader::ref_from_prefix(rest)?.0.header_len() } else { UdpHeader::LEN };
        if kind.is_tcp() && transport_len < TcpHeader::LEN {
            return Err(GsoError::WrongHeaders);
        }
        let end = transport + transport_len;
        if headers.len() < end || packet_len <= end {
            return Err(GsoError::Short);
        }
        let (size, payload) = (usize::from(gso_size), packet_len - end);
        if size == 0 || end - ip + size.min(payload) > usize::from(u16::MAX) {
            return Err(GsoError::PieceSize);
        }
        Ok(Self { kind, ip, transport, end, size, payload })
    }

    /// Bytes of all headers, the link's included: what is copied before every piece.
    pub fn headers_len(&self) -> usize {
        self.end
    }

    /// Bytes of the IP packet that the longest piece becomes: what an MTU is compared with.
    pub fn longest(&self) -> usize {
        self.end - self.ip + self.size.min(self.payload)
    }

    /// How many packets there will be: at least 1.
    pub fn count(&self) -> usize {
        self.payload.div_ceil(self.size)
    }

    /// The packets to be made, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let Self { size, payload, .. } = *self;
        (0..payload.div_ceil(size)).map(move |number| {
            let at = number * size;
            Piece { number, at, len: size.min(payload - at) }
        })
    }

    /// Completes a copy of the headers for `piece`, whose payload adds up to `payload_sum` (see [`checksum::sum`]):
    /// lengths, identification, sequence number, flags, both checksums.
    ///
    /// # Errors
    /// [`Short`] if `headers` has fewer than [`Self::headers_len`] bytes; what it has beyond stays untouched.
    pub fn complete(&self, headers: &mut [u8], piece: Piece, payload_sum: u64) -> Result<(), Short> {
        let headers = headers.get_mut(..self.end).ok_or(Short)?;
        let (front, transport) = headers.split_at_mut(self.transport);
        let front = &mut front[self.ip..];
        let transport_len = u16::try_from(transport.len() + piece.len).map_err(|_| Short)?;
        let pseudo = match self.kind {
            Kind::Tcp4 | Kind::Udp4 => Self::complete_ip4(front, transport_len, piece)?,
            Kind::Tcp6 | Kind::Udp6 => self.complete_ip6(front, transport_len)?,
        };
        let (field_at, finish): (_, fn(u64) -> u16) = if self.kind.is_tcp() {
            self.complete_tcp(TcpHeader::mut_from_prefix(transport)?.0, piece);
            (TcpHeader::CHECKSUM_OFFSET, checksum::finish)
        } else {
            let (udp, _) = UdpHeader::mut_from_prefix(transport)?;
            udp.len.set(transport_len);
            udp.checksum.set(0);
            (UdpHeader::CHECKSUM_OFFSET, checksum::finish_nonzero)
        };
        // Transport headers are of even length, so the payload's sum needs no shift.
        let field = finish(checksum::sum(transport, pseudo) + payload_sum);
        transport[field_at..field_at + 2].copy_from_slice(&field.to_be_bytes());
        Ok(())
    }

    /// Completes an IPv4 header; gives the sum of the pseudo-header.
    fn complete_ip4(front: &mut [u8], transport_len: u16, piece: Piece) -> Result<u64, Short> {
        let (ip, _) = Ip4Header::mut_from_prefix(front)?;
        ip.total_len.set(ip.header_len() as u16 + transport_len);
        // RFC 6864 section 4.1 asks for this only where DF is clear; the kernel counts up always.
        ip.id.set(ip.id.get().wrapping_add(piece.number as u16));
        let pseudo = ip.pseudo_sum(transport_len);
        ip4::write_checksum(front)?;
        Ok(pseudo)
    }

    /// The same of an IPv6 header, extension headers behind it.
    fn complete_ip6(&self, front: &mut [u8], transport_len: u16) -> Result<u64, Short> {
        let extensions = front.len() - Ip6Header::LEN;
        let (ip, _) = Ip6Header::mut_from_prefix(front)?;
        ip.payload_len.set(u16::try_from(extensions + usize::from(transport_len)).map_err(|_| Short)?);
        let number = if self.kind.is_tcp() { protocol::TCP } else { protocol::UDP };
        Ok(ip.pseudo_sum(number, transport_len.into()))
    }

    fn complete_tcp(&self, tcp: &mut TcpHeader, piece: Piece) {
        let mut flags = tcp.flags();
        if piece.at + piece.len < self.payload {
            flags.remove(TcpFlags::FIN | TcpFlags::PSH);
        }
        if piece.number > 0 {
            // RFC 3168 section 6.1.2: one answer to one congestion mark.
            flags.remove(TcpFlags::CWR);
        }
        tcp.flags = flags.bits();
        tcp.seq.set(tcp.seq.get().wrapping_add(piece.at as u32));
        tcp.checksum.set(0);
    }
}

#[cfg(test)]
#[path = "tests/gso.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/gso6.rs"]
mod tests6;
