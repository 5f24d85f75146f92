//! `show lb flows`, `show lb flow`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use cli::{App, Args, CliError, Job, Reply, Step};
use vnet::Router;
use vnet::wire::ip4::protocol;

use super::with;
use super::words::{Ports, once, parse_error, prefix};
use crate::config::VipKey;
use crate::control::LbControl;
use crate::flows::{FlowTuple, FlowWalk, Wanted, look_up};

/// Other sessions, and signals, wait for a long list no longer than this.
const SLICE: Duration = Duration::from_millis(20);
/// Flows that are listed unless told otherwise, as of packets in `show trace`.
const MAX: usize = 50;

pub(super) fn register(app: &mut App) {
    app.command(
        "show lb flows",
        "show lb flows [vip <vip-prefix> [protocol (tcp|udp) port <n>]] [as <address>] [max <n>]",
        show_flows,
    )
    .command(
        "show lb flow",
        "show lb flow <source>[:<port>] <destination>[:<port>] (tcp|udp|icmp|<protocol>)",
        show_flow,
    );
}

fn show_flows(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (mut vip, mut ports, mut server, mut max) = (None, Ports::default(), None, None);
    while !args.is_empty() {
        if args.keyword("vip") {
            once(&mut vip, "vip", prefix(args)?)?;
        } else if args.keyword("as") {
            once(&mut server, "as", args.parse::<IpAddr>("the address of a server")?)?;
        } else if args.keyword("max") {
            once(&mut max, "max", args.number("a number of flows", 1..=10_000_000usize)?)?;
        } else if vip.is_none() || !ports.take(args)? {
            let words = if vip.is_none() { "vip, as or max" } else { "vip, protocol, port, as or max" };
            return Err(parse_error(args, words));
        }
    }
    let key = vip.map(|prefix| ports.service().map(|service| VipKey { prefix, service })).transpose()?;
    with(router, |lb, _| {
        let vip = key.map(|key| lb.config().find(&key)).transpose().map_err(CliError::at)?;
        Ok(Reply::later(List(Some(FlowWalk::new(Wanted { vip, server }, max.unwrap_or(MAX))))))
    })
}

/// A list that is being made, until it was shown.
struct List(Option<FlowWalk>);

impl Job for List {
    fn poll(&mut self, router: &mut Router) -> Step {
        let begun = Instant::now();
        let Some(mut walk) = self.0.take() else { return Step::Done(Ok(())) };
        while router.with_state(|lb: &mut LbControl, router| walk.step(lb, router)) == Some(true) {
            if begun.elapsed() > SLICE {
                self.0 = Some(walk);
                return Step::Wait(Instant::now());
            }
        }
        Step::Print(walk.into_list().to_string())
    }
}

fn show_flow(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let source = end(args, "a source ADDRESS:PORT")?;
    let destination = end(args, "a destination ADDRESS:PORT")?;
    let word = args.word("a protocol: tcp, udp, icmp or its number")?;
    let protocol = match word {
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "icmp" => protocol::ICMP,
        number => number
            .parse()
            .map_err(|_| CliError::at(format!("expected a protocol: tcp, udp, icmp or its number, got `{word}'")))?,
    };
    args.end()?;
    let flow = FlowTuple { source, destination, protocol };
    with(router, |lb, router| Ok(Reply::new(look_up(lb, router, flow).map_err(CliError::at)?)))
}

/// An address with a port, or alone for protocols without.
fn end(args: &mut Args<'_>, what: &str) -> Result<SocketAddr, CliError> {
    let word = args.word(what)?;
    let with_port = word.parse().ok().or_else(|| word.parse().ok().map(|address: IpAddr| SocketAddr::new(address, 0)));
    with_port.ok_or_else(|| CliError::at(format!("expected {what}, got `{word}'")))
}
