//! A worker's memory of where fragments go: to whatever the first fragment of their datagram went to.
//!
//! Only the first has ports, so only it can be balanced; the others follow it (RFC 791 section 3.2, RFC 8200 section 4.5). Those
//! that come before it are held, few of them and for a short time. Nothing is put together again: that fragments overlap, or that
//! a first one comes twice, is for the receiver to judge.
//!
//! All memory is taken when the structure is made. Whatever arrives, in any order, the bounds of [`Room`] are kept: a new datagram
//! takes the place of the oldest that is known.
//!
//! A node asks [`later`](Fragments::later) in `finish`, which may say that the packet is to be held, and gives it to
//! [`hold`](Fragments::hold) in `held`, where `Cx::look_at` lets it read the key again. In between the first fragment may have come, or other packets been held: `hold` says so and
//! gives the packet back.

mod in_pieces;
mod key;
mod list;

use smallvec::SmallVec;

pub use in_pieces::InPieces;
pub use key::Key;
use list::{Link, List, NONE};

/// How much is remembered and held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Datagrams. Fragments of one are sent back to back, so that a datagram is needed for milliseconds; as many as may be on their way at
    /// once, with the few that come late. At 100 or so bytes each, the memory fits into the second-level cache.
    pub datagrams: usize,
    /// Packets held in all; each takes up a buffer that nobody else can use, so it is a small part of a worker's 16384.
    pub held: usize,
    /// Packets held of one datagram, [`EACH`] at most: where packets overtake each other, or come by several ways, the first of a
    /// datagram may come last.
    pub each: usize,
    /// Nanoseconds that a packet is held. Reordering is over after milliseconds; a second also covers a first fragment that waits
    /// for a neighbour to be found.
    pub wait: u64,
    /// Nanoseconds that a datagram is known after its first fragment. Later ones do not make it longer, as they do not at a receiver,
    /// who gives up after 15 to 60 seconds (RFC 791 section 3.2, RFC 8200 section 4.5; 30 in Linux); and IPv4's identifiers, of which
    /// there are 65536, soon name something else.
    pub keep: u64,
}

/// [`Room::each`] is no more than this: the pieces of the longest datagram on links that take 1280 bytes (RFC 8200 section 5) are 53.
pub const EACH: usize = 64;

impl Default for Room {
    fn default() -> Self {
        Room { datagrams: 1024, held: 256, each: EACH, wait: 1_000_000_000, keep: 30_000_000_000 }
    }
}

/// What is to be done with a fragment that is not the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later<V> {
    /// It goes where the first one went.
    Known(V),
    /// Hold it, if there still is room then.
    Hold,
    /// There is no room to hold it.
    Full,
}

/// A packet that [`Fragments::hold`] does not take.
#[derive(Debug, PartialEq, Eq)]
pub struct Back<V, H> {
    /// The packet.
    pub packet: H,
    /// Where it goes, as the first one has come meanwhile; `None`: there is no room to hold it.
    pub known: Option<V>,
}

/// Packets that were held, in the order in which they came.
pub type Released<H> = SmallVec<[H; EACH]>;

/// What is known of a datagram.
#[derive(Clone, Copy)]
enum State<V> {
    /// Its first fragment went here.
    Known(V),
    /// Its first fragment has not come; so many packets wait for it, from the first to the last.
    Waiting { first: u16, last: u16, count: u16 },
}

struct Datagram<V> {
    key: Key,
    state: State<V>,
    /// When it is forgotten, in nanoseconds of the same clock as `now`.
    deadline: u64,
    /// The next with the same hash, or the next that is free.
    next: u16,
    /// Its neighbours in time.
    link: Link,
}

struct Place<H> {
    packet: Option<H>,
    /// The next of its datagram, or the next that is free.
    next: u16,
}

