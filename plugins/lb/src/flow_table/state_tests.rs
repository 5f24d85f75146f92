use super::*;

const KEYS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 7, 0xaf25_1af3_b0f0_25b5];
const ONE: ServerHandle = ServerHandle::first(1);
const OTHER: ServerHandle = ServerHandle::first(2);
const HANDLES: [ServerHandle; 3] = [ServerHandle::NONE, ONE, OTHER];

fn table(buckets: u32) -> FlowTable {
    let mut table = FlowTable::with_buckets(buckets, 40, HashKeys::from_words(KEYS)).unwrap();
    table.set_timeouts(Timeouts { plain: 40, half_open: 5, established: 300, closing: 7 }).unwrap();
    table
}

/// A packet of a flow, which would get `server` if it were new.
fn packet(table: &mut FlowTable, flow: u64, now: u32, state: FlowState, server: ServerHandle) -> Verdict {
    let (hash, live) = (table.hash([flow, 6 << 32], 1), Live::new(&HANDLES));
    match table.find(hash, now, live) {
        Some(server) => Verdict::Known(server),
        None => table.insert(hash, now, live, server, state),
    }
}

fn state(table: &FlowTable, flow: u64, now: u32) -> Option<FlowState> {
    table.locate(table.hash([flow, 6 << 32], 1), now, Live::new(&HANDLES)).map(|entry| entry.state)
}

/// Also where the clock's 20 bits are exceeded.
#[test]
fn the_second_packet_establishes() {
    for start in [100, (1 << 20) - 2, (1 << 20) + 77, (1 << 21) - 1] {
        let mut table = table(64);
        assert_eq!(packet(&mut table, 1, start, FlowState::HalfOpen, ONE), Verdict::New(ONE));
        assert_eq!(state(&table, 1, start), Some(FlowState::HalfOpen));
        // In the same second, too.
        assert_eq!(packet(&mut table, 1, start, FlowState::HalfOpen, OTHER), Verdict::Known(ONE));
        for wait in 0..4 {
            assert_eq!(state(&table, 1, start + wait), Some(FlowState::Established));
            assert_eq!(packet(&mut table, 1, start + wait, FlowState::HalfOpen, OTHER), Verdict::Known(ONE));
        }
        // Others have no state, however many packets come.
        for wait in 0..3 {
            packet(&mut table, 2, start + wait / 2, FlowState::Plain, ONE);
            assert_eq!(state(&table, 2, start + wait), Some(FlowState::Plain));
        }
    }
}

#[test]
fn every_state_has_its_timeout() {
    for (first, packets, timeout) in [
        (FlowState::HalfOpen, 1, 5),
        (FlowState::HalfOpen, 2, 300),
        (FlowState::Plain, 1, 40),
        (FlowState::Plain, 2, 40),
    ] {
        for (silence, known) in [(timeout, true), (timeout + 1, false)] {
            let mut table = table(64);
            for _ in 0..packets {
                packet(&mut table, 1, 50, first, ONE);
            }
            let live = Live::new(&HANDLES);
            table.sweep_all(50 + silence, live);
            assert_eq!(table.used(), usize::from(known));
            let verdict = packet(&mut table, 1, 50 + silence, first, OTHER);
            assert_eq!(verdict, if known { Verdict::Known(ONE) } else { Verdict::New(OTHER) });
        }
    }
}

#[test]
fn states_survive_a_resize() {
    let mut table = table(64);
    for flow in 0..40 {
        packet(&mut table, flow, 50, FlowState::HalfOpen, ONE);
        if flow % 2 == 0 {
            packet(&mut table, flow, 50, FlowState::HalfOpen, ONE);
        }
    }
    let before: Vec<_> = (0..40).map(|flow| state(&table, flow, 51)).collect();
    for buckets in [1024, 64] {
        table.resize(FlowMemory::new(buckets).unwrap()).ok().unwrap();
        while table.is_moving() {
            table.sweep(51, Live::new(&HANDLES), 1);
        }
        assert_eq!((0..40).map(|flow| state(&table, flow, 51)).collect::<Vec<_>>(), before);
    }
}

/// Ten times the table's size in SYNs of flows that never go on. Then the servers change, so that a lost entry shows.
#[test]
fn a_flood_moves_no_established_flow() {
    let mut table = table(1024);
    let mut own = Vec::new();
    for flow in 0..2000 {
        let new = packet(&mut table, flow, 10, FlowState::HalfOpen, ONE) == Verdict::New(ONE);
        packet(&mut table, flow, 10, FlowState::HalfOpen, ONE);
        own.extend(new.then_some(flow));
    }
    assert!(own.len() > 1900);
    let flood = 10 * table.capacity() as u64;
    for syn in 0..flood {
        // Ten seconds of it.
        let now = 11 + (syn * 10 / flood) as u32;
        packet(&mut table, 1 << 32 | syn, now, FlowState::HalfOpen, ONE);
    }
    let Pressed { evicted, refused, .. } = table.pressed();
    assert!(evicted > 1000 && refused > 1000, "{evicted} {refused}");
    for flow in own {
        assert_eq!(packet(&mut table, flow, 22, FlowState::HalfOpen, OTHER), Verdict::Known(ONE));
    }
    // A new connection gets an entry although the table is full of SYNs: they give way.
    table.pressed = Pressed::default();
    let noted = (0..200).filter(|flow| {
        let flow = 1 << 40 | flow;
        packet(&mut table, flow, 22, FlowState::HalfOpen, ONE) == Verdict::New(ONE)
            && packet(&mut table, flow, 22, FlowState::HalfOpen, OTHER) == Verdict::Known(ONE)
    });
    let noted = noted.count();
    assert!(noted > 150, "{noted} of 200");
}

