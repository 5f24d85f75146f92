//! One datagram that arrives in pieces (RFC 791 section 3.2, RFC 8200 section 4.5).

use vnet::IfIndex;

use super::Pieces;

/// The longest payload: as much as a length of 16 bits says.
const LONGEST: usize = 65535;
/// Units of eight bytes in that, 64 to a word.
const WORDS: usize = LONGEST.div_ceil(8).div_ceil(64);

/// What tells the pieces of one datagram from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<A> {
    pub(super) source: A,
    pub(super) destination: A,
    pub(super) id: u32,
    /// Of IPv4; the pieces of IPv6 have no need of it.
    pub(super) protocol: u8,
}

impl<A: Pieces> Key<A> {
    /// That of nothing.
    pub(super) const NONE: Self = Key { source: A::UNSPECIFIED, destination: A::UNSPECIFIED, id: 0, protocol: 0 };
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
    /// Its bounds contradict another's: as bad.
    Malformed,
    /// Others follow, and its length is no multiple of eight: as bad.
    Odd,
    /// It goes beyond what a datagram may have: as bad.
    TooFar,
    /// The datagram was found worthless before.
    Dead,
}

/// See the head of this module. It has copies of the headers, which were in one buffer, and of the payload's bytes, at most
/// [`LONGEST`], and no buffer of the pool. Memory is kept for the next datagram.
pub(super) struct Datagram<A> {
    pub(super) key: Key<A>,
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
    /// Of the first piece, what makes it a piece included; empty before it has come.
    header: Vec<u8>,
    /// Bytes of payload in the piece at offset 0.
    first_len: usize,
    payload: Vec<u8>,
    have: [u64; WORDS],
    /// Bytes of payload that have come.
    got: usize,
    /// Bytes of payload, once the last piece has come.
    total: Option<usize>,
    /// The congestion notifications of the pieces, a bit each.
    marks: u8,
}

impl<A: Pieces> Datagram<A> {
    pub(super) fn new() -> Self {
        Datagram {
            key: Key::NONE,
            until: 0,
            rx: IfIndex(0),
            dead: false,
            again: false,
            header: Vec::new(),
            first_len: 0,
            payload: Vec::new(),
            have: [0; WORDS],
            got: 0,
            total: None,
            marks: 0,
        }
    }

    /// Begins another datagram.
    pub(super) fn begin(&mut self, key: Key<A>, rx: IfIndex, until: u64) {
        (self.key, self.rx, self.until, self.dead) = (key, rx, until, false);
        (self.first_len, self.got, self.total, self.marks) = (0, 0, None, 0);
        self.header.clear();
        self.payload.clear();
        self.have.fill(0);
    }

    /// Adds a piece: its headers, its offset in bytes, whether others follow it, and its payload.
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
        self.dead = matches!(added, Added::Overlap | Added::Malformed | Added::Odd | Added::TooFar);
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
        if end > A::longest(header.len()) {
            return Added::TooFar;
        }
        if more && !len.is_multiple_of(8) {
            return Added::Odd;
        }
        match (self.total, more) {
            _ if len == 0 => return Added::Malformed,
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
        self.marks |= 1 << A::ecn(header);
        if !more {
            self.total = Some(end);
        }
        if offset == 0 {
            self.header.clear();
            self.header.extend_from_slice(header);
            self.first_len = len;
        }
        match self.total {
            // The first piece's header may be longer than those of the others.
            Some(total) if total == self.got && total > A::longest(self.header.len()) => Added::TooFar,
            Some(total) if total == self.got => Added::Complete,
            _ => Added::Kept,
        }
    }

    /// The first piece's headers.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// The piece at offset 0, headers and payload, if it has come.
    pub(super) fn first_piece(&self) -> Option<(&[u8], &[u8])> {
        Some((self.header(), self.payload.get(..self.first_len)?)).filter(|_| !self.header.is_empty())
    }

    /// Whether a piece met congestion; `None`: one did, and others are not of a sender that would hear of it (RFC 3168
    /// section 5.3 has such a datagram dropped).
    pub(super) fn congested(&self) -> Option<bool> {
        let (not_capable, congested) = (self.marks & 1 != 0, self.marks & 1 << 3 != 0);
        (!not_capable || !congested).then_some(congested)
    }

