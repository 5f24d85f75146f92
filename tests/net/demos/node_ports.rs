//! VIPs of `type nodeport`: whoever calls the port at one of our own addresses reaches a server.

use super::direct::SERVERS;
use super::lab::{all_of, tell};
use super::{full_nat, nat};
use crate::daemon::Daemon;

/// VIPs of the ports 30080 and 30007, at an address that nobody calls.
fn node_ports(lb: &Daemon, encap: &str, servers: [&str; 2]) {
    for ((digit, vip), servers) in [("4", "90.0.0.9/32"), ("6", "fd90::9/128")].into_iter().zip(servers) {
        for (protocol, port, target) in [("tcp", 30080, 8080), ("udp", 30007, 7007)] {
            let key = format!("{vip} protocol {protocol} port {port}");
            tell(
                lb,
                &format!("lb vip {key} encap {encap}{digit} type nodeport target_port {target}\nlb as {key} {servers}"),
            );
        }
    }
}

#[test]
fn our_own_addresses_serve_a_port_by_nat() {
    let Some(net) = nat::lay_out("nodeport", 1) else { return };
    net.lab.ip("client", "route add 10.0.13.1/32 via 10.0.1.1");
    net.lab.ip("client", "route add fd13::1/128 via fd01::1");
    node_ports(&net.lb, "nat", ["10.0.11.2 10.0.12.2 10.0.13.2", "fd11::2 fd12::2 fd13::2"]);
    // On the client's side of the balancer, and on a server's.
    for address in ["10.0.1.1", "10.0.13.1", "[fd01::1]", "[fd13::1]"] {
        all_of(&net.lab.tally(&format!("{address}:30080"), 60), &SERVERS);
        all_of(&net.lab.ask(&format!("{address}:30007"), 60), &SERVERS);
        let mut connection = net.lab.connect(&format!("{address}:30080")).unwrap();
        connection.upload(3_000_000).unwrap();
        connection.get("/bytes/3000000").unwrap();
    }
    // The address is still ours.
    assert!(net.lab.exec("client", "ping -c 1 -W 5 10.0.1.1"));
}

#[test]
fn our_own_addresses_serve_a_port_by_full_nat() {
    let Some(net) = full_nat::lay_out("nodeport-full") else { return };
    net.lab.ip("client", "route add 10.0.10.1/32 via 10.0.1.1");
    net.lab.ip("client", "route add fd10::1/128 via fd01::1");
    node_ports(&net.lb, "fullnat", ["10.0.10.11 10.0.10.12 10.0.10.13", "fd10::11 fd10::12 fd10::13"]);
    // The second is the one that servers see instead of clients.
    for address in ["10.0.1.1", "10.0.10.1", "[fd01::1]", "[fd10::1]"] {
        all_of(&net.lab.tally(&format!("{address}:30080"), 60), &SERVERS);
        all_of(&net.lab.ask(&format!("{address}:30007"), 60), &SERVERS);
        net.lab.connect(&format!("{address}:30080")).unwrap().upload(3_000_000).unwrap();
    }
}
