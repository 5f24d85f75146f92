//! The load balancer: a plugin that gives every flow to a virtual address a server, and remembers which.
//!
//! What decides is plain data and functions, without packets and threads:
//!
//! - [`config`]: VIPs, servers and parameters, as they are configured.
//! - [`tables`]: what packets need of these, built from the configuration and immutable.
//! - [`schedule`]: what servers for new flows are chosen from, [`maglev`] above all; [`slot_hash`]: the hash that decides,
//!   the same on every machine; [`picks`]: what decides where it is not a hash.
//! - [`flow_table`]: a worker's memory of the flows it has seen.
//! - [`fragments`]: a worker's memory of where the fragments of a datagram go.
//! - [`handle`]: how servers are referred to, so that a flow never reaches one that it was not given to.
//! - [`outer`]: the headers in front of an encapsulated packet.
//! - [`nat`]: sessions whose packets are translated, and how.
//! - [`moves`]: what a change does to flows.
//! - [`flows`]: what flow tables remember, for people; [`rates`]: how much goes to each server.
//! - [`host`]: the host agent, on servers.
//! - [`import`]: configurations of other load balancers.
//! - [`quic_lb`]: servers that QUIC's connection IDs name.
//! - [`mod@format`]: reports and their texts.
#![forbid(unsafe_code)]

mod commands;
pub mod config;
pub mod control;
pub mod flow_bytes;
pub mod flow_table;
pub mod flows;
pub mod format;
pub mod fragments;
pub mod handle;
pub mod host;
pub mod import;
mod l3dsr;
pub mod local;
pub mod maglev;
pub mod moves;
pub mod mss;
pub mod nat;
mod node;
pub mod outer;
pub mod picks;
pub mod quic_lb;
pub mod rates;
pub mod schedule;
pub mod slot_hash;
pub mod tables;

/// How often what was removed is looked after.
const COLLECT: std::time::Duration = std::time::Duration::from_secs(5);

/// How often the log may say that there is no source left.
const WATCH: std::time::Duration = std::time::Duration::from_secs(1);

/// How often flows are counted over all workers, where a scheduler goes by that.
const COUNT: std::time::Duration = std::time::Duration::from_millis(250);

/// Registers the load balancer: its nodes, state and commands.
pub fn register(app: &mut cli::App) {
    let conf = config::Conf::default();
    let keys = flow_table::HashKeys::random();
    let in_pieces = std::sync::Arc::new(fragments::InPieces::default());
    for node in node::nodes() {
        app.builder.node(node);
    }
    for (arc, feature) in ["ip4-unicast", "ip6-unicast"].into_iter().zip(node::in2out::FEATURES) {
        app.builder.feature(arc, vnet::arcs::Feature { node: feature.into(), before: Vec::new(), after: Vec::new() });
    }
    app.builder
        .hand_over(vnet::handoff::ROOM)
        .extension(tables::LbTables::default())
        .local(move |worker| local::LbLocal::new(worker, conf.buckets, conf.timeout, keys, in_pieces.clone()))
        .state(control::LbControl::default())
        .on_start(|router| {
            router.observe(|router| {
                // Not while a change is on its way, which does this by itself.
                router.with_state(control::LbControl::before_publish);
            });
            router.every(COLLECT, |router| {
                router.with_state(control::LbControl::collect);
            });
            router.every(WATCH, |router| {
                router.with_state(control::LbControl::watch_sources);
            });
            router.every(COUNT, |router| {
                router.with_state(control::LbControl::count_flows);
            });
            for [all, port] in node::names() {
                if let Some(node) = router.node(all) {
                    router.set_describer(node, describe);
                }
                if let Some(node) = router.node(port) {
                    router.set_describer(node, describe_ports);
                }
            }
            for what in ["vip-prefix", "prefix"] {
                router.add_completer(what, completions);
            }
            router.add_completer("maglev|rr|wrr|lc|wlc|sh|hash", |_| {
                config::Scheduler::ALL.map(|scheduler| scheduler.name().to_string()).to_vec()
            });
        });
    rates::register(app);
    commands::register(app);
}

/// A VIP as `show ip fib` shows what its route leads to.
fn describe(tables: &vnet::Tables, index: u32) -> Option<String> {
    let own = tables.extension::<tables::LbTables>()?.downcast_ref::<tables::LbTables>()?;
    Some(own.vip(index)?.line.to_string())
}

/// The VIPs of single ports that share a prefix, where its route leads.
fn describe_ports(tables: &vnet::Tables, index: u32) -> Option<String> {
    let own = tables.extension::<tables::LbTables>()?.downcast_ref::<tables::LbTables>()?;
    let lines: Vec<_> = own.port_vips(index).map(|vip| vip.line.to_string().trim_end().to_string()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// The prefixes of VIPs, for completion.
fn completions(router: &vnet::Router) -> Vec<String> {
    let tables = router.tables().extension::<tables::LbTables>();
    tables
        .and_then(|tables| tables.downcast_ref::<tables::LbTables>())
        .map(|tables| tables.prefixes())
        .unwrap_or_default()
}
