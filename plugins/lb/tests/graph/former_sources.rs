//! Full NAT whose addresses change while flows live: those of before serve their sessions until the last of them ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

use crate::bed::{Bed, CLIENT_MAC, MAC0, MAC1, SERVER_MAC};

/// Sender, its port, receiver, its port.
type Tuple = (IpAddr, u16, IpAddr, u16);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn packet((source, sport, destination, dport): Tuple, from_server: bool) -> Vec<u8> {
    let (from, to) = if from_server { (SERVER_MAC, MAC1) } else { (CLIENT_MAC, MAC0) };
    let ethernet = PacketBuilder::ethernet2(from, to);
    let mut frame = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 61),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 61),
        _ => panic!("families"),
    }
    .tcp(sport, dport, 7, 1000)
    .ack(9)
    .write(&mut frame, b"maglane")
    .unwrap();
    frame
}

/// Where the only frame came out, and what it says.
#[track_caller]
fn only(left: Vec<(String, Vec<u8>)>) -> (String, Tuple) {
    let [(interface, frame)] = <[_; 1]>::try_from(left).unwrap_or_else(|left| panic!("{left:02x?}"));
    let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
    let (source, destination): (IpAddr, IpAddr) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        _ => panic!("no IP"),
    };
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
    (interface, (source, tcp.source_port(), destination, tcp.destination_port()))
}

fn bed(workers: usize) -> Bed {
    let mut bed = Bed::of_workers(workers);
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
        "lb conf half-open 1",
    ]);
    bed
}

/// Whether neighbours find an address here.
fn is_found(bed: &mut Bed, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let ask: Vec<u8> = [
                &MAC1[..],
                &SERVER_MAC,
                &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
                &SERVER_MAC,
                &[10, 0, 2, 2],
                &[0; 6],
                &address.octets(),
            ]
            .concat();
            let left = bed.send_and_hold([ask]);
            left.iter().any(|(name, frame)| name == "toy1" && frame[12..14] == [8, 6] && frame[21] == 2)
        }
        IpAddr::V6(address) => {
            let ask = solicitation(address);
            // If nobody has it, it is a packet on its way to that neighbour, and waits.
            let left = bed.send_and_hold([ask]);
            left.iter().any(|(name, frame)| name == "toy1" && frame[54] == 136)
        }
    }
}

/// A neighbour solicitation of a server (RFC 4861 section 4.3).
fn solicitation(target: Ipv6Addr) -> Vec<u8> {
    let server: Ipv6Addr = "2002::2".parse().unwrap();
    let mut frame = Vec::new();
    let kind = etherparse::Icmpv6Type::Unknown { type_u8: 135, code_u8: 0, bytes5to8: [0; 4] };
    let payload = [&target.octets()[..], &[1, 1], &SERVER_MAC].concat();
    let ethernet = PacketBuilder::ethernet2(SERVER_MAC, MAC1).ipv6(server.octets(), target.octets(), 255);
    ethernet.icmpv6(kind).write(&mut frame, &payload).unwrap();
    frame
}

