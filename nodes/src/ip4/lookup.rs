//! `ip4-lookup` and `ip4-load-balance`: where a packet goes.
//!
//! Uses: the destination address (`ip4-load-balance`: the flow). Sets: `meta.forward`, `meta.dpo`, `meta.flow_hash`.
//! Next: the node that the forwarding entry names.

use trace::{Record, Text};
use vnet::fib::ForwardKind;
use vnet::{Cx, ForwardIndex, NodeId, NodeSpec, Packet, PacketNode, Reason, Scope, Vector, next_nodes, node_errors};

use super::{HeaderTrace, destination, flow_hash};

next_nodes! {
    /// Where the look-up nodes send packets.
    pub enum Next {
        /// Not an IPv4 packet at all.
        Drop => "ip4-drop",
        ; To
    }
}

node_errors! {
    /// Why the look-up nodes drop.
    pub enum Error {
        /// No prefix covers the destination, or none that can be used now.
        NoRoute => error "no route",
        /// A route says to drop.
        DropRoute => error "blackholed by a route",
        /// Shorter than an IPv4 header; only a broken node sends one here.
        Short => error "packet too short",
    }
}

pub(super) fn nodes() -> Vec<NodeSpec> {
    vec![
        NodeSpec::packet("ip4-lookup", |_| Lookup { last: NOTHING, packets: 0, bytes: 0 }),
        NodeSpec::packet("ip4-load-balance", |_| LoadBalance),
    ]
}

/// Remembers, within a vector, the last destination and what was found: what comes in together often goes to the same
/// place, above all to a balancer. Where it does not, this is one comparison more.
struct Lookup {
    last: Found,
    /// What went there since it was last counted.
    packets: u64,
    bytes: u64,
}

impl Lookup {
    /// Counts what went to the last destination, once for a run of packets.
    #[inline(always)]
    fn settle(&mut self, cx: &Cx<'_, '_, Lookup>) {
        cx.tables.fib4.count(cx.worker(), ForwardIndex(self.last.dpo), self.packets, self.bytes);
        (self.packets, self.bytes) = (0, 0);
    }
}

/// What the tables say of a destination.
#[derive(Clone, Copy)]
struct Found {
    /// The address as it stands in the packet.
    destination: u64,
    index: u32,
    dpo: u32,
    node: NodeId,
    /// For packets that go nowhere.
    why: Reason,
}

/// Not the destination of any packet: they have 32 bits.
const NOTHING: Found = Found { destination: u64::MAX, index: 0, dpo: 0, node: NodeId(0), why: Reason::NONE };

impl Found {
    #[inline(always)]
    fn new(cx: &Cx<'_, '_, Lookup>, destination: [u8; 4]) -> Found {
        let fib = &cx.tables.fib4;
        let entry = fib.lookup(u32::from_be_bytes(destination));
        let forward = fib.forward(entry);
        let why = match forward.kind {
            ForwardKind::Drop => cx.reason(Error::NoRoute),
            ForwardKind::DropRoute => cx.reason(Error::DropRoute),
            _ => Reason::NONE,
        };
        Found { destination: word(destination), index: forward.index, dpo: entry.0, node: forward.node, why }
    }

    #[inline(always)]
    fn note_in(&self, packet: &mut Packet<'_>) {
        let meta = packet.meta_mut();
        (meta.forward, meta.dpo) = (self.index, self.dpo);
        packet.note(self.why);
    }
}

fn word(destination: [u8; 4]) -> u64 {
    u32::from_ne_bytes(destination).into()
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
    fn new(packet: &Packet<'_>) -> Self {
        let meta = packet.meta();
        LookupTrace { fib: 0, dpo: meta.dpo, flow_hash: meta.flow_hash, header: HeaderTrace::new(packet) }
    }
}

impl Record for LookupTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("fib {} dpo-idx {} flow hash: 0x{:08x}", self.fib, self.dpo, self.flow_hash));
        self.header.text(text);
    }
}

impl PacketNode for Lookup {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = LookupTrace;

    /// The packets for one destination, as a balancer's mostly are.
    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next) {
        let Some(first) = destination(vector.packet(0).data()) else { return (0, Next::Drop) };
        self.settle(cx);
        let found = Found::new(cx, first);
        // 32 bits are enough for a vector, and adding the packet's length in two parts is two instructions.
        let mut bytes = 0u32;
        let same = vector.head(|packet| {
            let same = destination(packet.data()) == Some(first);
            if same {
                found.note_in(packet);
                bytes = bytes.wrapping_add(packet.len() as u32);
            }
            same
        });
        (self.last, self.packets, self.bytes) = (found, same as u64, bytes.into());
        (same, Next::To(found.node))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Some(destination) = destination(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        if word(destination) != self.last.destination {
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
        self.last = NOTHING;
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> LookupTrace {
        LookupTrace::new(packet)
    }
}

struct LoadBalance;

impl PacketNode for LoadBalance {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = LookupTrace;

    #[inline]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let hash = flow_hash(packet.data());
        let forward = cx.tables.fib4.pick(packet.meta().forward, hash);
        let meta = packet.meta_mut();
        (meta.forward, meta.flow_hash) = (forward.index, hash);
        if forward.is_drop() {
            cx.blame(packet, Error::NoRoute);
        }
        Next::To(forward.node)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> LookupTrace {
        LookupTrace::new(packet)
    }
}
