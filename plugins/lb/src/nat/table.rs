//! A table of sessions of one size: found by what clients send, and by what servers answer.

use std::ops::Range;

use vnet::wire::{FlowKey4, FlowKey6};

use super::Usual;
use super::translate::{SessionChange, Translated};
use crate::flow_table::FlowHash;
use crate::handle::ServerHandle;
use crate::slot_hash::{FlowWords, fold};

/// A flow whose packets are translated.
#[derive(Clone, Copy, Debug)]
pub struct Session<K: Usual> {
    client: K::Standing,
    server: K::Standing,
    /// The server that it was given to.
    pub handle: ServerHandle,
    /// The flow in the flow table: while it is the server's there, or this server's part of it is there, this is.
    pub flow: FlowHash,
    /// What packets to the server change in checksums.
    change: SessionChange,
    /// The second in which it was made, or an answer was last noted in the flow table.
    pub seen: u32,
}

/// All places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// See the head of this module. Its memory is made beforehand, away from packet threads.
pub struct Table<K: Usual> {
    places: Vec<Place<K>>,
    /// The first place of each chain, by the hash of what the client sends, and of what the server answers; one more than it, 0 for
    /// none.
    heads: [Vec<u32>; 2],
    keys: [u64; 4],
    /// The first free place, one more than it; others follow by their first link.
    free: u32,
    used: usize,
    cursor: usize,
}

/// One or two cache lines, of which the links are in the last.
#[repr(C, align(64))]
struct Place<K: Usual> {
    session: Session<K>,
    /// The next places in its two chains, one more than them.
    next: [u32; 2],
}

const _: () = assert!(size_of::<Place<FlowKey4>>() == 64 && size_of::<Place<FlowKey6>>() == 128);

/// A chain of sessions: where to look for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(u32);

impl Default for Chain {
    fn default() -> Self {
        Chain::NONE
    }
}

impl Chain {
    /// For packets that are not looked for this way.
    pub const NONE: Chain = Chain(Self::BITS);
    /// The same, of packets whose headers stand as usual: their flow may say that they need no session.
    pub const PERHAPS: Chain = Chain(Self::BITS - 1);
    /// For packets that need none: see [`Known::straight`](crate::flow_table::Known::straight).
    pub const STRAIGHT: Chain = Chain(Self::PERHAPS.0 | !Self::BITS);
    /// In which the chain is; the rest is what the flow says.
    const BITS: u32 = u32::MAX >> 1;

    /// The same, with what the packet's flow says.
    #[inline(always)]
    #[must_use]
    pub fn of_flow(self, straight: bool) -> Chain {
        // Without a branch: some flows are straight and some are not.
        Chain(self.0 | u32::from(straight) << Self::BITS.trailing_ones())
    }
}

/// Which way packets go, and by which of a session's two chains it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    Forward = 0,
    /// From a server.
    Return = 1,
}

impl<K: Translated> Session<K> {
    /// Makes a packet from the server one for the client, as [`Usual::write_in`] does. The packet's headers stand as usual.
    #[inline(always)]
    pub fn answer(&self, packet: &mut [u8], unfinished: bool) -> bool {
        K::write_in(&K::turned(&self.client), packet, self.change.back(), unfinished)
    }

    /// Whether all that packets to the server need is the server: they keep their source.
    pub fn is_straight(&self) -> bool {
        self.client().source() == self.server().source()
    }

    /// Of a client's flow, which a server gets as another, begun `now`, in seconds.
    pub fn new((client, server): (K, K), handle: ServerHandle, flow: FlowHash, now: u32) -> Self {
        let change = SessionChange::new(&client, &server);
        Session { client: client.standing(), server: server.standing(), handle, flow, change, seen: now }
    }

    /// The flow as the client sends it: to the VIP.
    pub fn client(&self) -> K {
        K::of_standing(&self.client)
    }

    /// The same as the server gets it.
    pub fn server(&self) -> K {
        K::of_standing(&self.server)
    }

    const NONE: fn() -> Self = || Session {
        client: K::none().standing(),
        server: K::none().standing(),
        handle: ServerHandle::NONE,
        flow: FlowHash { identity: 0, bucket: 0 },
        change: SessionChange::NONE,
        seen: 0,
    };

