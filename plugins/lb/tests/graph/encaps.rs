//! The ways to send packets to servers, besides GRE: what leaves, byte for byte.

use std::net::Ipv4Addr;

use etherparse::Ipv4Header;

use crate::bed::Bed;
use crate::frames::{VIP, checked, flow, ip, raw, tcp, udp};

/// 90.0.0.1/32 with one server, and the node that sends its packets.
fn one(encap: &str) -> Bed {
    let mut bed = Bed::new();
    bed.type_all(&[&format!("lb vip 90.0.0.1/32 encap {encap}"), "lb as 90.0.0.1/32 10.0.2.2"]);
    bed
}

/// A header as it is with a correct checksum.
fn header(packet: &[u8]) -> Ipv4Header {
    let (header, _) = Ipv4Header::from_slice(packet).unwrap();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    header
}

#[test]
fn ipip4_puts_one_header_in_front() {
    let mut bed = one("ipip4");
    let sent: Vec<_> = (0..300).map(flow).collect();
    let left = bed.reaching_servers(sent.clone());
    assert_eq!(left.len(), 300);
    for (sent, left) in sent.iter().zip(&left) {
        let outer = header(&left[14..]);
        let len = (sent.len() - 14 + 20) as u16;
        let mut expected = Ipv4Header::new(len - 20, 127, 4.into(), [10, 0, 2, 1], [10, 0, 2, 2]).unwrap();
        expected.identification = 0;
        expected.dont_fragment = false;
        expected.header_checksum = expected.calc_header_checksum();
        assert_eq!(outer, expected);
        assert_eq!(left[34..], sent[14..], "the inner packet is not touched");
    }
    assert!(bed.vppctl("show lb vips verbose").contains(" ip4-ipip4 [1] 90.0.0.1/32\n"));
}

#[test]
fn ipip4_tells_the_mtu_that_is_left() {
    let mut bed = one("ipip4");
    bed.vppctl("set interface mtu packet 1500 toy1");
    assert_eq!(bed.reaching_servers([tcp(ip([10, 0, 1, 2], VIP), 1, 80, 1440)]).len(), 1, "1480 bytes fit");
    let left = bed.send([tcp(ip([10, 0, 1, 2], VIP), 1, 80, 1441)]);
    let [(interface, error)] = &left[..] else { panic!("{left:?}") };
    assert_eq!((interface.as_str(), &error[34..36]), ("toy0", &[3, 4][..]));
    assert_eq!(error[40..42], 1480u16.to_be_bytes());
}

/// The packet of the real VPP's transcript, before and after.
#[test]
fn l3dsr_leaves_as_from_vpp() {
    let mut bed = Bed::new();
    bed.type_all(&["lb vip 100.0.0.0/8 encap l3dsr dscp 7", "lb as 100.0.0.0/8 10.0.2.2", "trace add source 1"]);
    let mut syn = raw(ip([11, 0, 0, 1], [100, 0, 0, 1]), &[0; 20]);
    syn[14..].copy_from_slice(&[
        0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0x0b, 0xce, 11, 0, 0, 1, 100, 0, 0, 1, // IPv4
        3, 0xe8, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0x1c, 0xa9, 0, 0, // TCP
    ]);
    let left = bed.reaching_servers([syn]);
    assert_eq!(
        left[0][14..],
        [
            0x45, 0x1c, 0, 40, 0, 1, 0, 0, 63, 6, 0x64, 0xb1, 11, 0, 0, 1, 10, 0, 2, 2, // IPv4
            3, 0xe8, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0x74, 0xa8, 0, 0, // TCP
        ]
    );
    let trace = bed.vppctl("show trace");
    let at_lb = "lb4-l3dsr
  lb vip[1]: ip4-l3dsr 100.0.0.0/8 new_size:1024 #as:1  dscp:7
lb as[1]: 10.0.2.2 weight:100 used
";
    assert!(trace.contains(at_lb), "{trace}");
    let verbose = bed.vppctl("show lb vips verbose");
    assert!(verbose.starts_with(" ip4-l3dsr [1] 100.0.0.0/8\n  new_size:1024\n  dscp:7\n"), "{verbose}");
}

