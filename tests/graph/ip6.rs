//! IPv6: forwarding, what is answered and what is dropped, with frames compared byte for byte.

use std::net::Ipv6Addr;

use etherparse::PacketBuilder;

use crate::support::{Bed, hex, timeless};

pub const TO0: [u8; 6] = [2, 0xfe, 0x97, 0x76, 0x93, 0x49];
pub const TO1: [u8; 6] = [2, 0xfe, 0xa5, 0x6d, 0x4c, 0xb3];
pub const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 2];
pub const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 6];

/// A bed with IPv6 beside IPv4: fd01::1/64, fd02::1/64, a neighbour and a route on each side.
pub fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(
        "set interface ip address pg0 fd01::1/64
         set interface ip address pg1 fd02::1/64
         set ip neighbor pg0 fd01::2 02:00:00:00:01:02
         set ip neighbor pg1 fd02::2 02:00:00:00:00:06
         ip route add 2001::/16 via fd02::2
         ip route add fd00::/64 via fd01::2",
    );
    bed
}

pub fn ip(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().unwrap().octets()
}

pub fn udp(from: &str, to: &str, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT, TO0)
        .ipv6(ip(from), ip(to), hops)
        .udp(1000, 80)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

pub fn echo(mac: [u8; 6], from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT, mac).ipv6(ip(from), ip(to), 64).icmpv6_echo_request(7, 9);
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// A packet of any protocol.
pub fn raw(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&TO0[..], &CLIENT, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    frame.extend(ip(from));
    frame.extend(ip(to));
    frame.extend(payload);
    frame
}

/// An ICMPv6 message with its checksum right.
pub fn icmp(macs: ([u8; 6], [u8; 6]), ends: (&str, &str), hops: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = raw(ends.0, ends.1, 58, message);
    frame[..6].copy_from_slice(&macs.1);
    frame[6..12].copy_from_slice(&macs.0);
    frame[21] = hops;
    frame[56..58].fill(0);
    let pseudo = [&frame[22..54], &(message.len() as u32).to_be_bytes(), &[0, 0, 0, 58], &frame[54..]].concat();
    let words = pseudo.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[56..58].copy_from_slice(&(!sum as u16).to_be_bytes());
    frame
}

/// `135` or `136` with flags, target and a link-address option.
pub fn discovery(kind: u8, flags: u8, target: &str, option: Option<(u8, [u8; 6])>) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(ip(target));
    if let Some((number, mac)) = option {
        message.extend([number, 1]);
        message.extend(mac);
    }
    message
}

/// Frames that came by different ways may overtake each other.
fn sorted(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.sort();
    frames
}

fn forwarded(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&SERVER);
    frame[6..12].copy_from_slice(&TO1);
    frame[21] -= 1;
    frame
}

#[test]
fn packets_to_many_places_all_go_where_they_should() {
    let mut bed = bed();
    bed.type_all(
        "ip route add 2001:1::/32 via fd01::2\n ip route add 2001:1:2::/48 via drop\n ip route add 2001:1:2:3::/64 via fd02::2",
    );
    // Each to its own address: rows that go on to one node, and packets that are dropped or are for us in between.
    let (mut frames, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    let mut state = 1u32;
    for n in 0..700u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let net = match state >> 27 {
            0 | 1 => "2001:1:2:",
            2 => "3001:",
            3..8 => "2001:1:2:3:",
            8..16 => "2001:1:",
            _ => "2001:7:",
        };
        let frame = udp("fd00::1", &format!("{net}:{n:x}"), 64, &n.to_be_bytes());
        match net {
            "2001:1:" => first.push(n),
            "2001:1:2:3:" | "2001:7:" => second.push(n),
            _ => {}
        }
        frames.push(frame);
    }
    let [back, out] = bed.send("pg0", &frames);
    let numbers = |frames: &[Vec<u8>]| -> Vec<u32> {
        let udp = frames.iter().filter(|frame| frame[20] == 17 && frame.len() == 66);
        udp.filter_map(|frame| frame.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))).collect()
    };
    assert_eq!((numbers(&back), numbers(&out)), (first, second));
}

