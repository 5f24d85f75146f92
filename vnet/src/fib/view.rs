//! What `show ip fib` and `show adj` tell, as values.

use super::address::{Address, Prefix};
use super::adjacency::Adjacency;
use super::counts::Sent;
use super::forward::Forward;
use super::path::{Path, Source};
use super::rib::{Entry, Rib};
use super::slots::Key;
use crate::ids::{AdjIndex, ForwardIndex, IfIndex};

/// A prefix with all that is known about it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RouteView<A> {
    /// The prefix.
    pub prefix: Prefix<A>,
    /// The entry's number.
    pub index: u32,
    /// What holds the entry: its sources, and once more if the address is followed.
    pub locks: u32,
    /// Who has a route, the one in force first.
    pub sources: Vec<SourceView<A>>,
    /// Who follows the address with `track`, how many times; only where the prefix is one address.
    pub tracked: u32,
    /// The forwarding entry.
    pub forward_index: ForwardIndex,
    /// What look-ups have sent by that entry: routes with the same paths share it.
    pub to: Sent,
    /// Where packets go, one per bucket; one bucket unless the flows are shared.
    pub buckets: Vec<Forward>,
}

/// One source's route.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SourceView<A> {
    /// Whose.
    pub source: Source,
    /// True if it is in force.
    pub active: bool,
    /// The forwarding entry of its paths; sources with the same paths share it.
    pub path_list: ForwardIndex,
    /// How many refer to that entry.
    pub path_list_locks: u32,
    /// Its paths.
    pub paths: Vec<PathView<A>>,
    /// The prefix that covers a neighbour's route.
    pub cover: Option<Prefix<A>>,
}

/// One path, and what has become of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PathView<A> {
    /// The path's own forwarding entry.
    pub index: ForwardIndex,
    /// What was asked for.
    pub path: Path<A>,
    /// True if packets can go this way now.
    pub resolved: bool,
    /// True if a recursive path leads back to itself.
    pub looped: bool,
    /// Where it leads; the first of several.
    pub forward: Forward,
}

/// How many prefixes of each length there are.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Summary {
    /// Length and count, where there are any.
    pub lengths: Vec<(u8, u32)>,
}

/// An adjacency with its interface's name.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct AdjacencyRow {
    /// Its number.
    pub index: AdjIndex,
    /// The interface.
    pub interface: IfIndex,
    /// The interface's name.
    pub name: String,
    /// The adjacency itself.
    pub adjacency: Adjacency,
}

impl<A: Address> Rib<A> {
    /// True if a route, or a neighbour's own, has `address` on the interface as its next hop.
    pub fn is_next_hop(&self, interface: IfIndex, address: A) -> bool {
        self.slots.peek(&Key::One(super::Target::NextHop { address, interface })).is_some()
    }

