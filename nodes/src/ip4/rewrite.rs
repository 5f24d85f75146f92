//! `ip4-rewrite`: the last IPv4 step of a packet that leaves.
//!
//! Uses: `meta.forward`, an adjacency. Sets: TTL and checksum, the link header. Next: the interface's
//! output node; `ip4-icmp-error` where the TTL ends or DF forbids a cut; `ip4-frag` where the packet is too long.

use trace::{Record, Text};
use vnet::fib::Adjacency;
use vnet::wire::Ip4Header;
use vnet::wire::icmp4::Problem;
use vnet::{
    AdjIndex, Cx, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, Tables, Vector, next_nodes, node_errors,
};

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

impl RewriteTrace {
    pub(crate) fn of(tables: &Tables, adjacency: &Adjacency, packet: &Packet<'_>) -> RewriteTrace {
        let meta = packet.meta();
        let name = &tables.interface(adjacency.interface).name;
        RewriteTrace {
            tx_sw_if_index: adjacency.interface.0,
            dpo: meta.forward,
            adjacency: adjacency.text(name).to_string(),
            flow_hash: meta.flow_hash,
            bytes: packet.data()[..packet.data().len().min(60)].to_vec(),
        }
    }
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
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next) {
        let fib = &cx.tables.fib4;
        let to = fib.adjacency(AdjIndex(vector.packet(0).meta().forward)).node;
        let done = vector.head(|packet| {
            let adjacency = fib.get_adjacency(AdjIndex(packet.meta().forward));
            adjacency.is_some_and(|adjacency| adjacency.node == to && rewrite(packet, adjacency))
        });
        (done, Next::To(to))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let adjacency = cx.tables.fib4.get_adjacency(AdjIndex(packet.meta().forward));
        if let Some(adjacency) = adjacency
            && rewrite(packet, adjacency)
        {
            return Next::To(adjacency.node);
        }
        Next::To(Self::uncommon(cx, &mut packet.again()))
    }

    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> RewriteTrace {
        RewriteTrace::of(scope.tables, scope.tables.fib4.adjacency(AdjIndex(packet.meta().forward)), packet)
    }
}

/// Takes a hop off a packet of the common kind and puts Ethernet's header in front; `false`, and nothing changes, for
/// others.
#[inline(always)]
fn rewrite(packet: &mut Packet<'_>, adjacency: &Adjacency) -> bool {
    if !packet.meta().offload.contains(Offload::LOCAL)
        && packet.plain_len() <= usize::from(adjacency.ethernet_mtu)
        && let Ok((header, _)) = Ip4Header::ref_from_prefix(packet.data())
        && header.ttl > 1
        && let Some((link, header)) = packet.push_before::<14, { Ip4Header::LEN }>()
    {
        adjacency.write_ethernet(link);
        Ip4Header::of_bytes_mut(header).decrement_ttl();
        return true;
    }
    false
}

impl Rewrite {
    /// What this router made itself, what is too long or too old, and what gets another link header than Ethernet's.
    #[inline(never)]
    fn uncommon(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> NodeId {
        let next = Self::judge(cx, packet);
        cx.number_of(next)
    }

    fn judge(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Next {
        let adjacency = cx.tables.fib4.adjacency(AdjIndex(packet.meta().forward));
        let offload = packet.meta().offload;
        let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut()) else {
            return cx.drop(packet, Error::Short);
        };
        if !offload.contains(Offload::LOCAL) {
            if header.ttl <= 1 {
                return Self::refuse(cx, packet, Error::TtlExpired, Problem::TimeExceeded);
            }
            header.decrement_ttl();
        }
        if packet.len() > adjacency.mtu as usize
            && let Some(next) = Self::too_long(cx, packet, adjacency.mtu)
        {
            return next;
        }
        let header = adjacency.rewrite();
        let Some(bytes) = packet.push(header.len()) else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        bytes[..header.len()].copy_from_slice(header);
        Next::To(adjacency.node)
    }

    #[cold]
    fn refuse(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, error: Error, problem: Problem) -> Next {
        cx.blame(packet, error);
        icmp_error::request(packet, problem);
        Next::IcmpError
    }

    /// What happens to a packet that is longer than the way out takes; `None`: it passes, because it will be cut into
    /// pieces that fit. The header has lost its hop.
    #[cold]
    fn too_long(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, mtu: u32) -> Option<Next> {
        let gso = packet.meta().offload.intersects(Offload::GSO);
        // Headers and one piece of payload.
        if gso && super::gso_piece_len(packet).is_some_and(|len| len as u32 <= mtu) {
            return None;
        }
        let local = packet.meta().offload.contains(Offload::LOCAL);
        let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut()) else {
            return Some(cx.drop(packet, Error::Short));
        };
        if !header.dont_fragment() {
            crate::frag::request(packet, mtu);
            return Some(Next::Fragment);
        }
        // The sender must find the packet as it came.
        if !local {
            header.increment_ttl();
        }
        let mtu = mtu.min(u32::from(u16::MAX)) as u16;
        Some(Self::refuse(cx, packet, Error::MustFragment, Problem::FragmentationNeeded { mtu }))
    }
}
