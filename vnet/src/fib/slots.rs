//! The control side's forwarding entries: what each stands for, who needs it, and what depends on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use smallvec::SmallVec;

use super::address::Address;
use super::counts::Counts;
use super::forward::Forward;
use super::path::{Path, Target};
use super::snapshot::Forwards;
use crate::ids::{ForwardIndex, NodeId};

/// Entry 0: no route.
pub(super) const NO_ROUTE: ForwardIndex = ForwardIndex(0);

/// What an entry stands for. Equal keys share one entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key<A> {
    /// Entry 0, and entries that are not in use.
    NoRoute,
    /// One path, with nothing to share and nothing to prefer.
    One(Target<A>),
    /// Paths, sorted.
    Set(Arc<[Path<A>]>),
}

impl<A: Address> Key<A> {
    /// The key for sorted paths.
    pub(super) fn of(paths: &[Path<A>]) -> Self {
        match paths {
            [] => Key::NoRoute,
            [path] if *path == Path::new(path.target) => Key::One(path.target),
            _ => Key::Set(paths.into()),
        }
    }

    pub(super) fn paths(&self) -> Vec<Path<A>> {
        match self {
            Key::NoRoute => Vec::new(),
            Key::One(target) => vec![Path::new(*target)],
            Key::Set(paths) => paths.to_vec(),
        }
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = Target<A>> {
        let (one, set) = match self {
            Key::NoRoute => (None, &[][..]),
            Key::One(target) => (Some(*target), &[][..]),
            Key::Set(paths) => (None, &paths[..]),
        };
        one.into_iter().chain(set.iter().map(|path| path.target))
    }

    /// True if the entry may lead back to itself. Such entries are not kept alive by those that mirror them.
    pub(super) fn leads_on(&self) -> bool {
        matches!(self, Key::Set(_) | Key::One(Target::Recursive(_)))
    }
}

/// A forwarding entry. Its present content stands in [`Slots::forwards`].
#[derive(Debug)]
pub(super) struct Slot<A> {
    pub(super) key: Key<A>,
    /// Routes, tracks, sets and mirrors that need it.
    refs: u32,
    /// A set: the entries of its paths, in their order. A recursive next hop: the entry that it mirrors.
    pub(super) edges: SmallVec<[ForwardIndex; 1]>,
    /// Entries that have this one among their edges.
    pub(super) dependents: BTreeSet<ForwardIndex>,
    /// The adjacency or the load balance that belongs to it.
    pub(super) owned: Option<u32>,
}

/// All entries. Numbers are used again only when nothing refers to them.
#[derive(Debug)]
pub(super) struct Slots<A> {
    slots: Vec<Slot<A>>,
    by_key: AHashMap<Key<A>, ForwardIndex>,
    free: Vec<ForwardIndex>,
    drop: Forward,
    /// What workers read.
    pub(super) forwards: Forwards,
    /// What was sent by each.
    pub(super) counts: Counts,
}

impl<A: Address> Slots<A> {
    pub(super) fn new(drop: NodeId) -> Self {
        let drop = Forward::drop(drop);
        let mut slots = Slots {
            slots: Vec::new(),
            by_key: AHashMap::new(),
            free: Vec::new(),
            drop,
            forwards: Forwards::default(),
            counts: Counts::new(),
        };
        slots.add(Key::NoRoute);
        slots
    }

    /// Takes one more reference to the entry of `key`, if there is one.
    pub(super) fn find(&mut self, key: &Key<A>) -> Option<ForwardIndex> {
        let index = *self.by_key.get(key)?;
        self.hold(index);
        Some(index)
    }

    /// The entry of `key`, if there is one; without a reference.
    pub(super) fn peek(&self, key: &Key<A>) -> Option<ForwardIndex> {
        self.by_key.get(key).copied()
    }

    /// A new entry with one reference, a drop so far.
    pub(super) fn add(&mut self, key: Key<A>) -> ForwardIndex {
        let index = self.free.pop().unwrap_or(ForwardIndex(self.slots.len() as u32));
        self.by_key.insert(key.clone(), index);
        let slot = Slot { key, refs: 1, edges: SmallVec::new(), dependents: BTreeSet::new(), owned: None };
        match self.slots.get_mut(index.index()) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        self.set(index, self.drop);
        self.counts.begin(index);
        index
    }

    pub(super) fn hold(&mut self, index: ForwardIndex) {
        self.slots[index.index()].refs += 1;
    }

    /// Gives up one reference; true if it was the last, and then the caller must [`free`](Self::free) the entry.
    #[must_use]
    pub(super) fn let_go(&mut self, index: ForwardIndex) -> bool {
        let slot = &mut self.slots[index.index()];
        debug_assert!(slot.refs > 0, "{index:?} was let go once too often");
        slot.refs -= 1;
        slot.refs == 0 && index != NO_ROUTE
    }

    /// Gives the number back. The entry has no edges and no dependents any more.
    pub(super) fn free(&mut self, index: ForwardIndex) {
        let slot = &mut self.slots[index.index()];
        debug_assert!(slot.edges.is_empty() && slot.dependents.is_empty() && slot.owned.is_none());
        let key = std::mem::replace(&mut slot.key, Key::NoRoute);
        self.by_key.remove(&key);
        self.set(index, self.drop);
        self.free.push(index);
    }

    /// How many references there are.
    pub(super) fn refs(&self, index: ForwardIndex) -> u32 {
        self.slots[index.index()].refs
    }

    pub(super) fn get(&self, index: ForwardIndex) -> &Slot<A> {
        &self.slots[index.index()]
    }

    pub(super) fn get_mut(&mut self, index: ForwardIndex) -> &mut Slot<A> {
        &mut self.slots[index.index()]
    }

    /// Replaces the edges, and tells those at their ends.
    pub(super) fn link(&mut self, index: ForwardIndex, edges: SmallVec<[ForwardIndex; 1]>) {
        for old in std::mem::take(&mut self.slots[index.index()].edges) {
            self.slots[old.index()].dependents.remove(&index);
        }
        for new in &edges {
            self.slots[new.index()].dependents.insert(index);
        }
        self.slots[index.index()].edges = edges;
    }

    pub(super) fn forward(&self, index: ForwardIndex) -> Forward {
        self.forwards.get(index.index()).copied().unwrap_or(self.drop)
    }

    pub(super) fn set(&mut self, index: ForwardIndex, forward: Forward) {
        if self.forwards.get(index.index()) != Some(&forward) {
            *self.forwards.slot(index.index(), &self.drop) = forward;
        }
    }

    /// All entries in use but the first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ForwardIndex, &Slot<A>)> {
        let all = self.slots.iter().enumerate().map(|(i, slot)| (ForwardIndex(i as u32), slot));
        all.filter(|(_, slot)| slot.key != Key::NoRoute)
    }
}

/// Numbers that are given out and taken back.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    next: u32,
    free: Vec<u32>,
}

impl Numbers {
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub(super) fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }
}
