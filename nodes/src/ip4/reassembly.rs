//! `ip4-full-reassembly`: packets for our own addresses that come in pieces are put together.
//!
//! Uses: the header, the payload. Next: `ip4-receive` for the whole packet; the pieces are spent.

use smallvec::SmallVec;
use vnet::wire::ip4::{Ip4Header, write_checksum};
use vnet::{Cx, Held, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;
use super::datagram::{Added, Datagram, Key};
use super::frag::range;
use super::places::{Evicted, Places};

next_nodes! {
    /// Where `ip4-full-reassembly` sends packets.
    pub enum Next {
        /// Worthless.
        Drop => "ip4-drop",
        /// Whole again.
        Receive => "ip4-receive",
        ; Hold
    }
}

node_errors! {
    /// What `ip4-full-reassembly` finds.
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
        /// No buffer for the whole packet.
        NoBuffer => error "no free buffer for a reassembled packet",
        /// The header is not what `ip4-input` let pass.
        Short => error "packet too short",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-full-reassembly", |_| Reassembly)
}

struct Reassembly;

impl PacketNode for Reassembly {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = Places;
    type Staged = ();
    type Trace = HeaderTrace;

    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
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

    fn trace(&self, _: &Scope<'_, (), Places>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}

/// Puts a piece where the others are.
fn add(cx: &mut Cx<'_, '_, Reassembly>, packet: &mut Packet<'_>, places: &mut Places) -> Next {
    let Ok((ip, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
        return cx.drop(packet, Error::Short);
    };
    let key =
        Key { source: ip.source.get(), destination: ip.destination.get(), id: ip.id.get(), protocol: ip.protocol };
    let (header_len, offset, more) = (ip.header_len(), ip.fragment_offset(), ip.more_fragments());
    let Some(header) = packet.data().get(..header_len) else {
        return cx.drop(packet, Error::Short);
    };
    let (place, evicted) = places.place(key, packet.meta().rx, cx.now().nanos);
    match evicted {
        Some(Evicted::Oldest) => cx.count(Error::Evicted),
        Some(Evicted::OfSource) => cx.count(Error::OfSource),
        None => (),
    }
    let len = packet.len() - header_len;
    let added = {
        let pieces: SmallVec<[&[u8]; 32]> = range(packet, header_len, len).collect();
        place.add(header, offset, more, len, pieces.iter().copied())
    };
    match added {
        Added::Kept => Next::Hold,
        Added::Duplicate => cx.drop(packet, Error::Duplicate),
        Added::Overlap => cx.drop(packet, Error::Overlap),
        Added::Malformed => cx.drop(packet, Error::Malformed),
        Added::Dead => cx.drop(packet, Error::Dead),
        Added::Complete => {
            place.until = 0;
            let sent = whole(cx, packet, place);
            places.completed(key, cx.now().nanos);
            if sent {
                cx.count(Error::Reassembled);
                Next::Hold
            } else {
                cx.drop(packet, Error::NoBuffer)
            }
        }
    }
}

/// Sends the whole packet; `false`: no buffer was free.
fn whole(cx: &mut Cx<'_, '_, Reassembly>, last: &Packet<'_>, datagram: &Datagram) -> bool {
    let (header, payload) = (datagram.header(), datagram.payload());
    let made = cx.emit_chain(last, &mut std::iter::once(payload), |packet| {
        packet.push(header.len())?[..header.len()].copy_from_slice(header);
        let (ip, _) = Ip4Header::mut_from_prefix(packet.data_mut()).ok()?;
        ip.total_len.set((header.len() + payload.len()) as u16);
        ip.flags_offset.set(0);
        write_checksum(packet.data_mut()).ok()?;
        packet.mark_l3();
        Some(Next::Receive)
    });
    made.is_ok()
}
