//! ICMP errors about balanced flows: they reach the server that has the flow, and quote what it sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::PacketBuilder;
use vnet::wire::icmp_inner::{Inner4, Inner6};

use crate::bed::{Bed, CLIENT_MAC, MAC0, MAC1, SERVER_MAC};

/// Sender, its port, receiver, its port.
type Tuple = (IpAddr, u16, IpAddr, u16);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn of(link: ([u8; 6], [u8; 6]), (source, sport, destination, dport): Tuple, tcp: bool) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(link.0, link.1);
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 61),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 61),
        _ => panic!("families"),
    };
    let mut frame = Vec::new();
    if tcp {
        ip.tcp(sport, dport, 7, 1000).ack(9).write(&mut frame, &[1; 30]).unwrap();
    } else {
        ip.udp(sport, dport).write(&mut frame, &[1; 30]).unwrap();
    }
    frame
}

/// What a router says about a packet: that it was too big (1300 bytes); `quote` bytes behind the IP header are quoted.
fn error(link: ([u8; 6], [u8; 6]), router: IpAddr, to: IpAddr, about: &[u8], quote: usize) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(link.0, link.1);
    let mut frame = Vec::new();
    match (router, to) {
        (IpAddr::V4(router), IpAddr::V4(to)) => {
            let quote = &about[14..34 + quote];
            let kind = etherparse::Icmpv4Type::DestinationUnreachable(
                etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1300 },
            );
            ethernet.ipv4(router.octets(), to.octets(), 61).icmpv4(kind).write(&mut frame, quote).unwrap();
        }
        (IpAddr::V6(router), IpAddr::V6(to)) => {
            let quote = &about[14..54 + quote];
            let kind = etherparse::Icmpv6Type::PacketTooBig { mtu: 1300 };
            ethernet.ipv6(router.octets(), to.octets(), 61).icmpv6(kind).write(&mut frame, quote).unwrap();
        }
        _ => panic!("families"),
    }
    frame
}

const CLIENT: ([u8; 6], [u8; 6]) = (CLIENT_MAC, MAC0);
const SERVER: ([u8; 6], [u8; 6]) = (SERVER_MAC, MAC1);

/// Addresses of the error itself and of what it quotes, if all its checksums are right.
#[track_caller]
fn judged(packet: &[u8], quote_checked: bool) -> ((IpAddr, IpAddr), Tuple) {
    if packet[0] >> 4 == 4 {
        let (header, _) = etherparse::Ipv4Header::from_slice(packet).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        let quote = Inner4::read(packet).unwrap();
        assert!(quote.checksum_ok(packet));
        let (inner, rest) = etherparse::Ipv4Header::from_slice(&packet[quote.at..]).unwrap();
        assert_eq!(inner.header_checksum, inner.calc_header_checksum());
        if quote_checked {
            let (tcp, payload) = etherparse::TcpHeader::from_slice(rest).unwrap();
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&inner, payload).unwrap());
        }
        let v4 = |address: [u8; 4]| IpAddr::from(Ipv4Addr::from(address));
        let key = quote.key;
        let about = (Ipv4Addr::from(key.src).into(), key.sport, Ipv4Addr::from(key.dst).into(), key.dport);
        return ((v4(header.source), v4(header.destination)), about);
    }
    let (header, _) = etherparse::Ipv6Header::from_slice(packet).unwrap();
    let quote = Inner6::read(packet).unwrap();
    assert!(quote.checksum_ok(packet));
    let v6 = |address: [u8; 16]| IpAddr::from(Ipv6Addr::from(address));
    let key = quote.key;
    ((v6(header.source), v6(header.destination)), (v6(key.src), key.sport, v6(key.dst), key.dport))
}

fn bed(workers: usize) -> Bed {
    let mut bed = Bed::of_workers(workers);
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "lb conf ip6-src-address 2002::1",
        "ip route add 10.77.0.0/16 via 10.0.1.2",
    ]);
    for host in 2..=5 {
        bed.vppctl(&format!("set ip neighbor toy1 2002::{host} 2e:f8:32:92:a8:32"));
    }
    bed
}

#[track_caller]
fn only(left: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let [one] = <[_; 1]>::try_from(left).unwrap_or_else(|left| panic!("{left:02x?}"));
    one.1
}

