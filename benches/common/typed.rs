//! A console that is told what to do, and what left its router.

use maglane::Console;

/// Types a line that must succeed.
pub fn exec(console: &mut Console, line: &str) -> String {
    console.exec(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Packets that left by an interface, counted in the order in which they were made, from 1.
pub fn sent(console: &mut Console, interface: u32) -> u64 {
    let counters =
        console.router().record(vnet::IfIndex(interface)).map(|record| record.counters()).unwrap_or_default();
    counters.iter().find(|(name, _)| *name == "tx packets").map_or(0, |(_, count)| *count)
}
