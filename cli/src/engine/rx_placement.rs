//! `show interface rx-placement`: which packet thread serves which receive queue.

use std::fmt;

use serde::Serialize;
use vnet::Router;

use crate::app::App;
use crate::args::Args;
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show interface rx-placement", "show interface rx-placement", show);
}

/// The queues of all threads that have some.
#[derive(Serialize)]
struct Placement(Vec<Thread>);

#[derive(Serialize)]
struct Thread {
    id: usize,
    name: String,
    queues: Vec<Queue>,
}

/// Ordered by node, interface and number.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Queue {
    node: &'static str,
    interface: String,
    queue: usize,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Thread { id, name, queues } in &self.0 {
            writeln!(f, "Thread {id} ({name}):")?;
            for of_node in queues.chunk_by(|one, other| one.node == other.node) {
                writeln!(f, "  node {}:", of_node[0].node)?;
                for Queue { interface, queue, .. } in of_node {
                    // VPP's word for what all threads do here: they poll under load, and wait for the device without.
                    writeln!(f, "    {interface} queue {queue} (adaptive)")?;
                }
            }
        }
        Ok(())
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let queues = |worker| {
        let mine = router.rx_queues().filter(|queue| queue.worker == worker).map(|queue| Queue {
            node: queue.node,
            interface: router.tables().interface(queue.interface).name.to_string(),
            queue: queue.number,
        });
        let mut queues: Vec<Queue> = mine.collect();
        queues.sort();
        queues
    };
    let threads = (0..router.workers()).map(|id| Thread { id, name: router.thread_name(id), queues: queues(id) });
    Ok(Reply::new(Placement(threads.filter(|thread| !thread.queues.is_empty()).collect())))
}
