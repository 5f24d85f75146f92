//! `set ip neighbor`, `ip neighbor`, `show ip neighbors`.

use std::time::Instant;

use vnet::Router;
use vnet::wire::Mac;

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
        .command("show ip4 neighbors", "show ip4 neighbors [<interface>]", show);
}

fn set(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let delete = args.keyword("del");
    let _ = delete || args.keyword("add");
    let fixed = args.keyword("static");
    let expected = CliError::at(format!("specify interface, IP address and MAC: `{}'", args.rest()));
    let index = changeable(args, router)?;
    let address = args.ip4("an address").map_err(|_| expected.clone())?;
    if delete {
        let mac = if args.is_empty() { None } else { Some(args.mac().map_err(|_| expected)?) };
        args.end()?;
        // VPP does not look at it; but who names another neighbour than is there means another.
        if let Some((mac, known)) = mac.zip(router.neighbors().mac(index, address).map(Mac))
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

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let interface = if args.is_empty() { None } else { Some(args.interface(router)?) };
    args.end()?;
    Ok(Reply::new(router.neighbors().rows(router.rib(), Instant::now(), interface)))
}
