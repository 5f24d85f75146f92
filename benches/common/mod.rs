//! What the benches of whole graphs share: a console that is configured by lines, and the cycles of its nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use maglane::{Config, Console};

mod typed;

pub use typed::{exec, sent};

/// A router that has understood these lines.
pub fn console(workers: usize, lines: &[String]) -> Console {
    let config = Config { inline: workers == 1, cores: (0..workers).collect(), workers, ..Config::default() };
    let mut console = maglane::app().build(&config).unwrap_or_else(|error| panic!("{error}"));
    for line in lines {
        exec(&mut console, line);
        // As a worker on its own thread would: old tables live until it has seen the new ones.
        console.router().step();
    }
    console
}

/// Sends the streams once, to their ends.
pub fn round(console: &mut Console) {
    exec(console, "packet-generator enable");
    let mut seen = true;
    while seen || exec(console, "show packet-generator").contains(" Yes ") {
        seen = (0..1000).fold(false, |seen, _| console.router().pass(0) | seen);
        if !seen {
            // Workers on threads of their own do it.
            std::thread::sleep(Duration::from_millis(5));
        }
        console.router().poll();
    }
}

/// Cycles of each node since the runtime counters were cleared, for each of `packets`: a node that sees only some of
/// them counts for what it costs. The generator is not among them.
pub fn cycles(console: &mut Console, packets: u64) -> BTreeMap<String, f64> {
    let mut nodes = BTreeMap::new();
    for (_, info) in console.router().nodes() {
        let vectors: u64 = info.stats.iter().map(|stats| stats.vectors.get()).sum();
        let clocks: u64 = info.stats.iter().map(|stats| stats.clocks.get()).sum();
        if vectors > 0 && &*info.name != "pg-input" {
            nodes.insert(info.name.to_string(), clocks as f64 / packets as f64);
        }
    }
    nodes
}
