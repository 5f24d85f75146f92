//! IPv6's trie against the obvious list of prefixes.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::fib::address::PrefixTrie;
use crate::ids::ForwardIndex;

type Model = BTreeMap<Prefix<Ipv6Addr>, u32>;

/// Prefixes that meet: few distinct bits, all lengths.
fn prefix() -> impl Strategy<Value = Prefix<Ipv6Addr>> {
    let part = || prop_oneof![3 => Just(0u16), 1 => Just(1), 1 => Just(0x8000), 1 => Just(0xffff)];
    let parts = prop::array::uniform8(part());
    let len = prop_oneof![3 => 0..=128u8, 1 => Just(0), 1 => Just(48), 1 => Just(64), 1 => 126..=128u8];
    (parts, len).prop_map(|(parts, len)| Prefix::new(Ipv6Addr::from(parts), len).unwrap())
}

#[derive(Clone, Debug)]
enum Change {
    Put(Prefix<Ipv6Addr>, u32),
    Take(usize),
    TakeUnknown(Prefix<Ipv6Addr>),
}

/// Prefixes that crowd some nodes: below 2001:db8::/32, of which those of a length often differ in few bits.
fn crowded() -> impl Strategy<Value = Prefix<Ipv6Addr>> {
    (any::<u32>(), 30..=60u8).prop_map(|(bits, len)| {
        let bits = u128::from(bits & 0x0f0f_ff0f) << 64;
        Prefix::new(Ipv6Addr::from_bits(0x2001_0db8 << 96 | bits), len).unwrap()
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (prefix(), 1..1000u32).prop_map(|(p, f)| Change::Put(p, f)),
        3 => (crowded(), 1..1000u32).prop_map(|(p, f)| Change::Put(p, f)),
        4 => any::<usize>().prop_map(Change::Take),
        1 => prefix().prop_map(Change::TakeUnknown),
    ]
}

fn best(model: &Model, address: Ipv6Addr) -> u32 {
    let covers = model.iter().filter(|(p, _)| p.contains(address));
    covers.max_by_key(|(p, _)| p.len()).map_or(0, |(_, &f)| f)
}

fn remove(trie: &mut Trie6, model: &mut Model, prefix: Prefix<Ipv6Addr>) {
    model.remove(&prefix);
    let covers = model.iter().filter(|(p, _)| p.contains(prefix.address()) && p.len() < prefix.len());
    let (f, len) = covers.max_by_key(|(p, _)| p.len()).map_or((0, 0), |(p, &f)| (f, p.len()));
    trie.remove(prefix, ForwardIndex(f), len);
}

/// Addresses at and beside the edges of all prefixes.
fn probes(model: &Model) -> Vec<Ipv6Addr> {
    let edges = model.keys().flat_map(|p| [p.address().to_bits(), p.last().to_bits()]);
    let around = edges.flat_map(|e| [e.wrapping_sub(1), e, e.wrapping_add(1), e ^ 1 << 64]);
    around.chain([0, !0, 0x2001 << 112]).map(Ipv6Addr::from_bits).collect()
}

/// A look-up of each address alone and of all together, against the list.
fn check(version: &Fib6, model: &Model) -> Result<(), TestCaseError> {
    let probes = probes(model);
    let mut together = vec![ForwardIndex(u32::MAX); probes.len()];
    version.lookup_many(&probes, &mut together);
    for (address, together) in probes.into_iter().zip(together) {
        let alone = version.lookup(address.to_bits());
        prop_assert_eq!((alone.0, together.0), (best(model, address), alone.0), "{}", address);
    }
    Ok(())
}

/// However a trie came about, it is the one that its prefixes make.
fn check_shape(trie: &Trie6, model: &Model) -> Result<(), TestCaseError> {
    let mut fresh = Trie6::default();
    model.iter().for_each(|(p, f)| fresh.insert(*p, ForwardIndex(*f)));
    prop_assert_eq!(trie.lines(), fresh.lines());
    Ok(())
}

/// All prefixes that end in one node, and one below each of its branches.
fn of_a_node() -> impl Strategy<Value = Vec<Prefix<Ipv6Addr>>> {
    let base = ip6("2001:db8::").to_bits();
    let prefix = move |bits: u128, len: u8| Prefix::new(Ipv6Addr::from_bits(base | bits << (128 - len)), len).unwrap();
    let ends = (0..6).flat_map(move |n: u8| (0..1 << n).map(move |bits| prefix(bits, 36 + n)));
    let below = (0..64).map(move |bits| prefix(bits << 6, 48));
    Just(ends.chain(below).collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_is_longest_prefix_match(changes in prop::collection::vec(change(), 1..80)) {
        let mut trie = Trie6::default();
        let mut model = Model::new();
        let mut kept = Vec::new();
        for (i, change) in changes.iter().enumerate() {
            match *change {
                Change::Put(p, f) => {
                    trie.insert(p, ForwardIndex(f));
                    model.insert(p, f);
                }
                Change::Take(n) if !model.is_empty() => {
                    let p = *model.keys().nth(n % model.len()).unwrap();
                    remove(&mut trie, &mut model, p);
                }
                Change::TakeUnknown(p) if !model.contains_key(&p) => remove(&mut trie, &mut model, p),
                Change::Take(_) | Change::TakeUnknown(_) => {}
            }
            if i % 16 == 0 {
                kept.push((trie.publish(), model.clone()));
            }
        }
        kept.push((trie.publish(), model.clone()));
        // Every version answers as it did when it was published.
        for (version, model) in &kept {
            check(version, model)?;
        }
        check_shape(&trie, &model)?;
        while let Some(p) = model.keys().next().copied() {
            remove(&mut trie, &mut model, p);
        }
        prop_assert_eq!((trie.lines(), trie.pages()), (0, 0), "nothing is left");
    }

    #[test]
    fn a_node_may_be_full(order in of_a_node(), back in of_a_node()) {
        let mut trie = Trie6::default();
        let mut model = Model::new();
        for (i, p) in (1..).zip(&order) {
            trie.insert(*p, ForwardIndex(i));
            model.insert(*p, i);
            if i % 9 == 0 {
                check(&trie.publish(), &model)?;
            }
        }
        check(&trie.publish(), &model)?;
        for (i, p) in back.iter().enumerate() {
            remove(&mut trie, &mut model, *p);
            if i % 9 == 0 {
                check(&trie.publish(), &model)?;
                check_shape(&trie, &model)?;
            }
        }
        prop_assert_eq!((trie.lines(), trie.pages()), (0, 0), "nothing is left");
    }
}

/// Lines are shared between versions by the page: a change leaves nearly all of them where they are.
#[test]
fn a_version_shares_what_did_not_change() {
    let mut trie = Trie6::default();
    let host =
        |i: u32| Prefix::host(Ipv6Addr::from_bits(0x2001 << 112 | u128::from(i.wrapping_mul(0x9e37_79b1)) << 64));
    (0..20_000).for_each(|i| trie.insert(host(i), ForwardIndex(i + 1)));
    let before = trie.publish();
    assert!(trie.pages() > 50);
    trie.insert(host(7), ForwardIndex(5));
    let after = trie.publish();
    assert!(before.pages_apart(&after) <= 1, "{} pages", before.pages_apart(&after));
    trie.insert(host(20_001), ForwardIndex(5));
    assert!(before.pages_apart(&trie.publish()) <= 5, "{} pages", before.pages_apart(&trie.publish()));
    assert_eq!((before.lookup(host(7).address().to_bits()).0, after.lookup(host(7).address().to_bits()).0), (8, 5));
}