/// The memory of one worker. `V` says where a datagram goes; `H` is a packet that is held.
///
/// Invariant: every datagram is either in the list of free ones, or in the chain of its hash and one of the lists `known` and
/// `waiting`, which are in the order of deadlines. A waiting datagram has one packet at least.
pub struct Fragments<V, H> {
    room: Room,
    hasher: ahash::RandomState,
    heads: Box<[u16]>,
    datagrams: Box<[Datagram<V>]>,
    free: u16,
    known: List,
    waiting: List,
    places: Box<[Place<H>]>,
    free_place: u16,
    held: usize,
}

impl<V: Copy, H> Fragments<V, H> {
    /// An empty memory. Bounds that are out of reason are brought into it: at least one packet can be held, and there are more
    /// datagrams than packets held, so that there is always a known one to give way.
    pub fn new(room: Room) -> Self {
        let held = room.held.clamp(1, usize::from(NONE) - 2);
        let datagrams = room.datagrams.clamp(held + 1, usize::from(NONE) - 1);
        let room = Room { datagrams, held, each: room.each.clamp(1, EACH), ..room };
        let blank = |at: usize| Datagram {
            key: Key::default(),
            state: State::Waiting { first: NONE, last: NONE, count: 0 },
            deadline: 0,
            next: if at + 1 < datagrams { at as u16 + 1 } else { NONE },
            link: Link::default(),
        };
        let place = |at: usize| Place { packet: None, next: if at + 1 < held { at as u16 + 1 } else { NONE } };
        Fragments {
            room,
            hasher: ahash::RandomState::new(),
            heads: vec![NONE; (datagrams * 2).next_power_of_two()].into(),
            datagrams: (0..datagrams).map(blank).collect(),
            free: 0,
            known: List::default(),
            waiting: List::default(),
            places: (0..held).map(place).collect(),
            free_place: 0,
            held: 0,
        }
    }

    /// The first fragment of a datagram goes to `value`, and so do those that follow. Gives those that waited for it.
    pub fn first(&mut self, key: Key, value: V, now: u64) -> Released<H> {
        let mut released = Released::new();
        let at = match self.find(&key) {
            Some(at) => {
                while let Some(packet) = self.take(at) {
                    released.push(packet);
                }
                self.unlist(at);
                at
            }
            None => self.add(key),
        };
        let datagram = &mut self.datagrams[usize::from(at)];
        datagram.state = State::Known(value);
        datagram.deadline = now.saturating_add(self.room.keep);
        self.known.push(at, &mut self.datagrams);
        released
    }

    /// What is to be done with a fragment that is not the first. Nothing changes.
    pub fn later(&self, key: Key, now: u64) -> Later<V> {
        match self.find(&key).map(|at| &self.datagrams[usize::from(at)]) {
            Some(Datagram { state: State::Known(value), deadline, .. }) if now < *deadline => Later::Known(*value),
            Some(Datagram { state: State::Waiting { count, .. }, .. }) if usize::from(*count) >= self.room.each => {
                Later::Full
            }
            _ if self.free_place == NONE => Later::Full,
            _ => Later::Hold,
        }
    }

    /// Takes a packet of which [`later`](Self::later) said that it is to be held.
    ///
    /// # Errors
    /// The packet, where the first fragment has come meanwhile or there is no room any more.
    pub fn hold(&mut self, key: Key, packet: H, now: u64) -> Result<(), Back<V, H>> {
        match self.later(key, now) {
            Later::Known(value) => return Err(Back { packet, known: Some(value) }),
            Later::Full => return Err(Back { packet, known: None }),
            Later::Hold => {}
        }
        let at = match self.find(&key) {
            // Known too long ago: another datagram of the same name.
            Some(at) if matches!(self.datagrams[usize::from(at)].state, State::Known(_)) => {
                self.remove(at);
                self.begin_waiting(key, now)
            }
            Some(at) => at,
            None => self.begin_waiting(key, now),
        };
        let place = self.free_place;
        let free = &mut self.places[usize::from(place)];
        self.free_place = std::mem::replace(&mut free.next, NONE);
        free.packet = Some(packet);
        self.held += 1;
        let was_last = match &mut self.datagrams[usize::from(at)].state {
            State::Waiting { first, last, count } => {
                *count += 1;
                if *first == NONE {
                    *first = place;
                }
                std::mem::replace(last, place)
            }
            State::Known(_) => NONE,
        };
        if was_last != NONE {
            self.places[usize::from(was_last)].next = place;
        }
        Ok(())
    }

