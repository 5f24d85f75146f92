//! What the router tells about itself: version, buffers, nodes, the graph, the log, the clock; and `wait`.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vnet::Router;

use crate::app::App;
use crate::args::Args;
use crate::columns::{centred, left};
use crate::error::CliError;
use crate::reply::{Job, Reply, Step, Words};

pub(super) fn register(app: &mut App) {
    app.command("show version", "show version [verbose]", show_version)
        .command("show buffers", "show buffers", show_buffers)
        .command("show node", "show node <node-name>", show_node)
        .command("show vlib graph", "show vlib graph [<node-name>]", show_graph)
        .command("show logging", "show logging", show_logging)
        .command("show clock", "show clock", show_clock)
        .command("wait", "wait <sec>", wait);
}

fn show_version(_: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let verbose = args.keyword("verbose");
    args.end()?;
    let version = env!("CARGO_PKG_VERSION");
    if !verbose {
        return Ok(Reply::words(format!("maglane v{version}")));
    }
    let pid = std::process::id();
    Ok(Reply::words(format!("Version:                  v{version}\nCurrent PID:              {pid}\n")))
}

/// The buffers of each packet thread.
#[derive(Serialize)]
struct Pools(Vec<vnet::mem::PoolStats>);

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20}", "Pool Name")?;
        for (text, width) in
            ["Index", "NUMA", "Size", "Data Size", "Total", "Avail", "Cached", "Used"].iter().zip(WIDTHS)
        {
            write!(f, "{}", centred(text, width))?;
        }
        writeln!(f)?;
        for (index, pool) in self.0.iter().enumerate() {
            let (total, available) = (pool.total as usize, pool.available as usize);
            let size = vnet::mem::STRIDE;
            write!(f, "{:<20}", format!("worker-{index}"))?;
            // A thread has a pool of its own: nothing is cached between the two.
            let values = [index, 0, size, vnet::mem::DATA_SIZE, total, available, 0, total - available];
            for (value, width) in values.into_iter().zip(WIDTHS) {
                // A number is never cut.
                write!(f, "{}", centred(value, width.max(value.checked_ilog10().unwrap_or(0) as usize + 2)))?;
            }
            writeln!(f)?;
        }
        for (index, pool) in self.0.iter().enumerate() {
            writeln!(f, "worker-{index} on {}, exhausted {} times", pool.pages, pool.exhausted)?;
        }
        Ok(())
    }
}

/// Columns of `show buffers` behind the name.
const WIDTHS: [usize; 8] = [6, 6, 6, 11, 7, 7, 8, 8];

fn show_buffers(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    Ok(Reply::new(Pools((0..router.workers()).map(|worker| router.pool_stats(worker)).collect())))
}

/// One node.
#[derive(Serialize)]
struct Node {
    name: String,
    kind: vnet::NodeKind,
    index: u16,
    nexts: Vec<(usize, u16, String)>,
    previous: Vec<(String, u16)>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node {}, type {}, state active, index {}", self.name, self.kind, self.index)?;
        writeln!(f, "  node function variants:\n    default only")?;
        if !self.nexts.is_empty() {
            writeln!(f, "\n  next nodes:")?;
            writeln!(f, "    next-index  node-index  {}", centred("Node", 30))?;
            for (slot, index, name) in &self.nexts {
                writeln!(f, "    {}  {}  {}", centred(slot, 10), centred(index, 10), centred(name, 30))?;
            }
        }
        if !self.previous.is_empty() {
            writeln!(f, "\n  known previous nodes:")?;
            for row in self.previous.chunks(3) {
                let names = row.iter().map(|(name, index)| left(format!("{name} ({index})"), 35)).collect::<String>();
                writeln!(f, "    {names}")?;
            }
        }
        Ok(())
    }
}

fn describe(router: &Router, node: vnet::NodeId) -> Option<Node> {
    let info = router.node_info(node)?;
    let next = |(slot, name): (usize, &&str)| Some((slot, router.node(name)?.0, name.to_string()));
    let names_it = |other: &vnet::NodeInfo| other.nexts.contains(&&*info.name);
    Some(Node {
        name: info.name.to_string(),
        kind: info.kind,
        index: node.0,
        nexts: info.nexts.iter().enumerate().filter_map(next).collect(),
        previous: router.nodes().filter(|(_, o)| names_it(o)).map(|(id, o)| (o.name.to_string(), id.0)).collect(),
    })
}

fn show_node(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let node = args.node(router)?;
    args.end()?;
    describe(router, node).map(Reply::new).ok_or_else(|| CliError::at("the node is gone"))
}

/// The graph: each node with its next and previous nodes.
#[derive(Serialize)]
struct Graph(Vec<Node>);

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}{}", centred("Name", 26), centred("Next", 34), centred("Previous", 34))?;
        for node in &self.0 {
            let rows = node.nexts.len().max(node.previous.len()).max(1);
            for row in 0..rows {
                let name = if row == 0 { node.name.as_str() } else { "" };
                let next = node.nexts.get(row).map(|(slot, _, name)| format!("{name} [{slot}]")).unwrap_or_default();
                let previous = node.previous.get(row).map(|(name, _)| name.as_str()).unwrap_or_default();
                let line = format!("{}{:>34}{:>34}", left(name, 26), next, previous);
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

fn show_graph(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let only = if args.is_empty() { None } else { Some(args.node(router)?) };
    args.end()?;
    let wanted = router.nodes().map(|(id, _)| id).filter(|id| only.is_none_or(|only| only == *id));
    let mut nodes: Vec<_> = wanted.filter_map(|id| describe(router, id)).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Reply::new(Graph(nodes)))
}

fn show_logging(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let lines: String = router.log().lines().map(|line| format!("{line}\n")).collect();
    Ok(Reply::new(Words::from(lines)))
}

fn show_clock(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let up = router.start_time().elapsed().as_secs_f64();
    Ok(Reply::words(format!("Time now {up:.6}, unix time {unix:.6}")))
}

/// Nothing, for a while.
struct Wait(Instant);

impl Job for Wait {
    fn poll(&mut self, _: &mut Router) -> Step {
        if Instant::now() >= self.0 { Step::Done(Ok(())) } else { Step::Wait(self.0) }
    }
}

fn wait(_: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let expected = CliError::at(format!("expected a number of seconds from 0 to 86400, got `{}'", args.rest()));
    let seconds: f64 = args.parse("a number of seconds").map_err(|_| expected.clone())?;
    args.end()?;
    let pause = Duration::try_from_secs_f64(seconds).ok().filter(|pause| pause.as_secs() <= 86_400).ok_or(expected)?;
    Ok(Reply::later(Wait(Instant::now() + pause)))
}
