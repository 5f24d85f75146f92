//! Fragments: all of a datagram go where its first goes, in whatever order they come.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket};

use crate::bed::{Bed, CLIENT_MAC, MAC0, MAC1, SERVER_MAC};

/// Sender, its port, receiver, its port.
type Tuple = (IpAddr, u16, IpAddr, u16);

const LEN: usize = 100;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn payload() -> Vec<u8> {
    (0..LEN as u8).collect()
}

/// A UDP datagram in three fragments; from a client or from a server.
fn fragments((source, sport, destination, dport): Tuple, id: u16, from_server: bool) -> [Vec<u8>; 3] {
    let (from, to) = if from_server { (SERVER_MAC, MAC1) } else { (CLIENT_MAC, MAC0) };
    let mut whole = Vec::new();
    let ethernet = PacketBuilder::ethernet2(from, to);
    let four = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let builder = ethernet.ipv4(source.octets(), destination.octets(), 61);
            builder.udp(sport, dport).write(&mut whole, &payload()).unwrap();
            true
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let builder = ethernet.ipv6(source.octets(), destination.octets(), 61);
            builder.udp(sport, dport).write(&mut whole, &payload()).unwrap();
            false
        }
        _ => panic!("families"),
    };
    let header = if four { 34 } else { 54 };
    let (head, body) = whole.split_at(header);
    [0..40, 40..80, 80..body.len()].map(|range| {
        let (offset, more) = (range.start as u16, range.end < body.len());
        let piece = &body[range];
        if four {
            let mut ip = etherparse::Ipv4Header::from_slice(&head[14..]).unwrap().0;
            ip.set_payload_len(piece.len()).unwrap();
            (ip.identification, ip.dont_fragment, ip.more_fragments) = (id, false, more);
            ip.fragment_offset = (offset / 8).try_into().unwrap();
            ip.header_checksum = ip.calc_header_checksum();
            return [&head[..14], &ip.to_bytes(), piece].concat();
        }
        let mut ip = head[14..].to_vec();
        ip[4..6].copy_from_slice(&(piece.len() as u16 + 8).to_be_bytes());
        ip[6] = 44;
        let word = (offset | u16::from(more)).to_be_bytes();
        let extension = [&[17, 0][..], &word, &u32::from(id).to_be_bytes()].concat();
        [&head[..14], &ip, &extension, piece].concat()
    })
}

/// What datagram these frames' fragments are of, if its checksums are right.
#[track_caller]
fn joined(frames: &[Vec<u8>]) -> Tuple {
    let mut pieces = std::collections::BTreeMap::new();
    let mut ends = None;
    for frame in frames {
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        match sliced.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                let at = usize::from(header.fragment_offset.value()) * 8;
                pieces.insert(at, frame[34..14 + usize::from(header.total_len)].to_vec());
                ends = Some((IpAddr::from(header.source), IpAddr::from(header.destination)));
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header().to_header();
                let at = usize::from(u16::from_be_bytes([frame[56], frame[57]]) & 0xfff8);
                pieces.insert(at, frame[62..54 + usize::from(header.payload_length)].to_vec());
                ends = Some((IpAddr::from(header.source), IpAddr::from(header.destination)));
            }
            _ => panic!("no IP"),
        }
    }
    let body = pieces.into_values().collect::<Vec<_>>().concat();
    let (source, destination) = ends.unwrap();
    let (udp, payload) = etherparse::UdpHeader::from_slice(&body).unwrap();
    assert_eq!(payload, self::payload());
    let sum = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => udp.calc_checksum_ipv4_raw(s.octets(), d.octets(), payload).unwrap(),
        (IpAddr::V6(s), IpAddr::V6(d)) => udp.calc_checksum_ipv6_raw(s.octets(), d.octets(), payload).unwrap(),
        _ => panic!("families"),
    };
    assert_eq!(udp.checksum, sum);
    (source, udp.source_port, destination, udp.destination_port)
}

fn bed(workers: usize) -> Bed {
    let mut bed = Bed::of_workers(workers);
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "lb conf ip6-src-address 2002::1",
    ]);
    for host in 2..=5 {
        bed.vppctl(&format!("set ip neighbor toy1 2002::{host} 2e:f8:32:92:a8:32"));
    }
    bed
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]];

