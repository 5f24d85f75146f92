//! Longest prefix match for IPv6: a trie of cache lines below a table of the first 24 bits.
//!
//! The blocks of IPv4's trie would not do: 128 bits are 14 levels of them, and routes far from each other, which is the rule
//! in so large a space, would each need a kilobyte per level. Here a look-up reads one cache line per level, and there
//! are no more levels than routes ask for: three prefixes share a line, and a node, which steps over six bits at a
//! time, stands only where more of them part. Nothing is painted over, so a change touches the lines on the way to its
//! prefix and no others; versions share all the rest.
//!
//! The lines have numbers instead of pointers, which lets those of one node stand together, and lets a version share
//! whole pages of them. Prefixes that are shorter than 24 bits, few as they are, stand in a trie of their own, which is
//! asked where the other one knows nothing.

mod change;
mod line;
mod room;

use std::net::Ipv6Addr;

use self::change::Change;
use self::line::{Best, Leaf, Line, Words};
use self::room::{PAGE, Room};
use super::address::{Prefix, PrefixTrie};
use super::paged::Paged;
use crate::ids::ForwardIndex;

/// Bits that lead to a slot.
const SLOT_BITS: u8 = 24;
/// Slots in a page: 2 KB.
const SLOTS: usize = 512;
/// Look-ups that go in step with one another, so that each waits for memory while the others do, too.
const TOGETHER: usize = 16;

/// The trie as workers read it.
#[derive(Clone, Debug)]
pub struct Fib6 {
    /// By the first bits of an address, the line in which prefixes that have at least those begin; 0: there are none.
    slots: Paged<u32, SLOTS, 128>,
    lines: Paged<Line, PAGE, 32>,
    /// The line in which shorter ones begin; 0: there are none.
    short: u32,
    /// The entry of the prefix of no bits.
    default: ForwardIndex,
}

impl Fib6 {
    /// The entry of the longest prefix that has `address`.
    #[inline]
    pub fn lookup(&self, address: u128) -> ForwardIndex {
        match self.walk(self.slot(address), address) {
            Some(entry) => entry,
            None => self.lookup_short(address),
        }
    }

    /// The entries of as many addresses, in less time than one by one.
    pub fn lookup_many(&self, addresses: &[Ipv6Addr], entries: &mut [ForwardIndex]) {
        for (addresses, entries) in addresses.chunks(TOGETHER).zip(entries.chunks_mut(TOGETHER)) {
            self.lookup_together(addresses, entries);
        }
    }

    /// [`TOGETHER`] at most.
    #[inline(always)]
    fn lookup_together(&self, addresses: &[Ipv6Addr], entries: &mut [ForwardIndex]) {
        let mut words = [Words::default(); TOGETHER];
        let mut lines = [self.lines.get(0); TOGETHER];
        let mut best = [Best::NONE; TOGETHER];
        // Those on their way, and those that have come to where the trie ends.
        let (mut going, mut last) = (Places(0), Places(0));
        for (i, address) in addresses.iter().take(TOGETHER).enumerate() {
            words[i] = Words::of(address.to_bits());
            let line = self.slot(address.to_bits());
            lines[i] = self.lines.get(line);
            crate::mem::prefetch(lines[i]);
            going.put_if(line != 0, i);
        }
        while going.0 != 0 {
            let mut nodes = Places(0);
            for i in going {
                nodes.put_if(!lines[i].is_few(), i);
            }
            last.0 |= going.0 ^ nodes.0;
            going = Places(0);
            for i in nodes {
                let line;
                (line, best[i]) = lines[i].step(&words[i], best[i]);
                lines[i] = self.lines.get(line);
                crate::mem::prefetch(lines[i]);
                going.put_if(line != 0, i);
            }
        }
        for i in last {
            best[i] = lines[i].last(&words[i], best[i]);
        }
        for ((entry, best), address) in entries.iter_mut().zip(best).zip(addresses) {
            *entry = match self.entry(best) {
                Some(entry) => entry,
                None => self.lookup_short(address.to_bits()),
            };
        }
    }

    /// What no longer prefix has.
    fn lookup_short(&self, address: u128) -> ForwardIndex {
        self.walk(self.short, address).unwrap_or(self.default)
    }

    #[inline(always)]
    fn slot(&self, address: u128) -> u32 {
        *self.slots.get(slot_of(address))
    }

