//! `enable ip6 interface`, `disable ip6 interface`, `show ip6 interface`.

use std::fmt;
use std::net::Ipv6Addr;

use serde::Serialize;
use vnet::wire::ip6::{ALL_NODES, ALL_ROUTERS, solicited_node};
use vnet::{IfIndex, Router};

use crate::app::App;
use crate::args::Args;
use crate::engine::interface::changeable;
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("enable ip6 interface", "enable ip6 interface <interface>", |router, args| enable(router, args, true))
        .command("disable ip6 interface", "disable ip6 interface <interface>", |router, args| {
            enable(router, args, false)
        })
        .command("show ip6 interface", "show ip6 interface [<interface>]", show);
}

fn enable(router: &mut Router, args: &mut Args<'_>, on: bool) -> Result<Reply, CliError> {
    let index = changeable(args, router)?;
    args.end()?;
    router.set_ip6_enabled(index, on);
    Ok(Reply::none())
}

/// The interfaces that take IPv6.
#[derive(Serialize)]
struct Interfaces(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: String,
    up: bool,
    addresses: Vec<String>,
    link_local: Ipv6Addr,
    groups: Vec<Ipv6Addr>,
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0 {
            writeln!(f, "{} is admin {}", row.name, if row.up { "up" } else { "down" })?;
            if !row.addresses.is_empty() {
                writeln!(f, "  Global unicast address(es):")?;
                row.addresses.iter().try_for_each(|address| writeln!(f, "    {address}"))?;
            }
            writeln!(f, "  Link-local address(es):\n    {}", row.link_local)?;
            writeln!(f, "  Joined group address(es):")?;
            row.groups.iter().try_for_each(|group| writeln!(f, "    {group}"))?;
        }
        Ok(())
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let only = if args.is_empty() { None } else { Some(args.interface(router)?) };
    args.end()?;
    let all = router.records().map(vnet::router::InterfaceRecord::index);
    let chosen: Vec<IfIndex> = all.filter(|index| only.is_none_or(|only| *index == only)).collect();
    let rows = chosen.into_iter().filter_map(|index| row(router, index)).collect();
    Ok(Reply::new(Interfaces(rows)))
}

fn row(router: &Router, index: IfIndex) -> Option<Row> {
    let interface = router.tables().interface(index);
    let own = router.record(index)?.addresses6();
    let link_local = interface.link_local();
    let mut groups = vec![ALL_NODES, ALL_ROUTERS, solicited_node(link_local)];
    groups.extend(own.iter().map(|own| solicited_node(own.address)));
    groups[2..].sort_unstable();
    groups.dedup();
    interface.ip6.then(|| Row {
        name: interface.name.to_string(),
        up: interface.admin_up,
        addresses: own.iter().map(ToString::to_string).collect(),
        link_local,
        groups,
    })
}
