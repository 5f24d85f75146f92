//! `create packet-generator interface`, `packet-generator …`, `show packet-generator`.

use std::path::Path;

use cli::{App, Args, CliError, Given, Reply};
use vnet::Router;

use super::{Pg, PgError};

pub(crate) fn register(app: &mut App) {
    app.command(
        "create packet-generator interface",
        "create packet-generator interface <interface name> [hw-addr <addr>]",
        create,
    )
    .command(
        "packet-generator new",
        "packet-generator new { name <s> limit <n> rate <pps> size <lo>-<hi> interface <pgN> data { … } } | pcap <file> source <pgN> name <s>",
        |router, args| {
            let text = args.take_rest();
            with(router, |pg, router| pg.new_stream(router, text))
        },
    )
    .command("packet-generator enable-stream", "packet-generator enable-stream [<stream>]", |router, args| {
        let name = one_or_all(args)?;
        with(router, |pg, router| pg.enable(router, name.as_deref()))
    })
    .command("packet-generator disable-stream", "packet-generator disable-stream [<stream>]", |router, args| {
        let name = one_or_all(args)?;
        with(router, |pg, router| pg.disable(router, name.as_deref()))
    })
    .command("packet-generator delete", "packet-generator delete <stream>", |router, args| {
        let name = one_word(args)?;
        with(router, |pg, router| pg.delete(router, &name))
    })
    .command(
        "packet-generator capture",
        "packet-generator capture <interface name> pcap <filename> [count <n>] | <interface name> disable",
        capture,
    )
    .command("show packet-generator", "show packet-generator", |router, args| {
        args.end()?;
        let table = router.with_state::<Pg, _>(|pg, router| pg.show(router));
        table.map(Reply::new).ok_or_else(missing)
    });
}

fn missing() -> CliError {
    CliError::at("the packet generator is not there")
}

fn with(
    router: &mut Router,
    work: impl FnOnce(&mut Pg, &mut Router) -> Result<(), PgError>,
) -> Result<Reply, CliError> {
    router.with_state::<Pg, _>(work).ok_or_else(missing)?.map_err(CliError::at)?;
    Ok(Reply::none())
}

fn one_word(args: &mut Args<'_>) -> Result<String, CliError> {
    let name = args.word("stream name")?.to_string();
    args.end()?;
    Ok(name)
}

fn one_or_all(args: &mut Args<'_>) -> Result<Option<String>, CliError> {
    if args.is_empty() { Ok(None) } else { one_word(args).map(Some) }
}

fn create(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let word = args.word("an interface name such as pg0")?;
    let number = super::interface_number(word)
        .ok_or_else(|| CliError::at(format!("expected an interface name such as pg0, got `{word}'")))?;
    let mac = if args.keyword("hw-addr") { Some(args.mac()?) } else { None };
    args.end()?;
    let made = router.with_state::<Pg, _>(|pg, router| pg.create_interface(router, number, mac));
    made.ok_or_else(missing)?.map_err(CliError::at)?;
    Ok(Reply::none())
}

fn capture(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let interface = args.interface(router)?;
    let (mut file, mut count, mut off, mut given) = (None, None, false, Given::default());
    while let Some(word) = given.next(args)? {
        match word {
            "pcap" => file = Some(args.word("a file")?),
            "count" => count = Some(args.number("a number of packets", 1..=u64::MAX)?),
            "disable" => off = true,
            _ => return Err(given.unknown()),
        }
    }
    given.exclude("disable", "pcap")?;
    given.exclude("disable", "count")?;
    if off {
        return with(router, |pg, router| pg.capture_off(router, interface));
    }
    let file = file.ok_or_else(|| CliError::at("expected pcap FILE, got nothing"))?;
    with(router, |pg, router| pg.capture(router, interface, Path::new(file), count))
}
