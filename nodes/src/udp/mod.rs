//! UDP to our own addresses: [`listen`] gives a port to a node, `ip4-udp-lookup` and `ip6-udp-lookup` check datagrams and hand
//! them over.

mod listeners;
mod lookup;

use vnet::Builder;

pub use listeners::{Listeners, Taken, ignore, ignore_dscp, listen, listen_dscp};

pub(crate) fn register(builder: &mut Builder) {
    builder.extension(Listeners::default());
    builder.state(Listeners::default());
    for node in lookup::nodes() {
        builder.node(node);
    }
}
