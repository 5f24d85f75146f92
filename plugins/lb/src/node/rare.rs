//! What most packets do not need: new flows, servers that went away, packets to be finished first or too long.

use vnet::wire::Ip6Header;
use vnet::wire::ip4::protocol;
use vnet::{Cx, NodeId, Offload, Packet, PacketNode};

use super::clamp;
use super::family::Inner;
use super::flow::NoFlow;
use super::fragments::{self, Follow, Piece};
use super::{Error, Next, Staged};
use crate::config::{Encap, Family, Ping};
use crate::flow_table::{Control, FlowState, Verdict};
use crate::format::VipCounters;
use crate::fragments::Key;
use crate::handle::ServerHandle;
use crate::local::{Epoch, LbLocal, Way};
use crate::slot_hash::{FlowWords, KeyMask};
use crate::tables::{LbTables, ServerEntry};

/// What the nodes that balance have in common.
pub(super) trait Balancing: PacketNode<Next = Next, Error = Error, Shared = LbTables, Local = LbLocal> {
    /// The family of its VIPs.
    type Family: Inner;
    /// How packets travel.
    const ENCAP: Encap;
    /// Packets stay what they are, so that large segments and unfinished checksums may pass.
    const WHOLE: bool;

    /// The worker that a flow belongs to, where its addresses and ports alone say so.
    fn owner(_: &LbTables, _: &FlowBy<Self>) -> Option<usize> {
        None
    }
}

/// A flow, as a node's packets tell it.
pub(super) type FlowBy<B> = <<B as Balancing>::Family as Inner>::Flow;

impl<B: Balancing> fragments::Holding for B {
    type Packets = B::Family;
    const FULL: Error = Error::FragmentsFull;

    fn to(node: NodeId) -> Next {
        Next::To(node)
    }
}

/// A packet's server, and what its flow is recognised by.
pub(super) struct Found<F> {
    pub(super) server: ServerHandle,
    pub(super) identity: u64,
    pub(super) fragment: Option<Fragment<F>>,
}

/// What a fragment is.
#[derive(Clone, Copy)]
pub(super) enum Fragment<F> {
    /// The first of a datagram, whose flow it tells; the others follow it when the node has said how.
    First(Key, F),
    /// Another, which follows.
    Later(Follow),
}

