use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const KEYS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0x8cb9_2ba7_2f3d_8dd7, 0xaf25_1af3_b0f0_25b5];

fn table(buckets: u32) -> FlowTable {
    FlowTable::with_buckets(buckets, 40, HashKeys::from_words(KEYS)).unwrap()
}

fn handles() -> Vec<ServerHandle> {
    (0..10).map(ServerHandle::first).collect()
}

fn resize(table: &mut FlowTable, buckets: u32) {
    assert!(table.resize(FlowMemory::new(buckets).unwrap()).is_ok(), "too many old tables");
}

/// Sweeps until no table is left that flows are moved from.
fn settle(table: &mut FlowTable, now: u32, live: Live<'_>) {
    for _ in 0..1 << 20 {
        if !table.is_moving() {
            return;
        }
        table.sweep(now, live, 1);
    }
    panic!("flows move for ever");
}

fn flow(table: &FlowTable, n: u64) -> FlowHash {
    table.hash([0x0a00_0001_5a00_0001, 6 << 32 | n << 16 | 80], 1)
}

/// The server that flow `n` was given first.
fn first(n: u64) -> ServerHandle {
    ServerHandle::first((n % 9 + 1) as u32)
}

fn begin(table: &mut FlowTable, flows: u64, now: u32, live: Live<'_>) {
    for n in 0..flows {
        let hash = flow(table, n);
        assert_eq!(table.lookup_or_insert(hash, now, live, || Some(first(n))), Verdict::New(first(n)));
    }
}

#[track_caller]
fn all_known(table: &mut FlowTable, flows: u64, now: u32, live: Live<'_>) {
    for n in 0..flows {
        let hash = flow(table, n);
        assert_eq!(table.peek(hash, now, live), Some(first(n)));
        assert_eq!(table.lookup_or_insert(hash, now, live, || None), Verdict::Known(first(n)), "flow {n}");
    }
    assert_eq!(table.used() as u64, flows);
    assert_eq!((1..10).map(|slot| u64::from(table.flows(ServerHandle::first(slot)))).sum::<u64>(), flows);
}

/// Down and up again, in one step and in several, with all flows moved before the next.
#[test]
fn flows_follow_by_themselves() {
    let (mut table, handles) = (table(1024), handles());
    let live = Live::new(&handles);
    begin(&mut table, 300, 10, live);
    for buckets in [4096, 2048, 65536, 1 << 17, 1 << 12] {
        resize(&mut table, buckets);
        assert_eq!((table.used(), table.buckets(), table.old_tables()), (300, buckets, 1));
        settle(&mut table, 20, live);
        assert_eq!((table.used(), table.old_tables(), table.take_spent().len()), (300, 0, 1));
    }
    all_known(&mut table, 300, 50, live);
    settle(&mut table, 91, live);
    table.sweep_all(91, live);
    assert_eq!(table.used(), 0);
}

/// Several sizes in a row, with nothing moved between; then a few buckets for each packet.
#[test]
fn flows_are_known_while_they_move() {
    let (mut table, handles) = (table(1024), handles());
    let live = Live::new(&handles);
    begin(&mut table, 300, 10, live);
    for (n, buckets) in (0..).zip([4096, 2048, 1 << 18, 8192]) {
        resize(&mut table, buckets);
        // A flow in each: a table without is gone at once.
        let hash = flow(&table, n);
        assert_eq!(table.lookup_or_insert(hash, 10, live, || None), Verdict::Known(first(n)));
    }
    assert!(table.resize(FlowMemory::new(64).unwrap()).is_err());
    assert_eq!((table.buckets(), table.old_tables()), (8192, 4));
    for n in 0..300 {
        let hash = flow(&table, n);
        assert_eq!(table.peek(hash, 20, live), Some(first(n)));
        assert_eq!(table.lookup_or_insert(hash, 20, live, || None), Verdict::Known(first(n)));
        table.sweep(20, live, 1);
        resize_now_and_then(&mut table, n);
    }
    settle(&mut table, 20, live);
    assert_eq!(table.old_tables(), 0);
    all_known(&mut table, 300, 60, live);
}

fn resize_now_and_then(table: &mut FlowTable, n: u64) {
    if n.is_multiple_of(16) && table.old_tables() < MAX_OLD {
        resize(table, 2048 << (n / 16 % 4));
    }
}

/// An entry knows a few bits of its hash only. Where they do not suffice, the flow comes with its next packet.
#[test]
fn a_table_may_grow_by_any_factor() {
    let (mut table, handles) = (table(256), handles());
    let live = Live::new(&handles);
    begin(&mut table, 80, 10, live);
    resize(&mut table, 1 << 20);
    assert!(!table.is_moving(), "nothing to hurry for");
    table.sweep(10, live, 1 << 20);
    assert_eq!((table.used(), table.old_tables()), (80, 1));
    // Half of the flows go on; the others expire.
    for n in 0..40 {
        let hash = flow(&table, n);
        assert_eq!(table.lookup_or_insert(hash, 30, live, || None), Verdict::Known(first(n)));
    }
    assert_eq!(table.used(), 80);
    table.sweep(51, live, 1 << 20);
    assert_eq!((table.used(), table.old_tables(), table.take_spent().len()), (40, 0, 1));
    // They know all of their hashes now, as the first ones did.
    resize(&mut table, 256);
    settle(&mut table, 51, live);
    all_known(&mut table, 40, 51, live);
}

