//! The tables.

use serde_json::Value;

use crate::chart::short;
use crate::lines::{Lines, number, points};
use crate::page::table;
use crate::plots::{median, names, references};

/// A table: its name in the text, and how it is made; `None`: nothing was measured for it.
pub struct Table {
    pub name: &'static str,
    pub make: fn(&Lines) -> Option<String>,
}

/// All of them.
pub const ALL: [Table; 13] = [
    Table { name: "machine", make: machine },
    Table { name: "flows", make: flows },
    Table { name: "path", make: path },
    Table { name: "encaps", make: encaps },
    Table { name: "large", make: large },
    Table { name: "vector", make: vector },
    Table { name: "nodes", make: nodes },
    Table { name: "flow-table", make: flow_table },
    Table { name: "fib", make: fib },
    Table { name: "maglev", make: maglev },
    Table { name: "changes", make: changes },
    Table { name: "devices", make: devices },
    Table { name: "instructions", make: instructions },
];

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    })
}

fn ratio(one: Option<f64>, other: Option<f64>) -> String {
    one.zip(other).map_or_else(String::new, |(one, other)| format!("{:.2}", one / other))
}

fn texts(line: &Value, fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| cell(number(line, field))).collect()
}

fn machine(lines: &Lines) -> Option<String> {
    let line = *lines.of("machine", &[]).last()?;
    let rows = ["processor", "cores", "system", "compiler", "revision", "load"].map(|field| {
        let value = line[field].as_str().map_or_else(|| line[field].to_string(), String::from);
        vec![field.to_string(), value]
    });
    table(&["", ""], &rows)
}

fn flows(lines: &Lines) -> Option<String> {
    let own = points(&lines.graph(&[]), "flows", "path");
    let who = references(lines);
    let mut head = vec!["flows".to_string(), "Maglane".into()];
    for who in &who {
        head.extend([who.clone(), format!("Maglane / {who}")]);
    }
    let rows: Vec<Vec<String>> = own
        .iter()
        .map(|&(flows, path)| {
            let mut row = vec![short(flows), cell(Some(path))];
            for who in &who {
                let values = [("who", who.as_str().into()), ("flows", (flows as u64).into())];
                let found = lines.of("reference", &values);
                let other = points(&found, "flows", "path").first().map(|point| point.1);
                let span = found.first().map_or_else(String::new, |line| span(line));
                row.extend([span, ratio(Some(path), other)]);
            }
            row
        })
        .collect();
    table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

/// The path of a reference: from the lowest to the highest that was measured.
fn span(line: &Value) -> String {
    match [number(line, "low"), number(line, "high")] {
        [Some(low), Some(high)] if low < high => format!("{}–{}", short(low), short(high)),
        _ => cell(number(line, "path")),
    }
}

/// Columns of nodes, rows of lines with names.
fn by_node(head: &str, rows: &[(String, &Value)]) -> Option<String> {
    let mut columns: Vec<&str> = Vec::new();
    for (_, line) in rows {
        let nodes = line["nodes"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        columns.extend(nodes.filter(|name| !columns.contains(name)).collect::<Vec<_>>());
    }
    let texts: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, line)| {
            let nodes = columns.iter().map(|node| cell(line["nodes"][*node].as_f64()));
            [name.clone()].into_iter().chain(nodes).chain([cell(number(line, "path"))]).collect()
        })
        .collect();
    let head: Vec<&str> = [head].into_iter().chain(columns.iter().copied()).chain(["path"]).collect();
    table(&head, &texts)
}

fn path(lines: &Lines) -> Option<String> {
    let flows = points(&lines.graph(&[]), "flows", "path");
    let rows: Vec<(String, &Value)> = flows
        .iter()
        .filter_map(|(flows, _)| Some((short(*flows), median(&lines.graph(&[("flows", (*flows as u64).into())]))?)))
        .collect();
    by_node("flows", &rows)
}

