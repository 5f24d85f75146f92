//! Fragments: all of a datagram go where its first went, which has the ports.

use vnet::{Cx, Held, NodeId, Packet, PacketNode};

use super::family::Inner;
use super::rare::Balancing;
use super::{Error, Next};
use crate::fragments::{Key, Later};
use crate::handle::ServerHandle;
use crate::local::LbLocal;

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
