//! `show runtime`, `clear runtime`, `show threads`.

use std::fmt;

use serde::Serialize;
use vnet::Router;

use crate::app::App;
use crate::args::Args;
use crate::columns::{centred, left, plain, right, scientific};
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show runtime", "show runtime [<node>] [verbose] [max] [summary]", show)
        .command("show threads", "show threads", show_threads)
        .command("clear runtime", "clear runtime", |router, args| {
            args.end()?;
            router.clear_runtime();
            Ok(Reply::none())
        });
}

/// What the nodes of each packet thread did since the counters were cleared.
#[derive(Serialize)]
struct Runtime {
    max: bool,
    summary: bool,
    threads: Vec<Thread>,
}

#[derive(Serialize)]
struct Thread {
    name: Option<String>,
    seconds: f64,
    loops_per_second: f64,
    vector_rate: f64,
    rates: [f64; 4],
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    name: String,
    state: &'static str,
    calls: u64,
    vectors: u64,
    clocks: f64,
    per_call: f64,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for thread in &self.threads {
            if let Some(name) = &thread.name {
                writeln!(f, "{name}")?;
            }
            // VPP's second time is how long the rates were measured; ours are since the counters were cleared.
            let (seconds, measured) = (plain(thread.seconds, 1), plain(thread.seconds, 6));
            writeln!(
                f,
                "Time {seconds}, {measured} sec internal node vector rate {} loops/sec {}",
                plain(thread.vector_rate, 2),
                plain(thread.loops_per_second, 2)
            )?;
            let [rx, tx, drop, punt] = thread.rates.map(|rate| scientific(rate, 4));
            writeln!(f, "  vector rates in {rx}, out {tx}, drop {drop}, punt {punt}")?;
            if self.summary {
                continue;
            }
            let clocks = if self.max { "Max Node Clocks" } else { "Packet-Clocks" };
            let vectors = if self.max { "Vectors at Max" } else { "Vectors/Call" };
            for (text, width) in [("Name", 30), ("State", 12)] {
                write!(f, "{}", centred(text, width))?;
            }
            for text in ["Calls", "Vectors", "Suspends", clocks, vectors] {
                write!(f, "{}", centred(text, 16))?;
            }
            writeln!(f)?;
            for node in &thread.nodes {
                write!(f, "{}{}", left(&node.name, 30), centred(node.state, 12))?;
                let clocks = right(scientific(node.clocks, 2), 16);
                let (calls, vectors) = (right(node.calls, 16), right(node.vectors, 16));
                writeln!(f, "{calls}{vectors}{}{clocks}{}", right(0, 16), right(plain(node.per_call, 2), 16))?;
            }
        }
        Ok(())
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (mut max, mut summary, mut verbose, mut only) = (false, false, false, None);
    while !args.is_empty() {
        if args.keyword("max") {
            max = true;
        } else if args.keyword("summary") {
            summary = true;
        } else if args.keyword("verbose") {
            verbose = true;
        } else {
            only = Some(args.node(router)?);
        }
    }
    let seconds = router.cleared_at().elapsed().as_secs_f64().max(1e-6);
    let several = router.workers() > 1;
    let threads = (0..router.workers())
        .map(|worker| {
            let mut nodes: Vec<Node> = router
                .nodes()
                .filter(|(node, _)| only.is_none_or(|only| only == *node))
                .filter_map(|(_, info)| {
                    let stats = &info.stats[worker];
                    let (calls, vectors) = (stats.calls.get(), stats.vectors.get());
                    if calls == 0 && !verbose && only.is_none() {
                        return None;
                    }
                    let (clocks, per_call) = if max {
                        (stats.max_clock.get() as f64, stats.max_clock_vectors.get() as f64)
                    } else {
                        (stats.clocks.get() as f64 / vectors.max(1) as f64, vectors as f64 / calls.max(1) as f64)
                    };
                    let state = if info.kind == vnet::NodeKind::Input { "polling" } else { "active" };
                    Some(Node { name: info.name.to_string(), state, calls, vectors, clocks, per_call })
                })
                .collect();
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            let loops = router.loop_stats(worker);
            let (frames, vectors) = (loops.frames.get(), loops.vectors.get());
            Thread {
                name: several.then(|| {
                    format!("Thread {worker} {} (lcore {})", router.thread_name(worker), core_of(loops.tid.get()))
                }),
                seconds,
                loops_per_second: loops.loops.get() as f64 / seconds,
                vector_rate: vectors as f64 / frames.max(1) as f64,
                rates: rates(router, worker, seconds),
                nodes,
            }
        })
        .collect();
    Ok(Reply::new(Runtime { max, summary, threads }))
}

