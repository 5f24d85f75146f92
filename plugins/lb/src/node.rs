//! `lb4-gre4` and `lb4-gre4-port`: every packet of a VIP goes to its flow's server, in GRE.
//!
//! Uses: `meta.forward`, the number of a VIP (`lb4-gre4`) or of a prefix with VIPs for single ports (`lb4-gre4-port`);
//! the flow; the worker's flow table. Sets: the outer headers, `meta.forward`. Next: what the forwarding table says for
//! the server; `ip4-gso-cut` for large segments; `ip4-icmp-error` for packets that may not be cut and would not fit.

use std::sync::Arc;

use trace::{Record, Text};
use vnet::fib::{Fib4Snapshot, Forward, ForwardKind, TrackIndex};
use vnet::wire::icmp4::Problem;
use vnet::wire::ip4::Ip4Header;
use vnet::wire::{FlowKey4, flow::FlowError};
use vnet::{Cx, InputCx, InputNode, NodeSpec, Offload, Packet, PacketNode, Poll, Scope, next_nodes, node_errors};

use crate::flow_table::{FlowHash, Verdict};
use crate::format::{ServerLine, VipCounters, VipLine};
use crate::handle::ServerHandle;
use crate::local::LbLocal;
use crate::outer::OuterGre4;
use crate::tables::{LbTables, ServerEntry};

/// Bytes in front of the inner packet: IPv4 and GRE.
const OVERHEAD: usize = OuterGre4::LEN;

next_nodes! {
    /// Where the load balancer sends packets.
    pub enum Next {
        /// Nobody can take it.
        Drop => "error-drop",
        /// Too large for a tunnel in one piece.
        Cut => "ip4-gso-cut",
        /// Tell the sender that it does not fit.
        IcmpError => "ip4-icmp-error",
        ; To
    }
}

node_errors! {
    /// Why the load balancer drops.
    pub enum Error {
        /// The VIP has no server that takes new flows.
        NoServer => error "no server configured",
        /// The prefix has VIPs, but none for this protocol and port.
        NoVip => error "no VIP for the protocol and port",
        /// A part of a datagram: its ports are elsewhere.
        Fragment => error "fragments are not balanced",
        /// The transport header is cut short.
        Short => error "transport header cut short",
        /// There is no way to the server.
        Unreachable => error "server unreachable",
        /// DF is set, and the outer packet would not fit.
        MustFragment => error "packet too long for the tunnel and DF set",
        /// The outer packet would be longer than an IPv4 packet may be.
        TooLong => error "packet too long for a tunnel",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the outer header",
    }
}

/// The nodes.
pub(crate) fn nodes() -> Vec<NodeSpec> {
    vec![
        NodeSpec::packet("lb4-gre4", |_| Gre4::<false> { last: ServerHandle::NONE }),
        NodeSpec::packet("lb4-gre4-port", |_| Gre4::<true> { last: ServerHandle::NONE }),
        NodeSpec::input("lb-sweep", |_| Sweep),
    ]
}

/// The balancing node; `PORT`: the packet's number is that of a prefix with VIPs for single ports.
struct Gre4<const PORT: bool> {
    /// The server of the packet that was last finished, for its trace.
    last: ServerHandle,
}

/// What the first pass found out about a packet: 16 bytes, since they are written and read again for each.
#[derive(Clone, Copy, Default)]
pub struct Staged {
    /// The flow's identity; 0 (which none has): there is no flow, and `bucket` says why.
    identity: u64,
    bucket: u32,
    vip: u32,
}

/// Why a packet has no flow.
#[derive(Clone, Copy)]
enum NoFlow {
    Fragment,
    Short,
    NoVip,
}

impl From<NoFlow> for Staged {
    #[cold]
    fn from(why: NoFlow) -> Staged {
        Staged { identity: 0, bucket: why as u32, vip: 0 }
    }
}

impl From<FlowError> for NoFlow {
    fn from(error: FlowError) -> NoFlow {
        match error {
            FlowError::Fragment => NoFlow::Fragment,
            FlowError::Short => NoFlow::Short,
        }
    }
}

impl Staged {
    #[inline(always)]
    fn hash(self) -> FlowHash {
        FlowHash { identity: self.identity, bucket: self.bucket }
    }
}

/// `lb vip[I]: …` and `lb as[I]: …`
#[derive(serde::Serialize)]
pub struct LbTrace {
    index: u32,
    vip: Option<Arc<VipLine>>,
    slot: usize,
    server: Option<ServerLine>,
}

