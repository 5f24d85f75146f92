//! `set ip neighbor`, `ip neighbor`, `show ip neighbors`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use vnet::neighbor::{NeighborRow, NeighborRows};
use vnet::router::Family;
use vnet::wire::Mac;
use vnet::{IfIndex, Router};

use crate::app::App;
use crate::args::Args;
use crate::engine::interface::changeable;
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    let help = "set ip neighbor [del] [static] <intfc> <ip-address> <mac-address>";
    app.command("set ip neighbor", help, set)
        .command("ip neighbor", "ip neighbor [add|del] [static] <intfc> <ip-address> <mac-address>", set)
        .command("show ip neighbors", "show ip neighbors [<interface>]", show)
        .command("show ip4 neighbors", "show ip4 neighbors [<interface>]", |router, args| {
            show_of::<Ipv4Addr>(router, args)
        })
        .command("show ip6 neighbors", "show ip6 neighbors [<interface>]", |router, args| {
            show_of::<Ipv6Addr>(router, args)
        });
}

fn set(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let delete = args.keyword("del");
    let _ = delete || args.keyword("add");
    let fixed = args.keyword("static");
    let expected = CliError::at(format!("specify interface, IP address and MAC: `{}'", args.rest()));
    let index = changeable(args, router)?;
    match args.ip("an address").map_err(|_| expected.clone())? {
        IpAddr::V4(address) => change(router, args, index, address, (delete, fixed), expected),
        IpAddr::V6(address) => change(router, args, index, address, (delete, fixed), expected),
    }
}

fn change<A: Family>(
    router: &mut Router,
    args: &mut Args<'_>,
    index: IfIndex,
    address: A,
    (delete, fixed): (bool, bool),
    expected: CliError,
) -> Result<Reply, CliError> {
    if delete {
        let mac = if args.is_empty() { None } else { Some(args.mac().map_err(|_| expected)?) };
        args.end()?;
        // VPP does not look at it; but who names another neighbour than is there means another.
        if let Some((mac, known)) = mac.zip(router.neighbors_of::<A>().mac(index, address).map(Mac))
            && mac != known
        {
            return Err(CliError::at(format!("{address} has the MAC {known}, not `{mac}'")));
        }
        router.del_neighbor(index, address).map_err(CliError::at)?;
    } else {
        let mac = args.mac().map_err(|_| expected)?;
        let fixed = fixed || args.keyword("static");
        let _ = args.keyword("no-fib-entry");
        args.end()?;
        router.set_neighbor(index, address, mac.0, fixed).map_err(CliError::at)?;
    }
    Ok(Reply::none())
}

/// Those of both families, IPv4's first.
fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let interface = only(router, args)?;
    let mut rows = rows_of::<Ipv4Addr>(router, interface);
    rows.extend(rows_of::<Ipv6Addr>(router, interface));
    Ok(Reply::new(NeighborRows(rows)))
}

fn show_of<A: Family>(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let interface = only(router, args)?;
    Ok(Reply::new(NeighborRows(rows_of::<A>(router, interface))))
}

/// The interface that is asked about, if one is named.
fn only(router: &Router, args: &mut Args<'_>) -> Result<Option<IfIndex>, CliError> {
    let interface = if args.is_empty() { None } else { Some(args.interface(router)?) };
    args.end()?;
    Ok(interface)
}

fn rows_of<A: Family>(router: &Router, interface: Option<IfIndex>) -> Vec<NeighborRow<IpAddr>> {
    let rows = router.neighbors_of::<A>().rows(router.rib_of::<A>(), Instant::now(), interface);
    rows.0.into_iter().map(|row| row.map(A::to_ip)).collect()
}