#[test]
fn a_packet_is_routed_with_its_hop_limit_decremented() {
    let mut bed = bed();
    let plain = udp("fd00::1", "2001::1", 64, b"hello");
    let options = raw("fd00::1", "2001::1", 60, &hex("11 00 010400000000 03e8 0050 000a 0000 6869"));
    let routing = raw("fd00::1", "2001::1", 43, &hex("3b 00 00 01 00000000"));
    let mut padded = udp("fd00::1", "2001::2", 9, b"");
    padded.extend([0; 20]);
    let [back, out] = bed.send("pg0", &[plain.clone(), options.clone(), routing.clone(), padded.clone()]);
    assert!(back.is_empty());
    padded.truncate(62);
    assert_eq!(out, [plain, options, routing, padded].map(forwarded), "what is behind the header is the receiver's");
    let counters = bed.vppctl("show interface pg0");
    assert!(counters.contains("ip6") && !counters.contains("drops"), "{counters}");
}

#[test]
fn the_trace_shows_every_node() {
    let mut bed = bed();
    bed.vppctl("trace add pg-input 1");
    bed.send("pg0", &[udp("fd00::1", "2001::1", 64, b"hello")]);
    let trace = timeless(&bed.vppctl("show trace"));
    let from = trace.find("\nethernet-input\n").unwrap() + 1;
    // Numbers of nodes change with every plugin.
    let (before, after) = trace[from..].split_once(" next:").unwrap();
    let masked = format!("{before} next:N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
    let expected = "\
ethernet-input
  frame: flags 0x1, hw-if-index 1, sw-if-index 1
  IP6: 02:00:00:00:01:02 -> 02:fe:97:76:93:49
ip6-input
  UDP: fd00::1 -> 2001::1
    tos 0x00, flow label 0x0, hop limit 64, payload length 13
  UDP: 1000 -> 80
    length 13, checksum 0x9ac6
ip6-lookup
  fib 0 dpo-idx 8 flow hash: 0x00000000
  UDP: fd00::1 -> 2001::1
    tos 0x00, flow label 0x0, hop limit 64, payload length 13
  UDP: 1000 -> 80
    length 13, checksum 0x9ac6
ip6-rewrite
  tx_sw_if_index 2 dpo-idx 3 : ipv6 via fd02::2 pg1: mtu:9000 next:N flags:[] 02000000000602fea56d4cb386dd flow hash: 0x00000000
  00000000: 02000000000602fea56d4cb386dd60000000000d113ffd000000000000000000
  00000020: 0000000000012001000000000000000000000000000103e80050000d
pg1-output
  pg1 flags 0x00180001
  IP6: 02:fe:a5:6d:4c:b3 -> 02:00:00:00:00:06
  UDP: fd00::1 -> 2001::1
    tos 0x00, flow label 0x0, hop limit 63, payload length 13
  UDP: 1000 -> 80
    length 13, checksum 0x9ac6
pg1-tx
    buffer: current data 0, length 67, buffer-pool 0, ref-count 1, trace handle 0x0
                    l2-hdr-offset 0 l3-hdr-offset 14 
  IP6: 02:fe:a5:6d:4c:b3 -> 02:00:00:00:00:06
  UDP: fd00::1 -> 2001::1
    tos 0x00, flow label 0x0, hop limit 63, payload length 13
  UDP: 1000 -> 80
    length 13, checksum 0x9ac6
";
    assert_eq!(masked.trim_end(), expected.trim_end());
}

#[test]
fn every_kind_of_broken_packet_has_its_own_count() {
    let mut bed = bed();
    let good = || udp("fd00::1", "2001::1", 64, b"hello");
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good();
        change(&mut frame);
        frame
    };
    let frames = [
        with(&|f| f.truncate(50)),
        with(&|f| f[14] = 0x45),
        with(&|f| f[19] = 200),
        with(&|f| f[21] = 0),
        udp("fd01::1", "2001::1", 64, b""),
        udp("ff02::1", "2001::1", 64, b""),
        udp("::", "2001::1", 64, b""),
        udp("::1", "2001::1", 64, b""),
        udp("fd00::1", "::1", 64, b""),
        udp("fd00::1", "ff02::99", 64, b""),
        udp("fd00::1", "fe80::99", 64, b""),
        udp("fd00::1", "3001::1", 64, b""),
        raw("fd00::1", "fd01::1", 60, &hex("3a 01 0104 00000000 00")),
        raw("fd00::1", "fd01::1", 60, &hex("3c 00 010400000000").repeat(12)),
        raw("fd00::1", "fd01::1", 60, &hex("00 00 010400000000 3a 00 010400000000")),
    ];
    let [_, out] = bed.send("pg0", &frames);
    assert!(out.is_empty());
    let errors = bed.vppctl("show errors");
    for (count, node, reason) in [
        (1, "ip6-input", "ip6 length too short"),
        (1, "ip6-input", "ip6 bad version"),
        (1, "ip6-input", "ip6 payload length > l2 length"),
        (1, "ip6-input", "ip6 hop limit is 0"),
        (1, "ip6-input", "ip6 source address is our own"),
        (3, "ip6-input", "ip6 source address is not a host"),
        (1, "ip6-input", "ip6 destination address is not a"),
        (1, "ip6-input", "ip6 multicast group not joined"),
        (1, "ip6-input", "ip6 link-local destination is not"),
        (1, "ip6-lookup", "no route"),
        (1, "ip6-receive", "ip6 extension header cut short"),
        (1, "ip6-receive", "too many ip6 extension headers"),
        (1, "ip6-receive", "ip6 hop-by-hop options not first"),
    ] {
        let line = errors.lines().find(|line| line.contains(node) && line.contains(reason));
        let counted = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
        assert_eq!(counted, Some(count), "{node}: {reason}\n{errors}");
    }
}

