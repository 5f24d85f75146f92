//! Cutting a packet into fragments (RFC 791 section 3.2, RFC 8200 section 4.5): where each fragment's payload lies, and
//! its header.
//!
//! Pure: nothing here knows buffers. The callers, `ip4-frag` and `ip6-frag`, copy payload and header of each [`Fragment`].

use super::ip4::{self, Ip4Header, MORE_FRAGMENTS, OFFSET_MASK};
use super::ip6::Ip6Header;
use super::ip6_ext::{self, FragmentHeader};
use super::{Short, checksum};

/// The longest header that fragments get: IPv4's are shorter, and so is what anybody puts in front of IPv6 fragments.
const MAX_HEADER: usize = 128;
/// Bit of an option's type: it goes into every fragment (RFC 791 section 3.1).
const COPIED: u8 = 0x80;

/// Why a packet cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragError {
    /// The headers are not all there, or are broken.
    #[error("header truncated")]
    Short,
    /// The sender set DF; of IPv6, it is a fragment, and only its sender cuts.
    #[error("fragmentation forbidden")]
    Forbidden,
    /// The MTU leaves no room for 8 bytes behind the header, or not for all of the headers of IPv6; from 68 on and from 1280
    /// on there is (RFC 791 section 3.2; unless somebody is out for it, RFC 7112).
    #[error("MTU leaves no room for a fragment")]
    TinyMtu,
    /// The payload reaches beyond what an offset can say.
    #[error("packet too long")]
    TooLong,
    /// More headers than fragments get here.
    #[error("headers too long")]
    LongHeaders,
}

impl From<Short> for FragError {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// How a packet is cut.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    ip6: bool,
    first: Header,
    /// Of IPv4, with the copied options only.
    later: Header,
    /// Where the payload begins in the packet that is cut.
    payload_at: usize,
    payload: usize,
    mtu: usize,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

/// One of the fragments to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where its payload begins, counted from the payload of the packet that is cut.
    pub at: usize,
    /// Bytes of its payload; a multiple of 8 unless it is the last.
    pub len: usize,
    /// Whether it is the last of those made here.
    pub last: bool,
}

impl Plan {
    /// Plans the cut of an IPv4 packet of `packet_len` bytes in all, for a way out that takes `mtu` bytes, header included.
    /// `packet` begins where the packet does and holds at least its header. The packet may be a fragment itself.
    ///
    /// # Errors
    /// See [`FragError`].
    pub fn new(packet: &[u8], packet_len: usize, mtu: usize) -> Result<Self, FragError> {
        let (header, _) = Ip4Header::ref_from_prefix(packet)?;
        let whole = packet.get(..header.header_len()).ok_or(FragError::Short)?;
        let payload = packet_len.checked_sub(whole.len()).ok_or(FragError::Short)?;
        if header.dont_fragment() {
            return Err(FragError::Forbidden);
        }
        if header.fragment_offset() + payload + whole.len() > usize::from(u16::MAX) {
            return Err(FragError::TooLong);
        }
        let options = whole.get(Ip4Header::LEN..).ok_or(FragError::Short)?;
        let copied = ip4::options(options).flatten().filter(|option| option[0] & COPIED != 0);
        let first = Header::new(whole, [options].into_iter());
        let later = Header::new(whole, copied);
        if first.len + 8 > mtu {
            return Err(FragError::TinyMtu);
        }
        Ok(Self { ip6: false, first, later, payload_at: whole.len(), payload, mtu })
    }

