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

#[path = "../common/mod.rs"]
mod common;
mod options;
mod setup;

use std::collections::BTreeMap;

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
    let mut lines = setup::configuration(options, encap, flows);
    lines.extend((0..options.workers).map(|worker| setup::stream(options, flows, worker)));
    let mut console = common::console(options.workers as usize, &lines);
    common::round(&mut console);
    console.router().clear_runtime();
    common::round(&mut console);
    let packets = options.packets * u64::from(options.workers);
    assert_eq!(common::sent(&mut console, 2), 2 * packets, "packets were lost");
    common::cycles(&mut console, packets)
}
