//! Packets to a tunnel's end that are none of its: each is counted under its reason, and none gets through.

use crate::support::Bed;
use crate::tunnels_matrix::{ENDS, KINDS, bed, inner, outer, shim, to_pg0, udp};

/// Sends a packet to a tunnel's end and finds its reason, counted once; nothing may come out.
fn refused(bed: &mut Bed, packet: &[u8], reason: &str) {
    bed.vppctl("clear errors");
    let out = bed.send("pg0", &[to_pg0(packet)]);
    assert!(out[1].is_empty(), "{reason}: {out:x?}");
    let errors = bed.vppctl("show errors");
    let line =
        errors.lines().find(|line| line.contains(reason)).unwrap_or_else(|| panic!("no `{reason}' in\n{errors}"));
    assert!(line.trim_start().starts_with("1 "), "{line}");
}

#[test]
fn gre_that_is_none() {
    for [own, other] in ENDS {
        let mut bed = bed();
        bed.type_all(&format!("create gre tunnel src {own} dst {other}\nset interface state gre0 up"));
        let packet = inner(false, 0, 33);
        for (header, reason) in [
            (&[0, 1, 8, 0][..], "bad GRE header"),
            (&[0x40, 0, 8, 0], "bad GRE header"),
            (&[0x80, 0, 8, 0, 1, 2, 0, 0], "bad GRE checksum"),
            (&[0x20, 0, 8, 0, 0, 0, 0, 7], "GRE key does not match a tunnel"),
            (&[0, 0, 0x65, 0x58], "GRE payload is not IP"),
        ] {
            refused(&mut bed, &outer([other, own], 47, 0, &[header, &packet].concat()), reason);
        }
        refused(&mut bed, &outer([other, own], 47, 0, &[0, 0]), "bad GRE header");
    }
}

#[test]
fn gue_that_is_none() {
    for (family, [own, other]) in [4, 6].into_iter().zip(ENDS) {
        let mut bed = bed();
        bed.type_all(&format!("create gue tunnel src {own} dst {other}\nset interface state gue0 up"));
        let packet = inner(false, 0, 33);
        let message = |header: &[u8]| [&udp(header.len() + packet.len())[..], header, &packet].concat();
        for (header, reason) in [
            (&[0x20, 1, 0, 0][..], "GUE control message"),
            (&[0, 4, 0x80, 0], "unknown GUE flags"),
            (&[0x80, 4, 0, 0], "unknown GUE variant"),
            (&[0xc0, 4, 0, 0], "unknown GUE variant"),
            (&[0x50, 4, 0, 0], "unknown GUE variant"),
            (&[0, 6, 0, 0], "GUE payload is not IP"),
            (&[0, 59, 0, 0], "GUE payload is not IP"),
            (&[31, 4, 0, 0], "bad GUE header"),
        ] {
            refused(&mut bed, &outer([other, own], 17, 0, &message(header)), reason);
        }
        refused(&mut bed, &outer([other, own], 17, 0, &udp(0)), "bad GUE header");
        // Lengths: less than the header, more than there is.
        for len in [0u16, 7, 400] {
            let mut bytes = message(&[0, 4, 0, 0]);
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            refused(&mut bed, &outer([other, own], 17, 0, &bytes), "bad udp length");
        }
        let mut bytes = message(&[0, 4, 0, 0]);
        bytes[6..8].copy_from_slice(&[1, 2]);
        refused(&mut bed, &outer([other, own], 17, 0, &bytes), "bad udp checksum");
        assert!(bed.vppctl("show errors").contains(&format!("ip{family}-udp-lookup")));
    }
}

#[test]
fn gue_with_options_a_checksum_or_no_header_is_taken() {
    for [own, other] in ENDS {
        let mut bed = bed();
        bed.type_all(&format!("create gue tunnel src {own} dst {other}\nset interface state gue0 up"));
        for v6 in [false, true] {
            let (packet, number) = (inner(v6, 0, 33), if v6 { 41 } else { 4 });
            let options = [&[2, number, 0, 0][..], &[0xee; 8]].concat();
            for header in [&[0, number, 0, 0][..], &options, &[]] {
                let message = [header, &packet].concat();
                let plain = [&udp(message.len())[..], &message].concat();
                let mut summed = plain.clone();
                let sum = checksum([other, own], &plain);
                summed[6..8].copy_from_slice(&sum.to_be_bytes());
                // What stands behind the datagram is not part of it.
                let padded = [&plain[..], &[0; 5]].concat();
                let frames = [plain, summed, padded].map(|bytes| to_pg0(&outer([other, own], 17, 0, &bytes)));
                let out = bed.send("pg0", &frames)[1].clone();
                assert_eq!(out.len(), 3, "{}", bed.vppctl("show errors"));
                assert!(out.iter().all(|frame| frame[14..].ends_with(&inner(v6, 0, 32))), "{out:x?}");
                assert!(out.iter().all(|frame| frame.len() == 14 + packet.len()), "{out:x?}");
            }
        }
    }
}

