//! What the trie is made of: cache lines.

use std::hint::select_unpredictable;

use smallvec::SmallVec;

/// Bits that a node looks at.
pub(super) const STRIDE: u8 = 6;

/// Prefixes in one line.
pub(super) const FEW: usize = 3;

/// Entries of a node's own prefixes that stand in its line.
pub(super) const INLINE: usize = 6;

/// Entries in a line of nothing else.
pub(super) const ENTRIES: usize = 15;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// One line of the trie: a look-up reads one per level.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(super) enum Line {
    /// Nobody's.
    Free,
    /// All prefixes on this way: they are compared with the address one by one, the longest first. Where they are fewer,
    /// the last stands there several times, which is harmless and needs no number.
    Few { bits: [u128; FEW], lens: [u8; FEW], entries: [u32; FEW] },
    /// Where more prefixes part: those of `depth` to `depth + 5` bits that begin with the same `depth` bits, and the way to
    /// longer ones.
    Node {
        /// The first `depth` bits of all addresses here; the others are 0.
        bits: u128,
        /// Bit `1 << n | p`: there is a prefix of `depth + n` bits, of which the last `n` are `p`.
        ends: u64,
        /// Bit `p`: longer prefixes go on with the six bits `p`.
        branches: u64,
        /// The first of the lines of `branches`, which stand one behind the other in the order of their bits.
        children: u32,
        /// The entries of `ends` in the order of their bits; where they are `apart`, the first is the number of the first of
        /// the lines that have them.
        entries: [u32; INLINE],
        /// A multiple of [`STRIDE`].
        depth: u8,
        /// There are more than [`INLINE`] entries.
        apart: bool,
    },
    /// Entries of a node that has too many of them for its own line.
    Entries([u32; ENTRIES]),
}

const _: () = assert!(size_of::<Line>() == 64);

/// A prefix and its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) bits: u128,
    pub(super) len: u8,
    pub(super) entry: u32,
}

/// The best that a look-up has found so far: an entry, or where it stands, which is read only if nothing better comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best(u64);

impl Best {
    pub(super) const NONE: Best = Best(u64::MAX);

    /// Marks one that stands apart: below are the first line with the node's entries and the entry's place among them.
    const APART: u64 = 1 << 63;

    #[inline(always)]
    fn apart(line: u32, at: usize) -> Best {
        Best(Best::APART | u64::from(line) << 8 | at as u64)
    }

    /// The entry; `None` if nothing was found. `apart` gives the entries of a line.
    #[inline(always)]
    pub(super) fn entry<'l>(self, apart: impl Fn(u32) -> &'l Line) -> Option<u32> {
        if self.0 & Best::APART == 0 {
            return Some(self.0 as u32);
        }
        if self == Best::NONE {
            return None;
        }
        let (line, at) = ((self.0 >> 8) as u32, self.0 as usize & 0xff);
        match apart(line + (at / ENTRIES) as u32) {
            Line::Entries(entries) => Some(entries[at % ENTRIES]),
            _ => None,
        }
    }
}

/// An address as a look-up needs it: 64 bits each from the 1st, 33rd, 65th and 97th on.
#[derive(Clone, Copy, Default)]
pub(super) struct Words([u64; 4]);

impl Words {
    #[inline(always)]
    pub(super) fn of(address: u128) -> Words {
        let (high, low) = ((address >> 64) as u64, address as u64);
        Words([high, high << 32 | low >> 32, low, low << 32])
    }

    /// Whether the first `len` bits are others.
    #[inline(always)]
    fn differ(&self, bits: u128, len: u8) -> bool {
        let top = top(len);
        let high = (self.0[0] ^ (bits >> 64) as u64) & (top >> 64) as u64;
        let low = (self.0[2] ^ bits as u64) & top as u64;
        high | low != 0
    }

    /// The six bits behind the first `depth`, with zeros behind the last.
    #[inline(always)]
    fn step(&self, depth: u8) -> usize {
        (self.0[usize::from(depth / 32 % 4)] << (depth % 32) >> (64 - STRIDE)) as usize
    }
}

impl Line {
    /// Whether the trie ends here.
    #[inline(always)]
    pub(super) fn is_few(&self) -> bool {
        matches!(self, Line::Few { .. })
    }

