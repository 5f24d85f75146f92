//! The header that the kernel's packet sockets put before a frame (`PACKET_VNET_HDR`): virtio 1.2 section 5.1.6, with
//! fields in the machine's own order.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

bitflags::bitflags! {
    /// What is known of the transport checksum.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct VnetFlags: u8 {
        /// Not yet computed: the field holds the sum of the pseudo-header.
        const NEEDS_CSUM = 1;
        /// The device has checked it.
        const DATA_VALID = 2;
    }
}

/// No large segment.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// UDP to be cut by IP fragmentation.
pub const GSO_UDP: u8 = 3;
/// TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// UDP to be cut into datagrams.
pub const GSO_UDP_L4: u8 = 5;
/// Set beside one of the TCP kinds: the segment has CWR set (RFC 3168 section 6.1.2).
pub const GSO_ECN: u8 = 0x80;

/// `struct virtio_net_hdr`: 10 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VnetHdr {
    /// Bits of [`VnetFlags`].
    pub flags: u8,
    /// One of the `GSO_` values.
    pub gso_type: u8,
    hdr_len: [u8; 2],
    gso_size: [u8; 2],
    csum_start: [u8; 2],
    csum_offset: [u8; 2],
}
header!(VnetHdr);

impl VnetHdr {
    /// A header that asks for the transport checksum: it covers what begins `start` bytes into the frame, and belongs
    /// `offset` bytes after that.
    #[inline]
    pub fn with_checksum(start: u16, offset: u16) -> Self {
        Self {
            flags: VnetFlags::NEEDS_CSUM.bits(),
            csum_start: start.to_ne_bytes(),
            csum_offset: offset.to_ne_bytes(),
            ..Self::default()
        }
    }

    /// The same header for a large segment: kind, length of all headers, payload bytes per piece.
    #[inline]
    pub fn with_gso(self, gso_type: u8, hdr_len: u16, gso_size: u16) -> Self {
        Self { gso_type, hdr_len: hdr_len.to_ne_bytes(), gso_size: gso_size.to_ne_bytes(), ..self }
    }

    /// The flags; unknown bits are left out.
    #[inline(always)]
    pub fn flags(&self) -> VnetFlags {
        VnetFlags::from_bits_truncate(self.flags)
    }

    /// The kind of large segment without [`GSO_ECN`].
    #[inline(always)]
    pub fn gso_kind(&self) -> u8 {
        self.gso_type & !GSO_ECN
    }

    /// Length of all headers in bytes: a hint, 0 if the sender gave none.
    #[inline(always)]
    pub fn hdr_len(&self) -> u16 {
        u16::from_ne_bytes(self.hdr_len)
    }

    /// Payload bytes per piece of a large segment.
    #[inline(always)]
    pub fn gso_size(&self) -> u16 {
        u16::from_ne_bytes(self.gso_size)
    }

    /// Where the bytes that the checksum covers begin, from the start of the frame.
    #[inline(always)]
    pub fn csum_start(&self) -> u16 {
        u16::from_ne_bytes(self.csum_start)
    }

    /// Where the checksum belongs, from [`Self::csum_start`].
    #[inline(always)]
    pub fn csum_offset(&self) -> u16 {
        u16::from_ne_bytes(self.csum_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(start: u16, offset: u16, kind: u8, len: u16, size: u16) {
            let header = VnetHdr::with_checksum(start, offset).with_gso(kind, len, size);
            let read = VnetHdr::ref_from_prefix(header.as_bytes()).unwrap().0;
            prop_assert_eq!(read, &header);
            prop_assert_eq!((read.csum_start(), read.csum_offset()), (start, offset));
            prop_assert_eq!((read.gso_type, read.hdr_len(), read.gso_size()), (kind, len, size));
        }
    }

    #[test]
    fn lies_in_memory_as_the_kernel_has_it() {
        let header = VnetHdr::with_checksum(34, 16).with_gso(GSO_TCPV4 | GSO_ECN, 66, 1448);
        let words: Vec<u8> = [66u16, 1448, 34, 16].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(header.as_bytes()[..2], [1, 0x81]);
        assert_eq!(header.as_bytes()[2..], words);
        assert_eq!((header.gso_kind(), header.flags()), (GSO_TCPV4, VnetFlags::NEEDS_CSUM));
    }
}
