//! The trie against the obvious list of prefixes, changes of all kinds mixed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fib::address::PrefixTrie;
use crate::ids::ForwardIndex;

/// Prefixes that meet: few distinct bits, all lengths.
fn prefix() -> impl Strategy<Value = Prefix<Ipv4Addr>> {
    let byte = || prop_oneof![Just(0u8), Just(1), Just(10), Just(128), Just(255)];
    let len = prop_oneof![0..=32u8, Just(0), Just(8), Just(16), Just(24), Just(32)];
    ([byte(), byte(), byte(), byte()], len).prop_map(|(a, len)| Prefix::new(Ipv4Addr::from(a), len).unwrap())
}

#[derive(Clone, Debug)]
enum Change {
    Put(Prefix<Ipv4Addr>, u32),
    Take(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (prefix(), 1..1000u32).prop_map(|(p, f)| Change::Put(p, f)),
        2 => any::<usize>().prop_map(Change::Take),
    ]
}

fn best(model: &BTreeMap<Prefix<Ipv4Addr>, u32>, address: Ipv4Addr) -> (u32, u8) {
    let covers = model.iter().filter(|(p, _)| p.contains(address));
    covers.max_by_key(|(p, _)| p.len()).map_or((0, 0), |(p, &f)| (f, p.len()))
}

fn cover(model: &BTreeMap<Prefix<Ipv4Addr>, u32>, prefix: Prefix<Ipv4Addr>) -> (u32, u8) {
    let covers = model.iter().filter(|(p, _)| p.contains(prefix.address()) && p.len() < prefix.len());
    covers.max_by_key(|(p, _)| p.len()).map_or((0, 0), |(p, &f)| (f, p.len()))
}

/// Addresses at and beside the edges of all prefixes.
fn probes(model: &BTreeMap<Prefix<Ipv4Addr>, u32>) -> Vec<Ipv4Addr> {
    let edges = model.keys().flat_map(|p| [p.address().to_bits(), p.last().to_bits()]);
    let around = edges.flat_map(|e| [e.wrapping_sub(1), e, e.wrapping_add(1)]);
    around.chain([0, !0, 0x0a01_0203]).map(Ipv4Addr::from_bits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_is_longest_prefix_match(changes in prop::collection::vec(change(), 1..80)) {
        let mut trie = Trie4::default();
        let mut model = BTreeMap::new();
        let mut kept = Vec::new();
        for (i, change) in changes.iter().enumerate() {
            match *change {
                Change::Put(p, f) => {
                    trie.insert(p, ForwardIndex(f));
                    model.insert(p, f);
                }
                Change::Take(n) if !model.is_empty() => {
                    let p = *model.keys().nth(n % model.len()).unwrap();
                    model.remove(&p);
                    let (f, len) = cover(&model, p);
                    trie.remove(p, ForwardIndex(f), len);
                }
                Change::Take(_) => {}
            }
            if i % 16 == 0 {
                kept.push((trie.publish(), model.clone()));
            }
        }
        kept.push((trie.publish(), model.clone()));
        // Every version answers as it did when it was published.
        for (version, model) in &kept {
            for address in probes(model) {
                prop_assert_eq!(version.lookup(address.to_bits()).0, best(model, address).0, "{}", address);
            }
        }
        while let Some(p) = model.keys().next().copied() {
            model.remove(&p);
            let (f, len) = cover(&model, p);
            trie.remove(p, ForwardIndex(f), len);
        }
        prop_assert_eq!(trie.blocks(), 0, "an empty trie has no blocks");
    }

    /// Whatever was done, and in whatever order, the table is what one built from the present routes alone would be.
    #[test]
    fn the_way_to_a_table_does_not_matter(steps in prop::collection::vec((0..12usize, 0..12usize, any::<bool>()), 1..60)) {
        let prefixes = ["0.0.0.0/0", "20.0.0.0/8", "20.1.0.0/16", "30.0.0.0/8", "30.0.0.1/32", "40.0.0.0/24",
            "10.0.2.128/25", "10.0.2.2/32", "50.0.0.0/8", "60.0.0.0/7", "60.0.0.0/31", "128.0.0.0/1"];
        let targets = ["10.0.2.2", "10.0.2.130", "10.0.1.2", "20.0.0.1", "20.1.0.1", "30.0.0.1", "30.0.0.2", "40.0.0.1",
            "50.0.0.1", "60.0.0.1", "200.0.0.1", "99.0.0.1"];
        let mut long_way = rib();
        let mut present: BTreeMap<_, ()> = BTreeMap::new();
        for &(p, t, add) in &steps {
            let (p, path) = (net(prefixes[p]), via(targets[t]));
            if add {
                long_way.add_route(Source::Cli, p, path).unwrap();
                present.insert((p, path), ());
            } else if present.remove(&(p, path)).is_some() {
                long_way.del_route(Source::Cli, p, path).unwrap();
            }
        }
        let mut short_way = rib();
        for &(p, path) in present.keys() {
            short_way.add_route(Source::Cli, p, path).unwrap();
        }
        for address in targets.into_iter().chain(["20.1.1.1", "60.0.0.2", "61.0.0.0", "10.0.2.129", "1.1.1.1"]) {
            prop_assert_eq!(goes(&mut long_way, address), goes(&mut short_way, address), "{}", address);
        }
        for &(p, path) in present.keys() {
            long_way.del_route(Source::Cli, p, path).unwrap();
        }
        prop_assert_eq!(long_way.followed.len(), 0);
        prop_assert_eq!(long_way.slots.iter().count(), rib().slots.iter().count());
    }
}