#[test]
fn what_is_established_or_plain_never_gives_way() {
    let mut table = table(1);
    for flow in 0..4 {
        packet(&mut table, flow, 10, if flow < 2 { FlowState::Plain } else { FlowState::HalfOpen }, ONE);
    }
    packet(&mut table, 2, 10, FlowState::HalfOpen, ONE);
    // Not within the first second.
    assert_eq!(packet(&mut table, 9, 10, FlowState::HalfOpen, ONE), Verdict::Untracked(ONE));
    assert_eq!(packet(&mut table, 9, 11, FlowState::Plain, ONE), Verdict::New(ONE));
    assert_eq!(packet(&mut table, 10, 12, FlowState::HalfOpen, ONE), Verdict::Untracked(ONE));
    assert_eq!((0..4).map(|flow| state(&table, flow, 12).is_some()).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(table.pressed(), Pressed { evicted: 1, refused: 2, collided: 0 });
    assert_eq!((table.used(), table.flows(ONE)), (4, 4));
}

fn control(table: &mut FlowTable, flow: u64, now: u32, what: Control) -> Option<ServerHandle> {
    table.control(table.hash([flow, 6 << 32], 1), now, Live::new(&HANDLES), what)
}

#[test]
fn a_syn_establishes_nothing_however_often_it_comes() {
    let mut table = table(64);
    assert_eq!(control(&mut table, 1, 50, Control::Syn), None);
    packet(&mut table, 1, 50, FlowState::HalfOpen, ONE);
    for now in 50..53 {
        assert_eq!(control(&mut table, 1, now, Control::Syn), Some(ONE));
        assert_eq!(state(&table, 1, now), Some(FlowState::HalfOpen));
    }
    // It keeps the server of an established flow, and the flow as it is.
    packet(&mut table, 1, 53, FlowState::HalfOpen, OTHER);
    assert_eq!(control(&mut table, 1, 54, Control::Syn), Some(ONE));
    assert_eq!(state(&table, 1, 54), Some(FlowState::Established));
}

#[test]
fn an_end_closes_and_a_syn_after_it_begins_anew() {
    let mut table = table(64);
    for _ in 0..2 {
        packet(&mut table, 1, 50, FlowState::HalfOpen, ONE);
    }
    assert_eq!(control(&mut table, 1, 51, Control::End), Some(ONE));
    assert_eq!(state(&table, 1, 51), Some(FlowState::Closing));
    // The last packets find their server and change nothing.
    assert_eq!(packet(&mut table, 1, 52, FlowState::HalfOpen, OTHER), Verdict::Known(ONE));
    assert_eq!(state(&table, 1, 52), Some(FlowState::Closing));
    assert_eq!(control(&mut table, 1, 53, Control::Syn), None);
    assert_eq!(packet(&mut table, 1, 59, FlowState::HalfOpen, OTHER), Verdict::Known(ONE), "7 seconds after the last");
    let (hash, live) = (table.hash([1, 6 << 32], 1), Live::new(&HANDLES));
    assert_eq!(table.insert(hash, 59, live, OTHER, FlowState::HalfOpen), Verdict::New(OTHER));
    assert_eq!((table.used(), table.flows(ONE), table.flows(OTHER)), (1, 0, 1));
    assert_eq!(control(&mut table, 1, 60, Control::End), Some(OTHER));
    assert_eq!(state(&table, 1, 67), Some(FlowState::Closing));
    assert_eq!(state(&table, 1, 68), None, "its own timeout");
}

#[test]
fn a_packet_the_other_way_does_not_establish() {
    let mut table = table(64);
    packet(&mut table, 1, 50, FlowState::HalfOpen, ONE);
    let hash = table.hash([1, 6 << 32], 1);
    table.touch(hash, 53);
    assert_eq!(state(&table, 1, 53), Some(FlowState::HalfOpen));
    assert_eq!(state(&table, 1, 56), None, "an answer does not keep it");
    for _ in 0..2 {
        packet(&mut table, 1, 60, FlowState::HalfOpen, ONE);
    }
    table.touch(hash, 300);
    assert_eq!(state(&table, 1, 600), Some(FlowState::Established), "answers keep what is established");
}

/// Two flows whose identities agree in 32 bits are two flows, and it is counted.
#[test]
fn halves_of_identities_that_agree_are_counted() {
    let mut table = table(64);
    let live = Live::new(&HANDLES);
    for (identity, server) in [(0x1_0000_0007, ONE), (0x2_0000_0007, OTHER)] {
        let hash = FlowHash { identity, bucket: 3 };
        assert_eq!(table.insert(hash, 50, live, server, FlowState::Plain), Verdict::New(server));
        assert_eq!(table.find(hash, 50, live), Some(server));
    }
    assert_eq!(table.pressed(), Pressed { collided: 1, ..Pressed::default() });
}
