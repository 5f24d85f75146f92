//! Long pings from a kernel to us and to a VIP, and tunnels over IPv6 whose link is narrower than what must get through.

use std::fs;
use std::net::SocketAddr;

use crate::bed::Dir;
use crate::daemon::Daemon;
use crate::http::{Connection, Server};
use crate::testing::Namespaces;

/// A device of a namespace for its daemon alone, and the interface's address.
type Interface<'a> = (&'a str, &'a str);

/// A daemon with these interfaces.
fn daemon(name: &str, namespace: &str, dir: &Dir, interfaces: [Interface<'_>; 2], more: &str) -> Daemon {
    let mut script = String::new();
    for (device, address) in interfaces {
        script += &format!("create host-interface name {device}\n");
        script += &format!("set interface ip address host-{device} {address}\n");
        script += &format!("set interface state host-{device} up\n");
    }
    let file = dir.path().join(format!("{name}.script"));
    fs::write(&file, script + more).unwrap();
    Daemon::start(name, namespace, dir.path(), 1, Some(&file))
}

/// Joins two namespaces by a link.
fn link(net: &Namespaces, (from, device): (usize, &str), (to, other): (usize, &str), mtu: usize) {
    net.ip(&format!(
        "link add {device} mtu {mtu} netns {} type veth peer name {other} mtu {mtu} netns {}",
        net.name(from),
        net.name(to)
    ));
    net.ip(&format!("-n {} link set {device} up", net.name(from)));
    net.ip(&format!("-n {} link set {other} up", net.name(to)));
}

/// Leaves a namespace's devices to the daemon alone.
fn without_ip6(net: &Namespaces, index: usize) {
    let settings = "net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";
    assert!(net.exec(net.name(index), &format!("sysctl -qw {settings}")));
}

fn ping(net: &Namespaces, words: &str) -> bool {
    net.exec(net.name(0), &format!("ping -6 -q -i 0.2 -W 5 {words}"))
}

#[test]
fn long_pings_of_us_and_of_a_vip_are_answered() {
    let (dir, Some(net)) = (Dir::new("ping6"), Namespaces::new("ping6", 2)) else { return };
    without_ip6(&net, 1);
    link(&net, (0, "e1"), (1, "r1"), 1500);
    link(&net, (0, "e2"), (1, "r2"), 1500);
    net.ip(&format!("-n {} address add fd01::2/64 dev e1 nodad", net.name(0)));
    net.ip(&format!("-n {} route add fd90::1/128 via fd01::1", net.name(0)));
    let more =
        "lb conf ip6-src-address fd02::1\nlb vip fd90::1/128 encap gre6 ping answer\nlb as fd90::1/128 fd02::2\n";
    let router = daemon("router", net.name(1), &dir, [("r1", "fd01::1/64"), ("r2", "fd02::1/64")], more);
    let shown = router.vppctl("show ip6 interface host-r1");
    let own = shown.lines().find(|line| line.trim_start().starts_with("fe80::")).expect("a link-local address").trim();
    for to in ["fd01::1", "fd90::1", &format!("{own}%e1")] {
        for size in [1453, 4000, 60_000] {
            assert!(
                ping(&net, &format!("-c 3 -s {size} {to}")),
                "{size} bytes to {to}:\n{}",
                router.vppctl("show errors")
            );
        }
    }
    let errors = router.vppctl("show errors");
    assert!(errors.contains("packets reassembled") && errors.contains("packets fragmented"), "{errors}");
    assert!(!errors.contains("malformed") && !errors.contains("overlapping"), "{errors}");
}

#[test]
fn packets_of_1280_bytes_pass_tunnels_over_a_link_of_1300() {
    let (dir, Some(net)) = (Dir::new("narrow6"), Namespaces::new("narrow6", 4)) else { return };
    for index in [1, 2] {
        without_ip6(&net, index);
    }
    link(&net, (0, "c0"), (1, "a0"), 1500);
    link(&net, (1, "a1"), (2, "b0"), 1300);
    link(&net, (2, "b1"), (3, "f0"), 1500);
    for (index, device, last) in [(0, "c0", 1), (3, "f0", 2)] {
        net.ip(&format!("-n {} address add fd0{last}::2/64 dev {device} nodad", net.name(index)));
        net.ip(&format!("-n {} route add default via fd0{last}::1", net.name(index)));
    }
    let near = daemon("near", net.name(1), &dir, [("a0", "fd01::1/64"), ("a1", "fd11::1/64")], "");
    let far = daemon("far", net.name(2), &dir, [("b0", "fd11::2/64"), ("b1", "fd02::1/64")], "");
    let address: SocketAddr = "[fd02::2]:80".parse().unwrap();
    let _server = Server::start(net.name(3), address, "far");
    for kind in ["gre", "ipip", "gue"] {
        let ends = [(&near, "src fd11::1 dst fd11::2", "fd02::/64"), (&far, "src fd11::2 dst fd11::1", "fd01::/64")];
        for (daemon, ends, behind) in ends {
            daemon.vppctl("clear errors");
            daemon.vppctl(&format!("create {kind} tunnel {ends}"));
            daemon.vppctl(&format!("set interface state {kind}0 up"));
            daemon.vppctl(&format!("ip route add {behind} via {kind}0"));
        }
        // Packets of 1280 bytes, which may not be shorter, and long ones in pieces.
        assert!(ping(&net, "-c 3 -s 1232 -M do fd02::2"), "{kind}:\n{}", near.vppctl("show errors"));
        assert!(ping(&net, "-c 5 -s 6000 fd02::2"), "{kind}:\n{}", near.vppctl("show errors"));
        let mut connection = Connection::open(net.name(0), address).unwrap();
        assert_eq!(connection.get("/bytes/3000000").unwrap().server, "far");
        connection.upload(3_000_000).unwrap();
        for daemon in [&near, &far] {
            let errors = daemon.vppctl("show errors");
            assert!(
                errors.contains("packets fragmented") && errors.contains("packets reassembled"),
                "{kind}:\n{errors}"
            );
        }
        for (daemon, ends, behind) in ends {
            daemon.vppctl(&format!("ip route del {behind} via {kind}0"));
            daemon.vppctl(&format!("create {kind} tunnel {ends} del"));
        }
    }
}