const FOUR: &str = "10.0.2.2 10.0.2.3 10.0.2.4";
const SIX: &str = "2002::2 2002::3 2002::4";

/// VIP, client, encapsulation, servers and bytes of headers in front.
const WAYS: [(&str, &str, &str, &str, usize); 13] = [
    ("90.0.0.1/32", "10.0.1.2", "gre4", FOUR, 24),
    ("90.0.0.1/32", "10.0.1.2", "gre6", SIX, 44),
    ("90.0.0.1/32", "10.0.1.2", "ipip4", FOUR, 20),
    ("90.0.0.1/32", "10.0.1.2", "ipip6", SIX, 40),
    ("90.0.0.1/32", "10.0.1.2", "gue4", FOUR, 32),
    ("90.0.0.1/32", "10.0.1.2", "gue6", SIX, 52),
    ("90.0.0.1/32", "10.0.1.2", "l2dsr", FOUR, 0),
    ("90.0.0.1/32", "10.0.1.2", "l3dsr dscp 5", FOUR, 0),
    ("2003::1/128", "2001::2", "gre4", FOUR, 24),
    ("2003::1/128", "2001::2", "gre6", SIX, 44),
    ("2003::1/128", "2001::2", "ipip6", SIX, 40),
    ("2003::1/128", "2001::2", "gue6", SIX, 52),
    ("2003::1/128", "2001::2", "l2dsr", SIX, 0),
];

/// The server of a frame: its outer destination.
fn server(frame: &[u8]) -> &[u8] {
    if frame[14] >> 4 == 4 { &frame[30..34] } else { &frame[38..54] }
}

#[test]
fn fragments_follow_their_first_in_any_order_with_every_encapsulation() {
    for (vip, client, encap, servers, overhead) in WAYS {
        for ports in ["", " protocol udp port 53"] {
            let mut bed = bed(1);
            bed.type_all(&[&format!("lb vip {vip}{ports} encap {encap}"), &format!("lb as {vip}{ports} {servers}")]);
            let vip = ip(vip.split('/').next().unwrap());
            let outer = 14 + overhead;
            for (number, order) in ORDERS.into_iter().enumerate() {
                let tuple = (ip(client), 1000 + number as u16, vip, 53);
                let pieces = fragments(tuple, number as u16, false);
                // One by one, so that those before the first must be held.
                let left: Vec<_> = order.into_iter().flat_map(|at| bed.send_and_hold([pieces[at].clone()])).collect();
                assert_eq!(left.len(), 3, "{encap}{ports} {order:?}: {left:02x?}");
                let mut inner: Vec<_> = left.iter().map(|(_, frame)| frame[outer..].to_vec()).collect();
                let mut expected: Vec<_> = pieces.iter().map(|piece| piece[14..].to_vec()).collect();
                inner.sort();
                expected.sort();
                if encap.starts_with("l3dsr") {
                    let frames: Vec<_> = left.iter().map(|(_, frame)| frame.clone()).collect();
                    let (source, sport, to, dport) = joined(&frames);
                    assert_eq!((source, sport, dport), (tuple.0, tuple.1, 53));
                    assert!(FOUR.contains(&to.to_string()));
                } else {
                    assert_eq!(inner, expected, "{encap}: not touched");
                }
                // All to one server: of tunnels, the outer destination.
                let to = |frame: &[u8]| match overhead {
                    0 => frame[..6].to_vec(),
                    _ if frame[14] >> 4 == 4 => frame[30..34].to_vec(),
                    _ => frame[38..54].to_vec(),
                };
                assert!(left.iter().all(|(_, frame)| to(frame) == to(&left[0].1)));
            }
            let shown = bed.vppctl("show lb vips verbose");
            assert!(shown.contains("first session packet: 6\n"), "a datagram is a packet of its flow: {shown}");
        }
    }
}

