//! Datagrams that kernels send in fragments: all of one go to one server, and answers come back whole.

use super::direct::{Direct, SERVERS, VIP, VIP6};
use super::lab::{all_of, tell};
use super::nat;

/// Three fragments.
const LEN: usize = 4000;

/// The encapsulations, and servers.
const TUNNELS: [(&str, &str); 8] = [
    ("gre4", IP4),
    ("gre6", IP6),
    ("ipip4", IP4),
    ("ipip6", IP6),
    ("gue4", IP4),
    ("gue6", IP6),
    ("gue4 variant 1", IP4),
    ("l3dsr dscp 7", IP4),
];
const IP4: &str = "10.0.11.2 10.0.12.2 10.0.13.2";
const IP6: &str = "fd11::2 fd12::2 fd13::2";

/// Asks by a tunnel, with questions in fragments.
fn through(net: &Direct, (encap, servers): (&str, &str), vip: &str, address: &str) {
    println!("{vip} {encap}");
    tell(&net.lb, &format!("lb vip {vip} encap {encap}\nlb as {vip} {servers}"));
    all_of(&net.lab.ask_at_length(address, 30, LEN), &SERVERS);
    tell(&net.lb, &format!("lb as {vip} {servers} del flush\nlb vip {vip} del"));
}

#[test]
fn long_datagrams_reach_one_server_in_every_kind_of_tunnel() {
    let Some(net) = Direct::new("fragments", " dscp 7") else { return };
    // The client's fragments leave room for what comes around them.
    net.lab.ip("client", &format!("route change {VIP}/32 via 10.0.1.1 mtu lock 1400"));
    for tunnel in TUNNELS {
        through(&net, tunnel, &format!("{VIP}/32"), &format!("{VIP}:7"));
    }
    // Here it learns to, from the first answer of the balancer's.
    for tunnel in TUNNELS.into_iter().filter(|(encap, _)| !encap.starts_with("l3dsr")) {
        through(&net, tunnel, &format!("{VIP6}/128"), &format!("[{VIP6}]:7"));
    }
}

#[test]
fn fragments_that_do_not_fit_into_a_tunnel_are_cut_again() {
    let Some(net) = Direct::new("cut-again", " dscp 7") else { return };
    for tunnel in TUNNELS.into_iter().filter(|(_, servers)| *servers == IP4) {
        through(&net, tunnel, &format!("{VIP}/32"), &format!("{VIP}:7"));
    }
}

#[test]
fn long_datagrams_are_translated_both_ways() {
    let Some(net) = nat::lay_out("nat-fragments", 1) else { return };
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        all_of(&net.lab.ask_at_length(&format!("{vip}:7"), 30, LEN), &SERVERS);
    }
}