    /// Forgets what is too old, and gives the next packet that was held too long, to be dropped: call it until there is none.
    pub fn expire(&mut self, now: u64) -> Option<H> {
        while let Some(at) = self.due(&self.known, now) {
            self.remove(at);
        }
        let at = self.due(&self.waiting, now)?;
        let packet = self.take(at);
        if matches!(self.datagrams[usize::from(at)].state, State::Waiting { count: 0, .. }) {
            self.remove(at);
        }
        packet
    }

    /// When [`expire`](Self::expire) has a packet to give, in nanoseconds of the clock of `now`.
    pub fn deadline(&self) -> Option<u64> {
        Some(self.datagrams[usize::from(self.waiting.first()?)].deadline)
    }

    /// Packets that are held.
    pub fn held(&self) -> usize {
        self.held
    }

    fn due(&self, list: &List, now: u64) -> Option<u16> {
        list.first().filter(|at| self.datagrams[usize::from(*at)].deadline <= now)
    }

    fn begin_waiting(&mut self, key: Key, now: u64) -> u16 {
        let at = self.add(key);
        let datagram = &mut self.datagrams[usize::from(at)];
        datagram.state = State::Waiting { first: NONE, last: NONE, count: 0 };
        datagram.deadline = now.saturating_add(self.room.wait);
        self.waiting.push(at, &mut self.datagrams);
        at
    }

    fn head(&self, key: &Key) -> usize {
        self.hasher.hash_one(key) as usize & (self.heads.len() - 1)
    }

    fn find(&self, key: &Key) -> Option<u16> {
        let mut at = self.heads[self.head(key)];
        while at != NONE {
            let datagram = &self.datagrams[usize::from(at)];
            if datagram.key == *key {
                return Some(at);
            }
            at = datagram.next;
        }
        None
    }

    /// A datagram of this name, in the chain of its hash; the caller says what is known of it and puts it into a list.
    fn add(&mut self, key: Key) -> u16 {
        if self.free == NONE
            && let Some(oldest) = self.known.first()
        {
            self.remove(oldest);
        }
        let (at, head) = (self.free, self.head(&key));
        let datagram = &mut self.datagrams[usize::from(at)];
        self.free = datagram.next;
        datagram.key = key;
        datagram.next = std::mem::replace(&mut self.heads[head], at);
        at
    }

    /// Takes a datagram that no packet waits for out of everything.
    fn remove(&mut self, at: u16) {
        self.unlist(at);
        let next = self.datagrams[usize::from(at)].next;
        let head = self.head(&self.datagrams[usize::from(at)].key);
        if self.heads[head] == at {
            self.heads[head] = next;
        } else {
            let mut before = self.heads[head];
            while before != NONE {
                let link = &mut self.datagrams[usize::from(before)].next;
                if *link == at {
                    *link = next;
                    break;
                }
                before = *link;
            }
        }
        self.datagrams[usize::from(at)].next = std::mem::replace(&mut self.free, at);
    }

    fn unlist(&mut self, at: u16) {
        match self.datagrams[usize::from(at)].state {
            State::Known(_) => self.known.remove(at, &mut self.datagrams),
            State::Waiting { .. } => self.waiting.remove(at, &mut self.datagrams),
        }
    }

    /// Takes the next packet that waits for a datagram.
    fn take(&mut self, at: u16) -> Option<H> {
        let State::Waiting { first, last, count } = &mut self.datagrams[usize::from(at)].state else { return None };
        let place = *first;
        let freed = self.places.get_mut(usize::from(place))?;
        *first = std::mem::replace(&mut freed.next, self.free_place);
        *count -= 1;
        if *first == NONE {
            *last = NONE;
        }
        self.free_place = place;
        self.held -= 1;
        freed.packet.take()
    }
}

impl<V> AsMut<Link> for Datagram<V> {
    fn as_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

#[cfg(test)]
mod tests;