/// A datagram as one packet.
fn whole(tuple: Tuple) -> Vec<u8> {
    let [first, second, third] = fragments(tuple, 0, false);
    let mut whole = if first[14] >> 4 == 4 { first } else { [&first[..54], &first[62..]].concat() };
    if whole[14] >> 4 == 4 {
        whole.extend([&second[34..], &third[34..]].concat());
        let mut ip = etherparse::Ipv4Header::from_slice(&whole[14..]).unwrap().0;
        ip.more_fragments = false;
        ip.set_payload_len(whole.len() - 34).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        whole[14..34].copy_from_slice(&ip.to_bytes());
    } else {
        whole.extend([&second[62..], &third[62..]].concat());
        let length = (whole.len() - 54) as u16;
        whole[18..20].copy_from_slice(&length.to_be_bytes());
        whole[20] = 17;
    }
    whole
}

/// Whichever workers the fragments come to, and whichever knows the flow, they go to the flow's server.
#[test]
fn with_several_workers_fragments_go_where_their_flow_goes() {
    for (vip, client, encap, servers, overhead) in WAYS.into_iter().filter(|way| !way.2.starts_with("l2dsr")) {
        for (ports, workers) in [("", 2), (" protocol udp port 53", 3)] {
            let mut bed = bed(workers);
            bed.type_all(&[&format!("lb vip {vip}{ports} encap {encap}"), &format!("lb as {vip}{ports} {servers}")]);
            let address = ip(vip.split('/').next().unwrap());
            let tuple = |number: usize| (ip(client), 1000 + number as u16, address, 53);
            let went: Vec<_> = (0..12)
                .map(|number| {
                    let left = bed.send_on(number / 6 % workers, [whole(tuple(number))]);
                    server(&left[0].1).to_vec()
                })
                .collect();
            // From here on the scheduler would choose another one.
            let other = if servers.contains(':') { "2002::5" } else { "10.0.2.5" };
            bed.type_all(&[&format!("lb as {vip}{ports} {other}"), &format!("lb as {vip}{ports} {servers} del")]);
            for (number, to) in went.iter().enumerate() {
                let pieces = fragments(tuple(number), number as u16, false);
                let order = ORDERS[number % 6].into_iter().enumerate();
                let left: Vec<_> = order
                    .flat_map(|(n, at)| bed.send_on_and_hold((number + n) % workers, [pieces[at].clone()]))
                    .collect();
                assert_eq!(left.len(), 3, "{encap}{ports}, {workers} workers");
                assert!(left.iter().all(|(_, frame)| server(frame) == to), "{encap}{ports}, {workers} workers");
                assert!(left.iter().all(|(_, frame)| frame.len() >= overhead + 34));
            }
            // Flows of which nobody knows.
            for number in 20..26 {
                let pieces = fragments(tuple(number), number as u16, false);
                let order = ORDERS[number % 6].into_iter().enumerate();
                let left: Vec<_> = order
                    .flat_map(|(n, at)| bed.send_on_and_hold((number + n) % workers, [pieces[at].clone()]))
                    .collect();
                assert_eq!(left.len(), 3);
                assert!(left.iter().all(|(_, frame)| server(frame) == server(&left[0].1)), "{encap}{ports}");
            }
            assert_eq!(bed.shown("first session packet"), 18, "a flow is begun once");
            assert!(bed.counted("worker-handoff", "packets handed over") > 0);
            assert_eq!(bed.counted("worker-handoff", "congestion drop"), 0);
            bed.nothing_in_use();
        }
    }
}

