//! The plots.

use std::path::Path;

use serde_json::Value;

use crate::chart::{self, Bar, Frame, Series, short};
use crate::lines::{Lines, number, points};

/// A plot: its file, and how it is drawn; `false`: nothing was measured for it.
pub struct Plot {
    pub file: &'static str,
    pub draw: fn(&Lines, &Path) -> Result<bool, String>,
}

/// All of them.
pub const ALL: [Plot; 12] = [
    Plot { file: "flows.svg", draw: flows },
    Plot { file: "path.svg", draw: path },
    Plot { file: "encaps.svg", draw: |lines, file| encaps(lines, file, false) },
    Plot { file: "encaps6.svg", draw: |lines, file| encaps(lines, file, true) },
    Plot { file: "vips.svg", draw: vips },
    Plot { file: "routes.svg", draw: routes },
    Plot { file: "vector.svg", draw: vector },
    Plot { file: "nodes.svg", draw: |lines, file| nodes(lines, file, &["ip4 forw", "ip6 forw", "out of", "nat"]) },
    Plot { file: "tunnels.svg", draw: |lines, file| nodes(lines, file, &["ip4 forw", "into"]) },
    Plot { file: "flow-table.svg", draw: flow_table },
    Plot { file: "fib.svg", draw: fib },
    Plot { file: "disruption.svg", draw: disruption },
];

const CYCLES: &str = "cycles per packet";

fn series(name: impl Into<String>, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), points }
}

/// Draws those that have points.
fn draw(file: &Path, frame: &Frame<'_>, mut all: Vec<Series>) -> Result<bool, String> {
    all.retain(|series| !series.points.is_empty());
    if all.is_empty() {
        return Ok(false);
    }
    chart::over_log(file, frame, &all)?;
    Ok(true)
}

/// The words for the references: who they are.
pub fn references(lines: &Lines) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in lines.of("reference", &[]) {
        let name = line["who"].as_str().unwrap_or_default().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn flows(lines: &Lines, file: &Path) -> Result<bool, String> {
    let mut all = vec![series("Maglane", points(&lines.graph(&[]), "flows", "path"))];
    for who in references(lines) {
        let points = points(&lines.of("reference", &[("who", who.as_str().into())]), "flows", "path");
        all.push(series(who, points));
    }
    let frame = Frame { title: "The main path (GRE4), without the generator", x: "flows", y: CYCLES };
    draw(file, &frame, all)
}

/// The colour of each node, by its number: those with the same work have the same name in all configurations.
fn kind(node: &str) -> &'static str {
    match node {
        name if name.starts_with("ethernet") => "ethernet-input",
        name if name.ends_with("-lookup") => "lookup",
        name if name.starts_with("lb") => "lb",
        name if name.ends_with("-rewrite") => "rewrite",
        name if name.ends_with("-output") => "output",
        name if name.ends_with("-tx") => "tx",
        "ip4-input" | "ip6-input" => "ip-input",
        _ => "others",
    }
}

const KINDS: [&str; 8] = ["ethernet-input", "ip-input", "lookup", "lb", "rewrite", "output", "tx", "others"];

/// The bar of a line with nodes.
fn bar(name: String, line: &Value) -> Bar {
    let mut parts: Vec<(usize, f64)> = (0..KINDS.len()).map(|kind| (kind, 0.0)).collect();
    for (node, cycles) in line["nodes"].as_object().into_iter().flatten() {
        let at = KINDS.iter().position(|own| *own == kind(node)).unwrap_or(KINDS.len() - 1);
        parts[at].1 += cycles.as_f64().unwrap_or_default();
    }
    parts.retain(|part| part.1 > 0.0);
    Bar { name, parts }
}

fn draw_bars(file: &Path, frame: &Frame<'_>, bars: &[Bar], extra: &[&str]) -> Result<bool, String> {
    if bars.is_empty() {
        return Ok(false);
    }
    let names: Vec<String> = KINDS.iter().chain(extra).map(ToString::to_string).collect();
    // Colours that no bar has are not in the legend.
    let used: Vec<usize> =
        (0..names.len()).filter(|at| bars.iter().any(|bar| bar.parts.iter().any(|part| part.0 == *at))).collect();
    let place = |at: usize| used.iter().position(|used| *used == at).unwrap_or_default();
    let bars: Vec<Bar> = bars
        .iter()
        .map(|bar| Bar {
            name: bar.name.clone(),
            parts: bar.parts.iter().map(|part| (place(part.0), part.1)).collect(),
        })
        .collect();
    let names: Vec<String> = used.iter().map(|at| names[*at].clone()).collect();
    chart::bars(file, frame, &bars, &names)?;
    Ok(true)
}

/// Cycles by node, beside what others take for the same.
fn path(lines: &Lines, file: &Path) -> Result<bool, String> {
    let mut bars = Vec::new();
    for (at, _) in points(&lines.graph(&[]), "flows", "path") {
        let Some(line) = median(&lines.graph(&[("flows", (at as u64).into())])) else { continue };
        bars.push(bar(format!("Maglane {}", short(at)), line));
        for who in references(lines) {
            let values = [("who", who.as_str().into()), ("flows", (at as u64).into())];
            if let Some(cycles) = lines.of("reference", &values).first().and_then(|line| number(line, "path")) {
                // What others are is one part.
                bars.push(Bar { name: format!("{who} {}", short(at)), parts: vec![(KINDS.len(), cycles)] });
            }
        }
    }
    let frame = Frame { title: "The main path (GRE4) by node, beside VPP and a stripped loop", x: "flows", y: CYCLES };
    draw_bars(file, &frame, &bars, &["others' whole path"])
}

