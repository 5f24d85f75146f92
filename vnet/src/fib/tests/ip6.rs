//! IPv6: the table's own parts where the family matters.

use std::net::Ipv6Addr;

use super::*;

fn net6(text: &str) -> Prefix<Ipv6Addr> {
    text.parse().unwrap()
}

/// host-l0 2001:db8:1::1/64, host-l1 2001:db8:2::1/64.
fn rib6() -> Rib6 {
    let mut rib = Rib6::new(NODES);
    rib.interface_changed(facts(L0, "host-l0", LinkKind::Ethernet, [0x02, 0xfe, 0x24, 0x95, 0x7d, 0x2b]));
    rib.interface_changed(facts(L1, "host-l1", LinkKind::Ethernet, [0x02, 0xfe, 0xc7, 0xff, 0xb8, 0xe4]));
    rib.add_interface_address(L0, ip6("2001:db8:1::1"), 64).unwrap();
    rib.add_interface_address(L1, ip6("2001:db8:2::1"), 64).unwrap();
    rib
}

fn goes6(rib: &mut Rib6, address: &str) -> String {
    let snapshot = rib.publish();
    let forward = snapshot.forward(snapshot.lookup(ip6(address).octets()));
    assert_eq!(forward, rib.lookup(ip6(address)), "both sides agree");
    rib.forward_text(forward, &|node, index| format!("plugin {node} {index}"))
}

#[test]
fn routes_of_each_kind() {
    let mut rib = rib6();
    assert_eq!(goes6(&mut rib, "2001:db8:1::1"), "dpo-receive: host-l0");
    assert!(goes6(&mut rib, "2001:db8:1::2").starts_with("ipv6-glean: [src:2001:db8:1::/64] host-l0"));
    assert_eq!(goes6(&mut rib, "2001:db8:9::2"), "dpo-drop ip6");
    let add = |rib: &mut Rib6, prefix: &str, path| rib.add_route(Source::Cli, net6(prefix), path).unwrap();
    add(&mut rib, "2001:db8:9::/48", Path::via(ip6("2001:db8:1::2"), None));
    assert_eq!(goes6(&mut rib, "2001:db8:9::2"), "nd-ipv6: via 2001:db8:1::2 host-l0");
    rib.set_neighbour(L0, ip6("2001:db8:1::2"), MAC, true);
    let text = "ipv6 via 2001:db8:1::2 host-l0: mtu:1500 next:11 flags:[] 2ef83292a83202fe24957d2b86dd";
    assert_eq!(goes6(&mut rib, "2001:db8:9::2"), text);
    assert_eq!(goes6(&mut rib, "2001:db8:1::2"), text, "a neighbour has a route of its own");
    add(&mut rib, "2001:db8:9::/48", Path::via(ip6("2001:db8:2::2"), None));
    assert!(goes6(&mut rib, "2001:db8:9::2").starts_with("dpo-load-balance: [proto:ip6"));
    add(&mut rib, "2001:db8:9:1::/64", Path::new(Target::Drop));
    assert_eq!(goes6(&mut rib, "2001:db8:9:1::5"), "dpo-drop ip6");
    rib.add_plugin_route(net6("2001::/16"), "lb", NodeId(77), 5).unwrap();
    assert_eq!(goes6(&mut rib, "2001::1"), "plugin 77 5");
    let track = rib.track(ip6("2001:db8:9::7"));
    assert!(rib.publish().tracked(track).kind == ForwardKind::LoadBalance);
    rib.untrack(track);
    // A next hop that is known on its link alone.
    add(&mut rib, "::/0", Path::via(ip6("fe80::1"), Some(L1)));
    assert_eq!(goes6(&mut rib, "3001::1"), "nd-ipv6: via fe80::1 host-l1");
    let index = rib.lookup(ip6("3001::1")).adjacency().unwrap();
    assert_eq!(rib.adjacency(index).source, ip6("fe80::fe:c7ff:feff:b8e4"), "asked from the link-local address");
    for special in ["ff02::1", "fe80::7", "::1", "::"] {
        assert_eq!(goes6(&mut rib, special), "dpo-drop ip6", "{special} is not for the default route");
    }
}

#[test]
fn link_local_addresses_are_of_their_links() {
    let mut rib = rib6();
    assert!(rib.is_on_link(L0, ip6("fe80::1234")) && rib.is_on_link(L1, ip6("fe80::1234")));
    assert!(rib.is_own_address(ip6("fe80::fe:24ff:fe95:7d2b")) && !rib.is_own_address(ip6("fe80::1")));
    let refused = rib.add_interface_address(L0, ip6("fe80::1"), 64).unwrap_err().to_string();
    assert_eq!(refused, "fe80::1 is link-local: an interface with IPv6 has the one that its MAC gives");
    assert!(rib.add_interface_address(L0, ip6("ff02::1"), 64).is_err());
    let overlap = rib.add_interface_address(L1, ip6("2001:db8:1:0:1::1"), 80).unwrap_err().to_string();
    assert!(overlap.contains("conflicts with 2001:db8:1::1/64 for interface host-l0"), "{overlap}");
    rib.del_interface_address(L0, ip6("2001:db8:1::1"), 64).unwrap();
    rib.del_interface_address(L1, ip6("2001:db8:2::1"), 64).unwrap();
    assert_eq!(rib.trie.lines(), Rib6::new(NODES).trie.lines());
}

/// Debug builds do with fewer.
const MANY: u32 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

#[test]
fn many_routes_far_from_each_other() {
    let mut rib = rib6();
    let lines = rib.trie.lines();
    // Golden ratio: far from each other in the first 32 of their 48 bits and in the rest.
    let spread = |i: u32| (u128::from(i.wrapping_mul(0x9e37_79b1)) << 16 | u128::from(i & 0xffff)) << 77;
    let route = |i: u32| Prefix::new(Ipv6Addr::from_bits(0x2000 << 112 | spread(i)), 51).unwrap();
    let path = Path::via(ip6("2001:db8:1::2"), Some(L0));
    let started = std::time::Instant::now();
    for i in 0..MANY {
        rib.add_route(Source::Cli, route(i), path).unwrap();
    }
    let full = rib.publish();
    println!("{MANY} routes, {} lines, added and published in {:?}", rib.trie.lines(), started.elapsed());
    let started = std::time::Instant::now();
    for i in 0..1000 {
        rib.add_route(Source::Api, route(i * 7), Path::via(ip6("2001:db8:2::2"), Some(L1))).unwrap();
        rib.publish();
    }
    println!("{:?} per route with its own version", started.elapsed() / 1000);
    assert_eq!(goes6(&mut rib, &route(7).address().to_string()), "nd-ipv6: via 2001:db8:2::2 host-l1");
    let before = full.forward(full.find(route(7).address()));
    assert_eq!(rib.forward_text(before, &|_, _| String::new()), "nd-ipv6: via 2001:db8:1::2 host-l0");
    for i in 0..1000 {
        rib.del_prefix(Source::Api, route(i * 7)).unwrap();
    }
    for i in 0..MANY {
        rib.del_prefix(Source::Cli, route(i)).unwrap();
    }
    assert_eq!(rib.trie.lines(), lines);
}
