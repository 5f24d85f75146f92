//! What a node counts: written by the worker that runs it, read by the control thread.

use super::node::ErrorInfo;
use crate::counters::{Counter, Counters};

/// Counters of one node in one worker. No other worker's memory is in the same cache lines, nor in those beside them, which
/// processors fetch together.
#[derive(Debug)]
#[repr(align(128))]
pub struct NodeStats {
    /// Times the node ran.
    pub calls: Counter,
    /// Packets it ran over.
    pub vectors: Counter,
    /// Time-stamp-counter cycles it took.
    pub clocks: Counter,
    /// Cycles of the dearest call, and its packets.
    pub max_clock: Counter,
    /// Packets of the dearest call.
    pub max_clock_vectors: Counter,
    /// One for each of the node's errors.
    pub errors: Counters,
    /// What each of them says.
    pub reasons: &'static [ErrorInfo],
    /// The node's name.
    pub name: std::sync::Arc<str>,
}

impl NodeStats {
    pub(crate) fn new(name: std::sync::Arc<str>, reasons: &'static [ErrorInfo]) -> NodeStats {
        let counter = Counter::default;
        NodeStats {
            calls: counter(),
            vectors: counter(),
            clocks: counter(),
            max_clock: counter(),
            max_clock_vectors: counter(),
            errors: Counters::new(reasons.len()),
            reasons,
            name,
        }
    }

    #[inline]
    pub(crate) fn ran(&self, packets: usize, clocks: u64) {
        self.calls.add(1);
        self.vectors.add(packets as u64);
        self.clocks.add(clocks);
        if clocks > self.max_clock.get() {
            self.max_clock.set(clocks);
            self.max_clock_vectors.set(packets as u64);
        }
    }

    /// Sets the runtime counts to 0; only the owning worker may call this.
    pub(crate) fn clear_runtime(&self) {
        for counter in [&self.calls, &self.vectors, &self.clocks, &self.max_clock, &self.max_clock_vectors] {
            counter.set(0);
        }
    }

    /// Sets the error counts to 0; only the owning worker may call this.
    pub(crate) fn clear_errors(&self) {
        self.errors.iter().for_each(|counter| counter.set(0));
    }
}
