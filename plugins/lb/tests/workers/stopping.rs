//! Workers end, and never wait for the control thread, nor it for them.

use std::time::{Duration, Instant};

use crate::bed::{Bed, FLOWS, with_workers};

/// The router goes while packets are under way. That every thread ends in good order is seen to in `with_workers`.
#[test]
fn a_router_may_go_at_any_time() {
    for workers in [2, 3] {
        with_workers(workers, |bed| {
            bed.streams(-1);
            bed.more_packets(FLOWS);
            bed.no_buffer_in_use();
            bed.vppctl("lb conf buckets 262144");
        });
    }
}

/// Questions are answered between passes, also while workers ask the control thread for neighbours without end and it
/// does not listen.
fn questions_are_answered(bed: &mut Bed) {
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.99 10.0.2.98 10.0.2.97", "lb flush vip 90.0.0.1/32"]);
    bed.streams(-1);
    bed.more_packets(FLOWS);
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds < 20 || start.elapsed() < Duration::from_millis(300) {
        // Nothing of what workers tell is handled in this time: `poll` is not called.
        bed.vppctl("show lb vips verbose");
        bed.vppctl("show lb");
        bed.vppctl(if rounds % 2 == 0 { "lb as 90.0.0.1/32 10.0.2.3 weight 1" } else { "lb flush vip 90.0.0.1/32" });
        if rounds % 8 == 0 {
            bed.vppctl(if rounds % 16 == 0 { "lb conf timeout 50" } else { "lb conf timeout 60" });
        }
        rounds += 1;
    }
    bed.more_packets(FLOWS);
    bed.vppctl("packet-generator disable");
    // Packets may wait for a neighbour that never answers; they go when it is given up, or with their server.
    bed.vppctl("lb vip 90.0.0.1/32 del");
}

#[test]
fn questions_are_answered_by_two_workers() {
    with_workers(2, questions_are_answered);
}

#[test]
fn questions_are_answered_by_three_workers() {
    with_workers(3, questions_are_answered);
}