    /// The same of an IPv6 packet, which is no fragment: its sender cuts it, and gives the fragments this identification.
    /// `packet` holds at least all extension headers; a fragment header around a whole packet is among them no more.
    ///
    /// # Errors
    /// See [`FragError`].
    pub fn of_ip6(packet: &[u8], packet_len: usize, mtu: usize, id: u32) -> Result<Self, FragError> {
        let upper = ip6_ext::walk(packet).map_err(|_| FragError::Short)?;
        let (end, payload_at) = match upper.piece {
            Some(piece) if !piece.is_atomic() => return Err(FragError::Forbidden),
            Some(piece) => (piece.at, piece.at + FragmentHeader::LEN),
            None => {
                let end = ip6_ext::per_fragment_len(packet);
                (end, end)
            }
        };
        let named_at = ip6_ext::named_at(packet, end).ok_or(FragError::Short)?;
        let number = *packet.get(if payload_at == end { named_at } else { end }).ok_or(FragError::Short)?;
        let payload = packet_len.checked_sub(payload_at).ok_or(FragError::Short)?;
        // What is put together again must have a length.
        if end + payload > Ip6Header::LEN + usize::from(u16::MAX) {
            return Err(FragError::TooLong);
        }
        let len = end + FragmentHeader::LEN;
        let mut bytes = [0; MAX_HEADER];
        let place = bytes.get_mut(..len).ok_or(FragError::LongHeaders)?;
        let (front, fragment) = place.split_at_mut(end);
        front.copy_from_slice(packet.get(..end).ok_or(FragError::Short)?);
        front[named_at] = ip6_ext::FRAGMENT;
        fragment[0] = number;
        fragment[4..].copy_from_slice(&id.to_be_bytes());
        // RFC 8200 section 4.5: the first fragment has all headers.
        let room = mtu.checked_sub(len).ok_or(FragError::TinyMtu)? & !7;
        if room < 8 || upper.offset - payload_at > room {
            return Err(FragError::TinyMtu);
        }
        let header = Header { bytes, len };
        Ok(Self { ip6: true, first: header, later: header, payload_at, payload, mtu })
    }

    /// The fragments to be made, in order: one if the packet fits as it is.
    pub fn fragments(&self) -> impl Iterator<Item = Fragment> + use<> {
        let (plan, mut next) = (*self, Some(0));
        std::iter::from_fn(move || {
            let at = next?;
            let (room, left) = (plan.mtu - plan.header(at).len, plan.payload - at);
            let last = left <= room;
            let len = if last { left } else { room & !7 };
            next = (!last).then_some(at + len);
            Some(Fragment { at, len, last })
        })
    }

    /// Where the payload begins in the packet that is cut.
    pub fn payload_at(&self) -> usize {
        self.payload_at
    }

    fn header(&self, at: usize) -> &Header {
        if at == 0 { &self.first } else { &self.later }
    }

    /// Bytes of the fragment's header.
    pub fn header_len(&self, fragment: Fragment) -> usize {
        self.header(fragment.at).len
    }

    /// Writes the fragment's header, complete with IPv4's checksum, over the start of `out`; returns its length.
    ///
    /// # Errors
    /// [`Short`] if `out` has fewer than [`Self::header_len`] bytes.
    pub fn write_header(&self, fragment: Fragment, out: &mut [u8]) -> Result<usize, Short> {
        let header = self.header(fragment.at);
        let out = out.get_mut(..header.len).ok_or(Short)?;
        out.copy_from_slice(&header.bytes[..header.len]);
        if self.ip6 {
            let (ip, _) = Ip6Header::mut_from_prefix(out)?;
            ip.payload_len.set((header.len - Ip6Header::LEN + fragment.len) as u16);
            let (extension, _) = FragmentHeader::mut_from_prefix(&mut out[header.len - FragmentHeader::LEN..])?;
            extension.offset_more.set(fragment.at as u16 | u16::from(!fragment.last));
            return Ok(header.len);
        }
        let (ip, _) = Ip4Header::mut_from_prefix(out)?;
        ip.total_len.set((header.len + fragment.len) as u16);
        let was = ip.flags_offset.get();
        // The last piece of a fragment is followed by what follows the fragment.
        let more = if fragment.last { was & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        ip.flags_offset.set(more | ((was & OFFSET_MASK) + (fragment.at / 8) as u16));
        ip.checksum.set(0);
        let field = checksum::finish(checksum::sum(out, 0));
        out[10..12].copy_from_slice(&field.to_be_bytes());
        Ok(header.len)
    }
}

impl Header {
    /// The fixed part of `whole` and these options, filled up to whole words. They fit: they come from `whole`.
    fn new<'a>(whole: &[u8], options: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut bytes = [0; MAX_HEADER];
        bytes[..Ip4Header::LEN].copy_from_slice(&whole[..Ip4Header::LEN]);
        let mut end = Ip4Header::LEN;
        for option in options {
            bytes[end..end + option.len()].copy_from_slice(option);
            end += option.len();
        }
        // What fills up is 0: end of options.
        let len = end.next_multiple_of(4);
        bytes[0] = 0x40 | (len / 4) as u8;
        Self { bytes, len }
    }
}

#[cfg(test)]
#[path = "tests/frag.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/frag6.rs"]
mod tests6;
