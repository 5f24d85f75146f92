//! TCP headers (RFC 9293 section 3.1) and the options that people look for.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

bitflags::bitflags! {
    /// The control bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct TcpFlags: u8 {
        /// No more data from the sender.
        const FIN = 0x01;
        /// Synchronise sequence numbers.
        const SYN = 0x02;
        /// Reset.
        const RST = 0x04;
        /// Push.
        const PSH = 0x08;
        /// The acknowledgement number counts.
        const ACK = 0x10;
        /// The urgent pointer counts.
        const URG = 0x20;
        /// Echo of congestion (RFC 3168 section 6.1).
        const ECE = 0x40;
        /// Congestion window reduced (RFC 3168 section 6.1).
        const CWR = 0x80;
    }
}

/// A TCP header without its options: 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct TcpHeader {
    /// Port of the sender.
    pub source: U16,
    /// Port of the receiver.
    pub destination: U16,
    /// Sequence number of the first byte.
    pub seq: U32,
    /// Next sequence number the sender expects.
    pub ack: U32,
    /// Header length in 4-byte words (4 bits), reserved (4 bits).
    pub data_offset: u8,
    /// Bits of [`TcpFlags`].
    pub flags: u8,
    /// Bytes the sender will take.
    pub window: U16,
    /// Checksum over pseudo-header, header and payload.
    pub checksum: U16,
    /// End of urgent data.
    pub urgent: U16,
}
header!(TcpHeader);

impl TcpHeader {
    /// Where the checksum stands in the header.
    pub const CHECKSUM_OFFSET: usize = 16;

    /// A header without options and without a checksum.
    pub fn new(source: u16, destination: u16, seq: u32, ack: u32, flags: TcpFlags, window: u16) -> Self {
        Self {
            source: U16::new(source),
            destination: U16::new(destination),
            seq: U32::new(seq),
            ack: U32::new(ack),
            data_offset: 5 << 4,
            flags: flags.bits(),
            window: U16::new(window),
            checksum: U16::new(0),
            urgent: U16::new(0),
        }
    }

    /// Bytes of header with options: 0 to 60; below 20 is an error.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.data_offset >> 4) * 4
    }

    /// The control bits.
    #[inline(always)]
    pub fn flags(&self) -> TcpFlags {
        TcpFlags::from_bits_retain(self.flags)
    }
}

/// The bytes of the options of the header at the start of `segment`, as far as they are there.
pub fn option_bytes(segment: &[u8]) -> &[u8] {
    let Ok((header, rest)) = TcpHeader::ref_from_prefix(segment) else {
        return &[];
    };
    &rest[..header.header_len().saturating_sub(TcpHeader::LEN).min(rest.len())]
}

