//! `ip4-gso-cut` and `ip6-gso-cut`: cut large segments into packets, where a tunnel or a device does not take them whole.
//!
//! Uses: `meta.gso_size`, the IP and transport headers at the mark of the network header, and the node that the packet
//! came from, which [`come_back_to`] noted. Sets: every piece's headers, with complete checksums. Next: back to that node.

use vnet::wire::checksum;
use vnet::wire::gso::{Kind, Plan};
use vnet::{Cx, Held, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use crate::frag::range;
use crate::frame_trace::FrameTrace;

next_nodes! {
    /// Where `ip4-gso-cut` and `ip6-gso-cut` send packets.
    pub enum Next {
        /// Not to be cut.
        Drop => "error-drop",
        ; To, Hold
    }
}

node_errors! {
    /// What `ip4-gso-cut` finds.
    pub enum Error {
        /// Large segments that were cut.
        Cut => info "large segments cut",
        /// Packets made of them.
        Made => info "packets made of large segments",
        /// The headers do not fit the kind of segment that the device named.
        Broken => error "large segment with broken headers",
        /// No buffer for a piece.
        NoBuffer => error "no free buffer for a piece of a large segment",
    }
}

/// Notes in a packet which node gets the pieces; then send it to `ip4-gso-cut`.
pub fn come_back_to(packet: &mut Packet<'_>, node: NodeId) {
    packet.meta_mut().opaque[0] = u32::from(node.0);
}

pub(super) fn nodes() -> [NodeSpec; 2] {
    // Of the families, only their headers differ, and how these are cut is in `vnet::wire::gso`.
    ["ip4-gso-cut", "ip6-gso-cut"].map(|name| NodeSpec::packet(name, |_| Cut))
}

struct Cut;

impl PacketNode for Cut {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = FrameTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let ip = usize::try_from(packet.header_offsets().1).ok();
        let Some((plan, ip)) = ip.and_then(|ip| Some((plan(packet, ip)?, ip))) else {
            return cx.drop(packet, Error::Broken);
        };
        let headers = plan.headers_len();
        let meta = packet.meta();
        let (back, forward, dpo, tx) = (NodeId(meta.opaque[0] as u16), meta.forward, meta.dpo, meta.tx);
        for piece in plan.pieces() {
            let made = cx.emit_chain(packet, &mut range(packet, headers + piece.at, piece.len), |new| {
                let sum = checksum::sum_segments(new.segments(), 0, 0);
                let place = new.push(headers)?;
                place[..headers].copy_from_slice(packet.data().get(..headers)?);
                plan.complete(place, piece, sum).ok()?;
                new.mark_l2();
                new.mark_l3_at(ip);
                let meta = new.meta_mut();
                (meta.forward, meta.dpo, meta.tx) = (forward, dpo, tx);
                Some(Next::To(back))
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

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> FrameTrace {
        FrameTrace::new(packet)
    }
}

/// The longest headers that are cut: an empty packet has more room in front.
const MAX_HEADERS: usize = 192;

/// How a large segment whose IP header begins at `ip` is cut.
fn plan(packet: &Packet<'_>, ip: usize) -> Option<Plan> {
    let meta = packet.meta();
    let version = packet.data().get(ip)? >> 4;
    let kind = match (meta.offload & Offload::GSO, version) {
        (Offload::GSO_TCP4, 4) => Kind::Tcp4,
        (Offload::GSO_UDP, 4) => Kind::Udp4,
        (Offload::GSO_TCP6, 6) => Kind::Tcp6,
        (Offload::GSO_UDP, 6) => Kind::Udp6,
        _ => return None,
    };
    let plan = Plan::new(packet.data(), ip, kind, meta.gso_size, packet.len()).ok();
    plan.filter(|plan| plan.headers_len() <= MAX_HEADERS)
}

/// Bytes of the longest piece that a large segment, which begins with its IP header, will be cut into; `None` for
/// what cannot be cut.
pub fn gso_piece_len(packet: &Packet<'_>) -> Option<usize> {
    plan(packet, 0).map(|plan| plan.longest())
}

/// What a large segment will be cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// How many packets.
    pub count: usize,
    /// Bytes of the headers that each of them has, from the IP header on.
    pub headers: usize,
}

/// What a large segment, which begins with its IP header, will be cut into; `None` for what cannot be cut.
pub fn gso_pieces(packet: &Packet<'_>) -> Option<Pieces> {
    plan(packet, 0).map(|plan| Pieces { count: plan.count(), headers: plan.headers_len() })
}
