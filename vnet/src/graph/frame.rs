//! Vectors of packets on their way between nodes.

use std::collections::VecDeque;

use crate::ids::NodeId;
use crate::mem::Buffer;

/// Packets in a full vector.
pub const VECTOR: usize = 256;

/// Up to [`VECTOR`] packets.
pub(crate) struct Frame {
    pub(crate) buffers: Vec<Buffer>,
    /// Whether a traced packet may be among them.
    pub(crate) traced: bool,
}

impl Frame {
    pub(crate) fn new() -> Frame {
        Frame { buffers: Vec::with_capacity(VECTOR), traced: false }
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
    open: Vec<Frame>,
    full: Vec<VecDeque<Frame>>,
    queued: Vec<bool>,
    ready: VecDeque<NodeId>,
    spare: Vec<Frame>,
}

impl Queues {
    pub(crate) fn new() -> Queues {
        Queues { open: Vec::new(), full: Vec::new(), queued: Vec::new(), ready: VecDeque::new(), spare: Vec::new() }
    }

    pub(crate) fn grow(&mut self, nodes: usize) {
        while self.open.len() < nodes {
            self.open.push(Frame::new());
            self.full.push(VecDeque::new());
            self.queued.push(false);
            self.ready.reserve(self.open.len() + 1);
        }
    }

    #[inline(always)]
    fn announce(&mut self, node: NodeId) {
        if !self.queued[node.index()] {
            self.queued[node.index()] = true;
            self.ready.push_back(node);
        }
    }

    #[cold]
    fn turn_over(&mut self, node: NodeId) {
        let fresh = self.spare.pop().unwrap_or_else(Frame::new);
        let full = std::mem::replace(&mut self.open[node.index()], fresh);
        self.full[node.index()].push_back(full);
    }

    /// Adds one packet to the node's queue.
    #[inline(always)]
    pub(crate) fn push(&mut self, node: NodeId, buffer: Buffer, traced: bool) {
        if self.open[node.index()].buffers.len() >= VECTOR {
            self.turn_over(node);
        }
        let open = &mut self.open[node.index()];
        open.buffers.push(buffer);
        open.traced |= traced;
        self.announce(node);
    }

    /// Adds a whole vector, which is left empty: by exchanging frames where the node's own is empty.
    #[inline]
    pub(crate) fn push_all(&mut self, node: NodeId, frame: &mut Frame) {
        let open = &mut self.open[node.index()];
        if open.buffers.is_empty() {
            std::mem::swap(open, frame);
        } else {
            let traced = frame.traced;
            if open.buffers.len() + frame.buffers.len() > VECTOR {
                self.turn_over(node);
            }
            let open = &mut self.open[node.index()];
            open.buffers.append(&mut frame.buffers);
            open.traced |= traced;
        }
        self.announce(node);
    }

    /// The next node to run and its packets, put into `into`.
    #[inline]
    pub(crate) fn take(&mut self, into: &mut Frame) -> Option<NodeId> {
        debug_assert!(into.buffers.is_empty());
        into.traced = false;
        let node = *self.ready.front()?;
        let index = node.index();
        if let Some(full) = self.full[index].pop_front() {
            let empty = std::mem::replace(into, full);
            self.spare.push(empty);
        } else {
            std::mem::swap(&mut self.open[index], into);
            self.queued[index] = false;
            self.ready.pop_front();
        }
        Some(node)
    }

    /// Whether nothing waits anywhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}
