//! The hash that picks a slot of a Maglev table for a flow.
//!
//! It depends on the packet alone: no key, no process, no machine goes into it, so that all balancers of a fleet send a
//! new flow to the same server. For the words `w0 = source << 32 | destination` and
//! `w1 = protocol << 32 | source port << 16 | destination port` (all in host order, as in `vnet`'s flow key) it is
//!
//! ```text
//! fold(a, b) = low64(a * b) xor high64(a * b)                       a 128-bit product
//! hash       = fold(fold(w0 xor P0, w1 xor P1) xor P2, P3)
//! slot       = high32(hash) * M >> 32                               of a table with M slots
//! ```
//!
//! with P0… the first words of the fraction of pi. A VIP with `src_ip_sticky` clears all but the source beforehand
//! ([`KeyMask`]). The addresses of an IPv6 flow, of two words each, are made one first:
//!
//! ```text
//! s  = fold(source high xor P0, source low xor P1)
//! d  = fold(destination high xor P2, destination low xor P3)
//! w0 = s xor (d rotated left by 32 bits)
//! ```
//!
//! This is a format between machines: changing it moves flows wherever old and new balancers meet.

use crate::flow_bytes::{Bytes4, Bytes6, FlowBytes};

/// The first 64-bit words of the fractional part of pi.
const PI: [u64; 4] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];

/// Both halves of the 128-bit product, one on the other.
#[inline(always)]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The words of a flow's key: two for IPv4, five for IPv6 (as `vnet`'s flow keys give them).
pub trait FlowWords: Copy + PartialEq + Send + Sync {
    /// The words with what does not count for a VIP cleared.
    fn masked(self, mask: KeyMask) -> Self;
    /// Addresses in one word, mixed with four keys where they do not fit; protocol and ports in the other.
    fn two(self, keys: &[u64; 4]) -> [u64; 2];

    /// What the flow's key is where it stands as it does in a packet.
    type Bytes: FlowBytes;
    /// The same key, as it stands in a packet: for the hash of which only we know, so that nothing is turned round for it.
    fn bytes(self) -> Self::Bytes;

    /// The words as they are loaded from a packet, as with `bytes`.
    #[must_use]
    fn raw(self) -> Self;

    /// The words without receiver and its port.
    #[must_use]
    fn of_source(self) -> Self;

    /// Protocol, source port and destination port, from bit 32 down.
    fn ports(self) -> u64;

    /// The hash that picks a slot.
    #[inline(always)]
    fn slot_hash(self) -> u64 {
        slot_hash(self.two(&PI))
    }
}

impl FlowWords for [u64; 2] {
    type Bytes = Bytes4;

    #[inline(always)]
    fn bytes(self) -> Bytes4 {
        Bytes4::of_words(self)
    }

    #[inline(always)]
    fn masked(self, mask: KeyMask) -> Self {
        mask.apply(self)
    }

    #[inline(always)]
    fn two(self, _: &[u64; 4]) -> [u64; 2] {
        self
    }

    #[inline(always)]
    fn raw(self) -> Self {
        [self[0].to_be(), raw_ports(self[1])]
    }

    #[inline(always)]
    fn of_source(self) -> Self {
        [self[0] & !u64::from(u32::MAX), self[1] & !u64::from(u16::MAX)]
    }

    #[inline(always)]
    fn ports(self) -> u64 {
        self[1]
    }
}

impl FlowWords for [u64; 5] {
    type Bytes = Bytes6;

    #[inline(always)]
    fn bytes(self) -> Bytes6 {
        Bytes6::of_words(self)
    }

    #[inline(always)]
    fn masked(self, mask: KeyMask) -> Self {
        let ([_, all], [s0, s1, d0, d1, ports]) = (mask.words(), self);
        [s0, s1, d0 & all, d1 & all, ports & all]
    }

    #[inline(always)]
    fn two(self, keys: &[u64; 4]) -> [u64; 2] {
        let [s0, s1, d0, d1, ports] = self;
        let (s, d) = (fold(s0 ^ keys[0], s1 ^ keys[1]), fold(d0 ^ keys[2], d1 ^ keys[3]));
        [s ^ d.rotate_left(32), ports]
    }

    #[inline(always)]
    fn raw(self) -> Self {
        let [s0, s1, d0, d1, ports] = self;
        [s0.to_be(), s1.to_be(), d0.to_be(), d1.to_be(), raw_ports(ports)]
    }

    #[inline(always)]
    fn of_source(self) -> Self {
        let [s0, s1, _, _, ports] = self;
        [s0, s1, 0, 0, ports & !u64::from(u16::MAX)]
    }

    #[inline(always)]
    fn ports(self) -> u64 {
        self[4]
    }
}

/// The ports turned round; the protocol stays above them.
#[inline(always)]
fn raw_ports(ports: u64) -> u64 {
    ports & !u64::from(u32::MAX) | u64::from((ports as u32).to_be())
}

/// The hash of a flow; see the head of this module.
#[inline(always)]
pub fn slot_hash(words: [u64; 2]) -> u64 {
    fold(fold(words[0] ^ PI[0], words[1] ^ PI[1]) ^ PI[2], PI[3])
}

