//! Addresses for interfaces that have none.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

/// A locally administered address at random, of the block that VPP takes its own from: `02:fe:…`.
pub(crate) fn random() -> [u8; 6] {
    // The keys of a fresh hasher come from the kernel.
    let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_ne_bytes();
    [0x02, 0xfe, a, b, c, d]
}

/// An address of the same block that is the same again for the same device of the kernel, so that neighbours need not
/// learn another when a daemon is started again.
pub(crate) fn derived(device: &str, kernel: [u8; 6]) -> [u8; 6] {
    let mut hasher = DefaultHasher::new();
    (device, kernel).hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_ne_bytes();
    [0x02, 0xfe, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_address_and_others_have_others() {
        let kernel = [2, 0, 0, 0, 0, 1];
        assert_eq!(derived("a", kernel), derived("a", kernel));
        assert_ne!(derived("a", kernel), derived("a:1", kernel));
        assert_ne!(derived("a", kernel), derived("a", [2, 0, 0, 0, 0, 2]));
        assert_eq!(derived("a", kernel)[..2], [0x02, 0xfe]);
    }
}