/// Packets per second that a thread took in, sent, dropped and punted: by what passed the nodes where that happens, so
/// that all of `show runtime` is since the same moment.
fn rates(router: &Router, worker: usize, seconds: f64) -> [f64; 4] {
    let vectors = |node| router.node_info(node).map_or(0, |info| info.stats[worker].vectors.get());
    let input = router.nodes().filter(|(_, info)| info.kind == vnet::NodeKind::Input).map(|(node, _)| vectors(node));
    let sent = router.records().map(|record| vectors(router.tables().interface(record.index()).tx));
    let end = |name| router.node(name).map_or(0, vectors);
    [input.sum(), sent.sum(), end("drop"), end("punt")].map(|sum: u64| sum as f64 / seconds)
}

/// The processor that a thread ran on last.
fn core_of(tid: u64) -> String {
    stat_field(tid, 39).unwrap_or_else(|| "?".into())
}

/// How the kernel schedules a thread (`sched(7)`), with its real-time priority, as VPP writes it.
fn schedule_of(tid: u64) -> String {
    let policy = match stat_field(tid, 41).as_deref() {
        Some("0") => "other",
        Some("1") => "fifo",
        Some("2") => "rr",
        Some("3") => "batch",
        Some("5") => "idle",
        _ => return "?".into(),
    };
    format!("{policy} ({})", stat_field(tid, 40).unwrap_or_default())
}

/// A field of `/proc/self/task/TID/stat`, numbered as in `proc(5)`, from the third on.
fn stat_field(tid: u64, number: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).ok()?;
    // The second field, the name, may hold anything.
    stat.rsplit(')').next()?.split_whitespace().nth(number - 3).map(Into::into)
}

/// The packet threads.
#[derive(Serialize)]
struct Threads(Vec<ThreadRow>);

#[derive(Serialize)]
struct ThreadRow {
    id: usize,
    name: String,
    tid: u64,
    core: String,
    schedule: String,
    loops: u64,
    sleeps: u64,
    wakeups: u64,
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["ID", "Name", "LWP", "CPU", "Sched", "Loops", "Sleeps", "WakeReq"].map(String::from);
        let rows: Vec<_> = self.0.iter().map(ThreadRow::cells).collect();
        let widths: [usize; 8] =
            std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).fold(names[at].len(), usize::max));
        let header = names.iter().zip(widths).map(|(name, width)| format!("{name:^width$}"));
        writeln!(f, "{}", header.collect::<Vec<_>>().join(" "))?;
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| match at {
                1 | 4 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }
}

impl ThreadRow {
    fn cells(&self) -> [String; 8] {
        let numbers = [self.loops, self.sleeps, self.wakeups].map(|number| number.to_string());
        let [loops, sleeps, wakeups] = numbers;
        let (id, tid) = (self.id.to_string(), self.tid.to_string());
        [id, self.name.clone(), tid, self.core.clone(), self.schedule.clone(), loops, sleeps, wakeups]
    }
}

fn show_threads(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let row = |id| {
        let stats = router.loop_stats(id);
        let tid = stats.tid.get();
        let (loops, sleeps, wakeups) = (stats.loops.get(), stats.sleeps.get(), stats.wakeups.get());
        let (name, core, schedule) = (router.thread_name(id), core_of(tid), schedule_of(tid));
        ThreadRow { id, name, tid, core, schedule, loops, sleeps, wakeups }
    };
    Ok(Reply::new(Threads((0..router.workers()).map(row).collect())))
}
