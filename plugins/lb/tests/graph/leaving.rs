//! VIPs, servers and flows that go.

use std::time::Duration;

use crate::balancing::three;
use crate::bed::Bed;
use crate::frames::{VIP, flow, ip, server, udp};

#[test]
fn removed_vips_are_listed_until_their_flows_are_gone() {
    let mut bed = three();
    assert_eq!(bed.reaching_servers([flow(1)]).len(), 1);
    bed.vppctl("lb vip 90.0.0.1/32 del");
    assert_eq!(bed.reaching_servers([flow(1)]).len(), 0);
    let text = bed.vppctl("show lb vips");
    assert!(text.starts_with("ip4-gre4 90.0.0.1/32 new_size:1024 #as:") && text.ends_with(" removed\n"), "{text}");
    // A VIP of the same key stands beside it, and knows none of its flows.
    bed.vppctl("lb vip 90.0.0.1/32 encap gre4");
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.5");
    assert_eq!(server(&bed.reaching_servers([flow(1)])[0]).octets(), [10, 0, 2, 5]);
    bed.vppctl("test lb flowtable flush");
    assert_eq!(bed.vppctl("show lb vips"), "ip4-gre4 90.0.0.1/32 new_size:1024 #as:1\n");
}

#[test]
fn silent_flows_are_swept() {
    let mut bed = three();
    bed.vppctl("lb conf timeout 1 buckets 16384");
    assert_eq!(bed.reaching_servers((0..1000).map(flow)).len(), 1000);
    assert!(bed.vppctl("show lb").contains("  usage: 1000 / 65536\n"));
    bed.vppctl("lb vip 90.0.0.1/32 del");
    assert!(bed.vppctl("show lb vips").contains("removed"));
    std::thread::sleep(Duration::from_millis(3100));
    // A little in every pass.
    for _ in 0..16384 / 256 {
        assert!(bed.vppctl("show lb").contains("usage"));
        bed.send(Vec::<Vec<u8>>::new());
    }
    assert_eq!(bed.vppctl("show lb vips"), "");
    assert!(!bed.vppctl("show lb").contains("usage"));
}

#[test]
fn a_flushed_vip_gives_its_flows_anew() {
    let mut bed = three();
    let flows: Vec<Vec<u8>> = (0..200).map(flow).collect();
    let first = bed.reaching_servers(flows.clone());
    bed.vppctl("lb conf buckets 65536");
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.5");
    assert!(bed.vppctl("lb flush vip 90.0.0.1/32").starts_with("lb_flush_vip ok 1\n"));
    let now = bed.reaching_servers(flows);
    let moved = first.iter().zip(&now).filter(|(before, now)| server(before) != server(now)).count();
    assert!(now.iter().any(|left| server(left).octets() == [10, 0, 2, 5]));
    assert!((20..100).contains(&moved), "{moved} of 200");
}

/// Whatever is refused changes nothing: packets go as before.
#[test]
fn what_is_refused_changes_nothing() {
    let mut bed = three();
    let (flows, shown) = ((0..50).map(flow).collect::<Vec<_>>(), |bed: &mut Bed| bed.vppctl("show lb vips verbose"));
    let first = bed.reaching_servers(flows.clone());
    let before = shown(&mut bed);
    for (line, words) in [
        ("lb conf buckets 33", "lb conf: buckets must be a power of two"),
        ("lb conf buckets 4294967296", "expected a power of two"),
        ("lb conf buckets 64 ip4-src-address 224.0.0.1", "lb conf: source 224.0.0.1: not the address of one host"),
        ("lb vip 90.0.0.1/32 encap gre4", "already exists"),
        ("lb vip 90.0.0.1/33", "invalid vip prefix: '90.0.0.1/33'"),
        ("lb vip foo", "lb vip: invalid vip prefix: 'foo'"),
        ("lb vip 1.2.3.4/32 encap bogus", "bogus"),
        ("lb vip 1.2.3.4/32 protocol tcp port 65536", "65536"),
        ("lb vip 1.2.3.4/32 encap gre4 new_len 1000", "new_len"),
        ("lb vip 9.9.9.9/32 del", "no VIP 9.9.9.9/32"),
        ("lb as 90.0.0.1/32", "No AS address provided"),
        ("lb as 90.0.0.1/32 10.0.2.2", "already there"),
        ("lb as 90.0.0.1/32 10.0.2.9 90.0.0.1", "lies within VIP 90.0.0.1/32"),
        ("lb as 90.0.0.1/32 10.0.2.9 2001::1", "2001::1"),
        ("lb as 90.0.0.1/32 10.0.2.9 del", "no server 10.0.2.9"),
        ("lb as 90.0.0.1/32 10.0.2.2 weight 10 del", "weight and del are mutually exclusive"),
        ("lb as 90.0.0.1/32 10.0.2.2 weight 101", "weight must be between 0 and 100"),
        ("lb as 9.9.9.9/32 10.0.2.2", "no VIP 9.9.9.9/32"),
    ] {
        let error = bed.refused(line);
        assert!(error.contains(words), "`{line}': {error}");
        assert_eq!(shown(&mut bed), before, "`{line}'");
    }
    assert_eq!(bed.reaching_servers(flows), first);
}

