//! NAT and full NAT: both ways, byte for byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use vnet::Offload;

use crate::bed::{Bed, CLIENT_MAC, Frame, MAC0, MAC1, SERVER_MAC};

/// Sender, its port, receiver, its port.
pub type Tuple = (IpAddr, u16, IpAddr, u16);

pub const PAYLOAD: &[u8] = b"maglane";

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet; from a client or from a server.
pub fn packet((source, sport, destination, dport): Tuple, tcp: bool, from_server: bool) -> Vec<u8> {
    let (from, to) = if from_server { (SERVER_MAC, MAC1) } else { (CLIENT_MAC, MAC0) };
    let ethernet = PacketBuilder::ethernet2(from, to);
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 61),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 61),
        _ => panic!("families"),
    };
    let mut frame = Vec::new();
    if tcp {
        ip.tcp(sport, dport, 7, 1000).ack(9).write(&mut frame, PAYLOAD).unwrap();
    } else {
        ip.udp(sport, dport).write(&mut frame, PAYLOAD).unwrap();
    }
    frame
}

/// What a packet says, if all its checksums are right and its hop limit was taken off once.
#[track_caller]
pub fn judged(frame: &[u8]) -> Tuple {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let (source, destination): (IpAddr, IpAddr) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(header.time_to_live, 60);
            (Ipv4Addr::from(header.source).into(), Ipv4Addr::from(header.destination).into())
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.hop_limit, 60);
            (Ipv6Addr::from(header.source).into(), Ipv6Addr::from(header.destination).into())
        }
        _ => panic!("no IP: {frame:02x?}"),
    };
    let sum4or6 = |tcp: Option<etherparse::TcpHeader>, udp: Option<etherparse::UdpHeader>, payload: &[u8]| match (
        source,
        destination,
    ) {
        (IpAddr::V4(s), IpAddr::V4(d)) => match (tcp, udp) {
            (Some(tcp), _) => tcp.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload).unwrap(),
            (_, Some(udp)) => udp.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload).unwrap(),
            _ => 0,
        },
        (IpAddr::V6(s), IpAddr::V6(d)) => match (tcp, udp) {
            (Some(tcp), _) => tcp.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload).unwrap(),
            (_, Some(udp)) => udp.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload).unwrap(),
            _ => 0,
        },
        _ => 0,
    };
    match sliced.transport.unwrap() {
        TransportSlice::Tcp(tcp) => {
            assert_eq!(tcp.payload(), PAYLOAD);
            assert_eq!(tcp.checksum(), sum4or6(Some(tcp.to_header()), None, tcp.payload()));
            (source, tcp.source_port(), destination, tcp.destination_port())
        }
        TransportSlice::Udp(udp) => {
            assert_eq!(udp.payload(), PAYLOAD);
            assert_eq!(udp.checksum(), sum4or6(None, Some(udp.to_header()), udp.payload()));
            (source, udp.source_port(), destination, udp.destination_port())
        }
        other => panic!("{other:?}"),
    }
}

/// A router with both families on both sides.
pub fn both() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
        "set ip neighbor toy1 2002::3 2e:f8:32:92:a8:32",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "lb conf ip6-src-address 2002::1",
    ]);
    bed
}

/// The one frame that left, and by which interface.
#[track_caller]
pub fn only(left: Vec<(String, Vec<u8>)>) -> (String, Vec<u8>) {
    let [one] = <[_; 1]>::try_from(left).unwrap_or_else(|left| panic!("{left:02x?}"));
    one
}