    /// Goes from line to line, as far as there are any.
    #[inline(always)]
    fn walk(&self, mut line: u32, address: u128) -> Option<ForwardIndex> {
        let words = Words::of(address);
        let mut best = Best::NONE;
        while line != 0 {
            let here = self.lines.get(line);
            if here.is_few() {
                best = here.last(&words, best);
                break;
            }
            (line, best) = here.step(&words, best);
        }
        self.entry(best)
    }

    #[inline(always)]
    fn entry(&self, best: Best) -> Option<ForwardIndex> {
        best.entry(|line| self.lines.get(line)).map(ForwardIndex)
    }
}

/// Which of [`TOGETHER`] look-ups: a bit for each, since which they are cannot be foreseen, and branches would guess.
#[derive(Clone, Copy)]
struct Places(u32);

impl Places {
    #[inline(always)]
    fn put_if(&mut self, really: bool, place: usize) {
        self.0 |= u32::from(really) << place;
    }
}

impl Iterator for Places {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let first = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (first < TOGETHER).then_some(first)
    }
}

#[cfg(test)]
impl Fib6 {
    /// Pages that only one of two versions has.
    pub(super) fn pages_apart(&self, other: &Fib6) -> usize {
        self.lines.apart(&other.lines) + self.slots.apart(&other.slots)
    }
}

fn slot_of(address: u128) -> u32 {
    (address >> (128 - SLOT_BITS)) as u32
}

/// The trie as the control side writes it.
#[derive(Debug)]
pub struct Trie6 {
    fib: Fib6,
    room: Room,
}

impl Default for Trie6 {
    fn default() -> Self {
        let (slots, lines) = (Paged::new(0), Paged::new(Line::Free));
        Trie6 { fib: Fib6 { slots, lines, short: 0, default: ForwardIndex(0) }, room: Room::new() }
    }
}

impl PrefixTrie<Ipv6Addr> for Trie6 {
    type Lookup = Fib6;

    fn insert(&mut self, prefix: Prefix<Ipv6Addr>, forward: ForwardIndex) {
        let leaf = Leaf { bits: prefix.address().to_bits(), len: prefix.len(), entry: forward.0 };
        if leaf.len == 0 {
            self.fib.default = forward;
        } else {
            self.change(leaf.bits, leaf.len, |mut change, root| change.put(root, leaf));
        }
    }

    fn remove(&mut self, prefix: Prefix<Ipv6Addr>, cover: ForwardIndex, _: u8) {
        let (bits, len) = (prefix.address().to_bits(), prefix.len());
        if len == 0 {
            self.fib.default = cover;
        } else {
            self.change(bits, len, |mut change, root| change.take_away(root, bits, len));
        }
    }

    fn get(&self, address: Ipv6Addr) -> ForwardIndex {
        self.fib.lookup(address.to_bits())
    }

    fn publish(&self) -> Fib6 {
        self.fib.clone()
    }

    #[inline(always)]
    fn find(lookup: &Fib6, address: Ipv6Addr) -> ForwardIndex {
        lookup.lookup(address.to_bits())
    }

    fn find_many(lookup: &Fib6, addresses: &[Ipv6Addr], entries: &mut [ForwardIndex]) {
        lookup.lookup_many(addresses, entries);
    }
}

impl Trie6 {
    /// Lines of 64 bytes in use, the slots not counted.
    pub fn lines(&self) -> usize {
        self.room.lines()
    }

    /// Pages that take up memory.
    #[cfg(test)]
    pub(super) fn pages(&self) -> usize {
        self.fib.lines.made() + self.fib.slots.made()
    }

    /// Changes what is below the root for prefixes of this length.
    fn change(&mut self, bits: u128, len: u8, change: impl FnOnce(Change<'_>, u32) -> u32) {
        let Trie6 { fib, room } = self;
        if len < SLOT_BITS {
            let root = fib.short;
            fib.short = change(Change { fib, room }, root);
            return;
        }
        let slot = slot_of(bits);
        let before = *fib.slots.get(slot);
        let root = change(Change { fib, room }, before);
        if root == before {
            return;
        }
        *fib.slots.slot(slot) = root;
        if root == 0 && fib.slots.page(slot).iter().all(|root| *root == 0) {
            fib.slots.give_back(slot);
        }
    }
}
