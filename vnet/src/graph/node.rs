//! The contract of a node.

use super::frame::Held;
use super::parts::{Notice, Now, Parts};
use super::sink::Vector;
use super::tally::Tally;
use crate::arcs::{self, ArcIndex, ArcStart};
use crate::ids::{IfIndex, NodeId};
use crate::interface::IfStats;
use crate::mem::Packet;
use crate::tables::Tables;

/// A node that takes packets one at a time; the adapter owns the loops.
///
/// [`stage`](PacketNode::stage) runs over the whole vector first, [`finish`](PacketNode::finish) second. What `stage`
/// computes must not depend on what `finish` of an earlier packet of the vector may change: a hash, a bucket to prefetch.
pub trait PacketNode: Send + Sized + 'static {
    /// Where packets go; see [`next_nodes!`](crate::next_nodes).
    type Next: NextNodes;
    /// What can go wrong or is worth counting; see [`node_errors!`](crate::node_errors).
    type Error: ErrorCodes;
    /// A plugin's part of the [`Tables`], read by all workers; `()` for nodes that need none.
    type Shared: Send + Sync + 'static;
    /// State of the worker that several nodes share; `()` for nodes that need none.
    type Local: Send + 'static;
    /// What the first pass hands to the second; a type without size skips the first pass.
    type Staged: Copy + Default + Send;
    /// What `show trace` prints of the node: owned values.
    type Trace: trace::Record;

    /// Record the trace before [`finish`](PacketNode::finish), for nodes that turn the packet into another.
    const TRACE_ON_ENTRY: bool = false;

    /// First pass: computes and prefetches. What it keeps in `self` is for the packets of this vector only.
    #[inline(always)]
    fn stage(&mut self, scope: &Scope<'_, Self::Shared, Self::Local>, packet: &Packet<'_>) -> Self::Staged {
        let _ = (scope, packet);
        Self::Staged::default()
    }

    /// Called once between the passes: for what is the same for the whole vector, and for what is better done with all
    /// that `stage` has given than packet by packet, such as loads that depend on one another.
    #[inline(always)]
    fn begin(&mut self, cx: &mut Cx<'_, '_, Self>, staged: &mut [Self::Staged]) {
        let _ = (cx, staged);
    }

    /// Called after `begin` with a vector in which nothing is traced: does the work for the packets at its head that are of
    /// the common kind and all go to the same place. Gives their number and the place, which need not be noted for each
    /// of them. `finish` sees the first that is left; then, if there were some, this is called for those after that. By
    /// default `finish` sees all.
    #[inline(always)]
    fn at_once(
        &mut self,
        cx: &mut Cx<'_, '_, Self>,
        vector: &mut Vector<'_>,
        staged: &[Self::Staged],
    ) -> (usize, Self::Next) {
        let _ = (cx, vector, staged);
        (0, Self::Next::drop())
    }

    /// Second pass: changes the packet and says where it goes.
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: Self::Staged) -> Self::Next;

    /// Called once after `finish` has seen the whole vector: for counts that are gathered per vector.
    #[inline(always)]
    fn end(&mut self, cx: &mut Cx<'_, '_, Self>, packets: usize) {
        let _ = (cx, packets);
    }

    /// Takes a packet for which `finish` said `Hold`. The default discards it without a reason.
    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        cx.discard(packet);
    }

    /// What to remember of a traced packet.
    fn trace(
        &self,
        scope: &Scope<'_, Self::Shared, Self::Local>,
        packet: &Packet<'_>,
        staged: Self::Staged,
    ) -> Self::Trace;
}

/// What `stage` and `trace` may look at.
pub struct Scope<'s, S, L> {
    /// Everything that is configured.
    pub tables: &'s Tables,
    /// The node's plugin's part of it.
    pub shared: &'s S,
    /// The worker's state, to read.
    pub local: &'s L,
    /// The time of this pass.
    pub now: Now,
    /// The number of the worker that runs the node.
    pub worker: usize,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the node of this number in [`NextNodes::NAMES`].
    Static(u8),
    /// To the node that a table named.
    To(NodeId),
    /// Nowhere: the node keeps it.
    Hold,
}

/// The set of a node's next nodes.
pub trait NextNodes: Copy {
    /// Their names; the first is the way to drop.
    const NAMES: &'static [&'static str];
    /// Where this one goes.
    fn target(self) -> Target;
    /// The way to drop.
    fn drop() -> Self;
}

/// How bad an error is, as `show errors` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Severity {
    /// A packet was lost.
    Error,
    /// Something odd happened.
    Warn,
    /// Merely counted.
    Info,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warn => "warn",
            Severity::Info => "info",
        })
    }
}

/// An error's sentence and severity.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct ErrorInfo {
    /// The sentence.
    pub text: &'static str,
    /// How bad it is.
    pub severity: Severity,
}

/// The set of a node's errors.
pub trait ErrorCodes: Copy {
    /// All of them, in the order of their codes.
    const LIST: &'static [ErrorInfo];
    /// This one's place in the list.
    fn code(self) -> u16;
}

/// For nodes without errors.
#[derive(Clone, Copy, Debug)]
pub enum NoErrors {}
impl ErrorCodes for NoErrors {
    const LIST: &'static [ErrorInfo] = &[];
    fn code(self) -> u16 {
        match self {}
    }
}

/// A node and one of its errors, as [`Packet::note`] notes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub(crate) u32);

impl Reason {
    /// None yet.
    pub const NONE: Reason = Reason(0);
}

/// The pool is exhausted; the packet that was to be made was not.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no free buffer")]
pub struct NoBuffers;

