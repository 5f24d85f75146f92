//! The main path: a packet generator through the whole graph to an interface that discards.
//!
//! `cargo bench --bench graph [-- [--json] [--packets N] [FLOWS …]]` prints cycles of the time-stamp counter per packet, for each node and for
//! the path: dispatch, transmission and freeing are in it, the generator is not. Compare it with the stripped loop of the
//! yardstick run in the same minute, never with a figure from another machine or day.

use std::collections::BTreeMap;

use maglane::{Config, Console};

/// Packets per configuration and round, unless told otherwise; the first round fills the flow table and is not counted.
const PACKETS: u64 = 10_000_000;
/// The servers behind the VIP, as in the yardstick.
const SERVERS: u32 = 7;

fn main() {
    let mut json = false;
    let (mut flows, mut packets) = (Vec::new(), PACKETS);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            "--packets" => match words.next().map(|word| word.parse()) {
                Some(Ok(count @ 1..)) => packets = count,
                _ => {
                    eprintln!("expected a number of packets after --packets");
                    std::process::exit(2);
                }
            },
            // Cargo adds this.
            "--bench" => (),
            word => match word.parse::<u32>() {
                Ok(count @ 1..=16_000_000) => flows.push(count),
                _ => {
                    eprintln!("expected --json, --packets or a number of flows from 1 to 16000000, got `{word}'");
                    std::process::exit(2);
                }
            },
        }
    }
    if flows.is_empty() {
        flows = vec![1_000, 100_000, 1_000_000];
    }
    for flows in flows {
        let nodes = measure(flows, packets);
        let path: f64 = nodes.values().sum();
        if json {
            let line =
                serde_json::json!({"bench": "graph", "encap": "gre4", "flows": flows, "nodes": nodes, "path": path});
            println!("{line}");
        } else {
            let each: Vec<_> = nodes.iter().map(|(name, cycles)| format!("{name} {cycles:.1}")).collect();
            println!("flows {flows:>8}  {}  path {path:.1} cycles/packet", each.join("  "));
        }
    }
}

/// Cycles per packet of every node on the path.
fn measure(flows: u32, packets: u64) -> BTreeMap<String, f64> {
    let config = Config { inline: true, ..Config::default() };
    let mut console = maglane::app().build(&config).unwrap_or_else(|error| panic!("{error}"));
    let last = std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(20, 0, 0, 0)) + flows - 1);
    let mut lines = vec![
        "create packet-generator interface pg0 hw-addr 02:fe:00:00:00:01".to_string(),
        "create packet-generator interface pg1 hw-addr 02:fe:00:00:00:02".into(),
        "set interface ip address pg0 10.0.1.1/24".into(),
        "set interface ip address pg1 10.0.2.1/24".into(),
        "set interface state pg0 up".into(),
        "set interface state pg1 up".into(),
        // As many buckets as the yardstick has: one per flow.
        format!("lb conf ip4-src-address 10.0.2.1 timeout 3600 buckets {}", flows.next_power_of_two().max(1024)),
        "lb vip 90.0.0.1/32 encap gre4".into(),
    ];
    for server in 2..2 + SERVERS {
        lines.push(format!("set ip neighbor pg1 10.0.2.{server} 02:00:00:00:00:{server:02x}"));
        lines.push(format!("lb as 90.0.0.1/32 10.0.2.{server}"));
    }
    lines.push(format!(
        "packet-generator new {{ name main limit {packets} size 64-64 interface pg0 node ethernet-input \
         data {{ IP4: 02:00:00:00:01:02 -> 02:fe:00:00:00:01 UDP: 20.0.0.0 - {last} -> 90.0.0.1 UDP: 1000 -> 80 \
         length 30 incrementing 22 }} }}"
    ));
    for line in &lines {
        console.exec(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    round(&mut console);
    console.router().clear_runtime();
    round(&mut console);
    let router = console.router();
    let mut nodes = BTreeMap::new();
    for (_, info) in router.nodes() {
        let (vectors, clocks) = (info.stats[0].vectors.get(), info.stats[0].clocks.get());
        if vectors > 0 && &*info.name != "pg-input" {
            // Per packet of the stream, so that a node that sees only some of them counts for what it costs.
            nodes.insert(info.name.to_string(), clocks as f64 / packets as f64);
        }
    }
    let sent = router.record(vnet::IfIndex(2)).map(|record| record.counters()).unwrap_or_default();
    assert_eq!(sent.iter().find(|(name, _)| *name == "tx packets").map(|(_, count)| *count), Some(2 * packets));
    nodes
}

/// Sends the stream once.
fn round(console: &mut Console) {
    if let Err(error) = console.exec("packet-generator enable-stream main") {
        panic!("{error}");
    }
    while console.exec("show packet-generator").is_ok_and(|text| text.contains(" Yes ")) {
        for _ in 0..1000 {
            console.router().pass(0);
        }
        console.router().poll();
    }
}
