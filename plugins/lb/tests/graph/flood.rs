//! The flow table under attack.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::balancing::three;
use crate::bed::Bed;
use crate::frames::{flow, server, syn};

const BUCKETS: u32 = 2048;
/// Ten times the table's size.
const SYNS: u32 = 10 * 4 * BUCKETS;

/// `show lb` says how many half-open flows were evicted, and how many found no entry.
fn pressed(bed: &mut Bed) -> [u64; 2] {
    let text = bed.vppctl("show lb");
    let number = |words: &str| {
        let rest = text.split_once(words).unwrap_or_else(|| panic!("no {words} in {text}")).1;
        rest.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap()
    };
    [number("half-open flows evicted: "), number("flows refused: ")]
}

#[test]
fn a_flood_of_syns_moves_no_established_flow() {
    let mut bed = three();
    bed.vppctl(&format!("lb conf buckets {BUCKETS} timeout 1000"));
    // So few that no bucket is full of them.
    let flows: Vec<Vec<u8>> = (0..100).map(flow).collect();
    let servers: Vec<Ipv4Addr> = bed.reaching_servers(flows.clone()).iter().map(|left| server(left)).collect();
    assert_eq!(bed.reaching_servers(flows.clone()).len(), flows.len());
    assert_eq!(bed.shown("first session packet"), 100);
    // In two seconds, because what waits for less than one does not give way.
    for half in 0..2 {
        let syns = (half * SYNS / 2..(half + 1) * SYNS / 2).map(syn);
        assert_eq!(bed.reaching_servers(syns).len() as u32, SYNS / 2);
        std::thread::sleep(Duration::from_millis(1100));
    }
    let [evicted, refused] = pressed(&mut bed);
    println!(
        "{SYNS} SYNs, {} entries: {evicted} half-open flows evicted, {refused} SYNs without an entry",
        4 * BUCKETS
    );
    assert!(evicted > 1000 && refused > 1000);
    // A flow whose entry was lost would go to the only server that takes new ones.
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.5", "lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4 del"]);
    let now: Vec<Ipv4Addr> = bed.reaching_servers(flows).iter().map(|left| server(left)).collect();
    assert_eq!(now, servers);
    // New connections get entries although the table is full.
    let before = bed.shown("first session packet");
    let new: Vec<Vec<u8>> = (1000..1100).map(flow).collect();
    for _ in 0..2 {
        assert!(bed.reaching_servers(new.clone()).iter().all(|left| server(left) == Ipv4Addr::new(10, 0, 2, 5)));
    }
    assert!(bed.shown("first session packet") - before >= 95);
}
