//! What TCP's own words do to flows, and to segment sizes.

use etherparse::{IpHeaders, PacketBuilder, TcpHeader, TcpOptionElement};

use crate::bed::{Bed, CLIENT_MAC, MAC0};
use crate::frames::{VIP, checked, ip, server};

/// A packet of the connection from this port: SYN, ACK, FIN or RST.
fn packet(port: u16, word: &str) -> Vec<u8> {
    let ip = IpHeaders::Ipv4(ip([10, 9, 0, 1], VIP), Default::default());
    let tcp = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ip(ip).tcp(port, 80, 7, 1000);
    let tcp = match word {
        "SYN" => tcp.syn(),
        "ACK" => tcp.ack(9),
        "FIN" => tcp.fin().ack(9),
        "RST" => tcp.rst(),
        _ => panic!("{word}"),
    };
    let mut frame = Vec::new();
    tcp.write(&mut frame, &[]).unwrap();
    frame
}

/// The number of flows in each state.
fn states(bed: &mut Bed) -> [usize; 3] {
    let text = bed.vppctl("show lb flows max 1000");
    ["half-open", "established", "closing"].map(|state| text.matches(&format!(" {state} ")).count())
}

fn one_server() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(&["lb conf buckets 4096", "lb vip 90.0.0.1/32 encap gre4", "lb as 90.0.0.1/32 10.0.2.2"]);
    bed
}

/// Now only 10.0.2.3 takes new flows.
fn other_server(bed: &mut Bed) {
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.3", "lb as 90.0.0.1/32 10.0.2.2 weight 0"]);
}

#[track_caller]
fn to(bed: &mut Bed, port: u16, word: &str) -> u8 {
    let left = bed.reaching_servers([packet(port, word)]);
    server(&left[0]).octets()[3]
}

#[test]
fn a_connection_is_followed_from_syn_to_fin() {
    let mut bed = one_server();
    for word in ["SYN", "SYN", "SYN"] {
        assert_eq!(to(&mut bed, 1, word), 2);
        assert_eq!(states(&mut bed), [1, 0, 0], "a SYN that comes again establishes nothing");
    }
    assert_eq!(to(&mut bed, 1, "ACK"), 2);
    assert_eq!(states(&mut bed), [0, 1, 0]);
    other_server(&mut bed);
    assert_eq!(to(&mut bed, 1, "SYN"), 2, "on an established flow it keeps the server");
    assert_eq!(to(&mut bed, 1, "FIN"), 2);
    assert_eq!(states(&mut bed), [0, 0, 1]);
    assert_eq!(to(&mut bed, 1, "ACK"), 2, "later packets keep it, too");
    assert_eq!(states(&mut bed), [0, 0, 1]);
    assert_eq!(to(&mut bed, 1, "SYN"), 3, "and a new connection is a new flow");
    assert_eq!(states(&mut bed), [1, 0, 0]);
    let shown = bed.vppctl("show lb vips verbose");
    assert!(shown.contains("first session packet: 2\n"), "{shown}");
}

#[test]
fn a_reset_closes_and_one_of_no_flow_leaves_nothing() {
    let mut bed = one_server();
    for (port, word) in [(1, "FIN"), (2, "RST")] {
        assert_eq!(to(&mut bed, port, word), 2, "it goes where the flow would be");
    }
    assert_eq!(states(&mut bed), [0, 0, 0]);
    to(&mut bed, 3, "ACK");
    assert_eq!(states(&mut bed), [1, 0, 0], "picked up in mid-stream it is half-open");
    to(&mut bed, 3, "ACK");
    to(&mut bed, 3, "RST");
    assert_eq!(states(&mut bed), [0, 0, 1]);
}

#[test]
fn connections_of_one_source_do_not_end_each_other() {
    let mut bed = Bed::new();
    bed.type_all(&["lb vip 90.0.0.1/32 encap gre4 src_ip_sticky", "lb as 90.0.0.1/32 10.0.2.2"]);
    for (port, word) in [(1, "SYN"), (1, "ACK"), (2, "SYN"), (2, "ACK")] {
        assert_eq!(to(&mut bed, port, word), 2);
    }
    other_server(&mut bed);
    assert_eq!(to(&mut bed, 1, "FIN"), 2);
    assert_eq!(to(&mut bed, 3, "SYN"), 2, "the source is still known");
}

#[test]
fn the_segment_size_of_syns_is_clamped() {
    let syn = |size: u16| {
        let mut tcp = TcpHeader::new(7, 80, 1, 64240);
        tcp.syn = true;
        tcp.set_options(&[TcpOptionElement::MaximumSegmentSize(size)]).unwrap();
        let ip = IpHeaders::Ipv4(ip([10, 9, 0, 1], VIP), Default::default());
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ip(ip).tcp_header(tcp);
        builder.write(&mut frame, &[]).unwrap();
        frame
    };
    let mut bed = one_server();
    bed.vppctl("set interface mtu packet 1500 toy1");
    let mut told = |line: &str, size: u16| {
        if !line.is_empty() {
            bed.type_all(&[&format!("lb vip 90.0.0.1/32 mss-clamp {line}")]);
        }
        let left = bed.reaching_servers([syn(size)]);
        assert!(checked(&left[0][38..]).is_empty(), "its checksums are right");
        u16::from_be_bytes([left[0][80], left[0][81]])
    };
    assert_eq!(told("", 8960), 8960);
    // 1500 bytes, less 24 of GRE, 20 of IPv4 and 20 of TCP.
    assert_eq!(told("auto", 8960), 1436);
    assert_eq!(told("", 1000), 1000);
    assert_eq!(told("1200", 8960), 1200);
    assert_eq!(told("off", 8960), 8960);
    bed.type_all(&["lb vip 90.0.0.1/32 mss-clamp 1300"]);
    let shown = bed.vppctl("show lb vip verbose");
    assert!(shown.contains("  overhead:24 mtu:1476 mss-clamp:1300 ping:balance\n"), "{shown}");
    let said = bed.refused("lb vip 90.0.0.1/32 mss-clamp 5");
    assert!(said.contains("expected auto, off or a number of bytes from 88 to 65535, got `5'"), "{said}");
}
