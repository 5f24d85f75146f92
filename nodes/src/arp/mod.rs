//! ARP (RFC 826): answering, learning; and packets of either family that wait for a link address.

mod input;
mod waiting;

use std::net::{Ipv4Addr, Ipv6Addr};

use vnet::{Builder, NodeSpec};

pub use waiting::Waiting;

pub(crate) fn register(builder: &mut Builder) {
    builder.local(|_| Waiting::<Ipv4Addr>::default());
    builder.local(|_| Waiting::<Ipv6Addr>::default());
    for node in nodes() {
        builder.node(node);
    }
    builder.on_start(|router| {
        if let Some(node) = router.node("arp-reply") {
            router.tally_learned::<Ipv4Addr>(node, input::verdict);
        }
    });
}

fn nodes() -> Vec<NodeSpec> {
    let mut nodes = input::nodes();
    nodes.extend(waiting::nodes());
    nodes
}
