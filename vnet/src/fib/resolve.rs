//! How entries get their content, and how a change reaches what depends on it.

use smallvec::smallvec;

use super::address::{Address, Prefix, PrefixTrie};
use super::balance::LoadBalance;
use super::forward::{Forward, ForwardKind};
use super::interface::LinkKind;
use super::path::{Path, Target};
use super::rib::Rib;
use super::slots::{Key, NO_ROUTE};
use crate::ids::{ForwardIndex, IfIndex};

/// Recursive next hops in a row; beyond, the route drops.
const MOST_DEPTH: usize = 16;
/// Entries visited for one set at most, so that sets of sets cannot take for ever.
const MOST_VISITS: usize = 16_384;

impl<A: Address> Rib<A> {
    /// The entry for what `key` stands for, with a reference that [`release`](Self::release) gives back.
    pub(super) fn acquire(&mut self, key: Key<A>) -> ForwardIndex {
        if let Some(index) = self.slots.find(&key) {
            return index;
        }
        let index = self.slots.add(key.clone());
        match key {
            Key::NoRoute => {}
            Key::One(Target::Recursive(address)) => {
                self.followed.insert(address, index);
                self.resolve_recursive(address, index);
                self.settle(&[index]);
            }
            Key::One(target) => self.acquire_target(index, target),
            Key::Set(paths) => {
                let members = paths.iter().map(|path| self.acquire(Key::One(path.target))).collect();
                self.slots.link(index, members);
                self.settle(&[index]);
            }
        }
        index
    }

    fn acquire_target(&mut self, index: ForwardIndex, target: Target<A>) {
        let forward = |kind, node, index| Forward { kind, node, index };
        match target {
            Target::Drop => self.slots.set(index, forward(ForwardKind::DropRoute, self.nodes.drop, 0)),
            Target::Local(interface) => {
                self.slots.set(index, forward(ForwardKind::Local, self.nodes.receive, interface.0));
            }
            Target::Plugin { node, index: value } => {
                self.slots.set(index, forward(ForwardKind::Plugin, node, value));
            }
            Target::NextHop { interface, .. } | Target::Attached(interface) | Target::Connected { interface, .. } => {
                self.slots.get_mut(index).owned = Some(self.adjacency_numbers.take());
                self.by_interface.entry(interface).or_default().insert(index);
                self.refresh_adjacency(index);
            }
            Target::Recursive(_) => {}
        }
    }

    /// Gives up a reference; with the last one the entry goes, and what it needed.
    pub(super) fn release(&mut self, index: ForwardIndex) {
        if !self.slots.let_go(index) {
            return;
        }
        let key = self.slots.get(index).key.clone();
        let edges = self.slots.get(index).edges.clone();
        let owned = self.slots.get_mut(index).owned.take();
        self.slots.link(index, smallvec![]);
        match key {
            Key::NoRoute => {}
            Key::Set(_) => {
                if let Some(number) = owned {
                    self.free_load_balance(number);
                }
                edges.into_iter().for_each(|member| self.release(member));
            }
            Key::One(Target::Recursive(address)) => {
                self.followed.remove(&address);
                edges.into_iter().for_each(|source| self.release_mirrored(source));
            }
            Key::One(target) => {
                if let (Some(number), Some(interface)) = (owned, target.interface()) {
                    self.adjacency_numbers.give_back(number);
                    if let Some(slots) = self.by_interface.get_mut(&interface) {
                        slots.remove(&index);
                    }
                }
            }
        }
        self.slots.free(index);
    }

    /// Mirrors hold what they mirror unless it leads on: a loop of references would never be freed. What leads on is
    /// held by the route that covers the address, and a change of that route re-resolves the mirror first.
    fn release_mirrored(&mut self, source: ForwardIndex) {
        if !self.slots.get(source).key.leads_on() {
            self.release(source);
        }
    }

    /// Finds the entry that a followed address mirrors now. True if it is another than before.
    fn resolve_recursive(&mut self, address: A, index: ForwardIndex) -> bool {
        let cover = self.trie.get(address);
        let source = match self.attached_interface(cover) {
            // The covering route is for hosts of a link: the address is a neighbour there.
            Some(interface) => self.acquire(Key::One(Target::NextHop { address, interface })),
            None => {
                if !self.slots.get(cover).key.leads_on() {
                    self.slots.hold(cover);
                }
                cover
            }
        };
        let old = self.slots.get(index).edges.first().copied();
        self.slots.link(index, smallvec![source]);
        if let Some(old) = old {
            self.release_mirrored(old);
        }
        old != Some(source)
    }

    /// The interface on which an address covered by entry `cover` is a neighbour of its own.
    fn attached_interface(&self, cover: ForwardIndex) -> Option<IfIndex> {
        self.slots.get(cover).key.targets().find_map(|target| match target {
            Target::Attached(interface) | Target::Connected { interface, .. } => {
                let link = self.interfaces.get(&interface)?.facts.link;
                (link != LinkKind::PointToPoint).then_some(interface)
            }
            _ => None,
        })
    }

    /// Resolves followed addresses inside a prefix again, after the prefix's route changed in the trie.
    pub(super) fn resolve_inside(&mut self, prefix: Prefix<A>) {
        if self.followed.is_empty() {
            return;
        }
        let inside: Vec<_> = self.followed.range(prefix.address()..=prefix.last()).map(|(&a, &i)| (a, i)).collect();
        let mut changed = Vec::new();
        for (address, index) in inside {
            if self.resolve_recursive(address, index) {
                changed.push(index);
            }
        }
        self.settle(&changed);
    }

