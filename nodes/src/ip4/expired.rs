//! `ip4-full-reassembly-expire-walk`: gives up packets whose pieces do not all come; `ip4-full-reassembly-expired`: has
//! their senders told, where the first piece is there (RFC 1122 section 3.3.2).
//!
//! Uses: what `ip4-full-reassembly` keeps. Next: `ip4-icmp-error` for the first piece, as much of it as is quoted.

use smallvec::SmallVec;
use vnet::wire::icmp4::{MAX_QUOTE, Problem};
use vnet::{Cx, InputCx, InputNode, NodeSpec, Packet, PacketNode, Poll, Scope, next_nodes, node_errors};

use super::datagram::Datagram;
use super::places::Places;
use super::{HeaderTrace, icmp_error};

next_nodes! {
    /// Where `ip4-full-reassembly-expire-walk` sends packets.
    pub enum WalkNext {
        /// A first piece.
        Expired => "ip4-full-reassembly-expired",
    }
}

node_errors! {
    /// What `ip4-full-reassembly-expire-walk` finds.
    pub enum WalkError {
        /// Packets of which pieces were missing when their time was up.
        TimedOut => error "reassemblies timed out",
    }
}

next_nodes! {
    /// Where `ip4-full-reassembly-expired` sends packets.
    pub enum ExpiredNext {
        /// Never.
        Drop => "ip4-drop",
        /// The sender is told.
        IcmpError => "ip4-icmp-error",
    }
}

node_errors! {
    /// Why `ip4-full-reassembly-expired` drops packets.
    pub enum ExpiredError {
        /// First pieces of packets that timed out.
        Incomplete => error "other fragments missing",
    }
}

pub(super) fn nodes() -> [NodeSpec; 2] {
    [
        NodeSpec::input("ip4-full-reassembly-expire-walk", |_| Walk),
        NodeSpec::packet("ip4-full-reassembly-expired", |_| Expired),
    ]
}

/// It is polled before the devices, so that no late piece finds the others still there.
struct Walk;

impl InputNode for Walk {
    type Next = WalkNext;
    type Error = WalkError;
    type Local = Places;
    type Trace = HeaderTrace;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let now = cx.now().nanos;
        let Some(next_look) = cx.local.next_look() else { return Poll::Idle };
        if next_look > now {
            return Poll::Until(next_look);
        }
        // Out of the worker's state as long as they and `cx` are needed at once.
        let mut places = std::mem::take(cx.local);
        let given_up = places.expire(now, |datagram| {
            cx.count(WalkError::TimedOut, 1);
            hand_on(cx, datagram);
        });
        *cx.local = places;
        Poll::Busy(given_up)
    }
}

/// Sends a datagram's first piece on, if it is there and there is a buffer: what a message would quote of it.
fn hand_on(cx: &mut InputCx<'_, '_, Walk>, datagram: &Datagram) {
    let Some((header, payload)) = datagram.first_piece() else { return };
    let mut piece: SmallVec<[u8; MAX_QUOTE]> = SmallVec::from_slice(header);
    piece.extend_from_slice(&payload[..payload.len().min(MAX_QUOTE - header.len())]);
    let mark = |packet: &mut Packet<'_>| {
        packet.mark_l3();
        WalkNext::Expired
    };
    // Without a buffer nobody is told; the interface counts that.
    let _ = cx.deliver(datagram.rx, &piece, mark, HeaderTrace::new);
}

struct Expired;

impl PacketNode for Expired {
    type Next = ExpiredNext;
    type Error = ExpiredError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> ExpiredNext {
        cx.blame(packet, ExpiredError::Incomplete);
        icmp_error::request(packet, Problem::ReassemblyTimeExceeded);
        ExpiredNext::IcmpError
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}