/// The server of a packet whose flow was not known when the vector began (an earlier packet of the vector may have begun
/// it), or whose server is gone, or whose way must be looked up again; or what becomes of the packet instead. Where
/// there is a server, its way is known afterwards.
#[inline(never)]
pub(super) fn find<B: Balancing>(
    cx: &mut Cx<'_, '_, B>,
    packet: &mut Packet<'_>,
    staged: Staged,
) -> Result<FoundBy<B>, Next> {
    let (tables, shared, now) = (cx.tables, cx.shared, cx.now().seconds);
    let why = (staged.identity == 0).then(|| NoFlow::of(staged));
    let piece = match why {
        Some(NoFlow::Fragment) => Some(fragments::gathered(cx, packet, staged.vip())?),
        _ => None,
    };
    let (vip, control) = match why {
        Some(why) => judged::<B>(cx, packet, staged.vip(), why, piece.as_ref())?,
        None => (staged.vip(), None),
    };
    if why.is_none() {
        // It was counted as one of a known flow, and will be again if it is one.
        let counters = counters(cx.local, vip);
        counters.known = counters.known.saturating_sub(1);
    } else if !B::WHOLE && packet.meta().offload.intersects(Offload::UNFINISHED) {
        if packet.meta().offload.intersects(Offload::GSO) {
            return Err(cut(cx, packet, vip));
        }
        nodes::checksum::complete(packet);
        packet.meta_mut().offload = Offload::empty();
    }
    let mut fragment = None;
    let found = match (why, piece) {
        (_, Some(Piece { datagram, flow: Some(flow) })) => {
            fragment = Some(Fragment::First(datagram, flow));
            let named = named::<B::Family>(shared, packet.data(), vip);
            let found = balance::<B>(shared, cx.local, now, B::Family::words_of(&flow), vip, (None, named));
            if let Some((_, identity)) = found
                && shared.workers > 1
                && datagram.home(shared.workers as usize) == cx.worker()
            {
                let until = now.saturating_add(cx.local.flows.timeouts().longest());
                cx.local.in_pieces.note(identity, until);
            }
            found
        }
        (_, Some(Piece { datagram, flow: None })) => {
            let follow = fragments::later(cx, packet, datagram)?;
            match follow {
                Follow::NoVip => return Err(no_vip(cx, packet)),
                Follow::Receive => return Err(B::Family::RECEIVE),
                _ => (),
            }
            fragment = Some(Fragment::Later(follow));
            followed(shared, follow)
        }
        (Some(NoFlow::Quote), None) => quoted::<B>(cx, packet, vip)?,
        (why, None) => {
            let names = why == Some(NoFlow::Named);
            let named = if names { named::<B::Family>(shared, packet.data(), vip) } else { None };
            let words = B::Family::all_words(packet.data()).ok();
            if let Some(words) = words
                && named.is_none()
                && let Some(next) = fragments::begun_elsewhere(cx, packet, vip, words)
            {
                return Err(next);
            }
            words.and_then(|words| balance::<B>(shared, cx.local, now, words, vip, (control, named)))
        }
    };
    let Some((server, identity)) = found else {
        return Err(cx.drop(packet, Error::NoServer));
    };
    let Some(own) = cx.local.servers.get_mut(server.handle.slot()) else {
        return Err(cx.drop(packet, Error::NoServer));
    };
    if !own.knows(server.handle, Epoch::of(tables, shared)) {
        own.way = Way::new(tables, shared, server);
    }
    let room = own.way.room;
    if control == Some(Control::Syn) && own.knows(server.handle, Epoch::of(tables, shared)) {
        clamp::question::<B>(tables, shared, packet, vip, room);
    }
    let Some(own) = cx.local.servers.get(server.handle.slot()) else {
        return Err(cx.drop(packet, Error::NoServer));
    };
    if own.knows(server.handle, Epoch::of(tables, shared)) {
        Ok(Found { server: server.handle, identity, fragment })
    } else {
        Err(cx.drop(packet, Error::Unreachable))
    }
}

/// [`Found`] by a node.
pub(super) type FoundBy<B> = Found<FlowBy<B>>;

/// The server that a fragment follows to.
fn followed(shared: &LbTables, follow: Follow) -> Option<(&ServerEntry, u64)> {
    let (server, identity) = match follow {
        Follow::Server { server, identity } => (server, identity),
        Follow::Addresses { server, .. } => (server, 0),
        Follow::Worker(_) | Follow::Round | Follow::NoVip | Follow::Receive => return None,
    };
    Some((shared.server(server)?, identity))
}

/// The VIP of a packet that is none of the common ones, and what it says about its connection; or what becomes of it, if it has
/// no flow, or we answer ourselves.
fn judged<B: Balancing>(
    cx: &mut Cx<'_, '_, B>,
    packet: &mut Packet<'_>,
    vip: u32,
    why: NoFlow,
    piece: Option<&Piece<FlowBy<B>>>,
) -> Result<(u32, Option<Control>), Next> {
    let number = vip;
    let vip = Some(vip).filter(|&vip| vip != 0);
    let vip = match why {
        NoFlow::Fragment => match piece {
            Some(Piece { datagram, flow: Some(flow) }) if is_answered::<B>(cx.shared, packet, number, flow) => {
                fragments::first(cx, *datagram, Follow::Receive);
                return Err(B::Family::RECEIVE);
            }
            Some(Piece { datagram, flow: Some(_) }) if vip.is_none() => {
                fragments::first(cx, *datagram, Follow::NoVip);
                None
            }
            // One that follows needs no VIP.
            _ => Some((number, None)),
        },
        NoFlow::Short => return Err(cx.drop(packet, Error::Short)),
        NoFlow::Chain => return Err(cx.drop(packet, Error::Chain)),
        NoFlow::NoVip => None,
        NoFlow::Unfinished | NoFlow::Named => vip.map(|vip| (vip, None)),
        NoFlow::Echo => {
            if vip.and_then(|vip| cx.shared.vip(vip)).is_some_and(|entry| entry.ping == Ping::Answer) {
                return Err(B::Family::ICMP);
            }
            vip.map(|vip| (vip, None))
        }
        NoFlow::Syn => vip.map(|vip| (vip, Some(Control::Syn))),
        NoFlow::End => vip.map(|vip| (vip, Some(Control::End))),
        NoFlow::Quote => vip.map(|vip| (vip, None)),
    };
    vip.ok_or_else(|| no_vip(cx, packet))
}

