//! `show handoff`.

use std::fmt;

use serde::Serialize;
use vnet::Router;
use vnet::handoff::HandOver;

use crate::app::App;
use crate::args::Args;
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show handoff", "show handoff", show);
}

/// What packet threads have handed over to each other.
#[derive(Serialize)]
struct HandOvers(Vec<Row>);

#[derive(Serialize)]
struct Row {
    from_thread: String,
    to_thread: String,
    #[serde(flatten)]
    counts: HandOver,
}

impl fmt::Display for HandOvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "no packets are handed over between threads");
        }
        writeln!(
            f,
            "{:<10}{:<10}{:>14}{:>18}{:>12}{:>10}{:>10}",
            "From", "To", "Packets", "Bytes", "Congested", "Waiting", "Room"
        )?;
        for Row { from_thread: from, to_thread: to, counts } in &self.0 {
            let HandOver { packets, bytes, congested, waiting, room, .. } = counts;
            writeln!(f, "{from:<10}{to:<10}{packets:>14}{bytes:>18}{congested:>12}{waiting:>10}{room:>10}")?;
        }
        Ok(())
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let row = |counts: HandOver| {
        let [from_thread, to_thread] = [counts.from, counts.to].map(|worker| router.thread_name(worker));
        Row { from_thread, to_thread, counts }
    };
    Ok(Reply::new(HandOvers(router.hand_overs().into_iter().map(row).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_two_threads() {
        let counts =
            HandOver { from: 0, to: 1, packets: 12, bytes: 18_000, congested: 3, waiting: 1560, room: 1 << 20 };
        let row = Row { from_thread: "vpp_wk_0".into(), to_thread: "vpp_wk_1".into(), counts };
        let text = HandOvers(vec![row]).to_string();
        assert_eq!(
            text,
            "From      To               Packets             Bytes   Congested   Waiting      Room\n\
             vpp_wk_0  vpp_wk_1              12             18000           3      1560   1048576\n"
        );
        assert_eq!(HandOvers(Vec::new()).to_string(), "no packets are handed over between threads\n");
    }
}
