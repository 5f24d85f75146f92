//! The load balancer's flow table alone: finding flows that are known, remembering new ones, taking back what expired.
//!
//! `cargo bench --bench flow_table [-- [--json] [--most N] [--rounds N]]`: cycles of the time-stamp counter per flow, the
//! median of some rounds, for up to N flows (4,000,000), in vectors of 256 whose buckets are prefetched as the nodes do
//! it. There are as many buckets of four entries as flows, as in the graph bench. Memory is what the process has more
//! with a table than before, by entries: what is kept beside the buckets and what mapping rounds up is in it. At the end,
//! how many flows find no entry where the same memory has to do for more of them.

#[path = "common/memory.rs"]
mod memory;
#[path = "common/words.rs"]
mod words;

use lb::flow_table::{FlowHash, FlowTable, HashKeys, Verdict};
use lb::handle::{Live, ServerHandle};
use serde_json::{Value, json};

const VECTOR: usize = 256;
const SERVERS: u32 = 7;
const TIMEOUT: u32 = 40;
/// When all flows come, in seconds.
const NOW: u32 = 1000;

fn main() {
    let (json, [most, rounds]) = words::read([("most", 4_000_000), ("rounds", 3)]);
    let servers: Vec<ServerHandle> = (0..=SERVERS).map(ServerHandle::first).collect();
    let live = Live::new(&servers);
    for flows in
        [1_000, 10_000, 100_000, 1_000_000, 4_000_000, 16_000_000].into_iter().filter(|flows| u64::from(*flows) <= most)
    {
        let mut measured: Vec<Measured> = (0..rounds).map(|_| measure(flows, &servers, live)).collect();
        print(json, &Measured::median(&mut measured).value(flows));
    }
    for per_bucket in 1..=4 {
        print(json, &crowd(65_536, per_bucket, &servers, live));
    }
}

fn print(json: bool, value: &Value) {
    if json {
        return println!("{value}");
    }
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "bench");
    let texts: Vec<String> = fields
        .map(|(name, value)| match value.as_f64() {
            Some(number) if number.fract() != 0.0 => format!("{name} {number:.2}"),
            _ => format!("{name} {value}"),
        })
        .collect();
    println!("{}", texts.join("  "));
}

/// Cycles per flow, unless said otherwise.
#[derive(Clone, Copy, Default)]
struct Measured {
    lookup: f64,
    insert: f64,
    /// The walk over a table whose flows all expired.
    expire: f64,
    /// The same of a table that has none, per bucket.
    sweep: f64,
    bytes_per_entry: f64,
    untracked: f64,
}

impl Measured {
    /// Of each figure the median.
    fn median(rounds: &mut [Measured]) -> Measured {
        let mut of = |figure: fn(&Measured) -> f64| {
            rounds.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
            figure(&rounds[rounds.len() / 2])
        };
        Measured {
            lookup: of(|m| m.lookup),
            insert: of(|m| m.insert),
            expire: of(|m| m.expire),
            sweep: of(|m| m.sweep),
            bytes_per_entry: of(|m| m.bytes_per_entry),
            untracked: of(|m| m.untracked),
        }
    }

    fn value(&self, flows: u32) -> Value {
        let Measured { lookup, insert, expire, sweep, bytes_per_entry, untracked } = *self;
        json!({
            "bench": "flow_table", "flows": flows, "lookup": lookup, "insert": insert, "expire": expire,
            "sweep_per_bucket": sweep, "bytes_per_entry": bytes_per_entry, "untracked_percent": untracked,
        })
    }
}

