//! The host agent between real kernels: one line on the server, and connections of a kernel's client to the VIP end in the
//! server's kernel, which answers straight back.

use std::net::SocketAddr;

use crate::bed::Dir;
use crate::daemon::Daemon;
use crate::http::{Connection, Server};
use crate::testing::{Namespaces, eventually};

const VIP: &str = "90.0.0.1";
const VIP6: &str = "fd90::1";

/// client - balancer - server, and a link between client and server for the answers.
struct Net {
    lb: Daemon,
    server: Daemon,
    /// The interface of the server's daemon to the server's kernel.
    inner: &'static str,
    namespaces: Namespaces,
    _web: Vec<Server>,
    _dir: Dir,
}

impl Net {
    fn new(purpose: &str) -> Option<Net> {
        let (dir, net) = (Dir::new(purpose), Namespaces::new(purpose, 3)?);
        lay_out(&net);
        let lb = Daemon::start("lb", net.name(1), dir.path(), 1, None);
        let server = Daemon::start("server", net.name(2), dir.path(), 1, None);
        for (daemon, device, addresses) in [
            (&lb, "l0", ["10.0.1.1/24", "fd01::1/64"]),
            (&lb, "l1", ["10.0.11.1/24", "fd11::1/64"]),
            (&server, "s0", ["10.0.11.2/24", "fd11::2/64"]),
        ] {
            daemon.vppctl(&format!("create host-interface name {device}"));
            for address in addresses {
                daemon.vppctl(&format!("set interface ip address host-{device} {address}"));
            }
            daemon.vppctl(&format!("set interface state host-{device} up"));
        }
        let inner = way_in(&server, &net);
        let web = [format!("{VIP}:80"), format!("[{VIP6}]:80")]
            .map(|address| Server::start(net.name(2), address.parse().unwrap(), "server"));
        Some(Net { lb, server, inner, namespaces: net, _web: web.into(), _dir: dir })
    }

    /// The one line that makes the server a server of a VIP.
    fn host(&self, vip: &str, more: &str) {
        self.server.vppctl(&format!("lb host vip {vip} via {}{more}", self.inner));
    }

    fn connect(&self, address: &str) -> Connection {
        let address: SocketAddr = address.parse().unwrap();
        Connection::open(self.namespaces.name(0), address).unwrap()
    }

    /// Some requests, a download, and an upload of segments as long as the client's kernel likes them.
    fn works(&self, address: &str) {
        for _ in 0..5 {
            assert_eq!(self.connect(address).get("/").unwrap().server, "server");
        }
        let mut connection = self.connect(address);
        connection.get("/bytes/2000000").unwrap();
        connection.upload(2_000_000).unwrap();
    }

    /// The server's daemon counts packets taken out of a tunnel by this node.
    fn taken(&self, reason: &str) {
        let errors = self.server.vppctl("show errors");
        assert!(errors.contains(reason), "{errors}");
        self.server.vppctl("clear errors");
    }
}

fn lay_out(net: &Namespaces) {
    let [client, lb, server] = [0, 1, 2].map(|index| net.name(index));
    let settings = |namespace: &str, words: &str| assert!(net.exec(namespace, &format!("sysctl -qw {words}")));
    for namespace in [client, lb, server] {
        // Answers come in by another way than requests go out: that is what direct return means.
        settings(namespace, "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
    }
    settings(lb, "net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    for (a, device, b, other) in [(client, "c0", lb, "l0"), (lb, "l1", server, "s0"), (client, "d0", server, "d0")] {
        net.ip(&format!("link add {device} netns {a} type veth peer name {other} netns {b}"));
        net.ip(&format!("-n {a} link set {device} up"));
        net.ip(&format!("-n {b} link set {other} up"));
    }
    // This device belongs to the server's daemon alone.
    settings(server, "net.ipv6.conf.s0.disable_ipv6=1");
    for (namespace, words) in [
        (client, "address add 10.0.1.2/24 dev c0"),
        (client, "address add fd01::2/64 dev c0 nodad"),
        (client, "address add 10.9.0.1/30 dev d0"),
        (client, "address add fd09::1/64 dev d0 nodad"),
        (client, "route add 90.0.0.1/32 via 10.0.1.1"),
        (client, "route add fd90::1/128 via fd01::1"),
        (server, "address add 10.9.0.2/30 dev d0"),
        (server, "address add fd09::2/64 dev d0 nodad"),
        (server, "route add 10.0.1.0/24 via 10.9.0.1"),
        (server, "route add fd01::/64 via fd09::1"),
        (server, "address add 90.0.0.1/32 dev lo"),
        (server, "address add fd90::1/128 dev lo nodad"),
    ] {
        net.ip(&format!("-n {namespace} {words}"));
    }
}

/// A tap, or, where there may be none, a veth: the agent finds the kernel behind either by itself.
fn way_in(server: &Daemon, net: &Namespaces) -> &'static str {
    if std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok() {
        server.vppctl("create tap id 0 host-if-name t0");
        return "tap0";
    }
    let name = net.name(2);
    net.ip(&format!("-n {name} link add t0 type veth peer name t1"));
    net.ip(&format!("-n {name} link set t0 up"));
    net.ip(&format!("-n {name} link set t1 up"));
    server.vppctl("create host-interface name t1");
    "host-t1"
}

