//! `create host-interface`, `delete host-interface`.

use cli::{App, Args, CliError, Given, Reply};
use vnet::Router;

use super::{DeviceOptions, Version, create, delete, name_of};

pub(crate) fn register(app: &mut App) {
    let help = "create host-interface [v2|v3] name <ifname> [num-rx-queues <n>] [num-tx-queues <n>] [hw-addr <mac-addr>] \
                [rx-blocks <n>] [tx-frames <n>] [qdisc-bypass-disable] [cksum-gso-disable]";
    app.command("create host-interface", help, run_create);
    app.command("delete host-interface", "delete host-interface name <ifname>", run_delete);
}

fn options(args: &mut Args<'_>) -> Result<DeviceOptions, CliError> {
    let mut options = DeviceOptions::new("");
    let mut name = None;
    let mut given = Given::default();
    while let Some(word) = given.next(args)? {
        match word {
            "v2" => options.version = Version::V2,
            "v3" => options.version = Version::V3,
            "name" => name = Some(args.word("the name of a kernel device")?),
            "num-rx-queues" => options.rx_queues = args.number("a number of queues", 1..=64)?,
            "num-tx-queues" => options.tx_queues = args.number("a number of queues", 1..=64)?,
            "rx-blocks" => options.rx_blocks = args.number("a number of blocks", 2..=512)?,
            "tx-frames" => options.tx_frames = args.number("a number of frames", 32..=32_768)?,
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
            _ => return Err(given.unknown()),
        }
    }
    given.exclude("v2", "v3")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_options() {
        let line = "v2 name e0 num-rx-queues 2 num-tx-queues 3 rx-blocks 16 tx-frames 1024 hw-addr 02:00:00:00:00:07 \
                    qdisc-bypass-disable cksum-gso-disable";
        let expected = DeviceOptions {
            version: Version::V2,
            rx_queues: 2,
            tx_queues: 3,
            rx_blocks: 16,
            tx_frames: 1024,
            mac: Some([2, 0, 0, 0, 0, 7]),
            qdisc_bypass: false,
            offload: false,
            ..DeviceOptions::new("e0")
        };
        assert_eq!(options(&mut Args::new(line)).unwrap(), expected);
        assert_eq!(options(&mut Args::new("name e0")).unwrap(), DeviceOptions::new("e0"));
    }

    #[test]
    fn wrong_words_are_refused() {
        for (line, words) in [
            ("", "expected name"),
            ("name e rx-blocks 1", "number of blocks"),
            ("name e tx-frames 1000000", "number of frames"),
            ("name e hw-addr ff:ff:ff:ff:ff:ff", "not the address of one station"),
            ("name e fast", "fast"),
            ("name e tx-frames 64 tx-frames 64", "`tx-frames' is given twice"),
            ("v3 name e v2", "`v2' and `v3' exclude each other"),
        ] {
            let error = options(&mut Args::new(line)).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
