//! The sessions of a worker, in a table that can be exchanged for a larger one while packets flow.
//!
//! Memory for the larger one comes from elsewhere and goes elsewhere, as with the flow table. Sessions follow a few at a time
//! ([`Sessions::follow`]), so that no packet waits for all of them; until then they are found where they were.

use super::table::{Full, Session, Table};
use super::{Translated, Usual};
use crate::handle::ServerHandle;

/// See the head of this module.
pub struct Sessions<K: Usual> {
    present: Table<K>,
    /// The one before, and the next of its places to look at. What is there is in no other.
    old: Option<(Table<K>, usize)>,
}

/// How far sessions have come to a larger table.
pub enum Followed<K: Usual> {
    /// Some have still to follow.
    More,
    /// All are there. What they left behind, if they did, is the caller's to free.
    All(Option<Table<K>>),
}

/// Sessions that may follow in one pass of a worker: each costs a dozen lines that are in no cache.
pub const AT_ONCE: usize = 48;

/// Places that are looked at for each session that is moved: most of a table that is not full are soon passed by.
const LOOKED_AT: usize = 16;

impl<K: Translated> Sessions<K> {
    /// None, and room for so many; see [`Table::with_capacity`].
    pub fn with_capacity(capacity: usize, keys: [u64; 4]) -> Self {
        Sessions { present: Table::with_capacity(capacity, keys), old: None }
    }

    /// How many there are.
    pub fn used(&self) -> usize {
        self.present.used() + self.old.as_ref().map_or(0, |(old, _)| old.used())
    }

    /// How many there may be.
    pub fn capacity(&self) -> usize {
        self.present.capacity()
    }

    /// As [`Table::of_client`].
    #[inline]
    pub fn of_client(&self, key: &K, server: ServerHandle) -> Option<&Session<K>> {
        self.present.of_client(key, server).or_else(|| self.old.as_ref()?.0.of_client(key, server))
    }

    /// The table that new sessions are in, and most of the others.
    #[inline(always)]
    pub fn present(&self) -> &Table<K> {
        &self.present
    }

    /// The same, to change what is in it.
    #[inline(always)]
    pub fn present_mut(&mut self) -> &mut Table<K> {
        &mut self.present
    }

    /// As [`Table::about`].
    pub fn about(&self, key: &K, server: ServerHandle) -> Option<&Session<K>> {
        let old = || self.old.as_ref()?.0.about(key, server);
        self.of_client(key, server).or_else(|| self.present.about(key, server)).or_else(old)
    }

    /// As [`Table::of_server`].
    #[inline]
    pub fn of_server(&self, key: &K) -> Option<&Session<K>> {
        self.present.of_server(key).or_else(|| self.old.as_ref()?.0.of_server(key))
    }

    /// Whether the server already sees a flow like this.
    pub fn is_taken(&self, server: &K) -> bool {
        self.of_server(&server.reversed()).is_some()
    }

    /// As [`Table::insert`].
    ///
    /// # Errors
    /// If there is no room.
    pub fn insert(&mut self, session: Session<K>) -> Result<(), Full> {
        if let Some((old, _)) = &mut self.old {
            old.displace(&session);
            if self.used() >= self.capacity() {
                // What is left belongs to those that have still to follow.
                return Err(Full);
            }
        }
        self.present.insert(session)
    }

    /// As [`Table::sweep`]; those that have still to follow are not looked at.
    pub fn sweep(&mut self, places: usize, alive: impl FnMut(&Session<K>) -> bool) -> usize {
        self.present.sweep(places, alive)
    }

    /// Goes on in a larger table, to which the sessions will [`follow`](Self::follow). Gives it back where it is not larger, or
    /// where sessions have still to follow to the present one.
    pub fn grow(&mut self, larger: Table<K>) -> Option<Table<K>> {
        if self.old.is_some() || larger.capacity() <= self.capacity() {
            return Some(larger);
        }
        self.old = Some((std::mem::replace(&mut self.present, larger), 0));
        None
    }

