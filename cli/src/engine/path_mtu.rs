//! `show ip path-mtu`, `show ip6 path-mtu`, `clear ip path-mtu`.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use serde::Serialize;
use vnet::Router;

use crate::app::App;
use crate::args::Args;
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show ip path-mtu", "show ip path-mtu", |router, args| show(router, args, IpAddr::is_ipv4))
        .command("show ip6 path-mtu", "show ip6 path-mtu", |router, args| show(router, args, IpAddr::is_ipv6))
        .command("clear ip path-mtu", "clear ip path-mtu", |router, args| {
            args.end()?;
            router.forget_path_mtus(None);
            Ok(Reply::none())
        });
}

/// What errors have said about the ways of tunnels.
#[derive(Serialize)]
#[serde(transparent)]
struct Rows(Vec<Row>);

#[derive(Serialize)]
struct Row {
    destination: IpAddr,
    mtu: u16,
    seconds_left: u64,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Row { destination, mtu, seconds_left }| {
            writeln!(f, "{destination} mtu:{mtu} seconds left:{seconds_left}")
        })
    }
}

fn show(router: &mut Router, args: &mut Args<'_>, wanted: fn(&IpAddr) -> bool) -> Result<Reply, CliError> {
    args.end()?;
    let now = Instant::now();
    let rows = router.path_mtus().filter(|path| wanted(&path.destination)).map(|path| Row {
        destination: path.destination,
        mtu: path.mtu,
        seconds_left: path.until.saturating_duration_since(now).as_secs(),
    });
    Ok(Reply::new(Rows(rows.collect())))
}