impl Record for LbTrace {
    fn text(&self, text: &mut Text) {
        match &self.vip {
            Some(vip) => text.line(format_args!("lb vip[{}]: {vip}", self.index)),
            None => text.line("lb vip: none"),
        }
        if let Some(server) = &self.server {
            text.flush_left(format_args!("lb as[{}]: {server}", self.slot));
            text.blank();
        }
    }
}

impl<const PORT: bool> PacketNode for Gre4<PORT> {
    type Next = Next;
    type Error = Error;
    type Shared = LbTables;
    type Local = LbLocal;
    type Staged = Staged;
    type Trace = LbTrace;

    #[inline(always)]
    fn stage(&self, scope: &Scope<'_, LbTables, LbLocal>, packet: &Packet<'_>) -> Staged {
        let key = match FlowKey4::read(packet.data()) {
            Ok(key) => key,
            Err(error) => return NoFlow::from(error).into(),
        };
        let number = packet.meta().forward;
        let vip = if PORT { scope.shared.port_vip(number, key.proto, key.dport) } else { Some(number) };
        let Some((vip, entry)) = vip.and_then(|vip| Some((vip, scope.shared.vip(vip)?))) else {
            return NoFlow::NoVip.into();
        };
        let hash = scope.local.flows.hash(entry.mask.apply(key.words()), vip);
        vnet::mem::prefetch(scope.local.flows.place(hash));
        Staged { identity: hash.identity, bucket: hash.bucket, vip }
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: Staged) -> Next {
        self.last = ServerHandle::NONE;
        if staged.identity == 0 {
            return refuse(cx, packet, staged);
        }
        if packet.meta().offload.intersects(Offload::UNFINISHED) {
            if packet.meta().offload.intersects(Offload::GSO) {
                return Self::cut(cx, packet, staged);
            }
            nodes::checksum::complete(packet);
        }
        let shared = cx.shared;
        let known = cx.local.flows.known(staged.hash(), cx.now().seconds);
        let server = match known.and_then(|handle| shared.server(handle)) {
            Some(server) => {
                if let Some(counters) = cx.local.vips.get_mut(staged.vip as usize) {
                    counters.known += 1;
                }
                server
            }
            None => match begin(cx, packet, staged) {
                Some(server) => server,
                None => return cx.drop(packet, Error::NoServer),
            },
        };
        self.last = server.handle;
        let track = TrackIndex(server.track);
        let forward = cx.tables.fib4.tracked(track);
        let inner = packet.len();
        if let Some(mtu) = mtu(&cx.tables.fib4, forward)
            && inner + OVERHEAD > mtu
            && dont_fragment(packet)
        {
            return too_long(cx, packet, mtu);
        }
        let Some(header) = server.outer.header(inner) else {
            return cx.drop(packet, Error::TooLong);
        };
        let Some(place) = packet.push(OVERHEAD).and_then(<[u8]>::first_chunk_mut) else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        *place = header;
        if let Some(counters) = cx.local.servers.get_mut(server.handle.slot()) {
            counters.packets += 1;
            counters.bytes += inner as u64;
        }
        let meta = packet.meta_mut();
        (meta.forward, meta.dpo) = (forward.index, track.0);
        meta.offload = Offload::empty();
        if forward.is_drop() {
            return cx.drop(packet, Error::Unreachable);
        }
        Next::To(forward.node)
    }

    fn trace(&self, scope: &Scope<'_, LbTables, LbLocal>, _: &Packet<'_>, staged: Staged) -> LbTrace {
        let vip = scope.shared.vip(staged.vip).map(|entry| entry.line.clone());
        let server = scope.shared.server(self.last).map(ServerEntry::line);
        LbTrace { index: staged.vip, vip, slot: self.last.slot(), server }
    }
}

impl<const PORT: bool> Gre4<PORT> {
    /// A large segment is cut first, unless its pieces would not fit either.
    #[cold]
    fn cut(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: Staged) -> Next {
        let shared = cx.shared;
        let known = cx.local.flows.peek(staged.hash(), cx.now().seconds, shared.live());
        let handle = known.or_else(|| choose(shared, packet, staged));
        let server = handle.and_then(|handle| shared.server(handle));
        let forward = server.map(|server| cx.tables.fib4.tracked(TrackIndex(server.track)));
        if let Some(mtu) = forward.and_then(|forward| mtu(&cx.tables.fib4, forward))
            && let Some(piece) = nodes::ip4::gso_piece_len(packet)
            && piece + OVERHEAD > mtu
            && dont_fragment(packet)
        {
            return too_long(cx, packet, mtu);
        }
        nodes::ip4::gso::come_back_to(packet, cx.this_node());
        Next::Cut
    }
}

