//! The engine's own commands: interfaces, IPv4, traces, counters, and what the router tells about itself.

mod errors;
mod graph;
mod interface;
mod ip;
mod neighbor;
mod runtime;
mod system;
mod trace;

use crate::app::App;

pub(crate) fn register(app: &mut App) {
    interface::register(app);
    ip::register(app);
    neighbor::register(app);
    trace::register(app);
    errors::register(app);
    runtime::register(app);
    graph::register(app);
    system::register(app);
}
