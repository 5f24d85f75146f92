//! Addresses for interfaces that have none.

use std::hash::{BuildHasher, RandomState};

/// A locally administered address at random, of the block that VPP takes its own from: `02:fe:…`.
pub(crate) fn random() -> [u8; 6] {
    // The keys of a fresh hasher come from the kernel.
    let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_ne_bytes();
    [0x02, 0xfe, a, b, c, d]
}
