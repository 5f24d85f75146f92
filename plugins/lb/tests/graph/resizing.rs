//! Flow tables that change their size while packets flow.

use std::net::Ipv4Addr;
use std::time::Duration;

use lb::local::LbLocal;

use crate::balancing::three;
use crate::bed::Bed;
use crate::frames::flow;

/// Passes of the worker with nothing but what a resize left to do; what they took, the shortest first.
fn settle(bed: &mut Bed) -> Vec<Duration> {
    let mut passes = Vec::new();
    while bed.ask(|worker| worker.local::<LbLocal>().unwrap().flows.is_moving()) {
        passes.push(bed.timed(Vec::new()).1);
    }
    passes.sort();
    passes
}

fn old_tables(bed: &mut Bed) -> usize {
    bed.ask(|worker| worker.local::<LbLocal>().unwrap().flows.old_tables())
}

/// Most flows would go to another server if they were not known.
fn other_servers(bed: &mut Bed) {
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4 del", "lb as 90.0.0.1/32 10.0.2.5"]);
}

/// So few flows for so many buckets that none is ever full.
const FLOWS: u32 = 2000;
const SIZES: [u32; 6] = [1 << 16, 1 << 20, 1 << 17, 1 << 18, 1 << 16, 1 << 17];

#[test]
fn known_flows_keep_their_servers_while_tables_change_their_size() {
    let mut bed = three();
    bed.type_all(&["lb conf buckets 65536", "lb conf timeout 1000 half-open 1000"]);
    let flows: Vec<Vec<u8>> = (0..FLOWS).map(flow).collect();
    let (before, _) = bed.timed(flows.clone());
    other_servers(&mut bed);
    for buckets in &SIZES[1..] {
        bed.vppctl(&format!("lb conf buckets {buckets}"));
        // Some with packets while they move, all after.
        for part in flows.chunks(300).zip(before.chunks(300)).take(4) {
            let (now, _) = bed.timed(part.0.to_vec());
            assert_eq!(now, *part.1, "{buckets} buckets");
        }
        settle(&mut bed);
        assert_eq!(old_tables(&mut bed), 0);
        assert_eq!(bed.timed(flows.clone()).0, before, "{buckets} buckets");
        assert!(bed.vppctl("show lb").contains(&format!("  usage: {FLOWS} / {}\n", buckets * 4)));
        bed.collect();
    }
    assert_eq!(bed.shown("first session packet"), u64::from(FLOWS));
    assert_eq!(bed.shown("untracked packet"), 0);
}

#[test]
fn several_sizes_in_a_row() {
    let mut bed = three();
    bed.type_all(&["lb conf buckets 65536", "lb conf timeout 1000 half-open 1000"]);
    let flows: Vec<Vec<u8>> = (0..FLOWS).map(flow).collect();
    let (before, _) = bed.timed(flows.clone());
    other_servers(&mut bed);
    for (at, buckets) in SIZES[1..5].iter().enumerate() {
        bed.vppctl(&format!("lb conf buckets {buckets}"));
        // A table without flows would be gone at once.
        assert_eq!(bed.timed(vec![flows[at].clone()]).0, [before[at]]);
    }
    assert_eq!(old_tables(&mut bed), 4);
    let error = bed.refused("lb conf buckets 32 timeout 5");
    assert!(error.contains("resized several times just now"), "{error}");
    assert!(bed.vppctl("show lb").contains("  timeout: 1000s\n  usage: 2000 / 262144\n"));
    assert_eq!(bed.timed(flows.clone()).0, before);
    settle(&mut bed);
    bed.vppctl("lb conf buckets 262144");
    assert_eq!(bed.timed(flows).0, before);
}

/// From few buckets to many, further than what is in a table suffices for: flows come with their packets.
#[test]
fn a_small_table_becomes_a_large_one() {
    let mut bed = three();
    bed.type_all(&["lb conf timeout 1000", "lb conf buckets 32"]);
    let flows: Vec<Vec<u8>> = (0..20).map(flow).collect();
    let (before, _) = bed.timed(flows.clone());
    let untracked = bed.shown("untracked packet");
    other_servers(&mut bed);
    bed.vppctl("lb conf buckets 262144");
    let (now, _) = bed.timed(flows);
    let other = Ipv4Addr::new(10, 0, 2, 5);
    let moved =
        before.iter().zip(&now).filter(|(before, now)| before != now).inspect(|pair| assert_eq!(*pair.1, other));
    assert_eq!(moved.count() as u64, untracked);
    settle(&mut bed);
    assert_eq!(old_tables(&mut bed), 0);
}

#[test]
fn flows_are_flushed_from_old_tables_too() {
    let mut bed = three();
    let flows: Vec<Vec<u8>> = (0..500).map(flow).collect();
    bed.timed(flows.clone());
    other_servers(&mut bed);
    bed.type_all(&["lb conf buckets 65536", "test lb flowtable flush"]);
    assert_eq!(old_tables(&mut bed), 0);
    assert!(!bed.vppctl("show lb").contains("usage"));
    assert!(bed.timed(flows.clone()).0.iter().all(|server| *server == Ipv4Addr::new(10, 0, 2, 5)));
    // By a change of generation.
    bed.type_all(&["lb conf buckets 131072", "lb as 90.0.0.1/32 10.0.2.3", "lb as 90.0.0.1/32 10.0.2.5 del flush"]);
    assert!(bed.timed(flows).0.iter().all(|server| *server == Ipv4Addr::new(10, 0, 2, 3)));
}

/// Prints what the passes take in which flows are moved. The longest may be one in which the thread had to wait for
/// others: nothing is demanded of it.
#[test]
fn passes_of_a_resize_are_short() {
    const MANY: u32 = 100_000;
    let mut bed = three();
    bed.type_all(&["lb conf buckets 65536", "lb conf timeout 1000 half-open 1000"]);
    bed.timed((0..MANY).map(flow).collect());
    let known = bed.shown("first session packet");
    for buckets in [1 << 18, 1 << 16] {
        bed.vppctl(&format!("lb conf buckets {buckets}"));
        let passes = settle(&mut bed);
        let (count, at) = (passes.len(), |percent: usize| passes[(passes.len() - 1) * percent / 100]);
        println!("{buckets} buckets: {count} passes, half of them {:?}, 99 % {:?}, all {:?}", at(50), at(99), at(100));
        // So few buckets in each that there are many passes.
        assert!(count > 1000, "{count}");
        assert!(bed.vppctl("show lb").contains(&format!("usage: {known} / ")));
    }
}
