//! `create host-interface`, `delete host-interface`.

use cli::{App, Args, CliError, Reply};
use vnet::Router;

use super::{DeviceOptions, Version, create, delete, name_of};

pub(crate) fn register(app: &mut App) {
    let help = "create host-interface [v2] name <ifname> [num-rx-queues <n>] [num-tx-queues <n>] [hw-addr <mac-addr>] \
                [qdisc-bypass-disable] [cksum-gso-disable]";
    app.command("create host-interface", help, run_create);
    app.command("delete host-interface", "delete host-interface name <ifname>", run_delete);
}

fn options(args: &mut Args<'_>) -> Result<DeviceOptions, CliError> {
    let mut options = DeviceOptions::new("");
    let mut name = None;
    while let Some(word) = args.peek() {
        let unknown = args.unknown();
        args.next();
        match word {
            "v2" => options.version = Version::V2,
            "v3" => options.version = Version::V3,
            "name" => name = Some(args.word("the name of a kernel device")?),
            "num-rx-queues" => options.rx_queues = args.number("a number of queues", 1..=64)?,
            "num-tx-queues" => options.tx_queues = args.number("a number of queues", 1..=64)?,
            "hw-addr" => {
                let mac = args.mac()?;
                if !mac.is_unicast() {
                    return Err(CliError::at(format!("`{mac}' is not the address of one station")));
                }
                options.mac = Some(mac.0);
            }
            "qdisc-bypass-disable" => options.qdisc_bypass = false,
            "cksum-gso-disable" => options.offload = false,
            "mode" => {
                return Err(match args.word("ethernet")? {
                    "ethernet" => continue,
                    other => CliError::at(format!("mode `{other}': host-interfaces carry Ethernet frames only")),
                });
            }
            _ => return Err(unknown),
        }
    }
    options.name = name.ok_or_else(|| CliError::at("expected name <ifname>"))?.into();
    Ok(options)
}

fn run_create(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let options = options(args)?;
    create(router, &options).map_err(CliError::at)?;
    Ok(Reply::words(name_of(&options.name)))
}

fn run_delete(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    if !args.keyword("name") {
        return Err(if args.is_empty() { CliError::at("expected name <ifname>") } else { args.unknown() });
    }
    let name = args.word("the name of a kernel device")?;
    args.end()?;
    if delete(router, name).map_err(CliError::at)? {
        Ok(Reply::none())
    } else {
        Err(CliError::at(format!("there is no host-interface on `{name}'")))
    }
}
