//! The host agent: one line takes VIPs from every balancer, in whatever they come, and `del` takes it back.

use etherparse::PacketBuilder;

use crate::support::{Bed, MAC1, hex};
use crate::tunnels_matrix::{ENDS, KINDS, bed, inner, outer, shim, to_pg0};

/// The bed, without routes to the inner packets' receivers.
fn host() -> Bed {
    let mut bed = bed();
    bed.type_all("ip route del 10.9.0.0/16 via 10.0.2.9 pg1\nip route del 2001:db8:9::/48 via 2001:db8:2::9 pg1");
    bed
}

fn to_next(packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&[2, 0, 0, 0, 2, 9][..], &hex(MAC1), &ethertype, packet].concat()
}

#[test]
fn one_line_takes_every_kind_from_everybody() {
    let mut bed = host();
    bed.type_all(
        "lb host vip 10.9.0.0/24 via 10.0.2.9 pg1
         lb host vip 2001:db8:9::9/128 via 2001:db8:2::9 pg1
         trace add pg-input 50",
    );
    assert_eq!(bed.vppctl("show lb host"), "10.9.0.0/24 via 10.0.2.9 pg1\n2001:db8:9::9/128 via 2001:db8:2::9 pg1\n");
    let mut packets = 0;
    for kind in KINDS {
        for [own, other] in [ENDS[0], ENDS[1], ["10.0.1.1", "10.66.0.1"], ["2001:db8:2::1", "2001:db8:66::1"]] {
            for v6 in [false, true] {
                let packet = inner(v6, 0xb8, 33);
                let (number, shim) = shim(kind, v6, packet.len());
                let wrapped = outer([other, own], number, 0, &[&shim[..], &packet].concat());
                let out = bed.send("pg0", &[to_pg0(&wrapped)])[1].clone();
                assert_eq!(out, [to_next(&inner(v6, 0xb8, 32))], "{kind} {other} {v6}: {}", bed.vppctl("show errors"));
                packets += 1;
            }
        }
    }
    let trace = bed.vppctl("show trace max 50");
    assert!(trace.contains("gue6-input\n  GUE: tunnel any len "), "{trace}");
    let counted = bed.vppctl("show interface lb-host0");
    assert!(counted.contains(&format!("rx packets {packets:>21}")), "{counted}");
}

/// A forwarding table without what went where.
fn uncounted(fib: &str) -> String {
    fib.lines().map(|line| line.split(" to:[").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn others_are_not_taken_and_del_takes_all_back() {
    let mut bed = host();
    let fib = uncounted(&bed.vppctl("show ip fib"));
    let (errors, before) = (bed.vppctl("show errors"), bed.vppctl("show interface"));
    bed.vppctl("lb host vip 10.9.0.9/32 via 10.0.2.9 pg1 dscp 7");
    let wrap = |to: [u8; 4]| {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([10, 7, 0, 1], to, 9).udp(1, 2).write(&mut packet, b"").unwrap();
        to_pg0(&outer(["10.0.1.2", "10.0.1.1"], 4, 0, &packet))
    };
    assert_eq!(bed.send("pg0", &[wrap([10, 9, 0, 9]), wrap([10, 9, 0, 8])])[1].len(), 1);
    assert!(bed.vppctl("show errors").contains("no such IPIP tunnel"));
    bed.vppctl("lb host vip 10.9.0.9/32 via pg1 del");
    assert!(bed.send("pg0", &[wrap([10, 9, 0, 9])])[1].is_empty());
    assert_eq!(bed.vppctl("show lb host").trim(), "No hosted VIPs configured...");
    bed.type_all("clear errors\nclear interfaces");
    assert_eq!((uncounted(&bed.vppctl("show ip fib")), bed.vppctl("show errors")), (fib, errors));
    assert_eq!(bed.vppctl("show interface"), before);
    // And once more.
    bed.vppctl("lb host vip 10.9.0.9/32 via 10.0.2.9 pg1 dscp 7");
    assert_eq!(bed.send("pg0", &[wrap([10, 9, 0, 9])])[1].len(), 1);
}

#[test]
fn an_interface_that_was_down_is_down_again() {
    let mut bed = host();
    bed.type_all("create packet-generator interface pg2\nset ip neighbor pg1 2001:db8:2::5 02:00:00:00:02:05");
    let state = |bed: &mut Bed| bed.vppctl("show interface pg2").lines().nth(1).unwrap().to_string();
    let down = state(&mut bed);
    bed.type_all("lb host vip 90.0.0.1/32 via 10.0.2.9 pg2\nlb host vip 90.0.0.2/32 via 10.0.2.9 pg2");
    assert!(state(&mut bed).contains(" up "), "{}", state(&mut bed));
    bed.vppctl("lb host vip 90.0.0.1/32 del");
    assert!(state(&mut bed).contains(" up "), "the other VIP is there still");
    bed.vppctl("lb host vip 90.0.0.2/32 del");
    assert_eq!(state(&mut bed), down);
}

#[test]
fn l3dsr_packets_get_their_vip_back() {
    let mut bed = host();
    bed.vppctl("lb host vip 90.0.0.1/32 via 10.0.2.9 pg1 dscp 7");
    let build = |to: [u8; 4], class: u8, hops: u8, tcp: bool| {
        let mut ip = etherparse::Ipv4Header::new(0, hops, 0.into(), [10, 7, 0, 1], to).unwrap();
        ip.dscp = (class >> 2).try_into().unwrap();
        ip.ecn = (class & 3).try_into().unwrap();
        let builder = PacketBuilder::ip(etherparse::IpHeaders::Ipv4(ip, Default::default()));
        let mut packet = Vec::new();
        match tcp {
            true => builder.tcp(5, 80, 7, 9).syn().write(&mut packet, b"").unwrap(),
            false => builder.udp(5, 80).write(&mut packet, b"datagram").unwrap(),
        }
        packet
    };
    for tcp in [false, true] {
        // To either address of ours; ECN stays.
        let frames = [[10, 0, 1, 1], [10, 0, 2, 1]].map(|own| to_pg0(&build(own, 7 << 2 | 1, 33, tcp)));
        let out = bed.send("pg0", &frames)[1].clone();
        let expected = to_next(&build([90, 0, 0, 1], 1, 32, tcp));
        assert_eq!(out, [expected.clone(), expected]);
    }
    // Another DSCP is for us.
    bed.vppctl("ip route add 10.7.0.0/16 via 10.0.1.2");
    let other = to_pg0(&build([10, 0, 1, 1], 8 << 2, 33, false));
    let out = bed.send("pg0", &[other]);
    assert_eq!((out[0].len(), out[1].len()), (1, 0), "port unreachable");
    let errors = bed.vppctl("show errors");
    assert!(errors.contains("L3DSR packets given back their VIP"), "{errors}");
}

#[test]
fn replies_of_hosted_vips_are_routed() {
    let mut bed = host();
    bed.vppctl("lb host vip 90.0.0.1/32 via 10.0.2.9 pg1");
    let mut reply = Vec::new();
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 2, 9], hex(MAC1).try_into().unwrap());
    builder.ipv4([90, 0, 0, 1], [10, 0, 1, 2], 64).udp(80, 5).write(&mut reply, b"answer").unwrap();
    let out = bed.send("pg1", &[reply])[0].clone();
    assert_eq!(out.len(), 1);
    assert_eq!((&out[0][..6], &out[0][26..30]), (&[2, 0, 0, 0, 1, 2][..], &[90, 0, 0, 1][..]));
}

