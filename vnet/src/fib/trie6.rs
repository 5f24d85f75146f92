//! Longest prefix match for IPv6: a trie that steps over six bits at a time and leaves out what has no branches.
//!
//! The blocks of IPv4's trie would not do: 128 bits are 14 levels of them, and routes far from each other, which is the rule
//! in so large a space, would each need a kilobyte per level. Here a node stands only where prefixes end or part, so that
//! memory and depth depend on how many routes there are and not on how long they are: a million take about four
//! steps. Nothing is painted over, so a change touches the nodes on the way to its prefix and no others; versions share
//! all the rest.

use std::net::Ipv6Addr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::address::{Prefix, PrefixTrie};
use crate::ids::ForwardIndex;

/// Bits that a node looks at.
const STRIDE: u8 = 6;

/// The trie as workers read it.
#[derive(Clone, Debug)]
pub struct Fib6 {
    root: Arc<Node>,
}

/// The prefixes of [`depth`](Node::depth) to `depth + 5` bits that begin with the same `depth` bits, and the way to longer
/// ones.
///
/// Both lists are dense: an entry's place is the number of bits set below its own.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The first `depth` bits of all addresses here; the others are 0.
    bits: u128,
    /// Bit `1 << n | p`: there is a prefix of `depth + n` bits, of which the last `n` are `p`.
    ends: u64,
    /// Bit `p`: longer prefixes go on with the six bits `p`.
    branches: u64,
    /// A multiple of [`STRIDE`].
    depth: u8,
    forwards: SmallVec<[ForwardIndex; 3]>,
    nodes: Vec<Arc<Node>>,
}

impl Fib6 {
    /// The entry of the longest prefix that has `address`.
    #[inline]
    pub fn lookup(&self, address: u128) -> ForwardIndex {
        let mut node = &*self.root;
        let mut best = ForwardIndex(0);
        loop {
            // Bits that were stepped over may differ.
            if (address ^ node.bits) & top(node.depth) != 0 {
                return best;
            }
            let step = step(address, node.depth);
            let covers = node.ends & COVERS[step];
            if covers != 0 {
                // The longest prefix has the highest bit.
                let longest = 63 - covers.leading_zeros();
                best = node.forwards[place(node.ends, longest)];
            }
            if node.branches & (1 << step) == 0 {
                return best;
            }
            node = &node.nodes[place(node.branches, step as u32)];
        }
    }
}

/// For the next six bits of an address: the bits of [`Node::ends`] of all prefixes that have it.
const COVERS: [u64; 64] = {
    let mut covers = [0; 64];
    let mut step = 0;
    while step < 64 {
        let mut len = 0;
        while len < STRIDE {
            covers[step] |= 1 << (1 << len | step >> (STRIDE - len));
            len += 1;
        }
        step += 1;
    }
    covers
};

/// How many bits of a set stand below one.
#[inline(always)]
fn place(set: u64, bit: u32) -> usize {
    (set & ((1 << bit) - 1)).count_ones() as usize
}

/// A mask of the first `len` bits.
#[inline(always)]
fn top(len: u8) -> u128 {
    !u128::MAX.checked_shr(u32::from(len)).unwrap_or(0)
}

/// The six bits of an address behind the first `depth`, with zeros behind the last.
#[inline(always)]
fn step(address: u128, depth: u8) -> usize {
    ((address << depth) >> (128 - STRIDE)) as usize
}

/// The trie as the control side writes it.
#[derive(Debug)]
pub struct Trie6 {
    fib: Fib6,
}

impl Default for Trie6 {
    fn default() -> Self {
        // The default route is always there.
        let root = Node { ends: 1 << 1, forwards: [ForwardIndex(0)].into_iter().collect(), ..Node::default() };
        Trie6 { fib: Fib6 { root: Arc::new(root) } }
    }
}

impl PrefixTrie<Ipv6Addr> for Trie6 {
    type Lookup = Fib6;

    fn insert(&mut self, prefix: Prefix<Ipv6Addr>, forward: ForwardIndex) {
        Arc::make_mut(&mut self.fib.root).insert(prefix.address().to_bits(), prefix.len(), forward);
    }