#[test]
fn nat_leads_there_and_back() {
    for (vip, length, encap, family, client, server) in [
        ("90.0.0.1", 32, "nat4", "nat4", "10.0.1.2", "10.0.2.2"),
        ("2003::1", 128, "nat6", "nat6", "2001::2", "2002::2"),
    ] {
        for (protocol, tcp) in [("tcp", true), ("udp", false)] {
            let mut bed = both();
            bed.type_all(&[
                &format!(
                    "lb vip {vip}/{length} protocol {protocol} port 3306 encap {encap} type clusterip target_port 3307"
                ),
                &format!("lb as {vip}/{length} protocol {protocol} port 3306 {server}"),
                &format!("lb set interface {family} in toy1"),
            ]);
            let (client, vip, server) = (ip(client), ip(vip), ip(server));
            for port in [1000, 1001, 1000] {
                let there = only(bed.send([packet((client, port, vip, 3306), tcp, false)]));
                assert_eq!((there.0.as_str(), judged(&there.1)), ("toy1", (client, port, server, 3307)));
                let back = only(bed.send([packet((server, 3307, client, port), tcp, true)]));
                assert_eq!((back.0.as_str(), judged(&back.1)), ("toy0", (vip, 3306, client, port)));
            }
            // What no session is there for passes by.
            let other = only(bed.send([packet((server, 3308, client, 1000), tcp, true)]));
            assert_eq!(judged(&other.1), (server, 3308, client, 1000));
            let shown = bed.vppctl("show lb vips");
            let line = "  type:clusterip port:3306 target_port:3307";
            assert!(shown.contains(line), "{shown}");
            let verbose = bed.vppctl("show lb vips verbose");
            assert!(verbose.contains("  type:clusterip port:3306 target_port:3307\n"), "{verbose}");
            assert!(verbose.contains("packet from existing sessions: 1\n    first session packet: 2\n"), "{verbose}");
            bed.type_all(&[&format!("lb set interface {family} in toy1 del")]);
            let back = only(bed.send([packet((server, 3307, client, 1000), tcp, true)]));
            assert_eq!(judged(&back.1), (server, 3307, client, 1000), "not translated any more");
        }
    }
}

#[test]
fn full_nat_hides_the_client() {
    for (vip, length, encap, client, server, source) in [
        ("90.0.0.1", 32, "fullnat4", "10.0.1.2", "10.0.2.2", "10.0.2.1"),
        ("2003::1", 128, "fullnat6", "2001::2", "2002::2", "2002::1"),
    ] {
        for (protocol, tcp) in [("tcp", true), ("udp", false)] {
            let mut bed = both();
            bed.type_all(&[
                &format!("lb vip {vip}/{length} protocol {protocol} port 80 encap {encap} target_port 8080"),
                &format!("lb as {vip}/{length} protocol {protocol} port 80 {server}"),
            ]);
            let (client, vip, server, source) = (ip(client), ip(vip), ip(server), ip(source));
            let mut ports = std::collections::HashSet::new();
            for port in 1000..1100 {
                let there = only(bed.send([packet((client, port, vip, 80), tcp, false)]));
                let (from, sport, to, dport) = judged(&there.1);
                assert_eq!((there.0.as_str(), from, to, dport), ("toy1", source, server, 8080));
                assert!(sport >= 1024 && ports.insert(sport), "every flow has a port of its own");
                let again = only(bed.send([packet((client, port, vip, 80), tcp, false)]));
                assert_eq!(judged(&again.1).1, sport);
                let back = only(bed.send([packet((server, 8080, source, sport), tcp, true)]));
                assert_eq!((back.0.as_str(), judged(&back.1)), ("toy0", (vip, 80, client, port)));
            }
            // The address is still ours for all else.
            let mut ping = Vec::new();
            let from_server = PacketBuilder::ethernet2(SERVER_MAC, MAC1);
            match (server, source) {
                (IpAddr::V4(server), IpAddr::V4(source)) => from_server
                    .ipv4(server.octets(), source.octets(), 61)
                    .icmpv4_echo_request(1, 2)
                    .write(&mut ping, &[]),
                (IpAddr::V6(server), IpAddr::V6(source)) => from_server
                    .ipv6(server.octets(), source.octets(), 61)
                    .icmpv6_echo_request(1, 2)
                    .write(&mut ping, &[]),
                _ => panic!("families"),
            }
            .unwrap();
            assert_eq!(only(bed.send([ping])).0, "toy1", "an answer");
        }
    }
}