    fn key(&self, way: Direction) -> K {
        match way {
            Direction::Forward => self.client(),
            Direction::Return => self.server().reversed(),
        }
    }
}

impl<K: Translated> Table<K> {
    /// No sessions, and room for so many, or some more; chains are ordered by hashes with these keys. Of 0 there is no room at all.
    pub fn with_capacity(capacity: usize, keys: [u64; 4]) -> Self {
        let capacity = if capacity == 0 { 0 } else { capacity.next_power_of_two() };
        let place = |at: usize| Place {
            session: Session::NONE(),
            next: [if at + 1 < capacity { at as u32 + 2 } else { 0 }, 0],
        };
        Table {
            places: (0..capacity).map(place).collect(),
            heads: [vec![0; capacity], vec![0; capacity]],
            keys,
            free: u32::from(capacity > 0),
            used: 0,
            cursor: 0,
        }
    }

    /// How many there are.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many there may be.
    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The session of a packet from a client to one of a VIP's servers: a client may have several at once by the same ports, where
    /// its packets name their servers.
    #[inline]
    pub fn of_client(&self, key: &K, server: ServerHandle) -> Option<&Session<K>> {
        self.client(key, server).map(|at| &self.places[at].session)
    }

    /// The chain of packets with these words, for [`Table::first`]; its memory is on its way.
    #[inline(always)]
    pub fn chain(&self, way: Direction, words: K::Words) -> Chain {
        let heads = &self.heads[way as usize];
        let chain = self.hash(way, words) & heads.len().wrapping_sub(1);
        // None where there is no room for sessions.
        let Some(head) = heads.get(chain) else { return Chain::NONE };
        vnet::mem::prefetch(head);
        Chain(chain as u32)
    }

    /// The chain from its first session on, for [`Table::along`] and [`Table::answered`]; that session's memory is on its way.
    #[inline(always)]
    pub fn first(&self, way: Direction, Chain(chain): Chain) -> Chain {
        let first = self.heads[way as usize].get((chain & Chain::BITS) as usize).copied().unwrap_or(0);
        if let Some(place) = self.places.get((first as usize).wrapping_sub(1)) {
            vnet::mem::prefetch(place);
            if size_of::<Place<K>>() > 64 {
                vnet::mem::prefetch(&place.next);
            }
        }
        Chain(first)
    }

    /// The session of a packet to a server, in a chain from its first session on: how the server gets the packet, and what that
    /// changes. The packet's headers stand as usual.
    #[inline(always)]
    pub fn along(
        &self,
        Chain(mut next): Chain,
        packet: &[u8],
        server: ServerHandle,
    ) -> Option<(&K::Standing, SessionChange)> {
        loop {
            let place = self.places.get((next as usize).wrapping_sub(1))?;
            if place.session.handle == server && K::stands_in(&place.session.client, packet) {
                return Some((&place.session.server, place.session.change));
            }
            next = place.next[Direction::Forward as usize];
        }
    }

    /// The session of a packet from a server, in a chain from its first session on. The packet's headers stand as usual.
    #[inline(always)]
    pub fn answered(&mut self, Chain(mut next): Chain, packet: &[u8]) -> Option<&mut Session<K>> {
        loop {
            let at = (next as usize).wrapping_sub(1);
            let place = self.places.get(at)?;
            if K::stands_in(&K::turned(&place.session.server), packet) {
                return Some(&mut self.places[at].session);
            }
            next = place.next[Direction::Return as usize];
        }
    }

    /// The session of a client, of several that with this server, or any.
    pub fn about(&self, key: &K, server: ServerHandle) -> Option<&Session<K>> {
        let any = || self.find(Direction::Forward, key, |_| true).map(|at| &self.places[at].session);
        self.of_client(key, server).or_else(any)
    }

    /// The session of a packet from a server.
    #[inline]
    pub fn of_server(&self, key: &K) -> Option<&Session<K>> {
        self.find(Direction::Return, key, |_| true).map(|at| &self.places[at].session)
    }

    /// Whether the server already sees a flow like this.
    pub fn is_taken(&self, server: &K) -> bool {
        self.of_server(&server.reversed()).is_some()
    }

