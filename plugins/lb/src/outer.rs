//! The headers in front of an encapsulated packet, made ready per server.

use std::net::Ipv4Addr;

/// IPv4 and GRE (RFC 2784, without checksum) in front of an IPv4 packet.
///
/// As VPP sends it: type of service 0, identification 0, "don't fragment" clear, time to live 128. All but the length
/// and the checksum that depends on it are there beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterGre4 {
    /// The bytes, eight at a time, as numbers with the first byte on top: a packet costs three stores.
    words: [u64; 3],
    /// The sum of the IPv4 header's words, with length and checksum 0.
    sum: u32,
}

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
        let sum = words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
        let eights = header.as_chunks::<8>().0;
        Self { words: std::array::from_fn(|n| u64::from_be_bytes(eights[n])), sum }
    }

    /// The headers in front of a packet of `inner` bytes; `None` if the length does not fit in 16 bits.
    #[inline(always)]
    pub fn header(&self, inner: usize) -> Option<[u8; Self::LEN]> {
        let total = u16::try_from(inner.checked_add(Self::LEN)?).ok()?;
        // RFC 1071. Eleven words: two folds suffice.
        let sum = self.sum + u32::from(total);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let [mut first, mut second, third] = self.words;
        first |= u64::from(total) << 32;
        second |= u64::from(!(sum as u16)) << 32;
        let mut header = [0; Self::LEN];
        for (eight, word) in header.as_chunks_mut().0.iter_mut().zip([first, second, third]) {
            *eight = word.to_be_bytes();
        }
        Some(header)
    }

    /// Where it goes.
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.words[2] >> 32) as u32)
    }
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
