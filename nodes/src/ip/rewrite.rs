//! `ip4-rewrite` and `ip6-rewrite`: the last IP step of a packet that leaves.
//!
//! Uses: `meta.forward`, an adjacency. Sets: the hop limit, the link header. Next: the interface's output node; what
//! [`Leave::Next`] names, for what does not leave as it is.

use std::marker::PhantomData;

use trace::{Record, Text};
use vnet::fib::Adjacency;
use vnet::wire::EthernetHeader;
use vnet::{
    AdjIndex, Cx, ErrorCodes, NextNodes, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, Tables, Tally, Vector,
};

use super::Ip;
use crate::ip4::gso_piece_len;

/// A family's packets as they leave.
pub(crate) trait Leave: Ip {
    /// Where the node sends packets.
    type Next: NextNodes + From<NodeId>;
    /// What it finds.
    type Error: ErrorCodes;
    /// Another node took the room in front of the packet.
    const NO_HEADROOM: Self::Error;

    /// Takes a hop off a packet of the common kind and puts bytes in front of it, for Ethernet's header; `None`, and
    /// nothing changes, for others.
    fn step<'p>(packet: &'p mut Packet<'_>) -> Option<&'p mut [u8; EthernetHeader::LEN]>;
    /// Takes a hop off any packet that is not our own, and compares it with what the way out takes.
    ///
    /// # Errors
    /// It does not leave, but goes there.
    fn judge(cx: &Cx<'_, '_, Rewrite<Self>>, packet: &mut Packet<'_>, mtu: u32) -> Result<(), Self::Next>;
}

pub(crate) fn node<A: Leave>() -> NodeSpec {
    NodeSpec::packet(A::REWRITE, |_| Rewrite::<A>(PhantomData))
}

/// See the head of this module.
pub(crate) struct Rewrite<A>(PhantomData<A>);

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
    fn of(tables: &Tables, adjacency: &Adjacency, packet: &Packet<'_>) -> RewriteTrace {
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

impl<A: Leave> PacketNode for Rewrite<A> {
    type Next = A::Next;
    type Error = A::Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = RewriteTrace;

    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, A::Next) {
        let fib = A::fib(cx.tables);
        let to = fib.adjacency(AdjIndex(vector.packet(0).meta().forward)).node;
        let (adjacencies, mut tally) = (fib.adjacencies(), Tally::NONE);
        let done = vector.head(|packet| {
            let adjacency = adjacencies(AdjIndex(packet.meta().forward)).filter(|adjacency| adjacency.node == to);
            let sent = adjacency.and_then(|adjacency| rewrite::<A>(packet, adjacency));
            sent.map(|bytes| tally.add(bytes, packet.meta().offload)).is_some()
        });
        tally.bytes += (done * EthernetHeader::LEN) as u64;
        cx.tell(tally);
        (done, to.into())
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> A::Next {
        let adjacency = A::fib(cx.tables).get_adjacency(AdjIndex(packet.meta().forward));
        if let Some(adjacency) = adjacency
            && rewrite::<A>(packet, adjacency).is_some()
        {
            return adjacency.node.into();
        }
        uncommon(cx, &mut packet.again()).into()
    }

    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> RewriteTrace {
        let adjacency = A::fib(scope.tables).adjacency(AdjIndex(packet.meta().forward));
        RewriteTrace::of(scope.tables, adjacency, packet)
    }
}

/// Takes a hop off a packet of the common kind and puts Ethernet's header in front; gives how long it was. `None`, and nothing changes,
/// for others.
#[inline(always)]
fn rewrite<A: Leave>(packet: &mut Packet<'_>, adjacency: &Adjacency) -> Option<usize> {
    let len = packet.plain_len();
    if packet.meta().offload.contains(Offload::LOCAL) || len > usize::from(adjacency.ethernet_mtu) {
        return None;
    }
    let link = A::step(packet)?;
    adjacency.write_ethernet(link);
    Some(len)
}

/// What this router made itself, what is too long or too old, and what gets another link header than Ethernet's.
#[inline(never)]
fn uncommon<A: Leave>(cx: &Cx<'_, '_, Rewrite<A>>, packet: &mut Packet<'_>) -> NodeId {
    let (Ok(next) | Err(next)) = leave(cx, packet);
    cx.number_of(next)
}

fn leave<A: Leave>(cx: &Cx<'_, '_, Rewrite<A>>, packet: &mut Packet<'_>) -> Result<A::Next, A::Next> {
    let adjacency = A::fib(cx.tables).adjacency(AdjIndex(packet.meta().forward));
    A::judge(cx, packet, adjacency.mtu)?;
    let header = adjacency.rewrite();
    let Some(bytes) = packet.push(header.len()) else {
        return Err(cx.drop(packet, A::NO_HEADROOM));
    };
    bytes[..header.len()].copy_from_slice(header);
    Ok(adjacency.node.into())
}

/// Whether a packet is longer than `mtu` bytes; of a large segment, whether the pieces are that it will be cut into.
pub(crate) fn is_longer(packet: &Packet<'_>, mtu: u32) -> bool {
    let gso = packet.meta().offload.intersects(Offload::GSO);
    packet.len() > mtu as usize && !(gso && gso_piece_len(packet).is_some_and(|len| len <= mtu as usize))
}
