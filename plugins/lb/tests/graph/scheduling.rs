//! Schedulers, and changing from one to another.

use std::collections::BTreeMap;

use crate::bed::Bed;
use crate::frames::{VIP, flow, ip, server, tcp};

/// How many of the flows each server was given, by the last octet of its address.
fn shares(bed: &mut Bed, flows: impl Iterator<Item = u32>) -> BTreeMap<u8, usize> {
    let frames: Vec<Vec<u8>> = flows.map(flow).collect();
    let mut shares = BTreeMap::new();
    for left in bed.reaching_servers(frames) {
        *shares.entry(server(&left).octets()[3]).or_default() += 1;
    }
    shares
}

/// 90.0.0.1/32 with this scheduler, and servers 10.0.2.2 to 10.0.2.4 with weights of 100, 50 and 25. So many buckets that
/// none is ever full.
fn weighted(scheduler: &str) -> Bed {
    let mut bed = Bed::new();
    bed.type_all(&[
        "lb conf buckets 65536",
        &format!("lb vip 90.0.0.1/32 encap gre4 scheduler {scheduler}"),
        "lb as 90.0.0.1/32 10.0.2.2",
        "lb as 90.0.0.1/32 10.0.2.3 weight 50",
        "lb as 90.0.0.1/32 10.0.2.4 weight 25",
    ]);
    bed
}

#[test]
fn turns_go_round() {
    let mut bed = weighted("rr");
    let shown = bed.vppctl("show lb vips verbose");
    assert!(
        shown.contains("  new_size:1024\n  scheduler:rr\n  overhead:24 mtu:8976 ping:balance\n  counters:\n"),
        "{shown}"
    );
    assert_eq!(shares(&mut bed, 0..300), [(2, 100), (3, 100), (4, 100)].into());
    // A flow that goes on takes no turn.
    assert_eq!(shares(&mut bed, 0..300), [(2, 100), (3, 100), (4, 100)].into());
    assert_eq!(shares(&mut bed, 300..302).len(), 2);
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 weight 0");
    assert_eq!(shares(&mut bed, 400..500), [(2, 50), (4, 50)].into());
}

#[test]
fn turns_by_weight() {
    let mut bed = weighted("wrr");
    assert_eq!(shares(&mut bed, 0..7), [(2, 4), (3, 2), (4, 1)].into());
    assert_eq!(shares(&mut bed, 7..707), [(2, 400), (3, 200), (4, 100)].into());
    // Wherever it stops, everybody has had his share to less than one flow.
    let mut had = [0.0; 3];
    for flow in 1000..1014 {
        let (server, _) = shares(&mut bed, flow..flow + 1).pop_first().unwrap();
        had[usize::from(server) - 2] += 1.0;
        for (had, weight) in had.iter().zip([4.0, 2.0, 1.0]) {
            let ideal = f64::from(flow - 999) * weight / 7.0;
            assert!((had - ideal).abs() < 1.0, "{had} of {ideal}");
        }
    }
}

#[test]
fn the_least_loaded_server_gets_the_flow() {
    let mut bed = weighted("lc");
    assert_eq!(shares(&mut bed, 0..90), [(2, 30), (3, 30), (4, 30)].into());
    // A server that comes is behind, and catches up.
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.5");
    assert_eq!(shares(&mut bed, 100..130), [(5, 30)].into());
    assert_eq!(shares(&mut bed, 130..150), [(2, 5), (3, 5), (4, 5), (5, 5)].into());
    // So does one that lost its flows.
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 weight 50 flush");
    assert_eq!(shares(&mut bed, 200..235), [(3, 35)].into());
}

#[test]
fn the_least_loaded_for_its_weight_gets_the_flow() {
    let mut bed = weighted("wlc");
    assert_eq!(shares(&mut bed, 0..700), [(2, 400), (3, 200), (4, 100)].into());
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 weight 25");
    // 400, 200 and 100 flows on weights of 25, 50 and 25.
    assert_eq!(shares(&mut bed, 1000..1300), [(3, 200), (4, 100)].into());
}