#[test]
fn a_pool_gives_the_sources() {
    let mut bed = both();
    bed.type_all(&[
        "lb conf snat4 10.0.2.100-10.0.2.103",
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap fullnat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
    ]);
    let mut sources = std::collections::BTreeSet::new();
    for port in 1000..1200 {
        let there = only(bed.send([packet((ip("10.0.1.2"), port, ip("90.0.0.1"), 80), true, false)]));
        let (source, sport, ..) = judged(&there.1);
        sources.insert(source);
        let back = only(bed.send([packet((ip("10.0.2.2"), 8080, source, sport), true, true)]));
        assert_eq!(judged(&back.1), (ip("90.0.0.1"), 80, ip("10.0.1.2"), port));
    }
    assert_eq!(sources, (100..104).map(|last| ip(&format!("10.0.2.{last}"))).collect());
    // Neighbours find these addresses here.
    let arp = [
        &[0xff; 6][..],
        &SERVER_MAC,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &SERVER_MAC,
        &[10, 0, 2, 2],
        &[0; 6],
        &[10, 0, 2, 102],
    ]
    .concat();
    let source = bed.send_and_hold([Frame::from(arp)]);
    // The bed's packets come in by `toy0`, on which nobody asks for these.
    assert!(source.is_empty());
    assert!(bed.vppctl("show ip fib 10.0.2.102/32").contains("10.0.2.102/32"));
    for (line, why) in [
        ("lb conf snat4 10.0.2.9-10.0.2.3", "expected the first address before the last"),
        ("lb conf snat4 10.0.0.0-10.1.0.0", "1024 addresses at most"),
        ("lb conf snat4 ::1", "expected an IPv4 address, or two with `-' between them, got `::1'"),
        ("lb conf snat6 ff02::1", "source ff02::1: not the address of one host"),
        ("lb conf snat4 90.0.0.0-90.0.0.9", "source 90.0.0.1 lies within VIP 90.0.0.1/32"),
    ] {
        let said = bed.refused(line);
        assert!(said.contains(why), "{line}: {said}");
    }
}

/// Of two VIPs that share a server and its port every flow has its own answers, even where a client uses one port for both.
#[test]
fn vips_that_share_a_server_do_not_mix_up_its_replies() {
    let mut bed = both();
    for vip in ["90.0.0.1", "91.0.0.1"] {
        bed.type_all(&[
            &format!("lb vip {vip}/32 protocol udp port 53 encap nat4 target_port 5353"),
            &format!("lb as {vip}/32 protocol udp port 53 10.0.2.2"),
        ]);
    }
    bed.type_all(&["lb set interface nat4 in toy1"]);
    let (client, server) = (ip("10.0.1.2"), ip("10.0.2.2"));
    let mut seen = Vec::new();
    for vip in ["90.0.0.1", "91.0.0.1"] {
        let there = only(bed.send([packet((client, 1000, ip(vip), 53), false, false)]));
        let (from, port, to, dport) = judged(&there.1);
        assert_eq!((from, to, dport), (client, server, 5353));
        seen.push((vip, port));
    }
    assert_eq!(seen[0].1, 1000);
    assert_ne!(seen[1].1, 1000, "the server must be able to tell them apart");
    for (vip, port) in seen {
        let back = only(bed.send([packet((server, 5353, client, port), false, true)]));
        assert_eq!(judged(&back.1), (ip(vip), 53, client, 1000));
    }
}

#[test]
fn servers_have_ports_of_their_own() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol udp port 7 encap nat4 scheduler rr",
        "lb as 90.0.0.1/32 protocol udp port 7 10.0.2.2 target_port 8080",
        "lb as 90.0.0.1/32 protocol udp port 7 10.0.2.2 target_port 8081",
        "lb as 90.0.0.1/32 protocol udp port 7 10.0.2.2 target_port 8082",
        "lb set interface nat4 in toy1",
    ]);
    let (client, vip, server) = (ip("10.0.1.2"), ip("90.0.0.1"), ip("10.0.2.2"));
    let mut ports = std::collections::BTreeMap::new();
    for port in 1000..1030 {
        let there = only(bed.send([packet((client, port, vip, 7), false, false)]));
        let (.., to) = judged(&there.1);
        *ports.entry(to).or_insert(0) += 1;
        let back = only(bed.send([packet((server, to, client, port), false, true)]));
        assert_eq!(judged(&back.1), (vip, 7, client, port));
    }
    assert_eq!(ports.into_iter().collect::<Vec<_>>(), [(8080, 10), (8081, 10), (8082, 10)]);
    let verbose = bed.vppctl("show lb vips verbose");
    assert!(verbose.contains("    10.0.2.2 target_port:8081 weight:100 "), "{verbose}");
    bed.type_all(&["lb as 90.0.0.1/32 protocol udp port 7 10.0.2.2 target_port 8081 del flush"]);
    assert!(!bed.vppctl("show lb vips verbose").contains("target_port:8081 weight:100 buckets:1"));
}

