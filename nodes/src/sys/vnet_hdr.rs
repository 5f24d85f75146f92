//! The virtio-net header in front of frames of packet sockets and taps: what is left to do about checksum and segmentation.

use serde::Serialize;
use trace::Text;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct virtio_net_hdr` of 10 bytes (virtio 1.2, section 5.1.6), in the byte order of the host, as Linux has it on
/// packet sockets and, unless told otherwise, on taps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Serialize)]
pub struct VnetHdr {
    /// [`VnetHdr::NEEDS_CSUM`], [`VnetHdr::DATA_VALID`].
    pub flags: u8,
    /// One of the `GSO_…` kinds, perhaps with [`VnetHdr::GSO_ECN`].
    pub gso_type: u8,
    /// Bytes from the start of the frame to the end of the transport header. A hint of the sender: not to be trusted.
    pub hdr_len: u16,
    /// Bytes of payload per segment.
    pub gso_size: u16,
    /// Where the sum begins: bytes from the start of the frame.
    pub csum_start: u16,
    /// Where the checksum goes: bytes from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHdr {
    /// The longest frame of a ring that the kernel is asked to copy, in bytes. What is sent without a ring it copies of its
    /// own accord if it is shorter than a page.
    pub const COPIED: usize = 3072;
    /// Bytes in front of a frame.
    pub const LEN: usize = size_of::<Self>();
    /// Flag: the checksum field holds the sum of the pseudo header only; the rest is to be added.
    pub const NEEDS_CSUM: u8 = 1;
    /// Flag: the checksum was verified.
    pub const DATA_VALID: u8 = 2;
    /// Not to be segmented.
    pub const GSO_NONE: u8 = 0;
    /// TCP over IPv4.
    pub const GSO_TCPV4: u8 = 1;
    /// UDP datagram to be fragmented by IP.
    pub const GSO_UDP: u8 = 3;
    /// TCP over IPv6.
    pub const GSO_TCPV6: u8 = 4;
    /// UDP payload to be cut into datagrams.
    pub const GSO_UDP_L4: u8 = 5;
    /// Added to a kind: TCP with explicit congestion notification.
    pub const GSO_ECN: u8 = 0x80;

    /// Whether the transport checksum is unfinished.
    pub fn needs_checksum(&self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }

    /// The kind of segmentation, without [`VnetHdr::GSO_ECN`].
    pub fn gso(&self) -> u8 {
        self.gso_type & !Self::GSO_ECN
    }

    /// Of a frame of `len` bytes in a transmit ring: has the kernel copy all of it (as it does with headers) when it takes
    /// it. It hangs the ring's pages on its own buffer otherwise, and a device that hands such buffers to a receiver, as a
    /// veth does, then takes a new page for each and copies after all.
    #[inline]
    pub fn in_one_piece(self, len: usize) -> VnetHdr {
        match u16::try_from(len) {
            Ok(hdr_len) if len <= Self::COPIED && self.gso_type == Self::GSO_NONE => VnetHdr { hdr_len, ..self },
            _ => self,
        }
    }

    /// Writes the lines of a trace.
    pub fn text(&self, text: &mut Text) {
        text.line("vnet-hdr:");
        text.nest(2, |text| {
            text.line(format_args!(
                "flags 0x{:02x} gso_type 0x{:02x} hdr_len {}",
                self.flags, self.gso_type, self.hdr_len
            ));
            text.line(format_args!(
                "gso_size {} csum_start {} csum_offset {}",
                self.gso_size, self.csum_start, self.csum_offset
            ));
        });
    }
}

const _: () = assert!(VnetHdr::LEN == 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_frames_that_stay_whole_are_copied() {
        let unfinished =
            VnetHdr { flags: VnetHdr::NEEDS_CSUM, hdr_len: 42, csum_start: 34, csum_offset: 6, ..VnetHdr::default() };
        assert_eq!(unfinished.in_one_piece(60), VnetHdr { hdr_len: 60, ..unfinished });
        assert_eq!(unfinished.in_one_piece(VnetHdr::COPIED).hdr_len, 3072);
        assert_eq!(unfinished.in_one_piece(VnetHdr::COPIED + 1), unfinished);
        let cut = VnetHdr { gso_type: VnetHdr::GSO_UDP_L4, ..unfinished };
        assert_eq!(cut.in_one_piece(1000), cut);
    }

    #[test]
    fn prints_like_the_transcripts() {
        let header = VnetHdr { flags: 1, csum_start: 34, csum_offset: 16, ..VnetHdr::default() };
        let mut text = Text::new();
        header.text(&mut text);
        assert_eq!(
            text.as_str(),
            "vnet-hdr:\n  flags 0x01 gso_type 0x00 hdr_len 0\n  gso_size 0 csum_start 34 csum_offset 16\n"
        );
    }
}
