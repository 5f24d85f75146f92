//! `ip4-full-reassembly`: packets for our own addresses that come in pieces are put together.
//!
//! Uses: the header, the payload. Next: `ip4-receive` for the whole packet; the pieces are spent.

use smallvec::SmallVec;
use vnet::wire::ip4::{Ip4Header, write_checksum};
use vnet::{Cx, Held, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;
use super::datagram::{Added, Datagram, Key};
use super::frag::range;

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
        /// Packets of which pieces were missing when their time was up.
        TimedOut => error "reassemblies timed out",
        /// So many packets in pieces at a time that one more finds no place.
        Full => error "no place for another reassembly",
        /// No buffer for the whole packet.
        NoBuffer => error "no free buffer for a reassembled packet",
        /// The header is not what `ip4-input` let pass.
        Short => error "packet too short",
    }
}

/// Packets in pieces at a time, of up to 64 KB each. The pieces of one packet come to one worker: the kernel spreads
/// fragments over a fanout group by addresses and protocol alone.
const PLACES: usize = 64;
/// How long to wait for all pieces, in nanoseconds from the first that comes. RFC 1122 section 3.3.2 has a minute for
/// hosts; identifications come round sooner than that today (RFC 4963), places are few, and VPP waits a fifth of this.
const PATIENCE: u64 = 1_000_000_000;

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-full-reassembly", |_| Reassembly { places: Vec::new() })
}

struct Reassembly {
    /// Made as they are needed, and then kept.
    places: Vec<Datagram>,
}

impl PacketNode for Reassembly {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        crate::checksum::complete(packet);
        let Ok((ip, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        let key =
            Key { source: ip.source.get(), destination: ip.destination.get(), id: ip.id.get(), protocol: ip.protocol };
        let (header_len, offset, more) = (ip.header_len(), ip.fragment_offset(), ip.more_fragments());
        let Some(header) = packet.data().get(..header_len) else {
            return cx.drop(packet, Error::Short);
        };
        let now = cx.now().nanos;
        let Some(place) = self.place(cx, key, now) else {
            return cx.drop(packet, Error::Full);
        };
        let len = packet.len() - header_len;
        let added = {
            let pieces: SmallVec<[&[u8]; 32]> = range(packet, header_len, len).collect();
            place.add(header, offset, more, len, pieces.iter().copied())
        };
        match added {
            Added::Kept => Next::Hold,
            Added::Duplicate => cx.drop(packet, Error::Duplicate),
            Added::Overlap | Added::Malformed => {
                place.until = 0;
                cx.drop(packet, if added == Added::Overlap { Error::Overlap } else { Error::Malformed })
            }
            Added::Complete => {
                place.until = 0;
                if whole(cx, packet, place) {
                    cx.count(Error::Reassembled);
                    Next::Hold
                } else {
                    cx.drop(packet, Error::NoBuffer)
                }
            }
        }
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        cx.discard(packet);
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}

impl Reassembly {
    /// Where a datagram's pieces are, or may be put; `None`: everything is taken.
    fn place(&mut self, cx: &Cx<'_, '_, Self>, key: Key, now: u64) -> Option<&mut Datagram> {
        for place in self.places.iter_mut().filter(|place| place.until != 0 && place.until <= now) {
            place.until = 0;
            cx.count(Error::TimedOut);
        }
        let found = self.places.iter().position(|place| place.until != 0 && place.key == key);
        if let Some(at) = found {
            return self.places.get_mut(at);
        }
        if self.places.iter().all(|place| place.until != 0) {
            if self.places.len() == PLACES {
                return None;
            }
            self.places.push(Datagram::new());
        }
        let free = self.places.iter_mut().find(|place| place.until == 0)?;
        free.begin(key, now + PATIENCE);
        Some(free)
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