    /// Adds one; what there is of its client's with its server goes, and what has the same answers.
    ///
    /// # Errors
    /// If there is no room.
    pub fn insert(&mut self, session: Session<K>) -> Result<(), Full> {
        self.displace(&session);
        let at = (self.free as usize).checked_sub(1).ok_or(Full)?;
        let place = &mut self.places[at];
        self.free = place.next[0];
        place.session = session;
        for way in [Direction::Forward, Direction::Return] {
            let head = self.head(way, &session.key(way));
            let first = &mut self.heads[way as usize][head];
            self.places[at].next[way as usize] = *first;
            *first = at as u32 + 1;
        }
        self.used += 1;
        Ok(())
    }

    /// Looks at the next `places` and takes out those that are not `alive`. Returns how many went.
    pub fn sweep(&mut self, places: usize, mut alive: impl FnMut(&Session<K>) -> bool) -> usize {
        let before = self.used;
        for _ in 0..places.min(self.places.len()) {
            let at = self.cursor;
            self.cursor = (at + 1) & (self.places.len() - 1);
            let session = &self.places[at].session;
            if !session.handle.is_none() && !alive(session) {
                self.remove(at);
            }
        }
        before - self.used
    }

    /// Takes out what cannot be beside another: a session of its client's with its server, or one with the same answers.
    pub fn displace(&mut self, session: &Session<K>) {
        if let Some(at) = self.client(&session.client(), session.handle) {
            self.remove(at);
        }
        if let Some(at) = self.find(Direction::Return, &session.key(Direction::Return), |_| true) {
            self.remove(at);
        }
    }

    /// The sessions in these places.
    pub fn of_places(&self, places: Range<usize>) -> impl Iterator<Item = &Session<K>> {
        let places = places.start.min(self.places.len())..places.end.min(self.places.len());
        self.places[places].iter().map(|place| &place.session).filter(|session| !session.handle.is_none())
    }

    /// Takes out the session in a place, if there is one.
    pub fn take(&mut self, at: usize) -> Option<Session<K>> {
        let session = self.places.get(at)?.session;
        if session.handle.is_none() {
            return None;
        }
        self.remove(at);
        Some(session)
    }

    #[inline]
    fn client(&self, key: &K, server: ServerHandle) -> Option<usize> {
        self.find(Direction::Forward, key, |session| session.handle == server)
    }

    #[inline]
    fn find(&self, way: Direction, key: &K, also: impl Fn(&Session<K>) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut next = self.heads[way as usize][self.head(way, key)];
        while next != 0 {
            let at = next as usize - 1;
            let place = &self.places[at];
            if place.session.key(way) == *key && also(&place.session) {
                return Some(at);
            }
            next = place.next[way as usize];
        }
        None
    }

    /// The chain of a key.
    #[inline]
    fn head(&self, way: Direction, key: &K) -> usize {
        // A power of two, of which there is one at least where this is asked.
        self.hash(way, key.words()) & (self.places.len() - 1)
    }

    #[inline(always)]
    fn hash(&self, way: Direction, words: K::Words) -> usize {
        let [a, b] = words.raw().two(&self.keys);
        let [k0, k1, k2, k3] = self.keys;
        fold(fold(a ^ k0, b ^ k1) ^ k2, k3 ^ way as u64) as usize
    }

