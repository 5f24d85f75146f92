//! The whole: routes in, forwards out.

mod ip6;
mod model;
mod routes;
mod scale;
mod texts;
mod trie6;

use std::net::Ipv4Addr;

use super::*;
use crate::ids::{IfIndex, NodeId};

const NODES: FibNodes = FibNodes {
    drop: NodeId(1),
    receive: NodeId(2),
    glean: NodeId(3),
    arp: NodeId(4),
    rewrite: NodeId(5),
    load_balance: NodeId(6),
};
const L0: IfIndex = IfIndex(1);
const L1: IfIndex = IfIndex(2);
const GRE: IfIndex = IfIndex(3);
const LO: IfIndex = IfIndex(4);
const MAC: [u8; 6] = [0x2e, 0xf8, 0x32, 0x92, 0xa8, 0x32];

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn ip6(text: &str) -> std::net::Ipv6Addr {
    text.parse().unwrap()
}

fn net(text: &str) -> Prefix<Ipv4Addr> {
    text.parse().unwrap()
}

fn via(address: &str) -> Path<Ipv4Addr> {
    Path::via(ip(address), None)
}

fn on(address: &str, interface: IfIndex) -> Path<Ipv4Addr> {
    Path::via(ip(address), Some(interface))
}

fn facts(index: IfIndex, name: &str, link: LinkKind, mac: [u8; 6]) -> InterfaceFacts {
    InterfaceFacts {
        index,
        name: name.into(),
        output_node: NodeId(10 + index.0 as u16),
        mtu: 1500,
        mac,
        link,
        up: true,
    }
}

/// host-l0 10.0.1.1/24, host-l1 10.0.2.1/24, gre0, host-lo 127.0.0.2/8.
fn rib() -> Rib4 {
    let mut rib = Rib4::new(NODES);
    rib.interface_changed(facts(L0, "host-l0", LinkKind::Ethernet, [0x02, 0xfe, 0x24, 0x95, 0x7d, 0x2b]));
    rib.interface_changed(facts(L1, "host-l1", LinkKind::Ethernet, [0x02, 0xfe, 0xc7, 0xff, 0xb8, 0xe4]));
    rib.interface_changed(facts(GRE, "gre0", LinkKind::PointToPoint, [0; 6]));
    rib.interface_changed(facts(LO, "host-lo", LinkKind::Loopback, [0; 6]));
    rib.add_interface_address(L0, ip("10.0.1.1"), 24).unwrap();
    rib.add_interface_address(L1, ip("10.0.2.1"), 24).unwrap();
    rib.add_interface_address(LO, ip("127.0.0.2"), 8).unwrap();
    rib
}

fn look(rib: &mut Rib4, address: &str) -> Forward {
    let snapshot = rib.publish();
    snapshot.forward(snapshot.lookup(ip(address).to_bits()))
}

/// What a forward comes to, in words short enough to compare: `drop`, `via 10.0.2.2`, `arp 10.0.2.9` and so on.
fn say(snapshot: &Fib4Snapshot, forward: Forward) -> String {
    let adjacency = || *snapshot.adjacency(forward.adjacency().unwrap());
    match forward.kind {
        ForwardKind::Drop => "drop".into(),
        ForwardKind::DropRoute => "drop route".into(),
        ForwardKind::Local => format!("local {}", forward.index),
        ForwardKind::Glean => format!("glean {} {}", adjacency().interface, adjacency().source),
        ForwardKind::Arp => format!("arp {}", adjacency().next_hop),
        ForwardKind::Rewrite => format!("via {} {}", adjacency().next_hop, adjacency().interface),
        ForwardKind::LoadBalance => {
            let buckets = snapshot.load_balance(forward.index).unwrap().buckets();
            let mut seen: Vec<(String, usize)> = Vec::new();
            for &bucket in buckets {
                assert_ne!(bucket.kind, ForwardKind::LoadBalance, "sets are flat");
                let words = say(snapshot, bucket);
                match seen.iter_mut().find(|(w, _)| *w == words) {
                    Some((_, n)) => *n += 1,
                    None => seen.push((words, 1)),
                }
            }
            let parts: Vec<String> = seen.into_iter().map(|(words, n)| format!("{n}*{words}")).collect();
            parts.join(", ")
        }
        ForwardKind::Plugin => format!("plugin {} {}", forward.node, forward.index),
    }
}

fn goes(rib: &mut Rib4, address: &str) -> String {
    let snapshot = rib.publish();
    let forward = snapshot.forward(snapshot.lookup(ip(address).to_bits()));
    assert_eq!(forward, rib.lookup(ip(address)), "the control side agrees");
    say(&snapshot, forward)
}
