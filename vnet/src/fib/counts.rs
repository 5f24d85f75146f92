//! What packets were sent by which forwarding entry.

use std::sync::Arc;

use ahash::AHashMap;

use crate::counters::Combined;
use crate::ids::ForwardIndex;

/// Entries that there are counters for at least.
const FEWEST: usize = 256;

/// Counters that nobody uses in front of and behind those of a worker: 128 bytes, two cache lines, which processors fetch
/// together.
const GAP: usize = 8;

/// Packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

/// The counters of all forwarding entries, as workers see them: of each worker by the entry's number. The same counters go from
/// version to version; the control thread makes new ones, for twice as many entries, before the first version that has entries for
/// them.
///
/// A worker's stand between gaps, so that no two workers write to one cache line.
#[derive(Clone, Default, Debug)]
pub(super) struct Counters {
    workers: Arc<[Box<[Combined]>]>,
}

impl Counters {
    fn new(workers: usize, entries: usize) -> Counters {
        let one = || (0..entries + 2 * GAP).map(|_| Combined::default()).collect();
        Counters { workers: (0..workers).map(|_| one()).collect() }
    }

    fn of(&self, worker: usize) -> &[Combined] {
        let all = self.workers.get(worker).map_or(&[][..], |all| all);
        all.get(GAP..all.len().saturating_sub(GAP)).unwrap_or_default()
    }

    /// Adds to what `worker` has sent by an entry; only that worker may call this.
    #[inline(always)]
    pub(super) fn counting(&self, worker: usize) -> impl Fn(ForwardIndex, u64, u64) + Copy {
        let own = self.of(worker);
        move |entry, packets, bytes| {
            if let Some(counter) = own.get(entry.index()) {
                counter.add(packets, bytes);
            }
        }
    }

    #[cfg(test)]
    fn add(&self, worker: usize, entry: ForwardIndex, packets: u64, bytes: u64) {
        self.counting(worker)(entry, packets, bytes);
    }
}

/// The control thread's side.
#[derive(Debug)]
pub(super) struct Counts {
    workers: usize,
    /// All that ever were, the last ones in use: in each stands what was sent while there were no later ones.
    all: Vec<Counters>,
    /// How many entries the last ones have room for.
    room: usize,
    /// What had been counted when a number came into use again. A counter has one writer, the worker, so nobody else may
    /// set it to 0.
    before: AHashMap<ForwardIndex, Sent>,
}

impl Counts {
    pub(super) fn new() -> Counts {
        Counts { workers: 1, all: Vec::new(), room: 0, before: AHashMap::new() }
    }

    /// Makes room for this many workers; what was counted so far is forgotten. Before the first packet, that is nothing.
    pub(super) fn set_workers(&mut self, workers: usize) {
        let room = self.room;
        *self = Counts { workers, ..Counts::new() };
        self.grow(room);
    }

    /// A new entry of this number: it begins at 0. What a worker that has not yet seen the end of the number's last entry
    /// still sends by that one is counted here: the rest of one pass at most.
    pub(super) fn begin(&mut self, entry: ForwardIndex) {
        self.grow(entry.index() + 1);
        match self.sum(entry) {
            sum if sum == Sent::default() => self.before.remove(&entry),
            sum => self.before.insert(entry, sum),
        };
    }

    fn grow(&mut self, entries: usize) {
        if self.room < entries {
            self.room = entries.next_power_of_two().max(FEWEST);
            self.all.push(Counters::new(self.workers, self.room));
        }
    }

    /// What all workers have sent by an entry since there are counters for it.
    fn sum(&self, entry: ForwardIndex) -> Sent {
        let mut sum = Sent::default();
        for counters in &self.all {
            for counter in (0..self.workers).filter_map(|worker| counters.of(worker).get(entry.index())) {
                let (packets, bytes) = counter.get();
                sum.packets = sum.packets.wrapping_add(packets);
                sum.bytes = sum.bytes.wrapping_add(bytes);
            }
        }
        sum
    }

    /// What has been sent by an entry.
    pub(super) fn sent(&self, entry: ForwardIndex) -> Sent {
        let (now, before) = (self.sum(entry), self.before.get(&entry).copied().unwrap_or_default());
        Sent { packets: now.packets.wrapping_sub(before.packets), bytes: now.bytes.wrapping_sub(before.bytes) }
    }

    /// The counters, for workers.
    pub(super) fn counters(&self) -> Counters {
        self.all.last().cloned().unwrap_or_default()
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

        // What a version of before more entries were added counts is in the sum, too.
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
