//! `ip4-frag`: cuts packets that are too long for the way out (RFC 791 section 3.2).
//!
//! Uses: `meta.forward`, an adjacency with its MTU, or what [`come_back_to`] noted. Sets: the fragments' headers. Next: `ip4-rewrite`
//! for the fragments, or the node that asked; the packet itself is spent.

use std::hash::{BuildHasher, Hasher};

use vnet::wire::Ip4Header;
use vnet::wire::checksum::update16;
use vnet::wire::frag::{FragError, Plan};
use vnet::{AdjIndex, Cx, Held, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;

next_nodes! {
    /// Where `ip4-frag` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip4-drop",
        /// A fragment.
        Rewrite => "ip4-rewrite",
        ; To, Hold
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
        /// The sender forbids it, and `ip4-rewrite` should have said so.
        Forbidden => error "fragmentation forbidden",
        /// No buffer for a fragment: the datagram cannot arrive whole.
        NoBuffer => error "no free buffer for a fragment",
    }
}

/// In a packet's `opaque`: beside it stand a length and a node.
const ASKED: u32 = 0x6672_6167;

/// Notes in a packet that its fragments are to have `mtu` bytes at most, and which node gets them, as packets that are still on their
/// way; then send it to `ip4-frag`.
pub fn come_back_to(packet: &mut Packet<'_>, mtu: u16, node: NodeId) {
    packet.meta_mut().opaque = [ASKED, u32::from(mtu) << 16 | u32::from(node.0)];
}

/// What was noted.
fn asked(packet: &Packet<'_>) -> Option<(usize, NodeId)> {
    match packet.meta().opaque {
        [ASKED, word] => Some((word as usize >> 16, NodeId(word as u16))),
        _ => None,
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-frag", |_| Fragment::new())
}

struct Fragment {
    /// The identification of the next datagram that has none.
    next: u16,
}

impl Fragment {
    fn new() -> Self {
        // Two workers, or two runs, hardly ever use the same ones at the same time.
        Fragment { next: std::hash::RandomState::new().build_hasher().finish() as u16 }
    }

    /// Tells fragments of one datagram from those of the next (RFC 6864 section 4.1): a packet that was put into a tunnel has
    /// the identification 0, as if it were never cut.
    fn identify(&mut self, packet: &mut Packet<'_>) {
        let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut()) else { return };
        if header.id.get() != 0 || header.is_fragment() {
            return;
        }
        self.next = self.next.wrapping_add(1).max(1);
        header.id.set(self.next);
        header.checksum.set(update16(header.checksum.get(), 0, self.next));
    }
}

impl PacketNode for Fragment {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        crate::checksum::complete(packet);
        self.identify(packet);
        let asked = asked(packet);
        let mtu = asked.map(|(mtu, _)| mtu);
        let mtu = mtu.unwrap_or_else(|| cx.tables.fib4.adjacency(AdjIndex(packet.meta().forward)).mtu as usize);
        let plan = match Plan::new(packet.data(), packet.len(), mtu) {
            Ok(plan) => plan,
            Err(FragError::Short) => return cx.drop(packet, Error::Broken),
            Err(FragError::TooLong) => return cx.drop(packet, Error::TooFar),
            Err(FragError::TinyMtu) => return cx.drop(packet, Error::TinyMtu),
            Err(FragError::Forbidden) => return cx.drop(packet, Error::Forbidden),
        };
        let (forward, dpo) = (packet.meta().forward, packet.meta().dpo);
        for piece in plan.fragments() {
            let at = plan.payload_at() + piece.at;
            let made = cx.emit_chain(packet, &mut range(packet, at, piece.len), |fragment| {
                plan.write_header(piece, fragment.push(plan.header_len(piece))?).ok()?;
                fragment.mark_l3();
                let meta = fragment.meta_mut();
                (meta.forward, meta.dpo) = (forward, dpo);
                if let Some((_, node)) = asked {
                    return Some(Next::To(node));
                }
                // The packet's TTL was decremented before it came here.
                meta.offload = Offload::LOCAL;
                Some(Next::Rewrite)
            });
            if made.is_err() {
                return cx.drop(packet, Error::NoBuffer);
            }
            cx.count(Error::Made);
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
