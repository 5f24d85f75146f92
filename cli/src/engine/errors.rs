//! `show errors`, `show node counters`, `clear errors`.

use std::fmt;

use serde::Serialize;
use vnet::{Router, Severity};

use crate::app::App;
use crate::args::Args;
use crate::columns::{left, right};
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show errors", "show errors [verbose]", show)
        .command("show node counters", "show node counters [verbose]", show)
        .command("clear errors", "clear errors", |router, args| {
            args.end()?;
            router.clear_errors();
            Ok(Reply::none())
        });
}

/// What nodes have counted, on all packet threads together or on each.
#[derive(Serialize)]
struct Errors {
    verbose: bool,
    threads: Vec<(String, Vec<Row>)>,
}

#[derive(Serialize)]
struct Row {
    count: u64,
    node: String,
    reason: &'static str,
    severity: Severity,
    index: usize,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = if self.verbose { "  Index" } else { "" };
        writeln!(
            f,
            "{}{}{}{}{index}",
            crate::columns::centred("Count", 10),
            crate::columns::centred("Node", 35),
            crate::columns::centred("Reason", 35),
            crate::columns::centred("Severity", 10)
        )?;
        for (thread, rows) in &self.threads {
            if self.verbose {
                writeln!(f, "{thread}:")?;
            }
            for row in rows {
                write!(
                    f,
                    "{}{}{}{}",
                    right(row.count, 10),
                    crate::columns::centred(&row.node, 35),
                    crate::columns::centred(row.reason, 35),
                    crate::columns::centred(row.severity, 10)
                )?;
                if self.verbose {
                    write!(f, "{}", left(format!("{:>6}", row.index), 8))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let verbose = args.keyword("verbose");
    args.end()?;
    let workers = router.workers();
    let rows = |of: &dyn Fn(usize) -> bool| {
        let mut rows = Vec::new();
        let mut index = 0;
        for (_, info) in router.nodes() {
            for (code, error) in info.errors.iter().enumerate() {
                let stats = info.stats.iter().enumerate().filter(|(worker, _)| of(*worker));
                let count = stats.map(|(_, stats)| stats.errors[code].get()).sum();
                if count > 0 {
                    let (node, reason, severity) = (info.name.to_string(), error.text, error.severity);
                    rows.push(Row { count, node, reason, severity, index });
                }
                index += 1;
            }
        }
        rows
    };
    let threads = if verbose {
        let each = (0..workers).map(|worker| {
            (format!("Thread {worker} ({})", router.thread_name(worker)), rows(&|other| other == worker))
        });
        each.chain([("Total".to_string(), rows(&|_| true))]).collect()
    } else {
        vec![(String::new(), rows(&|_| true))]
    };
    Ok(Reply::new(Errors { verbose, threads }))
}
