//! Routes: what was asked for, by whom, and what of it is in force.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ahash::AHashMap;
use smallvec::SmallVec;

use super::address::{Address, Prefix, PrefixTrie};
use super::attach::Interface;
use super::error::{FibError, MOST_PATHS};
use super::forward::Forward;
use super::interface::FibNodes;
use super::path::{Path, Source, Target};
use super::slots::{Key, NO_ROUTE, Numbers, Slots};
use super::snapshot::{Adjacencies, LoadBalances, Snapshot, TrackIndex};
use crate::ids::{ForwardIndex, IfIndex, NodeId};

/// A family's routes, with all that decides where they lead: interfaces, their addresses, neighbours.
///
/// Changes take effect for workers with the next [`publish`](Rib::publish).
#[derive(Debug)]
pub struct Rib<A: Address> {
    pub(super) nodes: FibNodes,
    pub(super) trie: A::Trie,
    pub(super) entries: AHashMap<Prefix<A>, Entry>,
    /// How many prefixes of each length there are.
    pub(super) lens: Vec<u32>,
    entry_numbers: Numbers,
    pub(super) slots: Slots<A>,
    /// The entries of recursive next hops and tracked addresses.
    pub(super) followed: BTreeMap<A, ForwardIndex>,
    /// How often each of them was asked for with `track`.
    pub(super) tracks: AHashMap<ForwardIndex, u32>,
    pub(super) adjacencies: Adjacencies,
    pub(super) adjacency_numbers: Numbers,
    pub(super) load_balances: LoadBalances,
    pub(super) load_balance_numbers: Numbers,
    pub(super) interfaces: BTreeMap<IfIndex, Interface<A>>,
    /// The entries whose adjacency is on an interface.
    pub(super) by_interface: AHashMap<IfIndex, BTreeSet<ForwardIndex>>,
    pub(super) neighbours: BTreeMap<(A, IfIndex), Neighbour>,
    version: u64,
}

/// IPv4 routes.
pub type Rib4 = Rib<Ipv4Addr>;

/// IPv6 routes.
pub type Rib6 = Rib<Ipv6Addr>;

/// A prefix that somebody has a route for.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in `show ip fib`.
    pub(super) number: u32,
    /// The entry that the trie has for the prefix.
    pub(super) active: ForwardIndex,
    /// Who has routes, the best first, and their paths' entry.
    pub(super) sources: SmallVec<[(Source, ForwardIndex); 1]>,
}

/// A neighbour whose link address is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub(super) mac: [u8; 6],
    /// True if it is to have a route of its own.
    pub(super) install: bool,
}

impl<A: Address> Rib<A> {
    /// No interfaces, and the family's special prefixes dropped.
    pub fn new(nodes: FibNodes) -> Self {
        let mut rib = Rib {
            nodes,
            trie: A::Trie::default(),
            entries: AHashMap::new(),
            lens: vec![0; usize::from(A::BITS) + 1],
            entry_numbers: Numbers::default(),
            slots: Slots::new(nodes.drop),
            followed: BTreeMap::new(),
            tracks: AHashMap::new(),
            adjacencies: Adjacencies::default(),
            adjacency_numbers: Numbers::default(),
            load_balances: LoadBalances::default(),
            load_balance_numbers: Numbers::default(),
            interfaces: BTreeMap::new(),
            by_interface: AHashMap::new(),
            neighbours: BTreeMap::new(),
            version: 0,
        };
        for prefix in A::specials() {
            // The default route is entry 0, "no route"; the others are known to be dropped on purpose.
            let key = if prefix.len() == 0 { Key::NoRoute } else { Key::One(Target::Drop) };
            rib.put(prefix, Source::DefaultRoute, Some(key));
        }
        rib
    }

    /// Sets how many workers count what they send. Before, it is one.
    pub(crate) fn set_workers(&mut self, workers: usize) {
        self.slots.counts.set_workers(workers);
    }

    /// The present state for workers. What has not changed since the last time is shared with it.
    pub fn publish(&mut self) -> Snapshot<A> {
        self.version += 1;
        Snapshot {
            lookup: self.trie.publish(),
            forwards: self.slots.forwards.clone(),
            adjacencies: self.adjacencies.clone(),
            load_balances: self.load_balances.clone(),
            counters: self.slots.counts.counters(),
            drop: self.nodes.drop,
            version: self.version,
        }
    }

    /// Adds a path to `source`'s route for a prefix; several paths share the flows. A path that leads where one already
    /// does replaces it: weight and preference may differ.
    ///
    /// # Errors
    /// An interface that is not known; more than 256 paths.
    pub fn add_route(&mut self, source: Source, prefix: Prefix<A>, path: Path<A>) -> Result<(), FibError> {
        if let Some(interface) = path.target.interface()
            && !self.interfaces.contains_key(&interface)
        {
            return Err(FibError::UnknownInterface(interface));
        }
        let path = Path { weight: path.weight.max(1), ..path };
        let Some(old) = self.slot_of(source, prefix) else {
            self.put(prefix, source, Some(Key::of(&[path])));
            return Ok(());
        };
        let mut paths = self.slots.get(old).key.paths();
        paths.retain(|p| p.target != path.target);
        if paths.len() == MOST_PATHS {
            return Err(FibError::TooManyPaths(prefix.to_string()));
        }
        paths.push(path);
        paths.sort_unstable();
        self.put(prefix, source, Some(Key::of(&paths)));
        Ok(())
    }

