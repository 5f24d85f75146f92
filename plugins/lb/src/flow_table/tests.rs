use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const KEYS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0x8cb9_2ba7_2f3d_8dd7, 0xaf25_1af3_b0f0_25b5];

fn table(buckets: u32, timeout: u32) -> FlowTable {
    FlowTable::with_buckets(buckets, timeout, HashKeys::from_words(KEYS)).unwrap()
}

fn server(slot: u32) -> ServerHandle {
    ServerHandle::first(slot)
}

fn servers(count: u32) -> Vec<ServerHandle> {
    (0..=count).map(server).collect()
}

fn hash(identity: u64, bucket: u32) -> FlowHash {
    FlowHash { identity, bucket }
}

#[test]
fn a_known_flow_keeps_its_server() {
    let (mut table, handles) = (table(32, 40), servers(2));
    let live = Live::new(&handles);
    let flow = table.hash([1, 2], 1);
    assert_eq!(table.lookup_or_insert(flow, 0, live, || None), Verdict::NoServer);
    assert_eq!(table.lookup_or_insert(flow, 0, live, || Some(server(1))), Verdict::New(server(1)));
    let never = || -> Option<ServerHandle> { panic!("a known flow needs no choice") };
    assert_eq!(table.lookup_or_insert(flow, 40, live, never), Verdict::Known(server(1)));
    assert_eq!(table.lookup_or_insert(flow, 80, live, never), Verdict::Known(server(1)));
    assert_eq!(table.lookup_or_insert(flow, 121, live, || Some(server(2))), Verdict::New(server(2)));
    assert_eq!((table.flows(server(1)), table.flows(server(2)), table.used()), (0, 1, 1));
}

#[test]
fn two_flows_whose_32_bits_agree_do_not_share_an_entry() {
    let (mut table, handles) = (table(32, 40), servers(3));
    let live = Live::new(&handles);
    let flows = [hash(0x1111_1111_2222_2222, 5), hash(0x3333_3333_2222_2222, 5), hash(0x1111_1111_4444_4444, 5)];
    for (flow, n) in flows.into_iter().zip(1..) {
        assert_eq!(table.lookup_or_insert(flow, 0, live, || Some(server(n))), Verdict::New(server(n)));
    }
    for (flow, n) in flows.into_iter().zip(1..) {
        assert_eq!(table.lookup_or_insert(flow, 1, live, || None), Verdict::Known(server(n)));
    }
}

#[test]
fn a_full_bucket_balances_without_an_entry() {
    let (mut table, handles) = (table(1, 40), servers(1));
    let live = Live::new(&handles);
    for flow in 1..=4 {
        assert_eq!(table.lookup_or_insert(hash(flow, 0), 0, live, || Some(server(1))), Verdict::New(server(1)));
    }
    assert_eq!(table.lookup_or_insert(hash(5, 0), 40, live, || Some(server(1))), Verdict::Untracked(server(1)));
    assert_eq!((table.used(), table.capacity()), (4, 4));
    assert_eq!(table.lookup_or_insert(hash(5, 0), 41, live, || Some(server(1))), Verdict::New(server(1)));
}

#[test]
fn a_full_bucket_has_the_one_beside() {
    let (mut table, handles) = (table(4, 40), servers(2));
    let live = Live::new(&handles);
    let mut packet = |flow, bucket, now, slot| {
        let verdict = table.lookup_or_insert(hash(flow, bucket), now, live, || Some(server(slot)));
        (verdict, table.locate(hash(flow, bucket), now, live).map(|entry| entry.place.bucket))
    };
    for flow in 1..=8 {
        let place = if flow <= 4 { 2 } else { 3 };
        assert_eq!(packet(flow, 2, flow as u32, 1), (Verdict::New(server(1)), Some(place)));
    }
    assert_eq!(packet(9, 2, 9, 1), (Verdict::Untracked(server(1)), None), "both are full");
    assert_eq!(packet(9, 3, 9, 1), (Verdict::Untracked(server(1)), None), "of those who live there, too");
    assert_eq!(packet(9, 1, 9, 1), (Verdict::New(server(1)), Some(1)), "others are not");
    // One that is away stays where it is, whatever becomes free, and one that it keeps out comes to its place.
    assert_eq!(packet(5, 2, 43, 2), (Verdict::Known(server(1)), Some(3)));
    assert_eq!(packet(10, 3, 43, 2), (Verdict::New(server(2)), Some(2)), "1 and 2 have expired");
    assert_eq!(packet(11, 2, 43, 2), (Verdict::New(server(2)), Some(2)));
    assert_eq!(packet(12, 2, 43, 2), (Verdict::Untracked(server(2)), None));
    assert_eq!(packet(10, 3, 44, 1), (Verdict::Known(server(2)), Some(2)));
    assert_eq!(packet(5, 2, 84, 2), (Verdict::New(server(2)), Some(3)), "expired, and begun again in its own entry");
}

