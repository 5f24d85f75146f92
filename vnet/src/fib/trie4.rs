//! Longest prefix match for IPv4: a trie of 16, 8 and 8 bits.
//!
//! A leaf is a forwarding index, or (top bit set) the number of the block that goes on with the next eight bits. The
//! writer keeps beside each leaf the length of the prefix that owns it, so that a shorter prefix never overwrites a
//! longer one and a removed one is found again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::address::{Prefix, PrefixTrie};
use crate::chunked::Chunked;
use crate::ids::ForwardIndex;

/// Marks a leaf that is the number of a block.
const CHILD: u32 = 1 << 31;
const ROOT_CHUNK: usize = 4096;
const ROOT_CHUNKS: usize = 65536 / ROOT_CHUNK;
const BLOCK: usize = 256;
/// Blocks copied at most when a leaf changes. Fewer make more pointers to copy per published version.
const TOGETHER: usize = 64;
const CHUNK: usize = TOGETHER * BLOCK;

/// The trie as workers read it.
#[derive(Clone, Debug)]
pub struct Fib4 {
    root: [Arc<[u32; ROOT_CHUNK]>; ROOT_CHUNKS],
    blocks: Chunked<u32, CHUNK>,
}

impl Fib4 {
    /// The entry of the longest prefix that has `address` (host byte order).
    ///
    /// Two dependent loads for prefixes up to /16, four up to /24, six beyond; every second one is of a pointer in a
    /// table small enough to stay in the first cache.
    #[inline(always)]
    pub fn lookup(&self, address: u32) -> ForwardIndex {
        let leaf = self.root[(address >> 28) as usize][(address >> 16) as usize % ROOT_CHUNK];
        if leaf & CHILD == 0 {
            return ForwardIndex(leaf);
        }
        let leaf = self.leaf(leaf, address >> 8);
        if leaf & CHILD == 0 {
            return ForwardIndex(leaf);
        }
        ForwardIndex(self.leaf(leaf, address))
    }

    /// `child` may still have its mark: shifting drops it.
    #[inline(always)]
    fn leaf(&self, child: u32, byte: u32) -> u32 {
        self.blocks.get(((child << 8) | (byte & 0xff)) as usize).copied().unwrap_or(0)
    }
}

/// The trie as the control side writes it.
#[derive(Debug)]
pub struct Trie4 {
    fib: Fib4,
    root_lens: Vec<u8>,
    blocks: Chunked<Block, TOGETHER>,
    /// The first number that no block has had.
    next: u32,
    /// Lower numbers that are free. The lowest is taken first, so that whole chunks become free, and give their memory back.
    free: BinaryHeap<Reverse<u32>>,
    /// Blocks in use of each chunk.
    in_use: Vec<u8>,
}

/// What the writer knows about a block.
#[derive(Clone, Debug)]
struct Block {
    /// The length of the prefix that owns each leaf; without meaning where the leaf is a child.
    lens: [u8; BLOCK],
    /// Leaves that are children or are owned by a prefix that ends inside the block. At 0 all leaves are the same.
    used: u16,
}

const NO_BLOCK: Block = Block { lens: [0; BLOCK], used: 0 };

/// A change to the leaves under a prefix: those owned by a prefix of a length in `from` become `forward`'s, owned by a
/// prefix of length `len`.
struct Paint {
    from: RangeInclusive<u8>,
    forward: ForwardIndex,
    len: u8,
}

impl Default for Trie4 {
    fn default() -> Self {
        Trie4 {
            fib: Fib4 { root: std::array::from_fn(|_| Arc::new([0; ROOT_CHUNK])), blocks: Chunked::default() },
            root_lens: vec![0; 65536],
            blocks: Chunked::default(),
            next: 0,
            free: BinaryHeap::new(),
            in_use: Vec::new(),
        }
    }
}

impl PrefixTrie<Ipv4Addr> for Trie4 {
    type Lookup = Fib4;

    fn insert(&mut self, prefix: Prefix<Ipv4Addr>, forward: ForwardIndex) {
        debug_assert!(forward.0 & CHILD == 0);
        self.paint(prefix, &Paint { from: 0..=prefix.len(), forward, len: prefix.len() });
    }

    fn remove(&mut self, prefix: Prefix<Ipv4Addr>, cover: ForwardIndex, cover_len: u8) {
        self.paint(prefix, &Paint { from: prefix.len()..=prefix.len(), forward: cover, len: cover_len });
    }

    fn get(&self, address: Ipv4Addr) -> ForwardIndex {
        self.fib.lookup(address.to_bits())
    }

    fn publish(&self) -> Fib4 {
        self.fib.clone()
    }

    #[inline(always)]
    fn find(lookup: &Fib4, address: Ipv4Addr) -> ForwardIndex {
        lookup.lookup(address.to_bits())
    }
}

impl Trie4 {
    /// Blocks in use, of 1 KB each for readers; the root has 256 KB more.
    pub fn blocks(&self) -> usize {
        self.in_use.iter().map(|&blocks| usize::from(blocks)).sum()
    }

