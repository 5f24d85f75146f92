//! IPv6 between real kernels: they find us and each other by neighbour discovery, and TCP passes, cut where it must be.

use std::fs;
use std::net::SocketAddr;

use crate::bed::Dir;
use crate::daemon::Daemon;
use crate::http::{Connection, Server};
use crate::testing::Namespaces;

/// One kernel on each side of the router.
struct Sides {
    router: Daemon,
    namespaces: Namespaces,
    _dir: Dir,
}

impl Sides {
    fn new(purpose: &str) -> Option<Sides> {
        let (dir, net) = (Dir::new(purpose), Namespaces::new(purpose, 3)?);
        let router = net.name(1);
        // The router's devices belong to the daemon alone.
        assert!(net.exec(router, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"));
        let mut script = String::new();
        for (side, namespace) in [(1, net.name(0)), (2, net.name(2))] {
            net.ip(&format!("link add e{side} netns {namespace} type veth peer name r{side} netns {router}"));
            net.ip(&format!("-n {namespace} link set e{side} up"));
            net.ip(&format!("-n {router} link set r{side} up"));
            net.ip(&format!("-n {namespace} address add fd0{side}::2/64 dev e{side} nodad"));
            net.ip(&format!("-n {namespace} route add default via fd0{side}::1"));
            script += &format!("create host-interface name r{side} hw-addr 02:fe:00:00:00:0{side}\n");
            script += &format!("set interface ip address host-r{side} fd0{side}::1/64\n");
            script += &format!("set interface state host-r{side} up\n");
        }
        let file = dir.path().join("script");
        fs::write(&file, script).unwrap();
        let router = Daemon::start("router", router, dir.path(), 1, Some(&file));
        Some(Sides { router, namespaces: net, _dir: dir })
    }

    fn ping(&self, words: &str) -> bool {
        self.namespaces.exec(self.namespaces.name(0), &format!("ping -6 -q -i 0.2 -W 5 {words}"))
    }
}

#[test]
fn kernels_reach_us_and_each_other() {
    let Some(sides) = Sides::new("ip6") else { return };
    assert!(sides.ping("-c 3 fd01::1"), "our address");
    assert!(sides.ping("-c 3 -s 1400 fd02::1"), "our other address");
    assert!(sides.ping("-c 2 fe80::fe:ff:fe00:1%e1"), "our link-local address");
    assert!(sides.ping("-c 3 fd02::2"), "the other kernel");
    let neighbors = sides.router.vppctl("show ip6 neighbors");
    assert!(neighbors.contains("fd01::2") && neighbors.contains("fd02::2"), "{neighbors}");
    let said = sides.router.vppctl("ping fd02::2 repeat 3 interval 0.2");
    assert!(said.contains("3 sent, 3 received"), "{said}");

    let address: SocketAddr = "[fd02::2]:80".parse().unwrap();
    let _server = Server::start(sides.namespaces.name(2), address, "far");
    let mut connection = Connection::open(sides.namespaces.name(0), address).unwrap();
    assert_eq!(connection.get("/bytes/20000000").unwrap().server, "far");
    connection.upload(20_000_000).unwrap();
    let errors = sides.router.vppctl("show errors");
    assert!(!errors.contains("broken headers"), "{errors}");
}

#[test]
fn senders_learn_the_size_of_the_path() {
    let Some(sides) = Sides::new("ip6-size") else { return };
    sides.router.vppctl("set interface mtu 1300 host-r2");
    let address: SocketAddr = "[fd02::2]:80".parse().unwrap();
    let _server = Server::start(sides.namespaces.name(2), address, "far");
    let mut connection = Connection::open(sides.namespaces.name(0), address).unwrap();
    connection.upload(3_000_000).unwrap();
    let errors = sides.router.vppctl("show errors");
    assert!(errors.contains("packet too big response sent"), "{errors}");
}
