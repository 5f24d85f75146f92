//! One datagram that arrives in pieces (RFC 791 section 3.2).

use vnet::IfIndex;
use vnet::wire::Ip4Header;

/// The longest IPv4 header.
pub(super) const MAX_HEADER: usize = 60;
/// The longest payload: RFC 791's 65535 bytes with the shortest header.
const LONGEST: usize = 65535 - Ip4Header::LEN;
/// Units of eight bytes in that, 64 to a word.
const WORDS: usize = LONGEST.div_ceil(8).div_ceil(64);

/// What tells the pieces of one datagram from those of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) id: u16,
    pub(super) protocol: u8,
}

/// What a piece does to its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is one more; others are missing.
    Kept,
    /// It was there already, the same.
    Duplicate,
    /// It was the last one missing.
    Complete,
    /// Part of it was there already, with other bounds or bytes: nobody sends that honestly (RFC 5722 section 4 says so
    /// for IPv6), and the whole datagram is worthless.
    Overlap,
    /// Its bounds contradict another's, or go beyond what a datagram may have: as bad.
    Malformed,
    /// The datagram was found worthless before.
    Dead,
}

/// See the head of this module. It has copies of the payload's bytes, at most [`LONGEST`], and no buffer of the pool.
/// Memory is kept for the next datagram.
pub(super) struct Datagram {
    pub(super) key: Key,
    /// When it is given up, in nanoseconds; 0: the place is free.
    pub(super) until: u64,
    /// Where its first piece came in.
    pub(super) rx: IfIndex,
    /// It was found worthless. It still keeps its place till its time is up: what else comes of it must not pass for the
    /// beginning of another.
    pub(super) dead: bool,
    /// One of the same name was complete a moment ago: what comes is most likely that one's pieces once more, and that the
    /// others do not come is nothing to tell anybody.
    pub(super) again: bool,
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// Bytes of payload in the piece at offset 0.
    first_len: usize,
    payload: Vec<u8>,
    have: [u64; WORDS],
    /// Bytes of payload that have come.
    got: usize,
    /// Bytes of payload, once the last piece has come.
    total: Option<usize>,
}

impl Datagram {
    pub(super) fn new() -> Datagram {
        Datagram {
            key: Key::default(),
            until: 0,
            rx: IfIndex(0),
            dead: false,
            again: false,
            header: [0; MAX_HEADER],
            header_len: 0,
            first_len: 0,
            payload: Vec::new(),
            have: [0; WORDS],
            got: 0,
            total: None,
        }
    }

    /// Begins another datagram.
    pub(super) fn begin(&mut self, key: Key, rx: IfIndex, until: u64) {
        (self.key, self.rx, self.until, self.dead) = (key, rx, until, false);
        (self.header_len, self.first_len, self.got, self.total) = (0, 0, 0, None);
        self.payload.clear();
        self.have.fill(0);
    }