/// What `finish` may use besides the packet.
pub struct Cx<'c, 'p, N: PacketNode> {
    /// Everything that is configured.
    pub tables: &'c Tables,
    /// The plugin's part of it.
    pub shared: &'c N::Shared,
    /// The worker's state for the node's family.
    pub local: &'c mut N::Local,
    pub(super) parts: &'c mut Parts<'p>,
    pub(super) nexts: &'c [NodeId],
}

impl<N: PacketNode> Cx<'_, '_, N> {
    /// The time of this pass.
    #[inline(always)]
    pub fn now(&self) -> Now {
        self.parts.now
    }

    /// The node itself, for packets that shall come back to it.
    pub fn this_node(&self) -> NodeId {
        self.parts.node
    }

    /// The number of a next node; that of the way to drop for `Hold`.
    #[inline(always)]
    pub fn number_of(&self, next: N::Next) -> NodeId {
        match next.target() {
            Target::Static(slot) => self.nexts[usize::from(slot)],
            Target::To(node) => node,
            Target::Hold => self.nexts[0],
        }
    }

    /// The number of the worker that runs the node.
    #[inline(always)]
    pub fn worker(&self) -> usize {
        self.parts.worker
    }

    /// Counts an event.
    #[inline(always)]
    pub fn count(&self, error: N::Error) {
        self.count_times(error, 1);
    }

    /// Tells the next node what the packets come to that [`at_once`](PacketNode::at_once) settles now; passed on if those are all of
    /// the vector, and nothing else waits there.
    #[inline(always)]
    pub fn tell(&mut self, tally: Tally) {
        self.parts.told = Some(tally);
    }

    /// Counts so many of one kind.
    #[inline(always)]
    pub fn count_times(&self, error: N::Error, times: u64) {
        self.parts.stats.errors[usize::from(error.code())].add(times);
    }

    /// Notes why the packet is dropped and gives the way to drop. It is counted, under this node, when it gets there.
    #[inline(always)]
    pub fn drop(&self, packet: &mut Packet<'_>, error: N::Error) -> N::Next {
        self.blame(packet, error);
        N::Next::drop()
    }

    /// Notes why the packet is dropped, for nodes that drop by another way than their first next node.
    #[inline(always)]
    pub fn blame(&self, packet: &mut Packet<'_>, error: N::Error) {
        packet.note(self.reason(error));
    }

    /// An error as it is noted in packets, for nodes that note the same in many.
    #[inline(always)]
    pub fn reason(&self, error: N::Error) -> Reason {
        Reason(u32::from(self.parts.node.0) << 16 | u32::from(error.code()))
    }

    /// Makes a packet and sends it. `build` gets an empty packet that shares the trace and the interface of `parent`;
    /// where it says `false` the packet is thrown away.
    ///
    /// # Errors
    /// When the pool is exhausted.
    pub fn emit(
        &mut self,
        parent: &Packet<'_>,
        build: impl FnOnce(&mut Packet<'_>) -> Option<N::Next>,
    ) -> Result<(), NoBuffers> {
        self.emit_chain(parent, &mut std::iter::empty(), build)
    }

    /// As [`emit`](Cx::emit), with `body` appended first; the packet becomes a chain where it is long.
    ///
    /// # Errors
    /// When the pool is exhausted.
    pub fn emit_chain(
        &mut self,
        parent: &Packet<'_>,
        body: &mut dyn Iterator<Item = &[u8]>,
        build: impl FnOnce(&mut Packet<'_>) -> Option<N::Next>,
    ) -> Result<(), NoBuffers> {
        let (rx, trace) = (parent.meta().rx, parent.meta().trace);
        let Some((node, buffer)) = self.parts.build(rx, trace, body, |packet| {
            Some(match build(packet)?.target() {
                Target::Static(slot) => self.nexts[usize::from(slot)],
                Target::To(node) => node,
                Target::Hold => return None,
            })
        })?
        else {
            return Ok(());
        };
        self.parts.queues.push(node, buffer, trace != 0);
        Ok(())
    }

    /// Lets `look` see a packet that is held, for nodes that must know in [`held`](PacketNode::held) what it is.
    pub fn look_at<R>(&self, held: &mut Held, look: impl FnOnce(&Packet<'_>) -> R) -> R {
        look(&self.parts.pool.held(held))
    }

    /// Sends a packet that was held on to `next`, changed by `change` first.
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

    /// Throws a held packet away without a count; count the reason first.
    pub fn discard(&mut self, held: Held) {
        let buffer = self.parts.pool.take_back(held);
        self.parts.pool.free(buffer);
    }

    /// The way into an arc for the packets of an interface; `None`: it has no features there.
    #[inline(always)]
    pub fn arc(&self, arc: ArcIndex, interface: IfIndex) -> Option<ArcStart> {
        self.tables.arc(arc).first(arc, interface)
    }

    /// For a feature: the next feature of the packet's arc, or `None` at the arc's end.
    #[inline]
    pub fn next_feature(&self, packet: &mut Packet<'_>) -> Option<NodeId> {
        let (cursor, meta) = (packet.meta().feature, packet.meta());
        let arc = ArcIndex(arcs::arc_of(cursor) as u8);
        let interface = if arc == arcs::INTERFACE_OUTPUT { meta.tx } else { meta.rx };
        let (node, cursor) = self.tables.arc(arc).after(interface, cursor)?;
        packet.meta_mut().feature = cursor;
        Some(node)
    }

    /// Tells the control thread something; `false` where its queue is full.
    pub fn notify(&mut self, notice: Notice) -> bool {
        self.parts.notify(notice)
    }

    /// This worker's counters of an interface; those of `local0` where there is none of that number.
    #[inline(always)]
    pub fn interface(&self, interface: IfIndex) -> &IfStats {
        self.parts.interface(interface)
    }
}
