//! IPv6: its part of the nodes in [`crate::ip`], from input to rewrite, and what stands beside the way. Waiting for neighbours
//! is in [`crate::arp`], cutting in [`crate::frag`], putting together in `reassembly`: they, too, serve both families.

mod icmp;
pub mod icmp_error;
mod input;
mod nd;
mod own;
mod receive;
mod rewrite;

use std::net::Ipv6Addr;

use vnet::wire::{FlowKey6, Ip6Header};
use vnet::{Builder, NodeSpec};

use crate::ip;

pub(crate) fn register(builder: &mut Builder) {
    builder.local(|_| icmp_error::RateLimit::default());
    for node in nodes() {
        builder.node(node);
    }
}

fn nodes() -> Vec<NodeSpec> {
    let mut nodes =
        vec![ip::input::node::<Ipv6Addr>(), ip::rewrite::node::<Ipv6Addr>(), receive::node(), icmp_error::node()];
    nodes.extend(icmp::nodes());
    nodes.extend(nd::nodes());
    nodes
}

/// The hash that spreads flows over several paths: of addresses, ports and protocol; of addresses and flow label (RFC 6438)
/// where there are no ports to be read, as in fragments.
pub fn flow_hash(bytes: &[u8]) -> u32 {
    let words = match (FlowKey6::read(bytes), Ip6Header::ref_from_prefix(bytes)) {
        (Ok(key), _) => key.words(),
        (Err(_), Ok((ip, _))) => {
            let addresses = FlowKey6 { src: ip.source, dst: ip.destination, ..FlowKey6::default() };
            let mut words = addresses.words();
            words[4] = u64::from(ip.flow_label()) << 32;
            words
        }
        _ => [0; 5],
    };
    // Multiplying folds every bit into the upper half, rotating brings it down again for the next word.
    let mixed = words.iter().fold(0x9e37_79b9_7f4a_7c15, |mixed: u64, word| {
        (mixed ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(29)
    });
    ((mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as u32
}