#[test]
fn large_segments_and_unfinished_checksums_pass_uncut() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
        "lb set interface nat4 in toy1",
    ]);
    let (client, vip, server) = (ip("10.0.1.2"), ip("90.0.0.1"), ip("10.0.2.2"));
    let mut bytes = packet((client, 1000, vip, 80), true, false);
    let pseudo = vnet::wire::checksum::pseudo4(0x0a00_0102, 0x5a00_0001, 6, (20 + PAYLOAD.len()) as u16);
    bytes[50..52].copy_from_slice(&vnet::wire::checksum::fold(pseudo).to_be_bytes());
    let frame = Frame { bytes, offload: Offload::CHECKSUM, checksum: (34, 16), ..Frame::default() };
    let there = only(bed.send([frame]));
    // The device of this bed completes no checksums, so that it was done on the way out.
    assert_eq!(judged(&there.1), (client, 1000, server, 8080));
}

#[test]
fn a_server_that_is_flushed_answers_nobody() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
        "lb set interface nat4 in toy1",
    ]);
    let (client, vip) = (ip("10.0.1.2"), ip("90.0.0.1"));
    let there = only(bed.send([packet((client, 1000, vip, 80), true, false)]));
    assert_eq!(judged(&there.1).2, ip("10.0.2.2"));
    bed.type_all(&[
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.3",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2 del flush",
    ]);
    let late = only(bed.send([packet((ip("10.0.2.2"), 8080, client, 1000), true, true)]));
    assert_eq!(judged(&late.1), (ip("10.0.2.2"), 8080, client, 1000));
    let moved = only(bed.send([packet((client, 1000, vip, 80), true, false)]));
    assert_eq!(judged(&moved.1).2, ip("10.0.2.3"));
    let back = only(bed.send([packet((ip("10.0.2.3"), 8080, client, 1000), true, true)]));
    assert_eq!(judged(&back.1), (vip, 80, client, 1000));
}

#[test]
fn node_ports_are_served_by_our_own_addresses() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 30080 encap nat4 type nodeport target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 30080 10.0.2.2",
        "lb set interface nat4 in toy1",
    ]);
    let (client, server) = (ip("10.0.1.2"), ip("10.0.2.2"));
    for (number, vip) in ["10.0.1.1", "10.0.2.1", "90.0.0.1"].into_iter().enumerate() {
        let port = 1000 + number as u16;
        let there = only(bed.send([packet((client, port, ip(vip), 30080), true, false)]));
        assert_eq!(judged(&there.1), (client, port, server, 8080));
        let back = only(bed.send([packet((server, 8080, client, port), true, true)]));
        assert_eq!(judged(&back.1), (ip(vip), 30080, client, port));
    }
    // Other ports of ours are ours.
    assert!(bed.send([packet((client, 1, ip("10.0.1.1"), 30081), true, false)]).is_empty());
    assert!(bed.vppctl("show errors").contains("no listener for port"));
    bed.type_all(&["lb vip 90.0.0.1/32 protocol tcp port 30080 del"]);
}

