//! The headers in front of an encapsulated packet, made ready per server.

use std::net::Ipv4Addr;

/// IPv4 and GRE (RFC 2784, without checksum) in front of an IPv4 packet.
///
/// As VPP sends it: type of service 0, identification 0, "don't fragment" clear, time to live 128. All but the length
/// and the checksum that depends on it are there beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterGre4 {
    /// The bytes as they are sent, eight at a time with the first in the lowest bits: a packet costs three stores. The
    /// length is 0, and in the checksum's place is the sum of the rest, folded, each of its words in the order of the
    /// bytes sent (a sum in ones' complement is the same in either order, RFC 1071 section 2).
    words: [u64; 3],
}

/// Where the length stands in the first word, and the checksum in the second: behind this many bits.
const LENGTH_AT: u32 = 16;
const CHECKSUM_AT: u32 = 16;
const CHECKSUM: u64 = 0xffff << CHECKSUM_AT;

impl OuterGre4 {
    /// Bytes in front of the packet.
    pub const LEN: usize = 24;

    /// The headers of packets between these.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut header = [0; Self::LEN];
        header[0] = 0x45;
        header[8] = 128;
        header[9] = 47;
        header[12..16].copy_from_slice(&source.octets());
        header[16..20].copy_from_slice(&destination.octets());
        // GRE: no flags, version 0, then the EtherType of what follows.
        header[22..24].copy_from_slice(&0x0800u16.to_be_bytes());
        let words = header[..20].as_chunks::<2>().0;
        let sum: u32 = words.iter().map(|&word| u32::from(u16::from_le_bytes(word))).sum();
        // Nine words: two folds suffice.
        header[10..12].copy_from_slice(&(fold(fold(sum)) as u16).to_le_bytes());
        let eights = header.as_chunks::<8>().0;
        Self { words: std::array::from_fn(|n| u64::from_le_bytes(eights[n])) }
    }

    /// The headers in front of a packet of `inner` bytes; `None` if the length does not fit in 16 bits.
    #[inline(always)]
    pub fn header(&self, inner: usize) -> Option<[u8; Self::LEN]> {
        if inner > usize::from(u16::MAX) - Self::LEN {
            return None;
        }
        let total = u32::from(((inner + Self::LEN) as u16).swap_bytes());
        let [first, second, third] = self.words;
        let sum = ((second >> CHECKSUM_AT) as u32 & 0xffff) + total;
        let first = first | u64::from(total) << LENGTH_AT;
        let second = second & !CHECKSUM | u64::from(!(fold(sum) as u16)) << CHECKSUM_AT;
        let mut header = [0; Self::LEN];
        for (eight, word) in header.as_chunks_mut().0.iter_mut().zip([first, second, third]) {
            *eight = word.to_le_bytes();
        }
        Some(header)
    }

    /// Where it goes.
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets((self.words[2] as u32).to_le_bytes())
    }
}

/// The carries of a sum brought home, once.
#[inline(always)]
fn fold(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// VPP's own headers, from `ip4-load-balance` in its traces.
    #[test]
    fn checksums_are_vpps() {
        let source = Ipv4Addr::new(10, 0, 2, 1);
        for (last, inner, total, checksum) in
            [(2, 60, 84, 0x2279), (4, 34, 58, 0x2291), (4, 84, 108, 0x225f)] as [(u8, usize, u16, u16); 3]
        {
            let outer = OuterGre4::new(source, Ipv4Addr::new(10, 0, 2, last));
            let header = outer.header(inner).unwrap();
            assert_eq!(u16::from_be_bytes([header[2], header[3]]), total);
            assert_eq!(u16::from_be_bytes([header[10], header[11]]), checksum);
            assert_eq!(outer.destination(), Ipv4Addr::new(10, 0, 2, last));
        }
    }

    #[test]
    fn a_packet_may_be_too_long() {
        let outer = OuterGre4::new(Ipv4Addr::BROADCAST, Ipv4Addr::BROADCAST);
        assert!(outer.header(65535 - 24).is_some());
        assert!(outer.header(65535 - 23).is_none() && outer.header(usize::MAX).is_none());
    }

    #[test]
    fn every_checksum_verifies() {
        for last in 0..=255 {
            let outer = OuterGre4::new(Ipv4Addr::new(255, 255, 255, last), Ipv4Addr::new(255, 255, last, 255));
            for inner in [0, 20, 1476, 65511] {
                let header = outer.header(inner).unwrap();
                let mut sum = 0u32;
                for word in header[..20].as_chunks::<2>().0 {
                    sum += u32::from(u16::from_be_bytes(*word));
                }
                while sum > 0xffff {
                    sum = (sum & 0xffff) + (sum >> 16);
                }
                assert_eq!(sum, 0xffff);
            }
        }
    }
}
