//! Nodes that bring packets into the graph.

use std::marker::PhantomData;

use super::frame::{Frame, VECTOR};
use super::node::{ErrorCodes, NextNodes, NoBuffers, Target};
use super::parts::{Locals, Notice, Now, Parts};
use super::{Dispatch, Held, TRACING};
use crate::ids::{IfIndex, NodeId};
use crate::interface::IfStats;
use crate::mem::{Buffer, Lending, Packet, Returned};
use crate::tables::Tables;

/// What an input node found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Nothing to do until one of the watched descriptors is ready.
    Idle,
    /// So many packets; poll again at once.
    Busy(usize),
    /// Nothing to do before this time (nanoseconds since the router started).
    Until(u64),
}

/// A node that brings packets into the graph, polled once per pass. An idle worker sleeps until one of the descriptors
/// given to [`Worker::watch`](crate::Worker::watch) is readable, or mail arrives.
pub trait InputNode: Send + Sized + 'static {
    /// Where packets go.
    type Next: NextNodes;
    /// What can go wrong or is worth counting.
    type Error: ErrorCodes;
    /// State of the worker that several nodes share; `()` for none.
    type Local: Send + 'static;
    /// What `show trace` prints of the node.
    type Trace: trace::Record;

    /// Brings in at most a vector of packets.
    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll;
}

/// What `poll` may use.
pub struct InputCx<'c, 'p, N: InputNode> {
    /// Everything that is configured.
    pub tables: &'c Tables,
    /// The worker's state for the node's family.
    pub local: &'c mut N::Local,
    parts: &'c mut Parts<'p>,
    nexts: &'c [NodeId],
    delivered: usize,
    /// Packets of this node are to be traced.
    tracing: bool,
    _node: PhantomData<N>,
}

impl<N: InputNode> InputCx<'_, '_, N> {
    /// The time of this pass.
    #[inline(always)]
    pub fn now(&self) -> Now {
        self.parts.now
    }

    /// The number of the worker that runs the node.
    pub fn worker(&self) -> usize {
        self.parts.worker
    }

    /// Packets that may still be delivered in this pass: what is left of the vector, and of the pool.
    #[inline(always)]
    pub fn room(&self) -> usize {
        (VECTOR - self.delivered.min(VECTOR)).min(self.parts.pool.available())
    }

    /// Counts an event.
    #[inline(always)]
    pub fn count(&self, error: N::Error, times: u64) {
        self.parts.stats.errors[usize::from(error.code())].add(times);
    }

    /// This worker's counters of an interface.
    #[inline(always)]
    pub fn interface(&self, interface: IfIndex) -> &IfStats {
        self.parts.interface(interface)
    }

