//! GRE (RFC 2784, with the key and sequence number of RFC 2890). What is made here has no flags.

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{self, fold};
use super::ip4::{Ip4Header, protocol};

/// Bit of [`GreHeader::flags`]: checksum and a reserved word follow.
pub const CHECKSUM: u16 = 0x8000;
/// Bit of [`GreHeader::flags`]: a key follows.
pub const KEY: u16 = 0x2000;
/// Bit of [`GreHeader::flags`]: a sequence number follows.
pub const SEQUENCE: u16 = 0x1000;

/// The part of the header that is always there: 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct GreHeader {
    /// [`CHECKSUM`], [`KEY`], [`SEQUENCE`], reserved bits, version (3 bits).
    pub flags: U16,
    /// Ethertype of what is inside.
    pub protocol: U16,
}
header!(GreHeader);

impl GreHeader {
    /// A header without optional fields.
    #[inline]
    pub fn new(protocol: u16) -> Self {
        Self { flags: U16::new(0), protocol: U16::new(protocol) }
    }
}

/// A received header with its optional fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// Ethertype of what is inside.
    pub protocol: u16,
    /// Checksum over header and payload: see [`checksum_ok`].
    pub checksum: Option<u16>,
    /// Tells tunnels between the same two hosts apart.
    pub key: Option<u32>,
    /// Sequence number.
    pub sequence: Option<u32>,
    /// Bytes up to the payload: 4 to 16.
    pub header_len: usize,
}

/// What is wrong with a GRE header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreError {
    /// Not all there.
    #[error("GRE header truncated")]
    Short,
    /// A version other than 0 (RFC 2784 section 2.3.1).
    #[error("unsupported GRE version")]
    Version,
    /// A reserved bit that must be 0, or routing of RFC 1701 (RFC 2784 section 2.3).
    #[error("reserved GRE flags set")]
    Reserved,
}

/// Reads the header at the start of `packet`.
///
/// # Errors
/// See [`GreError`].
#[inline]
pub fn parse(packet: &[u8]) -> Result<Gre, GreError> {
    let (header, mut rest) = GreHeader::ref_from_prefix(packet).map_err(|_| GreError::Short)?;
    let (flags, protocol) = (header.flags.get(), header.protocol.get());
    let mut gre = Gre { protocol, checksum: None, key: None, sequence: None, header_len: GreHeader::LEN };
    if flags == 0 {
        return Ok(gre);
    }
    if flags & 7 != 0 {
        return Err(GreError::Version);
    }
    // Bits 1, 4 and 5; bits 6 to 12 are to be ignored.
    if flags & 0x4c00 != 0 {
        return Err(GreError::Reserved);
    }
    let mut word = |bit: u16| {
        if flags & bit == 0 {
            return Ok(None);
        }
        let (word, after) = rest.split_first_chunk::<4>().ok_or(GreError::Short)?;
        rest = after;
        gre.header_len += 4;
        Ok(Some(u32::from_be_bytes(*word)))
    };
    gre.checksum = word(CHECKSUM)?.map(|word| (word >> 16) as u16);
    gre.key = word(KEY)?;
    gre.sequence = word(SEQUENCE)?;
    Ok(gre)
}

/// Whether the checksum of a packet that has one is right; `packet` begins with the GRE header and holds all of it.
#[inline]
pub fn checksum_ok(packet: &[u8]) -> bool {
    fold(checksum::sum(packet, 0)) == 0xffff
}

/// IPv4 and GRE in one piece, to be put before a packet: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ip4GreHeader {
    /// The outer header.
    pub ip: Ip4Header,
    /// GRE without optional fields.
    pub gre: GreHeader,
}
header!(Ip4GreHeader);