/// Neighbours of a VIP: one of few slots, one inside another, one of a single port.
#[test]
fn what_cannot_stand_beside_others_is_refused() {
    let mut bed = three();
    bed.type_all(&[
        "lb vip 94.0.0.77/24 encap gre4 new_len 2",
        "lb as 94.0.0.1/24 10.0.2.2 10.0.2.3",
        "lb vip 95.0.0.0/24 protocol tcp port 80",
        "lb vip 95.0.0.1/32",
    ]);
    let before = bed.vppctl("show lb vips verbose");
    let room = "VIP 94.0.0.0/24: new_len 2 has no slot for every server, new_len 4 would do";
    for (line, words) in [
        ("lb as 94.0.0.0/24 10.0.2.4", room),
        ("lb as 94.0.0.0/24 10.0.2.4 10.0.2.5 weight 1", room),
        ("lb vip 94.0.0.0/24 protocol tcp port 80", "there is a VIP for all ports of this prefix"),
        ("lb vip 95.0.0.0/24", "there is a VIP for a single port of this prefix"),
        ("lb vip 95.0.0.9/24 protocol tcp port 80", "VIP 95.0.0.0/24 protocol tcp port 80 already exists"),
        ("lb vip 95.0.0.0/24 del", "no VIP 95.0.0.0/24"),
        ("lb vip 95.0.0.0/24 protocol udp port 80 del", "no VIP 95.0.0.0/24 protocol udp port 80"),
        ("lb as 95.0.0.0/24 10.0.2.2", "no VIP 95.0.0.0/24"),
        ("lb flush vip 95.0.0.0/24", "no VIP 95.0.0.0/24"),
        ("lb as 95.0.0.1/32 95.0.0.2", "server 95.0.0.2 lies within VIP 95.0.0.0/24"),
        ("lb as 95.0.0.0/24 protocol tcp port 80 90.0.0.1", "server 90.0.0.1 lies within VIP 90.0.0.1/32"),
        ("lb vip 10.0.0.0/8", "server 10.0.2.2 lies within VIP 10.0.0.0/8"),
        ("lb vip 0.0.0.0/0", "lies within VIP 0.0.0.0/0"),
    ] {
        let error = bed.refused(line);
        assert!(error.contains(words), "`{line}': {error}");
        assert_eq!(bed.vppctl("show lb vips verbose"), before, "`{line}'");
    }
    // What was in the way goes, and there is room.
    bed.type_all(&["lb as 94.0.0.0/24 10.0.2.3 weight 0", "lb as 94.0.0.0/24 10.0.2.4"]);
    bed.type_all(&["lb vip 95.0.0.0/24 protocol tcp port 80 del", "lb vip 95.0.0.0/24", "lb vip 95.0.0.1/32 del"]);
}

/// TCP flows of one packet, TCP flows of more, and others have timeouts of their own.
#[test]
fn timeouts_by_state() {
    let mut bed = three();
    bed.vppctl("lb conf buckets 16384 timeout 1000 half-open 1 udp 3");
    let half_open: Vec<Vec<u8>> = (0..100).map(flow).collect();
    let established: Vec<Vec<u8>> = (100..200).map(flow).collect();
    let datagrams: Vec<Vec<u8>> = (0..100).map(|port| udp(ip([10, 9, 0, 1], VIP), 1024 + port, 53, 0)).collect();
    for frames in [&half_open, &established, &established, &datagrams] {
        assert_eq!(bed.reaching_servers(frames.clone()).len(), 100);
    }
    let shown = bed.vppctl("show lb");
    assert!(
        shown.contains("  timeout: 3s\n")
            && shown.contains("  tcp timeouts: half-open 1s established 1000s closing 1000s\n")
    );
    let states = |bed: &mut Bed| {
        let text = bed.vppctl("show lb flows max 1000");
        ["half-open", "established", "plain"].map(|state| text.matches(&format!(" {state} ")).count())
    };
    assert_eq!(states(&mut bed), [100, 100, 100]);
    std::thread::sleep(Duration::from_millis(2300));
    // Time goes on with the next pass.
    bed.send(Vec::<Vec<u8>>::new());
    assert_eq!(states(&mut bed)[..2], [0, 100]);
    std::thread::sleep(Duration::from_millis(2300));
    bed.send(Vec::<Vec<u8>>::new());
    assert_eq!(states(&mut bed), [0, 100, 0]);
    for (line, sentence) in [
        ("lb conf half-open 0", "lb conf: expected a number of seconds from 1 to 524288, got `0'"),
        ("lb conf established 524289", "lb conf: expected a number of seconds from 1 to 524288, got `524289'"),
        ("lb conf udp 1 udp 2", "lb conf: `udp' is given twice"),
    ] {
        assert_eq!(bed.refused(line).trim_end(), sentence);
    }
}