/// A flow that began with fragments has one server, whichever worker its other packets come to, and however its scheduler chooses.
#[test]
fn flows_that_begin_with_fragments_have_one_server() {
    let nat = "protocol udp port 53 encap fullnat4 target_port 53 scheduler rr";
    for options in ["encap gre4 scheduler rr", "protocol udp port 53 encap gre4 scheduler lc", nat] {
        for workers in [1, 2, 3] {
            let mut bed = bed(workers);
            let ports = if options.starts_with("protocol") { " protocol udp port 53" } else { "" };
            bed.type_all(&[
                &format!("lb vip 90.0.0.1/32 {options}"),
                &format!("lb as 90.0.0.1/32{ports} 10.0.2.2 10.0.2.3 10.0.2.4"),
            ]);
            for flow in 0..12 {
                let tuple = (ip("10.0.1.2"), 1000 + flow as u16, ip("90.0.0.1"), 53);
                let pieces = fragments(tuple, flow as u16, false);
                let left: Vec<_> = pieces
                    .into_iter()
                    .enumerate()
                    .flat_map(|(n, piece)| bed.send_on_and_hold((flow + n) % workers, [piece]))
                    .collect();
                let to = server(&left[0].1);
                // With full NAT one session, so that the server sees one source.
                let source = |frame: &[u8]| if options == nat { frame[34..36].to_vec() } else { Vec::new() };
                let first = left.iter().find(|(_, frame)| frame[34 - 14] & 0x1f == 0 && frame[21] == 0).unwrap();
                for worker in 0..workers {
                    for _ in 0..2 {
                        let left = bed.send_on(worker, [whole(tuple)]);
                        assert_eq!(server(&left[0].1), to, "{options}: {worker} of {workers}");
                        assert_eq!(source(&left[0].1), source(&first.1));
                    }
                }
            }
            assert_eq!(bed.shown("first session packet"), 12, "{options}, {workers} workers");
        }
    }
}

/// A long datagram whose flow another worker knows is sent on in order, and nothing of it is lost.
#[test]
fn what_follows_a_fragment_around_stays_in_order() {
    for workers in [2, 3, 4] {
        for knows in 0..workers {
            let mut bed = bed(workers);
            bed.type_all(&["lb vip 90.0.0.1/32 encap gre4", "lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4"]);
            let tuple = (ip("10.0.1.2"), 7, ip("90.0.0.1"), 53);
            let to = server(&bed.send_on(knows, [whole(tuple)])[0].1).to_vec();
            bed.type_all(&["lb as 90.0.0.1/32 10.0.2.5", "lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4 del"]);
            let mut all = Vec::new();
            for id in 0..5 {
                let [first, middle, last] = fragments(tuple, id, false);
                let middles = (0..40u16).map(|n| {
                    let mut piece = middle.clone();
                    piece[20..22].copy_from_slice(&(0x2000 + 5 + n * 5).to_be_bytes());
                    let mut ip = etherparse::Ipv4Header::from_slice(&piece[14..]).unwrap().0;
                    ip.header_checksum = ip.calc_header_checksum();
                    piece[14..34].copy_from_slice(&ip.to_bytes());
                    piece
                });
                all.extend(std::iter::once(first).chain(middles).chain([last]));
            }
            for comes in 0..workers {
                let left = bed.send_on(comes, all.clone());
                assert!(left.iter().all(|(_, frame)| server(frame) == to));
                let inner = |frame: &[u8]| frame[38..].to_vec();
                let left: Vec<_> = left.iter().map(|(_, frame)| inner(frame)).collect();
                let expected: Vec<_> = all.iter().map(|frame| frame[14..].to_vec()).collect();
                assert!(left == expected, "{workers} workers, {knows} knows, {comes} has them: {}", left.len());
            }
        }
    }
}

/// The same with threads, which overtake each other: whichever of them has the fragments and whichever knows the flow, none is
/// lost, all go to the flow's server, and those of a flow that come to one worker stay in order.
#[test]
fn threads_hand_fragments_to_each_other_in_order() {
    let workers = 3;
    let mut bed = Bed::of_threads(workers);
    bed.type_all(&["lb vip 90.0.0.1/32 encap gre4", "lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4"]);
    let tuple = |flow: usize| (ip(&format!("10.9.0.{flow}")), 1000 + flow as u16, ip("90.0.0.1"), 53);
    let mut known = Vec::new();
    for flow in 0..12 {
        bed.feed(flow % workers, vec![whole(tuple(flow))]);
        known.push(server(&bed.fetch(1)[0]).to_vec());
    }
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.5", "lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4 del"]);
    let judge = |left: &[Vec<u8>], sent: &[Vec<Vec<u8>>], ordered: bool| {
        for (flow, sent) in sent.iter().enumerate() {
            let of_flow = left.iter().filter(|frame| usize::from(frame[38 + 15]) == flow);
            assert!(of_flow.clone().all(|frame| server(frame) == known[flow]), "flow {flow}");
            let mut inner: Vec<_> = of_flow.map(|frame| frame[38..].to_vec()).collect();
            let mut expected: Vec<_> = sent.iter().map(|frame| frame[14..].to_vec()).collect();
            if !ordered {
                inner.sort();
                expected.sort();
            }
            assert!(inner == expected, "flow {flow}: {} of {}", inner.len(), expected.len());
        }
    };
    // As a kernel spreads them: by addresses.
    for round in 0..3 {
        let sent: Vec<Vec<Vec<u8>>> = (0..12)
            .map(|flow| (0..60).flat_map(|id| fragments(tuple(flow), round * 60 + id, false)).collect())
            .collect();
        for (flow, frames) in sent.iter().enumerate() {
            bed.feed((flow / 3 + usize::from(round)) % workers, frames.clone());
        }
        judge(&bed.fetch(12 * 180), &sent, true);
    }
    // And each fragment to any.
    for id in 1000..1040 {
        let sent: Vec<Vec<Vec<u8>>> = (0..12).map(|flow| fragments(tuple(flow), id, false).to_vec()).collect();
        for (flow, frames) in sent.iter().enumerate() {
            for (n, frame) in frames.iter().enumerate() {
                bed.feed((flow + n * usize::from(id)) % workers, vec![frame.clone()]);
            }
        }
        judge(&bed.fetch(12 * 3), &sent, false);
    }
    assert_eq!(bed.counted("worker-handoff", "congestion drop"), 0);
    bed.nothing_in_use();
}