/// The line with the median of paths.
pub fn median<'l>(lines: &[&'l Value]) -> Option<&'l Value> {
    let mut lines: Vec<&Value> = lines.to_vec();
    lines.sort_by(|a, b| a["path"].as_f64().unwrap_or_default().total_cmp(&b["path"].as_f64().unwrap_or_default()));
    lines.get(lines.len() / 2).copied()
}

/// The encapsulations in a bench's lines, in the order of their first ones.
pub fn names<'l>(lines: &[&'l Value], field: &str) -> Vec<&'l str> {
    let mut names = Vec::new();
    for name in lines.iter().filter_map(|line| line[field].as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn encaps(lines: &Lines, file: &Path, ip6: bool) -> Result<bool, String> {
    let usual = [("ip6", ip6.into()), ("flows", 100_000.into()), ("vips", 1.into())];
    let mut bars = Vec::new();
    for encap in names(&lines.of("graph", &usual), "encap") {
        let values = [("encap", encap.into()), ("ip6", ip6.into()), ("flows", 100_000.into())];
        bars.extend(median(&lines.graph(&values)).map(|line| bar(encap.to_string(), line)));
    }
    let title = format!("Ways to the servers, 100,000 flows to a VIP of {}", if ip6 { "IPv6" } else { "IPv4" });
    draw_bars(file, &Frame { title: &title, x: "encapsulation", y: CYCLES }, &bars, &[])
}

/// Cost against a number in the configuration, where there are a million flows.
fn against(lines: &Lines, file: &Path, field: &str, title: &str) -> Result<bool, String> {
    let counts = points(&lines.of("graph", &[("encap", "gre4".into()), ("ip6", false.into())]), field, "path");
    let found: Vec<&Value> = counts
        .iter()
        .flat_map(|(count, _)| lines.graph(&[(field, (*count as u64).into()), ("flows", 1_000_000.into())]))
        .collect();
    // Nothing has no place on a logarithmic axis.
    let points = points(&found, field, "path").into_iter().map(|(x, y)| (x.max(1.0), y)).collect();
    draw(file, &Frame { title, x: field, y: CYCLES }, vec![series("Maglane, 1M flows", points)])
}

fn vips(lines: &Lines, file: &Path) -> Result<bool, String> {
    against(lines, file, "vips", "Cost against the number of VIPs")
}

fn routes(lines: &Lines, file: &Path) -> Result<bool, String> {
    against(lines, file, "routes", "Cost of the main path against other routes (none: at 1)")
}

fn vector(lines: &Lines, file: &Path) -> Result<bool, String> {
    let sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    let found: Vec<&Value> =
        sizes.iter().flat_map(|size| lines.graph(&[("vector", (*size).into()), ("flows", 1000.into())])).collect();
    let per_packet = points(&found, "vector", "path");
    let frame =
        Frame { title: "Cost against the size of vectors (GRE4, 1k flows)", x: "packets per vector", y: CYCLES };
    draw(file, &frame, vec![series("Maglane", per_packet)])
}

/// The cases that begin with these words.
fn nodes(lines: &Lines, file: &Path, begin: &[&str]) -> Result<bool, String> {
    let short = |case: &str| case.replace(" forwarding", "").replace(", way back", " back");
    let bars: Vec<Bar> = names(&lines.of("nodes", &[]), "case")
        .into_iter()
        .filter(|case| begin.iter().any(|begin| case.starts_with(begin)))
        .filter_map(|case| Some(bar(short(case), median(&lines.of("nodes", &[("case", case.into())]))?)))
        .collect();
    draw_bars(file, &Frame { title: "Other ways through the router", x: "", y: CYCLES }, &bars, &[])
}

fn flow_table(lines: &Lines, file: &Path) -> Result<bool, String> {
    let all = lines.of("flow_table", &[]);
    let of = |name: &str, field: &str| series(name, points(&all, "flows", field));
    let frame = Frame { title: "The flow table", x: "flows", y: "cycles per flow" };
    draw(file, &frame, vec![of("known flow", "lookup"), of("new flow", "insert"), of("expiry", "expire")])
}

fn fib(lines: &Lines, file: &Path) -> Result<bool, String> {
    let of = |name: &str, family: &str| {
        series(name, points(&lines.of("fib", &[("family", family.into())]), "routes", "lookup"))
    };
    let frame = Frame { title: "Look-ups of random addresses", x: "routes", y: "cycles per look-up" };
    draw(file, &frame, vec![of("IPv4", "ip4"), of("IPv6", "ip6"), of("IPv6 as in the Internet", "ip6-public")])
}

fn disruption(lines: &Lines, file: &Path) -> Result<bool, String> {
    let all = [1, 10, 50].map(|leave: u64| {
        let name = if leave == 1 { "1 server leaves".to_string() } else { format!("{leave} servers leave") };
        series(name, points(&lines.of("maglev", &[("leave", leave.into())]), "slots", "others_moved_percent"))
    });
    let frame = Frame {
        title: "Disruption: slots that move between servers that stay, of 1,000",
        x: "slots in the table",
        y: "% of all slots",
    };
    draw(file, &frame, all.into())
}