/// The longest packet that the way takes; of several ways, that each of them takes.
#[inline(always)]
fn mtu(fib: &Fib4Snapshot, forward: Forward) -> Option<usize> {
    match forward.adjacency() {
        Some(adjacency) => Some(fib.adjacency(adjacency).mtu as usize),
        None if forward.kind == ForwardKind::LoadBalance => least_mtu(fib, forward.index),
        None => None,
    }
}

#[cold]
fn least_mtu(fib: &Fib4Snapshot, balance: u32) -> Option<usize> {
    let ways = fib.load_balance(balance)?.buckets().iter();
    ways.filter_map(|way| Some(fib.adjacency(way.adjacency()?).mtu as usize)).min()
}

fn dont_fragment(packet: &Packet<'_>) -> bool {
    Ip4Header::ref_from_prefix(packet.data()).is_ok_and(|(ip, _)| ip.dont_fragment())
}

/// The server that a new flow goes to.
fn choose(shared: &LbTables, packet: &Packet<'_>, staged: Staged) -> Option<ServerHandle> {
    let vip = shared.vip(staged.vip)?;
    shared.choose(vip, vip.mask.apply(FlowKey4::read(packet.data()).ok()?.words()))
}

/// Gives a new flow its server, and counts it.
#[inline(never)]
fn begin<'c, const PORT: bool>(
    cx: &mut Cx<'c, '_, Gre4<PORT>>,
    packet: &Packet<'_>,
    staged: Staged,
) -> Option<&'c ServerEntry> {
    let (shared, now) = (cx.shared, cx.now().seconds);
    let local = &mut *cx.local;
    let mut nobody = VipCounters::default();
    let counters = local.vips.get_mut(staged.vip as usize).unwrap_or(&mut nobody);
    let Some(handle) = choose(shared, packet, staged) else {
        counters.no_server += 1;
        return None;
    };
    if let Verdict::New(_) = local.flows.insert(staged.hash(), now, shared.live(), handle) {
        counters.new += 1;
        if let Some(counters) = local.servers.get_mut(handle.slot()) {
            counters.flows += 1;
        }
    } else {
        counters.untracked += 1;
    }
    shared.server(handle)
}

#[cold]
fn refuse<const PORT: bool>(cx: &Cx<'_, '_, Gre4<PORT>>, packet: &mut Packet<'_>, staged: Staged) -> Next {
    let [fragment, short] = [NoFlow::Fragment as u32, NoFlow::Short as u32];
    let why = match staged.bucket {
        why if why == fragment => Error::Fragment,
        why if why == short => Error::Short,
        _ => Error::NoVip,
    };
    cx.drop(packet, why)
}

#[cold]
fn too_long<const PORT: bool>(cx: &Cx<'_, '_, Gre4<PORT>>, packet: &mut Packet<'_>, mtu: usize) -> Next {
    cx.blame(packet, Error::MustFragment);
    let mtu = mtu.saturating_sub(OVERHEAD).min(usize::from(u16::MAX)) as u16;
    nodes::ip4::icmp_error::request(packet, Problem::FragmentationNeeded { mtu });
    Next::IcmpError
}

next_nodes! {
    /// The sweep sends nothing.
    pub enum SweepNext {
        /// Never used.
        Drop => "error-drop",
    }
}

/// `lb-sweep`: takes expired flows out of the table, a little per pass.
struct Sweep;

impl InputNode for Sweep {
    type Next = SweepNext;
    type Error = vnet::NoErrors;
    type Local = LbLocal;
    type Trace = ();

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let now = cx.now();
        let due = cx.local.due(now.seconds);
        if due == 0 {
            return Poll::Idle;
        }
        match cx.tables.extension::<LbTables>().and_then(|tables| tables.downcast_ref::<LbTables>()) {
            // The rest in the next pass, without a sleep before it.
            Some(tables) if cx.local.sweep(now.seconds, tables.live(), due) => Poll::Until(now.nanos),
            _ => Poll::Idle,
        }
    }
}
