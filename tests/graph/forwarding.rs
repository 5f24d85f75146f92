//! IPv4 forwarding: what arrives whole leaves whole, what is broken is counted.

use etherparse::PacketBuilder;

use crate::support::Bed;

const TO0: [u8; 6] = [2, 0xfe, 0x97, 0x76, 0x93, 0x49];
const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// A UDP frame from 11.0.0.1 with this TTL and payload.
pub fn udp(to: [u8; 4], ttl: u8, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT, TO0).ipv4([11, 0, 0, 1], to, ttl).udp(1000, 80);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

#[test]
fn a_packet_is_routed_with_its_ttl_decremented_and_its_checksum_right() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    let frame = udp([90, 0, 0, 1], 64, b"hello");
    let [back, out] = bed.send("pg0", std::slice::from_ref(&frame));
    assert!(back.is_empty());
    let mut expected = udp([90, 0, 0, 1], 63, b"hello");
    expected[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0xfe, 0xa5, 0x6d, 0x4c, 0xb3]);
    assert_eq!(out, [expected]);
}

#[test]
fn every_kind_of_broken_packet_has_its_own_count() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    let good = udp([90, 0, 0, 1], 64, &[0; 30]);
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good.clone();
        change(&mut frame);
        frame
    };
    let resum = |frame: &mut Vec<u8>| {
        let (header, _) = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap();
        frame[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    };
    let frames = [
        broken(&|frame| frame.truncate(20)),
        broken(&|frame| frame[14] = 0x65),
        broken(&|frame| frame[14] = 0x44),
        broken(&|frame| frame[16..18].copy_from_slice(&2000u16.to_be_bytes())),
        broken(&|frame| frame[24] ^= 0x55),
        broken(&|frame| {
            frame[22] = 0;
            resum(frame);
        }),
        broken(&|frame| {
            frame[26..30].copy_from_slice(&[10, 0, 1, 1]);
            resum(frame);
        }),
        broken(&|frame| {
            frame[26..30].copy_from_slice(&[224, 0, 0, 1]);
            resum(frame);
        }),
        broken(&|frame| frame[0] = 4),
        broken(&|frame| frame[12..14].copy_from_slice(&[0x81, 0])),
        broken(&|frame| frame[12..14].copy_from_slice(&[0x86, 0xdd])),
        udp([77, 7, 7, 7], 64, b""),
    ];
    let [back, out] = bed.send("pg0", &frames);
    assert!(out.is_empty() && back.is_empty());
    let errors = bed.vppctl("show errors");
    for (node, reason) in [
        ("ip4-input", "ip4 length too short"),
        ("ip4-input", "ip4 bad version"),
        ("ip4-input", "ip4 bad header length"),
        ("ip4-input", "ip4 length > l2 length"),
        ("ip4-input", "bad ip4 checksum"),
        ("ip4-input", "ip4 ttl is 0"),
        ("ip4-input", "ip4 source address is our own"),
        ("ip4-input", "ip4 source address is not a host"),
        ("ethernet-input", "l3 mac mismatch"),
        ("ethernet-input", "VLAN tagged frames are not"),
        ("ip6-input", "ip6 is not enabled on the interf"),
        ("ip4-lookup", "no route"),
    ] {
        let line = errors.lines().find(|line| line.contains(node) && line.contains(reason));
        assert!(line.is_some_and(|line| line.trim_start().starts_with("1 ")), "{node}: {reason}\n{errors}");
    }
}

#[test]
fn an_expired_ttl_is_answered_and_the_packet_dropped() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    let frame = udp([90, 0, 0, 1], 1, b"late");
    let [back, out] = bed.send("pg0", std::slice::from_ref(&frame));
    assert!(out.is_empty());
    let [answer] = back.as_slice() else { panic!("{back:?}") };
    let sliced = etherparse::SlicedPacket::from_ethernet(answer).unwrap();
    let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!() };
    assert_eq!((ip.header().source(), ip.header().destination()), ([10, 0, 1, 1], [11, 0, 0, 1]));
    let Some(etherparse::TransportSlice::Icmpv4(icmp)) = &sliced.transport else { panic!() };
    assert_eq!((icmp.type_u8(), icmp.code_u8()), (11, 0));
    assert_eq!(icmp.payload()[..], frame[14..], "the packet is quoted as it came");
    assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
}

