//! The places that a worker has for datagrams in pieces, and who gets one when all are taken.

use std::collections::VecDeque;

use vnet::IfIndex;

use super::Pieces;
use super::datagram::{Datagram, Key};

/// Datagrams in pieces at a time. The pieces of one datagram come to one worker: the kernel spreads fragments over a
/// fanout group by addresses and protocol alone.
pub(super) const PLACES: usize = 64;
/// Of these for one sender, so that nobody alone keeps others from being heard.
pub(super) const PER_SOURCE: usize = 16;
/// How long to wait for all pieces, in nanoseconds from the first that comes. RFC 1122 section 3.3.2 and RFC 8200 section 4.5
/// have a minute for hosts; identifications come round sooner than that today (RFC 4963), places are few, and VPP waits a
/// fifth of this.
pub(super) const PATIENCE: u64 = 1_000_000_000;

/// What a datagram's first piece pushed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    /// The oldest datagram of the same sender, which had its share of the places.
    OfSource,
    /// The oldest of all: every place was taken.
    Oldest,
}

/// See the head of this module.
///
/// Bounds: [`PLACES`] datagrams with copies of at most 65,535 bytes of payload and a buffer of headers each, so at most 4.4 MB
/// a worker and family however many pieces come, made as they are needed and then kept; and no buffer of the pool. A datagram stays [`PATIENCE`] at
/// most, and not less unless it is complete or one that came later needs its place.
pub struct Places<A> {
    all: Vec<Datagram<A>>,
    /// Before this time, in nanoseconds, there is nothing to give up; `None` where nothing waits.
    soonest: Option<u64>,
    /// The datagrams that were complete last, and until when something of them may come once more.
    complete: VecDeque<(Key<A>, u64)>,
}

impl<A> Default for Places<A> {
    fn default() -> Self {
        Places { all: Vec::new(), soonest: None, complete: VecDeque::new() }
    }
}

impl<A: Pieces> Places<A> {
    /// Where the pieces of a datagram are, or may be put from now on; and what had to go for it.
    pub(super) fn place(&mut self, key: Key<A>, rx: IfIndex, now: u64) -> (&mut Datagram<A>, Option<Evicted>) {
        let used = |place: &Datagram<A>| place.until != 0;
        let (at, evicted) = match self.all.iter().position(|place| used(place) && place.key == key) {
            Some(at) => return (&mut self.all[at], None),
            None => self.room_for(key.source),
        };
        let again = self.complete.iter().any(|&(other, until)| other == key && until > now);
        let place = &mut self.all[at];
        let evicted = evicted.filter(|_| !place.dead && !place.again);
        place.begin(key, rx, now + PATIENCE);
        place.again = again;
        self.soonest.get_or_insert(now + PATIENCE);
        (place, evicted)
    }

    /// Notes that a datagram is complete; its place is free.
    pub(super) fn completed(&mut self, key: Key<A>, now: u64) {
        if self.complete.len() == PLACES {
            self.complete.pop_front();
        }
        self.complete.push_back((key, now + PATIENCE));
    }

    /// A place to be begun anew, which is free or has to be.
    fn room_for(&mut self, source: A) -> (usize, Option<Evicted>) {
        let of_source = |place: &Datagram<A>| place.until != 0 && place.key.source == source;
        if self.all.iter().filter(|place| of_source(place)).count() >= PER_SOURCE {
            return (self.oldest(of_source), Some(Evicted::OfSource));
        }
        if let Some(free) = self.all.iter().position(|place| place.until == 0) {
            return (free, None);
        }
        if self.all.len() < PLACES {
            self.all.push(Datagram::new());
            return (self.all.len() - 1, None);
        }
        (self.oldest(|_| true), Some(Evicted::Oldest))
    }

    /// The oldest place in use among these, of which there is one.
    fn oldest(&self, among: impl Fn(&Datagram<A>) -> bool) -> usize {
        let places = self.all.iter().enumerate().filter(|(_, place)| place.until != 0 && among(place));
        places.min_by_key(|(_, place)| place.until).map_or(0, |(at, _)| at)
    }

    /// Gives up what has waited too long, one after another, calling `with` for each that is not worthless anyway.
    /// Returns how many places were freed.
    pub(super) fn expire(&mut self, now: u64, mut with: impl FnMut(&Datagram<A>)) -> usize {
        let mut freed = 0;
        for place in self.all.iter_mut().filter(|place| place.until != 0 && place.until <= now) {
            if !place.dead && !place.again {
                with(place);
            }
            place.until = 0;
            freed += 1;
        }
        self.soonest = self.all.iter().map(|place| place.until).filter(|until| *until != 0).min();
        freed
    }

