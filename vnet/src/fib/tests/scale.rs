//! Many routes.

use super::*;

/// Debug builds do with fewer.
const MANY: u32 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

#[test]
fn many_routes_come_and_go_and_old_versions_stay() {
    let mut rib = rib();
    let blocks = rib.trie.blocks();
    let host = |i: u32| Prefix::host(Ipv4Addr::from_bits(0x1400_0000 + i));
    let started = std::time::Instant::now();
    for i in 0..MANY {
        rib.add_route(Source::Cli, host(i), on("10.0.2.2", L1)).unwrap();
    }
    let full = rib.publish();
    println!("{MANY} routes added and published in {:?}", started.elapsed());
    assert_eq!(goes(&mut rib, "20.0.255.1"), "arp 10.0.2.2");
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    assert_eq!(goes(&mut rib, "20.0.255.1"), "via 10.0.2.2 2", "one entry changed, not all routes");
    let started = std::time::Instant::now();
    for i in 0..MANY {
        rib.del_route(Source::Cli, host(i), on("10.0.2.2", L1)).unwrap();
    }
    println!("deleted in {:?}", started.elapsed());
    assert_eq!(goes(&mut rib, "20.0.255.1"), "drop");
    assert_eq!(rib.trie.blocks(), blocks);
    assert_eq!(say(&full, full.forward(full.lookup(0x1400_ff01))), "arp 10.0.2.2");
}

#[test]
fn routes_that_go_give_their_memory_back() {
    let mut rib = rib();
    let (blocks, capacity) = (rib.trie.chunks(), rib.entries.capacity());
    // Far from each other: nearly every one of them needs a block of its own.
    let host = |i: u32| Prefix::host(Ipv4Addr::from_bits(0x1400_0000 + (i.wrapping_mul(0x9e37_79b1) >> 5)));
    for i in 0..MANY / 20 {
        rib.add_route(Source::Cli, host(i), on("10.0.2.2", L1)).unwrap();
    }
    let kept = rib.publish();
    assert!(rib.trie.chunks() > 50 && rib.entries.capacity() >= MANY as usize / 20);
    for i in 0..MANY / 20 {
        rib.del_route(Source::Cli, host(i), on("10.0.2.2", L1)).unwrap();
    }
    assert_eq!(rib.trie.chunks(), blocks);
    assert!(rib.entries.capacity() <= capacity.max(8 * 512));
    assert_eq!(say(&kept, kept.forward(kept.lookup(host(7).address().to_bits()))), "arp 10.0.2.2");
    rib.add_route(Source::Cli, host(7), on("10.0.1.2", L0)).unwrap();
    assert_eq!(goes(&mut rib, &host(7).address().to_string()), "arp 10.0.1.2");
}

#[test]
fn publishing_one_route_does_not_copy_all() {
    let mut rib = rib();
    let net = |i: u32| Prefix::new(Ipv4Addr::from_bits(0x1400_0000 + (i << 8)), 24).unwrap();
    for i in 0..MANY / 4 {
        rib.add_route(Source::Cli, net(i), on("10.0.2.2", L1)).unwrap();
    }
    let mut kept = rib.publish();
    let started = std::time::Instant::now();
    for i in 0..1000 {
        rib.add_route(Source::Api, net(i * 16), on("10.0.1.2", L0)).unwrap();
        kept = rib.publish();
    }
    println!("{:?} per route with its own version", started.elapsed() / 1000);
    assert_eq!(say(&kept, kept.forward(kept.lookup(0x1400_0001))), "arp 10.0.1.2");
}
