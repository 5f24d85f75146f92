//! Which server packets go to, and in which headers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::bed::Bed;
use crate::frames::{VIP, flow, ip, opened, raw, server, tcp, udp};

/// 90.0.0.1/32 with three servers.
pub fn three() -> Bed {
    let mut bed = Bed::new();
    assert_eq!(bed.vppctl("lb vip 90.0.0.1/32 encap gre4").trim_end(), "lb_vip_add ok 1");
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.2", "lb as 90.0.0.1/32 10.0.2.3 10.0.2.4"]);
    bed
}

/// The SYN of the transcript of real VPP, without its Ethernet header.
const SYN: [u8; 60] = [
    0x45, 0x00, 0x00, 0x3c, 0xad, 0x44, 0x40, 0x00, 0x40, 0x06, 0x28, 0x75, 10, 0, 1, 2, 90, 0, 0, 1, // IPv4
    0xa2, 0x2e, 0x00, 0x50, 0x13, 0xe7, 0x6e, 0x80, 0, 0, 0, 0, 0xa0, 0x02, 0xfa, 0xf0, 0x65, 0x31, 0, 0, // TCP
    2, 4, 5, 0xb4, 4, 2, 8, 10, 0xab, 0xb1, 0xf0, 0xe8, 0, 0, 0, 0, 1, 3, 3, 7, // options
];

#[test]
fn a_packet_leaves_as_from_vpp() {
    let mut bed = three();
    // Only the server of the transcript takes new flows.
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 10.0.2.4 weight 0");
    bed.vppctl("trace add source 1");
    let mut frame = raw(ip([10, 0, 1, 2], VIP), &SYN[20..]);
    frame.splice(14..34, SYN[..20].iter().copied());
    let left = bed.reaching_servers([frame]);
    let headers = "2ef83292a83202fec7ffb8e4080045000054000000007f2f23790a0002010a00020200000800";
    let hex: String = left[0].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex[..76], *headers);
    assert_eq!(left[0][38..], SYN);
    assert_eq!(left.len(), 1);
    let text = bed.vppctl("show trace");
    let at_lb = "lb4-gre4
  lb vip[1]: ip4-gre4 90.0.0.1/32 new_size:1024 #as:3
lb as[1]: 10.0.2.2 weight:100 used

";
    assert!(text.contains(at_lb), "{text}");
    let rewritten = " flags:[] 2ef83292a83202fec7ffb8e40800 flow hash: 0x00000000
  00000000: 2ef83292a83202fec7ffb8e4080045000054000000007f2f23790a0002010a00
  00000020: 0202000008004500003cad444000400628750a0001025a000001a22e
";
    assert!(text.contains(rewritten), "{text}");
    // The trace stands when what it names is gone.
    bed.type_all(&["lb vip 90.0.0.1/32 del", "test lb flowtable flush"]);
    assert!(bed.vppctl("show trace").contains(at_lb));
}

#[test]
fn flows_are_spread_and_keep_their_servers() {
    let mut bed = three();
    let flows: Vec<Vec<u8>> = (0..1500).map(flow).collect();
    let first = bed.reaching_servers(flows.clone());
    let mut shares: BTreeMap<Ipv4Addr, usize> = BTreeMap::new();
    for (sent, left) in flows.iter().zip(&first) {
        let (server, inner) = opened(left);
        assert_eq!(*inner, sent[14..], "the inner packet is not touched");
        *shares.entry(server).or_default() += 1;
    }
    assert!(shares.len() == 3 && shares.values().all(|share| (400..600).contains(share)), "{shares:?}");
    assert_eq!(bed.reaching_servers(flows.clone()), first);
    assert_eq!(bed.shown("first session packet") + bed.shown("untracked packet") / 2, 1500);
    assert_eq!(bed.shown("packet from existing sessions"), bed.shown("first session packet"));
    // Another server takes over some new flows, and none that is known.
    // So many buckets that none is full, whatever the table's secret keys are.
    bed.vppctl("lb conf buckets 65536");
    assert_eq!(bed.reaching_servers(flows.clone()), first);
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.5");
    let before: Vec<Ipv4Addr> = first.iter().map(|left| server(left)).collect();
    let now: Vec<Ipv4Addr> = bed.reaching_servers(flows.clone()).iter().map(|left| server(left)).collect();
    assert_eq!(now, before);
    // So it is with a server that is removed, until its flows are flushed.
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 del");
    let now: Vec<Ipv4Addr> = bed.reaching_servers(flows.clone()).iter().map(|left| server(left)).collect();
    assert_eq!(now, before);
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 del flush");
    let gone = Ipv4Addr::new(10, 0, 2, 2);
    for (before, left) in before.iter().zip(bed.reaching_servers(flows)) {
        let now = server(&left);
        assert!(now != gone && (now == *before || *before == gone), "{before} -> {now}");
    }
}

