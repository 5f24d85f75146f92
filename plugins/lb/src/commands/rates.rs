//! `show lb rates`, `lb top`.

use std::time::Duration;

use cli::{App, Args, CliError, Reply};
use vnet::Router;

use super::with;
use super::words::{Ports, once, parse_error, prefix};
use crate::config::VipKey;
use crate::rates::{LONGEST, rates};

pub(super) fn register(app: &mut App) {
    app.command(
        "show lb rates",
        "show lb rates [interval <seconds>] [vip <vip-prefix> [protocol (tcp|udp) port <n>]]",
        show,
    )
    // Clients at a terminal repeat it once a second; to others it is a table as any other.
    .command("lb top", "lb top [interval <seconds>] [vip <vip-prefix> [protocol (tcp|udp) port <n>]]", show);
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (mut vip, mut ports, mut interval) = (None, Ports::default(), None);
    while !args.is_empty() {
        if args.keyword("vip") {
            once(&mut vip, "vip", prefix(args)?)?;
        } else if args.keyword("interval") {
            once(&mut interval, "interval", args.number("a number of seconds", 1..=LONGEST)?)?;
        } else if vip.is_none() || !ports.take(args)? {
            let words = if vip.is_none() { "interval or vip" } else { "interval, vip, protocol or port" };
            return Err(parse_error(args, words));
        }
    }
    let key = vip.map(|prefix| ports.service().map(|service| VipKey { prefix, service })).transpose()?;
    with(router, |lb, router| {
        let vip = key.map(|key| lb.config().find(&key)).transpose().map_err(CliError::at)?;
        Ok(Reply::new(rates(lb, router, Duration::from_secs(interval.unwrap_or(1)), vip)))
    })
}
