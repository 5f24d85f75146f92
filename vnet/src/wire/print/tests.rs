use super::*;
use etherparse::{PacketBuilder, TcpOptionElement};
use proptest::prelude::*;

fn printed(print: impl Fn(&mut Text, &[u8]), bytes: &[u8]) -> String {
    let mut text = Text::new();
    print(&mut text, bytes);
    text.into_string()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Packets whose bytes stand in the transcripts beside what VPP prints for them (`ip4-rewrite` shows both).
#[test]
fn prints_what_vpp_prints() {
    let gre = unhex(
        "2ef83292a83202fec7ffb8e4080045000054000000007f2f23790a0002010a00\
         0202000008004500003cad444000400628750a0001025a000001a22e",
    );
    assert_eq!(
        printed(ethernet_frame, &gre),
        "IP4: 02:fe:c7:ff:b8:e4 -> 2e:f8:32:92:a8:32\n\
         GRE: 10.0.2.1 -> 10.0.2.2\n  \
           tos 0x00, ttl 127, length 84, checksum 0x2379 dscp CS0 ecn NON_ECN\n  \
           fragment id 0x0000\n"
    );
    let echo = unhex("450000543865400000012b410a0001020a0002020800fa7f794e0001e600016b00000000d2f10b00");
    assert_eq!(
        printed(ip4, &echo),
        "ICMP: 10.0.1.2 -> 10.0.2.2\n  \
           tos 0x00, ttl 0, length 84, checksum 0x2b41 dscp CS0 ecn NON_ECN\n  \
           fragment id 0x3865, flags DONT_FRAGMENT\n\
         ICMP echo_request checksum 0xfa7f id 31054\n"
    );
    let expired =
        unhex("920272a1a7e002fe24957d2b08004500007000000000ff01a58a0a0001010a0001020b00f4ff00000000450000543865");
    assert_eq!(
        printed(ethernet_frame, &expired),
        "IP4: 02:fe:24:95:7d:2b -> 92:02:72:a1:a7:e0\n\
         ICMP: 10.0.1.1 -> 10.0.1.2\n  \
           tos 0x00, ttl 255, length 112, checksum 0xa58a dscp CS0 ecn NON_ECN\n  \
           fragment id 0x0000\n\
         ICMP time_exceeded ttl_exceeded_in_transit checksum 0xf4ff\n"
    );
    let l3dsr = unhex(
        "02000000000202fea56d4cb30800451c0028000100003f0664b10b0000010a00020203e8005000000000000000005002200074a80000",
    );
    assert_eq!(
        printed(ethernet_frame, &l3dsr),
        "IP4: 02:fe:a5:6d:4c:b3 -> 02:00:00:00:00:02\n\
         TCP: 11.0.0.1 -> 10.0.2.2\n  \
           tos 0x1c, ttl 63, length 40, checksum 0x64b1 dscp unknown ecn NON_ECN\n  \
           fragment id 0x0001\n\
         TCP: 1000 -> 80\n  \
           seq. 0x00000000 ack 0x00000000\n  \
           flags 0x02 SYN, tcp header: 20 bytes\n  \
           window 8192, checksum 0x74a8\n  \n"
    );
    let nat = unhex("02000000000202fea56d4cb308004500002e000100003f1164bc0b0000010a00020203e80ceb001a92a07979");
    assert_eq!(
        printed(ethernet_frame, &nat),
        "IP4: 02:fe:a5:6d:4c:b3 -> 02:00:00:00:00:02\n\
         UDP: 11.0.0.1 -> 10.0.2.2\n  \
           tos 0x00, ttl 63, length 46, checksum 0x64bc dscp CS0 ecn NON_ECN\n  \
           fragment id 0x0001\n\
         UDP: 1000 -> 3307\n  \
           length 26, checksum 0x92a0\n"
    );
}

/// Fields taken from the transcripts' lines, since their bytes are not shown there.
#[test]
fn prints_packets_rebuilt_from_vpps_lines() {
    let mut ip = Ip4Header::new([10, 0, 2, 2].into(), [10, 0, 2, 1].into(), protocol::ICMP, 92, 64);
    ip.tos = 0xc0;
    ip.id.set(0x0cc4);
    ip.set_checksum();
    let packet = [ip.as_bytes(), &[3, 2, 0xfe, 0x87, 0, 0, 0, 0]].concat();
    assert_eq!(
        printed(ip4, &packet),
        "ICMP: 10.0.2.2 -> 10.0.2.1\n  \
           tos 0xc0, ttl 64, length 112, checksum 0x5507 dscp CS6 ecn NON_ECN\n  \
           fragment id 0x0cc4\n\
         ICMP destination_unreachable protocol_unreachable checksum 0xfe87\n"
    );
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], [2, 0xfe, 0x97, 0x76, 0x93, 0x49])
        .ipv6(
            "fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets(),
            "2001::1".parse::<std::net::Ipv6Addr>().unwrap().octets(),
            64,
        )
        .udp(1000, 80)
        .write(&mut frame, &[b'x'; 18])
        .unwrap();
    let udp_checksum = u16::from_be_bytes([frame[60], frame[61]]);
    assert_eq!(
        printed(ethernet_frame, &frame),
        format!(
            "IP6: 02:00:00:00:01:02 -> 02:fe:97:76:93:49\n\
             UDP: fd00::1 -> 2001::1\n  \
               tos 0x00, flow label 0x0, hop limit 64, payload length 26\n\
             UDP: 1000 -> 80\n  \
               length 26, checksum 0x{udp_checksum:04x}\n"
        )
    );
}