/// Whether a first fragment is that of an echo request that we answer.
pub(super) fn is_answered<B: Balancing>(shared: &LbTables, packet: &Packet<'_>, vip: u32, flow: &FlowBy<B>) -> bool {
    let number = packet.meta().forward;
    let transport = B::Family::transport(packet.data()).and_then(|at| packet.data().get(at));
    let protocol = (B::Family::words_of(flow).ports() >> 32) as u8;
    let icmp = protocol == protocol::ICMP || protocol == protocol::ICMP6;
    // Of VIPs of single ports none is named by a packet without a port.
    let vip = if vip != 0 { Some(vip) } else { shared.first_of(number) };
    let answers = vip.and_then(|vip| shared.vip(vip)).is_some_and(|entry| entry.ping == Ping::Answer);
    icmp && transport == Some(&B::Family::ECHO) && answers
}

/// What becomes of a packet for no VIP: of an address of ours VIPs take their ports and nothing else.
fn no_vip<B: Balancing>(cx: &Cx<'_, '_, B>, packet: &mut Packet<'_>) -> Next {
    if B::Family::is_ours(cx.tables, packet.data()) { B::Family::RECEIVE } else { cx.drop(packet, Error::NoVip) }
}

/// What is staged of a packet that is none of the common ones: its VIP, if it has one.
#[cold]
#[inline(never)]
pub(super) fn staged<I: Inner, const PORT: bool>(
    shared: &LbTables,
    (number, packet): (u32, &[u8]),
    why: NoFlow,
) -> Staged {
    let vip = match why {
        _ if !PORT => Some(number),
        NoFlow::Echo => shared.first_of(number),
        NoFlow::Fragment => I::piece(packet).and_then(|piece| {
            let ports = I::words_of(&piece.flow?).ports();
            shared.port_vip(number, (ports >> 32) as u8, ports as u16)
        }),
        NoFlow::Quote => I::quoted_words(packet).and_then(|words| {
            let ports = words.ports();
            shared.port_vip(number, (ports >> 32) as u8, ports as u16)
        }),
        _ => I::all_words(packet).ok().and_then(|words| {
            let ports = words.ports();
            shared.port_vip(number, (ports >> 32) as u8, ports as u16)
        }),
    };
    why.staged(vip.unwrap_or(0))
}

/// What is staged of a packet that has a flow, and of whose VIP that is not all there is to look at: the VIP may be gone, too.
#[cold]
#[inline(never)]
pub(super) fn unfinished<const PORT: bool>(shared: &LbTables, number: u32, ports: u64) -> Staged {
    let vip = if PORT { shared.port_vip(number, (ports >> 32) as u8, ports as u16) } else { Some(number) };
    match vip {
        Some(vip) if shared.mask(vip).is_some() => NoFlow::Unfinished.staged(vip),
        Some(vip) if shared.vip(vip).is_some_and(|entry| entry.names.is_some()) => NoFlow::Named.staged(vip),
        _ => NoFlow::NoVip.staged(0),
    }
}

/// The server that the connection ID of a packet names, if it names one.
pub(super) fn named<I: Inner>(shared: &LbTables, packet: &[u8], vip: u32) -> Option<ServerHandle> {
    let names = shared.vip(vip)?.names.as_ref()?;
    let payload = I::transport(packet)?.checked_add(UDP_HEADER)?;
    shared.present(names.slot(packet.get(payload..)?)?)
}

/// RFC 768.
const UDP_HEADER: usize = 8;

