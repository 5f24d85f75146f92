//! A worker while its nodes run, taken apart once for all of them.

use super::LoopStats;
use crate::graph::{Dispatch, Frame, Locals, Parts, Poll};
use crate::ids::NodeId;

/// One pass over the graph.
pub(super) struct Pass<'w> {
    pub(super) parts: Parts<'w>,
    pub(super) inputs: &'w [NodeId],
    pub(super) nodes: &'w mut [Box<dyn Dispatch>],
    pub(super) locals: &'w mut Locals,
    /// The frame that the node gets that runs.
    pub(super) frame: &'w mut Box<Frame>,
    pub(super) clock: &'w quanta::Clock,
    /// When the last node ended, by the time-stamp counter: where the next one begins, so that it is read once for each.
    pub(super) ended: u64,
    pub(super) counts: &'w LoopStats,
}

impl Pass<'_> {
    /// Runs an input node.
    #[inline(always)]
    pub(super) fn poll(&mut self, node: NodeId) -> Poll {
        self.turn_to(node);
        let poll = self.nodes[node.index()].poll(&mut self.parts, self.locals);
        let clocks = self.clocks();
        if let Poll::Busy(packets) = poll {
            self.parts.stats.ran(packets, clocks);
        }
        poll
    }

    /// Runs nodes until no packet waits; gives the number of frames.
    #[inline]
    pub(super) fn drain(&mut self) -> usize {
        let (mut frames, mut packets) = (0, 0);
        while let Some(node) = self.parts.queues.take(self.frame) {
            let count = self.frame.buffers.len();
            self.turn_to(node);
            self.nodes[node.index()].dispatch(&mut self.parts, self.locals, self.frame);
            debug_assert!(self.frame.buffers.is_empty());
            let clocks = self.clocks();
            self.parts.stats.ran(count, clocks);
            frames += 1;
            packets += count;
        }
        if frames > 0 {
            self.counts.frames.add(frames as u64);
            self.counts.vectors.add(packets as u64);
        }
        frames
    }

    #[inline(always)]
    fn turn_to(&mut self, node: NodeId) {
        (self.parts.node, self.parts.stats) = (node, &self.parts.all_stats[node.index()]);
    }

    /// Cycles since the last node ended.
    #[inline(always)]
    fn clocks(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.ended, self.clock.raw());
        self.ended.wrapping_sub(before)
    }
}
