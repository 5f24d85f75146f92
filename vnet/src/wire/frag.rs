//! Cutting an IPv4 packet into fragments (RFC 791 section 3.2): where each fragment's payload lies, and its header.
//!
//! Pure: nothing here knows buffers. The caller, `ip4-frag`, copies payload and header of each [`Fragment`].

use super::ip4::{self, Ip4Header, MORE_FRAGMENTS, OFFSET_MASK};
use super::{Short, checksum};

/// The longest IPv4 header.
const MAX_HEADER: usize = 60;
/// Bit of an option's type: it goes into every fragment (RFC 791 section 3.1).
const COPIED: u8 = 0x80;

/// Why a packet cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragError {
    /// The header is not all there, or is broken.
    #[error("header truncated")]
    Short,
    /// The sender set DF.
    #[error("fragmentation forbidden")]
    Forbidden,
    /// The MTU leaves no room for 8 bytes behind the header; from 68 on there always is (RFC 791 section 3.2).
    #[error("MTU leaves no room for a fragment")]
    TinyMtu,
    /// The payload reaches beyond what an offset can say.
    #[error("packet too long")]
    TooLong,
}

impl From<Short> for FragError {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// How a packet is cut.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    first: Header,
    /// With the copied options only.
    later: Header,
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
    /// Plans the cut of a packet of `packet_len` bytes in all, for a way out that takes `mtu` bytes, header included.
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
        Ok(Self { first, later, payload, mtu })
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
        self.first.len
    }

    fn header(&self, at: usize) -> &Header {
        if at == 0 { &self.first } else { &self.later }
    }

    /// Bytes of the fragment's header.
    pub fn header_len(&self, fragment: Fragment) -> usize {
        self.header(fragment.at).len
    }

    /// Writes the fragment's header, complete with its checksum, over the start of `out`; returns its length.
    ///
    /// # Errors
    /// [`Short`] if `out` has fewer than [`Self::header_len`] bytes.
    pub fn write_header(&self, fragment: Fragment, out: &mut [u8]) -> Result<usize, Short> {
        let header = self.header(fragment.at);
        let out = out.get_mut(..header.len).ok_or(Short)?;
        out.copy_from_slice(&header.bytes[..header.len]);
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
