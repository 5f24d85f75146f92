//! IPv6 at the command line.

use crate::support::Bed;

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(
        "set interface ip address pg0 fd01::1/64
         set interface ip address pg1 fd02::1/64
         set ip neighbor pg1 fd02::2 02:00:00:00:00:06
         ip route add 2001::/16 via fd02::2",
    );
    bed
}

#[test]
fn addresses_and_neighbours_are_shown() {
    let mut bed = bed();
    let shown = bed.vppctl("show interface addr");
    assert!(shown.contains("pg0 (up):\n  L3 10.0.1.1/24\n  L3 fd01::1/64\n"), "{shown}");
    let row =
        |text: &str| text.lines().find(|line| line.contains("fd02::2")).map(|line| line[12..].trim_end().to_string());
    let expected = "                 fd02::2                   D    02:00:00:00:00:06 pg1";
    assert_eq!(row(&bed.vppctl("show ip6 neighbors")).as_deref(), Some(expected));
    assert_eq!(row(&bed.vppctl("show ip neighbors")).as_deref(), Some(expected));
    assert_eq!(row(&bed.vppctl("show ip4 neighbors")), None);
    bed.vppctl("set ip neighbor del pg1 fd02::2");
    assert_eq!(row(&bed.vppctl("show ip6 neighbors")), None);
    bed.vppctl("set interface ip address del pg0 all");
    assert!(bed.vppctl("show interface addr").contains("pg0 (up):\npg1"));
    assert_eq!(bed.vppctl("show ip6 interface pg0"), "");
}

#[test]
fn the_forwarding_table_is_shown() {
    let mut bed = bed();
    let shown = bed.vppctl("show ip6 fib 2001::/16");
    let expected = "\
ipv6-VRF:0, fib_index:0, flow hash:[src dst sport dport proto flowlabel ] epoch:0 flags:none locks:[adjacency:1, default-route:1, ]
2001::/16 fib:0 index:10 locks:1
  CLI refs:1 src-flags:added,contributing,active,
";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("  unicast-ip6-chain\n  [@0]: dpo-load-balance: [proto:ip6 index:"), "{shown}");
    assert!(shown.contains("ipv6 via fd02::2 pg1: mtu:9000"), "{shown}");
    assert!(bed.vppctl("show ip6 fib fd01::1").contains("fd01::1/128 fib:0"));
    let summary = bed.vppctl("show ip6 fib summary");
    for line in [
        "                   0               1",
        "                  16               1",
        "                  64               2",
    ] {
        assert!(summary.lines().any(|shown| shown == line), "{summary}");
    }
    assert!(bed.vppctl("show adj").contains("ipv6 via fd02::2 pg1"));
    bed.vppctl("ip route add count 3 2005::/64 via fd02::2");
    for prefix in ["2005::/64", "2005:0:0:1::/64", "2005:0:0:2::/64"] {
        assert!(bed.vppctl(&format!("show ip6 fib {prefix}")).contains(prefix));
    }
    bed.vppctl("ip route del count 3 2005::/64");
    assert_eq!(bed.refused("show ip6 fib 2005::/64"), "show ip6 fib: no route to 2005::/64");
    bed.type_all("ip route add ::/0 via fd02::2\n ip route del ::/0 via fd02::2");
}

#[test]
fn mistakes_are_named() {
    let mut bed = bed();
    let before = (bed.vppctl("show ip6 fib"), bed.vppctl("show interface addr"));
    for (line, error) in [
        ("ip route add 2002::/16 via 10.0.1.2", "ip route: next hop `10.0.1.2' is not of the family of the route"),
        ("ip route add 12.0.0.0/8 via fd01::2", "ip route: next hop `fd01::2' is not of the family of the route"),
        ("ip route add 2002::/129 via fd01::2", "Invalid prefix len: 129"),
        ("ip route add 2002:/16 via fd01::2", "ip route: expected an IPv6 address/length, got `2002:/16'"),
        ("ip route add 2002::/16 via fe80::1", "ip route: `fe80::1' is link-local: expected an interface after it"),
        ("ip route add 2002::/16 via ff02::1", "ip route: `ff02::1' is not the address of one next hop"),
        (
            "ip route add count 3 ffff:ffff:ffff:fffe::/64 via fd01::2",
            "ip route: 3 prefixes of length 64 from ffff:ffff:ffff:fffe::/64 do not fit into IPv6",
        ),
        ("set interface ip address pg0 fd09::1", "set interface ip address: expected IP4/IP6 address/length `fd09::1'"),
        (
            "set interface ip address pg0 ff02::1/64",
            "set interface ip address: ff02::1 cannot be an address of an interface",
        ),
        (
            "set interface ip address pg0 fe80::1/64",
            "set interface ip address: fe80::1 is link-local: an interface with IPv6 has the one that its MAC gives",
        ),
        (
            "set interface ip address pg1 fd01::9/80",
            "set interface ip address: failed to add fd01::9/80 on pg1 which conflicts with fd01::1/64 for interface pg0",
        ),
        (
            "set ip neighbor pg0 fd09::1 02:00:00:00:00:01",
            "set ip neighbor: fd09::1 is in no connected prefix of pg0, and no route has it as next hop there",
        ),
        ("set ip neighbor pg0 fd01::1 02:00:00:00:00:01", "set ip neighbor: fd01::1 is one of our own addresses"),
        ("ping ff02::1", "ping: `ff02::1' is of one link: expected an address that can be routed"),
        ("ping 3001::1", "ping: no route to 3001::1"),
    ] {
        assert_eq!(bed.refused(line), error, "{line}");
    }
    assert_eq!((bed.vppctl("show ip6 fib"), bed.vppctl("show interface addr")), before);
}