#[test]
fn an_interface_without_ip6_takes_none() {
    let mut bed = Bed::new();
    let [back, out] =
        bed.send("pg0", &[udp("fd00::1", "2001::1", 64, b""), echo(TO0, "fe80::2", "fe80::fe:97ff:fe76:9349", b"")]);
    assert!(back.is_empty() && out.is_empty());
    assert!(bed.vppctl("show errors").contains("ip6 is not enabled on the interf"));
    bed.vppctl("enable ip6 interface pg0");
    let [back, _] = bed.send("pg0", &[echo(TO0, "fe80::2", "fe80::fe:97ff:fe76:9349", b"")]);
    assert_eq!(back.len(), 1);
    let shown = "pg0 is admin up\n  Link-local address(es):\n    fe80::fe:97ff:fe76:9349\n  Joined group address(es):\n    \
                 ff02::1\n    ff02::2\n    ff02::1:ff76:9349\n";
    assert_eq!(bed.vppctl("show ip6 interface"), shown);
    bed.vppctl("disable ip6 interface pg0");
    assert_eq!(bed.vppctl("show ip6 interface"), "");
}

#[test]
fn echo_requests_to_us_are_answered_wherever_they_are_sent() {
    let mut bed = bed();
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let own = "fe80::fe:97ff:fe76:9349";
    let cases = [
        (echo(TO0, "fd01::2", "fd01::1", b"ping"), "fd01::1", "fd01::2"),
        (echo(TO0, "fd00::1", "fd02::1", b"odd"), "fd02::1", "fd00::1"),
        (echo(TO0, "fe80::2", own, b""), own, "fe80::2"),
        (echo(group, "fe80::2", "ff02::1", b"all"), own, "fe80::2"),
        (echo(group, "fd01::2", "ff02::1", b"all"), "fd01::1", "fd01::2"),
    ];
    for (frame, from, to) in cases {
        let [back, _] = bed.send("pg0", std::slice::from_ref(&frame));
        let mut expected = Vec::new();
        let builder = PacketBuilder::ethernet2(TO0, CLIENT).ipv6(ip(from), ip(to), 64).icmpv6_echo_reply(7, 9);
        builder.write(&mut expected, &frame[62..]).unwrap();
        assert_eq!(back, [expected], "to {from}");
    }
    // What stands in front of the message is the asker's alone (RFC 8200 section 8.4): options, an "atomic" fragment's
    // identification, routes that are at their end.
    let message = &echo(TO0, "fd01::2", "fd01::1", b"x")[54..];
    let extensions = [
        (60, "3a 00 010400000000"),
        (0, "3a 00 010400000000"),
        (44, "3a 00 0000 abcd1234"),
        (43, "3a 02 00 00 00000000 fd000001000000000000000000000099"),
        (0, "3c 00 010400000000 3a 01 010c 000000000000 000000000000"),
    ];
    let mut expected = Vec::new();
    let builder = PacketBuilder::ethernet2(TO0, CLIENT).ipv6(ip("fd01::1"), ip("fd01::2"), 64).icmpv6_echo_reply(7, 9);
    builder.write(&mut expected, b"x").unwrap();
    for (next, headers) in extensions {
        let [back, _] = bed.send("pg0", &[raw("fd01::2", "fd01::1", next, &[&hex(headers)[..], message].concat())]);
        assert_eq!(back, [expected.clone()], "{headers}");
    }
}

