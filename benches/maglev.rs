//! How long a table of the load balancer takes to build: 1,000 equal servers, M = 65537 and 655373, one thread.
//!
//! `cargo bench --bench maglev [-- [--json] [--rounds N]]` prints the shortest and the median of some rounds. The paper
//! (section 5.3) has 1.8 and 22.9 ms.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lb::maglev::{MaglevTable, Member};

const SERVERS: u32 = 1000;
/// Slots, and the paper's time in milliseconds.
const TABLES: [(u32, f64); 3] = [(65_536, 1.8), (65_537, 1.8), (655_373, 22.9)];

fn main() {
    let (mut json, mut rounds) = (false, 50);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            // Cargo adds this.
            "--bench" => (),
            "--rounds" => match words.next().map(|word| word.parse()) {
                Some(Ok(count @ 1..=100_000)) => rounds = count,
                _ => fail("expected a number of rounds from 1 to 100000 after --rounds"),
            },
            _ => fail("expected --json or --rounds N"),
        }
    }
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
}

fn time(len: u32, members: &[Member]) -> Duration {
    let begun = Instant::now();
    let table = MaglevTable::build(len, std::hint::black_box(members)).unwrap_or_else(|error| panic!("{error:?}"));
    let time = begun.elapsed();
    std::hint::black_box(table);
    time
}

fn fail(words: &str) -> ! {
    eprintln!("{words}");
    std::process::exit(2);
}
