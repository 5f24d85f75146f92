//! Sixteen bytes in one register.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as arch;

#[cfg(target_arch = "x86_64")]
type Register = arch::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Register = u128;

/// Sixteen bytes in one register.
#[derive(Clone, Copy)]
pub struct Block(pub(super) Register);

impl Block {
    /// The bytes as they stand in memory.
    #[inline(always)]
    pub const fn from_bytes(bytes: [u8; 16]) -> Block {
        // SAFETY: both are sixteen bytes without padding, and all values of them are allowed.
        Block(unsafe { std::mem::transmute::<[u8; 16], Register>(bytes) })
    }

    /// The bytes as they stand in memory.
    #[inline(always)]
    pub const fn to_bytes(self) -> [u8; 16] {
        // SAFETY: as in `from_bytes`.
        unsafe { std::mem::transmute::<Register, [u8; 16]>(self.0) }
    }

    /// The first bytes in the first number, the lowest byte first.
    #[inline(always)]
    pub fn from_words([low, high]: [u64; 2]) -> Block {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to all processors of the kind.
        return Block(unsafe { arch::_mm_set_epi64x(high as i64, low as i64) });
        #[cfg(not(target_arch = "x86_64"))]
        return Block((u128::from(high) << 64 | u128::from(low)).to_le());
    }

    /// As of [`Block::from_words`].
    #[inline(always)]
    pub fn to_words(self) -> [u64; 2] {
        let bytes = u128::from_le_bytes(self.to_bytes());
        [bytes as u64, (bytes >> 64) as u64]
    }

    /// The bits that both have.
    #[inline(always)]
    #[must_use]
    pub fn and(self, other: Block) -> Block {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to all processors of the kind.
        return Block(unsafe { arch::_mm_and_si128(self.0, other.0) });
        #[cfg(not(target_arch = "x86_64"))]
        return Block(self.0 & other.0);
    }

    /// The bits that one of them has.
    #[inline(always)]
    #[must_use]
    pub fn xor(self, other: Block) -> Block {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to all processors of the kind.
        return Block(unsafe { arch::_mm_xor_si128(self.0, other.0) });
        #[cfg(not(target_arch = "x86_64"))]
        return Block(self.0 ^ other.0);
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Block) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Block {}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({:032x})", u128::from_be_bytes(self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_words_are_the_same_whatever_the_machine() {
        let bytes: [u8; 16] = std::array::from_fn(|at| at as u8);
        let block = Block::from_bytes(bytes);
        assert_eq!(block.to_words(), [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        assert_eq!(Block::from_words(block.to_words()).to_bytes(), bytes);
        let mask = Block::from_words([0xff00, u64::MAX]);
        assert_eq!(block.and(mask).to_words(), [0x0100, 0x0f0e_0d0c_0b0a_0908]);
        assert_eq!(block.xor(mask).xor(mask), block);
        assert_eq!(block.xor(block).to_words(), [0, 0]);
    }
}
