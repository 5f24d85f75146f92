//! `create interface af_xdp`, `delete interface af_xdp`.

use cli::{App, Args, CliError, Given, Reply};
use vnet::Router;

use super::{Mode, XdpOptions, ZeroCopy, create, delete};

pub(crate) fn register(app: &mut App) {
    let help = "create interface af_xdp <host-if linux-ifname> [name ifname] [rx-queue-size size] [tx-queue-size size] \
                [num-rx-queues <num|all>] [prog pathname] [zero-copy|no-zero-copy] [mode auto|skb|native|offload] [busy-poll]";
    app.command("create interface af_xdp", help, run_create);
    app.command("delete interface af_xdp", "delete interface af_xdp <interface>", run_delete);
}

/// Entries of a ring.
fn size(option: &str, args: &mut Args<'_>) -> Result<u32, CliError> {
    let size: u32 = args.number(&format!("{option}, a power of two"), 64..=32768)?;
    if size.is_power_of_two() {
        Ok(size)
    } else {
        Err(CliError::at(format!("expected {option}, a power of two, got `{size}'")))
    }
}

fn options(args: &mut Args<'_>) -> Result<XdpOptions, CliError> {
    let mut options = XdpOptions::new("");
    let mut given = Given::default();
    while let Some(word) = given.next(args)? {
        match word {
            "host-if" => options.host_if = args.word("the name of a kernel device")?.into(),
            "name" => options.name = Some(args.word("a name for the interface")?.into()),
            "num-rx-queues" if args.keyword("all") => options.rx_queues = None,
            "num-rx-queues" => options.rx_queues = Some(args.number("all, or a number of queues", 1..=64)?),
            "rx-queue-size" => options.rx_size = size(word, args)?,
            "tx-queue-size" => options.tx_size = size(word, args)?,
            "zero-copy" => options.zero_copy = ZeroCopy::Yes,
            "no-zero-copy" => options.zero_copy = ZeroCopy::No,
            "mode" => options.mode = mode(args)?,
            "prog" => options.program = Some(args.word("an object file of eBPF")?.into()),
            "busy-poll" => options.busy_poll = true,
            _ => return Err(given.unknown()),
        }
    }
    given.exclude("zero-copy", "no-zero-copy")?;
    if options.host_if.is_empty() {
        return Err(CliError::at("expected host-if <linux-ifname>"));
    }
    Ok(options)
}

fn mode(args: &mut Args<'_>) -> Result<Mode, CliError> {
    match args.word("auto, skb, native or offload")? {
        "auto" => Ok(Mode::Auto),
        "skb" => Ok(Mode::Skb),
        "native" => Ok(Mode::Native),
        "offload" => Ok(Mode::Offload),
        other => Err(CliError::at(format!("expected auto, skb, native or offload, got `{other}'"))),
    }
}

fn run_create(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let options = options(args)?;
    let index = create(router, &options).map_err(CliError::at)?;
    Ok(Reply::words(router.interface(index).map_or_else(String::new, |interface| interface.name.to_string())))
}

fn run_delete(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let mut named = args.clone();
    let index = args.interface(router)?;
    args.end()?;
    if delete(router, index).map_err(CliError::at)? {
        return Ok(Reply::none());
    }
    let name = named.word("an interface")?;
    Err(CliError::at(format!("`{name}' is no af_xdp interface")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_options() {
        let line = "host-if eth0 num-rx-queues all rx-queue-size 4096 tx-queue-size 512 no-zero-copy mode skb busy-poll name x";
        let expected = XdpOptions {
            name: Some("x".into()),
            rx_queues: None,
            rx_size: 4096,
            tx_size: 512,
            zero_copy: ZeroCopy::No,
            mode: Mode::Skb,
            busy_poll: true,
            ..XdpOptions::new("eth0")
        };
        assert_eq!(options(&mut Args::new(line)).unwrap(), expected);
        assert_eq!(options(&mut Args::new("host-if l0")).unwrap(), XdpOptions::new("l0"));
    }

    #[test]
    fn wrong_words_are_refused() {
        for (line, words) in [
            ("", "host-if"),
            ("host-if e rx-queue-size 1000", "power of two"),
            ("host-if e mode fast", "auto, skb"),
            ("host-if e num-rx-queues 0", "number of queues"),
            ("host-if e fast", "fast"),
            ("host-if e busy-poll busy-poll", "`busy-poll' is given twice"),
            ("zero-copy host-if e no-zero-copy", "`zero-copy' and `no-zero-copy' exclude each other"),
        ] {
            let error = options(&mut Args::new(line)).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
