//! `create gre tunnel`, `show gre tunnel`; the same with `ipip` and `gue`.

use std::fmt;
use std::net::IpAddr;

use cli::{App, Args, CliError, Given, Reply};
use serde::Serialize;
use vnet::Router;

use crate::gre::Gre;
use crate::gue::Gue;
use crate::ipip::Ipip;
use crate::tunnel::{Kind, Outer, Tunnels};

pub(super) fn register(app: &mut App) {
    let help = "create gre tunnel src <addr> {dst <addr> | multipoint} [instance <n>] [del]";
    app.command("create gre tunnel", help, |router, args| create::<Gre>(router, args, |_, _| Ok(None)));
    app.command("show gre tunnel", "show gre tunnel", show::<Gre>);
    let help = "create ipip tunnel src <addr> {dst <addr> | multipoint} [instance <n>] [del]";
    app.command("create ipip tunnel", help, |router, args| create::<Ipip>(router, args, |_, _| Ok(None)));
    app.command("show ipip tunnel", "show ipip tunnel", show::<Ipip>);
    let help = "create gue tunnel src <addr> {dst <addr> | multipoint} [variant <0-1>] [instance <n>] [del]";
    app.command("create gue tunnel", help, |router, args| create::<Gue>(router, args, variant));
    app.command("show gue tunnel", "show gue tunnel", show::<Gue>);
}

/// `variant N` of GUE.
fn variant(word: &str, args: &mut Args<'_>) -> Result<Option<Gue>, CliError> {
    if word != "variant" {
        return Ok(None);
    }
    Ok(Some(Gue { direct: args.number("a variant", 0..=1u8)? == 1 }))
}

/// What was typed.
struct Wish<K> {
    kind: K,
    instance: Option<u32>,
    delete: bool,
}

/// `own` takes a word that only the kind knows, with what belongs to it.
fn create<K: Kind>(
    router: &mut Router,
    args: &mut Args<'_>,
    own: impl Fn(&str, &mut Args<'_>) -> Result<Option<K>, CliError>,
) -> Result<Reply, CliError> {
    let (mut source, mut destination, mut multipoint) = (None, None, false);
    let mut wish = Wish { kind: K::default(), instance: None, delete: false };
    let mut given = Given::default();
    while let Some(word) = given.next(args)? {
        match word {
            "src" => source = Some(args.ip("our end of the tunnel")?),
            "dst" => destination = Some(args.ip("the other end of the tunnel")?),
            "instance" => wish.instance = Some(args.number("an instance", 0..=16383)?),
            "multipoint" | "p2mp" => multipoint = true,
            "del" => wish.delete = true,
            _ => wish.kind = own(word, args)?.ok_or_else(|| given.unknown())?,
        }
    }
    let source = source.ok_or_else(|| CliError::at("expected src <addr>"))?;
    match (multipoint, destination) {
        (true, Some(other)) => return Err(CliError::at(format!("multipoint and dst {other} exclude each other"))),
        (false, None) => return Err(CliError::at("expected dst <addr> or multipoint")),
        _ => (),
    }
    match (source, destination) {
        (IpAddr::V4(source), None) => carry_out(router, wish, source, None),
        (IpAddr::V6(source), None) => carry_out(router, wish, source, None),
        (IpAddr::V4(source), Some(IpAddr::V4(other))) => carry_out(router, wish, source, Some(other)),
        (IpAddr::V6(source), Some(IpAddr::V6(other))) => carry_out(router, wish, source, Some(other)),
        (source, Some(other)) => {
            let family = |address: IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
            Err(CliError::at(format!(
                "both ends of a tunnel are of one family: {source} is {}, {other} is {}",
                family(source),
                family(other)
            )))
        }
    }
}

fn carry_out<K: Kind, A: Outer>(
    router: &mut Router,
    wish: Wish<K>,
    source: A,
    destination: Option<A>,
) -> Result<Reply, CliError> {
    let missing = || CliError::at("tunnels are not registered");
    router
        .with_state::<Tunnels, _>(|tunnels, router| {
            if wish.delete {
                tunnels.remove::<K, A>(router, source, destination).map_err(CliError::at)?;
                return Ok(Reply::none());
            }
            let made = tunnels.add(router, wish.kind, source, destination, wish.instance);
            let interface = made.map_err(CliError::at)?;
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
    #[serde(skip_serializing_if = "str::is_empty")]
    remark: &'static str,
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
                "[{}] instance {} src {} dst {} fib-idx 0 sw-if-idx {} payload L3 {mode}{}",
                row.instance, row.instance, row.source, row.destination, row.sw_if_index, row.remark
            )?;
        }
        Ok(())
    }
}

fn show<K: Kind>(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let any = |source: IpAddr| if source.is_ipv4() { "0.0.0.0" } else { "::" };
    let rows = router.state::<Tunnels>().into_iter().flat_map(|tunnels| tunnels.list::<K>()).map(|tunnel| Row {
        instance: tunnel.instance,
        source: tunnel.source.to_string(),
        destination: tunnel.destination.map_or_else(|| any(tunnel.source).into(), |address| address.to_string()),
        multipoint: tunnel.destination.is_none(),
        sw_if_index: tunnel.interface.0,
        remark: tunnel.remark,
    });
    Ok(Reply::new(Rows { kind: K::NAME, tunnels: rows.collect() }))
}
