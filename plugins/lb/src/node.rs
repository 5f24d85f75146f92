//! `lb4-gre4`, `lb6-gre4` and so on (the VIP's family, the encapsulation), and the same with `-port`: every packet of a VIP goes
//! to its flow's server.
//!
//! Uses: `meta.forward`, the number of a VIP or (`-port`) of a prefix with VIPs for single ports;
//! the flow; the worker's flow table. Sets: the outer headers, `meta.forward`. Next: what the forwarding table says for
//! the server; `ip4-gso-cut` for large segments; `ip4-icmp-error` and `ip6-icmp-error` for packets that may not be cut and
//! would not fit; `ip4-icmp-input` and `ip6-icmp-input` for echo requests that we answer; `ip4-receive` and `ip6-receive` for
//! packets to an address of ours and a port that is no VIP's; `worker-handoff` for what another worker's memory decides.

mod clamp;
mod family;
pub(crate) mod find;
mod flow;
pub mod fragments;
pub(crate) mod in2out;
mod nat;
mod rare;
mod run;
mod segments;
mod send;
mod sweep;

use std::marker::PhantomData;
use std::sync::Arc;

use trace::{Record, Text};
use vnet::mem::LentArray;
use vnet::{Cx, Held, Meta, NodeSpec, Offload, Packet, PacketNode, Scope, Vector, next_nodes, node_errors};

use crate::config::{Encap, Family};
use crate::format::{ServerLine, VipLine};
use crate::handle::ServerHandle;
use crate::local::{Epoch, LbLocal, ServerLocal};
use crate::slot_hash::FlowWords;
use crate::tables::{LbTables, ServerEntry};
use family::{BytesOf, Inner, V4, V6};
use fragments::Follow;
use rare::Fragment;
use run::{Flow, Run};
use segments::More;
use send::{Common, SendTo};

next_nodes! {
    /// Where the load balancer sends packets.
    pub enum Next {
        /// Nobody can take it.
        Drop => "error-drop",
        /// Too large for a tunnel in one piece.
        Cut => "ip4-gso-cut",
        /// Tell the sender that it does not fit.
        IcmpError4 => "ip4-icmp-error",
        /// The same of IPv6.
        IcmpError6 => "ip6-icmp-error",
        /// A question that we answer.
        Icmp4 => "ip4-icmp-input",
        /// The same of IPv6.
        Icmp6 => "ip6-icmp-input",
        /// For us, and not for a VIP.
        Receive4 => "ip4-receive",
        /// The same of IPv6.
        Receive6 => "ip6-receive",
        /// Another worker knows the flow.
        HandOver => "worker-handoff",
        ; To,
        Hold
    }
}

node_errors! {
    /// Why the load balancer drops.
    pub enum Error {
        /// The VIP has no server that takes new flows.
        NoServer => error "no server configured",
        /// The prefix has VIPs, but none for this protocol and port.
        NoVip => error "no VIP for the protocol and port",
        /// Too many fragments wait for the first of their datagrams.
        FragmentsFull => error "no room to hold a fragment until the first comes",
        /// It went round the workers and did not come back.
        FirstLost => error "fragment whose first was lost between workers",
        /// The transport header is cut short.
        Short => error "transport header cut short",
        /// There is no way to the server.
        Unreachable => error "server unreachable",
        /// DF is set, and the outer packet would not fit.
        MustFragment => error "packet too long for the tunnel and DF set",
        /// RFC 792: it has used up its hops, which its sender is told before anything in it changes.
        Expired => error "hop limit <= 1",
        /// All sources that a server could see are taken.
        NoSource => error "no source address and port left for NAT",
        /// The table of sessions is full.
        NoSession => error "no room for a NAT session",
        /// An ICMP error that quotes too little, or a packet of no flow.
        Quote => error "ICMP error about no flow",
        /// Extension headers without end, cut short or misplaced.
        Chain => error "bad extension headers",
        /// The outer packet would be longer than an IPv4 packet may be.
        TooLong => error "packet too long for a tunnel",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the outer header",
    }
}