#[test]
fn solicitations_are_answered_and_their_senders_learned() {
    let mut bed = bed();
    let ask = |target: &str| discovery(135, 0, target, Some((1, CLIENT)));
    let group = |last: u8| [0x33, 0x33, 0xff, 0, 0, last];
    let [back, _] = bed.send("pg0", &[icmp((CLIENT, group(1)), ("fd01::55", "ff02::1:ff00:1"), 255, &ask("fd01::1"))]);
    let answer = icmp((TO0, CLIENT), ("fd01::1", "fd01::55"), 255, &discovery(136, 0xe0, "fd01::1", Some((2, TO0))));
    assert_eq!(back, [answer]);
    let neighbors = bed.vppctl("show ip6 neighbors");
    assert!(neighbors.contains("fd01::55") && neighbors.contains("02:00:00:00:01:02"), "{neighbors}");
    // Without the option, to our address alone; for the link-local address; a probe, which is told through all nodes.
    let bare = icmp((CLIENT, TO0), ("fd01::56", "fd01::1"), 255, &discovery(135, 0, "fd01::1", None));
    let own = "fe80::fe:97ff:fe76:9349";
    let local = icmp((CLIENT, [0x33, 0x33, 0xff, 0x76, 0x93, 0x49]), ("fe80::2", "ff02::1:ff76:9349"), 255, &ask(own));
    let probe = icmp((CLIENT, group(1)), ("::", "ff02::1:ff00:1"), 255, &discovery(135, 0, "fd01::1", None));
    let [back, _] = bed.send("pg0", &[bare, local, probe]);
    let answer =
        |mac, to, flags, target| icmp((TO0, mac), (target, to), 255, &discovery(136, flags, target, Some((2, TO0))));
    let all = [0x33, 0x33, 0, 0, 0, 1];
    let expected = [
        answer(CLIENT, "fd01::56", 0xe0, "fd01::1"),
        answer(CLIENT, "fe80::2", 0xe0, own),
        answer(all, "ff02::1", 0xa0, "fd01::1"),
    ];
    assert_eq!(sorted(back), sorted(expected.into()));
    let neighbors = bed.vppctl("show ip6 neighbors");
    assert!(!neighbors.contains("fd01::56"), "nothing was said about its link address: {neighbors}");
}

