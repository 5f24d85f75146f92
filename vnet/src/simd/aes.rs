//! Rounds of AES (FIPS 197 section 5.1), as what a keyed hash is made of: instructions of the processor, where it has them.

use aes::hazmat::cipher_round;

use super::Block;

/// Who computes the rounds. Both give the same.
///
/// Invariant: `Processor` is made only where the processor has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AesRounds(Way);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Processor,
    Library,
}

impl AesRounds {
    /// The faster way that there is.
    pub fn new() -> AesRounds {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if std::arch::is_x86_feature_detected!("aes") {
            return AesRounds(Way::Processor);
        }
        AesRounds(Way::Library)
    }

    /// The way that every processor has.
    pub fn of_the_library() -> AesRounds {
        AesRounds(Way::Library)
    }

    /// A round for each key: SubBytes, ShiftRows, MixColumns, AddRoundKey.
    #[inline(always)]
    #[must_use]
    pub fn apply<const ROUNDS: usize>(self, block: Block, keys: &[Block; ROUNDS]) -> Block {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Way::Processor {
            // SAFETY: the processor has the instruction, by the invariant.
            return unsafe { rounds(block, keys) };
        }
        by_library(block, keys)
    }
}

impl Default for AesRounds {
    fn default() -> Self {
        AesRounds::new()
    }
}

/// As [`AesRounds::apply`]. In assembly, because the compiler puts the intrinsic only into functions that are for such processors
/// alone, and not into the loop over the packets.
///
/// # Safety
/// The processor must have the AES instructions.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn rounds<const ROUNDS: usize>(block: Block, keys: &[Block; ROUNDS]) -> Block {
    const { assert!(ROUNDS <= 4, "a line for each below") }
    let (mut state, keys) = (block.0, keys.as_ptr());
    macro_rules! round {
        ($number:literal) => {
            if $number < ROUNDS {
                // SAFETY: the caller answers for the instruction. It changes one register, and reads a key of `keys`, which are
                // aligned as it asks for.
                unsafe {
                    std::arch::asm!(
                        "aesenc {state}, xmmword ptr [{keys} + 16 * {number}]",
                        state = inout(xmm_reg) state,
                        keys = in(reg) keys,
                        number = const $number,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
            }
        };
    }
    round!(0);
    round!(1);
    round!(2);
    round!(3);
    Block(state)
}

#[cfg(target_arch = "x86_64")]
const _: () = assert!(size_of::<Block>() == 16 && align_of::<Block>() == 16);

#[cold]
#[inline(never)]
fn by_library(block: Block, keys: &[Block]) -> Block {
    let mut state = block.to_bytes().into();
    keys.iter().for_each(|key| cipher_round(&mut state, &key.to_bytes().into()));
    Block::from_bytes(state.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// FIPS 197 appendix B: the start of rounds 1 and 2, and the keys of rounds 1 and 2; the state that round 2 gives.
    #[test]
    fn rounds_of_the_standard() {
        let block = |value: u128| Block::from_bytes(value.to_be_bytes());
        let start = block(0x193d_e3be_a0f4_e22b_9ac6_8d2a_e9f8_4808);
        let keys = [0xa0fa_fe17_8854_2cb1_23a3_3939_2a6c_7605, 0xf2c2_95f2_7a96_b943_5935_807a_7359_f67f].map(block);
        let rounds = [0xa49c_7ff2_689f_352b_6b5b_ea43_026a_5049, 0xaa8f_5f03_61dd_e3ef_82d2_4ad2_6832_469a].map(block);
        for way in [AesRounds::new(), AesRounds::of_the_library()] {
            assert_eq!(way.apply(start, &[keys[0]]), rounds[0]);
            assert_eq!(way.apply(start, &keys), rounds[1]);
            assert_eq!(way.apply(start, &[]), start);
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree(start: [u8; 16], keys: [[u8; 16]; 4]) {
            let (start, keys) = (Block::from_bytes(start), keys.map(Block::from_bytes));
            prop_assert_eq!(AesRounds::new().apply(start, &keys), AesRounds::of_the_library().apply(start, &keys));
        }
    }
}
