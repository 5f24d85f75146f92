//! What the listings print.

use super::*;

fn plugin(node: NodeId, index: u32) -> String {
    format!("node {node} says {index}")
}

fn detail(rib: &Rib4, prefix: &str) -> String {
    rib.route_detail_text(&rib.route(net(prefix)).unwrap(), &plugin)
}

#[test]
fn adjacencies() {
    let mut rib = rib();
    rib.track(ip("10.0.2.9"));
    rib.track(ip("10.0.2.2"));
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    rib.add_route(Source::Cli, net("90.0.0.1/32"), Path::new(Target::Attached(GRE))).unwrap();
    let text: String = rib.adjacency_rows().iter().map(|row| format!("{row}\n")).collect();
    assert_eq!(
        text,
        "[@0] ipv4-glean: [src:10.0.1.0/24] host-l0: mtu:1500 next:11 flags:[] ffffffffffff02fe24957d2b0806\n\
         [@1] ipv4-glean: [src:10.0.2.0/24] host-l1: mtu:1500 next:12 flags:[] ffffffffffff02fec7ffb8e40806\n\
         [@2] ipv4 via 0.0.0.0 host-lo: mtu:1500 next:14 flags:[] 0000000000000000000000000800\n\
         [@3] arp-ipv4: via 10.0.2.9 host-l1\n\
         [@4] ipv4 via 10.0.2.2 host-l1: mtu:1500 next:12 flags:[] 2ef83292a83202fec7ffb8e40800\n\
         [@5] ipv4 via 0.0.0.0 gre0: mtu:1500 next:13 flags:[]\n"
    );
}

#[test]
fn the_summary() {
    let text = rib().summary().to_string();
    assert_eq!(text.lines().next(), Some("    Prefix length         Count     "));
    assert_eq!(text.lines().nth(1), Some("                   0               1"));
    assert_eq!(text.lines().last(), Some("                  32              11"));
}

#[test]
fn a_connected_prefix() {
    assert_eq!(
        detail(&rib(), "10.0.1.0/24"),
        "10.0.1.0/24 fib:0 index:5 locks:1
  interface refs:1 entry-flags:connected,attached, src-flags:added,contributing,active, cover:-1
    path-list:[2] locks:1 uPRF-list:2 len:1 itfs:[1, ]
      path:[2] pl-index:2 ip4 weight=1 pref=0 attached:  oper-flags:resolved, cfg-flags:glean,
         host-l0

 forwarding:   unicast-ip4-chain
  [@0]: dpo-load-balance: [proto:ip4 index:2 buckets:1 uRPF:2 to:[0:0]]
    [0] [@4]: ipv4-glean: [src:10.0.1.0/24] host-l0: mtu:1500 next:11 flags:[] ffffffffffff02fe24957d2b0806
"
    );
}

#[test]
fn a_neighbour_that_somebody_follows() {
    let mut rib = rib();
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    rib.track(ip("10.0.2.2"));
    assert_eq!(
        detail(&rib, "10.0.2.2/32"),
        "10.0.2.2/32 fib:0 index:17 locks:2
  adjacency refs:1 entry-flags:attached, src-flags:added,contributing,active, cover:9
    path-list:[8] locks:2 uPRF-list:8 len:1 itfs:[2, ]
      path:[8] pl-index:8 ip4 weight=1 pref=0 attached-nexthop:  oper-flags:resolved,
        10.0.2.2 host-l1
      [@0]: ipv4 via 10.0.2.2 host-l1: mtu:1500 next:12 flags:[] 2ef83292a83202fec7ffb8e40800
    Extensions:
     path:8 adj-flags:[refines-cover]
  recursive-resolution refs:1 src-flags:added, cover:-1

 forwarding:   unicast-ip4-chain
  [@0]: dpo-load-balance: [proto:ip4 index:8 buckets:1 uRPF:8 to:[0:0]]
    [0] [@5]: ipv4 via 10.0.2.2 host-l1: mtu:1500 next:12 flags:[] 2ef83292a83202fec7ffb8e40800
"
    );
}

#[test]
fn a_plugins_prefix() {
    let mut rib = rib();
    rib.add_plugin_route(net("90.0.0.1/32"), "lb", NodeId(40), 7).unwrap();
    assert_eq!(
        detail(&rib, "90.0.0.1/32"),
        "90.0.0.1/32 fib:0 index:17 locks:1
  lb refs:1 entry-flags:exclusive, src-flags:added,contributing,active,
    path-list:[8] locks:1 flags:exclusive, uPRF-list:8 len:0 itfs:[]
      path:[8] pl-index:8 ip4 weight=1 pref=0 exclusive:  oper-flags:resolved, cfg-flags:exclusive,
        [@0]: node 40 says 7

 forwarding:   unicast-ip4-chain
  [@0]: dpo-load-balance: [proto:ip4 index:8 buckets:1 uRPF:8 to:[0:0]]
    [0] [@12]: node 40 says 7
"
    );
}

#[test]
fn routes_in_a_listing_of_all() {
    let rib = rib();
    let first: String = rib.routes().iter().take(1).map(|route| rib.route_text(route, &plugin)).collect();
    assert_eq!(
        first,
        "0.0.0.0/0
  unicast-ip4-chain
  [@0]: dpo-load-balance: [proto:ip4 index:0 buckets:1 uRPF:0 to:[0:0]]
    [0] [@0]: dpo-drop ip4
"
    );
}
