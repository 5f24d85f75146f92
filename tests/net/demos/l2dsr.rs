//! The servers have the VIP themselves: the balancer replaces the destination MAC and nothing else.

use std::net::{Ipv4Addr, UdpSocket};

use super::direct::{SERVERS, way_back};
use super::lab::{Echo, Lab, all_of, interface};
use crate::daemon::Daemon;
use crate::http::Server;
use crate::packet::PacketSocket;
use crate::stream::checksum;

const VIP: &str = "10.0.1.100";
const VIP6: &str = "fd01::100";

/// client - lb - switch - servers, and links from the servers to the client.
struct Net {
    lb: Daemon,
    _web: Vec<Server>,
    _echo: Vec<Echo>,
    lab: Lab,
}

/// The kernel's MAC of each server's device.
fn mac(i: u8) -> [u8; 6] {
    [2, 0xfe, 0, 0, 1, i]
}

fn lay_out(purpose: &str) -> Option<Net> {
    let lab = Lab::new(purpose, &["client", "lb", "switch", "server1", "server2", "server3"])?;
    lab.link("client", "c0", "lb", "l0");
    lab.link("lb", "l1", "switch", "p0");
    lab.address("client", "c0", &["10.0.1.2/24", "fd01::2/64"]);
    let (mut web, mut echo) = (Vec::new(), Vec::new());
    for (i, server) in (1..).zip(SERVERS) {
        lab.link("switch", &format!("p{i}"), server, "s0");
        lab.ip(server, &format!("link set s0 address 02:fe:00:00:01:{i:02x}"));
        lab.address(server, "s0", &[&format!("10.0.10.1{i}/24"), &format!("fd10::1{i}/64")]);
        way_back(&lab, i);
        // The VIP without ARP for it: that is the balancer's to answer.
        lab.set(server, "ipv4.conf.all.arp_ignore=1");
        lab.set(server, "ipv4.conf.all.arp_announce=2");
        lab.address(server, "lo", &[&format!("{VIP}/32"), &format!("{VIP6}/128")]);
        for vip in [VIP.to_string(), format!("[{VIP6}]")] {
            web.push(Server::start(lab.ns(server), format!("{vip}:80").parse().unwrap(), server));
            echo.push(Echo::start(lab.ns(server), &format!("{vip}:7"), server));
        }
    }
    lab.switch("switch", &["p0", "p1", "p2", "p3"]);
    let mut lines = interface("l0", 0, &["10.0.1.1/24", "fd01::1/64"]);
    lines += &interface("l1", 1, &["10.0.10.1/24", "fd10::1/64"]);
    lines += &format!("lb vip {VIP}/32 encap l2dsr\nlb as {VIP}/32 10.0.10.11 10.0.10.12\n");
    lines += &format!("lb as {VIP}/32 10.0.10.13 mac 02:fe:00:00:01:03\n");
    lines += &format!("lb vip {VIP6}/128 encap l2dsr\nlb as {VIP6}/128 fd10::11 fd10::12\n");
    lines += &format!("lb as {VIP6}/128 fd10::13 mac 02:fe:00:00:01:03\n");
    let lb = lab.daemon("lb", 1, &lines);
    Some(Net { lb, _web: web, _echo: echo, lab })
}

#[test]
fn tcp_udp_and_icmp_reach_every_server_and_answers_come_straight_back() {
    let Some(net) = lay_out("l2dsr") else { return };
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        all_of(&net.lab.tally(&format!("{vip}:80"), 60), &SERVERS);
        all_of(&net.lab.ask(&format!("{vip}:7"), 60), &SERVERS);
        let mut connection = net.lab.connect(&format!("{vip}:80")).unwrap();
        connection.upload(20_000_000).unwrap();
        connection.get("/bytes/20000000").unwrap();
    }
    let before = SERVERS.map(|server| net.lab.echo_requests(server));
    for number in 0..30 {
        assert!(net.lab.exec("client", &format!("ping -q -c 1 -W 5 {VIP}")), "ping {number}");
    }
    let after = SERVERS.map(|server| net.lab.echo_requests(server));
    let shares: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(shares.iter().sum::<u64>(), 30, "{shares:?}");
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    // A server that is taken away gets nothing new.
    net.lb.vppctl(&format!("lb as {VIP}/32 10.0.10.12 del"));
    all_of(&net.lab.tally(&format!("{VIP}:80"), 60), &["server1", "server3"]);
}

