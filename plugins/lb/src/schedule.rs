//! What schedulers choose from: a list of servers' slots for each VIP, made where time does not matter.
//!
//! | scheduler | the list |
//! |---|---|
//! | `maglev` | a Maglev table; the flow's hash picks the slot |
//! | `hash` | every server once, in the order of addresses; the flow's hash picks one |
//! | `sh` | the same, a server as often in a row as its weight says; the hash of the source picks one |
//! | `rr` | every server once; each worker goes through the list again and again |
//! | `wrr` | every server as often as its weight says, spread; likewise |
//! | `lc`, `wlc` | every server once; the one with the fewest flows (for its weight) is looked for |
//!
//! Servers of weight 0 are in no list. Weights count relative to each other: all are divided by what they have in
//! common.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::config::Scheduler;
use crate::maglev::{MaglevTable, Member, NoRoom};

/// The list of a scheduler; for a Maglev table of `len` slots.
///
/// # Errors
/// If a Maglev table has no slot for every server.
pub fn list(scheduler: Scheduler, len: u32, members: &[Member]) -> Result<Arc<[u32]>, NoRoom> {
    if scheduler == Scheduler::Maglev {
        return Ok(MaglevTable::build(len, members)?.slots().clone());
    }
    let mut members: Vec<Member> = members.iter().copied().filter(|member| member.weight > 0).collect();
    members.sort_by_key(|member| (member.address, member.port));
    let common = members.iter().fold(0, |common, member| greatest_common_divisor(common, member.weight.into()));
    let weights: Vec<u32> = members.iter().map(|member| u32::from(member.weight) / common).collect();
    Ok(match scheduler {
        Scheduler::Wrr => spread(&weights).into_iter().map(|at| members[at].slot).collect(),
        Scheduler::Sh => {
            let shares = members.iter().zip(&weights);
            shares.flat_map(|(member, &weight)| std::iter::repeat_n(member.slot, weight as usize)).collect()
        }
        _ => members.iter().map(|member| member.slot).collect(),
    })
}

/// Numbers from 0, the n-th as often as the n-th weight (1 or more) says, so that in the first t of S places the n-th
/// stands more than t * weight / S - 1 and less than t * weight / S + 1 times.
///
/// The k-th time has its place in a window that begins when an even flow would begin it and ends when that would have
/// ended it: from floor((k - 1) S / weight) to ceil(k S / weight). Whoever's window is open and ends first comes
/// first. That keeps all windows (Baruah et al., "Proportionate progress", Algorithmica 15, 1996, for one processor).
fn spread(weights: &[u32]) -> Vec<usize> {
    let all: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let window = |at: usize, time: u64| {
        let weight = u64::from(weights[at]);
        (((time - 1) * all / weight), (time * all).div_ceil(weight))
    };
    // Of those whose windows end together the heavier goes first; then the earlier.
    let mut waiting: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    let mut open: BinaryHeap<Reverse<(u64, u32, usize, u64)>> = BinaryHeap::new();
    waiting.extend((0..weights.len()).map(|at| Reverse((0, at, 1))));
    let mut order = Vec::with_capacity(all as usize);
    for place in 0..all {
        while let Some(&Reverse((begin, at, time))) = waiting.peek()
            && begin <= place
        {
            waiting.pop();
            open.push(Reverse((window(at, time).1, u32::MAX - weights[at], at, time)));
        }
        let Some(Reverse((_, _, at, time))) = open.pop() else { break };
        order.push(at);
        if time < u64::from(weights[at]) {
            waiting.push(Reverse((window(at, time + 1).0, at, time + 1)));
        }
    }
    order
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn members(weights: &[u8]) -> Vec<Member> {
        let member = |(&weight, n): (&u8, u32)| Member {
            slot: n + 1,
            address: Ipv4Addr::from_bits(0x0a00_0202 + n).into(),
            port: 0,
            weight,
        };
        weights.iter().zip(0..).map(member).collect()
    }

    fn made(scheduler: Scheduler, weights: &[u8]) -> Vec<u32> {
        list(scheduler, 64, &members(weights)).unwrap().to_vec()
    }

    #[test]
    fn lists_of_a_small_example() {
        assert_eq!(made(Scheduler::Rr, &[100, 0, 50]), [1, 3]);
        assert_eq!(made(Scheduler::Lc, &[100, 0, 50]), [1, 3]);
        assert_eq!(made(Scheduler::Hash, &[100, 0, 50]), [1, 3]);
        assert_eq!(made(Scheduler::Sh, &[100, 0, 50]), [1, 1, 3]);
        // IPVS has 1 1 2 1 2 3 1 2 3 for weights of 4, 3 and 2: the same shares, not as evenly spread.
        assert_eq!(made(Scheduler::Wrr, &[40, 30, 20]), [1, 2, 1, 3, 2, 1, 1, 2, 3]);
        assert_eq!(made(Scheduler::Wrr, &[100; 3]), [1, 2, 3]);
        for scheduler in Scheduler::ALL.into_iter().filter(|one| *one != Scheduler::Maglev) {
            assert_eq!(made(scheduler, &[0, 0]), [0; 0]);
        }
        assert_eq!(made(Scheduler::Maglev, &[0]), [0; 64]);
    }

    #[test]
    fn the_order_of_servers_does_not_matter() {
        let mut members = members(&[100, 70, 30, 100]);
        for scheduler in Scheduler::ALL {
            let before = list(scheduler, 64, &members);
            members.reverse();
            assert_eq!(list(scheduler, 64, &members), before);
        }
    }

    proptest! {
        /// At every place everybody has had his share, to less than one.
        #[test]
        fn weights_are_spread(weights in prop::collection::vec(1u32..=100, 1..40)) {
            let order = spread(&weights);
            let all: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            prop_assert_eq!(order.len() as u64, all);
            let mut had = vec![0u64; weights.len()];
            for (place, at) in order.into_iter().enumerate() {
                had[at] += 1;
                for (&had, &weight) in had.iter().zip(&weights) {
                    let ideal = (place as u64 + 1) * u64::from(weight);
                    prop_assert!((had * all).abs_diff(ideal) < all, "{} times of {}/{}", had, ideal, all);
                }
            }
        }
    }
}
