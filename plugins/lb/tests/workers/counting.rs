//! Every packet is counted once, whatever the worker.

use crate::bed::{Bed, FLOWS, with_workers};

const PACKETS: u64 = 30_000;
/// Bytes of an IPv4 packet in a frame of 64 bytes.
const BYTES: u64 = 50;

fn all_sent(bed: &mut Bed) {
    bed.until("all packets sent", |bed| !bed.vppctl("show packet-generator").contains(" Yes "));
}

fn counters_sum(bed: &mut Bed) {
    let workers = bed.router().workers() as u64;
    bed.streams(PACKETS as i64);
    all_sent(bed);
    bed.no_buffer_in_use();
    let (all, flows) = (PACKETS * workers, FLOWS * workers);
    assert_eq!((bed.seen.all(), bed.seen.moved()), (all, 0));
    let reports = bed.reports();
    let [vip] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((vip.counters.new, vip.counters.known), (flows, all - flows));
    assert_eq!((vip.counters.untracked, vip.counters.no_server), (0, 0));
    for server in &vip.servers {
        let std::net::IpAddr::V4(address) = server.line.address else { panic!("{server:?}") };
        assert_eq!(server.facts.packets, bed.seen.reached(address.octets()[3].into()), "{address}");
        assert!(server.facts.packets > 0 && server.facts.bytes == server.facts.packets * BYTES, "{server:?}");
        assert_eq!(server.facts.flows, server.facts.total_flows);
    }
    assert_eq!(vip.servers.iter().map(|server| server.facts.flows).sum::<u64>(), flows);
    // What is shown is that sum; the flow tables stand below each other.
    let text = bed.vppctl("show lb vips verbose");
    let numbers = |words: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(words));
        let number =
            |rest: &str| rest.trim_start_matches([':', ' ']).split(' ').next().unwrap().parse::<u64>().unwrap();
        lines.map(|(_, rest)| number(rest)).collect::<Vec<u64>>()
    };
    assert_eq!(numbers("first session packet"), [flows], "{text}");
    assert_eq!(numbers("packet from existing sessions"), [all - flows], "{text}");
    assert_eq!(numbers(" packets:").iter().sum::<u64>(), all, "{text}");
    let text = bed.vppctl("show lb");
    for worker in 0..workers {
        let core = format!("core {worker}\n  timeout: 1000s\n  usage: {FLOWS} / {}\n", crate::bed::BUCKETS * 4);
        assert!(text.contains(&core), "{text}");
    }
    assert!(bed.locals(|local| local.flows.used()).iter().all(|used| *used == FLOWS as usize));
}

#[test]
fn counters_sum_over_two_workers() {
    with_workers(2, counters_sum);
}

#[test]
fn counters_sum_over_three_workers() {
    with_workers(3, counters_sum);
}

#[test]
fn one_worker_is_one_worker() {
    with_workers(1, counters_sum);
}

/// Each worker balances by itself, but to the same servers: what picks a slot depends on the configuration alone.
#[test]
fn workers_agree_on_the_server_of_a_flow() {
    with_workers(3, |bed| {
        for worker in 0..3 {
            bed.vppctl(&format!(
                "packet-generator new {{ name t{worker} limit {FLOWS} size 64-64 interface pg0 worker {worker} \
                 data {{ IP4: 00:00:00:00:01:02 -> 02:00:00:00:00:00 \
                 UDP: 10.9.9.9 -> 90.0.0.1 UDP: 1000 - 1299 -> 80 incrementing 22 }} }}"
            ));
        }
        bed.vppctl("packet-generator enable");
        all_sent(bed);
        let servers = |local: &mut lb::local::LbLocal| {
            local.servers.iter().map(|server| (server.packets, server.bytes)).collect::<Vec<_>>()
        };
        let workers = bed.locals(servers);
        assert!(workers[0].iter().map(|server| server.0).sum::<u64>() == FLOWS, "{workers:?}");
        assert!(workers.iter().all(|worker| *worker == workers[0]), "{workers:?}");
    });
}
