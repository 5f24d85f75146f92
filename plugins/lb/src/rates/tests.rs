//! Whatever becomes of servers and counts, rates stay true.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Counted, LONGEST, RateReport, Rates, Sample};
use crate::config::State;

/// What may happen to the server of a slot.
#[derive(Clone, Debug)]
enum Event {
    /// It is sent so many packets of so many bytes.
    Send(u64, u64),
    /// Its counts begin anew.
    Reset,
    /// Another server comes to its slot, with counts that begin anew.
    Replace(u8),
    /// It goes.
    Go,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..1_000_000u64, 20..9000u64).prop_map(|(packets, size)| Event::Send(packets, size)),
        1 => Just(Event::Reset),
        1 => any::<u8>().prop_map(Event::Replace),
        1 => Just(Event::Go),
    ]
}

fn counted(slot: u32, host: u8) -> Counted {
    let address = [10, 0, 0, host].into();
    Counted { slot, vip: 1, address, port: None, state: State::Used, packets: 0, bytes: 0 }
}

proptest! {
    /// Never more than was sent within the interval, and what was sent exactly as long as nothing else happened.
    #[test]
    fn rates_never_exceed_what_was_sent(events in prop::collection::vec((0..4u32, event()), 0..40), millis in 1..10_000u64) {
        let start = Instant::now();
        let mut servers: Vec<Option<Counted>> = (0..4).map(|slot| Some(counted(slot, slot as u8))).collect();
        for server in servers.iter_mut().flatten() {
            (server.packets, server.bytes) = (u64::from(u32::MAX), u64::from(u32::MAX) * 1500);
        }
        let sample = |at, servers: &[Option<Counted>]| Sample { at, servers: servers.iter().flatten().copied().collect() };
        let before = sample(start, &servers);
        let (mut sent, mut bytes_sent, mut plain) = (0, 0, true);
        for (slot, event) in events {
            let place = &mut servers[slot as usize];
            match (event, place.as_mut()) {
                (Event::Send(packets, size), Some(server)) => {
                    (server.packets, server.bytes) = (server.packets + packets, server.bytes + packets * size);
                    (sent, bytes_sent) = (sent + packets, bytes_sent + packets * size);
                }
                (Event::Send(..), None) => (),
                (Event::Reset, Some(server)) => ((server.packets, server.bytes), plain) = ((0, 0), false),
                (Event::Replace(host), _) => (*place, plain) = (Some(counted(slot, host)), false),
                (Event::Go, _) => (*place, plain) = (None, false),
                (Event::Reset, None) => (),
            }
        }
        let now = sample(start + Duration::from_millis(millis), &servers);
        let report = RateReport::new(&before, &now, None, |_| 20);
        let seconds = Duration::from_millis(millis.max(100)).as_secs_f64();
        prop_assert_eq!(report.seconds, seconds);
        // Every line is rounded.
        let slack = report.destinations.len() as f64;
        let most = [sent as f64 / seconds, (bytes_sent + sent * 20) as f64 * 8.0 / seconds];
        let got = [report.totals.packets_per_second as f64, report.totals.bits_per_second as f64];
        for (got, most) in got.into_iter().zip(most) {
            prop_assert!(got <= most + slack, "{got} of at most {most}");
            prop_assert!(!plain || got >= most - slack, "{got} of {most}");
        }
    }
}

#[test]
fn the_sample_of_the_interval_is_taken() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut rates = Rates::default();
    assert!(rates.before(start, Duration::from_secs(1)).is_none());
    for second in 0..60 {
        // Timers come late.
        rates.keep(Sample { at: at(second * 1000 + second % 3), servers: Vec::new() });
    }
    let taken = |now, seconds| rates.before(at(now), Duration::from_secs(seconds)).unwrap().at - start;
    assert_eq!(taken(59_500, 1), Duration::from_millis(58_001));
    assert_eq!(taken(59_000, 1), Duration::from_millis(58_001), "a moment is not missed");
    assert_eq!(taken(59_500, LONGEST), Duration::from_millis(49_001));
    assert_eq!(taken(59_500, 1000), Duration::from_millis(48_000), "the oldest there is");
}

#[test]
fn very_many_servers_do_not_fill_the_memory() {
    let mut rates = Rates::default();
    let servers: Vec<Counted> = (0..300_000).map(|slot| counted(slot, 1)).collect();
    for _ in 0..10 {
        rates.keep(Sample { at: Instant::now(), servers: servers.clone() });
    }
    assert_eq!(rates.samples.len(), 3);
}

#[test]
fn one_vip_alone() {
    let at = Instant::now();
    let before = Sample { at, servers: Vec::new() };
    let mut servers = vec![counted(1, 1), counted(2, 1), counted(3, 2)];
    for (server, vip) in servers.iter_mut().zip([1, 2, 2]) {
        (server.vip, server.packets, server.bytes) = (vip, 10, 1000);
    }
    let now = Sample { at: at + Duration::from_secs(2), servers };
    let rates = |vip| {
        let report = RateReport::new(&before, &now, vip, |vip| u64::from(vip) * 100);
        let line = |line: &super::Destination| {
            (line.number, line.address.to_string(), line.rate.packets_per_second, line.rate.bits_per_second)
        };
        report.destinations.iter().map(line).collect::<Vec<_>>()
    };
    // A destination of two VIPs has one line.
    assert_eq!(rates(None), [(1, "10.0.0.1".into(), 10, 20_000), (2, "10.0.0.2".into(), 5, 12_000)]);
    assert_eq!(rates(Some(1)), [(1, "10.0.0.1".into(), 5, 8000)]);
}

#[test]
fn ports_of_one_address_have_lines_of_their_own() {
    let at = Instant::now();
    let before = Sample { at, servers: Vec::new() };
    let mut servers = vec![counted(1, 1), counted(2, 1), counted(3, 1)];
    for (server, port) in servers.iter_mut().zip([Some(8081), None, Some(8080)]) {
        (server.port, server.packets, server.bytes) = (port, 10, 1000);
    }
    let now = Sample { at: at + Duration::from_secs(1), servers };
    let text = RateReport::new(&before, &now, None, |_| 0).to_string();
    let places: Vec<&str> = text.lines().filter_map(|line| line.split('\t').nth(1)).map(str::trim_end).collect();
    assert_eq!(places[..3], ["10.0.0.1", "10.0.0.1:8080", "10.0.0.1:8081"], "{text}");
    assert!(text.contains("\t          10 pkts/s\t          8,000 bits/s\n"), "{text}");
    // What comes to a slot with another port is another server.
    let mut later = now.clone();
    later.servers[0].port = Some(9);
    assert_eq!(later.servers[0].since(Some(&now.servers[0])), (10, 1000));
}