/// The server of a flow, known or new. A server that its packet names is its server from then on.
fn balance<'t, B: Balancing>(
    shared: &'t LbTables,
    local: &mut LbLocal,
    now: u32,
    words: impl FlowWords,
    vip: u32,
    (control, named): (Option<Control>, Option<ServerHandle>),
) -> Option<(&'t ServerEntry, u64)> {
    let entry = shared.vip(vip)?;
    let state = FlowState::of_new((words.ports() >> 32) as u8);
    // Where the source alone counts, many connections are one flow.
    let control = control.filter(|_| entry.mask == KeyMask::Flow);
    let words = words.masked(entry.mask);
    let LbLocal { flows, picks, .. } = &mut *local;
    let (hash, live) = (flows.hash(words, vip), shared.live());
    let known = match control {
        Some(control) => flows.control(hash, now, live, control),
        None => flows.find(hash, now, live),
    };
    let translated = named.filter(|_| B::ENCAP.is_nat());
    let verdict = match known {
        // Answers to each of several connections by the same ports come back through the balancer: what is theirs alone stays.
        Some(other) if let Some(named) = translated.filter(|&named| named != other) => {
            let back = flows.find(hash.with(named), now, live).is_some();
            // Where the source alone counts, the rest of what it sends stays where it is.
            let stays = if entry.mask == KeyMask::Flow { other } else { named };
            if flows.find(hash.with(stays), now, live).is_none() {
                flows.insert(hash.with(stays), now, live, stays, state);
            }
            if stays == other {
                flows.insert(hash, now, live, named, state);
            }
            if back { Verdict::Known(named) } else { Verdict::New(named) }
        }
        // Where the source alone counts, many connections are one flow: they part, and it stays where it is.
        Some(server) if named.is_some_and(|named| named == server || entry.mask != KeyMask::Flow) => {
            Verdict::Known(named.unwrap_or(server))
        }
        _ if let Some(named) = named => flows.insert(hash, now, live, named, state),
        Some(server) => Verdict::Known(server),
        // What ends a flow that is not known is not worth an entry.
        None if control == Some(Control::End) => {
            shared.choose(entry, words).map_or(Verdict::NoServer, Verdict::Untracked)
        }
        None => {
            // All packets of a flow that cannot be remembered must go to one server.
            let turns = !entry.scheduler.is_stateless() && flows.has_room(hash, now, live);
            let server =
                if turns { picks.choose(shared, flows, vip, entry, words) } else { shared.choose(entry, words) };
            server.map_or(Verdict::NoServer, |server| flows.insert(hash, now, live, server, state))
        }
    };
    if let Verdict::New(server) = verdict
        && let Some(flows) = local.begun.get_mut(server.slot())
    {
        *flows += 1;
    }
    let counters = counters(local, vip);
    let (counter, server) = match verdict {
        Verdict::Known(server) => (&mut counters.known, Some(server)),
        Verdict::New(server) => (&mut counters.new, Some(server)),
        Verdict::Untracked(server) => (&mut counters.untracked, Some(server)),
        Verdict::NoServer => (&mut counters.no_server, None),
    };
    *counter += 1;
    Some((shared.server(server?)?, hash.identity))
}

/// The server of the flow that an ICMP error is about: the one that has it, or else the one that the scheduler would give it.
/// Other workers are asked first, where there are any: the error came to this one by its own addresses.
#[cold]
fn quoted<'t, B: Balancing>(
    cx: &mut Cx<'t, '_, B>,
    packet: &mut Packet<'_>,
    vip: u32,
) -> Result<Option<(&'t ServerEntry, u64)>, Next> {
    let (shared, now, workers) = (cx.shared, cx.now().seconds, cx.shared.workers);
    let words = B::Family::quoted_words(packet.data());
    let Some((entry, words)) = shared.vip(vip).and_then(|entry| Some((entry, words?.masked(entry.mask)))) else {
        return Err(cx.drop(packet, Error::Quote));
    };
    let hash = cx.local.flows.hash(words, vip);
    let known = cx.local.flows.peek(hash, now, shared.live());
    if known.is_none() && workers > 1 {
        let asked = match packet.meta().opaque {
            [ASKED, asked] => asked + 1,
            _ => 1,
        };
        if asked < workers {
            packet.meta_mut().opaque = [ASKED, asked];
            packet.hand_over((cx.worker() + 1) % workers as usize, cx.this_node());
            return Err(Next::HandOver);
        }
    }
    let server = known.or_else(|| shared.choose(entry, words));
    Ok(server.and_then(|server| Some((shared.server(server)?, hash.identity))))
}