fn measure(flows: u32, servers: &[ServerHandle], live: Live<'_>) -> Measured {
    let buckets = flows.next_power_of_two().max(1024);
    let before = memory::in_use();
    let mut table =
        FlowTable::with_buckets(buckets, TIMEOUT, HashKeys::random()).unwrap_or_else(|error| panic!("{error}"));
    let bytes = memory::in_use() - before;
    let clock = quanta::Clock::new();

    let begun = clock.raw();
    let tracked = insert_all(&mut table, flows, servers, live);
    let insert = (clock.raw() - begun) as f64 / f64::from(flows);
    assert_eq!(table.used(), tracked);

    let times = 2_000_000u32.div_ceil(flows);
    let begun = clock.raw();
    let found: usize = (0..times).map(|_| find_all(&mut table, flows)).sum();
    let lookup = (clock.raw() - begun) as f64 / f64::from(flows) / f64::from(times);
    assert_eq!(found, tracked * times as usize, "flows that were remembered were not found");

    let begun = clock.raw();
    table.sweep_all(NOW + TIMEOUT + 1, live);
    let expire = (clock.raw() - begun) as f64 / tracked as f64;
    assert_eq!(table.used(), 0, "flows that expired are still there");
    let begun = clock.raw();
    table.sweep_all(NOW + TIMEOUT + 1, live);
    let sweep = (clock.raw() - begun) as f64 / f64::from(buckets);

    let untracked = 100.0 * (1.0 - tracked as f64 / f64::from(flows));
    Measured { lookup, insert, expire, sweep, bytes_per_entry: bytes as f64 / table.capacity() as f64, untracked }
}

/// How many flows find no entry where a bucket has so many of them on average.
fn crowd(buckets: u32, per_bucket: u32, servers: &[ServerHandle], live: Live<'_>) -> Value {
    let mut table =
        FlowTable::with_buckets(buckets, TIMEOUT, HashKeys::random()).unwrap_or_else(|error| panic!("{error}"));
    let flows = buckets * per_bucket;
    let tracked = insert_all(&mut table, flows, servers, live);
    let untracked = 100.0 * (1.0 - tracked as f64 / f64::from(flows));
    json!({"bench": "flow_table", "entries_per_flow": 4.0 / f64::from(per_bucket), "untracked_percent": untracked})
}

/// Gives every flow a server; returns how many are remembered. All are new.
fn insert_all(table: &mut FlowTable, flows: u32, servers: &[ServerHandle], live: Live<'_>) -> usize {
    let mut tracked = 0;
    vectors(table, flows, |table, first, hashes| {
        let mut finder = table.finder();
        assert!(hashes.iter().all(|hash| finder.at_hand(*hash, NOW).is_none()), "some are known");
        for (number, hash) in (first..).zip(hashes) {
            match table.lookup_or_insert(*hash, NOW, live, || Some(servers[server_of(number)])) {
                Verdict::New(_) => tracked += 1,
                Verdict::Untracked(_) => (),
                other => panic!("flow {number}: {other:?}"),
            }
        }
    });
    tracked
}

/// How many flows have the server that they were given.
fn find_all(table: &mut FlowTable, flows: u32) -> usize {
    let mut found = 0;
    vectors(table, flows, |table, first, hashes| {
        for (number, hash) in (first..).zip(hashes) {
            let known = table.finder().at_hand(*hash, NOW).or_else(|| table.known(*hash, NOW));
            found += usize::from(known.is_some_and(|known| known.server.slot() == server_of(number)));
        }
    });
    found
}

fn server_of(flow: u32) -> usize {
    1 + (flow % SERVERS) as usize
}

/// Hands over all flows, a vector at a time: the first one's number, and the hashes of all, after their buckets were
/// prefetched.
fn vectors(table: &mut FlowTable, flows: u32, mut work: impl FnMut(&mut FlowTable, u32, &[FlowHash])) {
    let mut hashes = [FlowHash { identity: 0, bucket: 0 }; VECTOR];
    for first in (0..flows).step_by(VECTOR) {
        let hashes = &mut hashes[..VECTOR.min((flows - first) as usize)];
        for (number, hash) in (first..).zip(hashes.iter_mut()) {
            *hash = table.hash(flow(number), 0);
            vnet::mem::prefetch(table.place(*hash));
        }
        work(table, first, hashes);
    }
}

/// The words of a flow's key: UDP from one of many clients to one address, 1000 to 80.
fn flow(number: u32) -> [u64; 2] {
    let (source, destination) = (0x1400_0000 + number, 0x5a00_0001u32);
    [u64::from(source) << 32 | u64::from(destination), 17 << 32 | 1000 << 16 | 80]
}
