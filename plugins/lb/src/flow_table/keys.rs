//! The keyed hash of flows.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::handle::ServerHandle;
use crate::slot_hash::{FlowWords, KeyMask};

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

impl FlowHash {
    /// That of the part of a flow that one server has: where a client has several connections by the same addresses and ports, which
    /// name their servers. It is told apart as well as the flow is, whose bits are random already.
    #[must_use]
    pub fn with(self, server: ServerHandle) -> FlowHash {
        let mixed = (u64::from(server.bits()) << 1 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        FlowHash { identity: (self.identity ^ mixed).max(1), bucket: self.bucket ^ (mixed >> 32) as u32 }
    }
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

    /// The keys of a VIP (an index below 2^24) with this mask.
    #[inline]
    pub(super) fn of(&self, mask: KeyMask, vip: u32) -> VipKeys {
        let [a, b, c, d] = self.0;
        // Protocol and ports take 40 bits; the VIP takes the rest, so that two VIPs never share a flow.
        VipKeys { mask: mask.raw(), keys: [a, b ^ u64::from(vip) << 40, c, d] }
    }
}

/// How the flows of one VIP are hashed.
#[derive(Clone, Copy, Debug)]
pub struct VipKeys {
    /// Of raw words.
    mask: KeyMask,
    keys: [u64; 4],
}

impl VipKeys {
    /// Where there is no VIP.
    pub const NONE: Self = Self { mask: KeyMask::NONE, keys: [0; 4] };

    /// Whether all of a flow's key counts.
    #[inline(always)]
    pub fn are_of_flows(&self) -> bool {
        self.mask.is_whole()
    }

    /// The hash of a flow, from the words of its key.
    ///
    /// Two 128-bit products, the second of the halves of the first. One is not enough: the low half of a product does
    /// not hear of the high bits of its factors, nor the high half of their low bits, and flows that count ports and
    /// addresses up then agree in half of their identity.
    #[inline(always)]
    pub fn hash(&self, words: impl FlowWords) -> FlowHash {
        let ([a, b], [k0, k1, k2, k3]) = (words.raw().masked(self.mask).two(&self.keys), self.keys);
        let one = u128::from(a ^ k0) * u128::from(b ^ k1);
        let two = u128::from(one as u64 ^ k2) * u128::from((one >> 64) as u64 ^ k3);
        let identity = two as u64 ^ (two >> 64) as u64;
        FlowHash { identity: identity.max(1), bucket: (two >> 32) as u32 }
    }
}