#[test]
fn nat_translates_fragments_both_ways() {
    for (encap, family, vip, length, client, server) in [
        ("nat4", "nat4", "90.0.0.1", 32, "10.0.1.2", "10.0.2.2"),
        ("fullnat4", "nat4", "90.0.0.1", 32, "10.0.1.2", "10.0.2.2"),
        ("nat6", "nat6", "2003::1", 128, "2001::2", "2002::2"),
        ("fullnat6", "nat6", "2003::1", 128, "2001::2", "2002::2"),
    ] {
        for workers in [1, 2, 3] {
            let mut bed = bed(workers);
            bed.type_all(&[
                &format!("lb vip {vip}/{length} protocol udp port 53 encap {encap} target_port 5353"),
                &format!("lb as {vip}/{length} protocol udp port 53 {server}"),
                &format!("lb set interface {family} in toy1"),
            ]);
            let (client, vip, server) = (ip(client), ip(vip), ip(server));
            for (number, order) in ORDERS.into_iter().enumerate() {
                let port = 1000 + number as u16;
                let pieces = fragments((client, port, vip, 53), number as u16, false);
                // Another worker knows the flow of every second one.
                let whole = whole((client, port, vip, 53));
                let known = (number % 2 == 1).then(|| bed.send_on(number / 2 % workers, [whole]));
                let mut sent = |n: usize, piece: &[u8]| bed.send_on_and_hold((number + n) % workers, [piece.to_vec()]);
                let left: Vec<_> = order.into_iter().enumerate().flat_map(|(n, at)| sent(n, &pieces[at])).collect();
                let frames: Vec<_> = left.into_iter().map(|(_, frame)| frame).collect();
                assert_eq!(frames.len(), 3, "{encap} {order:?}, {workers} workers");
                if let Some(known) = known {
                    let ports = if vip.is_ipv4() { 34..36 } else { 54..56 };
                    let source: [u8; 2] = known[0].1[ports].try_into().unwrap();
                    assert_eq!(u16::from_be_bytes(source), joined(&frames).1, "{encap}: one flow, one session");
                }
                let (source, sport, to, dport) = joined(&frames);
                assert_eq!((to, dport, source == client), (server, 5353, !encap.starts_with("full")));
                let answer = fragments((server, 5353, source, sport), 500 + number as u16, true);
                let left: Vec<_> = order.into_iter().enumerate().flat_map(|(n, at)| sent(n * 2, &answer[at])).collect();
                let frames: Vec<_> = left.into_iter().map(|(_, frame)| frame).collect();
                assert_eq!(frames.len(), 3, "{encap} {order:?} back");
                assert_eq!(joined(&frames), (vip, 53, client, port));
            }
        }
    }
}