/// One per encapsulation and family: the error goes the way of the flow that it is about, whatever its own addresses hash to.
#[test]
fn an_error_goes_where_its_flow_goes() {
    for (vip, client, router, encap, servers, at) in [
        ("90.0.0.1/32", "10.0.1.2", "10.77.0.9", "gre4", "10.0.2.2 10.0.2.3 10.0.2.4", 30..34),
        ("90.0.0.1/32", "10.0.1.2", "10.77.0.9", "ipip4", "10.0.2.2 10.0.2.3 10.0.2.4", 30..34),
        ("90.0.0.1/32", "10.0.1.2", "10.77.0.9", "gue4", "10.0.2.2 10.0.2.3 10.0.2.4", 30..34),
        ("90.0.0.1/32", "10.0.1.2", "10.77.0.9", "l3dsr dscp 3", "10.0.2.2 10.0.2.3 10.0.2.4", 30..34),
        ("90.0.0.1/32", "10.0.1.2", "10.77.0.9", "gre6", "2002::2 2002::3 2002::4", 38..54),
        ("90.0.0.1/32", "10.0.1.2", "10.77.0.9", "ipip6", "2002::2 2002::3 2002::4", 38..54),
        ("2003::1/128", "2001::2", "2001::77", "gre4", "10.0.2.2 10.0.2.3 10.0.2.4", 30..34),
        ("2003::1/128", "2001::2", "2001::77", "gre6", "2002::2 2002::3 2002::4", 38..54),
        ("2003::1/128", "2001::2", "2001::77", "gue6", "2002::2 2002::3 2002::4", 38..54),
    ] {
        for ports in ["", " protocol tcp port 80"] {
            for workers in [1, 3] {
                let mut bed = bed(workers);
                bed.type_all(&[
                    &format!("lb vip {vip}{ports} encap {encap}"),
                    &format!("lb as {vip}{ports} {servers}"),
                ]);
                let address = ip(vip.split('/').next().unwrap());
                let mut went = Vec::new();
                for port in 1000..1030u16 {
                    let flow = of(CLIENT, (ip(client), port, address, 80), true);
                    went.push(only(bed.send_on(usize::from(port) % workers, [flow]))[at.clone()].to_vec());
                }
                // From here on the scheduler would choose another one.
                let other = if servers.contains(':') { "2002::5" } else { "10.0.2.5" };
                bed.type_all(&[&format!("lb as {vip}{ports} {other}"), &format!("lb as {vip}{ports} {servers} del")]);
                for (port, to) in (1000..).zip(went) {
                    // The answer that a router could not send on; eight bytes of it are quoted.
                    let answer = of(CLIENT, (address, 80, ip(client), port), true);
                    let told = error(CLIENT, ip(router), address, &answer, 8);
                    let left = only(bed.send_on(usize::from(port / 3) % workers, [told]));
                    assert_eq!(left[at.clone()], to, "{encap}{ports}, {workers} workers");
                }
                let handed = bed.counted("worker-handoff", "packets handed over");
                assert_eq!(handed > 0, workers > 1, "{handed}");
                let shown = bed.vppctl("show lb vips verbose");
                assert!(shown.contains("first session packet: 30\n"), "errors begin no flows: {shown}");
            }
        }
    }
}

#[test]
fn an_error_about_no_flow_goes_where_it_would_go_or_is_counted() {
    let mut bed = bed(1);
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap gre4",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2 10.0.2.3",
    ]);
    let (vip, client) = (ip("90.0.0.1"), ip("10.0.1.2"));
    for port in 1000..1020u16 {
        let answer = of(CLIENT, (vip, 80, client, port), true);
        let left = only(bed.send([error(CLIENT, ip("10.77.0.9"), vip, &answer, 8)]));
        let flow = only(bed.send([of(CLIENT, (client, port, vip, 80), true)]));
        assert_eq!(left[30..34], flow[30..34], "as the scheduler says");
    }
    // About a port that is no VIP's.
    let answer = of(CLIENT, (vip, 81, client, 5), true);
    assert!(bed.send([error(CLIENT, ip("10.77.0.9"), vip, &answer, 8)]).is_empty());
    // About a later fragment, which has no ports.
    let mut answer = of(CLIENT, (vip, 80, client, 5), true);
    answer[20..22].copy_from_slice(&[0, 8]);
    assert!(bed.send([error(CLIENT, ip("10.77.0.9"), vip, &answer, 8)]).is_empty());
    let errors = bed.vppctl("show errors");
    assert!(errors.contains("no VIP for the protocol and port"), "{errors}");
}

