//! The addresses and ports that servers see instead of clients'.

use super::{FlowKey, owner};
use crate::handle::ServerHandle;

/// Addresses of a pool, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PoolRange<A> {
    /// The first.
    pub first: A,
    /// The last, which is not before the first.
    pub last: A,
}

impl<A: std::fmt::Display> std::fmt::Display for PoolRange<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The lowest port that is given: those below belong to services (RFC 6335 section 6).
const LOWEST: u16 = 1024;
/// Ports that an address has.
const PORTS: u32 = u16::MAX as u32 - LOWEST as u32 + 1;
/// Ports that are tried at most for one flow: with 99 of 100 taken one of 150 flows finds none.
pub const TRIES: u32 = 512;
/// The same where they were tried in vain again and again: with 80 of 100 taken one of 35 flows finds none.
pub const FEW: u32 = 16;

/// What a source is picked from.
#[derive(Clone, Copy)]
pub struct Pick<'p, K: FlowKey> {
    /// The addresses.
    pub addresses: &'p [K::Address],
    /// The worker that asks: its returns must come to it.
    pub worker: u32,
    /// Of so many.
    pub workers: u32,
    /// A number that differs from flow to flow.
    pub seed: u32,
    /// So many ports are tried at most.
    pub tries: u32,
}

/// For which servers there was no source left in the present second, or no room for their sessions, and how often: whoever sends one
/// flow after the other then must not make each of them a long search. Servers share places, and so may be taken for one another:
/// that costs them nothing while most of their sources are free.
pub struct Shortage([(u32, u32); 64]);

impl Default for Shortage {
    fn default() -> Self {
        Shortage([(0, 0); 64])
    }
}

impl Shortage {
    /// So many of what are [`TRIES`] at first; each time in a second half of what it was before, but never less than [`FEW`].
    pub fn limit(&self, server: ServerHandle, now: u32) -> u32 {
        let (at, times) = self.0[server.slot() % self.0.len()];
        if at == now { (TRIES >> times.min(31)).max(FEW) } else { TRIES }
    }

    /// Notes that there was none.
    pub fn note(&mut self, server: ServerHandle, now: u32) {
        let (at, times) = &mut self.0[server.slot() % 64];
        (*at, *times) = (now, if *at == now { *times + 1 } else { 1 });
    }
}

/// An address and a port for the flow that a server is to get (of which the sender is replaced), with which it is not
/// `taken`. `None`: none was found.
pub fn pick<K: FlowKey>(server: K, from: Pick<'_, K>, taken: impl Fn(&K) -> bool) -> Option<K> {
    let addresses = from.addresses.len() as u32;
    if addresses == 0 {
        return None;
    }
    let all = addresses.saturating_mul(PORTS);
    // Anywhere, one independent of the other: sources side by side that are taken grow together, and searches along them grow long
    // before most are taken.
    let candidate = |n: u32| {
        let at = ((u64::from(mixed(from.seed, n)) * u64::from(all)) >> 32) as u32;
        (from.addresses[(at % addresses) as usize], LOWEST + (at / addresses % PORTS) as u16)
    };
    // Every worker has its share of the ports, and passes the others by.
    let tries = from.tries.saturating_mul(from.workers).min(all);
    (0..tries)
        .map(|n| server.with_source(candidate(n)))
        .filter(|one| from.workers < 2 || owner(*one, one.source(), from.workers) == from.worker)
        .find(|one| !taken(one))
}

/// A number for the nth try of a flow.
fn mixed(seed: u32, n: u32) -> u32 {
    let both = (u64::from(seed) << 32 | u64::from(n)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((both ^ both >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use vnet::wire::FlowKey4;

    use super::*;

    const SERVER: FlowKey4 = FlowKey4 { src: 0, dst: 7, sport: 0, dport: 80, proto: 6 };

    #[test]
    fn every_flow_gets_another_source_until_there_are_none() {
        let mut taken = HashSet::new();
        let addresses = [1, 2, 3];
        let mut none = 0;
        for seed in 0..400_000u32 {
            let seed = seed.wrapping_mul(0x9e37_79b9);
            let from = Pick { addresses: &addresses, worker: 0, workers: 1, seed, tries: TRIES };
            match pick(SERVER, from, |one| taken.contains(&one.source())) {
                Some(one) => assert!(one.sport >= 1024 && one.dst == 7 && taken.insert(one.source())),
                None => none += 1,
            }
        }
        assert!(taken.len() as u32 <= 3 * PORTS && taken.len() as u32 > 3 * PORTS * 99 / 100, "{}", taken.len());
        assert!(none > 0);
        assert_eq!(
            pick(SERVER, Pick { addresses: &[], worker: 0, workers: 1, seed: 0, tries: TRIES }, |_| false),
            None
        );
    }

    #[test]
    fn searches_in_vain_become_short() {
        let (server, other) = (ServerHandle::first(7), ServerHandle::first(8));
        let (mut shortage, mut asked) = (Shortage::default(), Vec::new());
        for _ in 0..9 {
            let tries = shortage.limit(server, 5);
            let count = std::cell::Cell::new(0);
            let from = Pick { addresses: &[1], worker: 0, workers: 1, seed: 9, tries };
            let none = pick(SERVER, from, |_| {
                count.set(count.get() + 1);
                true
            });
            assert_eq!((none, count.get()), (None, tries));
            asked.push(tries);
            shortage.note(server, 5);
        }
        assert_eq!(asked, [512, 256, 128, 64, 32, 16, 16, 16, 16]);
        assert_eq!([shortage.limit(server, 6), shortage.limit(other, 5)], [TRIES; 2], "another second, another server");
        shortage.note(server, 6);
        assert_eq!(shortage.limit(server, 6), TRIES / 2);
    }

    #[test]
    fn workers_have_ports_of_their_own() {
        for seed in 0..1000u32 {
            let from = |worker| Pick { addresses: &[9], worker, workers: 3, seed: seed << 20, tries: FEW };
            for worker in 0..3 {
                let one = pick(SERVER, from(worker), |_| false).unwrap();
                assert_eq!(owner(one.reversed(), one.source(), 3), worker);
            }
        }
    }
}
