//! What most packets do not need: new flows, servers that went away, packets to be finished first or too long.

use vnet::{Cx, Offload, Packet};

use super::family::Inner;
use super::flow::NoFlow;
use super::send::SendTo;
use super::{Balance, Error, Next, Staged};
use crate::config::Ping;
use crate::flow_table::{FlowState, Verdict};
use crate::format::VipCounters;
use crate::handle::ServerHandle;
use crate::local::{Epoch, LbLocal, Way};
use crate::slot_hash::FlowWords;
use crate::tables::{LbTables, ServerEntry};

/// The server of a packet whose flow was not known when the vector began (an earlier packet of the vector may have begun
/// it), or whose server is gone, or whose way must be looked up again; or what becomes of the packet instead. Where
/// there is a server, its way is known afterwards.
#[inline(never)]
pub(super) fn find<I: Inner, S: SendTo<I>, const PORT: bool>(
    cx: &mut Cx<'_, '_, Balance<I, S, PORT>>,
    packet: &mut Packet<'_>,
    staged: Staged,
) -> Result<ServerHandle, Next> {
    let (tables, shared, now) = (cx.tables, cx.shared, cx.now().seconds);
    let mut vip = staged.vip;
    if staged.identity == 0 {
        match NoFlow::of(staged) {
            NoFlow::Fragment => return Err(cx.drop(packet, Error::Fragment)),
            NoFlow::Short => return Err(cx.drop(packet, Error::Short)),
            NoFlow::Chain => return Err(cx.drop(packet, Error::Chain)),
            // Of an address of ours VIPs take their ports and nothing else.
            NoFlow::NoVip if I::is_ours(tables, packet.data()) => return Err(I::RECEIVE),
            NoFlow::NoVip => return Err(cx.drop(packet, Error::NoVip)),
            NoFlow::Echo => {
                let number = packet.meta().forward;
                vip = if PORT { shared.first_of(number).unwrap_or(0) } else { number };
                match shared.vip(vip) {
                    Some(entry) if entry.ping == Ping::Answer => return Err(I::ICMP),
                    Some(_) => (),
                    None => return Err(cx.drop(packet, Error::NoVip)),
                }
            }
            NoFlow::Unfinished if packet.meta().offload.intersects(Offload::GSO) => {
                return Err(cut(cx, packet, vip));
            }
            NoFlow::Unfinished => {
                nodes::checksum::complete(packet);
                packet.meta_mut().offload = Offload::empty();
            }
        }
    } else {
        // It was counted as one of a known flow, and will be again if it is one.
        let counters = counters(cx.local, vip);
        counters.known = counters.known.saturating_sub(1);
    }
    let Some(server) = balance::<I>(shared, cx.local, now, packet.data(), vip) else {
        return Err(cx.drop(packet, Error::NoServer));
    };
    let Some(own) = cx.local.servers.get_mut(server.handle.slot()) else {
        return Err(cx.drop(packet, Error::NoServer));
    };
    own.way = Way::new(tables, server);
    if own.knows(server.handle, Epoch::of(tables)) {
        Ok(server.handle)
    } else {
        Err(cx.drop(packet, Error::Unreachable))
    }
}

/// The server of a flow, known or new.
fn balance<'t, I: Inner>(
    shared: &'t LbTables,
    local: &mut LbLocal,
    now: u32,
    packet: &[u8],
    vip: u32,
) -> Option<&'t ServerEntry> {
    let (entry, words) = (shared.vip(vip)?, I::all_words(packet).ok()?);
    let state = FlowState::of_new((words.ports() >> 32) as u8);
    let words = words.masked(entry.mask);
    let LbLocal { flows, picks, .. } = &mut *local;
    let (hash, live) = (flows.hash(words, vip), shared.live());
    let verdict = match flows.find(hash, now, live) {
        Some(server) => Verdict::Known(server),
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
    shared.server(server?)
}

/// The index that no VIP has.
const NOBODY: usize = 0;

/// The counters of a VIP.
fn counters(local: &mut LbLocal, vip: u32) -> &mut VipCounters {
    // There is room for a VIP before there are tables with it.
    let vip = if (vip as usize) < local.vips.len() { vip as usize } else { NOBODY };
    &mut local.vips[vip]
}

/// A large segment is cut first, unless there is no server for it or its pieces would not fit either. Flows and packets
/// are counted when the pieces come.
fn cut<I: Inner, S: SendTo<I>, const PORT: bool>(
    cx: &mut Cx<'_, '_, Balance<I, S, PORT>>,
    packet: &mut Packet<'_>,
    vip: u32,
) -> Next {
    let now = cx.now().seconds;
    let Some(server) = peek::<I>(cx.shared, cx.local, now, packet.data(), vip) else {
        counters(cx.local, vip).no_server += 1;
        return cx.drop(packet, Error::NoServer);
    };
    let room = Way::new(cx.tables, server).room;
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
    let known = local.flows.peek(local.flows.hash(words, vip), now, shared.live());
    shared.server(known.or_else(|| local.picks.peek(shared, &local.flows, vip, entry, words))?)
}

/// What becomes of a packet that is too long for the tunnel; `None`: it goes, and the outer packet will be cut.
#[cold]
#[inline(never)]
pub(super) fn too_long<I: Inner, S: SendTo<I>, const PORT: bool>(
    cx: &Cx<'_, '_, Balance<I, S, PORT>>,
    packet: &mut Packet<'_>,
    room: u16,
) -> Option<Next> {
    if I::refuse(packet, room) {
        cx.blame(packet, Error::MustFragment);
        return Some(I::ICMP_ERROR);
    }
    // RFC 791: the length has 16 bits. A large segment is longer, and its pieces are not.
    let gso = packet.meta().offload.intersects(Offload::GSO);
    let longest = usize::from(u16::MAX - S::ENCAP.overhead());
    (!gso && packet.len() > longest).then(|| cx.drop(packet, Error::TooLong))
}

/// Bits that tell the packet's flow from others.
#[inline(never)]
pub(super) fn entropy<I: Inner>(local: &LbLocal, packet: &Packet<'_>, staged: Staged) -> u32 {
    let identity = if staged.identity != 0 {
        staged.identity
    } else {
        // What was staged says no flow: it is read once more, for those few packets.
        I::all_words(packet.data()).map_or(0, |words| local.flows.hash(words, staged.vip).identity)
    };
    (identity >> 32) as u32
}