fn encaps(lines: &Lines) -> Option<String> {
    const FLOWS: [u64; 3] = [1000, 100_000, 1_000_000];
    let path = |encap: &str, ip6: bool, flows: u64| {
        let found = lines.graph(&[("encap", encap.into()), ("ip6", ip6.into()), ("flows", flows.into())]);
        median(&found).and_then(|line| number(line, "path"))
    };
    let mut rows = Vec::new();
    for ip6 in [false, true] {
        for encap in names(&lines.of("graph", &[("ip6", ip6.into())]), "encap") {
            let mut row = vec![encap.to_string(), if ip6 { "IPv6" } else { "IPv4" }.into()];
            for flows in FLOWS {
                let own = path(encap, ip6, flows);
                row.extend([cell(own), ratio(own, path("gre4", false, flows))]);
            }
            rows.push(row);
        }
    }
    table(&["encapsulation", "VIP", "1k flows", "/ gre4", "100k flows", "/ gre4", "1M flows", "/ gre4"], &rows)
}

/// Configurations that are larger than the usual one, or of more workers.
fn large(lines: &Lines) -> Option<String> {
    let fields = ["vips", "servers", "routes", "workers", "flows"];
    let mut seen: Vec<Vec<u64>> = Vec::new();
    let mut rows = Vec::new();
    for line in lines.of("graph", &[("encap", "gre4".into()), ("ip6", false.into()), ("vector", 256.into())]) {
        let key: Vec<u64> = fields.iter().map(|field| line[*field].as_u64().unwrap_or_default()).collect();
        if key[..4] == [1, 7, 0, 1] || seen.contains(&key) {
            continue;
        }
        let values: Vec<(&str, Value)> =
            fields.iter().zip(&key).map(|(field, value)| (*field, (*value).into())).collect();
        let own = median(&lines.graph(&values)).and_then(|line| number(line, "path"));
        let small = median(&lines.graph(&[("flows", key[4].into())])).and_then(|line| number(line, "path"));
        let mut row: Vec<String> = key.iter().map(|value| short(*value as f64)).collect();
        row.extend([cell(own), ratio(own, small)]);
        rows.push(row);
        seen.push(key);
    }
    table(&["VIPs", "servers each", "routes", "workers", "flows", "path", "/ small"], &rows)
}

fn vector(lines: &Lines) -> Option<String> {
    let flows = ("flows", Value::from(1000));
    let path = |size: u64| {
        let found = lines.graph(&[("vector", size.into()), flows.clone()]);
        median(&found).and_then(|line| number(line, "path"))
    };
    let rows: Vec<Vec<String>> = [1, 2, 4, 8, 16, 32, 64, 128, 256]
        .into_iter()
        .filter_map(|size| {
            let each = path(size)?;
            Some(vec![size.to_string(), cell(Some(each)), cell(Some(each * size as f64)), ratio(Some(each), path(256))])
        })
        .collect();
    table(&["packets per vector", "per packet", "per vector", "per packet / at 256"], &rows)
}

fn nodes(lines: &Lines) -> Option<String> {
    let rows: Vec<Vec<String>> = names(&lines.of("nodes", &[]), "case")
        .into_iter()
        .filter_map(|case| {
            let line = median(&lines.of("nodes", &[("case", case.into())]))?;
            let nodes = line["nodes"].as_object()?.iter();
            let each: Vec<String> = nodes.map(|(name, cycles)| format!("{name} {}", cell(cycles.as_f64()))).collect();
            Some(vec![case.to_string(), cell(number(line, "path")), each.join(", ")])
        })
        .collect();
    table(&["case", "path", "by node"], &rows)
}

