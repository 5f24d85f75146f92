//! `ip4-gso-cut`: cuts large segments into packets, where a tunnel or a device does not take them whole.
//!
//! Uses: `meta.gso_size`, the IPv4 and transport headers at the mark of the network header, and the node that the packet
//! came from, which [`come_back_to`] noted. Sets: every piece's headers, with complete checksums. Next: back to that node.

use smallvec::SmallVec;
use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::wire::tcp::TcpFlags;
use vnet::wire::{TcpHeader, UdpHeader, checksum};
use vnet::{Cx, Held, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::frag::range;
use crate::frame_trace::FrameTrace;

next_nodes! {
    /// Where `ip4-gso-cut` sends packets.
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

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-gso-cut", |_| Cut)
}

struct Cut;

/// All headers of a piece: link, IPv4 and TCP with all their options.
type Headers = SmallVec<[u8; 192]>;

/// What is the same for all pieces.
struct Plan {
    headers: Headers,
    /// Where the IPv4 header begins.
    ip: usize,
    /// Where the transport header begins.
    transport: usize,
    tcp: bool,
    piece: usize,
    payload: usize,
}

impl PacketNode for Cut {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = FrameTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Some(plan) = plan(packet) else {
            return cx.drop(packet, Error::Broken);
        };
        let meta = packet.meta();
        let (back, forward, dpo, tx) = (NodeId(meta.opaque[0] as u16), meta.forward, meta.dpo, meta.tx);
        let mut at = 0;
        while at < plan.payload {
            let len = plan.piece.min(plan.payload - at);
            let made = cx.emit_chain(packet, &mut range(packet, plan.headers.len() + at, len), |piece| {
                let sum = checksum::sum_segments(piece.segments(), 0, 0);
                let headers = piece.push(plan.headers.len())?;
                headers[..plan.headers.len()].copy_from_slice(&plan.headers);
                plan.complete(&mut headers[..plan.headers.len()], at, len, sum)?;
                piece.mark_l2();
                piece.mark_l3_at(plan.ip);
                let meta = piece.meta_mut();
                (meta.forward, meta.dpo, meta.tx) = (forward, dpo, tx);
                Some(Next::To(back))
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

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> FrameTrace {
        FrameTrace::new(packet)
    }
}

fn plan(packet: &Packet<'_>) -> Option<Plan> {
    let bytes = packet.data();
    let ip_at = usize::try_from(packet.header_offsets().1).ok()?;
    let (ip, _) = Ip4Header::ref_from_prefix(bytes.get(ip_at..)?).ok()?;
    let transport = ip_at + ip.header_len();
    let offload = packet.meta().offload;
    let (tcp, end) = if offload.contains(Offload::GSO_TCP4) && ip.protocol == protocol::TCP {
        let tcp_len = TcpHeader::ref_from_prefix(bytes.get(transport..)?).ok()?.0.header_len();
        (true, transport + Some(tcp_len).filter(|len| *len >= size_of::<TcpHeader>())?)
    } else if offload.contains(Offload::GSO_UDP) && ip.protocol == protocol::UDP {
        (false, transport + UdpHeader::LEN)
    } else {
        return None;
    };
    let (piece, total) = (usize::from(packet.meta().gso_size), usize::from(ip.total_len.get()));
    // A GSO packet of 64 KB has a total length that does not fit: the frame's own length counts.
    let payload = packet.len().checked_sub(end).filter(|payload| *payload > 0)?;
    let headers = Headers::from_slice(bytes.get(..end)?);
    // No piece may be longer than IPv4's length field can say.
    let fits = end - ip_at + piece.min(payload) <= usize::from(u16::MAX);
    (piece > 0 && fits && total >= end - ip_at && headers.len() <= 192).then_some(Plan {
        headers,
        ip: ip_at,
        transport,
        tcp,
        piece,
        payload,
    })
}

impl Plan {
    /// Completes the headers of the piece with the payload `at..at + len`, whose bytes add up to `sum`.
    fn complete(&self, headers: &mut [u8], at: usize, len: usize, sum: u64) -> Option<()> {
        let number = at / self.piece;
        let (front, transport) = headers.split_at_mut_checked(self.transport)?;
        let ip_bytes = front.get_mut(self.ip..)?;
        let (ip, _) = Ip4Header::mut_from_prefix(ip_bytes).ok()?;
        let transport_len = u16::try_from(transport.len() + len).ok()?;
        ip.total_len.set(ip.header_len() as u16 + transport_len);
        ip.id.set(ip.id.get().wrapping_add(number as u16));
        let pseudo = ip.pseudo_sum(transport_len);
        vnet::wire::ip4::write_checksum(ip_bytes).ok()?;
        if self.tcp {
            let last = at + len == self.payload;
            let (tcp, _) = TcpHeader::mut_from_prefix(transport).ok()?;
            tcp.seq.set(tcp.seq.get().wrapping_add(at as u32));
            if !last {
                tcp.flags &= !(TcpFlags::FIN | TcpFlags::PSH).bits();
            }
            if number > 0 {
                // RFC 3168 section 6.1.2: the answer to one congestion mark is given once.
                tcp.flags &= !TcpFlags::CWR.bits();
            }
            tcp.checksum.set(0);
        } else {
            let (udp, _) = UdpHeader::mut_from_prefix(transport).ok()?;
            udp.len.set(transport_len);
            udp.checksum.set(0);
        }
        let sum = checksum::sum(transport, pseudo) + sum;
        let (at, field) = match self.tcp {
            true => (TcpHeader::CHECKSUM_OFFSET, checksum::finish(sum)),
            false => (UdpHeader::CHECKSUM_OFFSET, checksum::finish_nonzero(sum)),
        };
        transport[at..at + 2].copy_from_slice(&field.to_be_bytes());
        Some(())
    }
}