/// By the Poisson distribution one flow of 230 finds its bucket full, and one of 6,800 both; with two flows for each bucket one of 27 and
/// one of 120.
#[test]
fn few_flows_find_both_buckets_full() {
    let handles = servers(1);
    let live = Live::new(&handles);
    for (per_bucket, most) in [(1, 20), (2, 1300)] {
        let (mut table, flows) = (table(1 << 16, 40), per_bucket << 16);
        let (mut away, mut untracked) = (0, 0);
        for flow in 0..flows {
            let hash = table.hash([flow, 6 << 32 | 80], 1);
            match table.lookup_or_insert(hash, 0, live, || Some(server(1))) {
                Verdict::New(_) => away += usize::from(table.finder().at_hand(hash, 0).is_none()),
                other => untracked += usize::from(other == Verdict::Untracked(server(1))),
            }
        }
        assert!(untracked < most && away > 10 * untracked / 3, "{untracked} and {away} of {flows}");
        assert_eq!(table.used() + untracked, flows as usize);
        let known = (0..flows).filter(|&flow| table.peek(table.hash([flow, 6 << 32 | 80], 1), 0, live).is_some());
        assert_eq!(known.count(), table.used());
        // They find their way into a larger table, where hardly any is away.
        table.resize(FlowMemory::new(1 << 20).unwrap()).ok().unwrap();
        while table.is_moving() {
            table.sweep(0, live, 64);
        }
        let hashes = (0..flows).map(|flow| table.hash([flow, 6 << 32 | 80], 1)).collect::<Vec<_>>();
        let at_hand = hashes.into_iter().filter(|hash| table.finder().at_hand(*hash, 0).is_some()).count();
        assert_eq!(table.used() + untracked, flows as usize);
        assert!(at_hand <= table.used() && at_hand + 5 > table.used(), "{at_hand} of {}", table.used());
    }
}

#[test]
fn a_slot_that_is_used_again_does_not_inherit_flows() {
    let (mut table, mut handles) = (table(32, 40), servers(2));
    let old = server(1);
    assert_eq!(table.lookup_or_insert(hash(7, 3), 0, Live::new(&handles), || Some(old)), Verdict::New(old));
    let new = old.next();
    handles[1] = new;
    let live = Live::new(&handles);
    assert_eq!(table.lookup_or_insert(hash(8, 3), 0, live, || Some(new)), Verdict::New(new));
    assert_eq!((table.flows(old), table.flows(new)), (0, 1));
    assert_eq!(table.lookup_or_insert(hash(7, 3), 0, live, || Some(server(2))), Verdict::New(server(2)));
    table.sweep_all(0, live);
    assert_eq!((table.flows(new), table.flows(server(2)), table.used()), (1, 1, 2));
}

#[test]
fn sweeping_takes_back_a_little_at_a_time() {
    let (mut table, handles) = (table(8, 10), servers(1));
    let live = Live::new(&handles);
    for bucket in 0..8 {
        table.lookup_or_insert(hash(1 + u64::from(bucket), bucket), bucket, live, || Some(server(1)));
    }
    assert!(!table.sweep(13, live, 4));
    assert_eq!(table.used(), 5, "0, 1 and 2 have expired");
    assert!(!table.sweep(100, live, 2));
    assert_eq!(table.used(), 3);
    assert!(table.sweep(100, live, 100));
    assert_eq!(table.used(), 1, "3 was passed before it expired");
    assert_eq!(table.start_over(FlowMemory::new(8).unwrap()).len(), 1);
    assert_eq!((table.used(), table.flows(server(1))), (0, 0));
}

