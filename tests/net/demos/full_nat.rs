//! Full NAT: the servers know their own network and nothing else.

use super::direct::{SERVERS, VIP, VIP6};
use super::lab::{Echo, Lab, all_of, interface, tell};
use crate::daemon::Daemon;
use crate::http::Server;

/// client - lb - switch - servers.
pub struct Net {
    pub lb: Daemon,
    _web: Vec<Server>,
    _echo: Vec<Echo>,
    pub lab: Lab,
}

pub fn lay_out(purpose: &str) -> Option<Net> {
    let lab = Lab::new(purpose, &["client", "lb", "switch", "server1", "server2", "server3"])?;
    lab.link("client", "c0", "lb", "l0");
    lab.link("lb", "l1", "switch", "p0");
    lab.address("client", "c0", &["10.0.1.2/24", "fd01::2/64"]);
    lab.ip("client", &format!("route add {VIP}/32 via 10.0.1.1"));
    lab.ip("client", &format!("route add {VIP6}/128 via fd01::1"));
    let (mut web, mut echo) = (Vec::new(), Vec::new());
    for (i, server) in (1..).zip(SERVERS) {
        lab.link("switch", &format!("p{i}"), server, "s0");
        lab.address(server, "s0", &[&format!("10.0.10.1{i}/24"), &format!("fd10::1{i}/64")]);
        assert!(!lab.exec(server, "ip route get 10.0.1.2"), "{server} has a way to the client");
        web.push(Server::start(lab.ns(server), "[::]:8080".parse().unwrap(), server));
        echo.push(Echo::start(lab.ns(server), "[::]:7007", server));
    }
    lab.switch("switch", &["p0", "p1", "p2", "p3"]);
    let mut lines = interface("l0", 0, &["10.0.1.1/24", "fd01::1/64"]);
    lines += &interface("l1", 1, &["10.0.10.1/24", "fd10::1/64"]);
    lines += "lb conf ip4-src-address 10.0.10.1 ip6-src-address fd10::1\n";
    lines += "lb set interface nat4 in host-l1\nlb set interface nat6 in host-l1\n";
    for (vip, encap, servers) in [
        (format!("{VIP}/32"), "fullnat4", "10.0.10.11 10.0.10.12 10.0.10.13"),
        (format!("{VIP6}/128"), "fullnat6", "fd10::11 fd10::12 fd10::13"),
    ] {
        for (service, target) in [("protocol tcp port 80", 8080), ("protocol udp port 7", 7007)] {
            lines += &format!("lb vip {vip} {service} encap {encap} type clusterip target_port {target}\n");
            lines += &format!("lb as {vip} {service} {servers}\n");
        }
    }
    let lb = lab.daemon("lb", 1, &lines);
    Some(Net { lb, _web: web, _echo: echo, lab })
}

/// Whom a server has as neighbours.
fn neighbors(net: &Net) -> String {
    let ns = net.lab.ns("server1");
    let output = std::process::Command::new("ip").args(["-n", ns, "neighbor", "show"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn works(net: &Net) {
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        all_of(&net.lab.tally(&format!("{vip}:80"), 60), &SERVERS);
        all_of(&net.lab.ask(&format!("{vip}:7"), 60), &SERVERS);
        let mut connection = net.lab.connect(&format!("{vip}:80")).unwrap();
        connection.upload(20_000_000).unwrap();
        connection.get("/bytes/20000000").unwrap();
    }
}

#[test]
fn servers_answer_our_own_address() {
    let Some(net) = lay_out("full-nat") else { return };
    works(&net);
    let known = neighbors(&net);
    assert!(known.contains("10.0.10.1 ") && !known.contains("10.0.1.2"), "{known}");
}

#[test]
fn servers_answer_a_pool_of_addresses_for_which_we_answer_arp_and_nd() {
    let Some(net) = lay_out("full-nat-pool") else { return };
    tell(&net.lb, "lb conf snat4 10.0.10.100-10.0.10.103 snat6 fd10::100-fd10::103");
    works(&net);
    let known = neighbors(&net);
    assert!(known.contains("10.0.10.10") && known.contains("fd10::10"), "{known}");
}
