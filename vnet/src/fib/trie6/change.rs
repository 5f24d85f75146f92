//! Putting prefixes in and taking them out.
//!
//! There is one shape for each set of prefixes, however it came about: a node stands where more than [`FEW`] prefixes go on
//! and do not all go the same way.

use smallvec::SmallVec;

use super::Fib6;
use super::line::{ENTRIES, FEW, INLINE, Leaf, Line, NONE, STRIDE, common, depth_of, end_bit, place, step, top};
use super::room::Room;

/// The lines, and which of them are in use.
pub(super) struct Change<'t> {
    pub(super) fib: &'t mut Fib6,
    pub(super) room: &'t mut Room,
}

/// All entries of a node.
type Entries = SmallVec<[u32; 64]>;

impl Change<'_> {
    /// Puts a prefix below a root, which is 0 if there is nothing yet; gives the root.
    pub(super) fn put(&mut self, root: u32, leaf: Leaf) -> u32 {
        if root != 0 {
            self.insert(root, leaf);
            return root;
        }
        let root = self.room.take(1);
        self.set(root, Line::few(SmallVec::from_slice(&[leaf])));
        root
    }

    /// Takes a prefix away below a root, if it is there; gives the root, 0 if nothing is left.
    pub(super) fn take_away(&mut self, root: u32, bits: u128, len: u8) -> u32 {
        if root == 0 || self.remove(root, bits, len) {
            return root;
        }
        self.give(root, 1);
        0
    }

    fn line(&self, at: u32) -> Line {
        *self.fib.lines.get(at)
    }

    fn set(&mut self, at: u32, line: Line) {
        *self.fib.lines.slot(at) = line;
    }

    fn give(&mut self, first: u32, lines: usize) {
        if lines > 0 && self.room.give(first, lines) {
            self.fib.lines.give_back(first);
        }
    }

    /// Puts a prefix that begins with the bits that lead to this line.
    fn insert(&mut self, at: u32, leaf: Leaf) {
        match self.line(at) {
            Line::Node { bits, depth, .. } => {
                let shared = (bits ^ leaf.bits).leading_zeros().min(leaf.len.into()) as u8;
                if shared < depth {
                    // They part before the node: another one comes in between.
                    self.part(at, Line::node(bits, depth_of(shared)), bits);
                    self.insert(at, leaf);
                } else if leaf.len < depth + STRIDE {
                    self.end(at, leaf);
                } else {
                    self.go_on(at, leaf);
                }
            }
            few => {
                let mut leaves = few.leaves();
                match leaves.iter_mut().find(|other| (other.bits, other.len) == (leaf.bits, leaf.len)) {
                    Some(same) => same.entry = leaf.entry,
                    None => leaves.push(leaf),
                }
                if leaves.len() <= FEW {
                    return self.set(at, Line::few(leaves));
                }
                self.set(at, Line::node(leaf.bits, depth_of(common(&leaves))));
                for leaf in leaves {
                    self.insert(at, leaf);
                }
            }
        }
    }

    /// Puts a new node in the place of a line, and the line, to which `bits` lead, below it.
    fn part(&mut self, at: u32, mut node: Line, bits: u128) {
        let line = self.line(at);
        if let Line::Node { branches, children, depth, .. } = &mut node {
            *branches = 1 << step(bits, *depth);
            *children = self.room.take(1);
            self.set(*children, line);
        }
        self.set(at, node);
    }

    /// Puts a prefix that ends in this node.
    fn end(&mut self, at: u32, leaf: Leaf) {
        let mut node = self.line(at);
        let Line::Node { ends, .. } = &mut node else { return };
        let bit = end_bit(leaf.bits, leaf.len);
        let (known, place) = (*ends & bit != 0, place(*ends, bit));
        *ends |= bit;
        let mut all = self.entries(at);
        if known {
            all[place] = leaf.entry;
        } else {
            all.insert(place, leaf.entry);
        }
        self.set_entries(at, node, &all);
    }

    /// Puts a prefix that goes on below this node.
    fn go_on(&mut self, at: u32, leaf: Leaf) {
        let mut node = self.line(at);
        let Line::Node { branches, children, depth, .. } = &mut node else { return };
        let branch = 1 << step(leaf.bits, *depth);
        let (place, count) = (place(*branches, branch), branches.count_ones() as usize);
        if *branches & branch != 0 {
            return self.insert(*children + place as u32, leaf);
        }
        let first = *children;
        let stays = count > 0 && Room::same(count, count + 1);
        let new = if stays { first } else { self.room.take(count + 1) };
        for i in (place..count).rev() {
            self.set(new + i as u32 + 1, self.line(first + i as u32));
        }
        self.set(new + place as u32, Line::few(SmallVec::from_slice(&[leaf])));
        if !stays {
            (0..place).for_each(|i| self.set(new + i as u32, self.line(first + i as u32)));
            self.give(first, count);
        }
        (*branches, *children) = (*branches | branch, new);
        self.set(at, node);
    }

    /// Takes a prefix away, if it is there; false if nothing is left here.
    fn remove(&mut self, at: u32, bits: u128, len: u8) -> bool {
        let mut node = self.line(at);
        let Line::Node { bits: own, ends, branches, children, depth, .. } = &mut node else {
            let mut leaves = node.leaves();
            let before = leaves.len();
            leaves.retain(|leaf| (leaf.bits, leaf.len) != (bits, len));
            let left = leaves.len();
            if (1..before).contains(&left) {
                self.set(at, Line::few(leaves));
            }
            return left > 0;
        };
        if len < *depth || (bits ^ *own) & top(*depth) != 0 {
            return true;
        }
        if len < *depth + STRIDE {
            let bit = end_bit(bits, len);
            if *ends & bit == 0 {
                return true;
            }
            let mut all = self.entries(at);
            all.remove(place(*ends, bit));
            *ends &= !bit;
            self.set_entries(at, node, &all);
        } else {
            let branch = 1 << step(bits, *depth);
            let place = place(*branches, branch);
            if *branches & branch == 0 {
                return true;
            }
            if !self.remove(*children + place as u32, bits, len) {
                let (first, count) = (*children, branches.count_ones() as usize);
                let stays = count > 1 && Room::same(count, count - 1);
                let new = if stays || count == 1 { first } else { self.room.take(count - 1) };
                (place + 1..count).for_each(|i| self.set(new + i as u32 - 1, self.line(first + i as u32)));
                if !stays {
                    if count > 1 {
                        (0..place).for_each(|i| self.set(new + i as u32, self.line(first + i as u32)));
                    }
                    self.give(first, count);
                }
                (*branches, *children) = (*branches & !branch, new);
                self.set(at, node);
            }
        }
        self.tidy(at);
        true
    }

    /// Does away with a node that is not needed any more.
    fn tidy(&mut self, at: u32) {
        let node = self.line(at);
        let Line::Node { ends, branches, children, .. } = node else { return };
        let (own, count) = (ends.count_ones() as usize, branches.count_ones() as usize);
        if own == 0 && count == 1 && matches!(self.line(children), Line::Node { .. }) {
            self.set(at, self.line(children));
            return self.give(children, 1);
        }
        if own + count > FEW {
            return;
        }
        let mut leaves = self.ended(at);
        for i in 0..count {
            match self.line(children + i as u32) {
                few @ Line::Few { .. } => leaves.extend(few.leaves()),
                _ => return,
            }
        }
        if leaves.len() <= FEW {
            self.give(children, count);
            self.set(at, Line::few(leaves));
        }
    }

    /// The prefixes that end in a node; they may be [`FEW`] at most.
    fn ended(&self, at: u32) -> SmallVec<[Leaf; FEW + 1]> {
        let Line::Node { bits, mut ends, entries, depth, .. } = self.line(at) else { return SmallVec::new() };
        let mut leaves = SmallVec::new();
        for entry in entries {
            if ends == 0 {
                break;
            }
            let bit = ends.trailing_zeros();
            ends &= ends - 1;
            let inside = bit.ilog2();
            let last = u128::from(bit ^ 1 << inside).checked_shl(128 - u32::from(depth) - inside).unwrap_or(0);
            leaves.push(Leaf { bits: bits | last, len: depth + inside as u8, entry });
        }
        leaves
    }

    /// The entries of the prefixes that end in a node.
    fn entries(&self, at: u32) -> Entries {
        let Line::Node { ends, entries, apart, .. } = self.line(at) else { return Entries::new() };
        let count = ends.count_ones() as usize;
        if !apart {
            return entries[..count].into();
        }
        let lines = (entries[0]..).take(count.div_ceil(ENTRIES)).map(|line| self.fib.lines.get(line));
        let all = lines.flat_map(|line| if let Line::Entries(entries) = line { &entries[..] } else { &[] });
        all.copied().take(count).collect()
    }

    /// Writes a node and its entries, which may be one more or fewer than those in its place.
    fn set_entries(&mut self, at: u32, mut node: Line, all: &[u32]) {
        let old = self.entries(at).len();
        let Line::Node { entries, apart, .. } = &mut node else { return };
        let lines = |count: usize| if count > INLINE { count.div_ceil(ENTRIES) } else { 0 };
        let first = entries[0];
        if lines(all.len()) == 0 {
            *entries = std::array::from_fn(|i| all.get(i).copied().unwrap_or(NONE));
            *apart = false;
        } else {
            let stays = lines(old) == lines(all.len());
            let new = if stays { first } else { self.room.take(lines(all.len())) };
            for (i, some) in all.chunks(ENTRIES).enumerate() {
                let line = std::array::from_fn(|i| some.get(i).copied().unwrap_or(NONE));
                self.set(new + i as u32, Line::Entries(line));
            }
            *entries = [NONE; INLINE];
            (entries[0], *apart) = (new, true);
        }
        self.set(at, node);
        if lines(old) != lines(all.len()) {
            self.give(first, lines(old));
        }
    }
}