/// The nodes.
pub(crate) fn nodes() -> Vec<NodeSpec> {
    let mut all = vec![NodeSpec::input("lb-sweep", |_| sweep::Sweep)];
    all.extend(both::<send::Gre4>());
    all.extend(both::<send::Gre6>());
    all.extend(both::<send::Ipip4>());
    all.extend(both::<send::Ipip6>());
    all.extend(both::<send::Gue4>());
    all.extend(both::<send::Gue6>());
    all.extend(both::<send::L2dsr>());
    all.extend(pair::<V4, send::L3dsr>());
    all.extend(nat::nodes::<V4>());
    all.extend(nat::nodes::<V6>());
    all.extend(in2out::nodes());
    all
}

/// The names of the nodes that balance: those of VIPs of all ports, and those of VIPs of single ports.
pub(crate) fn names() -> impl Iterator<Item = [&'static str; 2]> {
    let families = [Family::Ip4, Family::Ip6];
    families.into_iter().flat_map(|vip| Encap::ALL.into_iter().filter_map(move |encap| encap.nodes(vip)))
}

/// Those for VIPs of both families.
fn both<S: SendTo<V4> + SendTo<V6>>() -> impl Iterator<Item = NodeSpec> {
    pair::<V4, S>().into_iter().chain(pair::<V6, S>())
}

fn pair<I: Inner, S: SendTo<I>>() -> Vec<NodeSpec> {
    let Some([all, port]) = S::ENCAP.nodes(I::FAMILY) else { return Vec::new() };
    vec![
        NodeSpec::packet(all, |_| Balance::<I, S, false>::new()),
        NodeSpec::packet(port, |_| Balance::<I, S, true>::new()),
    ]
}

/// The balancing node; `PORT`: the packet's number is that of a prefix with VIPs for single ports.
struct Balance<I: Inner, S, const PORT: bool> {
    /// The VIPs of this vector.
    run: Run<BytesOf<I>>,
    /// The version of the tables that this vector sees.
    epoch: Epoch,
    /// The server that [`rare`] gave the last packet that it saw, for its trace.
    rare: ServerHandle,
    _way: PhantomData<(I, S)>,
}

/// What is known about a packet beforehand.
#[derive(Clone, Copy, Default)]
pub struct Staged {
    /// The flow's identity; 0 (which none has): the packet is none of the common ones, and `found` says why.
    identity: u64,
    /// The VIP in the lower 24 bits. Above them the packet's type of service, for outer headers: the second pass then only writes
    /// near the packet's header, and need not wait for it where it has left the first-level cache.
    vip_and_class: u32,
    /// From `stage` on the flow's bucket, from `begin` on the bits of its server's handle.
    found: u32,
}

impl Staged {
    #[inline(always)]
    fn new(identity: u64, vip: u32, found: u32) -> Staged {
        Staged { identity, vip_and_class: vip, found }
    }

    #[inline(always)]
    fn vip(self) -> u32 {
        self.vip_and_class & 0xff_ffff
    }

    #[inline(always)]
    fn class(self) -> u8 {
        (self.vip_and_class >> 24) as u8
    }

    /// The identity, and both numbers beside it in one.
    fn parts(self) -> (u64, u64) {
        (self.identity, u64::from(self.found) << 32 | u64::from(self.vip_and_class))
    }

