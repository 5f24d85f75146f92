//! A ring of records between two threads: one writes, one reads, in order, without locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::counters::Counter;
use crate::mem::HugeArray;

/// A ring. A record is a word that says how long it is, a head of words, and bytes, which begin at a word of their own and go
/// around the ring's end like everything else.
///
/// Everything in it is atomic, so that a mistake could garble records, but nothing else. Words between `head` and
/// `tail` are the reader's, all others the writer's: words are written before `tail` is, with release, and read after it,
/// with acquire; the same the other way with `head`.
pub(crate) struct Ring {
    words: HugeArray<AtomicU64>,
    /// Words ever written; changed by the writer.
    tail: CachePadded<AtomicU64>,
    /// Words ever read; changed by the reader.
    head: CachePadded<AtomicU64>,
    /// What the writer counts.
    pub(crate) written: CachePadded<Written>,
}

/// What the writer of a ring counts.
#[derive(Default)]
pub(crate) struct Written {
    /// Packets that went into the ring.
    pub(crate) packets: Counter,
    /// Bytes of those packets.
    pub(crate) bytes: Counter,
    /// Packets for which it had no room.
    pub(crate) congested: Counter,
}

impl Ring {
    /// A ring of `bytes` bytes, or up to twice as many. Its memory is not touched before it is needed.
    ///
    /// # Errors
    /// When the kernel has no memory left for the mapping.
    pub(crate) fn new(bytes: usize) -> std::io::Result<Arc<Ring>> {
        let words = HugeArray::new((bytes / 8).next_power_of_two().max(8))?;
        let (tail, head, written) = Default::default();
        Ok(Arc::new(Ring { words, tail, head, written }))
    }

    /// Bytes that it holds.
    pub(crate) fn room(&self) -> usize {
        self.words.len() * 8
    }

    /// Bytes that are waiting to be read.
    pub(crate) fn waiting(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Acquire).saturating_sub(head) as usize * 8
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    #[inline(always)]
    fn word(&self, at: u64) -> &AtomicU64 {
        self.words.wrapped(at as usize)
    }
}

/// The writer's end. There must be one only.
pub(crate) struct Writer {
    pub(crate) ring: Arc<Ring>,
    /// Ahead of the ring's own by what is not yet published.
    tail: u64,
    /// As it was when we looked last.
    head: u64,
}

impl Writer {
    pub(crate) fn new(ring: Arc<Ring>) -> Writer {
        let (tail, head) = (ring.tail.load(Ordering::Relaxed), ring.head.load(Ordering::Acquire));
        Writer { ring, tail, head }
    }

    /// Adds a record of this head and `len` bytes, which `pieces` have; `false`, and nothing happens, where there is no
    /// room. The reader does not see it before [`publish`](Writer::publish).
    pub(crate) fn write<'b>(&mut self, head: &[u64], len: usize, pieces: impl Iterator<Item = &'b [u8]>) -> bool {
        let words = 1 + head.len() + len.div_ceil(8);
        if !self.has_room(words) {
            return false;
        }
        let mut pen = Pen { ring: &self.ring, at: self.tail, part: 0, filled: 0 };
        pen.word((words as u64) << 32 | len as u64);
        head.iter().for_each(|word| pen.word(*word));
        pieces.for_each(|piece| pen.bytes(piece));
        pen.end();
        debug_assert_eq!(pen.at, self.tail + words as u64, "the pieces are as long as was said");
        self.tail += words as u64;
        true
    }

    fn has_room(&mut self, words: usize) -> bool {
        let room = self.ring.words.len() as u64;
        if room - (self.tail - self.head) >= words as u64 {
            return true;
        }
        self.head = self.ring.head.load(Ordering::Acquire);
        room - (self.tail - self.head) >= words as u64
    }

    /// Lets the reader see all records; `false` where it has seen them before.
    pub(crate) fn publish(&mut self) -> bool {
        if self.ring.tail.load(Ordering::Relaxed) == self.tail {
            return false;
        }
        self.ring.tail.store(self.tail, Ordering::Release);
        true
    }
}