    /// Chunks of blocks that take up memory.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.fib.blocks.made().max(self.blocks.made())
    }

    fn paint(&mut self, prefix: Prefix<Ipv4Addr>, paint: &Paint) {
        let (address, len) = (prefix.address().to_bits(), prefix.len());
        let top = (address >> 16) as usize;
        if len <= 16 {
            for i in top..top + (1 << (16 - len)) {
                match self.root(i) {
                    child if child & CHILD != 0 => self.paint_all(child, paint),
                    _ if paint.from.contains(&self.root_lens[i]) => self.set_root(i, paint.forward.0, paint.len),
                    _ => {}
                }
            }
            return;
        }
        let child = match self.root(top) {
            child if child & CHILD != 0 => child,
            leaf => {
                let child = self.take(leaf, self.root_lens[top]);
                self.set_root(top, child, 0);
                child
            }
        };
        if len <= 24 {
            self.paint_range(child, (address >> 8) as usize & 0xff, 1 << (24 - len), 16, paint);
        } else {
            self.paint_below(child, (address >> 8) as usize & 0xff, address, len, paint);
        }
        if let Some((leaf, len)) = self.give_back_if_unused(child) {
            self.set_root(top, leaf, len);
        }
    }

    /// Prefixes beyond /24: one leaf of the middle level, and the block below it.
    fn paint_below(&mut self, middle: u32, i: usize, address: u32, len: u8, paint: &Paint) {
        let child = match self.fib.leaf(middle, i as u32) {
            child if child & CHILD != 0 => child,
            leaf => {
                let owner = self.block(middle).lens[i];
                let child = self.take(leaf, owner);
                self.set_leaf(middle, i, child);
                self.block(middle).used += u16::from(owner <= 16);
                child
            }
        };
        self.paint_range(child, address as usize & 0xff, 1 << (32 - len), 24, paint);
        if let Some((leaf, owner)) = self.give_back_if_unused(child) {
            self.set_leaf(middle, i, leaf);
            let block = self.block(middle);
            block.lens[i] = owner;
            block.used -= u16::from(owner <= 16);
        }
    }

    /// Paints `count` leaves of a block whose own prefix has `base` bits.
    fn paint_range(&mut self, child: u32, start: usize, count: usize, base: u8, paint: &Paint) {
        for i in start..start + count {
            let leaf = self.fib.leaf(child, i as u32);
            if leaf & CHILD != 0 {
                self.paint_all(leaf, paint);
                continue;
            }
            let block = self.block(child);
            let owner = block.lens[i];
            if !paint.from.contains(&owner) {
                continue;
            }
            block.lens[i] = paint.len;
            block.used = block.used + u16::from(paint.len > base) - u16::from(owner > base);
            if leaf != paint.forward.0 {
                self.set_leaf(child, i, paint.forward.0);
            }
        }
    }

    /// Paints all of a block that lies inside the prefix: `used` cannot change, all lengths stay below the block's.
    fn paint_all(&mut self, child: u32, paint: &Paint) {
        for i in 0..BLOCK {
            let leaf = self.fib.leaf(child, i as u32);
            if leaf & CHILD != 0 {
                self.paint_all(leaf, paint);
            } else if paint.from.contains(&self.block(child).lens[i]) {
                self.block(child).lens[i] = paint.len;
                self.set_leaf(child, i, paint.forward.0);
            }
        }
    }

    /// A block whose leaves are all `leaf`, with the mark of a child.
    fn take(&mut self, leaf: u32, len: u8) -> u32 {
        let number = match self.free.pop() {
            Some(Reverse(number)) => number,
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        let chunk = number as usize / TOGETHER;
        self.in_use.resize(self.in_use.len().max(chunk + 1), 0);
        self.in_use[chunk] += 1;
        *self.block(number) = Block { lens: [len; BLOCK], used: 0 };
        for i in 0..BLOCK {
            self.set_leaf(number, i, leaf);
        }
        number | CHILD
    }

    /// Frees a block whose leaves are all the same, and tells what they are.
    fn give_back_if_unused(&mut self, child: u32) -> Option<(u32, u8)> {
        let block = self.block(child);
        if block.used > 0 {
            return None;
        }
        let len = block.lens[0];
        let owner = (self.fib.leaf(child, 0), len);
        let number = child & !CHILD;
        self.free.push(Reverse(number));
        let in_use = &mut self.in_use[number as usize / TOGETHER];
        *in_use -= 1;
        if *in_use == 0 {
            self.blocks.give_back(number as usize, &NO_BLOCK);
            self.fib.blocks.give_back(number as usize * BLOCK, &0);
        }
        Some(owner)
    }

    fn block(&mut self, child: u32) -> &mut Block {
        self.blocks.slot((child & !CHILD) as usize, &NO_BLOCK)
    }

    fn root(&self, i: usize) -> u32 {
        self.fib.root[i / ROOT_CHUNK][i % ROOT_CHUNK]
    }

    fn set_root(&mut self, i: usize, leaf: u32, len: u8) {
        Arc::make_mut(&mut self.fib.root[i / ROOT_CHUNK])[i % ROOT_CHUNK] = leaf;
        self.root_lens[i] = len;
    }

    fn set_leaf(&mut self, child: u32, i: usize, leaf: u32) {
        *self.fib.blocks.slot(((child << 8) as usize) | i, &0) = leaf;
    }
}