    /// Adds a piece: its header with options, its offset in bytes, whether others follow it, and its payload.
    pub(super) fn add<'p>(
        &mut self,
        header: &[u8],
        offset: usize,
        more: bool,
        len: usize,
        pieces: impl Iterator<Item = &'p [u8]> + Clone,
    ) -> Added {
        if self.dead {
            return Added::Dead;
        }
        let added = self.put(header, offset, more, len, pieces);
        self.dead = matches!(added, Added::Overlap | Added::Malformed);
        added
    }

    fn put<'p>(
        &mut self,
        header: &[u8],
        offset: usize,
        more: bool,
        len: usize,
        pieces: impl Iterator<Item = &'p [u8]> + Clone,
    ) -> Added {
        let end = offset + len;
        let longest = 65535 - header.len().max(Ip4Header::LEN);
        if len == 0 || end > longest || header.len() > MAX_HEADER || (more && !len.is_multiple_of(8)) {
            return Added::Malformed;
        }
        match (self.total, more) {
            (Some(total), false) if total != end => return Added::Malformed,
            (Some(total), true) if end >= total => return Added::Malformed,
            (None, false) if self.payload.len() > end => return Added::Malformed,
            _ => (),
        }
        let units = offset / 8..end.div_ceil(8);
        let there = units.clone().filter(|&unit| self.have[unit / 64] & (1 << (unit % 64)) != 0).count();
        if there > 0 {
            let mut at = offset;
            let same = pieces.clone().all(|piece| {
                at += piece.len();
                self.payload.get(at - piece.len()..at) == Some(piece)
            });
            return if there == units.len() && same { Added::Duplicate } else { Added::Overlap };
        }
        if self.payload.len() < end {
            self.payload.resize(end, 0);
        }
        let mut at = offset;
        for piece in pieces {
            self.payload[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        units.for_each(|unit| self.have[unit / 64] |= 1 << (unit % 64));
        self.got += len;
        if !more {
            self.total = Some(end);
        }
        if offset == 0 {
            self.header[..header.len()].copy_from_slice(header);
            (self.header_len, self.first_len) = (header.len(), len);
        }
        match self.total {
            // The first piece's header may be longer than those of the others.
            Some(total) if total == self.got && self.header_len + total > 65535 => Added::Malformed,
            Some(total) if total == self.got => Added::Complete,
            _ => Added::Kept,
        }
    }

    /// The first piece's header.
    pub(super) fn header(&self) -> &[u8] {
        &self.header[..self.header_len]
    }

    /// The piece at offset 0, header and payload, if it has come.
    pub(super) fn first_piece(&self) -> Option<(&[u8], &[u8])> {
        Some((self.header(), self.payload.get(..self.first_len)?)).filter(|_| self.header_len > 0)
    }

    /// The payload, once it is complete.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: [u8; 20] = [0x45; 20];

    /// A datagram's pieces: offset, whether others follow, bytes.
    fn cut(payload: &[u8], sizes: &[usize]) -> Vec<(usize, bool, Vec<u8>)> {
        let (mut at, mut pieces, mut sizes) = (0, Vec::new(), sizes.iter().cycle());
        while at < payload.len() {
            let len = (sizes.next().unwrap() * 8).min(payload.len() - at);
            pieces.push((at, at + len < payload.len(), payload[at..at + len].to_vec()));
            at += len;
        }
        pieces
    }

    fn add(datagram: &mut Datagram, (offset, more, bytes): &(usize, bool, Vec<u8>)) -> Added {
        // In two parts, as a chain of buffers has them.
        let (one, other) = bytes.split_at(bytes.len() / 3);
        datagram.add(&HEADER, *offset, *more, bytes.len(), [one, other].into_iter())
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_datagram(
            payload in prop::collection::vec(any::<u8>(), 1..5000),
            sizes in prop::collection::vec(1..100usize, 1..5),
            order in prop::collection::vec(any::<prop::sample::Index>(), 64),
            again in any::<prop::sample::Index>(),
        ) {
            let mut pieces = cut(&payload, &sizes);
            for (at, other) in order.iter().enumerate() {
                let (at, other) = (at % pieces.len(), other.index(pieces.len()));
                pieces.swap(at, other);
            }
            let mut datagram = Datagram::new();
            datagram.begin(Key::default(), IfIndex(1), 1);
            for (number, piece) in pieces.iter().enumerate() {
                let last = number + 1 == pieces.len();
                prop_assert_eq!(add(&mut datagram, piece), if last { Added::Complete } else { Added::Kept });
                prop_assert_eq!(add(&mut datagram, &pieces[again.index(number + 1)]), Added::Duplicate);
            }
            prop_assert_eq!(datagram.payload(), &payload[..]);
            prop_assert_eq!(datagram.header(), &HEADER[..]);
        }

        #[test]
        fn anything_may_come(pieces in prop::collection::vec((0..8192usize, any::<bool>(), 0..3000usize), 1..30)) {
            let mut datagram = Datagram::new();
            datagram.begin(Key::default(), IfIndex(1), 1);
            for (offset, more, len) in pieces {
                let bytes = vec![7; len];
                if add(&mut datagram, &(offset * 8, more, bytes)) == Added::Complete {
                    prop_assert!(datagram.payload().len() <= 65515);
                }
            }
        }
    }

    type Piece = (usize, bool, Vec<u8>);

    /// What the last of these pieces does, all others being good; none of a datagram that it spoils is taken later.
    fn last(pieces: &[Piece]) -> Added {
        let mut datagram = Datagram::new();
        datagram.begin(Key::default(), IfIndex(1), 1);
        let (last, good) = pieces.split_last().unwrap();
        for piece in good {
            assert_eq!(add(&mut datagram, piece), Added::Kept);
        }
        let added = add(&mut datagram, last);
        if added == Added::Overlap || added == Added::Malformed {
            assert!(pieces.iter().all(|piece| add(&mut datagram, piece) == Added::Dead));
        }
        added
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_spoils_the_datagram() {
        let (first, third) = ((0, true, vec![1; 16]), (32, false, vec![1; 5]));
        let after = |piece: Piece| last(&[first.clone(), piece]);
        assert_eq!(after((8, true, vec![1; 16])), Added::Overlap);
        assert_eq!(after((0, true, vec![2; 16])), Added::Overlap);
        assert_eq!(after((8, false, vec![1; 4])), Added::Malformed, "ends before what has come");
        assert_eq!(after((16, true, vec![1; 9])), Added::Malformed, "not a multiple of eight");
        assert_eq!(after((16, true, vec![])), Added::Malformed);
        assert_eq!(after((65512, false, vec![1; 8])), Added::Malformed, "longer than a datagram may be");
        let after = |piece: Piece| last(&[first.clone(), third.clone(), piece]);
        assert_eq!(after((40, false, vec![1; 5])), Added::Malformed, "two ends");
        assert_eq!(after((32, true, vec![1; 8])), Added::Malformed, "goes on behind the end");
        assert_eq!(after((16, true, vec![1; 16])), Added::Complete);
        assert_eq!(last(&[(0, false, vec![3; 5])]), Added::Complete);
    }

    #[test]
    fn the_first_pieces_header_counts_for_the_whole() {
        let mut datagram = Datagram::new();
        datagram.begin(Key::default(), IfIndex(1), 1);
        assert_eq!(add(&mut datagram, &(65504, false, vec![1; 11])), Added::Kept);
        assert_eq!(datagram.first_piece(), None);
        let long = [0x4f; MAX_HEADER];
        assert_eq!(datagram.add(&long, 0, true, 65472, [&[1; 65472][..]].into_iter()), Added::Kept);
        assert_eq!(datagram.first_piece(), Some((&long[..], &[1; 65472][..])));
        assert_eq!(add(&mut datagram, &(65472, true, vec![1; 32])), Added::Malformed, "too long with the first header");
    }
}
