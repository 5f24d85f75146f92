//! The engine's own commands: interfaces, IP, traces, counters, and what the router tells about itself.

mod errors;
mod fib;
mod graph;
mod handoff;
mod interface;
mod ip;
mod ip6;
mod neighbor;
mod path_mtu;
mod runtime;
mod rx_placement;
mod system;
mod trace;

use crate::app::App;

pub(crate) fn register(app: &mut App) {
    interface::register(app);
    rx_placement::register(app);
    ip::register(app);
    fib::register(app);
    ip6::register(app);
    neighbor::register(app);
    path_mtu::register(app);
    trace::register(app);
    errors::register(app);
    runtime::register(app);
    handoff::register(app);
    graph::register(app);
    system::register(app);
}