#[test]
fn sessions_keep_their_source_until_the_last_of_them_ends() {
    for (family, vip, encap, client, server, before, after) in [
        ("4", "90.0.0.1/32", "fullnat4", "10.0.1.2", "10.0.2.2", "10.0.2.100", "10.0.2.110"),
        ("6", "2003::1/128", "fullnat6", "2001::2", "2002::2", "2002::100", "2002::110"),
    ] {
        for workers in [1, 3] {
            let mut bed = bed(workers);
            bed.type_all(&[
                &format!("lb conf snat{family} {before}"),
                &format!("lb vip {vip} protocol tcp port 80 encap {encap} target_port 8080"),
                &format!("lb as {vip} protocol tcp port 80 {server}"),
            ]);
            let vip = ip(vip.split('/').next().unwrap());
            let (client, server, before, after) = (ip(client), ip(server), ip(before), ip(after));
            let there = |bed: &mut Bed, port: u16| {
                let worker = usize::from(port) % workers;
                only(bed.send_on(worker, [packet((client, port, vip, 80), false)])).1
            };
            let back = |bed: &mut Bed, (source, sport, to, port): Tuple| {
                only(bed.send([packet((to, port, source, sport), true)]))
            };
            let flows: Vec<_> = (1000..1009).map(|port| (port, there(&mut bed, port))).collect();
            assert!(flows.iter().all(|(_, tuple)| tuple.0 == before && tuple.2 == server));
            bed.vppctl(&format!("lb conf snat{family} {after}"));
            for round in 0..2 {
                for &(port, tuple) in &flows {
                    assert_eq!(back(&mut bed, tuple), ("toy0".into(), (vip, 80, client, port)), "round {round}");
                    assert_eq!(there(&mut bed, port), tuple, "it keeps its source");
                }
                let new = there(&mut bed, 2000 + round);
                assert_eq!(new.0, after);
                assert_eq!(back(&mut bed, new), ("toy0".into(), (vip, 80, client, 2000 + round)));
                assert!(is_found(&mut bed, before) && is_found(&mut bed, after));
                let shown = bed.vppctl("show lb");
                assert!(shown.contains(&format!("\n  leaving:{before} sessions: 9\n")), "{shown}");
                bed.collect();
            }
            bed.vppctl("lb conf established 1");
            for _ in 0..8 {
                std::thread::sleep(Duration::from_millis(400));
                bed.send([] as [Vec<u8>; 0]);
                for worker in 0..workers {
                    bed.send_on(worker, [] as [Vec<u8>; 0]);
                }
            }
            bed.collect();
            let shown = bed.vppctl("show lb");
            assert!(!shown.contains("leaving"), "{shown}");
            assert!(!is_found(&mut bed, before) && is_found(&mut bed, after));
        }
    }
}

#[test]
fn former_sources_may_come_back_or_become_vips() {
    let mut bed = bed(1);
    bed.type_all(&[
        "lb conf snat4 10.0.2.100-10.0.2.101",
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap fullnat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
    ]);
    let (client, vip) = (ip("10.0.1.2"), ip("90.0.0.1"));
    let there = |bed: &mut Bed, port| only(bed.send([packet((client, port, vip, 80), false)])).1;
    let flows: Vec<_> = (1000..1020).map(|port| there(&mut bed, port)).collect();
    let by = |last: u8| flows.iter().filter(|flow| flow.0 == IpAddr::from(Ipv4Addr::new(10, 0, 2, last))).count();
    bed.vppctl("lb conf snat4 10.0.2.110");
    let shown = bed.vppctl("show lb");
    let expected = format!("  leaving:10.0.2.100 sessions: {}\n  leaving:10.0.2.101 sessions: {}\n", by(100), by(101));
    assert!(shown.contains(&expected), "{shown}");
    bed.vppctl("lb conf snat4 10.0.2.100");
    bed.collect();
    let shown = bed.vppctl("show lb");
    assert!(!shown.contains("leaving:10.0.2.100") && shown.contains("leaving:10.0.2.101"), "{shown}");
    assert!(!shown.contains("10.0.2.110"), "it had no sessions: {shown}");
    // A VIP takes one over; its sessions are without answers then, which is what was asked for.
    bed.type_all(&["lb vip 10.0.2.101/32 encap gre4", "lb as 10.0.2.101/32 10.0.2.3"]);
    let left = bed.send([packet((client, 1, ip("10.0.2.101"), 80), false)]);
    assert_eq!(left[0].1[30..34], [10, 0, 2, 3]);
    for (port, flow) in (1000..).zip(&flows).filter(|(_, flow)| flow.0 == ip("10.0.2.100")) {
        let answer = packet((flow.2, flow.3, flow.0, flow.1), true);
        assert_eq!(only(bed.send([answer])), ("toy0".into(), (vip, 80, client, port)));
    }
}
