//! Every kind of tunnel over either family with packets of either family inside: what comes out and what goes in, byte for
//! byte.

use etherparse::{IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder};

use crate::support::{Bed, MAC0, MAC1, hex};

const MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];
/// Of the neighbour on `pg1` that inner packets go to.
const NEXT: [u8; 6] = [2, 0, 0, 0, 2, 9];

pub const KINDS: [&str; 3] = ["gre", "ipip", "gue"];
/// The ends of tunnels: ours, which is `pg0`'s, and the other.
pub const ENDS: [[&str; 2]; 2] = [["10.0.1.1", "10.0.1.2"], ["2001:db8:1::1", "2001:db8:1::2"]];

/// `pg0` and `pg1` with addresses of both families; 10.9.0.0/16 and 2001:db8:9::/48 lie behind `pg1`.
pub fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(
        "set interface ip address pg0 2001:db8:1::1/64
         set interface ip address pg1 2001:db8:2::1/64
         set ip neighbor pg0 2001:db8:1::2 02:00:00:00:01:02
         set ip neighbor pg1 10.0.2.9 02:00:00:00:02:09
         set ip neighbor pg1 2001:db8:2::9 02:00:00:00:02:09
         ip route add 10.9.0.0/16 via 10.0.2.9 pg1
         ip route add 2001:db8:9::/48 via 2001:db8:2::9 pg1",
    );
    bed
}

/// A UDP packet to a host behind `pg1`, with a traffic class and so many hops left.
pub fn inner(v6: bool, class: u8, hops: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    let ip = match v6 {
        false => {
            let mut ip = Ipv4Header::new(0, hops, 17.into(), [10, 7, 0, 1], [10, 9, 0, 9]).unwrap();
            ip.dscp = (class >> 2).try_into().unwrap();
            ip.ecn = (class & 3).try_into().unwrap();
            IpHeaders::Ipv4(ip, Default::default())
        }
        true => {
            let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
            let ip = Ipv6Header {
                traffic_class: class,
                hop_limit: hops,
                source: address("2001:db8:7::1"),
                destination: address("2001:db8:9::9"),
                ..Default::default()
            };
            IpHeaders::Ipv6(ip, Default::default())
        }
    };
    PacketBuilder::ip(ip).udp(5, 6).write(&mut packet, b"what is inside").unwrap();
    packet
}

/// What stands between the outer header and the inner packet, and its number in the outer header.
pub fn shim(kind: &str, inner_v6: bool, inner_len: usize) -> (u8, Vec<u8>) {
    let number = if inner_v6 { 41 } else { 4 };
    match kind {
        "gre" => (47, vec![0, 0, if inner_v6 { 0x86 } else { 8 }, if inner_v6 { 0xdd } else { 0 }]),
        "ipip" => (number, vec![]),
        _ => (17, [&udp(12 + inner_len - 8)[..], &[0, number, 0, 0]].concat()),
    }
}

/// A UDP header to GUE's port, without a checksum.
pub fn udp(payload: usize) -> [u8; 8] {
    let [a, b] = (payload as u16 + 8).to_be_bytes();
    [0xc1, 0x23, 0x17, 0xc0, a, b, 0, 0]
}

/// An outer packet with a traffic class.
pub fn outer(ends: [&str; 2], number: u8, class: u8, payload: &[u8]) -> Vec<u8> {
    if let Ok(source) = ends[0].parse::<std::net::Ipv4Addr>() {
        let destination = ends[1].parse::<std::net::Ipv4Addr>().unwrap();
        let mut ip =
            Ipv4Header::new(payload.len() as u16, 64, number.into(), source.octets(), destination.octets()).unwrap();
        ip.dscp = (class >> 2).try_into().unwrap();
        ip.ecn = (class & 3).try_into().unwrap();
        ip.dont_fragment = false;
        ip.header_checksum = ip.calc_header_checksum();
        return [&ip.to_bytes()[..], payload].concat();
    }
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let ip = Ipv6Header {
        traffic_class: class,
        payload_length: payload.len() as u16,
        next_header: number.into(),
        hop_limit: 64,
        source: address(ends[0]),
        destination: address(ends[1]),
        ..Default::default()
    };
    [&ip.to_bytes()[..], payload].concat()
}

/// As a frame to `pg0`.
pub fn to_pg0(packet: &[u8]) -> Vec<u8> {
    frame(hex(MAC0).try_into().unwrap(), MAC, packet)
}

fn frame(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&to[..], &from, &ethertype, packet].concat()
}

/// As it leaves by `pg1`.
pub fn from_pg1(packet: &[u8]) -> Vec<u8> {
    frame(NEXT, hex(MAC1).try_into().unwrap(), packet)
}

