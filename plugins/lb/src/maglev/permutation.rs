//! The order in which a server asks for slots.

use std::net::IpAddr;

/// A walk over all slots: from an offset, by a step that shares no divisor with the number of slots.
///
/// Offset and step come from a fixed hash of the server's address and port:
///
/// ```text
/// h      = mix(mix(mix(high64(address) xor P4) xor low64(address)) xor port)
/// offset = high32(h) * M >> 32
/// step   = low32(h) mod M, made odd             M a power of two
///          1 + (low32(h) * (M - 1) >> 32)       M a prime
/// ```
///
/// The address is a 128-bit number in network order, an IPv4 address in its IPv4-mapped form (RFC 4291, section
/// 2.5.5.2); P4 is the fifth word of the fraction of pi; `mix` is the finalizer of SplitMix64 (Steele, Lea and Flood,
/// OOPSLA 2014). Like the hash of flows this is a format between machines.
pub(super) struct Permutation {
    at: u32,
    step: u32,
    len: u32,
}

impl Permutation {
    /// The permutation of `len` slots (1 or more) that belongs to a server.
    pub(super) fn new(address: IpAddr, port: u16, len: u32) -> Self {
        let hash = server_hash(address, port);
        let (high, low) = (hash >> 32, hash as u32);
        let step = if len.is_power_of_two() {
            low & (len - 1) | 1
        } else {
            1 + ((u64::from(low) * u64::from(len - 1)) >> 32) as u32
        };
        Self { at: ((high * u64::from(len)) >> 32) as u32, step, len }
    }

    /// The next slot that is not taken (a bit each), passing over those that are. One must be free.
    ///
    /// Four are looked at together: most are taken towards the end, and the walk then costs what the processor can do
    /// side by side, instead of a branch for each.
    #[inline(always)]
    pub(super) fn find(&mut self, taken: &[u64]) -> u32 {
        let one = self.step;
        let two = self.wrapped(one + one);
        let (three, four) = (self.wrapped(two + one), self.wrapped(two + two));
        loop {
            let at = self.at;
            let slots = [at, self.wrapped(at + one), self.wrapped(at + two), self.wrapped(at + three)];
            let mut free = 0;
            for (n, slot) in slots.into_iter().enumerate() {
                free |= (!taken[slot as usize / 64] >> (slot % 64) & 1) << n;
            }
            if free != 0 {
                let slot = slots[free.trailing_zeros() as usize & 3];
                self.at = self.wrapped(slot + one);
                return slot;
            }
            self.at = self.wrapped(at + four);
        }
    }

    #[inline(always)]
    fn wrapped(&self, slot: u32) -> u32 {
        if slot >= self.len { slot - self.len } else { slot }
    }
}

fn server_hash(address: IpAddr, port: u16) -> u64 {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .to_bits();
    let high = mix((address >> 64) as u64 ^ 0x4528_21e6_38d0_1377);
    mix(mix(high ^ address as u64) ^ u64::from(port))
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_vectors() {
        // Computed from the formula with arbitrary-precision integers.
        assert_eq!(server_hash("10.0.2.2".parse().unwrap(), 0), 0x9404_dd69_8595_9f4e);
        assert_eq!(server_hash("10.0.2.2".parse().unwrap(), 80), 0xe447_3535_95e9_938c);
        assert_eq!(server_hash("2001:db8::1".parse().unwrap(), 0), 0xefd7_3fb8_a136_386e);
    }

    #[test]
    fn what_is_taken_is_passed_over() {
        let mut walk = Permutation::new(IpAddr::from([10, 0, 0, 1]), 0, 1021);
        let order: Vec<u32> = (0..1021).map(|_| walk.find(&[0; 16])).collect();
        let mut walk = Permutation::new(IpAddr::from([10, 0, 0, 1]), 0, 1021);
        let mut taken = [0u64; 16];
        order
            .iter()
            .enumerate()
            .filter(|(n, _)| n % 7 != 5)
            .for_each(|(_, at)| taken[*at as usize / 64] |= 1 << (at % 64));
        for &slot in order.iter().skip(5).step_by(7) {
            assert_eq!(walk.find(&taken), slot);
        }
    }

    #[test]
    fn every_slot_is_visited_once() {
        for len in [1, 2, 3, 4, 64, 1021, 1024] {
            let none = vec![0; len as usize / 64 + 1];
            for last in 1..20 {
                let mut walk = Permutation::new(IpAddr::from([10, 0, 0, last]), 0, len);
                let mut seen: Vec<u32> = (0..len).map(|_| walk.find(&none)).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..len));
            }
        }
    }
}
