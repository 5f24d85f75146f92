//! Vectors of packets on their way between nodes.
// Frames are handed on in their boxes, also those that nobody uses now.
#![allow(clippy::vec_box)]

use std::collections::VecDeque;

use super::tally::Tally;
use crate::ids::NodeId;
use crate::mem::Buffer;

/// Packets in a full vector.
pub const VECTOR: usize = 256;

/// Up to [`VECTOR`] packets. Frames travel in boxes: handing one on moves a pointer.
pub(crate) struct Frame {
    pub(crate) buffers: Vec<Buffer>,
    /// Whether a traced packet may be among them.
    pub(crate) traced: bool,
    /// What is known of so many packets: of all of them, if there are no more.
    pub(super) tally: (usize, Tally),
}

impl Frame {
    pub(crate) fn new() -> Box<Frame> {
        Box::new(Frame { buffers: Vec::with_capacity(VECTOR), traced: false, tally: (0, Tally::NONE) })
    }

    /// What is known of all of the packets.
    #[inline(always)]
    pub(super) fn tally(&self) -> Option<Tally> {
        (self.tally.0 == self.buffers.len()).then_some(self.tally.1)
    }
}

/// A packet that a node keeps for later. It must come back by [`Cx::release`](super::Cx::release) or
/// [`Worker::release`](crate::Worker::release), or be discarded the same way; one that is lost stays in use.
#[derive(Debug)]
#[must_use]
pub struct Held {
    pub(crate) buffer: Buffer,
    /// Whose buffer it is: a packet never changes hands between workers this way.
    pub(crate) pool: usize,
}

/// The frames that wait in front of each node, and the order in which nodes run.
pub(crate) struct Queues {
    waiting: Vec<Waiting>,
    ready: VecDeque<NodeId>,
    spare: Vec<Box<Frame>>,
}

/// What waits in front of a node: one cache line.
#[repr(align(64))]
struct Waiting {
    /// Packets are added here.
    open: Box<Frame>,
    /// Those that came before: there are some only where more than a vector waits.
    full: VecDeque<Box<Frame>>,
    /// Whether the node is in the order.
    queued: bool,
}

impl Queues {
    pub(crate) fn new() -> Queues {
        Queues { waiting: Vec::new(), ready: VecDeque::new(), spare: Vec::new() }
    }

    pub(crate) fn grow(&mut self, nodes: usize) {
        while self.waiting.len() < nodes {
            self.waiting.push(Waiting { open: Frame::new(), full: VecDeque::new(), queued: false });
            self.ready.reserve(self.waiting.len() + 1);
        }
    }

    /// Adds one packet to the node's queue.
    #[inline(always)]
    pub(crate) fn push(&mut self, node: NodeId, buffer: Buffer, traced: bool) {
        let waiting = &mut self.waiting[node.index()];
        if waiting.open.buffers.len() >= VECTOR {
            waiting.turn_over(&mut self.spare);
        }
        waiting.open.buffers.push(buffer);
        waiting.open.traced |= traced;
        waiting.announce(node, &mut self.ready);
    }

    /// Adds a whole vector, which is left empty: by exchanging frames where the node's own is empty.
    #[inline]
    pub(crate) fn push_all(&mut self, node: NodeId, frame: &mut Box<Frame>) {
        let waiting = &mut self.waiting[node.index()];
        if waiting.open.buffers.is_empty() {
            std::mem::swap(&mut waiting.open, frame);
        } else {
            waiting.append(frame, &mut self.spare);
        }
        waiting.announce(node, &mut self.ready);
    }

    /// The next node to run and its packets, put into `into`.
    #[inline]
    pub(crate) fn take(&mut self, into: &mut Box<Frame>) -> Option<NodeId> {
        debug_assert!(into.buffers.is_empty());
        (into.traced, into.tally.0) = (false, 0);
        let node = *self.ready.front()?;
        let waiting = &mut self.waiting[node.index()];
        if waiting.full.is_empty() {
            std::mem::swap(&mut waiting.open, into);
            waiting.queued = false;
            self.ready.pop_front();
        } else if let Some(full) = waiting.full.pop_front() {
            self.spare.push(std::mem::replace(into, full));
        }
        Some(node)
    }

    /// Whether nothing waits anywhere.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

impl Waiting {
    #[inline(always)]
    fn announce(&mut self, node: NodeId, ready: &mut VecDeque<NodeId>) {
        if !self.queued {
            self.queued = true;
            ready.push_back(node);
        }
    }

    #[cold]
    fn turn_over(&mut self, spare: &mut Vec<Box<Frame>>) {
        let fresh = spare.pop().unwrap_or_else(Frame::new);
        self.full.push_back(std::mem::replace(&mut self.open, fresh));
    }

    #[inline(never)]
    fn append(&mut self, frame: &mut Frame, spare: &mut Vec<Box<Frame>>) {
        if self.open.buffers.len() + frame.buffers.len() > VECTOR {
            self.turn_over(spare);
        }
        self.open.buffers.append(&mut frame.buffers);
        self.open.traced |= frame.traced;
    }
}