fn flow_table(lines: &Lines) -> Option<String> {
    let all = lines.of("flow_table", &[]);
    let fields = ["lookup", "insert", "expire", "sweep_per_bucket", "bytes_per_entry", "untracked_percent"];
    let rows: Vec<Vec<String>> = all
        .iter()
        .filter_map(|line| Some([vec![short(number(line, "flows")?)], texts(line, &fields)].concat()))
        .collect();
    let one = table(
        &["flows", "known", "new", "expiry", "sweep, per bucket", "bytes per entry", "flows without entry, %"],
        &rows,
    )?;
    let rows: Vec<Vec<String>> = all
        .iter()
        .filter_map(|line| {
            Some([vec![cell(Some(number(line, "entries_per_flow")?))], texts(line, &["untracked_percent"])].concat())
        })
        .collect();
    Some(one + "\n" + &table(&["entries per flow", "flows without entry, %"], &rows).unwrap_or_default())
}

fn fib(lines: &Lines) -> Option<String> {
    let rows: Vec<Vec<String>> = lines
        .of("fib", &[])
        .iter()
        .filter_map(|line| {
            let name = vec![line["family"].as_str()?.to_string(), short(number(line, "routes")?)];
            Some([name, texts(line, &["lookup", "lookup_alone", "add_us", "change_us", "bytes_per_route"])].concat())
        })
        .collect();
    let look_ups = ["look-up of a vector, cycles each", "look-up alone, cycles"];
    let others = ["add, µs", "change and publish, µs", "bytes per route"];
    table(&[&["", "routes"][..], &look_ups, &others].concat(), &rows)
}

fn maglev(lines: &Lines) -> Option<String> {
    let all = lines.of("maglev", &[]);
    let built = all.iter().filter_map(|line| {
        let paper = match line["slots"].as_u64()? {
            655_373 => "22.9",
            _ => "1.8",
        };
        let times = [number(line, "shortest_ms")?, number(line, "median_ms")?].map(|time| cell(Some(time)));
        Some([vec![line["slots"].to_string()], times.into(), vec![paper.into()]].concat())
    });
    let built = table(&["slots", "shortest, ms", "median, ms", "paper, ms"], &built.collect::<Vec<_>>());
    let moved = all.iter().filter_map(|line| {
        let names = [line["slots"].to_string(), line["leave"].as_u64()?.to_string()];
        Some([names.into(), texts(line, &["had_to_move_percent", "others_moved_percent"])].concat())
    });
    let moved = table(&["slots", "servers leave", "had to move, %", "moved besides, %"], &moved.collect::<Vec<_>>());
    let tables: Vec<String> = built.into_iter().chain(moved).collect();
    (!tables.is_empty()).then(|| tables.join("\n"))
}

fn changes(lines: &Lines) -> Option<String> {
    let rows: Vec<Vec<String>> = lines
        .of("changes", &[])
        .iter()
        .filter_map(|line| {
            let figures = texts(line, &["pass_quartile_us", "pass_median_us", "command_median_us"]);
            Some([vec![line["change"].as_str()?.to_string()], figures].concat())
        })
        .collect();
    table(&["change", "longest pass, µs: lower quartile", "median", "command, µs: median"], &rows)
}

fn devices(lines: &Lines) -> Option<String> {
    let all = lines.of("devices", &[]);
    let rates = all.iter().filter_map(|line| {
        Some([vec![line["router"].as_str()?.to_string()], texts(line, &["mpps", "offered_mpps", "ns"])].concat())
    });
    let rates = table(&["", "Mpps delivered", "Mpps offered", "processor, ns each"], &rates.collect::<Vec<_>>());
    let ratios = all.iter().filter_map(|line| {
        Some([vec![line["ratio"].as_str()?.to_string()], texts(line, &["rate", "per_processor_time"])].concat())
    });
    let ratios = table(&["ratio", "delivered", "per processor time"], &ratios.collect::<Vec<_>>());
    let tables: Vec<String> = rates.into_iter().chain(ratios).collect();
    (!tables.is_empty()).then(|| tables.join("\n"))
}

fn instructions(lines: &Lines) -> Option<String> {
    let rows: Vec<Vec<String>> = lines
        .of("instructions", &[])
        .iter()
        .filter_map(|line| Some(vec![line["name"].as_str()?.to_string(), cell(number(line, "instructions"))]))
        .collect();
    table(&["configuration", "instructions per packet"], &rows)
}
