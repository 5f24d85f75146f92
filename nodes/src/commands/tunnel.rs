//! `create gre tunnel`, `show gre tunnel`; the same with `ipip`.

use std::fmt;

use cli::{App, Args, CliError, Reply};
use serde::Serialize;
use vnet::Router;

use crate::gre::Gre;
use crate::ipip::Ipip;
use crate::tunnel::{Kind, Tunnels};

pub(super) fn register(app: &mut App) {
    let help = "create gre tunnel src <addr> {dst <addr> | multipoint} [instance <n>] [del]";
    app.command("create gre tunnel", help, create::<Gre>);
    app.command("show gre tunnel", "show gre tunnel", show::<Gre>);
    let help = "create ipip tunnel src <addr> {dst <addr> | multipoint} [instance <n>] [del]";
    app.command("create ipip tunnel", help, create::<Ipip>);
    app.command("show ipip tunnel", "show ipip tunnel", show::<Ipip>);
}

fn create<K: Kind>(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (mut source, mut destination, mut instance) = (None, None, None);
    let (mut multipoint, mut delete) = (false, false);
    while let Some(word) = args.peek() {
        let unknown = args.unknown();
        args.next();
        match word {
            "src" => source = Some(args.ip4("our end of the tunnel")?),
            "dst" => destination = Some(args.ip4("the other end of the tunnel")?),
            "instance" => instance = Some(args.number("an instance", 0..=16383)?),
            "multipoint" | "p2mp" => multipoint = true,
            "del" => delete = true,
            _ => return Err(unknown),
        }
    }
    let source = source.ok_or_else(|| CliError::at("expected src <addr>"))?;
    match (multipoint, destination) {
        (true, Some(other)) => return Err(CliError::at(format!("multipoint and dst {other} exclude each other"))),
        (false, None) => return Err(CliError::at("expected dst <addr> or multipoint")),
        _ => (),
    }
    let missing = || CliError::at(format!("{} tunnels are not registered", K::NAME));
    router
        .with_state::<Tunnels<K>, _>(|tunnels, router| {
            if delete {
                tunnels.remove(router, source, destination).map_err(CliError::at)?;
                return Ok(Reply::none());
            }
            let interface = tunnels.add(router, source, destination, instance).map_err(CliError::at)?;
            Ok(Reply::words(router.tables().interface(interface).name.to_string()))
        })
        .ok_or_else(missing)?
}

/// The tunnels.
#[derive(Serialize)]
#[serde(transparent)]
struct Rows {
    #[serde(skip)]
    kind: &'static str,
    tunnels: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    instance: u32,
    source: String,
    destination: String,
    multipoint: bool,
    sw_if_index: u32,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tunnels.is_empty() {
            return writeln!(f, "No {} tunnels configured...", self.kind);
        }
        for row in &self.tunnels {
            let mode = if row.multipoint { "multi-point" } else { "point-to-point" };
            writeln!(
                f,
                "[{}] instance {} src {} dst {} fib-idx 0 sw-if-idx {} payload L3 {mode}",
                row.instance, row.instance, row.source, row.destination, row.sw_if_index
            )?;
        }
        Ok(())
    }
}

fn show<K: Kind>(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let tunnels = router.state::<Tunnels<K>>().map(|tunnels| tunnels.list().to_vec()).unwrap_or_default();
    let rows = tunnels.iter().map(|tunnel| Row {
        instance: tunnel.instance,
        source: tunnel.source.to_string(),
        destination: tunnel.destination.map_or_else(|| "0.0.0.0".into(), |address| address.to_string()),
        multipoint: tunnel.destination.is_none(),
        sw_if_index: tunnel.interface.0,
    });
    Ok(Reply::new(Rows { kind: K::NAME, tunnels: rows.collect() }))
}
