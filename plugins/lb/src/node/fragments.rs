//! Fragments: all of a datagram go where its first went, which has the ports.
//!
//! With several workers the fragments of a datagram may come to different ones, and yet another may know the flow that they are of:
//! whoever spreads packets by their ports must spread fragments by something else. So a datagram has a home, which is a
//! worker picked by its addresses ([`Key::home`]), and its fragments are handed over to it. If the home does not know the flow, the
//! others are asked: the first fragment goes round all of them, one of which may note that it knows the flow, and comes home
//! with that; what comes in the meantime goes round behind it and so stays behind it. Then all of them are handed over to the one
//! that knows the flow; or else the home decides. Where a flow's addresses say whose it is (NAT), nobody is asked.
//!
//! A flow that begins with a fragment is then known at the home of its fragments, and not where its other packets come. Workers
//! note for each other which flows that may be ([`InPieces`](crate::fragments::InPieces)); a packet that would begin one of them
//! anew goes round first.

use vnet::{Cx, Held, NodeId, Packet, PacketNode};

use super::family::Inner;
use super::rare::{self, Balancing, FlowBy};
use super::{Error, Next};
use crate::fragments::{Key, Later};
use crate::handle::ServerHandle;
use crate::local::LbLocal;
use crate::slot_hash::FlowWords;
use crate::tables::LbTables;

/// What the fragments of a datagram follow their first with.
#[derive(Clone, Copy, Debug)]
pub enum Follow {
    /// To a server.
    Server {
        /// The server.
        server: ServerHandle,
        /// What the flow is recognised by.
        identity: u64,
    },
    /// With other addresses: source and destination, as NAT translates them; IPv4's in the first four bytes.
    Addresses {
        /// The server, where they go to one.
        server: ServerHandle,
        /// The addresses.
        ends: ([u8; 16], [u8; 16]),
    },
    /// To another worker, which has the flow.
    Worker(u32),
    /// Around the workers, as their first does at present.
    Round,
    /// They are for no VIP.
    NoVip,
    /// They are an echo request that we answer.
    Receive,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<K> {
    /// Its datagram.
    pub datagram: Key,
    /// The flow, which the first fragment tells.
    pub flow: Option<K>,
}

/// What a fragment that comes from another worker says of itself, in its `opaque`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing: it comes from outside.
    None,
    /// It goes round, and so far found that this worker knows its flow.
    Round(Option<usize>),
    /// Its home has sent it to the worker that it belongs to.
    Sent,
}

/// In the first word of `opaque`.
const ROUND: u32 = 0x6c62_726e;
const SENT: u32 = 0x6c62_7365;
/// Likewise, of a packet that is none; beside it stands the worker that it came to.
const WHOLE: u32 = 0x6c62_7768;

impl Mark {
    /// Takes the mark off a packet.
    pub(super) fn take(packet: &mut Packet<'_>) -> Mark {
        let opaque = &mut packet.meta_mut().opaque;
        let mark = match *opaque {
            [ROUND, knows] => Mark::Round((knows as usize).checked_sub(1)),
            [SENT, _] => Mark::Sent,
            _ => return Mark::None,
        };
        *opaque = [0; 2];
        mark
    }

    /// Hands a packet with this mark over to a worker.
    pub(super) fn hand_over(self, packet: &mut Packet<'_>, worker: usize, node: NodeId) {
        match self {
            Mark::None => (),
            Mark::Round(knows) => packet.meta_mut().opaque = [ROUND, knows.map_or(0, |worker| worker as u32 + 1)],
            Mark::Sent => packet.meta_mut().opaque = [SENT, 0],
        }
        packet.hand_over(worker, node);
    }
}

/// Reads a fragment that is for this worker. Others are on their way to theirs.
pub(super) fn gathered<B: Balancing>(
    cx: &mut Cx<'_, '_, B>,
    packet: &mut Packet<'_>,
    vip: u32,
) -> Result<Piece<FlowBy<B>>, Next> {
    let Some(piece) = B::Family::piece(packet.data()) else {
        return Err(cx.drop(packet, Error::Short));
    };
    let (workers, me, this) = (cx.shared.workers as usize, cx.worker(), cx.this_node());
    if workers < 2 {
        return Ok(piece);
    }
    let (home, next, mark) = (piece.datagram.home(workers), (me + 1) % workers, Mark::take(packet));
    let (mark, to) = match (mark, piece.flow) {
        (Mark::Sent, _) => return Ok(piece),
        (Mark::Round(knows), flow) if home != me => {
            let here = || flow.is_some_and(|flow| knows_flow::<B>(cx, vip, &flow));
            (Mark::Round(knows.or_else(|| here().then_some(me))), next)
        }
        (Mark::None, _) if home != me => (Mark::None, home),
        (Mark::Round(knows), Some(_)) => match knows {
            Some(worker) if worker != me => {
                first(cx, piece.datagram, Follow::Worker(worker as u32));
                (Mark::Sent, worker)
            }
            _ => return Ok(piece),
        },
        (Mark::None, Some(flow)) => match B::owner(cx.shared, &flow) {
            Some(owner) if owner != me => {
                first(cx, piece.datagram, Follow::Worker(owner as u32));
                (Mark::Sent, owner)
            }
            None if is_asked::<B>(cx, packet, vip, &flow) => {
                first(cx, piece.datagram, Follow::Round);
                (Mark::Round(None), next)
            }
            _ => return Ok(piece),
        },
        (mark, None) => match cx.local.fragments.later(piece.datagram, cx.now().nanos) {
            Later::Known(Follow::Worker(worker)) => (Mark::Sent, worker as usize),
            // Behind its first it would have found out where that went.
            Later::Known(Follow::Round) if mark != Mark::None => return Err(cx.drop(packet, Error::FirstLost)),
            Later::Known(Follow::Round) => (Mark::Round(None), next),
            _ => return Ok(piece),
        },
    };
    mark.hand_over(packet, to, this);
    Err(Next::HandOver)
}

