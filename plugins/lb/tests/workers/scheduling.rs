//! Shares hold over all workers together.

use crate::bed::{Bed, FLOWS, with_workers};

/// Flows that each server was given so far, in the order in which they were added.
fn given(bed: &mut Bed) -> Vec<u64> {
    bed.reports()[0].servers.iter().map(|server| server.facts.total_flows).collect()
}

fn all_flows(bed: &mut Bed) {
    bed.streams(10 * FLOWS as i64);
    bed.until("all packets sent", |bed| !bed.vppctl("show packet-generator").contains(" Yes "));
    bed.no_buffer_in_use();
}

/// Every server has its share of all flows, to less than one flow per worker.
#[track_caller]
fn shares_hold(given: &[u64], weights: &[u64], workers: u64) {
    let (flows, all) = (given.iter().sum::<u64>(), weights.iter().sum::<u64>());
    for (given, weight) in given.iter().zip(weights) {
        assert!((given * all).abs_diff(flows * weight) < workers * all, "{given} of {flows}, {weight} of {all}");
    }
}

fn by_turns(bed: &mut Bed) {
    let workers = bed.router().workers() as u64;
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.5");
    bed.vppctl("lb vip 90.0.0.1/32 scheduler rr");
    all_flows(bed);
    let shares = given(bed);
    assert_eq!(shares.iter().sum::<u64>(), FLOWS * workers);
    shares_hold(&shares, &[1; 4], workers);
    assert_eq!(bed.seen.moved(), 0);
}

#[test]
fn turns_on_two_workers() {
    with_workers(2, by_turns);
}

#[test]
fn turns_on_three_workers() {
    with_workers(3, by_turns);
}

#[test]
fn turns_by_weight_on_three_workers() {
    with_workers(3, |bed| {
        bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 weight 37");
        bed.vppctl("lb as 90.0.0.1/32 10.0.2.4 weight 5");
        bed.vppctl("lb vip 90.0.0.1/32 scheduler wrr");
        all_flows(bed);
        shares_hold(&given(bed), &[100, 37, 5], 3);
    });
}

fn by_load(bed: &mut Bed, scheduler: &str, weights: [u64; 3]) {
    let workers = bed.router().workers() as u64;
    bed.vppctl(&format!("lb vip 90.0.0.1/32 scheduler {scheduler}"));
    for (host, weight) in (2..).zip(weights) {
        bed.vppctl(&format!("lb as 90.0.0.1/32 10.0.2.{host} weight {weight}"));
    }
    all_flows(bed);
    // By weight, the first flow of all goes to whoever is first, whatever its weight is.
    let slack = if scheduler == "wlc" { 2 } else { 1 };
    shares_hold(&given(bed), &weights, workers * slack);
    assert_eq!(bed.seen.moved(), 0);
}

#[test]
fn fewest_flows_on_two_workers() {
    with_workers(2, |bed| by_load(bed, "lc", [1, 1, 1]));
}

#[test]
fn fewest_flows_for_the_weight_on_three_workers() {
    with_workers(3, |bed| by_load(bed, "wlc", [10, 5, 1]));
}

/// A server that comes late is given what it is behind by all workers together, and not by each of them.
#[test]
fn workers_do_not_all_make_up_for_the_same() {
    with_workers(2, |bed| {
        bed.vppctl("lb vip 90.0.0.1/32 scheduler lc");
        all_flows(bed);
        bed.vppctl("packet-generator delete s0");
        bed.vppctl("packet-generator delete s1");
        bed.vppctl("lb as 90.0.0.1/32 10.0.2.5");
        bed.router().with_state(lb::control::LbControl::count_flows);
        bed.other_streams(10 * FLOWS as i64);
        bed.until("all packets sent", |bed| !bed.vppctl("show packet-generator").contains(" Yes "));
        // 200 each, and 600 more: 300 for each of the four.
        shares_hold(&given(bed), &[1; 4], 2);
    });
}
