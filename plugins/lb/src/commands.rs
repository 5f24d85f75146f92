//! `lb …`, `show lb …`, `test lb …`: VPP's grammar.

mod flows;
mod host;
mod import;
mod quic_lb;
mod rates;
mod servers;
mod vip;
mod words;

use std::fmt;

use cli::{App, Args, CliError, Reply};
use serde::Serialize;
use vnet::Router;
use vnet::arcs::{ArcIndex, IP4_UNICAST, IP6_UNICAST};

use crate::config::{ConfUpdate, VipKey};
use crate::control::{LbControl, Mode};
use crate::flow_table::{MAX_BUCKETS, MAX_TIMEOUT};
use crate::format::VipReport;
use crate::moves::Moves;
use crate::node::in2out::FEATURES;
use servers::servers;
use vip::vip;
use words::{Ports, end, once, parse_error, pool, prefix};

pub(crate) fn register(app: &mut App) {
    flows::register(app);
    host::register(app);
    import::register(app);
    rates::register(app);
    app.command(
        "lb conf",
        "lb conf [ip4-src-address <addr>] [ip6-src-address <addr>] [buckets <n>] [timeout <s>] \
         [half-open <s>] [established <s>] [closing <s>] [udp <s>] [snat4 <addr>[-<addr>]] [snat6 <addr>[-<addr>]]",
        conf,
    )
    .command(
        "lb vip",
        "lb vip <prefix> [protocol (tcp|udp) port <n>] \
         [encap (gre4|gre6|ipip4|ipip6|gue4|gue6|l3dsr|l2dsr|nat4|nat6|fullnat4|fullnat6)] [dscp <n>] [variant <0|1>] \
         [type (nodeport|clusterip) target_port <n>] [new_len <n>] [src_ip_sticky] \
         [scheduler <maglev|rr|wrr|lc|wlc|sh|hash>] [ping (answer|balance)] [mss-clamp (auto|off|<n>)] \
         [quic-lb (off|<0-6> (off|server-id-len <n> nonce-len <n> [key <hex>] [encodes-len]))] [del] [dry-run]",
        vip,
    )
    .command(
        "lb as",
        "lb as <vip-prefix> [protocol (tcp|udp) port <n>] [<address> [<address> [...]]] [target_port <n>] [mac <mac>] \
         [server-id <hex>] [weight <0-100>] [del] [flush] [dry-run]",
        servers,
    )
    .command("lb flush vip", "lb flush vip <prefix> [protocol (tcp|udp) port <n>]", flush)
    .command("lb set interface nat4", "lb set interface nat4 in <interface> [del]", |router, args| {
        nat_feature(router, args, IP4_UNICAST, FEATURES[0])
    })
    .command("lb set interface nat6", "lb set interface nat6 in <interface> [del]", |router, args| {
        nat_feature(router, args, IP6_UNICAST, FEATURES[1])
    })
    .command("show lb", "show lb", |router, args| {
        args.end()?;
        with(router, |lb, router| {
            lb.collect(router);
            Ok(Reply::new(lb.report(router)))
        })
    })
    .command("show lb conf", "show lb conf", |router, args| {
        args.end()?;
        with(router, |lb, _| Ok(Reply::new(*lb.config().conf())))
    })
    .command("show lb vips", "show lb vips [verbose]", show_vips)
    .command("test lb flowtable flush", "test lb flowtable flush", |router, args| {
        args.end()?;
        with(router, |lb, router| {
            lb.flush_flows(router);
            Ok(Reply::none())
        })
    });
}

/// Runs `work` with the load balancer and the router side by side.
fn with(
    router: &mut Router,
    work: impl FnOnce(&mut LbControl, &mut Router) -> Result<Reply, CliError>,
) -> Result<Reply, CliError> {
    router.with_state(work).unwrap_or_else(|| Err(CliError::at("the load balancer is disabled")))
}