#[test]
fn l3dsr_changes_destination_and_dscp_only() {
    let mut bed = one("l3dsr dscp 63");
    let mut sent = Vec::new();
    for number in 0..200u16 {
        let mut ip = ip([10, 9, 1, number as u8], VIP);
        ip.ecn = etherparse::IpEcn::try_new((number % 4) as u8).unwrap();
        ip.dscp = etherparse::IpDscp::try_new(11).unwrap();
        if number % 3 == 0 {
            ip.options = etherparse::Ipv4Options::try_from(&[1, 1, 1, 0][..]).unwrap();
        }
        sent.push(if number % 2 == 0 { tcp(ip, number, 80, 33) } else { udp(ip, number, 53, 34) });
    }
    let left = bed.reaching_servers(sent.clone());
    assert_eq!(left.len(), sent.len());
    for (sent, left) in sent.iter().zip(&left) {
        let mut expected = header(&sent[14..]);
        expected.destination = [10, 0, 2, 2];
        expected.dscp = etherparse::IpDscp::try_new(63).unwrap();
        expected.time_to_live = 63;
        expected.header_checksum = expected.calc_header_checksum();
        assert_eq!(header(&left[14..]), expected);
        assert_eq!(checked(&left[14..]), checked(&sent[14..]));
    }
}

#[test]
fn l3dsr_keeps_a_datagram_without_a_checksum_so() {
    let mut bed = one("l3dsr dscp 1");
    let mut sent = udp(ip([10, 0, 1, 2], VIP), 7, 53, 12);
    sent[40..42].fill(0);
    assert_eq!(bed.reaching_servers([sent])[0][40..42], [0, 0]);
}

#[test]
fn vips_of_ports_are_sent_their_way() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap l3dsr dscp 1",
        "lb vip 90.0.0.1/32 protocol tcp port 81 encap l3dsr dscp 2",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
        "lb as 90.0.0.1/32 protocol tcp port 81 10.0.2.3",
    ]);
    let frames = [80, 81].map(|port| tcp(ip([10, 0, 1, 2], VIP), 9, port, 1));
    let left: Vec<_> = bed.reaching_servers(frames).iter().map(|left| header(&left[14..])).collect();
    let sent: Vec<_> = left.iter().map(|ip| (Ipv4Addr::from(ip.destination), ip.dscp.value())).collect();
    assert_eq!(sent, [(Ipv4Addr::new(10, 0, 2, 2), 1), (Ipv4Addr::new(10, 0, 2, 3), 2)]);
    let other = bed.refused("lb vip 90.0.0.1/32 protocol tcp port 82 encap ipip4");
    assert!(other.contains("the other VIPs of this prefix have another encap"), "{other}");
}

#[test]
fn a_dscp_is_needed_where_it_is_used() {
    let mut bed = Bed::new();
    for (line, why) in [
        ("encap l3dsr", "encap l3dsr needs a dscp from 0 to 63"),
        ("encap l3dsr dscp 64", "expected a dscp from 0 to 63, got `64'"),
        ("encap gre4 dscp 3", "dscp is for encap l3dsr only, not gre4"),
        ("dscp 3", "dscp is for encap l3dsr only, not gre4"),
        (
            "encap gre5",
            "unknown encap `gre5' (there are: gre4, gre6, ipip4, ipip6, gue4, gue6, l3dsr, l2dsr, nat4, nat6, fullnat4, fullnat6)",
        ),
    ] {
        let said = bed.refused(&format!("lb vip 90.0.0.1/32 {line}"));
        assert!(said.contains(why), "{line}: {said}");
    }
    assert_eq!(bed.vppctl("show lb vips").trim(), "");
}
