//! How server ID and nonce are hidden: draft-ietf-quic-load-balancers-21, sections 5.4.1, 5.4.2 and 5.5.

use aes::Aes128;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};

/// The length that is encrypted as one block.
const ONE_BLOCK: usize = 16;
/// The longest half of 19 bytes.
const MAX_HALF: usize = 10;

/// The cipher with its key: AES-128 on one block of 16 bytes, and a Feistel network of four rounds on any other length.
#[derive(Clone)]
pub(super) struct Cipher(Aes128);

impl Cipher {
    pub(super) fn new(key: &[u8; 16]) -> Cipher {
        Cipher(Aes128::new(&(*key).into()))
    }

    /// Hides 5 to 19 bytes.
    pub(super) fn encrypt(&self, text: &mut [u8]) {
        if let Ok(block) = <&mut [u8; ONE_BLOCK]>::try_from(&mut *text) {
            self.0.encrypt_block(block.into());
            return;
        }
        let mut halves = Halves::split(text);
        for pass in 1..=4 {
            halves.pass(&self.0, pass);
        }
        halves.join(text);
    }

    /// Finds at least the first `wanted` of 5 to 19 bytes that were hidden.
    pub(super) fn decrypt(&self, text: &mut [u8], wanted: usize) {
        if let Ok(block) = <&mut [u8; ONE_BLOCK]>::try_from(&mut *text) {
            self.0.decrypt_block(block.into());
            return;
        }
        // The first round changed the right half only: it need not be undone for what is in the left one.
        let last = if wanted <= text.len() / 2 { 2 } else { 1 };
        let mut halves = Halves::split(text);
        for pass in (last..=4).rev() {
            halves.pass(&self.0, pass);
        }
        halves.join(text);
    }
}

/// A text in two halves. Of an odd number of bytes, the left half has the upper four bits of the one in the middle as its
/// last ones, and the right half the lower four as its first; the other bits of that byte are clear in both.
struct Halves {
    left: [u8; MAX_HALF],
    right: [u8; MAX_HALF],
    /// Bytes of a half.
    half: usize,
    /// Bytes of both.
    len: usize,
}

impl Halves {
    /// Of at most 19 bytes.
    fn split(text: &[u8]) -> Halves {
        let len = text.len();
        let half = len.div_ceil(2).min(MAX_HALF);
        let mut halves = Halves { left: [0; MAX_HALF], right: [0; MAX_HALF], half, len };
        halves.left[..half].copy_from_slice(&text[..half]);
        halves.right[..half].copy_from_slice(&text[len - half..]);
        halves.clear();
        halves
    }

    fn clear(&mut self) {
        if self.len % 2 == 1 {
            self.left[self.half - 1] &= 0xf0;
            self.right[0] &= 0x0f;
        }
    }

    /// A round: what comes of one half changes the other. It undoes itself.
    fn pass(&mut self, cipher: &Aes128, pass: u8) {
        let (from, to) = if pass % 2 == 1 { (&self.left, &mut self.right) } else { (&self.right, &mut self.left) };
        let mut block = [0; ONE_BLOCK];
        block[..self.half].copy_from_slice(&from[..self.half]);
        (block[14], block[15]) = (self.len as u8, pass);
        cipher.encrypt_block((&mut block).into());
        to[..self.half].iter_mut().zip(block).for_each(|(byte, other)| *byte ^= other);
        self.clear();
    }

    fn join(&self, text: &mut [u8]) {
        let middle = self.len - self.half;
        text[middle..].copy_from_slice(&self.right[..self.half]);
        text[..middle].copy_from_slice(&self.left[..middle]);
        if self.len % 2 == 1 {
            text[middle] |= self.left[middle];
        }
    }
}