/// What becomes of a packet that is no fragment, of a flow that fragments may have begun on another worker: it goes round until
/// it comes to that. If it comes back instead, nobody knows the flow.
pub(super) fn begun_elsewhere<B: Balancing>(
    cx: &Cx<'_, '_, B>,
    packet: &mut Packet<'_>,
    vip: u32,
    words: impl FlowWords,
) -> Option<Next> {
    let (shared, me, workers): (&LbTables, _, _) = (cx.shared, cx.worker(), cx.shared.workers as usize);
    // With NAT proper addresses say whose a flow is, and all its packets come to that worker.
    if workers < 2 || B::ENCAP.is_nat() && !B::ENCAP.is_full_nat() {
        return None;
    }
    let (flows, now) = (&cx.local.flows, cx.now().seconds);
    let hash = flows.hash(words.masked(shared.vip(vip)?.mask), vip);
    let origin = match packet.meta().opaque {
        [WHOLE, origin] => Some(origin as usize),
        _ if cx.local.in_pieces.may_have(hash.identity, now) => None,
        _ => return None,
    };
    if origin == Some(me) || flows.peek(hash, now, shared.live()).is_some() {
        packet.meta_mut().opaque = [0; 2];
        return None;
    }
    packet.meta_mut().opaque = [WHOLE, origin.unwrap_or(me) as u32];
    packet.hand_over((me + 1) % workers, cx.this_node());
    Some(Next::HandOver)
}

/// Whether others are to be asked for the flow of a datagram, at its home.
fn is_asked<B: Balancing>(cx: &Cx<'_, '_, B>, packet: &Packet<'_>, vip: u32, flow: &FlowBy<B>) -> bool {
    // A server that the packet names needs nobody's memory; but NAT has more of a flow than its server.
    let named = !B::ENCAP.is_nat() && rare::named::<B::Family>(cx.shared, packet.data(), vip).is_some();
    vip != 0 && !named && !rare::is_answered::<B>(cx.shared, packet, vip, flow) && !knows_flow::<B>(cx, vip, flow)
}

/// Whether this worker knows the flow of a first fragment.
fn knows_flow<B: Balancing>(cx: &Cx<'_, '_, B>, vip: u32, flow: &FlowBy<B>) -> bool {
    let (shared, flows): (&LbTables, _) = (cx.shared, &cx.local.flows);
    shared.vip(vip).is_some_and(|entry| {
        let words = B::Family::words_of(flow).masked(entry.mask);
        flows.peek(flows.hash(words, vip), cx.now().seconds, shared.live()).is_some()
    })
}

/// Where a fragment that is not the first goes, if that is known; or what becomes of it meanwhile.
pub(super) fn later<B: Balancing>(
    cx: &mut Cx<'_, '_, B>,
    packet: &mut Packet<'_>,
    datagram: Key,
) -> Result<Follow, Next> {
    match cx.local.fragments.later(datagram, cx.now().nanos) {
        Later::Known(follow) => Ok(follow),
        Later::Hold => Err(Next::Hold),
        Later::Full => Err(cx.drop(packet, Error::FragmentsFull)),
    }
}

/// Notes where a datagram's first fragment goes. Those that came before it come back to this node, and find that.
pub(super) fn first<N: Holding>(cx: &mut Cx<'_, '_, N>, datagram: Key, follow: Follow) {
    let (now, this) = (cx.now().nanos, cx.this_node());
    for held in cx.local.fragments.first(datagram, follow, now) {
        cx.release(held, |_| N::to(this));
    }
}

/// Takes a fragment that waits for its first.
pub(super) fn hold<N: Holding>(cx: &mut Cx<'_, '_, N>, mut packet: Held) {
    let (now, this) = (cx.now().nanos, cx.this_node());
    let piece = cx.look_at(&mut packet, |packet| N::Packets::piece(packet.data()));
    let Some(piece) = piece else { return cx.discard(packet) };
    if let Err(back) = cx.local.fragments.hold(piece.datagram, packet, now) {
        match back.known {
            Some(_) => cx.release(back.packet, |_| N::to(this)),
            None => {
                cx.count(N::FULL);
                cx.discard(back.packet);
            }
        }
    }
}

/// A node that holds fragments.
pub(super) trait Holding: PacketNode<Local = LbLocal> {
    /// The family of its packets.
    type Packets: Inner;
    /// What is counted where there is no room.
    const FULL: Self::Error;

    /// The way to a node.
    fn to(node: NodeId) -> Self::Next;
}
