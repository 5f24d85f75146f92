//! ICMP errors about what tunnels send, and errors about what came out of them.

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, Icmpv6Type, IpHeaders, Ipv4Header, PacketBuilder};

use crate::support::{MAC0, MAC1, hex};
use crate::tunnels_matrix::{ENDS, KINDS, bed, inner, outer, shim, to_pg0};

const MAC: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// A UDP packet of so many bytes, which nobody may cut, from behind `pg0` to behind a tunnel.
fn packet(v6: bool, len: usize) -> Vec<u8> {
    let (ethernet, mut frame) = (PacketBuilder::ethernet2(MAC, hex(MAC0).try_into().unwrap()), Vec::new());
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    if v6 {
        let ip = ethernet.ipv6(address("2001:db8:1::2"), address("2001:db8:9::9"), 64);
        ip.udp(5, 6).write(&mut frame, &vec![7; len - 48]).unwrap();
    } else {
        let mut ip = Ipv4Header::new(0, 64, 17.into(), [11, 0, 0, 1], [10, 9, 0, 9]).unwrap();
        ip.dont_fragment = true;
        let ip = ethernet.ip(IpHeaders::Ipv4(ip, Default::default()));
        ip.udp(5, 6).write(&mut frame, &vec![7; len - 28]).unwrap();
    }
    frame
}

/// What the neighbour on `pg1` says about a packet that left there: eight bytes behind its IP header are quoted.
fn too_big(about: &[u8], mtu: u32) -> Vec<u8> {
    let (ethernet, mut frame) = (PacketBuilder::ethernet2(MAC, hex(MAC1).try_into().unwrap()), Vec::new());
    if about[14] >> 4 == 4 {
        let why = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu as u16 };
        let ip = ethernet.ipv4([10, 0, 2, 9], about[26..30].try_into().unwrap(), 64);
        let ip = ip.icmpv4(Icmpv4Type::DestinationUnreachable(why));
        ip.write(&mut frame, &about[14..42]).unwrap();
    } else {
        let from = "2001:db8:2::9".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let ip = ethernet.ipv6(from, about[22..38].try_into().unwrap(), 64);
        ip.icmpv6(Icmpv6Type::PacketTooBig { mtu }).write(&mut frame, &about[14..62]).unwrap();
    }
    frame
}

/// The MTU that an error tells, or `None` where it is another.
fn told(frame: &[u8]) -> Option<u32> {
    match frame[14] >> 4 {
        4 if frame[34..36] == [3, 4] => Some(u16::from_be_bytes([frame[40], frame[41]]).into()),
        6 if frame[54] == 2 => Some(u32::from_be_bytes(frame[58..62].try_into().unwrap())),
        _ => None,
    }
}

#[test]
fn an_error_about_a_tunnel_makes_it_narrower_for_ten_minutes() {
    for kind in KINDS {
        for [own, other] in [["10.0.2.1", "10.0.2.9"], ["2001:db8:2::1", "2001:db8:2::9"]] {
            for v6 in [false, true] {
                let mut bed = bed();
                bed.type_all(&format!(
                    "create {kind} tunnel src {own} dst {other}
                     set interface state {kind}0 up
                     ip route del 10.9.0.0/16 via 10.0.2.9 pg1
                     ip route del 2001:db8:9::/48 via 2001:db8:2::9 pg1
                     ip route add 10.9.0.0/16 via {kind}0
                     ip route add 2001:db8:9::/48 via {kind}0"
                ));
                let long = packet(v6, 1420);
                let out = bed.send("pg0", std::slice::from_ref(&long));
                let [wrapped] = &out[1][..] else { panic!("{kind} {other}: {out:x?}") };
                let overhead = wrapped.len() - long.len();
                assert!(bed.send("pg1", &[too_big(wrapped, 1400)]).iter().all(Vec::is_empty), "{kind} {other}");
                let out = bed.send("pg0", std::slice::from_ref(&long));
                let ([error], []) = (&out[0][..], &out[1][..]) else { panic!("{kind} {other}: {out:x?}") };
                assert_eq!(told(error), Some(1400 - overhead as u32), "{kind} {other}");
                let fits = bed.send("pg0", &[packet(v6, 1400 - overhead)]);
                assert_eq!((fits[0].len(), fits[1].len(), fits[1][0].len()), (0, 1, 1414), "{kind} {other}");
                // What the operator set stays.
                bed.later(601);
                let out = bed.send("pg0", std::slice::from_ref(&long));
                assert_eq!((out[0].len(), out[1].len()), (0, 1), "{kind} {other}");
                // About a tunnel that is gone.
                bed.vppctl(&format!("create {kind} tunnel src {own} dst {other} del"));
                bed.send("pg1", &[too_big(wrapped, 1400)]);
                assert_eq!(bed.vppctl("show ip path-mtu") + &bed.vppctl("show ip6 path-mtu"), "");
            }
        }
    }
}

/// RFC 1812 section 4.3.2.4: from an address of the interface that the error leaves by.
#[test]
fn errors_about_what_came_by_an_interface_without_address_are_sent() {
    for kind in KINDS {
        let [own, other] = ENDS[0];
        let mut bed = bed();
        bed.type_all(&format!(
            "create {kind} tunnel src {own} dst {other}
             set interface state {kind}0 up
             ip route add 10.7.0.0/16 via 10.0.2.9 pg1
             ip route add 2001:db8:7::/48 via 2001:db8:2::9 pg1"
        ));
        for v6 in [false, true] {
            let packet = inner(v6, 0, 1);
            let (number, shim) = shim(kind, v6, packet.len());
            let out = bed.send("pg0", &[to_pg0(&outer([other, own], number, 0, &[&shim[..], &packet].concat()))]);
            let ([], [error]) = (&out[0][..], &out[1][..]) else { panic!("{kind}: {out:x?}") };
            if v6 {
                let from = "2001:db8:2::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
                assert_eq!((error[54], &error[22..38], &error[38..54]), (3, &from[..], &packet[8..24]), "{kind}");
                assert_eq!(error[62..], packet, "{kind}");
            } else {
                assert_eq!((error[34], &error[26..34]), (11, &[10, 0, 2, 1, 10, 7, 0, 1][..]), "{kind}");
                assert_eq!(error[42..], packet, "{kind}");
            }
        }
    }
}
