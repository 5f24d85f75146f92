//! The keyed hash of flows.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The keys of the hash: drawn at random when a process starts, so that nobody outside can choose flows that fall
/// together. Whoever carries a flow table from one process to another carries these with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKeys([u64; 4]);

/// The hash of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash {
    /// What the flow is recognised by; never 0.
    pub identity: u64,
    /// Picks the bucket, by as many of the lowest bits as are needed.
    pub bucket: u32,
}

impl HashKeys {
    /// Keys from the randomness of the standard library's hash tables, which comes from the kernel.
    pub fn random() -> Self {
        Self(std::array::from_fn(|n| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_usize(n);
            hasher.finish()
        }))
    }

    /// These keys.
    pub fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// The keys, for handing them on.
    pub fn words(&self) -> [u64; 4] {
        self.0
    }

    /// Two 128-bit products, the second of the halves of the first. One is not enough: the low half of a product does
    /// not hear of the high bits of its factors, nor the high half of their low bits, and flows that count ports and
    /// addresses up then agree in half of their identity.
    #[inline(always)]
    pub(super) fn hash(&self, words: [u64; 2], vip: u32) -> FlowHash {
        // Protocol and ports take 40 bits; the VIP takes the rest, so that two VIPs never share a flow.
        let (a, b) = (words[0], words[1] | u64::from(vip) << 40);
        let one = u128::from(a ^ self.0[0]) * u128::from(b ^ self.0[1]);
        let two = u128::from(one as u64 ^ self.0[2]) * u128::from((one >> 64) as u64 ^ self.0[3]);
        let identity = two as u64 ^ (two >> 64) as u64;
        FlowHash { identity: identity.max(1), bucket: (two >> 32) as u32 }
    }
}