    /// Makes a packet of `bytes` (a chain where they are long), lets `finish` complete it and sends it on. `record`
    /// says what the trace remembers, if this packet is traced. The caller counts the interface's `rx`, once a vector.
    ///
    /// # Errors
    /// When the pool is exhausted; the packet is lost and counted as the interface's `no_buffers`.
    #[inline]
    pub fn deliver(
        &mut self,
        rx: IfIndex,
        bytes: &[u8],
        finish: impl FnOnce(&mut Packet<'_>) -> N::Next,
        record: impl FnOnce(&Packet<'_>) -> N::Trace,
    ) -> Result<(), NoBuffers> {
        let Some(mut buffer) = self.parts.pool.alloc() else {
            self.parts.interface(rx).no_buffers.add(1);
            return Err(NoBuffers);
        };
        let memory = self.parts.memory;
        let whole = memory.packet(&mut buffer).append_fresh(bytes);
        if !whole && !self.parts.pool.append(&mut buffer, bytes) {
            self.parts.pool.free(buffer);
            self.parts.interface(rx).no_buffers.add(1);
            return Err(NoBuffers);
        }
        self.send_on(rx, buffer, finish, record);
        Ok(())
    }

    /// As [`InputCx::deliver`], for a frame that a device has put into a buffer of this worker itself.
    #[inline(always)]
    pub fn deliver_returned(
        &mut self,
        rx: IfIndex,
        frame: Returned,
        finish: impl FnOnce(&mut Packet<'_>) -> N::Next,
        record: impl FnOnce(&Packet<'_>) -> N::Trace,
    ) {
        self.send_on(rx, frame.0, finish, record);
    }

    /// This worker's buffers, for a device that reads and writes them itself.
    #[inline(always)]
    pub fn lending(&mut self) -> Lending<'_> {
        Lending::new(self.parts.pool)
    }

    #[inline(always)]
    fn send_on(
        &mut self,
        rx: IfIndex,
        mut buffer: Buffer,
        finish: impl FnOnce(&mut Packet<'_>) -> N::Next,
        record: impl FnOnce(&Packet<'_>) -> N::Trace,
    ) {
        let mut packet = self.parts.memory.packet(&mut buffer);
        packet.meta_mut().rx = rx;
        let next = finish(&mut packet);
        let node = match next.target() {
            Target::Static(slot) => self.nexts[usize::from(slot)],
            Target::To(node) => node,
            Target::Hold => self.nexts[0],
        };
        self.delivered += 1;
        if TRACING && self.tracing {
            return self.send_traced(node, buffer, record);
        }
        self.parts.queues.push(node, buffer, false);
    }

    /// All by value: what it took by reference would lie in memory for each packet that is not traced, too.
    #[cold]
    #[inline(never)]
    fn send_traced(&mut self, next: NodeId, mut buffer: Buffer, record: impl FnOnce(&Packet<'_>) -> N::Trace) {
        let traced = self.begin_trace(&mut self.parts.memory.packet(&mut buffer), record);
        self.parts.queues.push(next, buffer, traced);
    }

    fn begin_trace(&mut self, packet: &mut Packet<'_>, record: impl FnOnce(&Packet<'_>) -> N::Trace) -> bool {
        let node = self.parts.node;
        let Some(handle) = self.parts.trace.store.begin(node.0) else { return false };
        let wanted = &mut self.parts.trace.wanted[node.index()];
        *wanted -= 1;
        self.tracing = *wanted != 0;
        packet.meta_mut().trace = handle;
        let stamp = self.parts.stamp();
        self.parts.trace.store.add(handle, stamp, &self.parts.stats.name, record(packet));
        true
    }

    /// Sends on a packet that was held in the worker's state.
    pub fn release(&mut self, held: Held, change: impl FnOnce(&mut Packet<'_>) -> N::Next) {
        let mut buffer = self.parts.pool.take_back(held);
        let mut packet = self.parts.pool.packet(&mut buffer);
        let (next, traced) = (change(&mut packet), packet.is_traced());
        match next.target() {
            Target::Static(slot) => self.parts.queues.push(self.nexts[usize::from(slot)], buffer, traced),
            Target::To(node) => self.parts.queues.push(node, buffer, traced),
            Target::Hold => self.parts.pool.free(buffer),
        }
    }

    /// Drops a packet that was held in the worker's state, for a reason.
    pub fn release_as(&mut self, held: Held, error: N::Error) {
        let node = self.parts.node;
        self.release(held, |packet| {
            packet.meta_mut().error = u32::from(node.0) << 16 | u32::from(error.code());
            N::Next::drop()
        });
    }

    /// Notes why a packet is dropped and gives the way to drop.
    pub fn drop(&self, packet: &mut Packet<'_>, error: N::Error) -> N::Next {
        packet.meta_mut().error = u32::from(self.parts.node.0) << 16 | u32::from(error.code());
        N::Next::drop()
    }

    /// Tells the control thread something; `false` where its queue is full.
    pub fn notify(&mut self, notice: Notice) -> bool {
        self.parts.notify(notice)
    }
}

/// An [`InputNode`] and what running it needs.
pub(crate) struct Input<N: InputNode> {
    node: N,
    nexts: Box<[NodeId]>,
    local_slot: usize,
}

impl<N: InputNode> Input<N> {
    pub(crate) fn new(node: N, nexts: Box<[NodeId]>, local_slot: usize) -> Self {
        Input { node, nexts, local_slot }
    }
}

impl<N: InputNode> Dispatch for Input<N> {
    fn dispatch(&mut self, parts: &mut Parts<'_>, _: &mut Locals, frame: &mut Box<Frame>) {
        // Nobody sends to an input node; a table that did would lose its packets here, without a reason.
        parts.pool.free_all(&mut frame.buffers);
    }

    fn poll(&mut self, parts: &mut Parts<'_>, locals: &mut Locals) -> Poll {
        let tracing = TRACING && parts.trace.wanted[parts.node.index()] != 0;
        self.node.poll(&mut InputCx {
            tracing,
            tables: parts.tables,
            local: locals.at::<N::Local>(self.local_slot),
            parts,
            nexts: &self.nexts,
            delivered: 0,
            _node: PhantomData,
        })
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        &mut self.node
    }
}