#[test]
fn false_messages_are_neither_answered_nor_believed() {
    let mut bed = bed();
    bed.vppctl("set ip neighbor static pg0 fd01::50 02:00:00:00:00:50");
    let group = [0x33, 0x33, 0xff, 0, 0, 1];
    let (liar, to_us) = ([2, 0, 0, 0, 6, 6], "fd01::1");
    let ask = discovery(135, 0, "fd01::1", Some((1, liar)));
    let tell = |target: &str, mac| discovery(136, 0x60, target, Some((2, mac)));
    let frames = [
        icmp((liar, group), ("fd01::66", "ff02::1:ff00:1"), 254, &ask),
        icmp((CLIENT, group), ("fd01::66", "ff02::1:ff00:1"), 255, &ask),
        icmp((liar, group), ("fd09::66", "ff02::1:ff00:1"), 255, &ask),
        icmp((liar, group), ("::", "ff02::1:ff00:1"), 255, &ask),
        icmp((liar, group), ("fd01::66", "ff02::1:ff00:1"), 255, &discovery(135, 0, "fd01::77", Some((1, liar)))),
        icmp((liar, TO0), ("fd01::50", to_us), 255, &tell("fd01::50", liar)),
        icmp((liar, TO0), ("fd01::67", to_us), 254, &tell("fd01::67", liar)),
        icmp((liar, TO0), ("fd01::68", to_us), 255, &tell("fd02::1", liar)),
        icmp(
            (liar, [0x33, 0x33, 0, 0, 0, 1]),
            ("fd01::69", "ff02::1"),
            255,
            &discovery(136, 0x20, "fd01::69", Some((2, liar))),
        ),
        icmp((TO0, TO0), ("fd01::70", to_us), 255, &tell("fd01::70", TO0)),
    ];
    let [back, _] = bed.send("pg0", &frames);
    assert_eq!(back, Vec::<Vec<u8>>::new());
    let neighbors = bed.vppctl("show ip6 neighbors");
    assert!(!neighbors.contains("02:00:00:00:06:06") && neighbors.contains("02:00:00:00:00:50"), "{neighbors}");
    let errors = bed.vppctl("show errors");
    for reason in [
        "neighbor discovery hop limit is",
        "neighbor discovery link address",
        "neighbor solicitation source not",
        "malformed neighbor discovery mes",
        "neighbor solicitation target is",
        "neighbor advertisement for an ad",
        "unsolicited neighbor advertiseme",
    ] {
        assert!(errors.contains(reason), "{reason}\n{errors}");
    }
}

#[test]
fn the_first_packets_of_a_flow_wait_for_the_neighbour() {
    let mut bed = bed();
    bed.vppctl("ip route add 2003::/16 via fd02::77");
    let frames: Vec<_> = (0..20).map(|n| udp("fd00::1", "2003::1", 64, &[n])).collect();
    let [_, out] = bed.send("pg0", &frames);
    let asked = discovery(135, 0, "fd02::77", Some((1, TO1)));
    assert_eq!(out, [icmp((TO1, [0x33, 0x33, 0xff, 0, 0, 0x77]), ("fd02::1", "ff02::1:ff00:77"), 255, &asked)]);
    assert_eq!(bed.in_use(), 16, "so many wait, no more");
    let mac = [2, 0, 0, 0, 0, 0x77];
    let answer = discovery(136, 0x60, "fd02::77", Some((2, mac)));
    let [_, out] = bed.send("pg1", &[icmp((mac, TO1), ("fd02::77", "fd02::1"), 255, &answer)]);
    assert_eq!(out.len(), 16);
    assert!(out.iter().all(|frame| frame[..6] == mac && frame[21] == 63));
    // A host of the connected prefix, and a next hop that is known on its link alone.
    let [_, out] = bed.send("pg0", &[udp("fd00::1", "fd02::88", 64, b"x")]);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0][38..54], ip("ff02::1:ff00:88"));
    let mac = [2, 0, 0, 0, 0, 0x88];
    let answer = discovery(136, 0x60, "fd02::88", Some((2, mac)));
    let [_, out] = bed.send("pg1", &[icmp((mac, TO1), ("fd02::88", "fd02::1"), 255, &answer)]);
    assert_eq!((out.len(), &out[0][..6]), (1, &mac[..]));
    bed.vppctl("ip route add 2004::/16 via fe80::99 pg1");
    let [_, out] = bed.send("pg0", &[udp("fd00::1", "2004::1", 64, b"x")]);
    assert_eq!(out[0][22..38], ip("fe80::fe:a5ff:fe6d:4cb3"), "asked from the link-local address");
    let mac = [2, 0, 0, 0, 0, 0x99];
    let answer = discovery(136, 0x60, "fe80::99", Some((2, mac)));
    let [_, out] = bed.send("pg1", &[icmp((mac, TO1), ("fe80::99", "fe80::fe:a5ff:fe6d:4cb3"), 255, &answer)]);
    assert_eq!((out.len(), &out[0][..6]), (1, &mac[..]));
}

