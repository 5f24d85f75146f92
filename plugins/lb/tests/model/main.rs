//! Configuration, tables and flow tables together, beside a model that says what ought to be: random commands, packets
//! and time.

mod plain;
mod world;

use lb::config::Scheduler;
use proptest::prelude::*;

use plain::{PREFIXES, SERVERS};
use world::World;

/// One thing that happens. Numbers pick from short lists, so that things meet.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    AddVip { vip: usize, new_len: u32, sticky: bool },
    SetVip { vip: usize, scheduler: Option<Scheduler>, new_len: Option<u32> },
    DelVip(usize),
    FlushVip(usize),
    AddServers { vip: usize, servers: Vec<usize>, weight: Option<u32>, flush: bool },
    DelServers { vip: usize, servers: Vec<usize>, flush: bool },
    SetWeight { vip: usize, servers: Vec<usize>, weight: u32, flush: bool },
    Buckets(u32),
    Timeout(u32),
    Packets { worker: usize, flows: std::ops::Range<u32>, to: usize },
    Wait(u32),
    Sweep(usize),
    Collect,
}

fn event() -> impl Strategy<Value = Event> {
    let vip = || 0..PREFIXES.len() * 3;
    let servers = || prop::collection::vec(0..SERVERS.len(), 0..4);
    let new_len = || prop_oneof![4 => Just(1024), 1 => Just(8), 1 => Just(31), 1 => Just(2), 1 => Just(1000)];
    let scheduler = prop::option::of(prop::sample::select(&Scheduler::ALL[..]));
    let weight = || prop_oneof![2 => Just(100u32), 2 => 0u32..=100, 1 => Just(50u32), 1 => Just(101u32)];
    prop_oneof![
        4 => (vip(), new_len(), any::<bool>()).prop_map(|(vip, new_len, sticky)| Event::AddVip { vip, new_len, sticky }),
        2 => (vip(), scheduler, prop::option::of(new_len()))
            .prop_map(|(vip, scheduler, new_len)| Event::SetVip { vip, scheduler, new_len }),
        1 => vip().prop_map(Event::DelVip),
        1 => vip().prop_map(Event::FlushVip),
        6 => (vip(), servers(), prop::option::of(weight()), any::<bool>())
            .prop_map(|(vip, servers, weight, flush)| Event::AddServers { vip, servers, weight, flush }),
        3 => (vip(), servers(), any::<bool>())
            .prop_map(|(vip, servers, flush)| Event::DelServers { vip, servers, flush }),
        2 => (vip(), servers(), weight(), any::<bool>())
            .prop_map(|(vip, servers, weight, flush)| Event::SetWeight { vip, servers, weight, flush }),
        1 => (11u32..16).prop_map(|bits| Event::Buckets(1 << bits)),
        1 => (5u32..80).prop_map(Event::Timeout),
        20 => (0..world::WORKERS, 0u32..20, 1u32..20, 0..plain::TARGETS.len())
            .prop_map(|(worker, first, count, to)| Event::Packets { worker, flows: first..first + count, to }),
        4 => (1u32..30).prop_map(Event::Wait),
        4 => (1usize..2000).prop_map(Event::Sweep),
        2 => Just(Event::Collect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_load_balancer_does_what_a_plain_one_does(events in prop::collection::vec(event(), 1..120)) {
        // Something to begin with, so that most packets meet a VIP with servers.
        let begin = [
            Event::AddVip { vip: 0, new_len: 1024, sticky: false },
            Event::AddServers { vip: 0, servers: vec![0, 1, 2], weight: None, flush: false },
            Event::AddVip { vip: 4, new_len: 1024, sticky: true },
            Event::AddServers { vip: 4, servers: vec![1, 3], weight: Some(50), flush: false },
        ];
        let mut world = World::new();
        for event in begin.into_iter().chain(events) {
            world.happens(event);
        }
        world.ends();
    }
}