/// The options that were found; what is unknown is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TcpOptions {
    /// Maximum segment size (RFC 9293 section 3.7.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u16>,
    /// Shift of the window (RFC 7323 section 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_scale: Option<u8>,
    /// Timestamp, and the echoed one (RFC 7323 section 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<(u32, u32)>,
    /// Selective acknowledgements may be sent (RFC 2018 section 2).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sack_permitted: bool,
    /// Blocks received out of order, from and to (RFC 2018 section 3); the first [`Self::sacks`] count.
    #[serde(skip)]
    pub sack: [(u32, u32); 4],
    /// How many of [`Self::sack`] count.
    #[serde(skip_serializing_if = "is_zero")]
    pub sacks: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl TcpOptions {
    /// Reads option bytes (RFC 9293 section 3.1). An option of a wrong length is skipped; one that runs out of the
    /// bytes ends the list.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut found = Self::default();
        while let Some((kind, rest)) = bytes.split_first() {
            match kind {
                0 => break,
                1 => bytes = rest,
                _ => {
                    let len = rest.first().map_or(0, |len| usize::from(*len));
                    if len < 2 || len > bytes.len() {
                        break;
                    }
                    found.take(*kind, &bytes[2..len]);
                    bytes = &bytes[len..];
                }
            }
        }
        found
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        let word = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        match (kind, body.len()) {
            (2, 2) => self.mss = Some(u16::from_be_bytes([body[0], body[1]])),
            (3, 1) => self.window_scale = Some(body[0]),
            (4, 0) => self.sack_permitted = true,
            (5, len) if len % 8 == 0 => {
                self.sacks = (len / 8).min(self.sack.len());
                for (number, block) in self.sack[..self.sacks].iter_mut().enumerate() {
                    *block = (word(number * 8), word(number * 8 + 4));
                }
            }
            (8, 8) => self.timestamp = Some((word(0), word(4))),
            _ => (),
        }
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::TcpOptionElement as Element;
    use proptest::prelude::*;

    #[test]
    fn reads_the_options_of_a_syn() {
        let mut theirs = etherparse::TcpHeader::new(41518, 80, 0x13e7_6e80, 64240);
        theirs.syn = true;
        let elements = [
            Element::MaximumSegmentSize(1460),
            Element::SelectiveAcknowledgementPermitted,
            Element::Timestamp(1234, 0),
            Element::Noop,
            Element::WindowScale(7),
        ];
        theirs.set_options(&elements).unwrap();
        let mut bytes = theirs.to_bytes().to_vec();
        bytes.extend(b"data");
        let (header, _) = TcpHeader::ref_from_prefix(&bytes).unwrap();
        assert_eq!((header.header_len(), header.flags()), (40, TcpFlags::SYN));
        let options = TcpOptions::parse(option_bytes(&bytes));
        let expected = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            timestamp: Some((1234, 0)),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        assert_eq!(options, expected);
        assert!(TcpOptions::parse(option_bytes(&bytes[..21])).is_empty());
    }

    #[test]
    fn reads_selective_acknowledgements() {
        let mut theirs = etherparse::TcpHeader::new(1, 2, 3, 4);
        theirs.set_options(&[Element::SelectiveAcknowledgement((10, 20), [Some((30, 40)), None, None])]).unwrap();
        let options = TcpOptions::parse(option_bytes(&theirs.to_bytes()));
        assert_eq!((options.sacks, options.sack[0], options.sack[1]), (2, (10, 20), (30, 40)));
    }

    #[test]
    fn takes_no_more_blocks_than_a_header_can_hold() {
        let bytes = [&[5, 82][..], &[1; 80]].concat();
        assert_eq!(TcpOptions::parse(&bytes).sacks, 4);
    }

    proptest! {
        #[test]
        fn header_agrees_with_etherparse(ports: (u16, u16), seq: u32, ack: u32, flags: u8, window: u16) {
            let header = TcpHeader::new(ports.0, ports.1, seq, ack, TcpFlags::from_bits_retain(flags), window);
            let (theirs, _) = etherparse::TcpHeader::from_slice(header.as_bytes()).unwrap();
            prop_assert_eq!((theirs.source_port, theirs.destination_port), ports);
            prop_assert_eq!((theirs.sequence_number, theirs.acknowledgment_number), (seq, ack));
            prop_assert_eq!(theirs.window_size, window);
            let flag = |bit| header.flags().contains(bit);
            prop_assert_eq!((theirs.fin, theirs.syn, theirs.rst, theirs.psh),
                (flag(TcpFlags::FIN), flag(TcpFlags::SYN), flag(TcpFlags::RST), flag(TcpFlags::PSH)));
            prop_assert_eq!((theirs.ack, theirs.urg, theirs.ece, theirs.cwr),
                (flag(TcpFlags::ACK), flag(TcpFlags::URG), flag(TcpFlags::ECE), flag(TcpFlags::CWR)));
            let bytes = theirs.to_bytes();
            prop_assert_eq!(bytes.as_slice(), header.as_bytes());
        }

        #[test]
        fn options_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TcpOptions::parse(&bytes);
            let _ = TcpOptions::parse(option_bytes(&bytes));
        }
    }
}
