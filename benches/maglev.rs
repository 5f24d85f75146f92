//! How long a table of the load balancer takes to build, and how much moves when servers leave: 1,000 equal servers, one
//! thread.
//!
//! `cargo bench --bench maglev [-- [--json] [--rounds N] [--times N]]` prints the shortest and the median of some rounds, for
//! M = 65537 and 655373; the paper (section 5.3) has 1.8 and 22.9 ms. Then, as the paper's figure 12, for tables of several
//! sizes the part of all slots that moved between servers that stayed when 1, 10 or 50 servers, picked at random, left:
//! the average of so many times.

#[path = "common/words.rs"]
mod words;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lb::maglev::{MaglevTable, Member};

const SERVERS: u32 = 1000;
/// Slots, and the paper's time in milliseconds.
const TABLES: [(u32, f64); 3] = [(65_536, 1.8), (65_537, 1.8), (655_373, 22.9)];
/// Primes, as the paper has them.
const SIZES: [u32; 6] = [10_007, 32_771, 65_537, 131_101, 262_147, 655_373];

fn main() {
    let (json, [rounds, times]) = words::read([("rounds", 50), ("times", 10)]);
    let members: Vec<Member> = (0..SERVERS)
        .map(|n| Member { slot: n + 1, address: Ipv4Addr::from_bits(0x0a00_0001 + n).into(), port: 0, weight: 100 })
        .collect();
    for (len, paper) in TABLES {
        let mut times: Vec<Duration> = (0..rounds).map(|_| time(len, &members)).collect();
        times.sort();
        let [shortest, median] = [0, times.len() / 2].map(|at| times[at].as_secs_f64() * 1000.0);
        if json {
            let line = serde_json::json!({
                "bench": "maglev", "slots": len, "servers": SERVERS, "shortest_ms": shortest, "median_ms": median
            });
            println!("{line}");
        } else {
            println!("{len:>7} slots  shortest {shortest:.2} ms  median {median:.2} ms  (paper: {paper} ms)");
        }
    }
    for len in SIZES {
        for leave in [1, 10, 50] {
            let [had_to, others] = moved(len, &members, leave, times);
            if json {
                let line = serde_json::json!({
                    "bench": "maglev", "slots": len, "servers": SERVERS, "leave": leave,
                    "had_to_move_percent": had_to, "others_moved_percent": others,
                });
                println!("{line}");
            } else {
                println!(
                    "{len:>7} slots  {leave:>2} servers leave  {had_to:.2} % had to move  {others:.3} % moved besides"
                );
            }
        }
    }
}

fn build(len: u32, members: &[Member]) -> MaglevTable {
    MaglevTable::build(len, std::hint::black_box(members)).unwrap_or_else(|error| panic!("{error:?}"))
}

fn time(len: u32, members: &[Member]) -> Duration {
    let begun = Instant::now();
    let table = build(len, members);
    let time = begun.elapsed();
    std::hint::black_box(table);
    time
}

/// The percentage of all slots that had to move when so many servers left, and of those that moved besides.
fn moved(len: u32, members: &[Member], leave: u32, times: u64) -> [f64; 2] {
    let before = build(len, members);
    let (mut random, mut all, mut had_to) = (Random(0x2545_f491_4f6c_dd1d), 0, 0);
    for _ in 0..times {
        let mut left = members.to_vec();
        for _ in 0..leave {
            let gone = left.swap_remove(random.below(left.len()));
            had_to += before.count(gone.slot);
        }
        all += build(len, &left).moved(&before);
    }
    assert!(all >= had_to, "a server that left still has slots");
    [had_to, all - had_to].map(|slots| 100.0 * slots as f64 / f64::from(len) / times as f64)
}

/// Numbers that look random, the same in every run (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * end as u64) >> 32) as usize
    }
}
