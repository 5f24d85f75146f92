//! `ip4-frag`: cuts packets that are too long for the way out (RFC 791 section 3.2).
//!
//! Uses: `meta.forward`, an adjacency with its MTU. Sets: the fragments' headers. Next: `ip4-rewrite` for the fragments;
//! the packet itself is spent.

use smallvec::SmallVec;
use vnet::wire::Ip4Header;
use vnet::wire::ip4::{DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET_MASK, write_checksum};
use vnet::{AdjIndex, Cx, Held, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;

next_nodes! {
    /// Where `ip4-frag` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip4-drop",
        /// A fragment.
        Rewrite => "ip4-rewrite",
        ; Hold
    }
}

node_errors! {
    /// What `ip4-frag` finds.
    pub enum Error {
        /// Packets that were cut.
        Cut => info "packets fragmented",
        /// Fragments made.
        Made => info "fragments made",
        /// The way out does not even take eight bytes of payload.
        TinyMtu => error "MTU leaves no room for a fragment",
        /// The header is not what `ip4-input` let pass.
        Broken => error "packet too short",
        /// A fragment that reaches beyond what a datagram may have.
        TooFar => error "fragment reaches beyond 65535 bytes",
        /// No buffer for a fragment: the datagram cannot arrive whole.
        NoBuffer => error "no free buffer for a fragment",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-frag", |_| Fragment)
}

struct Fragment;

/// The longest IPv4 header.
const MAX_HEADER: usize = 60;

impl PacketNode for Fragment {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        crate::checksum::complete(packet);
        let mtu = cx.tables.fib4.adjacency(AdjIndex(packet.meta().forward)).mtu as usize;
        let Ok((ip, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::Broken);
        };
        let (header_len, flags_offset) = (ip.header_len(), ip.flags_offset.get());
        let Some(first) = packet.data().get(..header_len).map(SmallVec::<[u8; MAX_HEADER]>::from_slice) else {
            return cx.drop(packet, Error::Broken);
        };
        let later = without_uncopied_options(&first);
        let payload = packet.len() - header_len;
        let (forward, dpo, base) = (packet.meta().forward, packet.meta().dpo, usize::from(flags_offset & OFFSET_MASK));
        // RFC 791: a fragment ends within the 65535 bytes of its datagram, and then its offsets have room in their field.
        if base * 8 + payload + header_len > usize::from(u16::MAX) {
            return cx.drop(packet, Error::TooFar);
        }
        let mut at = 0;
        while at < payload {
            let header = if at == 0 { &first } else { &later };
            let room = mtu.saturating_sub(header.len()) & !7;
            if room == 0 {
                return cx.drop(packet, Error::TinyMtu);
            }
            let len = room.min(payload - at);
            let last = at + len == payload && flags_offset & MORE_FRAGMENTS == 0;
            let more = if last { 0 } else { MORE_FRAGMENTS };
            let made = cx.emit_chain(packet, &mut range(packet, header_len + at, len), |fragment| {
                fragment.push(header.len())?[..header.len()].copy_from_slice(header);
                let (ip, _) = Ip4Header::mut_from_prefix(fragment.data_mut()).ok()?;
                ip.version_ihl = 0x40 | (header.len() / 4) as u8;
                ip.total_len.set((header.len() + len) as u16);
                ip.flags_offset.set(flags_offset & DONT_FRAGMENT | more | (base + at / 8) as u16);
                write_checksum(fragment.data_mut()).ok()?;
                fragment.mark_l3();
                let meta = fragment.meta_mut();
                // The packet's TTL was decremented before it came here.
                (meta.forward, meta.dpo, meta.offload) = (forward, dpo, Offload::LOCAL);
                Some(Next::Rewrite)
            });
            if made.is_err() {
                return cx.drop(packet, Error::NoBuffer);
            }
            cx.count(Error::Made);
            at += len;
        }
        cx.count(Error::Cut);
        Next::Hold
    }

    fn held(&mut self, cx: &mut Cx<'_, '_, Self>, packet: Held) {
        cx.discard(packet);
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}

/// The header of fragments after the first: of the options only those that are copied (RFC 791 section 3.1), padded.
fn without_uncopied_options(header: &[u8]) -> SmallVec<[u8; MAX_HEADER]> {
    let mut later = SmallVec::from_slice(&header[..Ip4Header::LEN]);
    for option in vnet::wire::ip4::options(&header[Ip4Header::LEN..]).flatten() {
        if option.first().is_some_and(|kind| kind & 0x80 != 0) {
            later.extend_from_slice(option);
        }
    }
    while !later.len().is_multiple_of(4) {
        later.push(0);
    }
    later
}

/// The pieces that bytes `from..from + len` of a packet stand in.
pub(super) fn range<'p>(packet: &'p Packet<'_>, mut from: usize, mut len: usize) -> impl Iterator<Item = &'p [u8]> {
    packet.segments().filter_map(move |segment| {
        let skip = from.min(segment.len());
        from -= skip;
        let piece = &segment[skip..];
        let piece = &piece[..piece.len().min(len)];
        len -= piece.len();
        (!piece.is_empty()).then_some(piece)
    })
}