/// In a packet's `opaque`: beside it stands how many workers were asked about its flow.
const ASKED: u32 = 0x6c62_7175;

/// The index that no VIP has.
const NOBODY: usize = 0;

/// The counters of a VIP.
pub(super) fn counters(local: &mut LbLocal, vip: u32) -> &mut VipCounters {
    // There is room for a VIP before there are tables with it.
    let vip = if (vip as usize) < local.vips.len() { vip as usize } else { NOBODY };
    &mut local.vips[vip]
}

/// A large segment is cut first, unless there is no server for it or its pieces would not fit either. Flows and packets
/// are counted when the pieces come.
fn cut<B: Balancing>(cx: &mut Cx<'_, '_, B>, packet: &mut Packet<'_>, vip: u32) -> Next {
    let now = cx.now().seconds;
    let Some(server) = peek::<B::Family>(cx.shared, cx.local, now, packet.data(), vip) else {
        counters(cx.local, vip).no_server += 1;
        return cx.drop(packet, Error::NoServer);
    };
    let room = Way::new(cx.tables, cx.shared, server).room;
    if let Some(piece) = nodes::ip4::gso_piece_len(packet)
        && piece > usize::from(room)
        && let Some(next) = too_long(cx, packet, room)
    {
        return next;
    }
    nodes::ip4::gso::come_back_to(packet, cx.this_node());
    Next::Cut
}

/// The server of a flow, without noting a packet.
fn peek<'t, I: Inner>(
    shared: &'t LbTables,
    local: &LbLocal,
    now: u32,
    packet: &[u8],
    vip: u32,
) -> Option<&'t ServerEntry> {
    let (entry, words) = (shared.vip(vip)?, I::all_words(packet).ok()?);
    let words = words.masked(entry.mask);
    let known = named::<I>(shared, packet, vip);
    let known = known.or_else(|| local.flows.peek(local.flows.hash(words, vip), now, shared.live()));
    shared.server(known.or_else(|| local.picks.peek(shared, &local.flows, vip, entry, words))?)
}

/// What becomes of a packet that is too long for the tunnel; `None`: it goes, and the outer packet will be cut.
#[cold]
#[inline(never)]
pub(super) fn too_long<B: Balancing>(cx: &Cx<'_, '_, B>, packet: &mut Packet<'_>, room: u16) -> Option<Next> {
    if B::Family::refuse(packet, room) {
        cx.blame(packet, Error::MustFragment);
        return Some(B::Family::ICMP_ERROR);
    }
    if B::ENCAP.overhead() > 0 && B::ENCAP.server(B::Family::FAMILY) == Family::Ip6 {
        // RFC 2473 section 7: the outer packet is ours, and cut where it leaves.
        packet.meta_mut().offload |= Offload::MAY_CUT;
    }
    // RFC 791: the length has 16 bits. A large segment is longer, and its pieces are not.
    let gso = packet.meta().offload.intersects(Offload::GSO);
    let longest = usize::from(u16::MAX - B::ENCAP.overhead());
    (!gso && packet.len() > longest).then(|| cx.drop(packet, Error::TooLong))
}

/// A packet that is in its tunnel now; `cut`: whether it is to be cut on its way out ([`Offload::MAY_CUT`]). Then it must be told
/// from packets that pass through, and has its hop taken as these have.
pub(super) fn in_tunnel(packet: &mut Packet<'_>, cut: Offload) {
    if !cut.is_empty()
        && let Ok((header, _)) = Ip6Header::mut_from_prefix(packet.data_mut())
    {
        header.hop_limit -= 1;
        packet.meta_mut().offload |= cut | Offload::LOCAL;
    }
}