    #[inline(always)]
    fn of((identity, rest): (u64, u64)) -> Staged {
        Staged { identity, vip_and_class: rest as u32, found: (rest >> 32) as u32 }
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

impl<I: Inner, S: SendTo<I>, const PORT: bool> Balance<I, S, PORT> {
    fn new() -> Self {
        Balance { run: Run::NONE, epoch: Epoch::NONE, rare: ServerHandle::NONE, _way: PhantomData }
    }

    /// What is staged of the common packets, as of [`Staged`].
    #[inline(always)]
    fn usual(
        &mut self,
        scope: &Scope<'_, LbTables, LbLocal>,
        (meta, packet): (&Meta, &[u8]),
        bytes: Option<BytesOf<I>>,
    ) -> Option<Staged> {
        let bytes = bytes?;
        let Flow { vip, hash, .. } = self.run.flow::<PORT>((scope.shared, scope.local), meta.forward, bytes)?;
        // Where packets stay what they are, large segments are to be counted as what they become.
        let unusual = if S::WHOLE { Offload::GSO } else { Offload::UNFINISHED };
        if meta.offload.intersects(unusual) {
            return None;
        }
        vnet::mem::prefetch(scope.local.flows.place(hash));
        let class = if S::HAS_OUTER { I::class(packet.first_chunk()?) } else { 0 };
        Some(Staged::new(hash.identity, vip | u32::from(class) << 24, hash.bucket))
    }

    /// What is staged of the others. Two numbers, because a structure would have to lie in memory for each packet.
    #[cold]
    #[inline(never)]
    fn unusual(&mut self, scope: &Scope<'_, LbTables, LbLocal>, meta: &Meta, packet: &[u8]) -> (u64, u64) {
        let words = match I::words(packet) {
            Ok(words) => words,
            Err(why) => return rare::staged::<I, PORT>(scope.shared, (meta.forward, packet), why).parts(),
        };
        if let Some(usual) = self.usual(scope, (meta, packet), Some(words.bytes())) {
            return usual.parts();
        }
        rare::unfinished::<PORT>(scope.shared, meta.forward, words.ports()).parts()
    }
}

impl<I: Inner, S: SendTo<I>, const PORT: bool> Balance<I, S, PORT> {
    /// What becomes of a packet of which `begin` did not find the server, or that does not fit. The last three are what
    /// was staged: one by one, because a structure would have to lie in memory for each packet.
    #[cold]
    #[inline(never)]
    fn uncommon(
        &mut self,
        cx: &mut Cx<'_, '_, Self>,
        packet: &mut Packet<'_>,
        identity: u64,
        vip: u32,
        found: u32,
    ) -> Next {
        self.judge(cx, packet, Staged::new(identity, vip, found))
    }

    fn judge(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: Staged) -> Next {
        let found = ServerHandle::from_bits(staged.found);
        let known = cx.local.servers.get(found.slot()).is_some_and(|own| own.knows(found, self.epoch));
        let (server, identity) = if known {
            (found, staged.identity)
        } else {
            self.rare = ServerHandle::NONE;
            match rare::find(cx, packet, staged) {
                Ok(found) => {
                    self.rare = found.server;
                    if let Some(Fragment::First(datagram, _)) = found.fragment {
                        let follow = Follow::Server { server: found.server, identity: found.identity };
                        fragments::first(cx, datagram, follow);
                    }
                    (found.server, found.identity)
                }
                Err(next) => return next,
            }
        };
        if matches!(S::ENCAP, Encap::L3dsr { .. }) && I::expires(packet) {
            cx.blame(packet, Error::Expired);
            return I::ICMP_ERROR;
        }
        let room = cx.local.servers.get(server.slot()).map_or(0, |own| own.way.room);
        if longest(packet) > usize::from(room)
            && let Some(next) = rare::too_long(cx, packet, room)
        {
            return next;
        }
        let class = packet.data().first_chunk().map_or(0, I::class);
        let common = Common { ip6: &cx.shared.ip6, entropy: (identity >> 32) as u32, class };
        let Some(own) = cx.local.servers.get_mut(server.slot()) else {
            return cx.drop(packet, Error::NoServer);
        };
        let (inner, more, cut) = (packet.len(), More::of(packet), packet.meta().offload & Offload::MAY_CUT);
        if send::<I, S>(own, common, packet, inner) {
            more.count(own);
            rare::in_tunnel(packet, cut);
            Next::To(own.way.node)
        } else {
            cx.drop(packet, Error::NoHeadroom)
        }
    }
}

/// The bytes of the longest packet on the wire that this one becomes: of a large segment, a piece.
fn longest(packet: &Packet<'_>) -> usize {
    let gso = packet.meta().offload.intersects(Offload::GSO);
    gso.then(|| nodes::ip4::gso_piece_len(packet)).flatten().unwrap_or(packet.len())
}

impl<I: Inner, S: SendTo<I>, const PORT: bool> rare::Balancing for Balance<I, S, PORT> {
    type Family = I;
    const ENCAP: Encap = S::ENCAP;
    const WHOLE: bool = S::WHOLE;
}

impl<I: Inner, S: SendTo<I>, const PORT: bool> PacketNode for Balance<I, S, PORT> {
    type Next = Next;
    type Error = Error;
    type Shared = LbTables;
    type Local = LbLocal;
    type Staged = Staged;
    type Trace = LbTrace;

    #[inline(always)]
    fn stage(&mut self, scope: &Scope<'_, LbTables, LbLocal>, packet: &Packet<'_>) -> Staged {
        let (meta, data) = (packet.meta(), packet.data());
        let usual = self.usual(scope, (meta, data), I::usual_bytes(data));
        usual.unwrap_or_else(|| Staged::of(self.unusual(scope, meta, data)))
    }

    /// Finds the flows.
    #[inline(always)]
    fn begin(&mut self, cx: &mut Cx<'_, '_, Self>, staged: &mut [Staged]) {
        find::all(cx.local, staged, (self.run.only(), cx.now().seconds));
        // The next vector may find other tables.
        (self.run, self.epoch) = (Run::NONE, Epoch::of(cx.tables, cx.shared));
    }

    /// A function of its own, so that its loop has the registers to itself.
    #[inline(never)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, staged: &[Staged]) -> (usize, Next) {
        let (mut servers, epoch, ip6) = (cx.local.servers.lent(), self.epoch, &cx.shared.ip6);
        let first = staged.first().map_or(ServerHandle::NONE, |first| ServerHandle::from_bits(first.found));
        let to = servers.wrapped_mut(first.place()).way.node;
        let done = vector.head_with(staged, |packet, staged| {
            let common = Common::of(ip6, staged);
            let own = own(&mut servers, ServerHandle::from_bits(staged.found), epoch, packet);
            own.is_some_and(|own| own.way.node == to && send::<I, S>(own, common, packet, packet.plain_len()))
        });
        (done, Next::To(to))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, staged: Staged) -> Next {
        let server = ServerHandle::from_bits(staged.found);
        let common = Common::of(&cx.shared.ip6, staged);
        if let Some(own) = own(&mut cx.local.servers.lent(), server, self.epoch, packet)
            && send::<I, S>(own, common, packet, packet.plain_len())
        {
            return Next::To(own.way.node);
        }
        self.uncommon(cx, &mut packet.again(), staged.identity, staged.vip(), staged.found)
    }

    fn trace(&self, scope: &Scope<'_, LbTables, LbLocal>, _: &Packet<'_>, staged: Staged) -> LbTrace {
        let vip = scope.shared.vip(staged.vip()).map(|entry| entry.line.clone());
        let found = ServerHandle::from_bits(staged.found);
        let common = scope
            .local
            .servers
            .get(found.slot())
            .is_some_and(|own| own.knows(found, Epoch::of(scope.tables, scope.shared)));
        let server = if common { found } else { self.rare };
        let line = scope.shared.server(server).map(ServerEntry::line);
        LbTrace { index: staged.vip(), vip, slot: server.slot(), server: line }
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        fragments::hold(cx, packet);
    }
}

/// What the worker keeps of a server, where that is all there is to know for this packet. Of a handle of another slot than there
/// are this is another server's, whose handle it is not.
#[inline(always)]
fn own<'s>(
    servers: &'s mut LentArray<'_, ServerLocal>,
    server: ServerHandle,
    epoch: Epoch,
    packet: &Packet<'_>,
) -> Option<&'s mut ServerLocal> {
    let own = servers.wrapped_mut(server.place());
    (own.knows(server, epoch) && packet.plain_len() <= usize::from(own.way.room)).then_some(own)
}

/// Makes a packet of `inner` bytes that fits the way one for the server; `false`: there is no room in front of it.
#[inline(always)]
fn send<I: Inner, S: SendTo<I>>(
    own: &mut ServerLocal,
    common: Common<'_>,
    packet: &mut Packet<'_>,
    inner: usize,
) -> bool {
    if !S::send(&own.way, common, packet, inner) {
        return false;
    }
    own.packets += 1;
    own.bytes += inner as u64;
    let meta = packet.meta_mut();
    (meta.forward, meta.dpo) = (own.way.index, own.way.track);
    if !S::WHOLE {
        meta.offload = Offload::empty();
    }
    true
}