    fn remove(&mut self, prefix: Prefix<Ipv6Addr>, cover: ForwardIndex, _: u8) {
        if prefix.len() == 0 {
            return self.insert(prefix, cover);
        }
        Arc::make_mut(&mut self.fib.root).remove(prefix.address().to_bits(), prefix.len());
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
}

impl Trie6 {
    /// Nodes in use.
    pub fn nodes(&self) -> usize {
        fn count(node: &Node) -> usize {
            1 + node.nodes.iter().map(|node| count(node)).sum::<usize>()
        }
        count(&self.fib.root)
    }
}

impl Node {
    /// A node for one prefix.
    fn of(bits: u128, len: u8, forward: ForwardIndex) -> Node {
        let mut node = Node { bits: bits & top(depth_of(len)), depth: depth_of(len), ..Node::default() };
        node.end(bits, len, forward);
        node
    }

    /// Puts a prefix that ends in this node.
    fn end(&mut self, bits: u128, len: u8, forward: ForwardIndex) {
        let bit = end_bit(bits, len);
        let at = place(self.ends, bit);
        if self.ends & (1 << bit) != 0 {
            self.forwards[at] = forward;
        } else {
            self.ends |= 1 << bit;
            self.forwards.insert(at, forward);
        }
    }

    /// Puts a prefix that begins with this node's bits and is at least as long.
    fn insert(&mut self, bits: u128, len: u8, forward: ForwardIndex) {
        if len < self.depth + STRIDE {
            return self.end(bits, len, forward);
        }
        let step = step(bits, self.depth) as u32;
        let at = place(self.branches, step);
        if self.branches & (1 << step) == 0 {
            self.branches |= 1 << step;
            self.nodes.insert(at, Arc::new(Node::of(bits, len, forward)));
            return;
        }
        let child = Arc::make_mut(&mut self.nodes[at]);
        let common = depth_of((bits ^ child.bits).leading_zeros().min(u32::from(len)) as u8);
        if common < child.depth {
            // They part before the child: a node goes in between.
            let between = Node { bits: bits & top(common), depth: common, ..Node::default() };
            let child = std::mem::replace(child, between);
            self.adopt(at, child);
        }
        Arc::make_mut(&mut self.nodes[at]).insert(bits, len, forward);
    }

    /// Hangs a node below the child at place `at`.
    fn adopt(&mut self, at: usize, node: Node) {
        let parent = Arc::make_mut(&mut self.nodes[at]);
        parent.branches |= 1 << step(node.bits, parent.depth);
        parent.nodes.push(Arc::new(node));
    }

    /// Takes a prefix away, if it is there, and nodes that nothing needs any more.
    fn remove(&mut self, bits: u128, len: u8) {
        if len < self.depth + STRIDE {
            let bit = end_bit(bits, len);
            if self.ends & (1 << bit) != 0 {
                self.forwards.remove(place(self.ends, bit));
                self.ends &= !(1 << bit);
                self.forwards.shrink_to_fit();
            }
            return;
        }
        let step = step(bits, self.depth) as u32;
        let at = place(self.branches, step);
        if self.branches & (1 << step) == 0 {
            return;
        }
        let child = &self.nodes[at];
        if child.depth > len || (bits ^ child.bits) & top(child.depth) != 0 {
            return;
        }
        let child = Arc::make_mut(&mut self.nodes[at]);
        child.remove(bits, len);
        if child.ends != 0 {
            return;
        }
        match child.nodes.len() {
            0 => {
                self.nodes.remove(at);
                self.branches &= !(1 << step);
                self.nodes.shrink_to_fit();
            }
            1 => {
                if let Some(only) = child.nodes.pop() {
                    self.nodes[at] = only;
                }
            }
            _ => {}
        }
    }
}

/// Of the node in which a prefix of `len` bits ends.
fn depth_of(len: u8) -> u8 {
    len / STRIDE * STRIDE
}

/// The bit of [`Node::ends`] for a prefix, in the node in which it ends.
fn end_bit(bits: u128, len: u8) -> u32 {
    let inside = len % STRIDE;
    let last = (bits << depth_of(len)).checked_shr(128 - u32::from(inside)).unwrap_or(0) as u32;
    1 << inside | last
}