/// With NAT both directions are translated, and what they quote.
#[test]
fn errors_are_translated_both_ways() {
    for (encap, family, vip, length, client, router, inside, server) in [
        ("nat4", "nat4", "90.0.0.1", 32, "10.0.1.2", "10.77.0.9", "10.0.2.9", "10.0.2.2"),
        ("fullnat4", "nat4", "90.0.0.1", 32, "10.0.1.2", "10.77.0.9", "10.0.2.9", "10.0.2.2"),
        ("nat6", "nat6", "2003::1", 128, "2001::2", "2001::77", "2002::9", "2002::2"),
        ("fullnat6", "nat6", "2003::1", 128, "2001::2", "2001::77", "2002::9", "2002::2"),
    ] {
        for (workers, quote) in [(1, 50), (1, 8), (3, 50)] {
            let mut bed = bed(workers);
            bed.type_all(&[
                &format!("lb vip {vip}/{length} protocol tcp port 80 encap {encap} target_port 8080"),
                &format!("lb as {vip}/{length} protocol tcp port 80 {server}"),
                &format!("lb set interface {family} in toy1"),
            ]);
            let full = encap.starts_with("full");
            let (client, vip, server, router, inside) = (ip(client), ip(vip), ip(server), ip(router), ip(inside));
            let there = only(bed.send([of(CLIENT, (client, 1000, vip, 80), true)]));
            let (source, sport) = match &there[14..] {
                ip4 if ip4[0] >> 4 == 4 => {
                    let source: [u8; 4] = ip4[12..16].try_into().unwrap();
                    (IpAddr::from(source), u16::from_be_bytes([ip4[20], ip4[21]]))
                }
                ip6 => {
                    let source: [u8; 16] = ip6[8..24].try_into().unwrap();
                    (IpAddr::from(source), u16::from_be_bytes([ip6[40], ip6[41]]))
                }
            };
            assert_eq!(source != client, full);
            // About an answer, which the world has seen from the VIP: for the server, which sent it to what it knows.
            let answer = of(CLIENT, (vip, 80, client, 1000), true);
            for worker in 0..workers {
                let left = only(bed.send_on(worker, [error(CLIENT, router, vip, &answer, quote)]));
                let said = judged(&left[14..], quote == 50 && vip.is_ipv4());
                let by = if full { source } else { router };
                assert_eq!(said, ((by, server), (server, 8080, source, sport)), "{encap}");
            }
            // About a packet to the server, by a router on its side and by the server itself: for the client.
            let request = of(SERVER, (source, sport, server, 8080), true);
            for (by, seen) in [(inside, inside), (server, vip)] {
                for worker in 0..workers {
                    let left = only(bed.send_on(worker, [error(SERVER, by, source, &request, quote)]));
                    let said = judged(&left[14..], quote == 50 && vip.is_ipv4());
                    assert_eq!(said, ((seen, client), (client, 1000, vip, 80)), "{encap}");
                }
            }
        }
    }
}

/// A packet whose hops end here is quoted as its sender sent it.
#[test]
fn hops_that_end_here_are_told_of_the_packet_as_it_came() {
    for (line, servers, vip, client) in [
        ("lb vip 90.0.0.1/32 protocol udp port 80 encap nat4 target_port 8080", "10.0.2.2", "90.0.0.1", "10.0.1.2"),
        ("lb vip 90.0.0.1/32 protocol udp port 80 encap fullnat4 target_port 8080", "10.0.2.2", "90.0.0.1", "10.0.1.2"),
        ("lb vip 90.0.0.1/32 protocol udp port 80 encap l3dsr dscp 3", "10.0.2.2", "90.0.0.1", "10.0.1.2"),
        ("lb vip 2003::1/128 protocol udp port 80 encap nat6 target_port 8080", "2002::2", "2003::1", "2001::2"),
        ("lb vip 2003::1/128 protocol udp port 80 encap fullnat6 target_port 8080", "2002::2", "2003::1", "2001::2"),
    ] {
        let mut bed = bed(1);
        let length = if vip.contains(':') { 128 } else { 32 };
        bed.type_all(&[line, &format!("lb as {vip}/{length} protocol udp port 80 {servers}")]);
        // Twice: as a new flow and as a known one.
        for _ in 0..2 {
            let tuple = (ip(client), 1000, ip(vip), 80);
            let mut packet = of(CLIENT, tuple, false);
            if vip.contains(':') {
                packet[21] = 1;
            } else {
                packet[22] = 1;
                let header = etherparse::Ipv4Header::from_slice(&packet[14..]).unwrap().0;
                packet[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
            }
            let left = only(bed.send([packet]));
            let ((_, to), about) = judged(&left[14..], false);
            assert_eq!((to, about), (ip(client), tuple), "{line}");
        }
    }
}
