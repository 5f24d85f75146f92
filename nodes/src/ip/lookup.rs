//! `ip4-lookup` and `ip4-load-balance`, `ip6-lookup` and `ip6-load-balance`: where a packet goes.
//!
//! Uses: the destination address (`ip4-load-balance`: the flow). Sets: `meta.forward`, `meta.dpo`, `meta.flow_hash`.
//! Next: the node that the forwarding entry names.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use trace::{Record, Text};
use vnet::fib::{Forward, ForwardKind, Snapshot};
use vnet::{Cx, ForwardIndex, NodeId, NodeSpec, Packet, PacketNode, Scope, Vector, node_errors};

use super::recent::Recent;
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

/// What comes in together often goes to the same place, above all to a balancer: such packets are looked up once. Of others it is
/// mostly known where they go. What is not known is looked up some at a time, which takes less time than one by one.
struct Lookup<A> {
    recent: Recent<A>,
    ahead: Ahead,
}

impl<A: Ip> Lookup<A> {
    fn new() -> Self {
        Lookup { recent: Recent::new(), ahead: Ahead::default() }
    }

    /// The entry for a destination, kept if it was not known.
    #[inline(always)]
    fn find(&mut self, fib: &Snapshot<A>, destination: A) -> ForwardIndex {
        self.recent.get(destination).unwrap_or_else(|| {
            let entry = fib.find(destination);
            self.recent.put(fib, destination, entry);
            entry
        })
    }

    /// Looks up where the packets from here on go, as many as are best done together: more and more, while most of them are new.
    #[inline(always)]
    fn look_ahead(&mut self, fib: &Snapshot<A>, vector: &mut Vector<'_>, known: usize) {
        let many = if known < FEW { (2 * self.ahead.many).clamp(FEW, AHEAD) } else { FEW };
        let mut destinations = [A::UNSPECIFIED; AHEAD];
        let mut places = destinations.iter_mut().take(many);
        let read = vector.head(|packet| match (places.next(), A::destination(packet.data())) {
            (Some(place), Some(destination)) => {
                *place = destination;
                true
            }
            _ => false,
        });
        fib.find_many(&destinations[..read], &mut self.ahead.entries[..read]);
        (self.ahead.at, self.ahead.end, self.ahead.many) = (0, read, many);
        // Where all are new, it does not pay to keep all.
        for (destination, entry) in destinations.iter().zip(self.ahead.entries()).take(FEW) {
            self.recent.put(fib, *destination, *entry);
        }
    }

    /// Sends packets on as long as they go to this node; gives how many. By itself, so that the loop for packets of one destination has
    /// all registers.
    #[inline(never)]
    fn go_on(&mut self, cx: &Cx<'_, '_, Self>, mut vector: Vector<'_>, node: NodeId) -> usize {
        let fib = A::fib(cx.tables);
        // An entry that there is not goes to another node than this one.
        let none = Forward::drop(cx.number_of(Next::Drop));
        let (forwards, count) = (fib.forwards(&none), fib.counting(cx.worker()));
        let mut done = 0;
        loop {
            if self.ahead.is_empty() {
                let find = self.recent.to(node);
                let known = vector.rest(done).head(|packet| {
                    let Some(slot) = A::destination(packet.data()).and_then(find) else { return false };
                    note(packet, slot.entry, slot.index);
                    count(slot.entry, 1, packet.len() as u64);
                    true
                });
                done += known;
                let mut rest = vector.rest(done);
                let is_new =
                    |packet: Packet<'_>| A::destination(packet.data()).is_some_and(|to| self.recent.get(to).is_none());
                if !rest.first().is_some_and(is_new) {
                    return done;
                }
                self.look_ahead(fib, &mut rest, known);
            }
            let sent = vector.rest(done).head_with(self.ahead.entries(), |packet, entry| {
                let forward = forwards(entry);
                let same = forward.node == node;
                if same {
                    note(packet, entry, forward.index);
                    count(entry, 1, packet.len() as u64);
                }
                same
            });
            self.ahead.at += sent;
            done += sent;
            if !self.ahead.is_empty() {
                return done;
            }
        }
    }
}

/// Puts into a packet what was found for it.
#[inline(always)]
fn note(packet: &mut Packet<'_>, entry: ForwardIndex, index: u32) {
    let meta = packet.meta_mut();
    (meta.forward, meta.dpo) = (index, entry.0);
}

/// Entries at most that are looked up ahead.
const AHEAD: usize = 32;

/// Entries that are looked up ahead where most packets' are known.
const FEW: usize = 4;

/// Packets of one destination that make it worth while to look for more of them.
const RUN: usize = 4;

/// What was found for the packets that come next. None of it is left after the vector.
#[derive(Default)]
struct Ahead {
    entries: [ForwardIndex; AHEAD],
    at: usize,
    end: usize,
    /// How many were looked up the last time.
    many: usize,
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
        self.recent.follow(fib);
        let entry = self.find(fib, first);
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
                note(packet, entry, forward.index);
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
        note(packet, entry, forward.index);
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
