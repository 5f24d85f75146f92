//! The addresses and ports that servers see instead of clients'.

use super::{FlowKey, owner};

/// Addresses of a pool, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PoolRange<A> {
    /// The first.
    pub first: A,
    /// The last, which is not before the first.
    pub last: A,
}

/// The lowest port that is given: those below belong to services (RFC 6335 section 6).
const LOWEST: u16 = 1024;
/// Ports that an address has.
const PORTS: u32 = u16::MAX as u32 - LOWEST as u32 + 1;
/// Ports that are tried at most for one flow: with 99 of 100 taken one of 150 flows finds none.
const TRIES: u32 = 512;

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
}

/// An address and a port for the flow that a server is to get (of which the sender is replaced), with which it is not
/// `taken`. `None`: none was found.
pub fn pick<K: FlowKey>(server: K, from: Pick<'_, K>, taken: impl Fn(&K) -> bool) -> Option<K> {
    let addresses = from.addresses.len() as u32;
    if addresses == 0 {
        return None;
    }
    let all = addresses.saturating_mul(PORTS);
    let start = ((u64::from(from.seed) * u64::from(all)) >> 32) as u32;
    let candidate = |at: u32| {
        let address = from.addresses[(at % addresses) as usize];
        (address, LOWEST + (at / addresses % PORTS) as u16)
    };
    // Every worker has its share of the ports, and passes the others by.
    let tries = TRIES.saturating_mul(from.workers).min(all);
    (0..tries)
        .map(|n| server.with_source(candidate(((u64::from(start) + u64::from(n)) % u64::from(all)) as u32)))
        .filter(|one| from.workers < 2 || owner(*one, one.source(), from.workers) == from.worker)
        .find(|one| !taken(one))
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
            let from = Pick { addresses: &addresses, worker: 0, workers: 1, seed };
            match pick(SERVER, from, |one| taken.contains(&one.source())) {
                Some(one) => assert!(one.sport >= 1024 && one.dst == 7 && taken.insert(one.source())),
                None => none += 1,
            }
        }
        assert!(taken.len() as u32 <= 3 * PORTS && taken.len() as u32 > 3 * PORTS * 99 / 100, "{}", taken.len());
        assert!(none > 0);
        assert_eq!(pick(SERVER, Pick { addresses: &[], worker: 0, workers: 1, seed: 0 }, |_| false), None);
    }

    #[test]
    fn workers_have_ports_of_their_own() {
        for seed in 0..1000u32 {
            let from = |worker| Pick { addresses: &[9], worker, workers: 3, seed: seed << 20 };
            for worker in 0..3 {
                let one = pick(SERVER, from(worker), |_| false).unwrap();
                assert_eq!(owner(one.reversed(), one.source(), 3), worker);
            }
        }
    }
}
