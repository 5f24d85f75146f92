//! The load balancer: a plugin that gives every flow to a virtual address a server, and remembers which.
//!
//! What decides is plain data and functions, without packets and threads:
//!
//! - [`config`]: VIPs, servers and parameters, as they are configured.
//! - [`tables`]: what packets need of these, built from the configuration and immutable.
//! - [`maglev`]: which server a new flow goes to; [`slot_hash`]: the hash that decides it, the same on every machine.
//! - [`flow_table`]: a worker's memory of the flows it has seen.
//! - [`handle`]: how servers are referred to, so that a flow never reaches one that it was not given to.
//! - [`outer`]: the headers in front of an encapsulated packet.
//! - [`mod@format`]: reports and their texts.
#![forbid(unsafe_code)]

mod commands;
pub mod config;
pub mod control;
pub mod flow_table;
pub mod format;
pub mod handle;
pub mod local;
pub mod maglev;
mod node;
pub mod outer;
pub mod slot_hash;
pub mod tables;

/// How often what was removed is looked after.
const COLLECT: std::time::Duration = std::time::Duration::from_secs(5);

/// Registers the load balancer: its nodes, state and commands.
pub fn register(app: &mut cli::App) {
    let conf = config::Conf::default();
    let keys = flow_table::HashKeys::random();
    for node in node::nodes() {
        app.builder.node(node);
    }
    app.builder
        .extension(tables::LbTables::default())
        .local(move |_| local::LbLocal::new(conf.buckets, conf.timeout, keys))
        .state(control::LbControl::default())
        .on_start(|router| {
            router.every(COLLECT, |router| {
                router.with_state(control::LbControl::collect);
            });
            if let Some(node) = router.node("lb4-gre4") {
                router.set_describer(node, describe);
            }
            if let Some(node) = router.node("lb4-gre4-port") {
                router.set_describer(node, describe_ports);
            }
            for what in ["vip-prefix", "prefix"] {
                router.add_completer(what, completions);
            }
        });
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
    let lines: Vec<_> = own.port_vips(index).iter().map(|vip| vip.line.to_string().trim_end().to_string()).collect();
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