    /// Lets so many sessions follow to the larger table.
    pub fn follow(&mut self, mut sessions: usize) -> Followed<K> {
        let Some((old, at)) = &mut self.old else { return Followed::All(None) };
        for _ in 0..sessions * LOOKED_AT {
            if *at == old.capacity() {
                return Followed::All(self.old.take().map(|(old, _)| old));
            }
            if sessions == 0 {
                break;
            }
            if let Some(session) = old.take(*at) {
                // There is room: it is larger, and new flows take no more of it than is left.
                let _ = self.present.insert(session);
                sessions -= 1;
            }
            *at += 1;
        }
        Followed::More
    }

    /// Adds how many sessions in the next `places` have each of these addresses (in order) in front of their servers; says where to go on.
    pub fn count_sources(
        &self,
        from: usize,
        places: usize,
        addresses: &[K::Address],
        counts: &mut [u32],
    ) -> Option<usize> {
        for session in self.present.of_places(from..from + places) {
            if let Ok(at) = addresses.binary_search(&session.server().source().0) {
                counts[at] += 1;
            }
        }
        Some(from + places).filter(|next| *next < self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use vnet::wire::FlowKey6;

    use super::super::FlowKey;
    use super::*;
    use crate::flow_table::FlowHash;

    fn session(n: u32) -> Session<FlowKey6> {
        let mut src = [0x20; 16];
        src[12..].copy_from_slice(&n.to_be_bytes());
        let client = FlowKey6 { src, dst: [3; 16], sport: 1000, dport: 80, proto: 6 };
        let server = client.with_destination(([4; 16], 8080));
        let flow = FlowHash { identity: 1 + u64::from(n), bucket: n };
        Session::new((client, server), ServerHandle::first(1), flow, 0)
    }

    #[test]
    fn sessions_are_found_while_they_follow() {
        let mut sessions = Sessions::with_capacity(1024, [1, 2, 3, 4]);
        for n in 0..1000 {
            sessions.insert(session(n)).unwrap();
        }
        assert!(sessions.grow(Table::with_capacity(1024, [5; 4])).is_some(), "no larger");
        assert!(sessions.grow(Table::with_capacity(4096, [5; 4])).is_none());
        assert!(sessions.grow(Table::with_capacity(8192, [5; 4])).is_some(), "one at a time");
        let (mut steps, mut next) = (0, 1000);
        while let Followed::More = sessions.follow(10) {
            steps += 1;
            sessions.insert(session(next)).unwrap();
            // One that stands in the old table, once more.
            sessions.insert(session(999)).unwrap();
            next += 1;
            assert_eq!((sessions.used(), sessions.capacity()), (next as usize, 4096));
            for n in 0..next {
                let one = session(n);
                assert_eq!(sessions.of_client(&one.client(), one.handle).unwrap().server(), one.server());
                assert_eq!(sessions.about(&one.client(), ServerHandle::first(7)).unwrap().server(), one.server());
                assert_eq!(sessions.of_server(&one.server().reversed()).unwrap().client(), one.client());
            }
        }
        assert!((99..=101).contains(&steps), "{steps}");
        assert!(matches!(sessions.follow(10), Followed::All(None)));
        let mut counts = [0; 2];
        let addresses = [session(5).client().src, session(7).client().src];
        let mut at = Some(0);
        while let Some(from) = at {
            at = sessions.count_sources(from, 100, &addresses, &mut counts);
        }
        assert_eq!(counts, [1, 1]);
    }

    /// What one step takes, for a million sessions of IPv6.
    #[test]
    fn steps_are_short() {
        let many = 1 << 20;
        let mut sessions = Sessions::with_capacity(many, [1, 2, 3, 4]);
        for n in 0..many as u32 {
            sessions.insert(session(n)).unwrap();
        }
        assert!(sessions.grow(Table::with_capacity(2 * many, [5, 6, 7, 8])).is_none());
        let mut steps = Vec::new();
        loop {
            let start = Instant::now();
            let followed = sessions.follow(AT_ONCE);
            steps.push(start.elapsed());
            if let Followed::All(old) = followed {
                assert!(old.is_some_and(|old| old.used() == 0));
                break;
            }
        }
        let sum: Duration = steps.iter().sum();
        steps.sort();
        println!(
            "{many} sessions moved in {sum:?}: {} steps, half of them within {:?}, 99 of 100 within {:?}, the longest {:?}",
            steps.len(),
            steps[steps.len() / 2],
            steps[steps.len() * 99 / 100],
            steps[steps.len() - 1],
        );
        assert_eq!(sessions.used(), many);
    }
}