    /// Writes the contents of the given entries and of all that depend on them.
    pub(super) fn settle(&mut self, changed: &[ForwardIndex]) {
        let mut seen: ahash::AHashSet<ForwardIndex> = changed.iter().copied().collect();
        let mut order: Vec<ForwardIndex> = changed.to_vec();
        let mut next = 0;
        while let Some(&index) = order.get(next) {
            next += 1;
            order.extend(self.slots.get(index).dependents.iter().copied().filter(|&d| seen.insert(d)));
        }
        // Sets read no other entry's content but adjacencies' and the like; mirrors copy those of sets.
        for &index in &order {
            if matches!(self.slots.get(index).key, Key::Set(_)) {
                self.settle_set(index);
            }
        }
        for &index in &order {
            if matches!(self.slots.get(index).key, Key::One(Target::Recursive(_))) {
                let end = self.end_of_mirrors(index);
                self.slots.set(index, self.slots.forward(end));
            }
        }
    }

    /// The entry at the end of a row of mirrors; entry 0 if it turns on itself.
    pub(super) fn end_of_mirrors(&self, mut index: ForwardIndex) -> ForwardIndex {
        for _ in 0..MOST_DEPTH {
            match (&self.slots.get(index).key, self.slots.get(index).edges.first()) {
                (Key::One(Target::Recursive(_)), Some(&source)) => index = source,
                (Key::One(Target::Recursive(_)), None) => return NO_ROUTE,
                _ => return index,
            }
        }
        NO_ROUTE
    }

    fn settle_set(&mut self, index: ForwardIndex) {
        let members = self.usable(index);
        let owned = self.slots.get(index).owned;
        if let [_, _, ..] = members[..] {
            let number = owned.unwrap_or_else(|| self.load_balance_numbers.take());
            let balance = LoadBalance::new(&members);
            if self.load_balances.get(number as usize) != Some(&balance) {
                *self.load_balances.slot(number as usize, &LoadBalance::default()) = balance;
            }
            self.slots.get_mut(index).owned = Some(number);
            let node = self.nodes.load_balance;
            self.slots.set(index, Forward { kind: ForwardKind::LoadBalance, node, index: number });
            return;
        }
        if let Some(number) = self.slots.get_mut(index).owned.take() {
            self.free_load_balance(number);
        }
        let forward = match members[..] {
            [(only, _), ..] => only,
            [] if self.slots.get(index).key.targets().any(|t| t == Target::Drop) => {
                Forward { kind: ForwardKind::DropRoute, ..Forward::drop(self.nodes.drop) }
            }
            [] => Forward::drop(self.nodes.drop),
        };
        self.slots.set(index, forward);
    }

    fn free_load_balance(&mut self, number: u32) {
        *self.load_balances.slot(number as usize, &LoadBalance::default()) = LoadBalance::default();
        self.load_balance_numbers.give_back(number);
    }

    /// What an entry comes down to: next hops that can be used, none of them a set, with shares that add up to 1.
    pub(super) fn usable(&self, index: ForwardIndex) -> Vec<(Forward, f64)> {
        self.flatten(index, &mut Vec::new(), &mut 0)
    }

    fn flatten(&self, index: ForwardIndex, above: &mut Vec<ForwardIndex>, visits: &mut usize) -> Vec<(Forward, f64)> {
        *visits += 1;
        if above.len() >= MOST_DEPTH || *visits > MOST_VISITS || above.contains(&index) {
            return Vec::new();
        }
        let slot = self.slots.get(index);
        above.push(index);
        let found = match &slot.key {
            Key::Set(paths) => self.flatten_set(paths, &slot.edges, above, visits),
            Key::One(Target::Recursive(_)) => {
                slot.edges.first().map(|&source| self.flatten(source, above, visits)).unwrap_or_default()
            }
            _ => {
                let forward = self.slots.forward(index);
                if forward.is_drop() { Vec::new() } else { vec![(forward, 1.0)] }
            }
        };
        above.pop();
        found
    }

    fn flatten_set(
        &self,
        paths: &[Path<A>],
        members: &[ForwardIndex],
        above: &mut Vec<ForwardIndex>,
        visits: &mut usize,
    ) -> Vec<(Forward, f64)> {
        let mut preferences: Vec<u8> = paths.iter().map(|path| path.preference).collect();
        preferences.sort_unstable();
        preferences.dedup();
        for preference in preferences {
            let mut found: Vec<(Forward, f64)> = Vec::new();
            let mut total = 0.0;
            for (path, &member) in paths.iter().zip(members).filter(|(path, _)| path.preference == preference) {
                let below = self.flatten(member, above, visits);
                let weight = f64::from(path.weight.max(1));
                total += if below.is_empty() { 0.0 } else { weight };
                for (forward, share) in below {
                    match found.iter_mut().find(|(f, _)| *f == forward) {
                        Some((_, sum)) => *sum += share * weight,
                        None => found.push((forward, share * weight)),
                    }
                }
            }
            if !found.is_empty() {
                found.iter_mut().for_each(|(_, share)| *share /= total);
                return found;
            }
        }
        Vec::new()
    }
}
