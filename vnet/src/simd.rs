//! Several values at once, for the loops over packets. The functions are safe; what they use belongs to every processor
//! that the code is built for.
#![allow(unsafe_code)]

/// A bit for each of the words that is the wanted one: four comparisons at once.
#[inline(always)]
pub fn equal4(words: &[u64; 4], wanted: u64) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to all processors of the kind.
    return unsafe { equal4_sse2(words, wanted) };
    #[cfg(not(target_arch = "x86_64"))]
    return equal4_one_by_one(words, wanted);
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn equal4_sse2(words: &[u64; 4], wanted: u64) -> u32 {
    use std::arch::x86_64::{
        _mm_and_ps, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_movemask_ps, _mm_set_epi64x, _mm_set1_epi64x, _mm_shuffle_ps,
    };
    let [a, b, c, d] = words.map(|word| word as i64);
    let wanted = _mm_set1_epi64x(wanted as i64);
    // It compares no 64 bits at once: the halves, and then both of them.
    let ab = _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_set_epi64x(b, a), wanted));
    let cd = _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_set_epi64x(d, c), wanted));
    let (low, high) = (_mm_shuffle_ps::<0b10_00_10_00>(ab, cd), _mm_shuffle_ps::<0b11_01_11_01>(ab, cd));
    _mm_movemask_ps(_mm_and_ps(low, high)) as u32
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal4_one_by_one(words: &[u64; 4], wanted: u64) -> u32 {
    (0..4).fold(0, |found, at| found | u32::from(words[at] == wanted) << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_compare_agree() {
        let (low, high) = (0x1234_5678_u64, 0x9abc_def0_u64 << 32);
        let words = [low | high, low, high, 0, u64::MAX];
        for pick in 0..words.len().pow(4) {
            let four = std::array::from_fn(|at| words[pick / words.len().pow(at as u32) % words.len()]);
            for wanted in words {
                assert_eq!(equal4(&four, wanted), equal4_one_by_one(&four, wanted), "{four:x?} {wanted:x}");
            }
        }
    }
}