#[test]
fn prints_the_options_of_tcp_as_they_are() {
    let options = [
        TcpOptionElement::MaximumSegmentSize(1460),
        TcpOptionElement::SelectiveAcknowledgementPermitted,
        TcpOptionElement::Timestamp(1234, 0),
        TcpOptionElement::Noop,
        TcpOptionElement::WindowScale(7),
    ];
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 1, 2], [90, 0, 0, 1], 64)
        .tcp(41518, 80, 0x13e7_6e80, 64240)
        .syn()
        .options(&options)
        .unwrap()
        .write(&mut packet, &[])
        .unwrap();
    let text = printed(ip4, &packet);
    let tail =
        "TCP: 41518 -> 80\n  seq. 0x13e76e80 ack 0x00000000\n  flags 0x02 SYN, tcp header: 40 bytes\n  window 64240, ";
    assert!(text.contains(tail), "{text}");
    let last = "  options:\n    mss 1460, window scale 7, timestamp 1234, echo/reflected timestamp 0, sack permitted\n";
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn says_what_is_wrong_with_a_header() {
    let mut ip = Ip4Header::new([10, 0, 2, 2].into(), [10, 0, 2, 1].into(), protocol::UDP, 92, 64);
    let right = ip.checksum.get();
    ip.checksum.set(0x1234);
    let text = printed(ip4, ip.as_bytes());
    assert!(text.contains(&format!("checksum 0x1234 (should be 0x{right:04x}) dscp CS0")), "{text}");
    ip.version_ihl = 0x46;
    assert!(printed(ip4, ip.as_bytes()).contains("\n  version 4, header length 24\n"));
    assert_eq!(printed(ip4, &[0x45; 19]), "IP header truncated\n");
    assert_eq!(printed(ip6, &[0x60; 39]), "IP header truncated\n");
    assert_eq!(printed(ethernet_frame, &[0; 13]), "ethernet header truncated\n");
    assert_eq!(printed(arp, &[0; 27]), "ARP header truncated\n");
    let udp = Ip4Header::new([10, 0, 2, 2].into(), [10, 0, 2, 1].into(), protocol::UDP, 92, 64);
    let cut = [udp.as_bytes(), &[0; 7]].concat();
    assert!(printed(ip4, &cut).ends_with("fragment id 0x0000\nUDP header truncated\n"));
}