impl Ip4GreHeader {
    /// The headers for an empty packet inside, complete with the checksum: a template for [`Self::around`].
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, inner: u16, ttl: u8) -> Self {
        Self { ip: Ip4Header::new(source, destination, protocol::GRE, GreHeader::LEN, ttl), gre: GreHeader::new(inner) }
    }

    /// The headers for a packet of `inner_len` bytes. `None` if the whole would be longer than 65535 bytes.
    #[inline(always)]
    pub fn around(mut self, inner_len: usize) -> Option<Self> {
        let total = u16::try_from(inner_len.checked_add(Self::LEN)?).ok()?;
        self.ip.update_total_len(total);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ethernet;
    use super::*;
    use pnet_packet::gre::{GrePacket, MutableGrePacket};
    use proptest::prelude::*;

    /// Built by hand, in the order of RFC 2890 section 2.
    fn build(checksum: Option<u16>, key: Option<u32>, sequence: Option<u32>) -> Vec<u8> {
        let mut flags = 0;
        let mut fields = Vec::new();
        if let Some(checksum) = checksum {
            flags |= CHECKSUM;
            fields.extend((u32::from(checksum) << 16).to_be_bytes());
        }
        for (bit, word) in [(KEY, key), (SEQUENCE, sequence)] {
            if let Some(word) = word {
                flags |= bit;
                fields.extend(word.to_be_bytes());
            }
        }
        [&flags.to_be_bytes()[..], &ethernet::IP4.to_be_bytes(), &fields].concat()
    }

    proptest! {
        #[test]
        fn reads_every_mix_of_fields(
            checksum: Option<u16>, key: Option<u32>, sequence: Option<u32>, cut in 0usize..16,
        ) {
            let bytes = build(checksum, key, sequence);
            let gre = parse(&bytes).unwrap();
            prop_assert_eq!((gre.checksum, gre.key, gre.sequence), (checksum, key, sequence));
            prop_assert_eq!((gre.header_len, gre.protocol), (bytes.len(), ethernet::IP4));
            if cut < bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]), Err(GreError::Short));
            }
            let theirs = GrePacket::new(&bytes).unwrap();
            prop_assert_eq!(theirs.get_checksum_present() == 1, checksum.is_some());
            prop_assert_eq!(theirs.get_key_present() == 1, key.is_some());
            prop_assert_eq!(theirs.get_sequence_present() == 1, sequence.is_some());
        }

        #[test]
        fn template_is_the_header_built_whole(source: u32, destination: u32, len in 0usize..65512, ttl: u8) {
            let (source, destination) = (source.into(), destination.into());
            let ours = Ip4GreHeader::new(source, destination, ethernet::IP4, ttl).around(len).unwrap();
            prop_assert_eq!(ours.ip, Ip4Header::new(source, destination, protocol::GRE, len + 4, ttl));
            let theirs = etherparse::Ipv4Header::from_slice(ours.as_bytes()).unwrap().0;
            prop_assert_eq!(theirs.header_checksum, theirs.calc_header_checksum());
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn pnet_reads_what_we_emit() {
        let mut bytes = [0; 4];
        GreHeader::new(ethernet::IP6).emit(&mut bytes).unwrap();
        let theirs = MutableGrePacket::new(&mut bytes).unwrap();
        assert_eq!((theirs.get_protocol_type(), theirs.get_version(), theirs.get_checksum_present()), (0x86dd, 0, 0));
        assert!(Ip4GreHeader::new([1; 4].into(), [2; 4].into(), 0x800, 9).around(65512).is_none());
    }

    #[test]
    fn refuses_versions_and_reserved_bits() {
        assert_eq!(parse(&[0, 1, 8, 0]), Err(GreError::Version));
        assert_eq!(parse(&[0x40, 0, 8, 0]), Err(GreError::Reserved));
        assert_eq!(parse(&[0x08, 0, 8, 0]), Err(GreError::Reserved));
        assert_eq!(parse(&[0x04, 0, 8, 0]), Err(GreError::Reserved));
        assert!(parse(&[0x02, 0, 8, 0]).is_ok(), "to be ignored on receipt");
    }

    #[test]
    fn verifies_checksums() {
        let mut packet = build(Some(0), None, None);
        packet.extend(b"odd");
        let field = checksum::finish(checksum::sum(&packet, 0));
        packet[4..6].copy_from_slice(&field.to_be_bytes());
        assert!(checksum_ok(&packet));
        packet[8] ^= 1;
        assert!(!checksum_ok(&packet));
    }
}
