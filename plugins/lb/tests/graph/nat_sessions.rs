//! Packets to servers that go without a look at their session, and those that must not: either way their answers come back.

use std::net::IpAddr;

use etherparse::{IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader, PacketBuilder};
use vnet::Offload;

use crate::bed::{Bed, CLIENT_MAC, Frame, MAC0};
use crate::nat::{PAYLOAD, both, ip, judged, only, packet};

/// Sends some packets of a flow and an answer to each; gives the source port that the server sees.
#[track_caller]
fn talk(bed: &mut Bed, (client, port): (IpAddr, u16), (vip, service): (IpAddr, u16), tcp: bool) -> u16 {
    let mut seen = None;
    for _ in 0..3 {
        let there = only(bed.send([packet((client, port, vip, service), tcp, false)]));
        let (from, sport, server, target) = judged(&there.1);
        assert_eq!((there.0.as_str(), from), ("toy1", client));
        assert_eq!(*seen.get_or_insert((sport, server, target)), (sport, server, target), "one flow");
        let back = only(bed.send([packet((server, target, client, sport), tcp, true)]));
        assert_eq!((back.0.as_str(), judged(&back.1)), ("toy0", (vip, service, client, port)));
    }
    seen.unwrap().0
}

/// Whatever the VIP is, several packets of a flow are what one is: its address may be one of many, or its flows may be of a source.
#[test]
fn all_packets_of_a_flow_are_translated_alike() {
    for (vips, options, client, server, family) in [
        (["90.0.0.0/24", "90.0.0.1", "90.0.0.200"], "", "10.0.1.2", "10.0.2.2", "nat4"),
        (["90.0.0.1/32", "90.0.0.1", "90.0.0.1"], " src_ip_sticky", "10.0.1.2", "10.0.2.2", "nat4"),
        (["90.0.0.1/32", "90.0.0.1", "10.0.1.1"], " type nodeport", "10.0.1.2", "10.0.2.2", "nat4"),
        (["2003::/64", "2003::1", "2003::beef"], "", "2001::2", "2002::2", "nat6"),
        (["2003::1/128", "2003::1", "2003::1"], " src_ip_sticky", "2001::2", "2002::2", "nat6"),
    ] {
        for (protocol, tcp) in [("tcp", true), ("udp", false)] {
            let mut bed = both();
            let [prefix, addresses @ ..] = vips;
            let named = format!("{prefix} protocol {protocol} port 80");
            bed.type_all(&[
                &format!("lb vip {named} encap {family} target_port 8080{options}"),
                &format!("lb as {named} {server}"),
                &format!("lb set interface {family} in toy1"),
            ]);
            for (number, address) in addresses.into_iter().enumerate() {
                for port in 1000..1004 {
                    let port = port + 10 * number as u16;
                    assert_eq!(talk(&mut bed, (ip(client), port), (ip(address), 80), tcp), port);
                }
            }
            bed.nothing_in_use();
        }
    }
}

/// Of two flows that the server would see as one the second has another port, for all its packets.
#[test]
fn a_flow_with_another_port_keeps_it() {
    let mut bed = both();
    for vip in ["90.0.0.1", "91.0.0.1"] {
        bed.type_all(&[
            &format!("lb vip {vip}/32 protocol tcp port 80 encap nat4 target_port 8080"),
            &format!("lb as {vip}/32 protocol tcp port 80 10.0.2.2"),
        ]);
    }
    bed.type_all(&["lb set interface nat4 in toy1"]);
    let client = (ip("10.0.1.2"), 1000);
    for _ in 0..2 {
        assert_eq!(talk(&mut bed, client, (ip("90.0.0.1"), 80), true), 1000);
        assert_ne!(talk(&mut bed, client, (ip("91.0.0.1"), 80), true), 1000);
    }
    // One vector with both, in turns.
    let (one, other) = (
        packet((client.0, 1000, ip("90.0.0.1"), 80), true, false),
        packet((client.0, 1000, ip("91.0.0.1"), 80), true, false),
    );
    let left = bed.send([one.clone(), other.clone(), one.clone(), one, other]);
    let mut ports: Vec<u16> = left.iter().map(|(_, frame)| judged(frame).1).collect();
    ports.sort_unstable();
    assert_eq!((ports.len(), ports.iter().filter(|&&port| port == 1000).count()), (5, 3));
}

