//! Flows are listed while packets flow.

use crate::bed::{FLOWS, with_workers};

#[test]
fn flows_of_all_workers_are_listed_under_load() {
    with_workers(2, |bed| {
        bed.streams(-1);
        bed.more_packets(2 * FLOWS);
        for _ in 0..3 {
            let text = bed.vppctl("show lb flows max 100000");
            for worker in ["0 ", "1 "] {
                assert_eq!(text.lines().filter(|line| line.starts_with(worker)).count() as u64, FLOWS);
            }
        }
        let text = bed.vppctl("show lb flow 10.9.1.1:1000 90.0.0.1:80 udp");
        assert!(text.contains("thread 0: ") && text.contains("thread 1: "), "{text}");
        assert_eq!(text.matches(", known: 10.0.2.").count(), 1, "{text}");
        assert_eq!(text.matches("not known: a new flow would get 10.0.2.").count(), 1, "{text}");
        bed.stop();
        assert_eq!(bed.seen.moved(), 0);
    });
}