#[test]
fn what_nat_cannot_be_is_said() {
    let mut bed = Bed::new();
    for (line, why) in [
        ("lb vip 90.0.0.1/32 encap nat4 target_port 80", "VIP 90.0.0.1/32: encap nat4 needs a protocol and a port"),
        (
            "lb vip 90.0.0.1/32 encap gre4 type nodeport",
            "type is for encap nat4, nat6, fullnat4 and fullnat6 only, not gre4",
        ),
        ("lb vip 2001::/16 protocol tcp port 80 encap nat4", "encap nat4 is for IPv4 VIPs"),
        ("lb vip 2001::/16 protocol tcp port 80 encap fullnat6 target_port 1", "lb conf snat6 or ip6-src-address"),
        (
            "lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 target_port 0",
            "expected a port from 1 to 65535, got `0'",
        ),
        ("lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 target_port 65536", "65536"),
        (
            "lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 type other",
            "expected type clusterip or nodeport, got `other'",
        ),
        (
            "lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 target_port 1 ping balance",
            "ping balance is not for encap nat4",
        ),
    ] {
        let said = bed.refused(line);
        assert!(said.contains(why), "{line}: {said}");
    }
    assert_eq!(bed.vppctl("show lb vips").trim(), "");
    bed.type_all(&["lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4"]);
    let said = bed.refused("lb vip 90.0.0.1/32 protocol tcp port 80 ping balance");
    assert!(said.contains("ping balance is not for encap nat4, which answers by itself"), "{said}");
    bed.vppctl("lb vip 90.0.0.1/32 protocol tcp port 80 ping answer");
    let said = bed.refused("lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2");
    assert!(said.contains("needs a target_port, the VIP's or each server's own"), "{said}");
    let said = bed.refused("lb as 90.0.0.1/32 protocol tcp port 80 2001::1 target_port 3");
    assert!(said.contains("nat46 is not supported: VIP 90.0.0.1/32 is IPv4, server 2001::1 is IPv6"), "{said}");
    assert!(bed.refused("lb set interface nat4 out toy1").contains("expected `in'"));
    assert!(bed.refused("lb set interface nat4 in toy9").contains("toy9"));
}

/// Whichever worker a packet comes to, of either direction, it is translated as by one.
#[test]
fn answers_find_the_worker_that_has_the_session() {
    for (encap, conf) in [("nat4", "lb conf buckets 1024"), ("fullnat4", "lb conf snat4 10.0.2.100-10.0.2.101")] {
        let mut bed = Bed::of_workers(3);
        bed.type_all(&[
            conf,
            &format!("lb vip 90.0.0.1/32 protocol udp port 53 encap {encap} target_port 5353"),
            "lb as 90.0.0.1/32 protocol udp port 53 10.0.2.2 10.0.2.3 10.0.2.4",
            "lb set interface nat4 in toy1",
        ]);
        let (client, vip) = (ip("10.0.1.2"), ip("90.0.0.1"));
        let mut seen = std::collections::HashSet::new();
        for number in 0..60u16 {
            let port = 1000 + number;
            // With full NAT a flow's packets come to one worker, as they do from a device; with NAT they may come to any.
            let forward = |n: u16| usize::from(if encap == "nat4" { number + n } else { number }) % 3;
            let mut first = None;
            for n in 0..3 {
                let there = only(bed.send_on(forward(n), [packet((client, port, vip, 53), false, false)]));
                let (from, sport, to, dport) = judged(&there.1);
                assert_eq!((there.0.as_str(), dport), ("toy1", 5353));
                assert_eq!(*first.get_or_insert((from, sport, to)), (from, sport, to), "one flow");
                let back =
                    only(bed.send_on(usize::from(number / 3 + n) % 3, [packet((to, 5353, from, sport), false, true)]));
                assert_eq!((back.0.as_str(), judged(&back.1)), ("toy0", (vip, 53, client, port)));
            }
            assert!(seen.insert(first));
        }
        assert_eq!(bed.shown("first session packet"), 60);
    }
}