    /// The line to go on with, 0 if there is none, and the best entry so far. Nothing here can be foreseen, so there are
    /// choices instead of branches.
    #[inline(always)]
    pub(super) fn step(&self, address: &Words, best: Best) -> (u32, Best) {
        let Line::Node { bits, ends, branches, children, entries, depth, apart } = self else { return (0, best) };
        // Bits that were stepped over may differ: then nothing here counts.
        let here = select_unpredictable(address.differ(*bits, *depth), 0, u64::MAX);
        let step = address.step(*depth);
        let branch = 1 << step;
        let child = children.wrapping_add(place(*branches, branch) as u32);
        let next = select_unpredictable(branches & branch & here == 0, 0, child);
        let covers = ends & COVERS[step] & here;
        // The longest prefix has the highest bit; bit 0 is none's.
        let at = place(*ends, 1 << (63 - (covers | 1).leading_zeros()));
        let inline = Best(entries[at.min(INLINE - 1)].into());
        let found = select_unpredictable(*apart, Best::apart(entries[0], at), inline);
        (next, select_unpredictable(covers == 0, best, found))
    }

    /// The best entry after a line where the trie ends.
    #[inline(always)]
    pub(super) fn last(&self, address: &Words, best: Best) -> Best {
        let Line::Few { bits, lens, entries } = self else { return best };
        (0..FEW)
            .rev()
            .fold(best, |best, i| select_unpredictable(address.differ(bits[i], lens[i]), best, Best(entries[i].into())))
    }

    /// A line of one to [`FEW`] prefixes.
    pub(super) fn few(mut leaves: SmallVec<[Leaf; FEW + 1]>) -> Line {
        debug_assert!((1..=FEW).contains(&leaves.len()));
        // The bits, too, so that the same prefixes make the same line.
        leaves.sort_by_key(|leaf| (std::cmp::Reverse(leaf.len), leaf.bits));
        let leaf = |i: usize| leaves[i.min(leaves.len() - 1)];
        Line::Few {
            bits: std::array::from_fn(|i| leaf(i).bits),
            lens: std::array::from_fn(|i| leaf(i).len),
            entries: std::array::from_fn(|i| leaf(i).entry),
        }
    }

    /// A node without prefixes.
    pub(super) fn node(bits: u128, depth: u8) -> Line {
        let bits = bits & top(depth);
        Line::Node { bits, ends: 0, branches: 0, children: 0, entries: [NONE; INLINE], depth, apart: false }
    }

    /// The prefixes of a line of few.
    pub(super) fn leaves(&self) -> SmallVec<[Leaf; FEW + 1]> {
        let mut leaves = SmallVec::new();
        if let Line::Few { bits, lens, entries } = self {
            for i in 0..FEW {
                if i == 0 || (bits[i], lens[i]) != (bits[i - 1], lens[i - 1]) {
                    leaves.push(Leaf { bits: bits[i], len: lens[i], entry: entries[i] });
                }
            }
        }
        leaves
    }
}

/// For the next six bits of an address: the bits of `ends` of all prefixes that have it.
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
pub(super) fn place(set: u64, bit: u64) -> usize {
    (set & (bit - 1)).count_ones() as usize
}

/// A mask of the first `len` bits. A table, since shifting 128 bits is a dozen instructions.
#[inline(always)]
pub(super) fn top(len: u8) -> u128 {
    TOPS[usize::from(len)]
}

/// As many as a byte has values, so that none is out of range.
static TOPS: [u128; 256] = {
    let mut tops = [!0; 256];
    let mut len = 0;
    while len < 128 {
        tops[len] = !(!0 >> len);
        len += 1;
    }
    tops
};

/// The six bits of an address behind the first `depth`, with zeros behind the last.
pub(super) fn step(address: u128, depth: u8) -> usize {
    ((address << (depth % 128)) >> (128 - STRIDE)) as usize
}

/// Of the node in which a prefix of `len` bits ends.
pub(super) fn depth_of(len: u8) -> u8 {
    len / STRIDE * STRIDE
}

/// The bit of `ends` for a prefix, in the node in which it ends.
pub(super) fn end_bit(bits: u128, len: u8) -> u64 {
    let inside = len % STRIDE;
    let last = (bits << depth_of(len)).checked_shr(128 - u32::from(inside)).unwrap_or(0) as u32;
    1 << (1 << inside | last)
}

/// How many bits all of these prefixes have and share.
pub(super) fn common(leaves: &[Leaf]) -> u8 {
    let first = leaves[0];
    let shared = |leaf: &Leaf| (first.bits ^ leaf.bits).leading_zeros().min(u32::from(leaf.len)) as u8;
    leaves.iter().map(shared).min().unwrap_or(0)
}