#[test]
fn balancers_agree_whatever_the_order_of_servers() {
    let (mut one, mut other) = (three(), three());
    let flows: Vec<Vec<u8>> = (0..200).map(flow).collect();
    other.vppctl("lb as 90.0.0.1/32 10.0.2.3 del flush");
    other.vppctl("lb as 90.0.0.1/32 10.0.2.3");
    assert_eq!(one.reaching_servers(flows.clone()), other.reaching_servers(flows));
}

#[test]
fn a_full_table_balances_without_entries() {
    let mut bed = three();
    bed.vppctl("lb conf buckets 1");
    let flows: Vec<Vec<u8>> = (0..300).map(flow).collect();
    let first = bed.reaching_servers(flows.clone());
    assert_eq!((first.len(), bed.reaching_servers(flows)), (300, first));
    assert_eq!((bed.shown("first session packet"), bed.shown("packet from existing sessions")), (4, 4));
    assert_eq!(bed.shown("untracked packet"), 592);
    assert!(bed.vppctl("show lb").contains("  usage: 4 / 4\n"));
}

#[test]
fn servers_count_packets_bytes_and_flows() {
    let mut bed = three();
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 10.0.2.4 weight 0");
    let flows: Vec<Vec<u8>> = (0..5).map(flow).collect();
    bed.reaching_servers(flows.clone());
    bed.reaching_servers(flows.clone());
    let bytes = 2 * flows.iter().map(|frame| frame.len() - 14).sum::<usize>();
    let text = bed.vppctl("show lb vip verbose");
    assert!(text.contains(&format!("packets:10 bytes:{bytes} flows:5\n")), "{text}");
    assert!(text.contains("    10.0.2.2 weight:100 buckets:1024 flows:5 dpo:"), "{text}");
    assert_eq!((bed.shown("first session packet"), bed.shown("packet from existing sessions")), (5, 5));
    // A server that comes to a slot begins at 0.
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.2 del flush", "show lb vips", "lb as 90.0.0.1/32 10.0.2.5"]);
    assert!(bed.vppctl("show lb vip verbose").matches("packets:0 bytes:0 flows:0").count() == 3);
}

#[test]
fn ports_have_vips_of_their_own() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "lb vip 90.0.0.0/24 protocol tcp port 80 encap gre4",
        "lb vip 90.0.0.0/24 protocol udp port 80 encap gre4",
        "lb vip 90.0.0.0/24 protocol tcp port 443 encap gre4",
        "lb as 90.0.0.0/24 protocol tcp port 80 10.0.2.2",
        "lb as 90.0.0.0/24 protocol udp port 80 10.0.2.3",
        "lb as 90.0.0.0/24 protocol tcp port 443 10.0.2.4",
    ]);
    let header = || ip([10, 9, 0, 1], [90, 0, 0, 77]);
    let left = bed.reaching_servers([
        tcp(header(), 5000, 80, 1),
        udp(header(), 5000, 80, 1),
        tcp(header(), 5000, 443, 1),
        tcp(header(), 5000, 81, 1),
        udp(header(), 5000, 443, 1),
    ]);
    let servers: Vec<[u8; 4]> = left.iter().map(|left| server(left).octets()).collect();
    assert_eq!(servers, [[10, 0, 2, 2], [10, 0, 2, 3], [10, 0, 2, 4]]);
    assert_eq!(bed.counted("lb4-gre4-port", "no VIP for the protocol and port"), 2);
    bed.vppctl("lb vip 90.0.0.0/24 protocol udp port 80 del");
    assert_eq!(bed.reaching_servers([tcp(header(), 5000, 80, 1), udp(header(), 5000, 80, 1)]).len(), 1);
}

#[test]
fn sources_stick() {
    let mut bed = three();
    bed.vppctl("lb vip 91.0.0.1/32 encap gre4 src_ip_sticky");
    bed.vppctl("lb as 91.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4 10.0.2.5");
    let from = |host: u8| (0..40).map(move |port| tcp(ip([10, 9, 0, host], [91, 0, 0, 1]), 4000 + port, 80, 0));
    let mut servers = Vec::new();
    for host in 0..20 {
        let left = bed.reaching_servers(from(host));
        assert!(left.len() == 40 && left.iter().all(|one| server(one) == server(&left[0])));
        servers.push(server(&left[0]));
    }
    servers.sort();
    servers.dedup();
    assert!(servers.len() >= 3, "{servers:?}");
}