#[test]
fn the_clock_may_wrap() {
    let (mut table, handles) = (table(2, 40), servers(2));
    let live = Live::new(&handles);
    for start in [(1 << 20) - 20, u32::MAX - 20] {
        table.start_over(FlowMemory::new(2).unwrap());
        table.lookup_or_insert(hash(1, 0), start, live, || Some(server(1)));
        assert_eq!(
            table.lookup_or_insert(hash(1, 0), start.wrapping_add(40), live, || None),
            Verdict::Known(server(1))
        );
        assert_eq!(table.lookup_or_insert(hash(1, 0), start.wrapping_add(81), live, || None), Verdict::NoServer);
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_in_words() {
    let error = |buckets, timeout| check(buckets, timeout).unwrap_err().to_string();
    assert_eq!(error(33, 40), "buckets must be a power of two from 1 to 16777216, not 33");
    assert_eq!(error(0, 40), "buckets must be a power of two from 1 to 16777216, not 0");
    assert_eq!(error(1 << 25, 40), "buckets must be a power of two from 1 to 16777216, not 33554432");
    assert_eq!(error(32, 0), "timeout must be 1 to 524288 seconds, not 0");
    assert!(check(MAX_BUCKETS, MAX_TIMEOUT).is_ok());
    let mut table = table(32, 40);
    assert!(table.set_timeouts(Timeouts::all(MAX_TIMEOUT + 1)).is_err());
    assert_eq!(table.timeouts(), Timeouts::all(40));
}

#[test]
fn hashes_of_like_flows_are_unlike() {
    // Clients in a row, and ports in a row for each; of IPv6 also by all of their addresses' halves.
    let four = |n: u64| [(0x0a00_0000 + (n >> 8)) << 32 | 0x5a00_0001, 6 << 32 | (n & 255) << 16 | 80];
    let ports = |n: u64| 6 << 32 | (n & 255) << 16 | 80;
    let hosts = |n: u64| [0x2001_0db8 << 32, n >> 8, 0x2003 << 48, 1, ports(n)];
    let networks = |n: u64| [0x2001_0db8 << 32 | n >> 8, 1, 0x2003 << 48, 1, ports(n)];
    let vips = |n: u64| [0x2001_0db8 << 32, 1, 0x2003 << 48, n >> 8, ports(n)];
    let both = |n: u64| [0x2001_0db8 << 32, n & 0x1ff, 0x2003 << 48, n >> 9, ports(7)];
    for keys in [HashKeys::from_words(KEYS), HashKeys::random(), HashKeys::random()] {
        are_unlike(&keys, four);
        are_unlike(&keys, hosts);
        are_unlike(&keys, networks);
        are_unlike(&keys, vips);
        are_unlike(&keys, both);
    }
}

fn hash_of<W: FlowWords>(keys: &HashKeys, mask: KeyMask, vip: u32, flow: W) -> FlowHash {
    let bytes = flow.bytes();
    keys.hash(&keys.towards(keys.of(mask, vip), bytes), bytes)
}

fn are_unlike<W: FlowWords>(keys: &HashKeys, flow: impl Fn(u64) -> W) {
    let mut identities = HashSet::new();
    let mut hits = vec![0u32; 1 << 12];
    let mut halves = [HashSet::new(), HashSet::new()];
    for n in 0..1u64 << 17 {
        let hash = hash_of(keys, KeyMask::Flow, 1, flow(n));
        assert!(identities.insert(hash.identity));
        hits[hash.bucket as usize & 0xfff] += 1;
        halves[0].insert(hash.identity as u32);
        halves[1].insert((hash.identity >> 32) as u32);
    }
    let chi: f64 = hits.iter().map(|&n| (f64::from(n) - 32.0).powi(2) / 32.0).sum();
    assert!((chi - 4095.0).abs() < 8.0 * 90.5, "chi-square {chi}");
    // Two are expected to agree in 32 bits.
    assert!(halves.iter().all(|half| half.len() > (1 << 17) - 30), "{:?}", halves.map(|half| half.len()));
}

#[test]
fn of_sticky_vips_the_source_alone_counts() {
    let keys = HashKeys::from_words(KEYS);
    fn hash<W: FlowWords>(keys: &HashKeys, flow: W) -> FlowHash {
        hash_of(keys, KeyMask::Source, 1, flow)
    }
    assert_eq!(hash(&keys, [7 << 32 | 1, 6 << 32 | 5]), hash(&keys, [7 << 32 | 2, 17 << 32 | 9]));
    assert_ne!(hash(&keys, [7 << 32 | 1, 6 << 32 | 5]), hash(&keys, [8 << 32 | 1, 6 << 32 | 5]));
    assert_eq!(hash(&keys, [7, 8, 1, 2, 6 << 32 | 5]), hash(&keys, [7, 8, 3, 4, 17 << 32 | 9]));
    assert_ne!(hash(&keys, [7, 8, 1, 2, 6 << 32 | 5]), hash(&keys, [7, 9, 1, 2, 6 << 32 | 5]));
}

#[test]
fn vips_do_not_share_flows() {
    let keys = HashKeys::from_words(KEYS);
    let hashes: HashSet<u64> = (0..1000).map(|vip| hash_of(&keys, KeyMask::Flow, vip, [1, 6 << 32]).identity).collect();
    assert_eq!(hashes.len(), 1000);
}

/// One flow of the model: a table without hashing, packing or wrapping.
struct Flow {
    identity: u64,
    bucket: u32,
    server: ServerHandle,
    seen: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Packet { identity: u64, bucket: u32, slot: u32 },
    Wait(u32),
    Forget(u32),
    Sweep(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (1u64..12, 0u32..4, 0u32..5).prop_map(|(identity, bucket, slot)| Step::Packet { identity, bucket, slot }),
        3 => (1u32..30).prop_map(Step::Wait),
        1 => (1u32..5).prop_map(Step::Forget),
        2 => (1usize..6).prop_map(Step::Sweep),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..300)) {
        let (mut table, mut handles, mut now) = (table(4, 40), servers(4), 1000u32);
        // Of each pair of buckets: where in it a flow stands is nothing to anybody.
        let mut model: [Vec<Flow>; 2] = Default::default();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Forget(slot) => handles[slot as usize] = handles[slot as usize].next(),
                Step::Sweep(buckets) => {
                    table.sweep(now, Live::new(&handles), buckets);
                }
                Step::Packet { identity, bucket, slot } => {
                    let choice = (slot > 0).then(|| handles[slot as usize]);
                    let got = table.lookup_or_insert(hash(identity << 2 | u64::from(bucket), bucket), now, Live::new(&handles), || choice);
                    let flows = &mut model[bucket as usize / 2];
                    flows.retain(|flow| handles[flow.server.slot()] == flow.server && now - flow.seen <= 40);
                    let full = flows.len() == 2 * WAYS;
                    let known = flows.iter_mut().find(|flow| (flow.identity, flow.bucket) == (identity, bucket));
                    let expected = match (known, choice) {
                        (Some(flow), _) => {
                            flow.seen = now;
                            Verdict::Known(flow.server)
                        }
                        (None, None) => Verdict::NoServer,
                        (None, Some(server)) if full => Verdict::Untracked(server),
                        (None, Some(server)) => {
                            flows.push(Flow { identity, bucket, server, seen: now });
                            Verdict::New(server)
                        }
                    };
                    prop_assert_eq!(got, expected);
                }
            }
        }
        table.sweep_all(now, Live::new(&handles));
        let mut used = 0;
        for flows in &mut model {
            flows.retain(|flow| handles[flow.server.slot()] == flow.server && now - flow.seen <= 40);
            used += flows.len();
        }
        prop_assert_eq!(table.used(), used);
        for &server in &handles[1..] {
            let flows = model.iter().flatten().filter(|flow| flow.server == server).count();
            prop_assert_eq!(table.flows(server) as usize, flows);
        }
    }
}

