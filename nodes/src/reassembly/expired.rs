//! `ip4-full-reassembly-expire-walk`: gives up packets whose pieces do not all come; `ip4-full-reassembly-expired`: has
//! their senders told, where the first piece is there (RFC 1122 section 3.3.2, RFC 8200 section 4.5). The same of IPv6.
//!
//! Uses: what `ip4-full-reassembly` keeps. Next: `ip4-icmp-error` for the first piece, as much of it as is quoted.

use std::marker::PhantomData;

use vnet::{Cx, InputCx, InputNode, NodeSpec, Packet, PacketNode, Poll, Scope, node_errors};

use super::Pieces;
use super::datagram::Datagram;
use super::places::Places;
use crate::ip::next_nodes_of;
use crate::ip4::HeaderTrace;

next_nodes_of! {
    /// Where `ip4-full-reassembly-expire-walk` sends packets.
    pub enum WalkNext {
        /// A first piece.
        Expired => EXPIRED,
        ;
    }
}

node_errors! {
    /// What `ip4-full-reassembly-expire-walk` finds.
    pub enum WalkError {
        /// Packets of which pieces were missing when their time was up.
        TimedOut => error "reassemblies timed out",
    }
}

next_nodes_of! {
    /// Where `ip4-full-reassembly-expired` sends packets.
    pub enum ExpiredNext {
        /// Never.
        Drop => DROP,
        /// The sender is told.
        IcmpError => ICMP_ERROR,
        ;
    }
}

node_errors! {
    /// Why `ip4-full-reassembly-expired` drops packets.
    pub enum ExpiredError {
        /// First pieces of packets that timed out.
        Incomplete => error "other fragments missing",
    }
}

pub(super) fn nodes<A: Pieces>() -> [NodeSpec; 2] {
    [NodeSpec::input(A::WALK, |_| Walk::<A>(PhantomData)), NodeSpec::packet(A::EXPIRED, |_| Expired::<A>(PhantomData))]
}

/// It is polled before the devices, so that no late piece finds the others still there.
struct Walk<A>(PhantomData<A>);

impl<A: Pieces> InputNode for Walk<A> {
    type Next = WalkNext<A>;
    type Error = WalkError;
    type Local = Places<A>;
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
fn hand_on<A: Pieces>(cx: &mut InputCx<'_, '_, Walk<A>>, datagram: &Datagram<A>) {
    let Some((header, payload)) = datagram.first_piece() else { return };
    let mut piece = [header, payload].concat();
    piece.truncate(A::MAX_QUOTE);
    let mark = |packet: &mut Packet<'_>| {
        packet.mark_l3();
        WalkNext::Expired
    };
    // Without a buffer nobody is told; the interface counts that.
    let _ = cx.deliver(datagram.rx, &piece, mark, HeaderTrace::of::<A>);
}

struct Expired<A>(PhantomData<A>);

impl<A: Pieces> PacketNode for Expired<A> {
    type Next = ExpiredNext<A>;
    type Error = ExpiredError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> ExpiredNext<A> {
        cx.blame(packet, ExpiredError::Incomplete);
        A::missing(packet);
        ExpiredNext::IcmpError
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<A>(packet)
    }
}