/// What finds no room in a smaller table stays known until it must go.
#[test]
fn flows_without_room_in_a_smaller_table_are_forgotten_in_the_end() {
    let (mut table, handles) = (table(1024), handles());
    let live = Live::new(&handles);
    begin(&mut table, 100, 10, live);
    resize(&mut table, 2);
    for n in 0..100 {
        let hash = flow(&table, n);
        assert_eq!(table.control(hash, 10, live, Control::End), Some(first(n)), "flow {n}, with or without room");
        assert_eq!(table.lookup_or_insert(hash, 10, live, || None), Verdict::Known(first(n)));
    }
    settle(&mut table, 10, live);
    assert_eq!((table.used(), table.old_tables(), table.capacity()), (8, 0, 8));
    let known = (0..100).filter(|&n| table.peek(flow(&table, n), 10, live).is_some()).count();
    assert_eq!(known, 8);
}

/// The flows of a server that is gone do not come back with an old table.
#[test]
fn a_flushed_flow_is_not_found_in_an_old_table() {
    let (mut table, mut handles) = (table(1024), handles());
    begin(&mut table, 9, 10, Live::new(&handles));
    resize(&mut table, 4096);
    let gone = handles[1];
    handles[1] = gone.next();
    let live = Live::new(&handles);
    let hash = flow(&table, 0);
    assert_eq!(table.peek(hash, 10, live), None);
    assert_eq!(table.lookup_or_insert(hash, 10, live, || Some(handles[2])), Verdict::New(handles[2]));
    settle(&mut table, 10, live);
    assert_eq!((table.used(), table.flows(gone), table.flows(handles[2])), (9, 0, 2));
}

#[derive(Clone, Debug)]
enum Step {
    Packet(u64),
    Wait(u32),
    Forget(usize),
    Sweep(usize),
    Resize(u32),
}

fn step(bits: std::ops::Range<u32>) -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0u64..40).prop_map(Step::Packet),
        3 => (1u32..30).prop_map(Step::Wait),
        1 => (1usize..10).prop_map(Step::Forget),
        6 => (1usize..40).prop_map(Step::Sweep),
        2 => bits.prop_map(|bits| Step::Resize(1 << bits)),
    ]
}

/// Runs the steps beside a plain list of flows; `roomy`: no bucket of any of the tables is ever full, so that no flow may
/// be lost.
fn agrees(steps: Vec<Step>, buckets: u32, roomy: bool) {
    let (mut table, mut handles, mut now) = (table(buckets), handles(), 1000u32);
    let mut model: HashMap<u64, (ServerHandle, u32)> = HashMap::new();
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Wait(seconds) => now += seconds,
            Step::Forget(slot) => handles[slot] = handles[slot].next(),
            Step::Sweep(buckets) => {
                table.sweep(now, Live::new(&handles), buckets);
            }
            Step::Resize(buckets) => {
                let full = table.old_tables() == MAX_OLD;
                assert_eq!(table.resize(FlowMemory::new(buckets).unwrap()).is_err(), full);
            }
            Step::Packet(id) => {
                let (hash, choice) = (flow(&table, id), handles[n % 9 + 1]);
                model.retain(|_, (server, seen)| handles[server.slot()] == *server && now - *seen <= 40);
                match table.lookup_or_insert(hash, now, Live::new(&handles), || Some(choice)) {
                    Verdict::Known(server) => assert_eq!(Some(server), model.get(&id).map(|flow| flow.0)),
                    Verdict::New(_) => assert!(!roomy || !model.contains_key(&id), "flow {id} was lost"),
                    other => assert!(!roomy && other == Verdict::Untracked(choice), "{other:?}"),
                }
                match table.peek(hash, now, Live::new(&handles)) {
                    Some(server) => drop(model.insert(id, (server, now))),
                    None => drop(model.remove(&id)),
                }
            }
        }
        let flows: u32 = handles.iter().map(|handle| table.flows(*handle)).sum();
        assert!(flows as usize <= table.used());
    }
    let live = Live::new(&handles);
    settle(&mut table, now, live);
    table.sweep_all(now, live);
    let there = (0..40).filter_map(|id| table.peek(flow(&table, id), now, live));
    let there = there.fold(HashMap::<_, u32>::new(), |mut counts, server| {
        *counts.entry(server).or_default() += 1;
        counts
    });
    assert_eq!(table.used() as u32, there.values().sum::<u32>());
    handles[1..].iter().for_each(|server| assert_eq!(table.flows(*server), there.get(server).copied().unwrap_or(0)));
    if roomy {
        model.retain(|_, (server, seen)| handles[server.slot()] == *server && now - *seen <= 40);
        assert_eq!(table.used(), model.len());
    }
}

proptest! {
    #[test]
    fn no_flow_is_lost_between_roomy_tables(steps in prop::collection::vec(step(9..13), 1..300)) {
        agrees(steps, 1 << 10, true);
    }

    #[test]
    fn flows_change_their_server_only_when_forgotten(steps in prop::collection::vec(step(0..12), 1..300)) {
        agrees(steps, 4, false);
    }
}
