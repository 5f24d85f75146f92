//! `ip4-input` and `ip6-input`: what claims to be an IP packet is checked here, once; later nodes trust it.
//!
//! Uses: the header. Sets: the packet's length (link padding is cut off), the interface's `ip4` or `ip6` count. Next: the
//! features of `ip4-unicast` or `ip6-unicast`, then the look-up; what else [`Enter::Next`] names.

use std::marker::PhantomData;

use vnet::arcs::{ArcIndex, ArcStart};
use vnet::interface::{IfStats, Interface};
use vnet::{Cx, ErrorCodes, IfIndex, NextNodes, NodeId, NodeSpec, Packet, PacketNode, Scope, Tables, Vector};

use super::Ip;
use crate::ip4::HeaderTrace;

/// A family's packets as they come in.
pub(crate) trait Enter: Ip {
    /// The node.
    const NODE: &'static str;
    /// Where it sends packets.
    type Next: NextNodes + From<NodeId>;
    /// Why it drops.
    type Error: ErrorCodes;
    /// The features that sound packets go through first.
    const ARC: ArcIndex;
    /// Where they go then.
    const ONWARD: Self::Next;
    /// The interface has no address of the family.
    const NOT_ENABLED: Self::Error;

    /// Whether the interface takes the family's packets.
    fn is_enabled(interface: &Interface) -> bool;
    /// Counts packets of the family.
    fn count(stats: &IfStats, packets: u64);
    /// Whether a packet is sound and of the most common kind.
    fn is_common(tables: &Tables, packet: &Packet<'_>) -> bool;
    /// Checks any packet and cuts off its padding; gives where it goes, or `None` for the usual way.
    ///
    /// # Errors
    /// It is to be dropped.
    fn judge(tables: &Tables, packet: &mut Packet<'_>) -> Result<Option<Self::Next>, Self::Error>;
}

pub(crate) fn node<A: Enter>() -> NodeSpec {
    NodeSpec::packet(A::NODE, |_| Input::<A> { run: NOBODY, packets: 0, _family: PhantomData })
}

/// Looks at an interface once for a run of packets that came in by it: a vector mostly is one run.
struct Input<A> {
    run: Run,
    packets: u64,
    _family: PhantomData<A>,
}

/// What is the same for all packets of a run.
#[derive(Clone, Copy)]
struct Run {
    rx: IfIndex,
    way: ArcStart,
}

/// Before the first run: no packet comes in by an interface of this number.
const NOBODY: Run = Run { rx: IfIndex(u32::MAX), way: ArcStart::NONE };

impl Run {
    /// Whether a packet is one of the run, and sound, and of the most common kind.
    #[inline(always)]
    fn takes<A: Enter>(self, tables: &Tables, packet: &Packet<'_>) -> bool {
        packet.meta().rx == self.rx && A::is_common(tables, packet)
    }
}

impl<A: Enter> Input<A> {
    /// The first packet of a run; one that is not of the most common kind, or is to be dropped.
    #[inline(never)]
    fn uncommon(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> NodeId {
        let next = self.judge(cx, packet);
        cx.number_of(next)
    }

    fn judge(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> A::Next {
        let rx = packet.meta().rx;
        if rx != self.run.rx && !self.change(cx, rx) {
            A::count(cx.interface(rx), 1);
            return cx.drop(packet, A::NOT_ENABLED);
        }
        self.packets += 1;
        match A::judge(cx.tables, packet) {
            Err(error) => cx.drop(packet, error),
            Ok(Some(next)) => next,
            Ok(None) => self.run.way.enter(packet).into(),
        }
    }

    /// Begins a run; `false`: the interface takes no packets of the family.
    fn change(&mut self, cx: &Cx<'_, '_, Self>, rx: IfIndex) -> bool {
        self.settle(cx);
        let enabled = A::is_enabled(cx.tables.interface(rx));
        let way = cx.arc(A::ARC, rx).unwrap_or(ArcStart::none(cx.number_of(A::ONWARD)));
        self.run = if enabled { Run { rx, way } } else { NOBODY };
        enabled
    }

    fn settle(&mut self, cx: &Cx<'_, '_, Self>) {
        A::count(cx.interface(self.run.rx), std::mem::take(&mut self.packets));
    }
}

impl<A: Enter> PacketNode for Input<A> {
    type Next = A::Next;
    type Error = A::Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, A::Next) {
        let rx = vector.packet(0).meta().rx;
        if rx != self.run.rx {
            self.change(cx, rx);
        }
        let (run, tables) = (self.run, cx.tables);
        let done = vector.head(|packet| {
            let takes = run.takes::<A>(tables, packet);
            if takes {
                run.way.enter(packet);
            }
            takes
        });
        self.packets += done as u64;
        (done, run.way.node().into())
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> A::Next {
        if self.run.takes::<A>(cx.tables, packet) {
            self.packets += 1;
            return self.run.way.enter(packet).into();
        }
        self.uncommon(cx, &mut packet.again()).into()
    }

    #[inline(always)]
    fn end(&mut self, cx: &mut Cx<'_, '_, Self>, _: usize) {
        self.settle(cx);
        self.run = NOBODY;
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<A>(packet)
    }
}