#[test]
fn too_long_with_df_is_answered_with_the_mtu_and_without_it_is_cut() {
    let mut bed = Bed::new();
    bed.type_all("ip route add 90.0.0.0/8 via 10.0.2.2\n set interface mtu 600 pg1");
    let mut forbidden = udp([90, 0, 0, 1], 64, &[7; 1000]);
    assert_eq!(forbidden[20] & 0x40, 0x40, "the builder sets DF");
    let [back, out] = bed.send("pg0", std::slice::from_ref(&forbidden));
    assert!(out.is_empty());
    assert_eq!((back[0][34], back[0][35]), (3, 4));
    assert_eq!(u16::from_be_bytes([back[0][40], back[0][41]]), 600);
    forbidden[20] = 0;
    let (header, _) = etherparse::Ipv4Header::from_slice(&forbidden[14..]).unwrap();
    forbidden[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    let [_, out] = bed.send("pg0", std::slice::from_ref(&forbidden));
    assert_eq!(out.len(), 2);
    let mut payload = Vec::new();
    for (number, fragment) in out.iter().enumerate() {
        let (ip, rest) = etherparse::Ipv4Header::from_slice(&fragment[14..]).unwrap();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert!(usize::from(ip.total_len) <= 600 && ip.time_to_live == 63);
        assert_eq!(ip.more_fragments, number == 0);
        assert_eq!(usize::from(ip.fragment_offset.value()) * 8, payload.len());
        payload.extend_from_slice(&rest[..usize::from(ip.total_len) - 20]);
    }
    assert_eq!(payload, forbidden[34..]);
}

#[test]
fn flows_spread_over_several_paths_and_each_keeps_its_own() {
    let mut bed = Bed::new();
    bed.type_all("ip route add 90.0.0.0/8 via 10.0.2.2\n ip route add 90.0.0.0/8 via 10.0.2.3");
    let frames: Vec<_> = (0..200u8).map(|host| udp([90, 0, 0, host], 64, b"x")).collect();
    let macs = |frames: &[Vec<u8>]| frames.iter().map(|frame| frame[5]).collect::<Vec<_>>();
    let [_, first] = bed.send("pg0", &frames);
    let [_, second] = bed.send("pg0", &frames);
    assert_eq!(macs(&first), macs(&second), "the same flow goes the same way");
    let twos = macs(&first).iter().filter(|mac| **mac == 2).count();
    assert!((60..140).contains(&twos), "{twos} of 200 by the first path");
}

/// Packets and bytes that `show ip fib` says were sent by a route.
fn sent(bed: &mut Bed, route: &str) -> String {
    let text = bed.vppctl(&format!("show ip fib {route}"));
    let (_, counts) = text.split_once("to:[").unwrap_or_else(|| panic!("{text}"));
    counts.split(']').next().unwrap().into()
}

#[test]
fn routes_count_what_they_send() {
    let mut bed = Bed::new();
    bed.type_all(
        "ip route add 90.0.0.0/8 via 10.0.2.2
         ip route add 91.0.0.0/8 via 10.0.2.3
         ip route add 92.0.0.0/8 via drop",
    );
    let packet = |net: u8, len: usize| udp([net, 0, 0, 1], 64, &vec![0; len]);
    assert_eq!(sent(&mut bed, "90.0.0.0/8"), "0:0");
    // A run of one destination, then others by turns, a run again, and what is dropped.
    let mut frames = vec![packet(90, 72); 10];
    frames.extend([packet(91, 172), packet(90, 72), packet(92, 2), packet(91, 172), packet(77, 12)]);
    frames.extend(vec![packet(91, 72); 300]);
    // Runs in one vector.
    (0..10).for_each(|_| frames.extend([vec![packet(90, 72); 9], vec![packet(91, 72); 9]].concat()));
    bed.send("pg0", &frames);
    for (route, counts) in
        [("90.0.0.0/8", "101:10100"), ("91.0.0.0/8", "392:39400"), ("92.0.0.0/8", "1:30"), ("0.0.0.0/0", "1:40")]
    {
        assert_eq!(sent(&mut bed, route), counts, "{route}");
    }
    // Traced packets go another way through the node.
    bed.type_all("trace add pg-input 10");
    bed.send("pg0", &[packet(90, 72), packet(91, 72)]);
    assert_eq!((sent(&mut bed, "90.0.0.0/8"), sent(&mut bed, "91.0.0.0/8")), ("102:10200".into(), "393:39500".into()));

    // Other routes come and go, and nothing is lost.
    bed.type_all("ip route add count 1000 100.0.0.0/24 via 10.0.2.3\n ip route del count 1000 100.0.0.0/24");
    assert_eq!(sent(&mut bed, "90.0.0.0/8"), "102:10200");
    // A new entry begins at nothing, whatever its number counted before.
    bed.type_all("ip route del 90.0.0.0/8 via 10.0.2.2\n ip route add 93.0.0.0/8 via 10.0.2.77");
    bed.type_all("ip route add 90.0.0.0/8 via 10.0.2.78");
    assert_eq!((sent(&mut bed, "90.0.0.0/8"), sent(&mut bed, "93.0.0.0/8")), ("0:0".into(), "0:0".into()));
}