/// A frame to the VIP with header fields that are nobody's defaults: DSCP 46 and ECN 1, identification, DF, TTL 37.
fn frame(from: [u8; 6], id: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let vip: Ipv4Addr = VIP.parse().unwrap();
    let mut frame = [&[2, 0xfe, 0, 0, 0, 0], &from[..], &[8, 0]].concat();
    frame.extend([0x45, 0xb9, 0, 20 + payload.len() as u8]);
    frame.extend(id.to_be_bytes());
    frame.extend([0x40, 0, 37, protocol, 0, 0, 10, 0, 1, 2]);
    frame.extend(vip.octets());
    let sum = checksum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&sum);
    frame.extend(payload);
    frame
}

#[test]
fn everything_but_the_destination_mac_is_as_it_came() {
    let Some(net) = lay_out("l2dsr-bytes") else { return };
    // The balancer knows the servers by now.
    net.lab.tally(&format!("{VIP}:80"), 20);
    let from = PacketSocket::open(net.lab.ns("client"), "c0");
    let servers = SERVERS.map(|server| PacketSocket::open(net.lab.ns(server), "s0"));
    // Nobody else uses this port: what the servers' kernels say about it goes another way.
    let _sockets = SERVERS.map(|server| net.lab.within(server, || UdpSocket::bind((VIP, 999))).unwrap());
    let mut sent = Vec::new();
    for number in 0..60u16 {
        let port = (2000 + number).to_be_bytes();
        let (protocol, payload) = match number % 3 {
            // A UDP datagram without a checksum, and an odd length.
            0 => (17, [&port[..], &999u16.to_be_bytes(), &[0, 11, 0, 0, 1, 2, 3]].concat()),
            // A TCP segment (ACK) whose checksum is wrong: not the balancer's to notice.
            1 => (6, [&port[..], &[3, 0xe7], &[0, 0, 0, 9, 0, 0, 0, 1, 0x50, 0x10, 0, 9, 0xab, 0xcd, 0, 0]].concat()),
            _ => {
                let mut echo = [&[8, 0, 0, 0][..], &port, &[0, 1]].concat();
                let sum = checksum(&[&echo]);
                echo[2..4].copy_from_slice(&sum);
                (1, echo)
            }
        };
        let frame = frame(from.mac, 7000 + number, protocol, &payload);
        from.send(&frame).unwrap();
        sent.push(frame);
    }
    let mut arrived = vec![0; sent.len()];
    for (i, socket) in (1..).zip(&servers) {
        let (mut buffer, mut here) = ([0; 1 << 16], 0);
        while let Some(got) = socket.receive(&mut buffer) {
            let Some(at) = sent.iter().position(|frame| got.get(18..20) == Some(&frame[18..20])) else { continue };
            if got[12..14] != [8, 0] || got[26..30] != [10, 0, 1, 2] {
                continue;
            }
            if got[..6] != mac(i) {
                // Its own devices know a server's MAC; a switch that has heard nothing of it floods.
                assert!((1..=3).any(|other| got[..6] == mac(other)), "{got:02x?}");
                continue;
            }
            assert_eq!(got[6..sent[at].len()], sent[at][6..], "number {at}");
            arrived[at] += 1;
            here += 1;
        }
        assert!(here > 5, "server{i} got {here}");
    }
    assert!(arrived.iter().all(|count| *count == 1), "{arrived:?}");
}
