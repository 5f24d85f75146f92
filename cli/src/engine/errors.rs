//! `show errors`, `show node counters`, `clear errors`.

use std::fmt;

use serde::Serialize;
use vnet::{Router, Severity};

use crate::app::App;
use crate::args::Args;
use crate::columns::{centred, right};
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
        let index = if self.verbose { centred("Index", 6) } else { String::new() };
        let (count, node, reason) = (centred("Count", 10), centred("Node", 35), centred("Reason", 35));
        writeln!(f, "{count}{node}{reason}{}{index}", centred("Severity", 10))?;
        for (thread, rows) in &self.threads {
            if self.verbose {
                writeln!(f, "{thread}:")?;
            }
            for row in rows {
                writeln!(f, "{}", if thread == TOTAL { row.in_total() } else { row.in_thread(self.verbose) })?;
            }
        }
        Ok(())
    }
}

/// What stands above the sums over all threads.
const TOTAL: &str = "Total";

impl Row {
    fn in_thread(&self, verbose: bool) -> String {
        let (count, node, reason) = (right(self.count, 10), centred(&self.node, 35), centred(self.reason, 35));
        let index = if verbose { centred(self.index, 6) } else { String::new() };
        format!("{count}{node}{reason}{}{index}", centred(self.severity, 10))
    }

    /// VPP has other columns here, and no severity.
    fn in_total(&self) -> String {
        let (count, node, reason) = (right(self.count, 10), centred(&self.node, 40), centred(self.reason, 20));
        format!("{count}{node}{reason}{}", centred(self.index, 10))
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
        each.chain([(TOTAL.to_string(), rows(&|_| true))]).collect()
    } else {
        vec![(String::new(), rows(&|_| true))]
    };
    Ok(Reply::new(Errors { verbose, threads }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(count: u64, node: &str, reason: &'static str, severity: Severity, index: usize) -> Row {
        Row { count, node: node.into(), reason, severity, index }
    }

    /// The lines of a transcript of VPP.
    #[test]
    fn as_the_real_vpp_prints() {
        let rows = || {
            vec![
                row(13, "af-packet-input", "timed out block", Severity::Error, 90),
                row(3, "arp-reply", "ARP request IP4 source address learned", Severity::Info, 139),
                row(1, "ip4-input", "ip4 ttl <= 1", Severity::Error, 2793),
            ]
        };
        let plain = Errors { verbose: false, threads: vec![(String::new(), rows())] };
        assert_eq!(
            plain.to_string(),
            "   Count                  Node                              Reason               Severity \n\
            \x20       13          af-packet-input                    timed out block             error  \n\
            \x20        3             arp-reply             ARP request IP4 source address lear   info   \n\
            \x20        1             ip4-input                         ip4 ttl <= 1              error  \n"
        );
        let threads = vec![("Thread 0 (vpp_main)".into(), rows()), (TOTAL.into(), rows())];
        let verbose = Errors { verbose: true, threads };
        assert_eq!(
            verbose.to_string(),
            "   Count                  Node                              Reason               Severity  Index\n\
             Thread 0 (vpp_main):\n\
            \x20       13          af-packet-input                    timed out block             error    90  \n\
            \x20        3             arp-reply             ARP request IP4 source address lear   info     139 \n\
            \x20        1             ip4-input                         ip4 ttl <= 1              error   2793 \n\
             Total:\n\
            \x20       13             af-packet-input               timed out block      90    \n\
            \x20        3                arp-reply               ARP request IP4 sour    139   \n\
            \x20        1                ip4-input                   ip4 ttl <= 1       2793   \n"
        );
    }
}
