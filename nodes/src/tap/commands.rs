//! `create tap`, `delete tap`.

use cli::{App, Args, CliError, Given, Reply};
use vnet::{IfIndex, Router};

use super::{TapOptions, create, delete, free_id};

pub(crate) fn register(app: &mut App) {
    let help = "create tap [id <n>] [hw-addr <mac-addr>] [host-if-name <name>] [host-ns <netns>] [host-mac-addr <mac-addr>] \
                [host-ip4-addr <ip4addr/mask>] [host-ip4-gw <ip4-addr>] [host-bridge <name>] [host-mtu-size <n>]";
    app.command("create tap", help, run_create);
    app.command("delete tap", "delete tap {<interface> | sw_if_index <n>}", run_delete);
}

fn run_create(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let mut options = TapOptions { id: free_id(router), ..TapOptions::default() };
    let mut mac = None;
    let mut given = Given::default();
    while let Some(word) = given.next(args)? {
        match word {
            "id" => options.id = args.number("a number", 0..=65535)?,
            "hw-addr" => mac = Some(station(args)?),
            "host-if-name" => options.host_name = Some(args.word("the name of a kernel device")?.into()),
            "host-ns" => options.host_ns = Some(args.word("the name of a network namespace")?.into()),
            "host-mac-addr" => options.host_mac = Some(station(args)?),
            "host-ip4-addr" => options.host_address = Some(args.ip4_prefix()?),
            "host-ip4-gw" => options.host_gateway = Some(args.ip4("a gateway")?),
            "host-bridge" => options.host_bridge = Some(args.word("the name of a bridge")?.into()),
            "host-mtu-size" => options.host_mtu = Some(args.number("an MTU", 68..=65535)?),
            _ => return Err(given.unknown()),
        }
    }
    create(router, &options, mac).map_err(CliError::at)?;
    Ok(Reply::words(format!("tap{}", options.id)))
}

fn station(args: &mut Args<'_>) -> Result<[u8; 6], CliError> {
    let mac = args.mac()?;
    if mac.is_unicast() { Ok(mac.0) } else { Err(CliError::at(format!("`{mac}' is not the address of one station"))) }
}

fn run_delete(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let index = match args.keyword("sw_if_index") {
        true => IfIndex(args.number("a number of an interface", 0..=u32::MAX)?),
        false => args.interface(router)?,
    };
    args.end()?;
    if delete(router, index).map_err(CliError::at)? {
        Ok(Reply::none())
    } else {
        Err(CliError::at(format!("interface {index} is no tap")))
    }
}
