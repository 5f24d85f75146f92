//! Tunnels: what goes in and what comes out, byte for byte.

use etherparse::{Ipv4Header, PacketBuilder};

use crate::support::{Bed, MAC0, hex};

const MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// A UDP packet to 10.9.0.9, without a link header.
fn inner(len: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
    PacketBuilder::ipv4([10, 7, 0, 1], [10, 9, 0, 9], 33).udp(5, 6).write(&mut packet, &payload).unwrap();
    packet
}

/// That packet in IPv4 from a tunnel's other end, `options` included, as a frame to `pg0`.
fn wrapped(from: [u8; 4], inner: &[u8], options: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new(inner.len() as u16, 64, 4.into(), from, [10, 0, 1, 1]).unwrap();
    header.options = options.try_into().unwrap();
    header.set_payload_len(inner.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mac: Vec<u8> = hex(MAC0);
    [&mac[..], &MAC, &[8, 0], &header.to_bytes(), inner].concat()
}

/// Routes 10.9.0.0/16 to a neighbour on `pg1`.
fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all("set ip neighbor pg1 10.0.2.9 02:00:00:00:02:09\nip route add 10.9.0.0/16 via 10.0.2.9 pg1");
    bed
}

#[test]
fn ipip_tunnels_end_here() {
    let mut bed = bed();
    assert_eq!(bed.vppctl("create ipip tunnel src 10.0.1.1 dst 10.0.1.2").trim(), "ipip0");
    let packet = inner(100);
    let frame = wrapped([10, 0, 1, 2], &packet, &[]);
    let down = bed.send("pg0", std::slice::from_ref(&frame));
    assert!(down.iter().all(Vec::is_empty) && bed.vppctl("show errors").contains("IPIP tunnel is down"));
    bed.type_all("set interface state ipip0 up\ntrace add pg-input 1");
    let [_, out] = bed.send("pg0", &[frame, wrapped([10, 0, 1, 2], &packet, &[1, 1, 1, 1])]);
    assert_eq!(out.len(), 2);
    for out in out {
        let (header, payload) = Ipv4Header::from_slice(&out[14..]).unwrap();
        let mut expected = Ipv4Header::from_slice(&packet).unwrap().0;
        expected.time_to_live -= 1;
        expected.header_checksum = expected.calc_header_checksum();
        assert_eq!((header, payload), (expected, &packet[20..]));
    }
    let trace = bed.vppctl("show trace");
    let line = "ipip4-input\n  IPIP: tunnel 0 len 148 src 10.0.1.2 dst 10.0.1.1\n";
    assert!(trace.contains(line), "{trace}");
    assert!(
        bed.vppctl("show interface ipip0").contains("rx packets                     2"),
        "{}",
        bed.vppctl("show interface ipip0")
    );
    assert_eq!(bed.in_use(), 0);
}

#[test]
fn a_multipoint_ipip_tunnel_takes_from_everybody() {
    let mut bed = bed();
    bed.type_all("create ipip tunnel src 10.0.1.1 multipoint\nset interface state ipip0 up");
    let frames = [2, 3, 4].map(|host| wrapped([10, 0, 1, host], &inner(host.into()), &[]));
    assert_eq!(bed.send("pg0", &frames)[1].len(), 3);
}

#[test]
fn ipip_of_nobody_and_broken_ipip_is_dropped() {
    let mut bed = bed();
    let no_tunnel = wrapped([10, 0, 1, 2], &inner(1), &[]);
    assert!(bed.send("pg0", &[no_tunnel])[1].is_empty());
    assert!(bed.vppctl("show errors").contains("no such IPIP tunnel"));
    bed.type_all("create ipip tunnel src 10.0.1.1 dst 10.0.1.2\nset interface state ipip0 up");
    let whole = inner(20);
    let frames: Vec<_> = (0..whole.len()).map(|len| wrapped([10, 0, 1, 2], &whole[..len], &[])).collect();
    assert!(bed.send("pg0", &frames)[1].is_empty());
    assert_eq!(bed.in_use(), 0);
}

#[test]
fn packets_go_into_an_ipip_tunnel() {
    let mut bed = bed();
    bed.type_all(
        "create ipip tunnel src 10.0.2.1 dst 10.0.2.9\nset interface state ipip0 up\nip route add 10.8.0.0/16 via ipip0",
    );
    let mut packet = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC, hex(MAC0).try_into().unwrap());
    let mut ip = Ipv4Header::new(0, 9, 17.into(), [10, 0, 1, 2], [10, 8, 0, 1]).unwrap();
    ip.dscp = 46.try_into().unwrap();
    ip.ecn = etherparse::IpEcn::ONE;
    let ip = etherparse::IpHeaders::Ipv4(ip, Default::default());
    builder.ip(ip).udp(1, 2).write(&mut packet, &[7; 50]).unwrap();
    let [_, out] = bed.send("pg0", std::slice::from_ref(&packet));
    let [out] = &out[..] else { panic!("{out:x?}") };
    let (outer, rest) = Ipv4Header::from_slice(&out[14..]).unwrap();
    assert_eq!(outer.header_checksum, outer.calc_header_checksum());
    assert_eq!((outer.source, outer.destination, outer.protocol.0), ([10, 0, 2, 1], [10, 0, 2, 9], 4));
    assert_eq!((outer.dscp.value(), outer.ecn.value(), outer.time_to_live), (46, 1, 64));
    assert_eq!((usize::from(outer.total_len), rest.len()), (20 + 78, 78));
    let mut expected = Ipv4Header::from_slice(&packet[14..]).unwrap().0;
    expected.time_to_live = 8;
    expected.header_checksum = expected.calc_header_checksum();
    assert_eq!(rest[..20], expected.to_bytes()[..]);
    assert_eq!(rest[20..], packet[34..]);
}

#[test]
fn tunnels_of_two_kinds_stand_side_by_side() {
    let mut bed = bed();
    bed.type_all("create gre tunnel src 10.0.1.1 dst 10.0.1.2\ncreate ipip tunnel src 10.0.1.1 dst 10.0.1.2");
    assert_eq!(
        bed.vppctl("show ipip tunnel"),
        format!("[0] instance 0 src 10.0.1.1 dst 10.0.1.2 fib-idx 0 sw-if-idx {} payload L3 point-to-point\n", 4)
    );
    assert!(bed.vppctl("show gre tunnel").contains("dst 10.0.1.2"));
    let twice = bed.refused("create ipip tunnel src 10.0.1.1 dst 10.0.1.2");
    assert!(twice.contains("an IPIP tunnel from 10.0.1.1 to 10.0.1.2 exists already"), "{twice}");
    bed.vppctl("create ipip tunnel src 10.0.1.1 dst 10.0.1.2 del");
    assert_eq!(bed.vppctl("show ipip tunnel").trim(), "No IPIP tunnels configured...");
    assert!(bed.vppctl("show gre tunnel").contains("dst 10.0.1.2"));
}
