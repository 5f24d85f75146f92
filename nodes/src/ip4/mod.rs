//! IPv4: its part of the nodes in [`crate::ip`], from input to rewrite, and what stands beside the way.

pub mod gso;
mod icmp;
pub mod icmp_error;
mod input;
mod receive;
mod rewrite;

use std::net::Ipv4Addr;

pub use gso::{Pieces, gso_piece_len, gso_pieces};
use trace::{Record, Text};
use vnet::wire::{FlowKey4, HeaderBytes, Ip4Header, Start};
use vnet::{Builder, NodeSpec, Packet};

use crate::ip::{self, Ip};

pub(crate) fn register(builder: &mut Builder) {
    builder.local(|_| icmp_error::RateLimit::default());
    for node in nodes() {
        builder.node(node);
    }
}

fn nodes() -> Vec<NodeSpec> {
    let mut nodes =
        vec![ip::input::node::<Ipv4Addr>(), ip::rewrite::node::<Ipv4Addr>(), receive::node(), icmp_error::node()];
    nodes.extend(gso::nodes());
    nodes.extend(ip::lookup::nodes());
    nodes.extend(icmp::nodes());
    nodes
}

/// An IP header with what follows it.
#[derive(serde::Serialize)]
#[serde(transparent)]
pub struct HeaderTrace(HeaderBytes);

impl HeaderTrace {
    /// The packet begins with its IPv4 header.
    pub fn new(packet: &Packet<'_>) -> HeaderTrace {
        HeaderTrace(HeaderBytes::new(Start::Ip4, packet.data()))
    }

    /// The packet begins with the header of the family.
    pub fn of<A: Ip>(packet: &Packet<'_>) -> HeaderTrace {
        HeaderTrace(HeaderBytes::new(A::START, packet.data()))
    }
}

impl Record for HeaderTrace {
    fn text(&self, text: &mut Text) {
        self.0.text(text);
    }
}

/// The destination address of a packet that begins with its IPv4 header.
#[inline(always)]
pub fn destination(bytes: &[u8]) -> Option<[u8; 4]> {
    bytes.first_chunk::<20>()?.last_chunk().copied()
}

/// The hash that spreads flows over several paths: of addresses, ports and protocol; of what there is of them in
/// fragments and broken packets.
pub fn flow_hash(bytes: &[u8]) -> u32 {
    let [a, b] = match FlowKey4::read(bytes) {
        Ok(key) => key.words(),
        Err(_) => match Ip4Header::ref_from_prefix(bytes) {
            Ok((ip, _)) => [u64::from(ip.source.get()) << 32 | u64::from(ip.destination.get()), u64::from(ip.protocol)],
            Err(_) => [0, 0],
        },
    };
    // Multiplying folds every bit into the upper half; the constants are the golden ratio's and that of splitmix64.
    let mixed = (a ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ b.wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
}
