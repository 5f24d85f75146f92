//! `ip4-lookup` and `ip4-load-balance`, `ip6-lookup` and `ip6-load-balance`: where a packet goes.
//!
//! Uses: the destination address (`ip4-load-balance`: the flow). Sets: `meta.forward`, `meta.dpo`, `meta.flow_hash`.
//! Next: the node that the forwarding entry names.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use trace::{Record, Text};
use vnet::fib::ForwardKind;
use vnet::{Cx, ForwardIndex, NodeId, NodeSpec, Packet, PacketNode, Reason, Scope, Vector, node_errors};

use super::{Ip, next_nodes_of};
use crate::ip4::HeaderTrace;

next_nodes_of! {
    /// Where the look-up nodes send packets.
    pub enum Next {
        /// Not a packet of the family at all.
        Drop => DROP,
        ; /// The node that the forwarding entry names.
        To(NodeId)
    }
}

node_errors! {
    /// Why the look-up nodes drop.
    pub enum Error {
        /// No prefix covers the destination, or none that can be used now.
        NoRoute => error "no route",
        /// A route says to drop.
        DropRoute => error "blackholed by a route",
        /// Shorter than an IP header; only a broken node sends one here.
        Short => error "packet too short",
    }
}

pub(crate) fn nodes() -> Vec<NodeSpec> {
    vec![
        NodeSpec::packet("ip4-lookup", |_| Lookup::<Ipv4Addr>::new()),
        NodeSpec::packet("ip4-load-balance", |_| LoadBalance::<Ipv4Addr>(PhantomData)),
        NodeSpec::packet("ip6-lookup", |_| Lookup::<Ipv6Addr>::new()),
        NodeSpec::packet("ip6-load-balance", |_| LoadBalance::<Ipv6Addr>(PhantomData)),
    ]
}

/// Remembers, within a vector, the last destination and what was found: what comes in together often goes to the same
/// place, above all to a balancer. Where it does not, this is one comparison more.
struct Lookup<A: Ip> {
    last: Found<A>,
    /// What went there since it was last counted.
    packets: u64,
    bytes: u64,
}

impl<A: Ip> Lookup<A> {
    fn new() -> Self {
        Lookup { last: Found::NOTHING, packets: 0, bytes: 0 }
    }

    /// Counts what went to the last destination, once for a run of packets.
    #[inline(always)]
    fn settle(&mut self, cx: &Cx<'_, '_, Lookup<A>>) {
        A::fib(cx.tables).count(cx.worker(), ForwardIndex(self.last.dpo), self.packets, self.bytes);
        (self.packets, self.bytes) = (0, 0);
    }
}

/// What the tables say of a destination.
#[derive(Clone, Copy)]
struct Found<A: Ip> {
    destination: A::Word,
    index: u32,
    dpo: u32,
    node: NodeId,
    /// For packets that go nowhere.
    why: Reason,
}

impl<A: Ip> Found<A> {
    /// Before the first packet.
    const NOTHING: Self = Found { destination: A::NOTHING, index: 0, dpo: 0, node: NodeId(0), why: Reason::NONE };

    #[inline(always)]
    fn new(cx: &Cx<'_, '_, Lookup<A>>, destination: A) -> Self {
        let fib = A::fib(cx.tables);
        let entry = fib.find(destination);
        let forward = fib.forward(entry);
        let why = match forward.kind {
            ForwardKind::Drop => cx.reason(Error::NoRoute),
            ForwardKind::DropRoute => cx.reason(Error::DropRoute),
            _ => Reason::NONE,
        };
        Found { destination: destination.word(), index: forward.index, dpo: entry.0, node: forward.node, why }
    }

    #[inline(always)]
    fn note_in(&self, packet: &mut Packet<'_>) {
        let meta = packet.meta_mut();
        (meta.forward, meta.dpo) = (self.index, self.dpo);
        packet.note(self.why);
    }
}

/// `fib N dpo-idx N flow hash: 0x…` and the IP header.
#[derive(serde::Serialize)]
pub struct LookupTrace {
    fib: u32,
    dpo: u32,
    flow_hash: u32,
    header: HeaderTrace,
}

impl LookupTrace {
    fn new<A: Ip>(packet: &Packet<'_>) -> Self {
        let meta = packet.meta();
        LookupTrace { fib: 0, dpo: meta.dpo, flow_hash: meta.flow_hash, header: HeaderTrace::of::<A>(packet) }
    }
}

impl Record for LookupTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("fib {} dpo-idx {} flow hash: 0x{:08x}", self.fib, self.dpo, self.flow_hash));
        self.header.text(text);
    }
}

impl<A: Ip> PacketNode for Lookup<A> {
    type Next = Next<A>;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = LookupTrace;

    /// The packets for one destination, as a balancer's mostly are.
    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next<A>) {
        let Some(first) = A::destination(vector.packet(0).data()) else { return (0, Next::Drop) };
        self.settle(cx);
        let found = Found::new(cx, first);
        if found.why != Reason::NONE {
            // Packets that go nowhere, one by one.
            self.last = found;
            return (0, Next::Drop);
        }
        // 32 bits are enough for a vector, and adding the packet's length in two parts is two instructions.
        let mut bytes = 0u32;
        let same = vector.head(|packet| {
            let same = A::destination(packet.data()) == Some(first);
            if same {
                let meta = packet.meta_mut();
                (meta.forward, meta.dpo) = (found.index, found.dpo);
                bytes = bytes.wrapping_add(packet.len() as u32);
            }
            same
        });
        (self.last, self.packets, self.bytes) = (found, same as u64, bytes.into());
        (same, Next::To(found.node))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next<A> {
        let Some(destination) = A::destination(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        if destination.word() != self.last.destination {
            self.settle(cx);
            self.last = Found::new(cx, destination);
        }
        self.last.note_in(packet);
        self.packets += 1;
        self.bytes += packet.len() as u64;
        Next::To(self.last.node)
    }

    #[inline(always)]
    fn end(&mut self, cx: &mut Cx<'_, '_, Self>, _: usize) {
        self.settle(cx);
        self.last = Found::NOTHING;
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> LookupTrace {
        LookupTrace::new::<A>(packet)
    }
}

struct LoadBalance<A>(PhantomData<A>);

impl<A: Ip> PacketNode for LoadBalance<A> {
    type Next = Next<A>;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = LookupTrace;

    #[inline]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next<A> {
        let hash = A::flow_hash(packet.data());
        let forward = A::fib(cx.tables).pick(packet.meta().forward, hash);
        let meta = packet.meta_mut();
        (meta.forward, meta.flow_hash) = (forward.index, hash);
        if forward.is_drop() {
            cx.blame(packet, Error::NoRoute);
        }
        Next::To(forward.node)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> LookupTrace {
        LookupTrace::new::<A>(packet)
    }
}
