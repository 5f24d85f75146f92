//! Two packet threads.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use crate::bed::{AtEnd, Net, Setup, VIP, number_after};

#[test]
fn two_workers_share_the_packets() {
    let setup = Setup { workers: 2, queues: 2, ..Setup::default() };
    let Some(net) = Net::with("workers", setup) else { return };
    let tally = net.tally(200);
    assert_eq!(tally.len(), 3, "{tally:?}");
    assert_eq!(net.counter("first session packet:"), 200, "the sum over the workers");
    assert_eq!(net.counter("untracked packet:"), 0);

    let threads = net.vppctl("show threads");
    for name in ["vpp_wk_0", "vpp_wk_1"] {
        assert!(threads.contains(name), "{threads}");
    }
    // Each worker has a flow table of its own; flows of different source ports are spread over them.
    let lb = net.vppctl("show lb");
    let used: Vec<_> = lb.split("usage: ").skip(1).map(|rest| number_after(rest, "")).collect();
    assert!(used.len() == 2 && used.iter().all(|&flows| flows > 20), "{lb}");
    assert_eq!(used.iter().sum::<u64>(), 200, "{lb}");

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let end = AtEnd(|| stop.store(true, SeqCst));
        let askers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut answers = Vec::new();
                while !stop.load(SeqCst) {
                    answers.push(net.request().map(|answer| answer.server));
                }
                answers
            })
        });
        thread::sleep(std::time::Duration::from_millis(300));
        net.vppctl(&format!("lb as {VIP}/32 10.0.13.2 del flush"));
        let after = net.tally(60);
        drop(end);
        assert_eq!(after.keys().collect::<Vec<_>>(), ["server1", "server2"]);
        let answers: Vec<_> = askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect();
        // At most those fail that each of the three was making when their server went.
        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        assert!(failed <= 3 && answers.len() > 20, "{failed} of {} failed", answers.len());
    });
}
