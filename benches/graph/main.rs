//! The main path: a packet generator through the whole graph to an interface that discards.
//!
//! `cargo bench --bench graph [-- OPTIONS] [FLOWS …]` prints cycles of the time-stamp counter per packet, for each node and for
//! the path: dispatch, transmission and freeing are in it, the generator is not. Compare it with the stripped loop of the
//! yardstick run in the same minute, never with a figure from another machine or day. What there is besides:
//!
//! | option | |
//! |---|---|
//! | `--encap NAME`, `--encap all` | another way to the servers than GRE over IPv4 |
//! | `--ip6` | VIPs of IPv6, packets of 78 bytes |
//! | `--vips N`, `--servers N`, `--routes N` | a larger configuration: N servers for each VIP |
//! | `--vector N` | N packets in a vector (256) |
//! | `--workers N` | N packet threads on a processor each, with a stream each: the figures are of all their packets |
//! | `--packets N`, `--json` | packets per round and worker; a line of JSON for each measurement |

mod options;
mod setup;

use std::collections::BTreeMap;

use maglane::{Config, Console};
use options::Options;

fn main() {
    let options = Options::parse(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    for encap in &options.encaps {
        for &flows in &options.flows {
            print(&options, encap, flows, &measure(&options, encap, flows));
        }
    }
}

fn print(options: &Options, encap: &str, flows: u32, nodes: &BTreeMap<String, f64>) {
    let path: f64 = nodes.values().sum();
    let Options { ip6, vips, servers, routes, vector, workers, .. } = options;
    if options.json {
        let line = serde_json::json!({
            "bench": "graph", "encap": encap, "ip6": ip6, "flows": flows, "vips": vips, "servers": servers,
            "routes": routes, "vector": vector, "workers": workers, "nodes": nodes, "path": path,
        });
        println!("{line}");
        return;
    }
    let each: Vec<_> = nodes.iter().map(|(name, cycles)| format!("{name} {cycles:.1}")).collect();
    let what = if options.encaps.len() > 1 { format!("{encap:<9}") } else { String::new() };
    println!("{what}flows {flows:>8}  {}  path {path:.1} cycles/packet", each.join("  "));
}

/// Cycles per packet of every node on the path.
fn measure(options: &Options, encap: &str, flows: u32) -> BTreeMap<String, f64> {
    let inline = options.workers == 1;
    let cores = (0..options.workers as usize).collect();
    let config = Config { inline, cores, workers: options.workers as usize, ..Config::default() };
    let mut console = maglane::app().build(&config).unwrap_or_else(|error| panic!("{error}"));
    let mut lines = setup::configuration(options, encap, flows);
    lines.extend((0..options.workers).map(|worker| setup::stream(options, flows, worker)));
    for line in &lines {
        console.exec(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    round(&mut console, inline);
    console.router().clear_runtime();
    round(&mut console, inline);
    let router = console.router();
    let packets = options.packets * u64::from(options.workers);
    let mut nodes = BTreeMap::new();
    for (_, info) in router.nodes() {
        let vectors: u64 = info.stats.iter().map(|stats| stats.vectors.get()).sum();
        let clocks: u64 = info.stats.iter().map(|stats| stats.clocks.get()).sum();
        if vectors > 0 && &*info.name != "pg-input" {
            // Per packet of the streams, so that a node that sees only some of them counts for what it costs.
            nodes.insert(info.name.to_string(), clocks as f64 / packets as f64);
        }
    }
    let sent = router.record(vnet::IfIndex(2)).map(|record| record.counters()).unwrap_or_default();
    let sent = sent.iter().find(|(name, _)| *name == "tx packets").map(|(_, count)| *count);
    assert_eq!(sent, Some(2 * packets), "packets were lost");
    nodes
}

/// Sends the streams once.
fn round(console: &mut Console, inline: bool) {
    if let Err(error) = console.exec("packet-generator enable") {
        panic!("{error}");
    }
    while console.exec("show packet-generator").is_ok_and(|text| text.contains(" Yes ")) {
        if inline {
            for _ in 0..1000 {
                console.router().pass(0);
            }
        } else {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        console.router().poll();
    }
}
