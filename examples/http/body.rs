//! Bodies of any size, made and checked piece by piece.

use std::hash::Hasher;
use std::io::{self, Read, Write};

/// What is made, sent and compared at a time.
const PIECE: usize = 1 << 16;

/// The same bytes on both sides (xorshift64), different wherever they stand.
pub struct Body {
    state: u64,
    left: u64,
    piece: Vec<u8>,
}

impl Body {
    /// So many bytes.
    pub fn new(bytes: u64) -> Body {
        Body { state: 0x9e37_79b9_7f4a_7c15, left: bytes, piece: vec![0; PIECE] }
    }

    /// The next bytes; none at the end.
    fn next(&mut self) -> &[u8] {
        let len = self.left.min(PIECE as u64) as usize;
        self.left -= len as u64;
        for word in self.piece[..len.next_multiple_of(8)].chunks_exact_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes());
        }
        &self.piece[..len]
    }

    /// Sends it; gives its hash.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send(mut self, stream: &mut impl Write) -> io::Result<u64> {
        let mut hash = std::hash::DefaultHasher::new();
        loop {
            let piece = self.next();
            if piece.is_empty() {
                return Ok(hash.finish());
            }
            hash.write(piece);
            stream.write_all(piece)?;
        }
    }

    /// Whether these bytes come.
    ///
    /// # Errors
    /// Those of the stream, also when it ends early.
    pub fn compare(mut self, stream: &mut impl Read) -> io::Result<bool> {
        let (mut got, mut same) = (vec![0; PIECE], true);
        loop {
            let piece = self.next();
            if piece.is_empty() {
                return Ok(same);
            }
            stream.read_exact(&mut got[..piece.len()])?;
            same &= got[..piece.len()] == *piece;
        }
    }
}

/// The hash of the next so many bytes, read in the pieces in which they were made.
///
/// # Errors
/// Those of the stream, also when it ends early.
pub fn hash_of(stream: &mut impl Read, bytes: u64) -> io::Result<u64> {
    let (mut hash, mut left, mut got) = (std::hash::DefaultHasher::new(), bytes, vec![0; PIECE]);
    while left > 0 {
        let len = left.min(PIECE as u64) as usize;
        stream.read_exact(&mut got[..len])?;
        hash.write(&got[..len]);
        left -= len as u64;
    }
    Ok(hash.finish())
}
