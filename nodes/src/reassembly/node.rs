//! `ip4-full-reassembly` and `ip6-full-reassembly`: packets for our own addresses that come in pieces are put together.
//!
//! Uses: the headers, the payload. Next: `ip4-receive` or `ip6-receive` for the whole packet; the pieces are spent.
//! `ip6-icmp-error` for pieces that cannot be.

use std::marker::PhantomData;

use smallvec::SmallVec;
use vnet::wire::EthernetHeader;
use vnet::{Cx, Held, NodeSpec, Packet, PacketNode, Scope, node_errors};

use super::datagram::{Added, Datagram};
use super::places::{Evicted, Places};
use super::{Piece, Pieces};
use crate::frag::range;
use crate::ip::next_nodes_of;
use crate::ip4::HeaderTrace;

next_nodes_of! {
    /// Where the nodes send packets.
    pub enum Next {
        /// Worthless.
        Drop => DROP,
        /// Whole again.
        Receive => RECEIVE,
        /// The sender is told that it cannot be.
        IcmpError => ICMP_ERROR,
        ; Hold
    }
}

node_errors! {
    /// What the nodes find.
    pub enum Error {
        /// Packets made.
        Reassembled => info "packets reassembled",
        /// A piece that was there already.
        Duplicate => info "duplicate fragments",
        /// Pieces that overlap: all of the packet is dropped.
        Overlap => error "overlapping fragments",
        /// Bounds that cannot be.
        Malformed => error "malformed fragments",
        /// Pieces of a packet that was found overlapping or malformed.
        Dead => error "fragments of a dropped packet",
        /// All places were taken.
        Evicted => error "evicted: all places taken",
        /// The sender had its share of the places.
        OfSource => error "evicted: too many of a source",
        /// RFC 3168 section 5.3: some pieces met congestion, and others say that their sender would not understand.
        Congested => error "congested fragments, but not ECN-capable",
        /// What must come whole.
        Forbidden => error "neighbor discovery in fragments",
        /// No buffer for the whole packet.
        NoBuffer => error "no free buffer for a reassembled packet",
        /// The headers are not what the node before let pass.
        Short => error "packet too short",
    }
}

pub(super) fn spec<A: Pieces>() -> NodeSpec {
    NodeSpec::packet(A::NODE, |_| Reassembly::<A>(PhantomData))
}

struct Reassembly<A>(PhantomData<A>);

impl<A: Pieces> PacketNode for Reassembly<A> {
    type Next = Next<A>;
    type Error = Error;
    type Shared = ();
    type Local = Places<A>;
    type Staged = ();
    type Trace = HeaderTrace;

    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next<A> {
        crate::checksum::complete(packet);
        // Out of the worker's state as long as they and `cx` are needed at once.
        let mut places = std::mem::take(cx.local);
        let next = add(cx, packet, &mut places);
        *cx.local = places;
        next
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        cx.discard(packet);
    }

    fn trace(&self, _: &Scope<'_, (), Places<A>>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<A>(packet)
    }
}

/// Puts a piece where the others are.
fn add<A: Pieces>(cx: &mut Cx<'_, '_, Reassembly<A>>, packet: &mut Packet<'_>, places: &mut Places<A>) -> Next<A> {
    let Some(Piece { key, header_len, offset, more }) = A::piece(packet.data()) else {
        return cx.drop(packet, Error::Short);
    };
    let (Some(header), Some(len)) = (packet.data().get(..header_len), packet.len().checked_sub(header_len)) else {
        return cx.drop(packet, Error::Short);
    };
    let (place, evicted) = places.place(key, packet.meta().rx, cx.now().nanos);
    match evicted {
        Some(Evicted::Oldest) => cx.count(Error::Evicted),
        Some(Evicted::OfSource) => cx.count(Error::OfSource),
        None => (),
    }
    let added = {
        let pieces: SmallVec<[&[u8]; 32]> = range(packet, header_len, len).collect();
        place.add(header, offset, more, len, pieces.iter().copied())
    };
    match added {
        Added::Kept => Next::Hold,
        Added::Duplicate => cx.drop(packet, Error::Duplicate),
        Added::Overlap => cx.drop(packet, Error::Overlap),
        Added::Malformed | Added::Odd | Added::TooFar => {
            let next = cx.drop(packet, Error::Malformed);
            if A::object(packet, added) { Next::IcmpError } else { next }
        }
        Added::Dead => cx.drop(packet, Error::Dead),
        Added::Complete => {
            place.until = 0;
            let sent = whole(cx, packet, place);
            places.completed(key, cx.now().nanos);
            match sent {
                Ok(()) => {
                    cx.count(Error::Reassembled);
                    Next::Hold
                }
                Err(error) => cx.drop(packet, error),
            }
        }
    }
}

/// Sends the whole packet.
fn whole<A: Pieces>(
    cx: &mut Cx<'_, '_, Reassembly<A>>,
    last: &Packet<'_>,
    datagram: &Datagram<A>,
) -> Result<(), Error> {
    let payload = datagram.payload();
    let congested = datagram.congested().ok_or(Error::Congested)?;
    let headers = A::whole(datagram.header(), payload, congested).ok_or(Error::Forbidden)?;
    // Some answers go back to the station that a question came from.
    let behind_link = last.header_offsets().0 <= -(EthernetHeader::LEN as i32);
    let link = last.l2_bytes().get(..EthernetHeader::LEN).filter(|_| behind_link);
    let made = cx.emit_chain(last, &mut [&headers[..], payload].into_iter(), |packet| {
        if let Some(link) = link {
            packet.push(link.len())?[..link.len()].copy_from_slice(link);
            packet.mark_l2();
            packet.pull(link.len());
        }
        packet.mark_l3();
        Some(Next::Receive)
    });
    made.map_err(|_| Error::NoBuffer)
}