#[test]
fn prints_fragments() {
    let mut ip = Ip4Header::new([10, 0, 2, 2].into(), [10, 0, 2, 1].into(), protocol::UDP, 8, 64);
    let mut with = |bits: u16| {
        ip.flags_offset.set(bits);
        ip.set_checksum();
        let text = printed(ip4, &[ip.as_bytes(), &[0; 8]].concat());
        text.lines().skip(2).collect::<Vec<_>>().join("|")
    };
    assert_eq!(with(0x2000), "  fragment id 0x0000, flags MORE_FRAGMENTS|UDP: 0 -> 0|  length 0, checksum 0x0000");
    assert_eq!(with(0x2001), "  fragment id 0x0000 offset 8, flags MORE_FRAGMENTS");
    assert_eq!(with(0x00b9), "  fragment id 0x0000 offset 1480");
}

#[test]
fn prints_arp() {
    let (ours, theirs) = (super::super::Mac([2, 0xfe, 0, 0, 0, 1]), super::super::Mac([2, 0, 0, 0, 0, 2]));
    let frame = super::super::arp::request(ours, [10, 0, 1, 1].into(), [10, 0, 1, 2].into());
    assert_eq!(
        printed(ethernet_frame, &frame),
        "ARP: 02:fe:00:00:00:01 -> ff:ff:ff:ff:ff:ff\n\
         request, type ethernet/IP4, address size 6/4\n\
         02:fe:00:00:00:01/10.0.1.1 -> 00:00:00:00:00:00/10.0.1.2\n"
    );
    let frame = super::super::arp::reply(theirs, [10, 0, 1, 2].into(), (ours, [10, 0, 1, 1].into()));
    assert!(printed(ethernet_frame, &frame).contains("\nreply, type ethernet/IP4, address size 6/4\n"));
    let mut strange = frame[14..].to_vec();
    (strange[1], strange[7]) = (6, 9);
    assert_eq!(printed(arp, &strange), "unknown 0x9, type unknown 0x6/IP4, address size 6/4\n");
}

#[test]
fn prints_tags_and_unknown_types() {
    let mut frame = vec![0; 12];
    frame.extend([0x81, 0, 0x60, 7, 0x12, 0x34]);
    assert_eq!(
        printed(ethernet_frame, &frame),
        "0x1234: 00:00:00:00:00:00 -> 00:00:00:00:00:00 802.1q vlan 7 priority 3\n"
    );
    frame.splice(12..12, [0x88, 0xa8, 0, 9]);
    let text = printed(ethernet_frame, &frame);
    assert!(text.ends_with("00:00 802.1ad vlan 9 802.1q vlan 7 priority 3\n"), "{text}");
    frame.truncate(20);
    assert_eq!(printed(ethernet_frame, &frame), "ethernet header truncated\n");
}

#[test]
fn names_every_code_point_once() {
    let names: Vec<_> = (0..64).map(dscp).filter(|name| name != "unknown").collect();
    assert_eq!(names.len(), 8 + 12 + 1);
    assert_eq!([10, 14, 38, 46, 56].map(dscp).map(|name| name.into_owned()), ["AF11", "AF13", "AF43", "EF", "CS7"]);
    assert_eq!([0, 1, 2, 3].map(ecn), ["NON_ECN", "ECT_1", "ECT_0", "CE"]);
}

proptest! {
    #[test]
    fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..140), kind in 0usize..6, number in 0usize..6) {
        let kinds = [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8], [1, 2]];
        if bytes.len() > 24 {
            bytes[12..14].copy_from_slice(&kinds[kind]);
            // The protocol of IPv4 behind an Ethernet header, and the next header of IPv6.
            (bytes[23], bytes[20]) = ([1, 6, 17, 47, 58, 200][number], [1, 6, 17, 47, 58, 0][number]);
        }
        for print in [ethernet_frame, ip4, ip6, arp, tcp, udp, icmp4, icmp6] {
            let text = printed(print, &bytes);
            prop_assert!(text.ends_with('\n'));
            // One line may be an indent and nothing else: the end of a TCP header without options.
            let fine = |line: &str| line == "  " || line.trim_end() == line && !line.is_empty();
            prop_assert!(text.lines().all(fine), "{text}");
        }
        let rest = ethernet_header(&mut Text::new(), &bytes);
        prop_assert!(rest.is_none_or(|rest| rest.len() < bytes.len()));
    }
}
