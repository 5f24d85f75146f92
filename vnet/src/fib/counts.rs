//! What packets were sent by which forwarding entry.

use std::sync::Arc;

use ahash::AHashMap;

use crate::counters::Combined;
use crate::ids::ForwardIndex;

/// Entries whose counters are made at once: 4 KiB for each worker.
const CHUNK: usize = 256;

/// Counters that nobody uses before, between and behind those of workers: 128 bytes, two cache lines, which processors fetch
/// together.
const GAP: usize = 8;

/// From one worker's counters to the next one's.
const STRIDE: usize = CHUNK + GAP;

/// Packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

/// The counters of all forwarding entries, as workers see them. The same counters go from version to version; the
/// control thread makes more before the first version that has entries for them.
///
/// Entry `i` of worker `w` stands in chunk `i / CHUNK` at `GAP + w * STRIDE + i % CHUNK`, so that no two workers write to
/// one cache line.
#[derive(Clone, Default, Debug)]
pub(super) struct Counters {
    chunks: Arc<Vec<Arc<[Combined]>>>,
}

impl Counters {
    /// Adds to what `worker` has sent by an entry; only that worker may call this.
    #[inline(always)]
    pub(super) fn counting(&self, worker: usize) -> impl Fn(ForwardIndex, u64, u64) + Copy {
        let (chunks, own) = (&self.chunks[..], GAP + worker * STRIDE);
        move |entry, packets, bytes| {
            let index = entry.index();
            let chunk = chunks.get(index / CHUNK);
            if let Some(counter) = chunk.and_then(|chunk| chunk.get(own + index % CHUNK)) {
                counter.add(packets, bytes);
            }
        }
    }

    #[cfg(test)]
    fn add(&self, worker: usize, entry: ForwardIndex, packets: u64, bytes: u64) {
        self.counting(worker)(entry, packets, bytes);
    }

    /// What all workers have sent by an entry since there are counters for it.
    fn sum(&self, entry: ForwardIndex) -> Sent {
        let mut sum = Sent::default();
        let Some(chunk) = self.chunks.get(entry.index() / CHUNK) else { return sum };
        for counter in chunk.iter().skip(GAP + entry.index() % CHUNK).step_by(STRIDE) {
            let (packets, bytes) = counter.get();
            sum.packets = sum.packets.wrapping_add(packets);
            sum.bytes = sum.bytes.wrapping_add(bytes);
        }
        sum
    }
}

/// The control thread's side.
#[derive(Debug)]
pub(super) struct Counts {
    workers: usize,
    counters: Counters,
    /// What had been counted when a number came into use again. A counter has one writer, the worker, so nobody else may
    /// set it to 0.
    before: AHashMap<ForwardIndex, Sent>,
}

impl Counts {
    pub(super) fn new() -> Counts {
        Counts { workers: 1, counters: Counters::default(), before: AHashMap::new() }
    }

    /// Makes room for this many workers; what was counted so far is forgotten. Before the first packet, that is nothing.
    pub(super) fn set_workers(&mut self, workers: usize) {
        let chunks = self.counters.chunks.len();
        *self = Counts { workers, ..Counts::new() };
        self.grow(chunks);
    }

    /// A new entry of this number: it begins at 0. What a worker that has not yet seen the end of the number's last entry
    /// still sends by that one is counted here: the rest of one pass at most.
    pub(super) fn begin(&mut self, entry: ForwardIndex) {
        self.grow(entry.index() / CHUNK + 1);
        match self.counters.sum(entry) {
            sum if sum == Sent::default() => self.before.remove(&entry),
            sum => self.before.insert(entry, sum),
        };
    }

    fn grow(&mut self, chunks: usize) {
        if self.counters.chunks.len() < chunks {
            let size = self.workers * STRIDE + GAP;
            let chunk = || (0..size).map(|_| Combined::default()).collect();
            Arc::make_mut(&mut self.counters.chunks).resize_with(chunks, chunk);
        }
    }

    /// What has been sent by an entry.
    pub(super) fn sent(&self, entry: ForwardIndex) -> Sent {
        let (now, before) = (self.counters.sum(entry), self.before.get(&entry).copied().unwrap_or_default());
        Sent { packets: now.packets.wrapping_sub(before.packets), bytes: now.bytes.wrapping_sub(before.bytes) }
    }

    /// The counters, for workers.
    pub(super) fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed_and_a_number_used_again_begins_at_nothing() {
        let mut counts = Counts::new();
        counts.begin(ForwardIndex(0));
        counts.set_workers(3);
        counts.begin(ForwardIndex(5));
        let first = counts.counters();
        (0..3).for_each(|worker| first.add(worker, ForwardIndex(5), 2, 100 + worker as u64));
        // Neither an entry nor a worker that there is not does any harm.
        first.add(3, ForwardIndex(5), 7, 7);
        first.add(0, ForwardIndex(600), 7, 7);
        assert_eq!(counts.sent(ForwardIndex(5)), Sent { packets: 6, bytes: 303 });
        assert_eq!((counts.sent(ForwardIndex(4)), counts.sent(ForwardIndex(600))), Default::default());

        // A version of before more entries were added counts in the same place as one of after.
        counts.begin(ForwardIndex(600));
        counts.counters().add(1, ForwardIndex(5), 1, 1);
        first.add(1, ForwardIndex(5), 1, 1);
        assert_eq!(counts.sent(ForwardIndex(5)), Sent { packets: 8, bytes: 305 });

        counts.begin(ForwardIndex(5));
        assert_eq!(counts.sent(ForwardIndex(5)), Sent::default());
        first.add(2, ForwardIndex(5), 1, 60);
        assert_eq!(counts.sent(ForwardIndex(5)), Sent { packets: 1, bytes: 60 });
    }
}