#[test]
fn one_line_hosts_a_vip_behind_gre() {
    let Some(net) = Net::new("host-gre") else { return };
    net.lb.vppctl("lb conf ip4-src-address 10.0.11.1");
    net.lb.vppctl(&format!("lb vip {VIP}/32 encap gre4"));
    net.lb.vppctl(&format!("lb as {VIP}/32 10.0.11.2"));
    net.host("90.0.0.1/32", "");
    net.works("90.0.0.1:80");
    net.taken("GRE packets decapsulated");
    net.server.vppctl("lb host vip 90.0.0.1/32 del");
    let left = ["show ip fib", "show ip neighbors", "show interface"].map(|line| net.server.vppctl(line)).concat();
    assert!(!left.contains("90.0.0.1") && !left.contains("lb-host0"), "{left}");
    net.host("90.0.0.1/32", "");
    net.works("90.0.0.1:80");
}

#[test]
fn the_kernel_behind_a_veth_is_found_and_more_than_one_vip_is_hosted() {
    let Some(net) = Net::new("host-veth") else { return };
    let server = net.namespaces.name(2);
    net.namespaces.ip(&format!("-n {server} link add t8 type veth peer name t9"));
    net.namespaces.ip(&format!("-n {server} link set t8 up"));
    net.namespaces.ip(&format!("-n {server} link set t9 up"));
    net.server.vppctl("create host-interface name t9");
    net.lb.vppctl("create gre tunnel src fd11::1 dst fd11::2");
    net.lb.vppctl("set interface state gre0 up");
    net.lb.vppctl("ip route add 90.0.0.0/24 via gre0");
    net.server.vppctl("lb host vip 90.0.0.0/24 via host-t9");
    net.works("90.0.0.1:80");
    net.taken("GRE packets decapsulated");
}

#[test]
fn one_line_hosts_a_vip_behind_gue_over_both_families() {
    let Some(net) = Net::new("host-gue") else { return };
    for (number, (ends, vip, address)) in [
        ("src 10.0.11.1 dst 10.0.11.2", "90.0.0.1/32", "90.0.0.1:80"),
        ("src fd11::1 dst fd11::2 variant 1", "fd90::1/128", "[fd90::1]:80"),
    ]
    .into_iter()
    .enumerate()
    {
        net.lb.vppctl(&format!("create gue tunnel {ends}"));
        net.lb.vppctl(&format!("set interface state gue{number} up"));
        net.lb.vppctl(&format!("ip route add {vip} via gue{number}"));
        net.host(vip, "");
        net.works(address);
        net.taken("GUE packets decapsulated");
    }
    let shown = net.server.vppctl("show lb host");
    assert_eq!(shown, format!("90.0.0.1/32 via {0}\nfd90::1/128 via {0}\n", net.inner));
}

#[test]
fn one_line_hosts_a_vip_of_l3dsr() {
    let Some(net) = Net::new("host-l3dsr") else { return };
    net.lb.vppctl(&format!("lb vip {VIP}/32 encap l3dsr dscp 7"));
    net.lb.vppctl(&format!("lb as {VIP}/32 10.0.11.2"));
    net.host("90.0.0.1/32", " dscp 7");
    net.works("90.0.0.1:80");
    net.taken("L3DSR packets given back their VIP");
}

#[test]
fn a_kernel_that_changes_its_mac_is_followed() {
    let Some(net) = Net::new("host-mac") else { return };
    net.lb.vppctl("create ipip tunnel src 10.0.11.1 dst 10.0.11.2");
    net.lb.vppctl("set interface state ipip0 up");
    net.lb.vppctl("ip route add 90.0.0.1/32 via ipip0");
    net.host("90.0.0.1/32", "");
    net.works("90.0.0.1:80");
    net.namespaces.ip(&format!("-n {} link set t0 address 02:00:00:00:00:77", net.namespaces.name(2)));
    eventually(std::time::Duration::from_secs(15), "the new MAC", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        net.server.vppctl("show ip neighbors").contains("02:00:00:00:00:77")
    });
    net.works("90.0.0.1:80");
    net.taken("IPIP packets decapsulated");
}
