//! The configuration changes while all workers are busy.

use std::time::Duration;

use crate::bed::{Bed, FLOWS, with_workers};

/// When the command has returned, no packet goes to the server any more, on no worker.
fn a_removed_server_gets_nothing(bed: &mut Bed) {
    bed.streams(-1);
    for _ in 0..10 {
        bed.type_all(&["lb as 90.0.0.1/32 10.0.2.5", "lb flush vip 90.0.0.1/32"]);
        let before = bed.seen.reached(5);
        bed.until("packets for the new server", |bed| bed.seen.reached(5) > before + 10);
        bed.vppctl("lb as 90.0.0.1/32 10.0.2.5 del flush");
        let gone = bed.seen.reached(5);
        bed.more_packets(1000);
        assert_eq!(bed.seen.reached(5), gone);
        bed.no_buffer_in_use();
    }
    // Neither do any once the VIP is gone.
    bed.vppctl("lb vip 90.0.0.1/32 del");
    let gone = bed.seen.all();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(bed.seen.all(), gone);
    // Of the same key, other servers: no flow is known.
    bed.type_all(&["lb vip 90.0.0.1/32 encap gre4", "lb as 90.0.0.1/32 10.0.2.6"]);
    let before: u64 = (2..6).map(|server| bed.seen.reached(server)).sum();
    bed.more_packets(1000);
    assert_eq!((2..6).map(|server| bed.seen.reached(server)).sum::<u64>(), before);
    bed.stop();
}

#[test]
fn a_removed_server_gets_nothing_from_two_workers() {
    with_workers(2, a_removed_server_gets_nothing);
}

#[test]
fn a_removed_server_gets_nothing_from_three_workers() {
    with_workers(3, a_removed_server_gets_nothing);
}

/// A server that takes no more new flows keeps those it has, on every worker; one that is added takes none away.
#[test]
fn known_flows_stay_on_all_workers() {
    with_workers(2, |bed| {
        bed.streams(-1);
        bed.more_packets(2 * FLOWS);
        for _ in 0..10 {
            bed.type_all(&["lb as 90.0.0.1/32 10.0.2.5", "lb as 90.0.0.1/32 10.0.2.2 del"]);
            bed.more_packets(500);
            bed.type_all(&["lb as 90.0.0.1/32 10.0.2.5 del", "lb as 90.0.0.1/32 10.0.2.2 weight 7"]);
            bed.more_packets(500);
        }
        bed.stop();
        assert_eq!((bed.seen.moved(), bed.seen.reached(5)), (0, 0));
    });
}

#[test]
fn a_flush_forgets_the_flows_of_all_workers() {
    with_workers(3, |bed| {
        bed.streams(-1);
        bed.more_packets(2 * FLOWS);
        for flush in ["lb flush vip 90.0.0.1/32", "test lb flowtable flush"] {
            let begun = |bed: &mut Bed| bed.locals(|local| local.begun.iter().sum::<u64>());
            let before = begun(bed);
            bed.vppctl(flush);
            bed.until("all flows anew", |bed| {
                begun(bed).iter().zip(&before).all(|(now, before)| *now == before + FLOWS)
            });
            // And only once.
            bed.more_packets(2 * FLOWS);
            assert!(begun(bed).iter().zip(&before).all(|(now, before)| *now == before + FLOWS));
        }
        bed.stop();
        // The same servers as before: nothing was changed in between.
        assert_eq!(bed.seen.moved(), 0);
        assert!(bed.locals(|local| local.flows.used()).iter().all(|used| *used == FLOWS as usize));
    });
}

fn flows_survive_a_resize(bed: &mut Bed) {
    bed.streams(-1);
    bed.more_packets(2 * FLOWS);
    // Every flow would move if it were taken for a new one.
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.2 10.0.2.3 10.0.2.4 del", "lb as 90.0.0.1/32 10.0.2.5"]);
    for round in 0..4 {
        for buckets in [1 << 18, 1 << 16, 1 << 17] {
            bed.vppctl(&format!("lb conf buckets {buckets}"));
            if round % 2 == 0 {
                bed.until("flows have followed", |bed| bed.locals(|local| local.flows.old_tables()) == vec![0; 2]);
            }
        }
        bed.more_packets(1000);
        bed.until("flows have followed", |bed| bed.locals(|local| local.flows.old_tables()) == vec![0; 2]);
    }
    bed.no_buffer_in_use();
    bed.stop();
    assert_eq!((bed.seen.moved(), bed.seen.reached(5)), (0, 0));
    assert!(bed.locals(|local| local.flows.used()).iter().all(|used| *used == FLOWS as usize));
    // The memory of before has come back.
    bed.router().with_state(lb::control::LbControl::collect);
    assert!(bed.locals(|local| local.flows.take_spent().len()).iter().all(|count| *count == 0));
}

#[test]
fn flows_survive_a_resize_under_load() {
    with_workers(2, flows_survive_a_resize);
}