    /// Takes the path that leads where `path` does out of `source`'s route; with the last path the route goes.
    ///
    /// # Errors
    /// No such route, or no such path in it.
    pub fn del_route(&mut self, source: Source, prefix: Prefix<A>, path: Path<A>) -> Result<(), FibError> {
        let old = self.slot_of(source, prefix).ok_or_else(|| no_route(source, prefix))?;
        let mut paths = self.slots.get(old).key.paths();
        let before = paths.len();
        paths.retain(|p| p.target != path.target);
        if paths.len() == before {
            return Err(FibError::NoPath(prefix.to_string()));
        }
        self.put(prefix, source, (!paths.is_empty()).then(|| Key::of(&paths)));
        Ok(())
    }

    /// Removes `source`'s route with all its paths.
    ///
    /// # Errors
    /// No such route.
    pub fn del_prefix(&mut self, source: Source, prefix: Prefix<A>) -> Result<(), FibError> {
        self.slot_of(source, prefix).ok_or_else(|| no_route(source, prefix))?;
        self.put(prefix, source, None);
        Ok(())
    }

    /// Hands a prefix to a plugin: its packets go to `node`, with `index`. Again: another node or index.
    ///
    /// # Errors
    /// Another plugin has the prefix.
    pub fn add_plugin_route(
        &mut self,
        prefix: Prefix<A>,
        name: &'static str,
        node: NodeId,
        index: u32,
    ) -> Result<(), FibError> {
        let sources = self.entries.get(&prefix).map(|entry| &entry.sources[..]).unwrap_or_default();
        for &(source, _) in sources {
            if let Source::Plugin(owner) = source
                && owner != name
            {
                return Err(FibError::Exclusive { prefix: prefix.to_string(), owner });
            }
        }
        self.put(prefix, Source::Plugin(name), Some(Key::One(Target::Plugin { node, index })));
        Ok(())
    }

    /// Takes a prefix back from a plugin.
    ///
    /// # Errors
    /// The plugin does not have it.
    pub fn del_plugin_route(&mut self, prefix: Prefix<A>, name: &'static str) -> Result<(), FibError> {
        self.del_prefix(Source::Plugin(name), prefix)
    }

    /// Follows an address: [`Snapshot::tracked`] tells where its packets go, whatever becomes of the routes. An address
    /// in a connected prefix is a neighbour that will be asked for. Asked for twice, the index is the same and has to
    /// be given back twice.
    pub fn track(&mut self, address: A) -> TrackIndex {
        let index = self.acquire(Key::One(Target::Recursive(address)));
        *self.tracks.entry(index).or_default() += 1;
        TrackIndex(index.0)
    }

    /// Follows the address no longer. An index that nobody was given is ignored.
    pub fn untrack(&mut self, index: TrackIndex) {
        let index = ForwardIndex(index.0);
        let Some(count) = self.tracks.get_mut(&index) else { return };
        *count -= 1;
        if *count == 0 {
            self.tracks.remove(&index);
        }
        self.release(index);
    }

    /// Where packets to an address go, by the routes as they are now.
    pub fn lookup(&self, address: A) -> Forward {
        self.slots.forward(self.trie.get(address))
    }

    /// The entry of `source`'s route.
    pub(super) fn slot_of(&self, source: Source, prefix: Prefix<A>) -> Option<ForwardIndex> {
        let entry = self.entries.get(&prefix)?;
        entry.sources.iter().find(|(s, _)| *s == source).map(|&(_, slot)| slot)
    }

    /// The longest prefix that has all of `prefix` and is shorter.
    pub(super) fn cover(&self, prefix: Prefix<A>) -> Option<(Prefix<A>, &Entry)> {
        (0..prefix.len()).rev().filter(|&len| self.lens[usize::from(len)] > 0).find_map(|len| {
            let cover = prefix.shortened(len);
            self.entries.get(&cover).map(|entry| (cover, entry))
        })
    }

    /// Gives `source` the route that `key` stands for, or none, and lets the best source have the prefix.
    pub(super) fn put(&mut self, prefix: Prefix<A>, source: Source, key: Option<Key<A>>) {
        let new = key.map(|key| self.acquire(key));
        let (entry_numbers, lens) = (&mut self.entry_numbers, &mut self.lens);
        let entry = self.entries.entry(prefix).or_insert_with(|| {
            lens[usize::from(prefix.len())] += 1;
            Entry { number: entry_numbers.take(), active: NO_ROUTE, sources: SmallVec::new() }
        });
        let fresh = entry.sources.is_empty();
        let old = entry.sources.iter().position(|(s, _)| *s == source).map(|i| entry.sources.remove(i).1);
        if let Some(new) = new {
            let at = entry.sources.partition_point(|(s, _)| *s < source);
            entry.sources.insert(at, (source, new));
        }
        match entry.sources.first() {
            Some(&(_, best)) if fresh || best != entry.active => {
                entry.active = best;
                self.trie.insert(prefix, best);
                self.resolve_inside(prefix);
            }
            Some(_) => {}
            None => {
                self.entry_numbers.give_back(entry.number);
                self.entries.remove(&prefix);
                // A table that was large once gives its memory back; what is left is moved once in many removals.
                let left = self.entries.len().max(512);
                if self.entries.capacity() > 8 * left {
                    self.entries.shrink_to(2 * left);
                }
                self.lens[usize::from(prefix.len())] -= 1;
                let (cover, len) = self.cover(prefix).map_or((NO_ROUTE, 0), |(p, entry)| (entry.active, p.len()));
                self.trie.remove(prefix, cover, len);
                self.resolve_inside(prefix);
            }
        }
        if !prefix.is_host() {
            self.reconsider_neighbours(prefix);
        }
        // Only now: nothing refers to the old entry any more, neither the trie nor what follows an address.
        if let Some(old) = old {
            self.release(old);
        }
    }
}

fn no_route<A: Address>(origin: Source, prefix: Prefix<A>) -> FibError {
    FibError::NoRoute { prefix: prefix.to_string(), origin }
}
