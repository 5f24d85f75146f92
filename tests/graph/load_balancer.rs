//! The load balancer: GRE to the right server, counted, traced and explained as in the real VPP.

use std::collections::HashMap;

use etherparse::PacketBuilder;

use crate::forwarding::udp;
use crate::support::{Bed, timeless};

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(
        "lb conf ip4-src-address 10.0.2.1 buckets 1024
         lb vip 90.0.0.0/24 encap gre4
         lb as 90.0.0.0/24 10.0.2.2 10.0.2.3",
    );
    bed
}

fn tcp(source: [u8; 4], port: u16, syn: bool) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], [2, 0xfe, 0x97, 0x76, 0x93, 0x49])
        .ipv4(source, [90, 0, 0, 1], 64)
        .tcp(port, 80, 1, 8192);
    let mut frame = Vec::new();
    if syn { builder.syn().write(&mut frame, &[]) } else { builder.ack(1).write(&mut frame, b"data") }.unwrap();
    frame
}

/// The server that each frame went to.
fn servers(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().map(|frame| frame[33]).collect()
}

#[test]
fn a_packet_travels_in_gre_unchanged() {
    let mut bed = bed();
    let frame = udp([90, 0, 0, 1], 64, &[0x79; 18]);
    let [_, out] = bed.send("pg0", std::slice::from_ref(&frame));
    let [packet] = out.as_slice() else { panic!("{out:?}") };
    let (outer, rest) = etherparse::Ipv4Header::from_slice(&packet[14..]).unwrap();
    assert_eq!((outer.source, outer.destination[..3].to_vec()), ([10, 0, 2, 1], vec![10, 0, 2]));
    assert_eq!((outer.time_to_live, outer.protocol.0, outer.identification), (127, 47, 0));
    assert!(!outer.dont_fragment && outer.header_checksum == outer.calc_header_checksum());
    assert_eq!(usize::from(outer.total_len), 24 + frame.len() - 14);
    assert_eq!(rest[..4], [0, 0, 8, 0], "GRE without options, IPv4 inside");
    assert_eq!(rest[4..], frame[14..], "the inner packet, its TTL included, is as it came");
}

#[test]
fn the_trace_is_that_of_the_real_vpp() {
    let mut bed = bed();
    bed.vppctl("trace add pg-input 1");
    bed.send("pg0", &[udp([90, 0, 0, 1], 64, &[0x79; 18])]);
    let trace = timeless(&bed.vppctl("show trace"));
    let from = trace.find("lb4-gre4\n").unwrap();
    let lb = &trace[from..];
    let server = if lb.contains("lb as[1]") { "2" } else { "3" };
    let slot = if server == "2" { 1 } else { 2 };
    let expected = format!(
        "lb4-gre4
  lb vip[1]: ip4-gre4 90.0.0.0/24 new_size:1024 #as:2
lb as[{slot}]: 10.0.2.{server} weight:100 used

ip4-rewrite
"
    );
    assert!(lb.starts_with(&expected), "{lb}");
    for line in [
        "  IP4: 02:00:00:00:01:02 -> 02:fe:97:76:93:49",
        "  UDP: 11.0.0.1 -> 90.0.0.1",
        "  UDP: 1000 -> 80",
        "  fib 0 dpo-idx ",
        "pg1-output\n  pg1 flags 0x",
        &format!("  GRE: 10.0.2.1 -> 10.0.2.{server}\n    tos 0x00, ttl 127, length 70, checksum 0x"),
        "pg1-tx\n",
    ] {
        assert!(trace.contains(line), "{line}\n{trace}");
    }
}

#[test]
fn a_trace_stays_true_after_its_vip_is_gone() {
    let mut bed = bed();
    bed.vppctl("trace add pg-input 1");
    bed.send("pg0", &[udp([90, 0, 0, 1], 64, b"x")]);
    let before = bed.vppctl("show trace");
    bed.type_all("lb vip 90.0.0.0/24 del\n test lb flowtable flush\n show lb vips");
    assert_eq!(bed.vppctl("show lb vips"), "");
    assert_eq!(bed.vppctl("show trace"), before);
}

#[test]
fn show_is_as_in_the_real_vpp_with_a_line_of_counters_for_each_server() {
    let mut bed = bed();
    bed.send("pg0", &[tcp([11, 0, 0, 1], 1000, true), tcp([11, 0, 0, 1], 1000, false), tcp([11, 0, 0, 2], 7, true)]);
    let shown = bed.vppctl("show lb vip verbose");
    let head = " ip4-gre4 [1] 90.0.0.0/24
  new_size:1024
  scheduler:maglev
  overhead:24 mtu:8976 ping:balance
  counters:
    packet from existing sessions: 1
    first session packet: 2
    untracked packet: 0
    no server configured: 0
  #as:2
    10.0.2.2 weight:100 buckets:512 flows:";
    assert!(shown.starts_with(head), "{shown}");
    assert_eq!(bed.vppctl("show lb vip"), "ip4-gre4 90.0.0.0/24 new_size:1024 #as:2\n");
    let lb = "lb_main ip4-src-address: 10.0.2.1 \n ip6-src-address: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \n #vips: 1\n #ass: 2\ncore 0\n  timeout: 40s\n  usage: 2 / 4096\n";
    assert_eq!(bed.vppctl("show lb"), lb);
}

