//! ARP (RFC 826): answering, learning, and packets that wait for a link address.

mod input;
mod waiting;

use vnet::{Builder, NodeSpec};

pub use waiting::Waiting;

pub(crate) fn register(builder: &mut Builder) {
    builder.local(|_| Waiting::default());
    for node in nodes() {
        builder.node(node);
    }
}

fn nodes() -> Vec<NodeSpec> {
    let mut nodes = input::nodes();
    nodes.extend(waiting::nodes());
    nodes
}