/// Writes words one after the other, and bytes in words.
struct Pen<'r> {
    ring: &'r Ring,
    at: u64,
    /// Bytes of a word that is not full.
    part: u64,
    /// How many bits of it are.
    filled: u32,
}

impl Pen<'_> {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.ring.word(self.at).store(word, Ordering::Relaxed);
        self.at += 1;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (chunks, tail) = bytes.as_chunks::<8>();
        if self.filled == 0 {
            chunks.iter().for_each(|chunk| self.word(u64::from_le_bytes(*chunk)));
        } else {
            for chunk in chunks {
                let word = u64::from_le_bytes(*chunk);
                self.word(self.part | word << self.filled);
                self.part = word >> (64 - self.filled);
            }
        }
        for byte in tail {
            self.part |= u64::from(*byte) << self.filled;
            self.filled += 8;
            if self.filled == 64 {
                self.end();
            }
        }
    }

    /// Writes what does not fill a word.
    fn end(&mut self) {
        if self.filled > 0 {
            self.word(self.part);
            (self.part, self.filled) = (0, 0);
        }
    }
}

/// The reader's end. There must be one only.
pub(crate) struct Reader {
    pub(crate) ring: Arc<Ring>,
    /// Ahead of the ring's own by what is not yet given back.
    head: u64,
    /// As it was when we looked last.
    tail: u64,
}

impl Reader {
    pub(crate) fn new(ring: Arc<Ring>) -> Reader {
        let (head, tail) = (ring.head.load(Ordering::Relaxed), ring.tail.load(Ordering::Acquire));
        Reader { ring, head, tail }
    }

    /// The head of the next record, if there is one; it stays where it is.
    #[inline]
    pub(crate) fn peek<const HEAD: usize>(&mut self) -> Option<[u64; HEAD]> {
        if self.head == self.tail {
            self.tail = self.ring.tail.load(Ordering::Acquire);
            if self.head == self.tail {
                return None;
            }
        }
        Some(std::array::from_fn(|at| self.ring.word(self.head + 1 + at as u64).load(Ordering::Relaxed)))
    }

    /// Takes the record that [`peek`](Reader::peek) has shown: `with` gets the number of its bytes and them, in order.
    pub(crate) fn take<const HEAD: usize, R>(&mut self, with: impl FnOnce(usize, &mut Bytes<'_>) -> R) -> R {
        let word = self.ring.word(self.head).load(Ordering::Relaxed);
        let len = word as u32 as usize;
        let mut bytes = Bytes { ring: &self.ring, at: self.head + 1 + HEAD as u64, part: 0, left: 0 };
        let result = with(len, &mut bytes);
        self.head = (self.head + (word >> 32)).min(self.tail);
        result
    }

    /// Gives the room of what was taken back to the writer.
    pub(crate) fn give_back(&mut self) {
        if self.ring.head.load(Ordering::Relaxed) != self.head {
            self.ring.head.store(self.head, Ordering::Release);
        }
    }
}

/// Reads the bytes of a record one after the other.
pub(crate) struct Bytes<'r> {
    ring: &'r Ring,
    at: u64,
    /// The word of which some bytes are left.
    part: u64,
    left: u32,
}

impl Bytes<'_> {
    /// Fills `out` with the next bytes.
    pub(crate) fn read(&mut self, out: &mut [u8]) {
        let (first, out) = out.split_at_mut(out.len().min(self.left as usize));
        self.single(first);
        let (chunks, last) = out.as_chunks_mut::<8>();
        for chunk in chunks {
            *chunk = self.word().to_le_bytes();
        }
        if !last.is_empty() {
            (self.part, self.left) = (self.word(), 8);
            self.single(last);
        }
    }

    fn single(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.part as u8;
            self.part >>= 8;
            self.left -= 1;
        }
    }

    #[inline(always)]
    fn word(&mut self) -> u64 {
        let word = self.ring.word(self.at).load(Ordering::Relaxed);
        self.at += 1;
        word
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
