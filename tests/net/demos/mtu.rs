//! A datagram that may not be cut and does not fit into a tunnel: the client learns the size that does.

use std::process::Command;

use super::direct::{Direct, SERVERS, VIP, VIP6};
use super::lab::{all_of, tell};

const IP4: &str = "10.0.11.2 10.0.12.2 10.0.13.2";
const IP6: &str = "fd11::2 fd12::2 fd13::2";

/// Encapsulations, servers, and the bytes by which packets grow.
const TUNNELS: [(&str, &str, u32); 7] = [
    ("gre4", IP4, 20 + 4),
    ("gre6", IP6, 40 + 4),
    ("ipip4", IP4, 20),
    ("ipip6", IP6, 40),
    ("gue4", IP4, 20 + 8 + 4),
    ("gue6", IP6, 40 + 8 + 4),
    ("gue4 variant 1", IP4, 20 + 8),
];

/// What the client's kernel knows of its way to a VIP.
fn known(net: &Direct, vip: &str) -> String {
    let output = Command::new("ip").args(["-n", net.lab.ns("client"), "route", "get", vip]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn learns(family: &str, vip: &str, len: u32, address: &str) {
    let Some(net) = Direct::new(&format!("mtu{family}"), "") else { return };
    for (encap, servers, overhead) in TUNNELS {
        let prefix = format!("{vip}/{len}");
        tell(&net.lb, &format!("lb vip {prefix} encap {encap}\nlb as {prefix} {servers}"));
        net.lab.ip("client", &format!("{family} route flush cache"));
        // With its headers between 1470 and 1500 bytes; kernels do not let such datagrams be cut on the way.
        let long = if vip.contains(':') { 1430 } else { 1450 };
        all_of(&net.lab.ask_at_length(address, 30, long), &SERVERS);
        let way = known(&net, vip);
        assert!(way.contains(&format!("mtu {} ", 1500 - overhead)), "{encap}: {way}");
        tell(&net.lb, &format!("lb as {prefix} {servers} del flush\nlb vip {prefix} del"));
    }
}

#[test]
fn clients_learn_what_fits_into_each_tunnel_over_ip4() {
    learns("-4", VIP, 32, &format!("{VIP}:7"));
}

#[test]
fn clients_learn_what_fits_into_each_tunnel_over_ip6() {
    learns("-6", VIP6, 128, &format!("[{VIP6}]:7"));
}
