//! Nodes at the ends of the graph: devices that transmit, and the places where packets are dropped.

use std::sync::Arc;

use super::frame::{Frame, VECTOR};
use super::node::ErrorCodes;
use super::parts::{Locals, Notice, Now, Parts};
use super::tally::Tally;
use super::{Dispatch, TRACING};
use crate::ids::IfIndex;
use crate::interface::IfStats;
use crate::mem::{Buffer, Lendable, Lending, Loan, Memory, Packet, lend_some};
use crate::tables::Tables;

/// A node that ends the life of packets: it sees a whole vector, and the engine frees what was in it afterwards.
pub trait SinkNode: Send + Sized + 'static {
    /// What can go wrong or is worth counting.
    type Error: ErrorCodes;
    /// What `show trace` prints of the node.
    type Trace: trace::Record;

    /// Transmits, counts, or forgets the packets.
    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>);

    /// What to remember of a traced packet; called before [`consume`](SinkNode::consume).
    fn trace(&self, cx: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> Self::Trace;
}

/// Packets: a frame's, or those at its end.
pub struct Vector<'v> {
    pub(super) memory: &'v Memory,
    /// One at least, [`VECTOR`] at most; fewer than there were once some are lent ([`SinkCx::lend`]) or left out
    /// ([`Vector::rest`]).
    pub(super) buffers: &'v mut [Buffer],
    pub(super) tally: Option<Tally>,
}

impl Vector<'_> {
    /// How many there are; at least one, unless some were lent.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.buffers.len().min(VECTOR)
    }

    /// What the node before has told of all the packets.
    #[inline(always)]
    pub fn tally(&self) -> Option<Tally> {
        self.tally
    }

    /// The packet at this place.
    ///
    /// # Panics
    /// When `at` is not below [`Vector::len`].
    #[inline(always)]
    pub fn packet(&mut self, at: usize) -> Packet<'_> {
        self.memory.packet(&mut self.buffers[at])
    }

    /// The first packet; none where all were lent or left out.
    #[inline(always)]
    pub fn first(&mut self) -> Option<Packet<'_>> {
        self.buffers.first_mut().map(|buffer| self.memory.packet(buffer))
    }

    /// The packets, in order.
    #[inline(always)]
    pub fn packets(&mut self) -> impl Iterator<Item = Packet<'_>> {
        let memory = self.memory;
        self.buffers.iter_mut().map(|buffer| memory.packet(buffer))
    }

    /// Those from this place on; none if it is the end.
    #[inline(always)]
    pub fn rest(&mut self, from: usize) -> Vector<'_> {
        let from = from.min(self.buffers.len());
        Vector { memory: self.memory, buffers: &mut self.buffers[from..], tally: None }
    }

    /// Hands out the packets in order for as long as they are `taken`; gives how many were.
    #[inline(always)]
    pub fn head(&mut self, mut taken: impl FnMut(&mut Packet<'_>) -> bool) -> usize {
        let memory = self.memory;
        let mut buffers = self.buffers.iter_mut();
        let first = buffers.position(|buffer| !taken(&mut memory.packet(buffer)));
        first.unwrap_or(self.buffers.len())
    }

    /// The same, each packet with what was staged for it.
    #[inline(always)]
    pub fn head_with<T: Copy>(&mut self, staged: &[T], mut taken: impl FnMut(&mut Packet<'_>, T) -> bool) -> usize {
        let memory = self.memory;
        let mut pairs = self.buffers.iter_mut().zip(staged);
        let count = pairs.len();
        let first = pairs.position(|(buffer, &staged)| !taken(&mut memory.packet(buffer), staged));
        first.unwrap_or(count)
    }
}

/// What `consume` may use.
pub struct SinkCx<'c, 'p, N: SinkNode> {
    /// Everything that is configured.
    pub tables: &'c Tables,
    parts: &'c mut Parts<'p>,
    /// Packets at the front of the frame whose buffers a device has now.
    lent: usize,
    _node: std::marker::PhantomData<N>,
}

impl<N: SinkNode> SinkCx<'_, '_, N> {
    /// The time of this pass.
    pub fn now(&self) -> Now {
        self.parts.now
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

    /// This worker's buffers, for a device that reads and writes them itself.
    #[inline(always)]
    pub fn lending(&mut self) -> Lending<'_> {
        Lending::new(self.parts.pool)
    }

    /// Lends the packets' own buffers to a device, as far as `each` takes them; chains are not offered. What is left in the
    /// vector, in any order, are the others.
    #[inline(always)]
    pub fn lend(&mut self, vector: &mut Vector<'_>, loan: &mut Loan, each: impl FnMut(Lendable) -> bool) {
        let lent = lend_some(vector.memory, vector.buffers, loan, each);
        self.lent += lent;
        vector.buffers = &mut std::mem::take(&mut vector.buffers)[lent..];
    }

    /// Counts the reason that a node gave for dropping the packet, under that node.
    #[inline]
    pub fn count_reason(&self, packet: &Packet<'_>) {
        let error = packet.meta().error;
        if let Some(counter) = self
            .parts
            .all_stats
            .get((error >> 16) as usize)
            .and_then(|stats| stats.errors.get((error & 0xffff) as usize))
        {
            counter.add(1);
        }
    }

    /// The node that dropped the packet and its reason.
    pub fn reason(&self, packet: &Packet<'_>) -> (Arc<str>, &'static str) {
        let error = packet.meta().error;
        let stats = self.parts.all_stats.get((error >> 16) as usize).unwrap_or(&self.parts.all_stats[0]);
        let reason = stats.reasons.get((error & 0xffff) as usize).map_or("no reason noted", |info| info.text);
        (stats.name.clone(), reason)
    }

    /// Tells the control thread something; `false` where its queue is full.
    pub fn notify(&mut self, notice: Notice) -> bool {
        self.parts.notify(notice)
    }
}

/// A [`SinkNode`] and what running it needs.
pub(crate) struct Sink<N: SinkNode>(pub(crate) N);

impl<N: SinkNode> Dispatch for Sink<N> {
    fn dispatch(&mut self, parts: &mut Parts<'_>, _: &mut Locals, frame: &mut Box<Frame>) {
        if frame.buffers.is_empty() {
            return;
        }
        if TRACING && frame.traced {
            self.record(parts, frame);
        }
        let (tables, memory) = (parts.tables, parts.memory);
        let mut cx = SinkCx { tables, parts, lent: 0, _node: std::marker::PhantomData };
        self.0.consume(&mut cx, &mut Vector { memory, buffers: &mut frame.buffers, tally: None });
        let lent = cx.lent;
        if lent > 0 {
            // Their tokens are bits in a loan now.
            frame.buffers.drain(..lent);
        }
        parts.pool.free_all(&mut frame.buffers);
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        &mut self.0
    }
}

impl<N: SinkNode> Sink<N> {
    #[cold]
    fn record(&self, parts: &mut Parts<'_>, frame: &mut Frame) {
        let (stamp, tables, memory) = (parts.stamp(), parts.tables, parts.memory);
        for buffer in &mut frame.buffers {
            let packet = memory.packet(buffer);
            if packet.is_traced() {
                let cx = SinkCx { tables, parts: &mut *parts, lent: 0, _node: std::marker::PhantomData };
                let record = self.0.trace(&cx, &packet);
                parts.trace.store.add(packet.meta().trace, stamp, &parts.stats.name, record);
            }
        }
    }
}
