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
            let probes = probes(model);
            let mut together = vec![ForwardIndex(u32::MAX); probes.len()];
            Trie4::find_many(version, &probes, &mut together);
            for (address, together) in probes.into_iter().zip(together) {
                let alone = version.lookup(address.to_bits());
                prop_assert_eq!((alone.0, together.0), (best(model, address).0, alone.0), "{}", address);
            }
        }
        while let Some(p) = model.keys().next().copied() {
            model.remove(&p);
            let (f, len) = cover(&model, p);
            trie.remove(p, ForwardIndex(f), len);
        }
        prop_assert_eq!(trie.blocks(), 0, "an empty trie has no blocks");
    }

    /// Whatever was done, and in whatever order, the table is what one built from the present facts alone would be.
    #[test]
    fn the_way_to_a_table_does_not_matter(steps in prop::collection::vec(step(), 1..60)) {
        let mut facts = Facts::default();
        let mut long_way = rib();
        for step in &steps {
            facts.take(&mut long_way, step);
        }
        let mut short_way = rib();
        facts.build(&mut short_way);
        for address in TARGETS.iter().copied().chain(["20.1.1.1", "60.0.0.2", "61.0.0.0", "10.0.2.129", "1.1.1.1"]) {
            prop_assert_eq!(goes(&mut long_way, address), goes(&mut short_way, address), "{}", address);
        }
        prop_assert_eq!(long_way.slots.iter().count(), short_way.slots.iter().count(), "entries are left behind");
        prop_assert_eq!(long_way.adjacency_rows().len(), short_way.adjacency_rows().len());
        facts.undo(&mut long_way);
        prop_assert_eq!(long_way.followed.len(), 0);
        prop_assert_eq!(long_way.slots.iter().count(), rib().slots.iter().count());
        prop_assert_eq!(long_way.trie.blocks(), rib().trie.blocks());
    }
}

const PREFIXES: [&str; 12] = [
    "0.0.0.0/0",
    "20.0.0.0/8",
    "20.1.0.0/16",
    "30.0.0.0/8",
    "30.0.0.1/32",
    "40.0.0.0/24",
    "10.0.2.128/25",
    "10.0.2.2/32",
    "50.0.0.0/8",
    "60.0.0.0/7",
    "60.0.0.0/31",
    "128.0.0.0/1",
];
const TARGETS: [&str; 12] = [
    "10.0.2.2",
    "10.0.2.130",
    "10.0.1.2",
    "20.0.0.1",
    "20.1.0.1",
    "30.0.0.1",
    "30.0.0.2",
    "40.0.0.1",
    "50.0.0.1",
    "60.0.0.1",
    "200.0.0.1",
    "99.0.0.1",
];

#[derive(Clone, Debug)]
enum Step {
    Add(usize, Path<Ipv4Addr>),
    Remove(usize),
    Neighbour(usize),
    Link,
    Follow(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let path = (0..TARGETS.len(), 0..4u8, 1..4u32, 0..2u8).prop_map(|(t, kind, weight, preference)| {
        let target = match kind {
            0 => Target::NextHop { address: ip(TARGETS[t]), interface: L1 },
            1 if t == 0 => Target::Drop,
            1 if t < 3 => Target::Attached(if t == 1 { L1 } else { GRE }),
            _ => Target::Recursive(ip(TARGETS[t])),
        };
        Path { target, weight, preference }
    });
    prop_oneof![
        6 => (0..PREFIXES.len(), path).prop_map(|(p, path)| Step::Add(p, path)),
        4 => any::<usize>().prop_map(Step::Remove),
        2 => (0..2usize).prop_map(Step::Neighbour),
        1 => Just(Step::Link),
        1 => (0..TARGETS.len()).prop_map(Step::Follow),
    ]
}

/// What is the case now.
#[derive(Default)]
struct Facts {
    paths: BTreeMap<(Prefix<Ipv4Addr>, Target<Ipv4Addr>), Path<Ipv4Addr>>,
    neighbours: [bool; 2],
    down: bool,
    followed: BTreeMap<usize, TrackIndex>,
}

impl Facts {
    fn take(&mut self, rib: &mut Rib4, step: &Step) {
        match *step {
            Step::Add(p, path) => {
                rib.add_route(Source::Cli, net(PREFIXES[p]), path).unwrap();
                self.paths.insert((net(PREFIXES[p]), path.target), path);
            }
            Step::Remove(n) if !self.paths.is_empty() => {
                let (&key, &path) = self.paths.iter().nth(n % self.paths.len()).unwrap();
                self.paths.remove(&key);
                rib.del_route(Source::Cli, key.0, path).unwrap();
            }
            Step::Remove(_) => {}
            Step::Neighbour(n) => {
                self.neighbours[n] = !self.neighbours[n];
                match self.neighbours[n] {
                    true => rib.set_neighbour(L1, ip(TARGETS[n]), MAC, true),
                    false => rib.remove_neighbour(L1, ip(TARGETS[n])).unwrap(),
                }
            }
            Step::Link => {
                self.down = !self.down;
                let up = facts(L1, "host-l1", LinkKind::Ethernet, MAC);
                rib.interface_changed(InterfaceFacts { up: !self.down, ..up });
            }
            Step::Follow(t) => match self.followed.remove(&t) {
                Some(track) => rib.untrack(track),
                None => {
                    let track = rib.track(ip(TARGETS[t]));
                    self.followed.insert(t, track);
                }
            },
        }
    }

    fn build(&self, rib: &mut Rib4) {
        for (&(prefix, _), &path) in &self.paths {
            rib.add_route(Source::Cli, prefix, path).unwrap();
        }
        for n in (0..2).filter(|&n| self.neighbours[n]) {
            rib.set_neighbour(L1, ip(TARGETS[n]), MAC, true);
        }
        let up = facts(L1, "host-l1", LinkKind::Ethernet, MAC);
        rib.interface_changed(InterfaceFacts { up: !self.down, ..up });
        for &t in self.followed.keys() {
            rib.track(ip(TARGETS[t]));
        }
    }

    fn undo(&mut self, rib: &mut Rib4) {
        for (&(prefix, _), &path) in &self.paths {
            rib.del_route(Source::Cli, prefix, path).unwrap();
        }
        for n in (0..2).filter(|&n| self.neighbours[n]) {
            rib.remove_neighbour(L1, ip(TARGETS[n])).unwrap();
        }
        for &track in self.followed.values() {
            rib.untrack(track);
        }
    }
}