fn conf(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let mut update = ConfUpdate::default();
    while !args.is_empty() {
        if args.keyword("ip4-src-address") {
            once(&mut update.ip4_src, "ip4-src-address", args.ip4("the source of tunnels")?)?;
        } else if args.keyword("ip6-src-address") {
            once(&mut update.ip6_src, "ip6-src-address", args.parse("the source of tunnels, an IPv6 address")?)?;
        } else if args.keyword("snat4") {
            once(&mut update.snat4, "snat4", pool(args, "an IPv4 address, or two with `-' between them")?)?;
        } else if args.keyword("snat6") {
            once(&mut update.snat6, "snat6", pool(args, "an IPv6 address, or two with `-' between them")?)?;
        } else if args.keyword("buckets") {
            once(&mut update.buckets, "buckets", args.number("a power of two", 1..=MAX_BUCKETS)?)?;
        } else if args.keyword("timeout") {
            once(&mut update.timeout, "timeout", args.number("a number of seconds", 1..=MAX_TIMEOUT)?)?;
        } else if args.keyword("half-open") {
            once(&mut update.half_open, "half-open", args.number("a number of seconds", 1..=MAX_TIMEOUT)?)?;
        } else if args.keyword("closing") {
            once(&mut update.closing, "closing", args.number("a number of seconds", 1..=MAX_TIMEOUT)?)?;
        } else if args.keyword("established") {
            once(&mut update.established, "established", args.number("a number of seconds", 1..=MAX_TIMEOUT)?)?;
        } else if args.keyword("udp") {
            once(&mut update.udp, "udp", args.number("a number of seconds", 1..=MAX_TIMEOUT)?)?;
        } else {
            let words = "ip4-src-address, ip6-src-address, buckets, timeout, half-open, established, closing, udp, snat4 or snat6";
            return Err(parse_error(args, words));
        }
    }
    with(router, |lb, router| {
        lb.change(router, |config| Ok(((), config.set_conf(update)?))).map_err(CliError::at)?;
        Ok(Reply::none())
    })
}

/// What a change has to say.
#[derive(Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
    moves: Moves,
    #[serde(skip)]
    silent: bool,
}

impl Changed {
    /// A change that moves nothing has nothing to say about that, as in VPP; a trial has.
    fn reply(said: Option<String>, mode: Mode, moves: Vec<Moves>) -> Reply {
        // A command concerns one VIP.
        let moves = moves.into_iter().next().unwrap_or_default();
        let silent = mode == Mode::Change && moves.is_nothing();
        if silent && said.is_none() { Reply::none() } else { Reply::new(Changed { said, moves, silent }) }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(said) = &self.said {
            writeln!(f, "{said}")?;
        }
        if self.silent { Ok(()) } else { self.moves.fmt(f) }
    }
}

/// Lets packets that come in by an interface from servers be translated back, or no longer.
fn nat_feature(router: &mut Router, args: &mut Args<'_>, arc: ArcIndex, feature: &str) -> Result<Reply, CliError> {
    if !args.keyword("in") {
        return Err(CliError::at(format!("expected `in', got {}", args.got())));
    }
    let interface = args.interface(router)?;
    let on = !args.keyword("del");
    end(args, if on { "del" } else { "nothing more" })?;
    router.set_feature(arc, feature, interface, on).map_err(CliError::at)?;
    Ok(Reply::none())
}

fn flush(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let prefix = prefix(args)?;
    let mut ports = Ports::default();
    while !args.is_empty() {
        if !ports.take(args)? {
            return Err(parse_error(args, "protocol or port"));
        }
    }
    let key = VipKey { prefix, service: ports.service()? };
    with(router, |lb, router| {
        let (index, moves) =
            lb.change_or_try(router, Mode::Change, |config| config.flush_vip(&key)).map_err(CliError::at)?;
        Ok(Changed::reply(Some(format!("lb_flush_vip ok {index}")), Mode::Change, moves))
    })
}

/// The VIPs, a line each, or with everything.
#[derive(Serialize)]
struct Vips {
    #[serde(skip)]
    verbose: bool,
    vips: Vec<VipReport>,
}

impl fmt::Display for Vips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vip in &self.vips {
            if self.verbose { write!(f, "{vip}")? } else { writeln!(f, "{}", vip.line)? }
        }
        Ok(())
    }
}

fn show_vips(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let verbose = args.keyword("verbose");
    end(args, if verbose { "nothing more" } else { "verbose" })?;
    with(router, |lb, router| {
        lb.collect(router);
        Ok(Reply::new(Vips { verbose, vips: lb.vips(router) }))
    })
}