/// A flow stays what it is where the tables change their size, and where its server's way is looked up again.
#[test]
fn flows_go_on_in_other_tables() {
    let mut bed = both();
    bed.type_all(&[
        "lb conf buckets 1024",
        "lb vip 90.0.0.1/32 protocol udp port 80 encap nat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol udp port 80 10.0.2.2 10.0.2.3",
        "lb set interface nat4 in toy1",
    ]);
    let all = |bed: &mut Bed| {
        (1000..1100).for_each(|port| {
            assert_eq!(talk(bed, (ip("10.0.1.2"), port), (ip("90.0.0.1"), 80), false), port);
        })
    };
    all(&mut bed);
    for line in ["lb conf buckets 4096", "lb conf buckets 1024", "lb as 90.0.0.1/32 protocol udp port 80 10.0.2.4"] {
        bed.vppctl(line);
        all(&mut bed);
    }
    assert!(bed.vppctl("show lb").contains(" sessions: 100 / "), "{}", bed.vppctl("show lb"));
}

/// A session that went because its flow was silent for too long is made anew where the flow is not, because timeouts are longer now.
#[test]
fn a_flow_that_is_taken_up_again_has_a_session() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol udp port 80 encap nat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol udp port 80 10.0.2.2",
        "lb set interface nat4 in toy1",
    ]);
    let (client, vip) = ((ip("10.0.1.2"), 1000), (ip("90.0.0.1"), 80));
    talk(&mut bed, client, vip, false);
    bed.ask(|worker| {
        let local = worker.local::<lb::local::LbLocal>().unwrap();
        let places = local.nat4.capacity();
        // What the sweep does after a long while, had it looked at no flow meanwhile.
        let lb::local::LbLocal { nat4, flows, .. } = local;
        let handles = [lb::handle::ServerHandle::NONE, lb::handle::ServerHandle::first(1)];
        let live = lb::handle::Live::new(&handles);
        nat4.sweep(places, |session| lb::local::stays(session, flows, 500_000, live))
    });
    talk(&mut bed, client, vip, false);
}

/// Answers whose checksum a device is to complete are translated so that it can.
#[test]
fn unfinished_answers_are_completed() {
    let mut bed = both();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap nat4 target_port 8080",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
        "lb set interface nat4 in toy1",
    ]);
    let (client, vip, server) = (ip("10.0.1.2"), ip("90.0.0.1"), ip("10.0.2.2"));
    let unfinished = |mut bytes: Vec<u8>, source: u32, destination: u32| {
        let length = (bytes.len() - 34) as u16;
        let pseudo = vnet::wire::checksum::pseudo4(source, destination, 6, length);
        bytes[50..52].copy_from_slice(&vnet::wire::checksum::fold(pseudo).to_be_bytes());
        Frame { bytes, offload: Offload::CHECKSUM, checksum: (34, 16), ..Frame::default() }
    };
    for _ in 0..3 {
        let there = packet((client, 1000, vip, 80), true, false);
        let there = only(bed.send([unfinished(there, 0x0a00_0102, 0x5a00_0001)]));
        assert_eq!(judged(&there.1), (client, 1000, server, 8080));
        let back = packet((server, 8080, client, 1000), true, true);
        let back = only(bed.send([unfinished(back, 0x0a00_0202, 0x0a00_0102)]));
        assert_eq!(judged(&back.1), (vip, 80, client, 1000));
    }
}

