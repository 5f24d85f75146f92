//! Counters with one writer: the worker that owns them adds, anybody reads and sums.

use std::ops::Index;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// A number that one thread changes and others may read at any time.
///
/// Adding is a relaxed load and a relaxed store, not an atomic read-modify-write: with one writer nothing is lost, and
/// it costs what a plain addition costs.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owning worker may call this.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets the value; only the owner may call this.
    #[inline(always)]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The present value.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Packets and their bytes.
#[derive(Default, Debug)]
pub struct Combined {
    /// Packets.
    pub packets: Counter,
    /// Bytes of those packets.
    pub bytes: Counter,
}

impl Combined {
    /// Adds packets and bytes; only the owning worker may call this.
    #[inline(always)]
    pub fn add(&self, packets: u64, bytes: u64) {
        self.packets.add(packets);
        self.bytes.add(bytes);
    }

    /// Packets and bytes.
    pub fn get(&self) -> (u64, u64) {
        (self.packets.get(), self.bytes.get())
    }
}

/// Counters of one worker, in cache lines that hold nothing else.
#[derive(Debug)]
pub struct Counters {
    lines: Box<[CachePadded<[Counter; 16]>]>,
    len: usize,
}

impl Counters {
    /// So many.
    pub fn new(len: usize) -> Counters {
        Counters { lines: (0..len.div_ceil(16)).map(|_| CachePadded::default()).collect(), len }
    }

    /// The counter of this number, if there is one.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&Counter> {
        (number < self.len).then(|| &self.lines[number / 16][number % 16])
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Counter> {
        self.lines.iter().flat_map(|line| line.iter()).take(self.len)
    }
}

impl Index<usize> for Counters {
    type Output = Counter;

    #[inline]
    fn index(&self, number: usize) -> &Counter {
        &self.lines[number / 16][number % 16]
    }
}