#[test]
fn senders_are_told_why() {
    let mut bed = bed();
    bed.vppctl("set interface mtu 1300 pg1");
    let told = |bed: &mut Bed, frame: &Vec<u8>| {
        let [back, out] = bed.send("pg0", std::slice::from_ref(frame));
        assert!(out.is_empty());
        assert_eq!(back.len(), 1);
        let sliced = etherparse::SlicedPacket::from_ethernet(&back[0]).unwrap();
        let Some(etherparse::TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!() };
        assert!(icmp.is_checksum_valid(ip("fd01::1"), frame[22..38].try_into().unwrap()));
        assert_eq!(back[0][22..38], ip("fd01::1"));
        let quoted = frame.len().min(14 + 1232);
        assert_eq!(icmp.payload(), &frame[14..quoted], "the packet as it came");
        (icmp.type_u8(), icmp.code_u8(), u32::from_be_bytes(icmp.bytes5to8()))
    };
    assert_eq!(told(&mut bed, &udp("fd00::1", "2001::1", 1, b"hops")), (3, 0, 0));
    assert_eq!(told(&mut bed, &udp("fd00::1", "2001::1", 64, &[7; 1253])), (2, 0, 1300));
    assert_eq!(told(&mut bed, &udp("fd00::1", "fd01::1", 64, b"port")), (1, 4, 0));
    assert_eq!(told(&mut bed, &raw("fd00::1", "fd01::1", 99, b"what")), (4, 1, 6));
    let routing = [&hex("3b 02 00 01 00000000")[..], &ip("2001::1")].concat();
    assert_eq!(told(&mut bed, &raw("fd00::1", "fd01::1", 43, &routing)), (4, 0, 42));
    let [_, out] = bed.send("pg0", &[udp("fd00::1", "2001::1", 64, &[7; 1252])]);
    assert_eq!(out.len(), 1, "1300 bytes fit");
    // About these nobody is told: an error, a sender of the link alone.
    let about_error = icmp((CLIENT, TO0), ("fd00::1", "2001::1"), 1, &[1, 3, 0, 0, 0, 0, 0, 0]);
    let [back, out] = bed.send("pg0", &[about_error, udp("fe80::5", "2001::1", 64, b"x")]);
    assert!(back.is_empty() && out.is_empty());
    assert!(bed.vppctl("show errors").contains("ip6 link-local source is not for"));
}

#[test]
fn routers_that_are_looked_for_stay_silent_and_count() {
    let mut bed = bed();
    let all = [0x33, 0x33, 0, 0, 0, 2];
    let solicitation = icmp((CLIENT, all), ("fe80::2", "ff02::2"), 255, &[133, 0, 0, 0, 0, 0, 0, 0]);
    let advertisement =
        icmp((CLIENT, all), ("fe80::2", "ff02::1"), 255, &[134, 0, 0, 0, 64, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    let [back, _] = bed.send("pg0", &[solicitation, advertisement]);
    assert!(back.is_empty());
    let errors = bed.vppctl("show errors");
    assert!(
        errors.contains("router solicitations ignored") && errors.contains("router advertisements ignored"),
        "{errors}"
    );
}

#[test]
fn flows_are_shared_by_several_paths() {
    let mut bed = bed();
    bed.type_all("set ip neighbor pg1 fd02::3 02:00:00:00:00:03\n ip route add 2005::/16 via fd02::2 via fd02::3");
    let frames: Vec<_> = (0..64).map(|n| udp(&format!("fd00::{n:x}"), "2005::1", 64, b"x")).collect();
    let [_, out] = bed.send("pg0", &frames);
    let first = out.iter().filter(|frame| frame[5] == 6).count();
    assert_eq!(out.len(), 64);
    assert!((16..48).contains(&first), "{first} of 64");
    let [_, again] = bed.send("pg0", &frames);
    assert_eq!(sorted(out), sorted(again), "a flow stays on its path");
}