    /// The payload, once it is complete.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

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

    fn add<A: Pieces>(datagram: &mut Datagram<A>, (offset, more, bytes): &(usize, bool, Vec<u8>)) -> Added {
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
            let mut datagram = Datagram::<Ipv4Addr>::new();
            datagram.begin(Key::NONE, IfIndex(1), 1);
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
            let mut datagram = Datagram::<Ipv4Addr>::new();
            datagram.begin(Key::NONE, IfIndex(1), 1);
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
        let mut datagram = Datagram::<Ipv4Addr>::new();
        datagram.begin(Key::NONE, IfIndex(1), 1);
        let (last, good) = pieces.split_last().unwrap();
        for piece in good {
            assert_eq!(add(&mut datagram, piece), Added::Kept);
        }
        let added = add(&mut datagram, last);
        if !matches!(added, Added::Kept | Added::Duplicate | Added::Complete) {
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
        assert_eq!(after((16, true, vec![1; 9])), Added::Odd, "not a multiple of eight");
        assert_eq!(after((16, true, vec![])), Added::Malformed);
        assert_eq!(after((65512, false, vec![1; 8])), Added::TooFar, "longer than a datagram may be");
        let after = |piece: Piece| last(&[first.clone(), third.clone(), piece]);
        assert_eq!(after((40, false, vec![1; 5])), Added::Malformed, "two ends");
        assert_eq!(after((32, true, vec![1; 8])), Added::Malformed, "goes on behind the end");
        assert_eq!(after((16, true, vec![1; 16])), Added::Complete);
        assert_eq!(last(&[(0, false, vec![3; 5])]), Added::Complete);
    }

    #[test]
    fn the_first_pieces_header_counts_for_the_whole() {
        let mut datagram = Datagram::<Ipv4Addr>::new();
        datagram.begin(Key::NONE, IfIndex(1), 1);
        assert_eq!(add(&mut datagram, &(65504, false, vec![1; 11])), Added::Kept);
        assert_eq!(datagram.first_piece(), None);
        let long = [0x4f; 60];
        assert_eq!(datagram.add(&long, 0, true, 65472, [&[1; 65472][..]].into_iter()), Added::Kept);
        assert_eq!(datagram.first_piece(), Some((&long[..], &[1; 65472][..])));
        assert_eq!(add(&mut datagram, &(65472, true, vec![1; 32])), Added::TooFar, "too long with the first header");
    }

    /// RFC 3168 section 5.3.
    #[test]
    fn congestion_of_a_piece_is_that_of_the_datagram() {
        for (ecn, congested) in [([0, 0], Some(false)), ([1, 2], Some(false)), ([2, 3], Some(true)), ([0, 3], None)] {
            let mut datagram = Datagram::<Ipv4Addr>::new();
            datagram.begin(Key::NONE, IfIndex(1), 1);
            for (at, ecn) in ecn.into_iter().enumerate() {
                let mut header = HEADER;
                header[1] = 0xb8 | ecn;
                datagram.add(&header, at * 8, at == 0, 8, [&[1; 8][..]].into_iter());
            }
            assert_eq!(datagram.congested(), congested, "{ecn:?}");
        }
    }

    #[test]
    fn the_headers_of_ip6_count_where_they_are_part_of_its_length() {
        for (extensions, longest) in [(0, 65528), (16, 65512)] {
            let mut datagram = Datagram::<Ipv6Addr>::new();
            datagram.begin(Key::NONE, IfIndex(1), 1);
            let header = vec![0x60; 48 + extensions];
            let mut add =
                |offset, more, len: usize| datagram.add(&header, offset, more, len, [&vec![1; len][..]].into_iter());
            // A datagram of 65535 bytes behind the IPv6 header.
            assert_eq!(add(longest, false, 7), Added::Kept);
            assert_eq!(add(0, true, longest), Added::Complete);
            datagram.begin(Key::NONE, IfIndex(1), 1);
            let mut add =
                |offset, more, len: usize| datagram.add(&header, offset, more, len, [&vec![1; len][..]].into_iter());
            assert_eq!(add(longest, false, 8), Added::TooFar);
        }
    }
}