/// A pool that runs out is counted and shown, and what nobody remembers any more is taken back.
#[test]
fn a_pool_that_runs_out_is_said() {
    let mut bed = both();
    bed.type_all(&[
        "lb conf buckets 65536 snat4 10.0.2.100",
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap fullnat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
    ]);
    // One address has 64512 ports for one server and port.
    let client = |n: u32| IpAddr::from(Ipv4Addr::from(0x0a09_0000 + n / 60_000));
    let frame = |n: u32| packet((client(n), (n % 60_000) as u16 + 1, ip("90.0.0.1"), 80), true, false);
    let mut left = 0;
    for chunk in 0..33 {
        left += bed.send((0..2000).map(|n| frame(chunk * 2000 + n))).len();
    }
    // A few lose their place in full buckets to younger ones, and their ports within a second or more; the last free ports are not all found.
    assert!((63_000..=65_000).contains(&left), "{left}");
    let shown = bed.vppctl("show lb");
    assert!(shown.contains(" nat4 snat:10.0.2.100-10.0.2.100 sessions: 6"), "{shown}");
    let refused = format!(" no source address and port left for NAT: {}\n", 66_000 - left);
    assert!(shown.contains(&refused), "{shown}");
    assert_eq!(bed.counted("lb4-fullnat4-port", "no source address and port left for NAT"), 66_000 - left as u64);
    // Those without a source are counted as that alone.
    let counted = ["first session packet", "untracked packet", "packet from existing sessions"];
    assert_eq!(counted.map(|words| bed.shown(words)).iter().sum::<u64>(), left as u64);
    bed.watch_sources();
    let log = bed.vppctl("show logging");
    assert!(log.contains("no source address and port left for"), "{log}");
    // Half-open flows are forgotten, and their sessions with them.
    bed.vppctl("lb conf half-open 1");
    std::thread::sleep(std::time::Duration::from_millis(2300));
    let again: usize = (0..5).map(|chunk| bed.send((0..500).map(|n| frame(70_000 + chunk * 500 + n))).len()).sum();
    assert!(again > 2000, "{again}");
}

/// An address of ours that serves node ports may become a VIP of its own, and is what it was when that goes.
#[test]
fn an_address_with_node_ports_may_become_a_vip() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 30080 encap nat4 type nodeport target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 30080 10.0.2.2",
    ]);
    let (client, server) = (ip("10.0.1.2"), ip("10.0.2.2"));
    let reaches = |bed: &mut Bed, port: u16| {
        let left = bed.send([packet((client, 1, ip("10.0.1.1"), port), true, false)]);
        left.first().map(|(_, frame)| judged(frame).2)
    };
    assert_eq!(reaches(&mut bed, 30080), Some(server));
    bed.vppctl("lb vip 10.0.1.1/32 protocol tcp port 80 encap nat4 target_port 8081 dry-run");
    assert_eq!(reaches(&mut bed, 30080), Some(server), "a trial changes nothing");
    bed.type_all(&[
        "lb vip 10.0.1.1/32 protocol tcp port 80 encap nat4 target_port 8081",
        "lb as 10.0.1.1/32 protocol tcp port 80 10.0.2.3",
    ]);
    assert_eq!(reaches(&mut bed, 80), Some(ip("10.0.2.3")));
    bed.type_all(&["lb vip 10.0.1.1/32 protocol tcp port 80 del", "lb flush vip 90.0.0.1/32 protocol tcp port 30080"]);
    bed.vppctl("test lb flowtable flush");
    bed.collect();
    bed.collect();
    assert_eq!(reaches(&mut bed, 30080), Some(server));
}

/// Room for more sessions is made while they live: all of them stay what they are.
#[test]
fn sessions_live_on_in_larger_tables() {
    for workers in [1, 2] {
        let mut bed = Bed::of_workers(workers);
        bed.type_all(&[
            "lb conf buckets 1024 snat4 10.0.2.100",
            "lb vip 90.0.0.1/32 protocol udp port 53 encap fullnat4 target_port 5353",
            "lb as 90.0.0.1/32 protocol udp port 53 10.0.2.2",
        ]);
        let (client, vip, server) = (ip("10.0.1.2"), ip("90.0.0.1"), ip("10.0.2.2"));
        let there = |bed: &mut Bed, port: u16| {
            let frame = packet((client, port, vip, 53), false, false);
            judged(&only(bed.send_on(usize::from(port) % workers, [frame])).1)
        };
        let before: Vec<_> = (1000..1400).map(|port| (port, there(&mut bed, port))).collect();
        for buckets in [4096, 65_536] {
            bed.vppctl(&format!("lb conf buckets {buckets}"));
            let shown = bed.vppctl("show lb");
            assert!(shown.contains(&format!("sessions: 400 / {}\n", buckets * 4 * workers)), "{shown}");
            for &(port, tuple) in &before {
                assert_eq!(there(&mut bed, port), tuple);
                let back = only(bed.send([packet((server, 5353, tuple.0, tuple.1), false, true)]));
                assert_eq!((back.0.as_str(), judged(&back.1)), ("toy0", (vip, 53, client, port)));
            }
        }
    }
}