    /// All prefixes, ordered by address, then length.
    pub fn routes(&self) -> Vec<RouteView<A>> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_unstable_by_key(|(prefix, _)| **prefix);
        all.into_iter().map(|(prefix, entry)| self.view(*prefix, entry)).collect()
    }

    /// All prefixes in the order of [`Rib::routes`], for whoever looks at them one after the other.
    pub fn prefixes(&self) -> Vec<Prefix<A>> {
        let mut all: Vec<_> = self.entries.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// Exactly this prefix.
    pub fn route(&self, prefix: Prefix<A>) -> Option<RouteView<A>> {
        self.entries.get(&prefix).map(|entry| self.view(prefix, entry))
    }

    /// The longest prefix that has the address.
    pub fn route_for(&self, address: A) -> Option<RouteView<A>> {
        let host = Prefix::host(address);
        self.route(host).or_else(|| self.cover(host).map(|(prefix, entry)| self.view(prefix, entry)))
    }

    /// How many prefixes of each length there are.
    pub fn summary(&self) -> Summary {
        let lengths = (0..).zip(&self.lens).filter(|(_, count)| **count > 0).map(|(len, &count)| (len, count));
        Summary { lengths: lengths.collect() }
    }

    /// How many prefixes there are.
    pub fn route_count(&self) -> usize {
        self.entries.len()
    }

    /// All adjacencies, by number.
    pub fn adjacency_rows(&self) -> Vec<AdjacencyRow> {
        let numbers =
            self.slots.iter().filter(|(_, slot)| matches!(slot.key, Key::One(_))).filter_map(|(_, s)| s.owned);
        let mut rows: Vec<AdjacencyRow> = numbers.filter_map(|number| self.adjacency_row(AdjIndex(number))).collect();
        rows.sort_unstable_by_key(|row| row.index);
        rows
    }

    /// What a route has in one source's own paths, for configuration that is to be listed again.
    pub fn configured(&self, source: Source) -> Vec<(Prefix<A>, Vec<Path<A>>)> {
        let of_source = |entry: &Entry| entry.sources.iter().find(|(s, _)| *s == source).map(|&(_, slot)| slot);
        let slots = self.entries.iter().filter_map(|(&prefix, entry)| Some((prefix, of_source(entry)?)));
        let mut all: Vec<_> = slots.map(|(prefix, slot)| (prefix, self.slots.get(slot).key.paths())).collect();
        all.sort_unstable_by_key(|(prefix, _)| *prefix);
        all
    }

    /// An adjacency as it is now; [`Adjacency::NONE`] if there is none of that number.
    pub fn adjacency(&self, index: AdjIndex) -> &Adjacency {
        self.adjacencies.get(index.index()).unwrap_or(&Adjacency::NONE)
    }

    pub(super) fn adjacency_row(&self, index: AdjIndex) -> Option<AdjacencyRow> {
        let adjacency = *self.adjacencies.get(index.index())?;
        let name = self.interface_name(adjacency.interface);
        Some(AdjacencyRow { index, interface: adjacency.interface, name, adjacency })
    }

    fn view(&self, prefix: Prefix<A>, entry: &Entry) -> RouteView<A> {
        let followed = prefix.is_host().then(|| self.followed.get(&prefix.address())).flatten();
        let tracked = followed.and_then(|index| self.tracks.get(index)).copied().unwrap_or(0);
        let sources: Vec<SourceView<A>> = entry
            .sources
            .iter()
            .enumerate()
            .map(|(i, &(source, slot))| SourceView {
                source,
                active: i == 0,
                path_list: slot,
                path_list_locks: self.slots.refs(slot),
                paths: self.path_views(slot),
                cover: (source == Source::Adjacency).then(|| self.cover(prefix).map(|(p, _)| p)).flatten(),
            })
            .collect();
        let forward = self.slots.forward(entry.active);
        let buckets = match forward.kind {
            super::ForwardKind::LoadBalance => {
                self.load_balances.get(forward.index as usize).map(|lb| lb.buckets().to_vec()).unwrap_or_default()
            }
            _ => vec![forward],
        };
        let locks = sources.len() as u32 + u32::from(followed.is_some());
        let (index, forward_index) = (entry.number, entry.active);
        let to = self.slots.counts.sent(forward_index);
        RouteView { prefix, index, locks, sources, tracked, forward_index, to, buckets }
    }

    fn path_views(&self, slot: ForwardIndex) -> Vec<PathView<A>> {
        let held = self.slots.get(slot);
        let members = if held.edges.is_empty() || matches!(held.key, Key::One(_)) { &[slot][..] } else { &held.edges };
        let paths = held.key.paths().into_iter();
        let view = |(path, &member): (Path<A>, &ForwardIndex)| {
            let usable = self.usable(member);
            let forward = usable.first().map_or(self.slots.forward(member), |&(forward, _)| forward);
            // A drop that was asked for is as resolved as it can be.
            let resolved = !usable.is_empty() || path.target == super::Target::Drop;
            PathView { index: member, path, resolved, looped: !resolved && self.turns_on_itself(member), forward }
        };
        paths.zip(members).map(view).collect()
    }

    /// True if some way from the entry comes back to it.
    fn turns_on_itself(&self, start: ForwardIndex) -> bool {
        let mut seen = ahash::AHashSet::new();
        let mut todo = self.slots.get(start).edges.to_vec();
        while let Some(index) = todo.pop() {
            if index == start {
                return true;
            }
            if seen.insert(index) {
                todo.extend(&self.slots.get(index).edges);
            }
        }
        false
    }
}