/// A client's datagram with IPv4 options or an extension header of IPv6 in front of UDP.
fn unusual(client: IpAddr, vip: IpAddr) -> Vec<u8> {
    let headers = match (client, vip) {
        (IpAddr::V4(client), IpAddr::V4(vip)) => {
            let mut header = Ipv4Header::new(0, 61, etherparse::IpNumber::UDP, client.octets(), vip.octets()).unwrap();
            header.options = [1, 1, 1, 0].into();
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        (IpAddr::V6(client), IpAddr::V6(vip)) => {
            let options = Ipv6RawExtHeader::new_raw(etherparse::IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap();
            let header =
                Ipv6Header { source: client.octets(), destination: vip.octets(), hop_limit: 61, ..Default::default() };
            IpHeaders::Ipv6(
                header,
                Ipv6Extensions { hop_by_hop_options: None, destination_options: Some(options), ..Default::default() },
            )
        }
        _ => panic!("families"),
    };
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ip(headers).udp(1000, 80);
    builder.write(&mut frame, PAYLOAD).unwrap();
    frame
}

/// Packets whose ports are not where they mostly are, and some of those that are short, belong to flows that go straight, too.
#[test]
fn unusual_packets_of_a_usual_flow_are_translated() {
    for (vip, length, client, server, family) in
        [("90.0.0.1", 32, "10.0.1.2", "10.0.2.2", "nat4"), ("2003::1", 128, "2001::2", "2002::2", "nat6")]
    {
        let mut bed = both();
        let named = format!("{vip}/{length} protocol udp port 80");
        bed.type_all(&[
            &format!("lb vip {named} encap {family} target_port 8080"),
            &format!("lb as {named} {server}"),
            &format!("lb set interface {family} in toy1"),
        ]);
        let (client, vip, server) = (ip(client), ip(vip), ip(server));
        for _ in 0..3 {
            talk(&mut bed, (client, 1000), (vip, 80), false);
            let there = only(bed.send([unusual(client, vip)]));
            assert_eq!((there.0.as_str(), judged(&there.1)), ("toy1", (client, 1000, server, 8080)));
        }
    }
}

/// Which server a packet gets is for the worker to say that has its session: until then its trace names none, and above all not that of
/// a packet before.
#[test]
fn a_packet_that_goes_to_another_worker_is_traced_without_a_server() {
    let mut bed = Bed::of_workers(3);
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol udp port 53 encap nat4 type clusterip target_port 5353",
        "lb as 90.0.0.1/32 protocol udp port 53 10.0.2.2 10.0.2.3 10.0.2.4",
        "trace add source 40",
    ]);
    let flows = (0..40).map(|n| (ip("10.0.1.2"), 41000 + n, ip("90.0.0.1"), 53));
    let left = bed.send_on(0, flows.map(|flow| packet(flow, false, false)).collect::<Vec<_>>());
    assert_eq!(left.len(), 40);
    let shown = bed.vppctl("show trace max 1000");
    let nodes: Vec<&str> = shown.split("\n00:").collect();
    let follows = |pair: &&[&str]| pair[0].contains("lb4-nat4-port") && pair[1].contains("worker-handoff");
    let (mut handed, mut named) = (0, 0);
    for pair in nodes.windows(2).filter(|pair| pair[0].contains(": lb4-nat4-port")) {
        if follows(&pair) {
            assert!(pair[0].contains("lb vip[") && !pair[0].contains("lb as["), "{}", pair[0]);
            handed += 1;
        } else {
            assert!(pair[0].contains("lb as["), "{}", pair[0]);
            named += 1;
        }
    }
    assert!(handed >= 10 && named >= 40, "{handed} of {named}: {shown}");
}

/// Flows that find no room in the flow table have sessions all the same, which stay until the answer comes: what has gone to a server
/// comes back from the VIP, however many there are.
#[test]
fn answers_come_back_while_the_flow_table_is_full() {
    for (conf, client, vip, server, encap) in [
        ("", "10.0.1.2", "90.0.0.1", "10.0.2.2", "nat4"),
        ("", "2001::2", "2003::1", "2002::2", "nat6"),
        (" snat4 10.0.2.100", "10.0.1.2", "90.0.0.1", "10.0.2.2", "fullnat4"),
    ] {
        let mut bed = both();
        let named = format!("{vip}/{} protocol udp port 80", if vip.contains(':') { 128 } else { 32 });
        bed.type_all(&[
            &format!("lb conf buckets 16{conf}"),
            &format!("lb vip {named} encap {encap} target_port 8080"),
            &format!("lb as {named} {server}"),
            &format!("lb set interface {} in toy1", if vip.contains(':') { "nat6" } else { "nat4" }),
        ]);
        // Sixteen buckets have room for 64 flows, and there are as many sessions.
        let flow = |n: u16| packet((ip(client), 1000 + n, ip(vip), 80), false, false);
        let there: Vec<_> = (0..4).flat_map(|part| bed.send((0..100).map(|n| flow(100 * part + n)))).collect();
        assert!((32..=64).contains(&there.len()), "{encap}: {}", there.len());
        let refused = bed
            .counted(&format!("lb{}-{encap}-port", if vip.contains(':') { 6 } else { 4 }), "no room for a NAT session");
        assert_eq!(refused, 400 - there.len() as u64);
        for (_, frame) in there {
            let (from, sport, to, target) = judged(&frame);
            let back = only(bed.send([packet((to, target, from, sport), false, true)]));
            let (source, port, destination, _) = judged(&back.1);
            assert_eq!((back.0.as_str(), source, port, destination), ("toy0", ip(vip), 80, ip(client)), "{encap}");
        }
    }
}