#[test]
fn those_whose_first_does_not_come_are_few_and_dropped() {
    let mut bed = bed(1);
    bed.type_all(&["lb vip 90.0.0.1/32 encap gre4", "lb as 90.0.0.1/32 10.0.2.2"]);
    let (client, vip) = (ip("10.0.1.2"), ip("90.0.0.1"));
    for id in 0..400 {
        let [_, second, _] = fragments((client, 7, vip, 53), id, false);
        assert!(bed.send_and_hold([second]).is_empty());
    }
    let held = bed.ask(|worker| worker.buffers_in_use());
    assert_eq!(held, 256, "no more are held");
    assert_eq!(bed.counted("lb4-gre4", "no room to hold a fragment until the first comes"), 400 - 256);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(bed.send_and_hold([] as [Vec<u8>; 0]).is_empty());
    assert_eq!(bed.ask(|worker| worker.buffers_in_use()), 0);
    assert_eq!(bed.counted("lb-sweep", "fragment whose first did not come"), 256);
    // A transport header that its first fragment cuts short.
    let [mut first, ..] = fragments((client, 7, vip, 53), 1000, false);
    first.truncate(36);
    first[16..18].copy_from_slice(&22u16.to_be_bytes());
    let mut header = etherparse::Ipv4Header::from_slice(&first[14..]).unwrap().0;
    header.header_checksum = header.calc_header_checksum();
    first[14..34].copy_from_slice(&header.to_bytes());
    assert!(bed.send([first]).is_empty());
    assert_eq!(bed.counted("lb4-gre4", "transport header cut short"), 1);
}

/// Of an address of ours that is a VIP's, too, fragments for no VIP are put together as before.
#[test]
fn fragments_for_an_own_address_are_ours() {
    for workers in [1, 3] {
        let mut bed = bed(workers);
        bed.type_all(&[
            "lb vip 10.0.1.1/32 protocol tcp port 80 encap gre4",
            "lb as 10.0.1.1/32 protocol tcp port 80 10.0.2.2",
        ]);
        let pieces = fragments((ip("10.0.1.2"), 7, IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1)), 53), 9, false);
        let pieces = pieces.into_iter().enumerate();
        let left: Vec<_> = pieces.flat_map(|(n, piece)| bed.send_on_and_hold(n % workers, [piece])).collect();
        let [(interface, error)] = &left[..] else { panic!("{left:02x?}") };
        // ICMP port unreachable, about the whole datagram.
        assert_eq!((interface.as_str(), &error[34..36]), ("toy0", &[3, 3][..]));
    }
}

/// A long ping of a VIP that we answer for is answered, whole.
#[test]
fn long_pings_are_answered() {
    for (line, servers) in [
        (
            "lb vip 90.0.0.1/32 protocol udp port 53 encap nat4 target_port 53",
            "lb as 90.0.0.1/32 protocol udp port 53 10.0.2.2",
        ),
        ("lb vip 90.0.0.1/32 encap gre4 ping answer", "lb as 90.0.0.1/32 10.0.2.2"),
    ] {
        let mut bed = bed(2);
        bed.type_all(&[line, servers]);
        let mut whole = Vec::new();
        let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ipv4([10, 0, 1, 2], [90, 0, 0, 1], 61);
        builder.icmpv4_echo_request(7, 1).write(&mut whole, &payload()).unwrap();
        let pieces = [34..82, 82..whole.len()].map(|range| {
            let mut ip = etherparse::Ipv4Header::from_slice(&whole[14..]).unwrap().0;
            ip.set_payload_len(range.len()).unwrap();
            (ip.identification, ip.dont_fragment, ip.more_fragments) = (3, false, range.start == 34);
            ip.fragment_offset = ((range.start - 34) as u16 / 8).try_into().unwrap();
            ip.header_checksum = ip.calc_header_checksum();
            [&whole[..14], &ip.to_bytes(), &whole[range]].concat()
        });
        for order in [[0, 1], [1, 0]] {
            let left: Vec<_> =
                order.into_iter().flat_map(|at| bed.send_on_and_hold(at, [pieces[at].clone()])).collect();
            let [(interface, reply)] = &left[..] else { panic!("{left:02x?}") };
            assert_eq!((interface.as_str(), reply[34], &reply[42..]), ("toy0", 0, &whole[42..]));
        }
    }
}
