//! `trace add`, `trace filter`, `clear trace`, `show trace`.

use std::sync::Arc;

use serde::Serialize;
use trace::{Filter, Store};
use vnet::{NodeKind, Router};

use crate::app::App;
use crate::args::Args;
use crate::error::CliError;
use crate::reply::{Reply, Report};

pub(super) fn register(app: &mut App) {
    app.command("trace add", "trace add <input-graph-node> <add'l-pkts-for-node-> [filter] [verbose]", add)
        .command("trace filter", "trace filter none | [include|exclude] NODE COUNT", filter)
        .command("clear trace", "clear trace", |router, args| {
            args.end()?;
            router.ask_all(vnet::Worker::trace_clear);
            Ok(Reply::none())
        })
        .command("show trace", "show trace [max COUNT]", show);
}

fn add(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let expected = CliError::at(format!("expected NODE COUNT, got `{}'", args.rest()));
    let name = args.word("NODE COUNT").map_err(|_| expected.clone())?;
    let node = router.node(name).ok_or(expected.clone())?;
    let count = args.number("COUNT", 1..=1_000_000u32).map_err(|_| expected)?;
    while args.keyword("filter") || args.keyword("verbose") {}
    args.end()?;
    if router.node_info(node).map(|info| info.kind) != Some(NodeKind::Input) {
        return Err(CliError::at(format!("`{name}' is no input node; packets are traced from where they come in")));
    }
    router.ask_all(move |worker| worker.trace_add(node, count));
    Ok(Reply::none())
}

fn filter(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let filter = if args.keyword("none") {
        Filter::None
    } else {
        let include = args.keyword("include");
        if !include && !args.keyword("exclude") {
            let got = args.rest();
            return Err(CliError::at(format!("expected none, include NODE COUNT or exclude NODE COUNT, got `{got}'")));
        }
        let node = args.node(router)?;
        let name: Arc<str> = router.node_info(node).map(|info| info.name.clone()).unwrap_or_default();
        let count = args.number("COUNT", 1..=1_000_000usize)?;
        if include { Filter::Include(name, count) } else { Filter::Exclude(name, count) }
    };
    args.end()?;
    router.ask_all(move |worker| worker.traces().set_filter(filter.clone()));
    Ok(Reply::none())
}

/// The traces of all packet threads. They are printed here and not on those threads, which would lose packets meanwhile.
struct Traces {
    max: usize,
    threads: Vec<Thread>,
}

struct Thread {
    name: String,
    shown: Store,
    /// Packets that were traced, shown or not.
    traced: usize,
}

#[derive(Serialize)]
struct ThreadTraces {
    packets: serde_json::Value,
}

impl Report for Traces {
    fn text(&self) -> String {
        let limited = self.threads.iter().any(|thread| thread.traced > self.max);
        let note = if limited {
            format!("Limiting display to {} packets. To display more specify max.\n", self.max)
        } else {
            String::new()
        };
        let threads: String = self.threads.iter().map(|thread| thread.shown.text(&thread.name, self.max)).collect();
        format!("{note}{threads}{note}")
    }
    fn json(&self) -> serde_json::Value {
        let threads = self.threads.iter().map(|thread| ThreadTraces { packets: thread.shown.json(self.max) });
        serde_json::to_value(threads.collect::<Vec<_>>()).unwrap_or_default()
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let mut max = 50;
    if args.keyword("max") {
        max = args.number("a number of packets", 1..=usize::MAX)?;
    }
    args.end()?;
    let threads = (0..router.workers())
        .map(|worker| {
            let name = format!("{worker} {}", router.thread_name(worker));
            let (shown, traced) = router.ask(worker, move |worker| {
                let store = worker.traces();
                (store.first(max), store.packets().len())
            });
            Thread { name, shown, traced }
        })
        .collect();
    Ok(Reply::Done(Some(Box::new(Traces { max, threads }))))
}