fn checksum(ends: [&str; 2], datagram: &[u8]) -> u16 {
    let header = etherparse::UdpHeader::from_slice(datagram).unwrap().0;
    match ends.map(|end| end.parse().unwrap()) {
        [std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)] => {
            header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &datagram[8..]).unwrap()
        }
        [std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)] => {
            header.calc_checksum_ipv6_raw(a.octets(), b.octets(), &datagram[8..]).unwrap()
        }
        _ => unreachable!("both ends are of one family"),
    }
}

#[test]
fn what_no_tunnel_wants_is_counted() {
    for kind in KINDS {
        for [own, other] in ENDS {
            let mut bed = bed();
            let packet = inner(true, 0, 33);
            let (number, shim) = shim(kind, true, packet.len());
            let wrapped = outer([other, own], number, 0, &[&shim[..], &packet].concat());
            let name = kind.to_uppercase();
            refused(&mut bed, &wrapped, &format!("no such {name} tunnel"));
            bed.vppctl(&format!("create {kind} tunnel src {own} dst {other}"));
            refused(&mut bed, &wrapped, &format!("{name} tunnel is down"));
            bed.vppctl(&format!("set interface state {kind}0 up"));
            // Cut short anywhere: whoever finds it, nothing comes out and nothing is lost.
            for len in 0..shim.len() + packet.len() {
                let cut = outer([other, own], number, 0, &[&shim[..], &packet].concat()[..len]);
                assert!(bed.send("pg0", &[to_pg0(&cut)])[1].is_empty(), "{kind} {len}");
            }
        }
    }
}

#[test]
fn other_ports_are_still_nobodys() {
    let mut bed = bed();
    for [own, other] in ENDS {
        let mut bytes = udp(4).to_vec();
        bytes.extend([1, 2, 3, 4]);
        bytes[2..4].copy_from_slice(&[0x17, 0xc1]);
        let frame = to_pg0(&outer([other, own], 17, 0, &bytes));
        let back = bed.send("pg0", &[frame])[0].clone();
        assert_eq!(back.len(), 1, "the sender is told");
        assert!(bed.vppctl("show errors").contains("no listener for port"));
    }
}

#[test]
fn mistyped_tunnels_are_refused() {
    let mut bed = bed();
    for (line, reason) in [
        (
            "create gre tunnel src 10.0.1.1 dst 2001:db8:1::2",
            "both ends of a tunnel are of one family: 10.0.1.1 is IPv4",
        ),
        (
            "create ipip tunnel src 2001:db8:1::1 dst ff02::1",
            "an IPIP tunnel needs the addresses of hosts, got ff02::1",
        ),
        ("create ipip tunnel src :: dst 2001:db8:1::1", "an IPIP tunnel needs the addresses of hosts, got ::"),
        ("create gue tunnel src 2001:db8:1::1 dst 2001:db8:1::1", "a GUE tunnel needs two ends"),
        ("create gue tunnel src 10.0.1.1 dst 10.0.1.2 variant 2", "expected a variant from 0 to 1, got `2'"),
        ("create gre tunnel src 10.0.1.1 dst 10.0.1.2 variant 1", "unknown input `variant 1'"),
        ("create gue tunnel src 10.0.1.1 dst 10.0.1.2 del", "no GUE tunnel from 10.0.1.1 to 10.0.1.2"),
        ("create gue tunnel dst 10.0.1.2", "expected src <addr>"),
    ] {
        let said = bed.refused(line);
        assert!(said.contains(reason), "{line}: {said}");
    }
    assert_eq!(bed.vppctl("show gue tunnel").trim(), "No GUE tunnels configured...");
    bed.type_all(
        "create gue tunnel src 2001:db8:1::1 multipoint variant 1\ncreate gue tunnel src 10.0.1.1 dst 10.0.1.2",
    );
    let shown = bed.vppctl("show gue tunnel");
    assert!(shown.contains("[0] instance 0 src 2001:db8:1::1 dst :: fib-idx 0"), "{shown}");
    assert!(shown.contains("payload L3 multi-point variant 1\n[1] instance 1 src 10.0.1.1 dst 10.0.1.2"), "{shown}");
}
