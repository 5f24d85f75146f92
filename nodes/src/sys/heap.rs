//! The heap of the C library, which keeps free memory that lies between used pieces until it is told to hand it back.

use super::raw;

/// Free memory, in bytes, that has to come together before it is handed back.
const MUCH: usize = 64 << 20;

/// Watches this process's heap. One for a process is enough.
#[derive(Debug, Default)]
pub struct Heap {
    /// Free at the last look, or when it was less since. What was handed back still counts as free in the C library.
    known: usize,
}

impl Heap {
    /// Hands free memory back to the kernel if much of it has come together since the last time, as when routes went by the
    /// hundred thousand; says whether it did. That takes some ten milliseconds.
    pub fn look(&mut self) -> bool {
        let much = self.has_grown(raw::heap_free());
        if much {
            raw::heap_trim();
        }
        much
    }

    fn has_grown(&mut self, free: usize) -> bool {
        let much = free > self.known + MUCH;
        self.known = if much { free } else { self.known.min(free) };
        much
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_handed_back_once_for_each_time_that_much_came_free() {
        let mut heap = Heap::default();
        let looks = [1, 60, 70, 75, 130, 140, 20, 80, 90].map(|mb| heap.has_grown(mb << 20));
        assert_eq!(looks, [false, false, true, false, false, true, false, false, true]);
    }

    #[test]
    fn the_real_heap_can_be_looked_at() {
        let pieces: Vec<Vec<u8>> = (0..2000).map(|_| vec![1; 60_000]).collect();
        let mut heap = Heap { known: usize::MAX - MUCH };
        assert!(!heap.look());
        drop(pieces);
        heap.known = 0;
        heap.look();
        assert!(heap.known <= 1 << 40, "{heap:?}");
    }
}