#[test]
fn mistakes_change_nothing() {
    let mut bed = host();
    bed.type_all("lb conf ip4-src-address 10.0.2.1\nlb vip 91.0.0.0/24 encap gre4\nlb as 91.0.0.0/24 10.0.2.2");
    bed.vppctl("lb host vip 90.0.0.1/32 via 10.0.2.9 pg1 dscp 7");
    let (fib, shown) = (bed.vppctl("show ip fib"), bed.vppctl("show lb host"));
    let interfaces = bed.vppctl("show interface");
    for (line, reason) in [
        ("lb host vip 90.0.0.1/32 via 10.0.2.9 pg0", "90.0.0.1/32 is hosted already, via pg1"),
        ("lb host vip 90.0.0.2/32", "expected via <interface>"),
        ("lb host vip 90.0.0.2/32 via pg7", "unknown interface `pg7'"),
        ("lb host vip 90.0.0.2/32 via local0", "`local0' leads to no machine"),
        ("lb host vip 90.0.0.2/32 via lb-host0", "`lb-host0' leads to no machine"),
        ("lb host vip 90.0.0.2/32 via pg1", "what is behind `pg1' is not known"),
        ("lb host vip 90.0.0.2/32 via 2001:db8::1 pg1", "next hop `2001:db8::1' is not of the family of 90.0.0.2/32"),
        ("lb host vip 90.0.0.0/24 via 10.0.2.9 pg1 dscp 9", "dscp stands for one IPv4 address, a prefix of 32 bits"),
        ("lb host vip 2001:db8:9::9/128 via 2001:db8:2::9 pg1 dscp 9", "dscp stands for one IPv4 address"),
        ("lb host vip 90.0.0.2/32 via 10.0.2.9 pg1 dscp 7", "dscp 7 stands for 90.0.0.1/32 already"),
        ("lb host vip 90.0.0.2/32 via 10.0.2.9 pg1 dscp 64", "expected a dscp from 1 to 63, got `64'"),
        ("lb host vip 90.0.0.2/32 via 10.0.2.9 pg1 twice", "unknown input `twice'"),
        ("lb host vip 0.0.0.0/0 via 10.0.2.9 pg1", "0.0.0.0/0 is no prefix of hosts"),
        ("lb host vip 224.0.0.0/24 via 10.0.2.9 pg1", "224.0.0.0/24 is no prefix of hosts"),
        ("lb host vip 90.0.0.2 via 10.0.2.9 pg1", "expected an IPv4 address/length, got `90.0.0.2'"),
        ("lb host vip 91.0.0.0/24 via 10.0.2.9 pg1", "91.0.0.0/24 is a prefix of `lb' here: it cannot be hosted, too"),
        ("lb host vip 90.0.0.2/32 del", "90.0.0.2/32 is not hosted here"),
        ("lb host vip 90.0.0.1/32 via pg0 del", "90.0.0.1/32 is hosted via pg1, not via pg0"),
    ] {
        let said = bed.refused(line);
        assert!(said.contains(reason), "{line}: {said}");
        assert_eq!((&bed.vppctl("show ip fib"), &bed.vppctl("show lb host")), (&fib, &shown), "{line}");
        assert_eq!(bed.vppctl("show interface"), interfaces, "{line}");
    }
    // A tunnel has one other end: none is to be named.
    bed.type_all("create gre tunnel src 10.0.1.1 dst 10.0.1.2\nset interface state gre0 up");
    assert!(bed.refused("lb host vip 90.0.0.3/32 via 10.0.2.9 gre0").contains("`gre0' has one other end"));
    bed.vppctl("lb host vip 90.0.0.3/32 via gre0");
}
