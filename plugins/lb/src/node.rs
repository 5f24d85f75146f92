//! `lb4-gre4` and `lb4-gre4-port`: every packet of a VIP goes to its flow's server, in GRE.
//!
//! Uses: `meta.forward`, the number of a VIP (`lb4-gre4`) or of a prefix with VIPs for single ports (`lb4-gre4-port`);
//! the flow; the worker's flow table. Sets: the outer headers, `meta.forward`. Next: what the forwarding table says for
//! the server; `ip4-gso-cut` for large segments; `ip4-icmp-error` for packets that may not be cut and would not fit.

use std::sync::Arc;

use trace::{Record, Text};
use vnet::wire::icmp4::Problem;
use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::wire::{FlowKey4, flow::FlowError};
use vnet::{
    Cx, InputCx, InputNode, NodeSpec, Offload, Packet, PacketNode, Poll, Scope, Tables, next_nodes, node_errors,
};

use crate::flow_table::{FlowHash, Verdict};
use crate::format::{ServerLine, VipCounters, VipLine};
use crate::handle::ServerHandle;
use crate::local::{LbLocal, Way};
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

/// What is known about a packet beforehand: 16 bytes, since they are written and read again for each.
#[derive(Clone, Copy, Default)]
pub struct Staged {
    /// The flow's identity; 0 (which none has): there is no flow.
    identity: u64,
    /// From `stage` on the flow's bucket, from `begin` on the bits of its server's handle; without a flow, why.
    found: u32,
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
        Staged { identity: 0, found: why as u32, vip: 0 }
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
        let words = match words(packet.data()) {
            Ok(words) => words,
            Err(why) => return why.into(),
        };
        let number = packet.meta().forward;
        let vip = if PORT {
            let (protocol, port) = ((words[1] >> 32) as u8, words[1] as u16);
            scope.shared.port_vip(number, protocol, port)
        } else {
            Some(number)
        };
        let Some((vip, mask)) = vip.and_then(|vip| Some((vip, scope.shared.mask(vip)?))) else {
            return NoFlow::NoVip.into();
        };
        let hash = scope.local.flows.hash(mask.apply(words), vip);
        vnet::mem::prefetch(scope.local.flows.place(hash));
        Staged { identity: hash.identity, found: hash.bucket, vip }
    }

    /// Finds the flows. In a loop of its own, because there is little else in it: the processor has many packets under
    /// way at once, and the buckets' way from memory is the longest of all.
    #[inline(always)]
    fn begin(&mut self, cx: &mut Cx<'_, '_, Self>, staged: &mut [Staged]) {
        let now = cx.now().seconds;
        let LbLocal { flows, vips, .. } = &mut *cx.local;
        let mut run = Run { vip: 0, known: 0 };
        for staged in staged.iter_mut().filter(|staged| staged.identity != 0) {
            let hash = FlowHash { identity: staged.identity, bucket: staged.found };
            let server = flows.known(hash, now).unwrap_or(ServerHandle::NONE);
            staged.found = server.bits();
            if staged.vip != run.vip {
                run.settle(vips);
                run.vip = staged.vip;
            }
            run.known += u64::from(!server.is_none());
        }
        run.settle(vips);
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: Staged) -> Next {
        if staged.identity == 0 {
            self.last = ServerHandle::NONE;
            return cx.drop(packet, reason(staged.found));
        }
        let mut server = ServerHandle::from_bits(staged.found);
        if packet.meta().offload.intersects(Offload::UNFINISHED) {
            if packet.meta().offload.intersects(Offload::GSO) {
                self.last = ServerHandle::NONE;
                return cut(cx, &mut packet.again(), staged.vip, server);
            }
            nodes::checksum::complete(&mut packet.again());
        }
        let (tables, shared, now) = (cx.tables, cx.shared, cx.now().seconds);
        let local = &mut *cx.local;
        if !local.servers.get(server.slot()).is_some_and(|own| own.knows(server, tables)) {
            server = find(tables, shared, local, now, packet.data(), staged.vip, server);
        }
        self.last = server;
        let Some(own) = local.servers.get_mut(server.slot()).filter(|_| !server.is_none()) else {
            return cx.drop(packet, Error::NoServer);
        };
        let inner = packet.len();
        if inner + OVERHEAD > own.way.mtu as usize && dont_fragment(packet) {
            let mtu = own.way.mtu;
            return too_long(cx, &mut packet.again(), mtu);
        }
        let Some(header) = own.way.outer.header(inner) else {
            return cx.drop(packet, Error::TooLong);
        };
        let Some(place) = packet.push_array() else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        *place = header;
        own.packets += 1;
        own.bytes += inner as u64;
        let forward = own.way.forward;
        let meta = packet.meta_mut();
        (meta.forward, meta.dpo) = (forward.index, own.way.track);
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

/// The words of a flow's key: at once for TCP and UDP without options, or else as [`FlowKey4`] reads them.
#[inline(always)]
fn words(packet: &[u8]) -> Result<[u64; 2], NoFlow> {
    if let Some(head) = packet.first_chunk::<24>()
        && let [0x45, _, _, _, _, _, b6, 0, _, protocol @ (protocol::TCP | protocol::UDP), _, _, rest @ ..] = head
        // The bits of byte 6 but "don't fragment" and the reserved one: more fragments, and the offset.
        && b6 & 0x3f == 0
        && let ([addresses], ports) = rest.as_chunks::<8>()
        && let ([ports], _) = ports.as_chunks::<4>()
    {
        let ports = u64::from(u32::from_be_bytes(*ports));
        return Ok([u64::from_be_bytes(*addresses), u64::from(*protocol) << 32 | ports]);
    }
    other_words(packet)
}

#[inline(never)]
fn other_words(packet: &[u8]) -> Result<[u64; 2], NoFlow> {
    Ok(FlowKey4::read(packet)?.words())
}

/// A run of packets for one VIP.
struct Run {
    vip: u32,
    /// How many of them are of flows that are known.
    known: u64,
}

impl Run {
    #[inline(always)]
    fn settle(&mut self, vips: &mut [VipCounters]) {
        if let Some(counters) = vips.get_mut(self.vip as usize) {
            counters.known += std::mem::take(&mut self.known);
        }
    }
}

/// A large segment is cut first, unless there is no server for it or its pieces would not fit either.
#[inline(always)]
fn cut<const PORT: bool>(
    cx: &mut Cx<'_, '_, Gre4<PORT>>,
    packet: &mut Packet<'_>,
    vip: u32,
    known: ServerHandle,
) -> Next {
    let Some(mtu) = mtu(cx.tables, cx.shared, cx.local, packet.data(), vip, known) else {
        return cx.drop(packet, Error::NoServer);
    };
    if let Some(piece) = nodes::ip4::gso_piece_len(packet)
        && piece + OVERHEAD > mtu as usize
        && dont_fragment(packet)
    {
        return too_long(cx, packet, mtu);
    }
    nodes::ip4::gso::come_back_to(packet, cx.this_node());
    Next::Cut
}

/// The longest packet that the way of a flow takes; `None`: there is no server. Packets are counted when the pieces
/// come, or here where none will.
#[cold]
#[inline(never)]
fn mtu(
    tables: &Tables,
    shared: &LbTables,
    local: &mut LbLocal,
    packet: &[u8],
    vip: u32,
    known: ServerHandle,
) -> Option<u32> {
    let mut nobody = VipCounters::default();
    let counters = local.vips.get_mut(vip as usize).unwrap_or(&mut nobody);
    counters.known = counters.known.saturating_sub(u64::from(!known.is_none()));
    let server = shared.server(known).or_else(|| shared.server(choose(shared, packet, vip)?));
    if server.is_none() {
        counters.no_server += 1;
    }
    Some(Way::new(tables, server?).mtu)
}

fn dont_fragment(packet: &Packet<'_>) -> bool {
    Ip4Header::ref_from_prefix(packet.data()).is_ok_and(|(ip, _)| ip.dont_fragment())
}

/// The server that a new flow goes to.
fn choose(shared: &LbTables, packet: &[u8], vip: u32) -> Option<ServerHandle> {
    let vip = shared.vip(vip)?;
    shared.choose(vip, vip.mask.apply(words(packet).ok()?))
}

/// The server of a packet whose flow was not known when the vector began (an earlier packet of the vector may have begun
/// it), or whose server is gone, or whose way must be looked up again. Afterwards the way is known. `NONE`: there is no
/// server.
#[inline(never)]
fn find(
    tables: &Tables,
    shared: &LbTables,
    local: &mut LbLocal,
    now: u32,
    packet: &[u8],
    vip: u32,
    counted: ServerHandle,
) -> ServerHandle {
    let mut nobody = VipCounters::default();
    let counters = local.vips.get_mut(vip as usize).unwrap_or(&mut nobody);
    counters.known = counters.known.saturating_sub(u64::from(!counted.is_none()));
    let (Ok(words), Some(entry)) = (words(packet), shared.vip(vip)) else { return ServerHandle::NONE };
    let words = entry.mask.apply(words);
    let hash = local.flows.hash(words, vip);
    let verdict = local.flows.lookup_or_insert(hash, now, shared.live(), || shared.choose(entry, words));
    let server = match verdict {
        Verdict::Known(server) => {
            counters.known += 1;
            server
        }
        Verdict::New(server) => {
            counters.new += 1;
            if let Some(flows) = local.begun.get_mut(server.slot()) {
                *flows += 1;
            }
            server
        }
        Verdict::Untracked(server) => {
            counters.untracked += 1;
            server
        }
        Verdict::NoServer => {
            counters.no_server += 1;
            return ServerHandle::NONE;
        }
    };
    match (shared.server(server), local.servers.get_mut(server.slot())) {
        (Some(entry), Some(own)) => {
            own.way = Way::new(tables, entry);
            server
        }
        _ => ServerHandle::NONE,
    }
}

#[cold]
fn reason(no_flow: u32) -> Error {
    let [fragment, short] = [NoFlow::Fragment as u32, NoFlow::Short as u32];
    match no_flow {
        why if why == fragment => Error::Fragment,
        why if why == short => Error::Short,
        _ => Error::NoVip,
    }
}

/// Cold, but inlined: what it is lent would otherwise have to be in memory for each packet that does not get here.
#[inline(always)]
fn too_long<const PORT: bool>(cx: &Cx<'_, '_, Gre4<PORT>>, packet: &mut Packet<'_>, mtu: u32) -> Next {
    cx.blame(packet, Error::MustFragment);
    let mtu = mtu.saturating_sub(OVERHEAD as u32).min(u32::from(u16::MAX)) as u16;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The short way to a key gives what the long one gives, whatever the bytes are.
    #[test]
    fn both_ways_to_a_key_agree() {
        let mut bytes = [0x45, 0, 0, 28, 1, 2, 0x40, 0, 64, 6, 3, 4, 10, 0, 1, 2, 90, 0, 0, 1, 0x12, 0x34, 0, 80, 7, 7];
        let mut seen = 0;
        for (at, value) in (0..12).flat_map(|at| (0..=255).map(move |value| (at, value))) {
            let before = std::mem::replace(&mut bytes[at], value);
            for len in [19, 23, 24, 26] {
                let (short, long) = (words(&bytes[..len]), FlowKey4::read(&bytes[..len]));
                assert_eq!(short.as_ref().ok(), long.as_ref().map(FlowKey4::words).as_ref().ok(), "{bytes:x?}");
                seen += u32::from(short.is_ok());
            }
            bytes[at] = before;
        }
        assert!(seen > 1000);
    }
}