/// The slot that a hash falls on in a table of `len` slots; below `len` unless that is 0.
#[inline(always)]
pub fn slot_of(hash: u64, len: usize) -> usize {
    (((hash >> 32) * len as u64) >> 32) as usize
}

/// Which bits of a flow's key count for a VIP. Both hashes of a flow are taken of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyMask {
    /// None: there is no VIP.
    None,
    /// Addresses, protocol and ports.
    Flow,
    /// `src_ip_sticky`: the source address.
    Source,
}

impl KeyMask {
    /// As masks of IPv4's words; of IPv6's the second is for all but the source.
    #[inline(always)]
    fn words(self) -> [u64; 2] {
        match self {
            KeyMask::None => [0; 2],
            KeyMask::Flow => [u64::MAX; 2],
            KeyMask::Source => [0xffff_ffff_0000_0000, 0],
        }
    }

    /// The words with what does not count cleared.
    #[inline(always)]
    pub fn apply(self, words: [u64; 2]) -> [u64; 2] {
        let mask = self.words();
        [words[0] & mask[0], words[1] & mask[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: u32, destination: u32, protocol: u8, sport: u16, dport: u16) -> [u64; 2] {
        [
            u64::from(source) << 32 | u64::from(destination),
            u64::from(protocol) << 32 | u64::from(sport) << 16 | u64::from(dport),
        ]
    }

    /// Computed from the formula with arbitrary-precision integers, not with this code.
    #[test]
    fn test_vectors() {
        for (words, hash, of_1024) in VECTORS {
            assert_eq!(slot_hash(words), hash, "{words:x?}");
            assert_eq!(slot_of(hash, 1024), of_1024);
        }
    }

    const VECTORS: [([u64; 2], u64, usize); 4] = [
        ([0x0000_0000_0000_0000, 0x0000_0000_0000_0000], 0x4540_359c_0d1a_dc75, 277),
        ([0x0a00_0102_5a00_0001, 0x0000_0006_9c40_0050], 0xe422_bf48_e7fd_a779, 912),
        ([0x0a00_0102_5a00_0001, 0x0000_0006_9c41_0050], 0x4622_4458_d3d4_2b94, 280),
        ([0xc0a8_0001_0000_0000, 0x0000_0000_0000_0000], 0xac62_ef55_ec16_8776, 689),
    ];

    #[test]
    fn flows_spread_evenly() {
        // Consecutive ports, as clients take them; consecutive clients; even ports only, as Linux hands them out.
        let ports = (0..65536u32).map(|n| words(0x0a00_0102, 0x5a00_0001, 6, n as u16, 80));
        let clients = (0..65536u32).map(|n| words(0x0a00_0000 + n, 0x5a00_0001, 6, 40000, 80));
        let even = (0..65536u32).map(|n| words(0x0a00_0000 + n / 256, 0x5a00_0001, 17, (n % 256 * 2) as u16, 53));
        for flows in [ports.collect::<Vec<_>>(), clients.collect(), even.collect()] {
            for len in [1024usize, 1021] {
                let mut hits = vec![0u32; len];
                flows.iter().for_each(|&flow| hits[slot_of(slot_hash(flow), len)] += 1);
                let mean = flows.len() as f64 / len as f64;
                let chi: f64 = hits.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
                // Chi-square with about 1023 degrees of freedom has a deviation of 45; six of them.
                assert!((chi - len as f64).abs() < 6.0 * 45.3, "chi-square {chi} for {len} slots");
            }
        }
    }

    /// Computed from the formula with arbitrary-precision integers, not with this code.
    #[test]
    fn test_vectors_of_ip6() {
        for (words, hash) in VECTORS6 {
            assert_eq!(words.slot_hash(), hash, "{words:x?}");
        }
    }

    const VECTORS6: [([u64; 5], u64); 2] = [
        (
            [
                0x0000_0000_0000_0000,
                0x0000_0000_0000_0000,
                0x0000_0000_0000_0000,
                0x0000_0000_0000_0000,
                0x0000_0000_0000_0000,
            ],
            0x1bc2_7abd_1381_166b,
        ),
        (
            [
                0x2001_0db8_0000_0000,
                0x0000_0000_0000_0002,
                0x2003_0000_0000_0000,
                0x0000_0000_0000_0001,
                0x0000_0006_9c40_0050,
            ],
            0xb47a_055b_19cf_000c,
        ),
    ];

    #[test]
    fn sticky_looks_at_the_source_alone_in_ip6_too() {
        let one = [1u64, 2, 3, 4, 5].masked(KeyMask::Source);
        assert_eq!(one, [1u64, 2, 9, 8, 7].masked(KeyMask::Source));
        assert_ne!(one, [1u64, 3, 3, 4, 5].masked(KeyMask::Source));
        assert_eq!([1u64, 2, 3, 4, 5].masked(KeyMask::Flow), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn sticky_looks_at_the_source_alone() {
        let one = KeyMask::Source.apply(words(7, 8, 6, 9, 10));
        assert_eq!(one, KeyMask::Source.apply(words(7, 11, 17, 12, 13)));
        assert_ne!(one, KeyMask::Source.apply(words(8, 8, 6, 9, 10)));
        assert_eq!(KeyMask::Flow.apply([1, 2]), [1, 2]);
    }
}
