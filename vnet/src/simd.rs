//! Several values at once, for the loops over packets. The functions are safe: what they use belongs to every processor
//! that the code is built for, or was asked for ([`AesRounds`]).
#![allow(unsafe_code)]

mod aes;
mod block;

pub use aes::AesRounds;
pub use block::Block;

/// A bit for each of the words that is the wanted one: four comparisons at once.
#[inline(always)]
pub fn equal4(words: &[u32; 4], wanted: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to all processors of the kind.
    return unsafe { equal4_sse2(words, wanted) };
    #[cfg(not(target_arch = "x86_64"))]
    return equal4_one_by_one(words, wanted);
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn equal4_sse2(words: &[u32; 4], wanted: u32) -> u32 {
    use std::arch::x86_64::{_mm_castsi128_ps, _mm_cmpeq_epi32, _mm_movemask_ps, _mm_set_epi32, _mm_set1_epi32};
    let [a, b, c, d] = words.map(|word| word as i32);
    _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_set_epi32(d, c, b, a), _mm_set1_epi32(wanted as i32)))) as u32
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal4_one_by_one(words: &[u32; 4], wanted: u32) -> u32 {
    (0..4).fold(0, |found, at| found | u32::from(words[at] == wanted) << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_compare_agree() {
        let words = [0x1234_5678_u32, 0x1234_0000, 0x5678, 0, u32::MAX];
        for pick in 0..words.len().pow(4) {
            let four = std::array::from_fn(|at| words[pick / words.len().pow(at as u32) % words.len()]);
            for wanted in words {
                assert_eq!(equal4(&four, wanted), equal4_one_by_one(&four, wanted), "{four:x?} {wanted:x}");
            }
        }
    }
}