#[test]
fn shares_follow_weights_exactly() {
    let mut bed = Bed::new();
    bed.type_all(
        "lb vip 90.0.0.1/32 encap gre4
         lb as 90.0.0.1/32 10.0.2.5 10.0.2.3 10.0.2.4 10.0.2.2
         lb as 90.0.0.1/32 10.0.2.2 weight 50",
    );
    let buckets = |bed: &mut Bed| -> HashMap<String, u32> {
        let shown = bed.vppctl("show lb vips verbose");
        let row = |line: &str| {
            let mut words = line.split_whitespace();
            let address = words.next()?.to_string();
            let buckets = words.find_map(|word| word.strip_prefix("buckets:"))?.parse().ok()?;
            Some((address, buckets))
        };
        shown.lines().filter_map(row).collect()
    };
    let mut shares: Vec<_> = buckets(&mut bed).into_values().collect();
    shares.sort_unstable();
    assert_eq!(shares, [150, 291, 291, 292]);
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 weight 0");
    let mut shares: Vec<_> = buckets(&mut bed).into_values().collect();
    shares.sort_unstable();
    assert_eq!(shares, [0, 208, 408, 408]);
}

#[test]
fn a_known_flow_stays_when_servers_come_and_go_until_it_is_flushed() {
    let mut bed = bed();
    let frames: Vec<_> = (0..250).map(|port| tcp([11, 0, 0, 1], 1000 + port, true)).collect();
    let before = servers(&bed.send("pg0", &frames)[1]);
    bed.type_all(
        "set ip neighbor pg1 10.0.2.4 02:00:00:00:00:04\n lb as 90.0.0.0/24 10.0.2.4\n lb as 90.0.0.0/24 10.0.2.2 del",
    );
    let known: Vec<_> = (0..250).map(|port| tcp([11, 0, 0, 1], 1000 + port, false)).collect();
    assert_eq!(servers(&bed.send("pg0", &known)[1]), before, "also flows of the deleted server");
    assert!(bed.vppctl("show lb vips verbose").contains("10.0.2.2 weight:100 buckets:0"));
    bed.vppctl("lb flush vip 90.0.0.0/24");
    let after = servers(&bed.send("pg0", &known)[1]);
    assert!(!after.contains(&2), "no flow goes to the deleted server any more");
    assert!(after.contains(&3) && after.contains(&4));
}

#[test]
fn packets_that_nobody_can_take_are_counted_under_their_reasons() {
    let mut bed = bed();
    bed.type_all(
        "lb vip 91.0.0.1/32 encap gre4
         lb vip 92.0.0.1/32 protocol tcp port 80 encap gre4
         lb as 92.0.0.1/32 protocol tcp port 80 10.0.2.2",
    );
    let mut short = udp([90, 0, 0, 1], 64, b"");
    short.truncate(36);
    short[16..18].copy_from_slice(&22u16.to_be_bytes());
    let (header, _) = etherparse::Ipv4Header::from_slice(&short[14..]).unwrap();
    short[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    let frames = [udp([91, 0, 0, 1], 64, b"x"), udp([92, 0, 0, 1], 64, b"x"), short];
    let [back, out] = bed.send("pg0", &frames);
    assert!(back.is_empty() && out.is_empty(), "{back:02x?}\n{out:02x?}");
    let errors = bed.vppctl("show errors");
    for reason in ["no server configured", "no VIP for the protocol and por", "transport header cut short"] {
        assert!(errors.contains(reason), "{reason}\n{errors}");
    }
}

#[test]
fn a_packet_with_df_that_the_tunnel_would_make_too_long_is_answered_with_what_is_left() {
    let mut bed = bed();
    bed.vppctl("set interface mtu 1500 pg1");
    let frame = udp([90, 0, 0, 1], 64, &[1; 1472]);
    let [back, out] = bed.send("pg0", std::slice::from_ref(&frame));
    assert!(out.is_empty());
    assert_eq!((back[0][34], back[0][35]), (3, 4));
    assert_eq!(u16::from_be_bytes([back[0][40], back[0][41]]), 1476);
    let fits = udp([90, 0, 0, 1], 64, &[1; 1448]);
    assert_eq!(bed.send("pg0", &[fits])[1].len(), 1);
}

#[test]
fn a_full_bucket_balances_without_an_entry() {
    let mut bed = bed();
    bed.vppctl("lb conf buckets 1");
    let frames: Vec<_> = (0..10).map(|port| tcp([11, 0, 0, 1], 1000 + port, true)).collect();
    assert_eq!(bed.send("pg0", &frames)[1].len(), 10);
    assert!(bed.vppctl("show lb vips verbose").contains("untracked packet: 6"));
    assert!(bed.vppctl("show lb").contains("usage: 4 / 4"));
}