    fn remove(&mut self, at: usize) {
        let session = self.places[at].session;
        for way in [Direction::Forward, Direction::Return] {
            let head = self.head(way, &session.key(way));
            let follower = self.places[at].next[way as usize];
            let mut next = self.heads[way as usize][head];
            if next as usize == at + 1 {
                self.heads[way as usize][head] = follower;
                continue;
            }
            while next != 0 {
                let place = &mut self.places[next as usize - 1];
                next = place.next[way as usize];
                if next as usize == at + 1 {
                    place.next[way as usize] = follower;
                    break;
                }
            }
        }
        self.places[at] = Place { session: Session::NONE(), next: [self.free, 0] };
        self.free = at as u32 + 1;
        self.used -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::FlowKey;
    use super::*;
    use proptest::prelude::*;

    fn key(client: u8, port: u8) -> FlowKey4 {
        FlowKey4 { src: client.into(), dst: 99, sport: port.into(), dport: 80, proto: 6 }
    }

    fn session(client: u8, port: u8, server_number: u8) -> Session<FlowKey4> {
        let client = key(client, port);
        let server = client.with_destination((1000 + u32::from(server_number), 8080));
        let flow = FlowHash { identity: 1 + u64::from(server.dst), bucket: 0 };
        Session::new((client, server), ServerHandle::first(1 + u32::from(server_number)), flow, 0)
    }

    #[test]
    fn both_ways_lead_to_a_session_until_it_goes() {
        let mut sessions = Table::with_capacity(3, [1, 2, 3, 4]);
        assert_eq!((sessions.capacity(), sessions.used()), (4, 0));
        let one = session(1, 2, 3);
        sessions.insert(one).unwrap();
        assert_eq!(sessions.of_client(&one.client(), one.handle).unwrap().server(), one.server());
        assert_eq!(sessions.of_server(&one.server().reversed()).unwrap().client(), one.client());
        assert!(sessions.is_taken(&one.server()) && sessions.of_client(&one.server(), one.handle).is_none());
        // The client has another connection by the same port, with another server.
        let other = session(1, 2, 4);
        sessions.insert(other).unwrap();
        for one in [one, other] {
            assert_eq!(sessions.of_client(&one.client(), one.handle).unwrap().server(), one.server());
            assert_eq!(sessions.about(&one.client(), one.handle).unwrap().server(), one.server());
            assert_eq!(sessions.of_server(&one.server().reversed()).unwrap().client(), one.client());
        }
        assert!(sessions.about(&one.client(), ServerHandle::first(9)).is_some());
        assert_eq!(sessions.sweep(100, |session| session.handle != one.handle), 1);
        assert!(!sessions.is_taken(&one.server()) && sessions.is_taken(&other.server()));
        for port in 10..13 {
            sessions.insert(session(1, port, 3)).unwrap();
        }
        assert_eq!(sessions.insert(session(1, 99, 3)), Err(Full));
        assert_eq!(sessions.sweep(100, |session| session.client().sport == 2), 3);
        assert_eq!(sessions.used(), 1);
        assert_eq!(sessions.of_places(0..9).map(|session| session.client().sport).collect::<Vec<_>>(), [2]);
        let places: Vec<_> = (0..9).filter_map(|at| sessions.take(at)).map(|session| session.server()).collect();
        assert_eq!((places, sessions.used()), (vec![session(1, 2, 4).server()], 0));
        let none: Table<FlowKey4> = Table::with_capacity(0, [0; 4]);
        assert!(none.about(&key(1, 1), one.handle).is_none() && none.capacity() == 0);
    }

    proptest! {
        /// Whatever comes and goes, the table agrees with two maps.
        #[test]
        fn the_table_agrees_with_plain_maps(
            steps in prop::collection::vec((any::<bool>(), 0u8..4, 0u8..4, 0u8..3), 1..200)
        ) {
            let mut sessions = Table::with_capacity(64, [9, 8, 7, 6]);
            let mut plain: HashMap<(u32, u16, ServerHandle), FlowKey4> = HashMap::new();
            for (add, client, port, server) in steps {
                let one = session(client, port, server);
                let name = |one: &Session<FlowKey4>| (one.client().src, one.client().sport, one.handle);
                if add {
                    sessions.insert(one).unwrap();
                    plain.insert(name(&one), one.server());
                } else {
                    sessions.sweep(64, |session| name(session) != name(&one));
                    plain.remove(&name(&one));
                }
                prop_assert_eq!(sessions.used(), plain.len());
                for n in 0..48 {
                    let one = session(n % 4, n / 4 % 4, n / 16);
                    let found = sessions.of_client(&one.client(), one.handle).map(|session| session.server());
                    prop_assert_eq!(found.as_ref(), plain.get(&name(&one)));
                }
                for server in plain.values() {
                    let found = sessions.of_server(&server.reversed()).map(|session| session.server());
                    prop_assert_eq!(found, Some(*server));
                }
            }
        }
    }
}