    /// When to look again, in nanoseconds; `None`: when something has come. What has gone meanwhile may make it early.
    pub(super) fn next_look(&self) -> Option<u64> {
        self.soonest
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::datagram::Added;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    type Places = super::Places<Ipv4Addr>;

    fn key(source: u32, id: u32) -> Key<Ipv4Addr> {
        Key { source: source.into(), destination: Ipv4Addr::from(1), id, protocol: 17 }
    }

    /// A datagram's first piece comes.
    fn come(places: &mut Places, source: u32, id: u32, now: u64) -> Option<Evicted> {
        let (place, evicted) = places.place(key(source, id), IfIndex(1), now);
        assert_eq!(place.add(&[0x45; 20], 0, true, 8, [&[0; 8][..]].into_iter()), Added::Kept);
        evicted
    }

    fn here(places: &Places, source: u32, id: u32) -> bool {
        places.all.iter().any(|place| place.until != 0 && place.key == key(source, id))
    }

    #[test]
    fn one_source_pushes_out_only_its_own() {
        let mut places = Places::default();
        assert_eq!(come(&mut places, 7, 0, 1), None);
        for id in 0..100 {
            let evicted = come(&mut places, 8, id, 2 + u64::from(id));
            assert_eq!(evicted, (id as usize >= PER_SOURCE).then_some(Evicted::OfSource));
        }
        assert!(here(&places, 7, 0));
        assert!(!here(&places, 8, 83) && here(&places, 8, 84));
        assert_eq!(places.all.len(), 1 + PER_SOURCE);
    }

    #[test]
    fn of_many_sources_the_oldest_goes() {
        let mut places = Places::default();
        for source in 0..1000 {
            let evicted = come(&mut places, source, 5, 1 + u64::from(source));
            assert_eq!(evicted, (source as usize >= PLACES).then_some(Evicted::Oldest));
        }
        assert!(!here(&places, 1000 - PLACES as u32 - 1, 5) && here(&places, 1000 - PLACES as u32, 5));
        assert_eq!(places.all.len(), PLACES);
    }

    #[test]
    fn the_worthless_keep_their_place_and_go_without_a_word() {
        let mut places = Places::default();
        assert_eq!(come(&mut places, 7, 0, 1), None);
        let other = [&[9; 8][..]];
        let piece = |places: &mut Places, id, now| {
            places.place(key(7, id), IfIndex(1), now).0.add(&[0x45; 20], 0, true, 8, other.into_iter())
        };
        assert_eq!(piece(&mut places, 0, 2), Added::Overlap);
        assert_eq!(piece(&mut places, 0, SECOND), Added::Dead);
        places.expire(SECOND, |_| panic!("nobody's time is up"));
        assert_eq!(piece(&mut places, 0, SECOND), Added::Dead);
        places.expire(SECOND + 1, |_| panic!("worthless"));
        assert_eq!(piece(&mut places, 0, SECOND + 1), Added::Kept, "another datagram");
    }

    #[test]
    fn what_comes_once_more_of_a_complete_datagram_goes_without_a_word() {
        let mut places = Places::default();
        let end = [&[9; 8][..]];
        assert_eq!(come(&mut places, 7, 1, 1), None);
        let (place, _) = places.place(key(7, 1), IfIndex(1), 2);
        assert_eq!(place.add(&[0x45; 20], 8, false, 8, end.into_iter()), Added::Complete);
        place.until = 0;
        places.completed(key(7, 1), 2);
        come(&mut places, 7, 1, 3);
        places.expire(2 * SECOND, |_| panic!("nothing is missing"));
        assert_eq!(places.next_look(), None);
        // Long after, it is another datagram; so is one of another identification at any time.
        come(&mut places, 7, 1, 2 * SECOND);
        come(&mut places, 7, 2, 2 * SECOND);
        let mut gone = Vec::new();
        places.expire(4 * SECOND, |datagram| gone.push(datagram.key.id));
        assert_eq!(gone, [1, 2]);
        (0..1000).for_each(|id| places.completed(key(7, id), 5 * SECOND));
        assert_eq!(places.complete.len(), PLACES);
    }

    #[test]
    fn whoever_waits_too_long_is_given_up_once() {
        let mut places = Places::default();
        assert_eq!(places.next_look(), None);
        come(&mut places, 7, 1, 1);
        come(&mut places, 7, 2, 2);
        assert_eq!(places.next_look(), Some(SECOND + 1));
        let mut gone = Vec::new();
        places.expire(SECOND, |datagram| gone.push(datagram.key.id));
        assert!(gone.is_empty());
        places.expire(SECOND + 1, |datagram| gone.push(datagram.key.id));
        assert_eq!((&gone[..], places.next_look()), (&[1][..], Some(SECOND + 2)));
        places.expire(3 * SECOND, |datagram| gone.push(datagram.key.id));
        places.expire(4 * SECOND, |datagram| gone.push(datagram.key.id));
        assert_eq!((&gone[..], places.next_look()), (&[1, 2][..], None));
    }
}
