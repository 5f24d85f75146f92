//! The headers in front of an encapsulated packet, made ready per server.

use std::net::Ipv4Addr;

/// IPv4 and what stands between it and the inner packet; or only an address, where packets are not wrapped.
///
/// As VPP sends it: type of service 0, identification 0, "don't fragment" clear, time to live 128. All but the length
/// and the checksum that depends on it are there beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Outer4 {
    /// As they are sent. Length and checksum are 0.
    bytes: [u8; 24],
    /// The checksum of the IPv4 header as it stands, its bytes in the order in which they are sent (a sum in ones'
    /// complement is the same in either order, RFC 1071 section 2).
    checksum: u16,
}

/// Bytes of an IPv4 header without options.
const IP4: usize = 20;

impl Outer4 {
    /// What stands for none.
    pub const NONE: Outer4 = Outer4 { bytes: [0; 24], checksum: 0 };

    /// IPv4 and GRE (RFC 2784, without checksum) in front of an IPv4 packet: 24 bytes.
    pub fn gre(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut outer = Self::new(47, source, destination);
        // No flags, version 0, then the EtherType of what follows.
        outer.bytes[22..24].copy_from_slice(&0x0800u16.to_be_bytes());
        outer
    }

    /// IPv4 in front of an IPv4 packet (RFC 2003): 20 bytes.
    pub fn ipip(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self::new(4, source, destination)
    }

    /// For packets whose destination becomes `address` and whose DSCP becomes `dscp`.
    pub fn address(address: Ipv4Addr, dscp: u8) -> Self {
        let mut outer = Self::new(0, Ipv4Addr::UNSPECIFIED, address);
        outer.bytes[1] = dscp << 2;
        outer
    }

    fn new(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut bytes = [0; 24];
        bytes[0] = 0x45;
        bytes[8] = 128;
        bytes[9] = protocol;
        bytes[12..16].copy_from_slice(&source.octets());
        bytes[16..20].copy_from_slice(&destination.octets());
        let words = bytes[..IP4].as_chunks::<2>().0;
        let sum: u32 = words.iter().map(|&word| u32::from(u16::from_ne_bytes(word))).sum();
        // Ten words: two folds suffice.
        Self { bytes, checksum: !(fold(fold(sum)) as u16) }
    }

    /// Writes the first `N` bytes, at least an IPv4 header's, in front of a packet that is `total` bytes long with them.
    #[inline(always)]
    pub fn write<const N: usize>(&self, total: u16, place: &mut [u8; N]) {
        const { assert!(N >= IP4 && N <= 24) }
        let total = total.to_be();
        place.copy_from_slice(&self.bytes[..N]);
        place[2..4].copy_from_slice(&total.to_ne_bytes());
        // The complement of a sum is less by what the sum is more; the carry goes round (RFC 1624).
        let (checksum, borrow) = self.checksum.overflowing_sub(total);
        place[10..12].copy_from_slice(&checksum.wrapping_sub(borrow.into()).to_ne_bytes());
    }

    /// Where it goes.
    pub fn destination(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = self.bytes;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The type of service of an [`address`](Outer4::address): its two lowest bits are 0.
    pub fn traffic_class(&self) -> u8 {
        self.bytes[1]
    }
}

/// The carries of a sum brought home, once.
fn fold(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(outer: &Outer4, total: u16) -> [u8; 24] {
        let mut place = [0xaa; 24];
        outer.write(total, &mut place);
        place
    }

    /// VPP's own headers, from `ip4-load-balance` in its traces.
    #[test]
    fn checksums_are_vpps() {
        let source = Ipv4Addr::new(10, 0, 2, 1);
        for (last, inner, total, checksum) in
            [(2, 60, 84, 0x2279), (4, 34, 58, 0x2291), (4, 84, 108, 0x225f)] as [(u8, u16, u16, u16); 3]
        {
            let outer = Outer4::gre(source, Ipv4Addr::new(10, 0, 2, last));
            let header = header(&outer, inner + 24);
            assert_eq!(u16::from_be_bytes([header[2], header[3]]), total);
            assert_eq!(u16::from_be_bytes([header[10], header[11]]), checksum);
            assert_eq!(outer.destination(), Ipv4Addr::new(10, 0, 2, last));
        }
    }

    #[test]
    fn every_checksum_verifies() {
        for last in 0..=255 {
            let outer = Outer4::gre(Ipv4Addr::new(255, 255, 255, last), Ipv4Addr::new(255, 255, last, 255));
            for inner in [0, 20, 1476, 65511] {
                let header = header(&outer, inner + 24);
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
