//! `ip4-lookup` and `ip4-load-balance`, `ip6-lookup` and `ip6-load-balance`: where a packet goes.
//!
//! Uses: the destination address (`ip4-load-balance`: the flow). Sets: `meta.forward`, `meta.dpo`, `meta.flow_hash`.
//! Next: the node that the forwarding entry names.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use trace::{Record, Text};
use vnet::fib::{Forward, ForwardKind, Snapshot};
use vnet::{Cx, ForwardIndex, NodeId, NodeSpec, Packet, PacketNode, Scope, Vector, node_errors};

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

/// What comes in together often goes to the same place, above all to a balancer: such packets are looked up once. Others are
/// looked up some at a time, which takes less time than one by one.
struct Lookup<A> {
    ahead: Ahead,
    family: PhantomData<A>,
}

impl<A: Ip> Lookup<A> {
    fn new() -> Self {
        Lookup { ahead: Ahead::default(), family: PhantomData }
    }

    /// Looks up where the packets from here on go, as many as are best done together.
    #[inline(always)]
    fn look_ahead(&mut self, fib: &Snapshot<A>, vector: &mut Vector<'_>) {
        let mut destinations = [A::UNSPECIFIED; AHEAD];
        let mut places = destinations.iter_mut();
        let read = vector.head(|packet| match (places.next(), A::destination(packet.data())) {
            (Some(place), Some(destination)) => {
                *place = destination;
                true
            }
            _ => false,
        });
        fib.find_many(&destinations[..read], &mut self.ahead.entries[..read]);
        (self.ahead.at, self.ahead.end) = (0, read);
    }

    /// Sends packets on as long as they go to this node; gives how many. By itself, so that the loop for packets of one destination has
    /// all registers.
    #[inline(never)]
    fn go_on(&mut self, cx: &Cx<'_, '_, Self>, mut vector: Vector<'_>, node: NodeId) -> usize {
        let fib = A::fib(cx.tables);
        // An entry that there is not goes to another node than this one.
        let none = Forward::drop(cx.number_of(Next::Drop));
        let (forwards, count) = (fib.forwards(&none), fib.counting(cx.worker()));
        let send = |packet: &mut Packet<'_>, entry: ForwardIndex| {
            let forward = forwards(entry);
            let same = forward.node == node;
            if same {
                note(packet, entry, forward);
                count(entry, 1, packet.len() as u64);
            }
            same
        };
        let mut done = 0;
        while done < vector.len() {
            let mut rest = vector.rest(done);
            if self.ahead.is_empty() {
                self.look_ahead(fib, &mut rest);
            }
            let sent = rest.head_with(self.ahead.entries(), |packet, entry| send(packet, entry));
            self.ahead.at += sent;
            done += sent;
            if sent == 0 || !self.ahead.is_empty() {
                break;
            }
        }
        done
    }
}

/// Puts into a packet what was found for it.
#[inline(always)]
fn note(packet: &mut Packet<'_>, entry: ForwardIndex, forward: Forward) {
    let meta = packet.meta_mut();
    (meta.forward, meta.dpo) = (forward.index, entry.0);
}

/// Entries at most that are looked up ahead.
const AHEAD: usize = 32;

/// Packets of one destination that make it worth while to look for more of them.
const RUN: usize = 4;

/// What was found for the packets that come next. None of it is left after the vector.
#[derive(Default)]
struct Ahead {
    entries: [ForwardIndex; AHEAD],
    at: usize,
    end: usize,
}

impl Ahead {
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    #[inline(always)]
    fn entries(&self) -> &[ForwardIndex] {
        self.entries.get(self.at..self.end).unwrap_or_default()
    }

    #[inline(always)]
    fn set(&mut self, entry: ForwardIndex) {
        self.entries[0] = entry;
        (self.at, self.end) = (0, 1);
    }

    #[inline(always)]
    fn take(&mut self) -> Option<ForwardIndex> {
        let entry = self.entries().first().copied();
        self.at += 1;
        entry
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

    /// The packets for one destination, as a balancer's mostly are, or for many behind the same node.
    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next<A>) {
        let fib = A::fib(cx.tables);
        if let Some(entry) = self.ahead.entries().first() {
            let forward = fib.forward(*entry);
            // Packets that go nowhere are dropped one by one.
            let done = if forward.is_drop() { 0 } else { self.go_on(cx, vector.rest(0), forward.node) };
            return (done, Next::To(forward.node));
        }
        let Some(first) = A::destination(vector.packet(0).data()) else { return (0, Next::Drop) };
        let entry = fib.find(first);
        let forward = fib.forward(entry);
        if forward.is_drop() {
            self.ahead.set(entry);
            return (0, Next::Drop);
        }
        // 32 bits are enough for a vector, and adding the packet's length in two parts is two instructions.
        let mut bytes = 0u32;
        let same = vector.head(|packet| {
            let same = A::destination(packet.data()) == Some(first);
            if same {
                note(packet, entry, forward);
                bytes = bytes.wrapping_add(packet.len() as u32);
            }
            same
        });
        fib.count(cx.worker(), entry, same as u64, bytes.into());
        let more = if same < RUN && same < vector.len() { self.go_on(cx, vector.rest(same), forward.node) } else { 0 };
        (same + more, Next::To(forward.node))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next<A> {
        let Some(destination) = A::destination(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        let fib = A::fib(cx.tables);
        let entry = self.ahead.take().unwrap_or_else(|| fib.find(destination));
        let forward = fib.forward(entry);
        note(packet, entry, forward);
        match forward.kind {
            ForwardKind::Drop => cx.blame(packet, Error::NoRoute),
            ForwardKind::DropRoute => cx.blame(packet, Error::DropRoute),
            _ => {}
        }
        fib.count(cx.worker(), entry, 1, packet.len() as u64);
        Next::To(forward.node)
    }

    #[inline(always)]
    fn end(&mut self, _: &mut Cx<'_, '_, Self>, _: usize) {
        (self.ahead.at, self.ahead.end) = (0, 0);
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
