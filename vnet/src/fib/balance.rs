//! Several next hops by the flow's hash.

use std::sync::Arc;

use super::forward::Forward;

/// Weights are met to within this share of all buckets, as long as [`MOST_BUCKETS`] allows.
const TOLERANCE: f64 = 0.1;
/// More buckets than this there are only where there are more paths.
const MOST_BUCKETS: usize = 256;

/// A power of two of buckets, each with a next hop; a flow's hash picks one.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct LoadBalance {
    buckets: Arc<[Forward]>,
}

impl LoadBalance {
    /// Spreads the next hops over buckets by their weights. Every next hop has at least one bucket, next hops of the
    /// same weight differ by one at most, and the same input gives the same buckets.
    pub(super) fn new(members: &[(Forward, f64)]) -> Self {
        let mut count = members.len().next_power_of_two();
        let mut shares = apportion(members, count);
        while count < MOST_BUCKETS && error(members, &shares) > TOLERANCE * count as f64 {
            count *= 2;
            shares = apportion(members, count);
        }
        let buckets = members.iter().zip(shares).flat_map(|(&(forward, _), n)| std::iter::repeat_n(forward, n));
        LoadBalance { buckets: buckets.collect() }
    }

    /// The next hop of a flow; `None` only if there are no buckets.
    #[inline(always)]
    pub fn pick(&self, flow_hash: u32) -> Option<Forward> {
        let mask = self.buckets.len().wrapping_sub(1);
        self.buckets.get(flow_hash as usize & mask).copied()
    }

    /// All buckets.
    pub fn buckets(&self) -> &[Forward] {
        &self.buckets
    }
}

fn ideal(members: &[(Forward, f64)], count: usize) -> impl Iterator<Item = f64> {
    let total: f64 = members.iter().map(|&(_, weight)| weight).sum();
    members.iter().map(move |&(_, weight)| weight * count as f64 / total)
}

fn error(members: &[(Forward, f64)], shares: &[usize]) -> f64 {
    let count = shares.iter().sum();
    ideal(members, count).zip(shares).map(|(want, &got)| (want - got as f64).abs()).sum()
}

/// Largest remainders, with at least one each.
fn apportion(members: &[(Forward, f64)], count: usize) -> Vec<usize> {
    let want: Vec<f64> = ideal(members, count).collect();
    let mut shares: Vec<usize> = want.iter().map(|w| (w.floor() as usize).max(1)).collect();
    let mut given: usize = shares.iter().sum();
    while given != count {
        let lack = |i: &usize| want[*i] - shares[*i] as f64;
        let by_lack = |a: &usize, b: &usize| lack(a).total_cmp(&lack(b));
        // `rev` lets the first of equals win, so that the outcome does not depend on chance.
        let found = if given < count {
            (0..shares.len()).rev().max_by(by_lack)
        } else {
            (0..shares.len()).rev().filter(|&i| shares[i] > 1).min_by(by_lack)
        };
        let Some(i) = found else { break };
        if given < count {
            shares[i] += 1;
            given += 1;
        } else {
            shares[i] -= 1;
            given -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    fn shares(weights: &[f64]) -> Vec<usize> {
        let hop = |i: usize| Forward { index: i as u32, ..Forward::drop(NodeId(0)) };
        let members: Vec<_> = weights.iter().enumerate().map(|(i, &w)| (hop(i), w)).collect();
        let lb = LoadBalance::new(&members);
        assert!(lb.buckets().len().is_power_of_two());
        (0..weights.len()).map(|i| lb.buckets().iter().filter(|f| f.index == i as u32).count()).collect()
    }

    #[test]
    fn weights_become_buckets() {
        assert_eq!(shares(&[1., 1.]), [1, 1]);
        assert_eq!(shares(&[1., 3.]), [1, 3]);
        assert_eq!(shares(&[1., 1., 1.]), [6, 5, 5]);
        assert_eq!(shares(&[1e12, 1.]), [31, 1], "everybody has a bucket");
        assert_eq!(shares(&[1.; 300]).iter().filter(|&&n| n == 0).count(), 0);
    }

    #[test]
    fn a_hash_picks_within_the_buckets() {
        assert_eq!(LoadBalance::default().pick(7), None);
        let lb = LoadBalance::new(&[(Forward::drop(NodeId(1)), 0.5), (Forward::drop(NodeId(2)), 0.5)]);
        assert_eq!(lb.pick(u32::MAX), Some(Forward::drop(NodeId(2))));
    }
}
