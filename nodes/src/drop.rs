//! Where packets end that go nowhere: `ip4-drop` or `ip6-drop`, and `error-drop`, before `drop`; the same
//! of `punt`.
//!
//! Uses: the reason that a node noted. Sets: the reason's count, the interface's `drops` or `punt`. Next: none.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use trace::{Record, Text};
use vnet::{Cx, NoErrors, NodeSpec, Packet, PacketNode, Scope, SinkCx, SinkNode, Vector, next_nodes};

use crate::ip::Ip;
use crate::ip4::HeaderTrace;

next_nodes! {
    /// Where `error-drop` sends packets.
    pub enum DropNext {
        /// The end.
        Drop => "drop",
    }
}

next_nodes! {
    /// Where `error-punt` sends packets.
    pub enum PuntNext {
        /// The end.
        Punt => "punt",
    }
}

next_nodes! {
    /// Where `ip4-drop` and `ip6-drop` send packets.
    pub enum IpDropNext {
        /// On to the end.
        Drop => "error-drop",
    }
}

next_nodes! {
    /// Where `ip4-punt` and `ip6-punt` send packets.
    pub enum IpPuntNext {
        /// On to the end.
        Punt => "error-punt",
    }
}

/// The nodes of this file.
pub(crate) fn nodes() -> Vec<NodeSpec> {
    vec![
        NodeSpec::sink("drop", |_| End { punt: false }),
        NodeSpec::sink("punt", |_| End { punt: true }),
        NodeSpec::packet("error-drop", |_| Before(DropNext::Drop)),
        NodeSpec::packet("error-punt", |_| Before(PuntNext::Punt)),
        NodeSpec::packet("ip4-drop", |_| IpEnd::<_, Ipv4Addr>(IpDropNext::Drop, PhantomData)),
        NodeSpec::packet("ip4-punt", |_| IpEnd::<_, Ipv4Addr>(IpPuntNext::Punt, PhantomData)),
        NodeSpec::packet("ip6-drop", |_| IpEnd::<_, Ipv6Addr>(IpDropNext::Drop, PhantomData)),
        NodeSpec::packet("ip6-punt", |_| IpEnd::<_, Ipv6Addr>(IpPuntNext::Punt, PhantomData)),
    ]
}

/// Shows the interface that the packet came in by.
struct Before<X>(X);

/// `rx:IF`
#[derive(serde::Serialize)]
pub struct RxTrace {
    rx: Arc<str>,
}

impl Record for RxTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("rx:{}", self.rx));
    }
}

impl<X: vnet::NextNodes + Send + 'static> PacketNode for Before<X> {
    type Next = X;
    type Error = NoErrors;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = RxTrace;
    fn finish(&mut self, _: &mut Cx<'_, '_, Self>, _: &mut Packet<'_>, (): ()) -> X {
        self.0
    }
    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> RxTrace {
        RxTrace { rx: scope.tables.interface(packet.meta().rx).name.clone() }
    }
}

/// The IP steps before the end: they show the packet once more.
struct IpEnd<X, A>(X, PhantomData<A>);

impl<X: vnet::NextNodes + Send + 'static, A: Ip> PacketNode for IpEnd<X, A> {
    type Next = X;
    type Error = NoErrors;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = AdjacencyTrace;
    fn finish(&mut self, _: &mut Cx<'_, '_, Self>, _: &mut Packet<'_>, (): ()) -> X {
        self.0
    }
    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> AdjacencyTrace {
        AdjacencyTrace::of::<A>(packet)
    }
}

/// `fib:N adj:N flow:0x…` and the IP header, as VPP prints them at the ends of IP forwarding.
#[derive(serde::Serialize)]
pub struct AdjacencyTrace {
    fib: u32,
    adj: u32,
    flow: u32,
    header: HeaderTrace,
}

impl AdjacencyTrace {
    /// What stands in an IPv4 packet now.
    pub fn new(packet: &Packet<'_>) -> AdjacencyTrace {
        Self::of::<Ipv4Addr>(packet)
    }

    /// What stands in a packet of the family now.
    pub fn of<A: Ip>(packet: &Packet<'_>) -> AdjacencyTrace {
        let meta = packet.meta();
        AdjacencyTrace { fib: 0, adj: meta.forward, flow: meta.flow_hash, header: HeaderTrace::of::<A>(packet) }
    }
}

impl Record for AdjacencyTrace {
    fn text(&self, text: &mut Text) {
        text.nest(2, |text| {
            text.line(format_args!("fib:{} adj:{} flow:0x{:08x}", self.fib, self.adj, self.flow));
        });
        self.header.text(text);
    }
}

/// The end: counts and forgets.
struct End {
    punt: bool,
}

/// `NODE: reason`
#[derive(serde::Serialize)]
pub struct ReasonTrace {
    node: Arc<str>,
    reason: &'static str,
}

impl Record for ReasonTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("{}: {}", self.node, self.reason));
    }
}

impl SinkNode for End {
    type Error = NoErrors;
    type Trace = ReasonTrace;

    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            cx.count_reason(&packet);
            let stats = cx.interface(packet.meta().rx);
            if self.punt { stats.punt.add(1) } else { stats.drops.add(1) }
        }
    }

    fn trace(&self, cx: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> ReasonTrace {
        let (node, reason) = cx.reason(packet);
        ReasonTrace { node, reason }
    }
}