#[test]
fn every_kind_comes_out_over_both_families_with_both_inside() {
    for kind in KINDS {
        for (family, [own, other]) in [4, 6].into_iter().zip(ENDS) {
            let mut bed = bed();
            bed.type_all(&format!("create {kind} tunnel src {own} dst {other}\nset interface state {kind}0 up"));
            bed.vppctl("trace add pg-input 10");
            for v6 in [false, true] {
                let packet = inner(v6, 0xb8, 33);
                let (number, shim) = shim(kind, v6, packet.len());
                let wrapped = outer([other, own], number, 0, &[&shim[..], &packet].concat());
                let out = bed.send("pg0", &[to_pg0(&wrapped)])[1].clone();
                assert_eq!(out, [from_pg1(&inner(v6, 0xb8, 32))], "{kind} over {family}, IPv6 inside: {v6}");
                let trace = bed.vppctl("show trace");
                let name = kind.to_uppercase();
                let line =
                    format!("{kind}{family}-input\n  {name}: tunnel 0 len {} src {other} dst {own}\n", wrapped.len());
                assert!(trace.contains(&line), "{trace}");
            }
            let counted = bed.vppctl(&format!("show interface {kind}0"));
            assert!(counted.contains("rx packets                     2"), "{counted}");
        }
    }
}

#[test]
fn every_kind_goes_in_over_both_families_with_both_inside() {
    for kind in ["gre", "ipip", "gue", "gue variant 1"] {
        for [own, other] in [["10.0.2.1", "10.0.2.9"], ["2001:db8:2::1", "2001:db8:2::9"]] {
            let mut bed = bed();
            let (name, variant) = kind.split_once(' ').unwrap_or((kind, ""));
            bed.type_all(&format!(
                "create {name} tunnel src {own} dst {other} {variant}
                 set interface state {name}0 up
                 ip route del 10.9.0.0/16 via 10.0.2.9 pg1
                 ip route del 2001:db8:9::/48 via 2001:db8:2::9 pg1
                 ip route add 10.9.0.0/16 via {name}0
                 ip route add 2001:db8:9::/48 via {name}0"
            ));
            for v6 in [false, true] {
                // DSCP and ECN go to the outer header, too; one hop is taken where it is routed, none in the tunnel.
                let sent = inner(v6, 0xb9, 32);
                let (number, mut shim) = shim(name, v6, sent.len());
                if !variant.is_empty() {
                    shim = udp(sent.len()).to_vec();
                }
                let out = bed.send("pg0", &[to_pg0(&inner(v6, 0xb9, 33))])[1].clone();
                let [got] = &out[..] else { panic!("{kind}: {out:x?}") };
                if name == "gue" {
                    // The port of the flow.
                    let at = 14 + if own.contains(':') { 40 } else { 20 };
                    assert!(got[at] >= 0xc0, "{got:x?}");
                    shim[..2].copy_from_slice(&got[at..at + 2]);
                }
                let expected = outer([own, other], number, 0xb9, &[&shim[..], &sent].concat());
                assert_eq!(out, [from_pg1(&expected)], "{kind} from {own}, IPv6 inside: {v6}");
            }
        }
    }
}

#[test]
fn flows_differ_in_their_gue_port_and_keep_it() {
    let mut bed = bed();
    bed.type_all(
        "create gue tunnel src 10.0.2.1 dst 10.0.2.9\nset interface state gue0 up\nip route add 10.8.0.0/16 via gue0",
    );
    let flow = |port: u16| {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([10, 7, 0, 1], [10, 8, 0, 1], 9).udp(port, 53);
        builder.write(&mut packet, b"").unwrap();
        to_pg0(&packet)
    };
    let frames: Vec<_> = (0..40).map(|number| flow(1000 + number % 20)).collect();
    let out = bed.send("pg0", &frames)[1].clone();
    let ports: Vec<_> = out.iter().map(|frame| [frame[34], frame[35]]).collect();
    assert_eq!(ports[..20], ports[20..]);
    let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
    assert!(distinct.len() >= 18, "{distinct:?}");
}

#[test]
fn congestion_marks_come_out_as_rfc_6040_says() {
    for kind in KINDS {
        for (family, [own, other]) in [4, 6].into_iter().zip(ENDS) {
            let mut bed = bed();
            bed.type_all(&format!("create {kind} tunnel src {own} multipoint\nset interface state {kind}0 up"));
            for v6 in [false, true] {
                let (not, ect1, ect0, ce) = (0, 1, 2, 3);
                let cases = [
                    (ce, ect0, Some(ce)),
                    (ce, ect1, Some(ce)),
                    (ce, ce, Some(ce)),
                    (ect1, ect0, Some(ect1)),
                    (ect0, ect1, Some(ect1)),
                    (not, ce, Some(ce)),
                    (ect0, not, Some(not)),
                    (ce, not, None),
                ];
                for (outside, inside, expected) in cases {
                    let packet = inner(v6, 0xb8 | inside, 33);
                    let (number, shim) = shim(kind, v6, packet.len());
                    let wrapped = outer([other, own], number, 0x28 | outside, &[&shim[..], &packet].concat());
                    let out = bed.send("pg0", &[to_pg0(&wrapped)])[1].clone();
                    let expected: Vec<_> =
                        expected.map(|ecn| from_pg1(&inner(v6, 0xb8 | ecn, 32))).into_iter().collect();
                    assert_eq!(out, expected, "{kind} over {family}, IPv6 inside: {v6}, {outside} {inside}");
                }
            }
            let errors = bed.vppctl("show errors");
            let reason = format!("{} congested, but not ECN-capable", kind.to_uppercase());
            let line = errors.lines().find(|line| line.contains(&reason)).unwrap_or_else(|| panic!("{errors}"));
            assert!(line.trim_start().starts_with("2 "), "{line}");
        }
    }
}
