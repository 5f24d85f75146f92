//! Fragments: all of a datagram go where its first went, which has the ports.

use vnet::{Cx, Held, Packet};

use super::family::Inner;
use super::rare::Balancing;
use super::{Error, Next};
use crate::fragments::{Key, Later};
use crate::handle::ServerHandle;

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
pub(super) fn first<B: Balancing>(cx: &mut Cx<'_, '_, B>, datagram: Key, follow: Follow) {
    let (now, this) = (cx.now().nanos, cx.this_node());
    for held in cx.local.fragments.first(datagram, follow, now) {
        cx.release(held, |_| Next::To(this));
    }
}

/// Takes a fragment that waits for its first.
pub(super) fn hold<B: Balancing>(cx: &mut Cx<'_, '_, B>, mut packet: Held) {
    let (now, this) = (cx.now().nanos, cx.this_node());
    let piece = cx.look_at(&mut packet, |packet| B::Family::piece(packet.data()));
    let Some(piece) = piece else { return cx.discard(packet) };
    if let Err(back) = cx.local.fragments.hold(piece.datagram, packet, now) {
        match back.known {
            Some(_) => cx.release(back.packet, |_| Next::To(this)),
            None => {
                cx.count(Error::FragmentsFull);
                cx.discard(back.packet);
            }
        }
    }
}
