//! The address that an ICMP error is from.

use vnet::fib::ForwardKind;
use vnet::{IfIndex, Tables};

use crate::ip::Ip;

/// Our address for an error to `to` about a packet that came in by `rx`: one of that interface, which tells the sender most of
/// the way that its packet went (RFC 1812 section 4.3.2.4 lets us); where it has none, as tunnels and `lb host` entrances have
/// not, one of the interface that the error leaves by.
pub(crate) fn error_source<A: Ip>(tables: &Tables, rx: IfIndex, to: A) -> Option<A> {
    let connected = A::connected(tables);
    connected.source(rx, to).or_else(|| connected.source(way_out(tables, to)?, to))
}

/// The interface that packets to an address leave by; of several, the first.
fn way_out<A: Ip>(tables: &Tables, to: A) -> Option<IfIndex> {
    let fib = A::fib(tables);
    let forward = match fib.forward(fib.find(to)) {
        many if many.kind == ForwardKind::LoadBalance => *fib.load_balance(many.index)?.buckets().first()?,
        one => one,
    };
    Some(fib.adjacency(forward.adjacency()?).interface)
}