/// What is noted of a flow's packets goes with its server and its place, and with nothing else.
#[test]
fn flows_are_straight_until_they_are_others() {
    let mut table = FlowTable::with_buckets(1024, 40, HashKeys::from_words([1, 2, 3, 4])).unwrap();
    let (one, other) = (ServerHandle::first(1), ServerHandle::first(2));
    let handles = [ServerHandle::NONE, one, other];
    let live = Live::new(&handles);
    let hash = table.hash([7, 6 << 32 | 80], 1);
    let straight = |table: &mut FlowTable, now| {
        let known = table.known(hash, now);
        assert_eq!(table.finder().at_hand(hash, now), known, "noted a moment ago");
        known.map(|known| known.straight)
    };
    table.insert(hash, 0, live, one, FlowState::HalfOpen);
    assert_eq!(straight(&mut table, 0), Some(false));
    table.set_straight(hash, other, true);
    assert_eq!(straight(&mut table, 0), Some(false), "another server's");
    table.set_straight(hash, one, true);
    for now in 1..4 {
        assert_eq!(straight(&mut table, now), Some(true));
        table.touch(hash, now);
        assert!(table.control(hash, now, live, Control::Syn).is_some());
    }
    assert_eq!(table.locate(hash, 4, live).unwrap().state, FlowState::Established);
    assert_eq!(table.control(hash, 4, live, Control::End), Some(one));
    assert_eq!((straight(&mut table, 5), table.locate(hash, 5, live).unwrap().state), (Some(true), FlowState::Closing));
    table.insert(hash, 6, live, other, FlowState::HalfOpen);
    assert_eq!(straight(&mut table, 6), Some(false));
    table.set_straight(hash, other, true);
    table.set_straight(hash, other, false);
    assert_eq!(straight(&mut table, 6), Some(false));
    table.set_straight(hash, other, true);
    assert!(table.resize(FlowMemory::new(2048).unwrap()).is_ok());
    assert_eq!(table.find(hash, 7, live), Some(other));
    assert_eq!(straight(&mut table, 7), Some(false), "it came over without");
}