#[test]
fn hashes_go_by_the_source_or_by_the_flow() {
    let mut bed = weighted("sh");
    let from = |host: u8| (0..20).map(move |port| tcp(ip([10, 9, 1, host], VIP), 4000 + port, 80, 0));
    let mut shares = BTreeMap::new();
    for host in 0..250 {
        let left = bed.reaching_servers(from(host));
        assert!(left.len() == 20 && left.iter().all(|one| server(one) == server(&left[0])));
        *shares.entry(server(&left[0]).octets()[3]).or_default() += 1;
    }
    let share = |server| *shares.get(&server).unwrap_or(&0);
    assert!(share(2) > share(3) && share(3) > share(4) && share(4) > 10, "{shares:?}");
    let mut bed = weighted("hash");
    let shares = self::shares(&mut bed, 0..3000);
    assert!(shares.len() == 3 && shares.values().all(|share| (900..1100).contains(share)), "{shares:?}");
}

/// A flow that finds its bucket full is new with every packet: it goes to the same server all the same.
#[test]
fn flows_without_an_entry_stay_together() {
    for scheduler in ["rr", "wrr", "lc", "wlc", "sh", "hash"] {
        let mut bed = weighted(scheduler);
        bed.vppctl("lb conf buckets 1");
        let first = bed.reaching_servers((0..100).map(flow));
        for _ in 0..3 {
            assert_eq!(bed.reaching_servers((0..100).map(flow)), first, "{scheduler}");
        }
        assert_eq!(bed.shown("first session packet"), 4);
    }
}

#[test]
fn known_flows_stay_when_the_scheduler_changes() {
    let mut bed = weighted("maglev");
    let flows: Vec<Vec<u8>> = (0..500).map(flow).collect();
    let first = bed.reaching_servers(flows.clone());
    for change in ["scheduler rr", "scheduler wlc", "scheduler hash", "scheduler sh", "new_len 65537 scheduler maglev"]
    {
        bed.vppctl(&format!("lb vip 90.0.0.1/32 {change}"));
        assert_eq!(bed.reaching_servers(flows.clone()), first, "{change}");
    }
    let shown = bed.vppctl("show lb vips verbose");
    assert!(shown.contains("  new_size:65537\n  scheduler:maglev\n"), "{shown}");
    // New flows go by the new one.
    bed.vppctl("lb vip 90.0.0.1/32 scheduler rr");
    assert_eq!(shares(&mut bed, 1000..1300), [(2, 100), (3, 100), (4, 100)].into());
}

#[test]
fn what_cannot_be_is_refused() {
    let mut bed = weighted("rr");
    let before = bed.vppctl("show lb vips verbose");
    for (line, sentence) in [
        (
            "lb vip 91.0.0.1/32 scheduler foo",
            "lb vip: unknown scheduler `foo' (there are: maglev, rr, wrr, lc, wlc, sh, hash)",
        ),
        (
            "lb vip 91.0.0.1/32 scheduler",
            "lb vip: expected a scheduler (maglev, rr, wrr, lc, wlc, sh or hash), got nothing",
        ),
        ("lb vip 91.0.0.1/32 scheduler rr scheduler lc", "lb vip: `scheduler' is given twice"),
        ("lb vip 90.0.0.1/32 scheduler lc del", "lb vip: scheduler and del are mutually exclusive"),
        ("lb vip 90.0.0.1/32 encap gre4", "lb vip: VIP 90.0.0.1/32 already exists"),
        (
            "lb vip 90.0.0.1/32 scheduler lc src_ip_sticky",
            "lb vip: VIP 90.0.0.1/32 already exists, with flows told apart by ports too: src_ip_sticky cannot be changed",
        ),
        (
            "lb vip 90.0.0.1/32 scheduler lc encap ipip4",
            "lb vip: VIP 90.0.0.1/32 already exists, with encap gre4: encap cannot be changed",
        ),
        (
            "lb vip 90.0.0.1/32 new_len 1000",
            "lb vip: new_len must be a power of two or a prime, at most 33554432, not 1000",
        ),
        (
            "lb vip 90.0.0.1/32 new_len 2 scheduler maglev",
            "lb vip: VIP 90.0.0.1/32: new_len 2 has no slot for every server, new_len 4 would do",
        ),
    ] {
        assert_eq!(bed.refused(line).trim_end(), sentence);
    }
    assert_eq!(bed.vppctl("show lb vips verbose"), before);
}
