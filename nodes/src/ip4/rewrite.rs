//! `ip4-rewrite`: the last IPv4 step of a packet that leaves.
//!
//! Uses: `meta.forward`, an adjacency. Sets: TTL and checksum, the link header, `meta.tx`. Next: the interface's
//! output node; `ip4-icmp-error` where the TTL ends or DF forbids a cut; `ip4-frag` where the packet is too long.

use trace::{Record, Text};
use vnet::wire::Ip4Header;
use vnet::wire::icmp4::Problem;
use vnet::{AdjIndex, Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::icmp_error;

next_nodes! {
    /// Where `ip4-rewrite` sends packets.
    pub enum Next {
        /// The packet is broken.
        Drop => "ip4-drop",
        /// Tell the sender.
        IcmpError => "ip4-icmp-error",
        /// Too long for the way out, and may be cut.
        Fragment => "ip4-frag",
        ; To
    }
}

node_errors! {
    /// What `ip4-rewrite` finds.
    pub enum Error {
        /// RFC 792: the packet has used up its hops.
        TtlExpired => error "ip4 ttl <= 1",
        /// RFC 791: DF is set and the packet does not fit.
        MustFragment => error "ip4 MTU exceeded and DF set",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the link header",
        /// Shorter than an IPv4 header; only a broken node sends one here.
        Short => error "packet too short",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-rewrite", |_| Rewrite)
}

struct Rewrite;

/// `tx_sw_if_index N dpo-idx N : ADJACENCY flow hash: 0x…`, then the packet's first 60 bytes.
#[derive(serde::Serialize)]
pub struct RewriteTrace {
    tx_sw_if_index: u32,
    dpo: u32,
    adjacency: String,
    flow_hash: u32,
    bytes: Vec<u8>,
}

impl Record for RewriteTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!(
            "tx_sw_if_index {} dpo-idx {} : {} flow hash: 0x{:08x}",
            self.tx_sw_if_index, self.dpo, self.adjacency, self.flow_hash
        ));
        for (row, bytes) in self.bytes.chunks(32).enumerate() {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text.line(format_args!("{:08x}: {hex}", row * 32));
        }
    }
}

impl PacketNode for Rewrite {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = RewriteTrace;

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let adjacency = cx.tables.fib4.adjacency(AdjIndex(packet.meta().forward));
        let (local, gso) =
            (packet.meta().offload.contains(Offload::LOCAL), packet.meta().offload.intersects(Offload::GSO));
        let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut()) else {
            return cx.drop(packet, Error::Short);
        };
        if !local {
            if header.ttl <= 1 {
                return Self::refuse(cx, packet, Error::TtlExpired, Problem::TimeExceeded);
            }
            header.decrement_ttl();
        }
        let (len, df) = (u32::from(header.total_len.get()), header.dont_fragment());
        if len > adjacency.mtu && !(gso && Self::pieces_fit(packet, adjacency.mtu)) {
            if !df {
                return Next::Fragment;
            }
            // The sender must find the packet as it came.
            if !local && let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut()) {
                header.increment_ttl();
            }
            let mtu = adjacency.mtu.min(u32::from(u16::MAX)) as u16;
            return Self::refuse(cx, packet, Error::MustFragment, Problem::FragmentationNeeded { mtu });
        }
        let (rewrite, used) = (adjacency.rewrite, usize::from(adjacency.rewrite_len));
        let Some(bytes) = packet.push(used) else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        match (used, bytes.first_chunk_mut::<14>()) {
            (14, Some(ethernet)) => ethernet.copy_from_slice(&rewrite[..14]),
            _ => bytes[..used].copy_from_slice(&rewrite[..used]),
        }
        packet.meta_mut().tx = adjacency.interface;
        Next::To(adjacency.node)
    }

    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> RewriteTrace {
        let meta = packet.meta();
        let adjacency = scope.tables.fib4.adjacency(AdjIndex(meta.forward));
        let name = &scope.tables.interface(adjacency.interface).name;
        RewriteTrace {
            tx_sw_if_index: adjacency.interface.0,
            dpo: meta.forward,
            adjacency: adjacency.text(name).to_string(),
            flow_hash: meta.flow_hash,
            bytes: packet.data()[..packet.data().len().min(60)].to_vec(),
        }
    }
}

impl Rewrite {
    #[cold]
    fn refuse(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, error: Error, problem: Problem) -> Next {
        cx.blame(packet, error);
        icmp_error::request(packet, problem);
        Next::IcmpError
    }

    /// Whether the pieces that a large segment will be cut into fit: headers and one piece of payload.
    #[cold]
    fn pieces_fit(packet: &Packet<'_>, mtu: u32) -> bool {
        super::gso_piece_len(packet).is_some_and(|len| len as u32 <= mtu)
    }
}
