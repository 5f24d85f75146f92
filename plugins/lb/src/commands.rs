//! `lb …`, `show lb …`, `test lb …`: VPP's grammar.

mod flows;
mod host;
mod import;
mod quic_lb;
mod rates;

use std::fmt;
use std::net::IpAddr;

use cli::{App, Args, CliError, Reply};
use serde::Serialize;
use vnet::Router;
use vnet::arcs::{ArcIndex, IP4_UNICAST, IP6_UNICAST};
use vnet::router::InterfaceRecord;

use crate::config::{
    ConfUpdate, Encap, EncapWords, IpPrefix, LbConfig, LbError, MssClamp, Ping, Protocol, Scheduler, ServerSpec,
    Service, VipKey, VipOptions, VipUpdate,
};
use crate::control::{LbControl, Mode};
use crate::flow_table::{MAX_BUCKETS, MAX_TIMEOUT};
use crate::format::VipReport;
use crate::maglev::MAX_LEN;
use crate::moves::Moves;
use crate::nat::PoolRange;
use crate::node::in2out::FEATURES;
use crate::quic_lb::{Configs, ServerId, ServerIdError};
use quic_lb::QuicWords;

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
    .command("show lb vips", "show lb vips [verbose]", show_vips)
    .command("test lb flowtable flush", "test lb flowtable flush", |router, args| {
        args.end()?;
        with(router, |lb, router| {
            lb.flush_flows(router);
            Ok(Reply::none())
        })
    });
}

/// RFC 9293 section 3.7.1: what every host takes over IPv4, less the options that a careless one may add.
const LEAST_MSS: u16 = 88;

/// Runs `work` with the load balancer and the router side by side.
fn with(
    router: &mut Router,
    work: impl FnOnce(&mut LbControl, &mut Router) -> Result<Reply, CliError>,
) -> Result<Reply, CliError> {
    router.with_state(work).unwrap_or_else(|| Err(CliError::at("the load balancer is disabled")))
}

/// Notes what a word says; refuses to be told twice.
fn once<T>(place: &mut Option<T>, word: &str, value: T) -> Result<(), CliError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(CliError::at(format!("`{word}' is given twice"))),
    }
}

/// The error for a word that has no place here.
fn parse_error(args: &Args<'_>) -> CliError {
    CliError::at(format!("parse error: '{}'", args.rest()))
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
            return Err(parse_error(args));
        }
    }
    with(router, |lb, router| {
        lb.change(router, |config| Ok(((), config.set_conf(update)?))).map_err(CliError::at)?;
        Ok(Reply::none())
    })
}

/// `FIRST-LAST`, or one address.
fn pool<A: Copy + std::str::FromStr>(args: &mut Args<'_>, what: &'static str) -> Result<PoolRange<A>, CliError> {
    let word = args.word(what)?;
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok(PoolRange { first, last }),
        _ => Err(CliError::at(format!("expected {what}, got `{word}'"))),
    }
}

/// A VIP's prefix, with host bits cleared as in VPP.
fn prefix(args: &mut Args<'_>) -> Result<IpPrefix, CliError> {
    let word = args.word("a VIP prefix")?;
    let invalid = || CliError::at(format!("invalid vip prefix: '{word}'"));
    let (address, length) = word.split_once('/').ok_or_else(invalid)?;
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let length: u8 = Some(length)
        .filter(|l| l.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|l| l.parse().ok())
        .ok_or_else(invalid)?;
    IpPrefix::new(address, length).map_err(|error| CliError::at(format!("invalid vip prefix: '{word}': {error}")))
}

/// The words that name a VIP's protocol and port, as far as they have come.
#[derive(Default)]
struct Ports {
    protocol: Option<Protocol>,
    port: Option<u16>,
}

impl Ports {
    /// Takes `protocol P` or `port N`, if that is what comes next.
    fn take(&mut self, args: &mut Args<'_>) -> Result<bool, CliError> {
        if args.keyword("protocol") {
            let protocol = match args.word("tcp or udp")? {
                "tcp" | "6" => Protocol::Tcp,
                "udp" | "17" => Protocol::Udp,
                other => return Err(CliError::at(format!("expected protocol tcp or udp, got `{other}'"))),
            };
            once(&mut self.protocol, "protocol", protocol)?;
        } else if args.keyword("port") {
            once(&mut self.port, "port", args.number("a port", 1..=u16::MAX)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn service(&self) -> Result<Service, CliError> {
        match (self.protocol, self.port) {
            (None, None) => Ok(Service::All),
            (Some(protocol), Some(port)) => Ok(Service::Port { protocol, port }),
            (Some(protocol), None) => Err(CliError::at(format!("protocol {protocol} needs a port"))),
            (None, Some(port)) => Err(CliError::at(format!("port {port} needs a protocol, tcp or udp"))),
        }
    }
}

fn vip(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let prefix = prefix(args)?;
    let (mut ports, mut encap, mut words, mut update) =
        (Ports::default(), None, EncapWords::default(), VipUpdate::default());
    let (mut src_ip_sticky, mut delete, mut mode) = (false, false, Mode::Change);
    let (mut kind, mut target_port, mut ping) = (None, None, None);
    let mut quic = QuicWords::default();
    while !args.is_empty() {
        if ports.take(args)? {
        } else if args.keyword("encap") {
            let word = args.word("an encapsulation (gre4, ipip4, l3dsr, ...)")?;
            let known = Encap::ALL.into_iter().map(Encap::name).find(|name| *name == word);
            let known = known.ok_or_else(|| CliError::at(LbError::Encap(word.into())))?;
            once(&mut encap, "encap", known)?;
        } else if args.keyword("variant") {
            once(&mut words.variant, "variant", args.number("a variant of GUE", 0..=1u8)?)?;
        } else if args.keyword("type") {
            let node_port = match args.word("clusterip or nodeport")? {
                "clusterip" => false,
                "nodeport" => true,
                other => return Err(CliError::at(format!("expected type clusterip or nodeport, got `{other}'"))),
            };
            once(&mut kind, "type", node_port)?;
        } else if args.keyword("target_port") {
            once(&mut target_port, "target_port", args.number("a port", 1..=u16::MAX)?)?;
        } else if args.keyword("mss-clamp") {
            let clamp = match args.peek() {
                Some("auto") => MssClamp::Auto,
                Some("off") => MssClamp::Off,
                _ => MssClamp::At(args.number("auto, off or a number of bytes", LEAST_MSS..=u16::MAX)?),
            };
            if !matches!(clamp, MssClamp::At(_)) {
                args.next();
            }
            once(&mut update.mss_clamp, "mss-clamp", clamp)?;
        } else if args.keyword("quic-lb") {
            quic.take(args)?;
        } else if args.keyword("ping") {
            let who = match args.word("answer or balance")? {
                "answer" => Ping::Answer,
                "balance" => Ping::Balance,
                other => return Err(CliError::at(format!("expected ping answer or balance, got `{other}'"))),
            };
            once(&mut ping, "ping", who)?;
        } else if args.keyword("dscp") {
            let bad = CliError::at(format!("expected a dscp from 0 to 63, got {}", args.got()));
            once(&mut words.dscp, "dscp", args.number("a dscp", 0..=63u32).map_err(|_| bad)?)?;
        } else if args.keyword("new_len") {
            once(&mut update.new_len, "new_len", args.number("a number of slots", 1..=MAX_LEN)?)?;
        } else if args.keyword("scheduler") {
            let word = args.word("a scheduler (maglev, rr, wrr, lc, wlc, sh or hash)")?;
            once(&mut update.scheduler, "scheduler", word.parse::<Scheduler>().map_err(CliError::at)?)?;
        } else if args.keyword("src_ip_sticky") {
            src_ip_sticky = true;
        } else if args.keyword("del") {
            delete = true;
        } else if args.keyword("dry-run") {
            mode = Mode::Try;
        } else {
            return Err(parse_error(args));
        }
    }
    let given = [(src_ip_sticky, "src_ip_sticky"), (update.new_len.is_some(), "new_len")];
    let more = [(update.scheduler.is_some(), "scheduler"), (!quic.is_empty(), "quic-lb")];
    let given = given.into_iter().chain(more).find(|(given, _)| *given);
    if let (true, Some((_, word))) = (delete, given) {
        return Err(CliError::at(format!("{word} and del are mutually exclusive")));
    }
    let key = VipKey { prefix, service: ports.service()? };
    let said = encap.is_some() || words != EncapWords::default();
    let default = Encap::default().name();
    let encap = said.then(|| Encap::new(encap.unwrap_or(default), words)).transpose().map_err(CliError::at)?;
    let wanted = Wanted { encap, src_ip_sticky, kind, target_port };
    with(router, |lb, router| {
        if delete {
            let (_, moves) =
                lb.change_or_try(router, mode, |config| Ok(((), config.del_vip(&key)?))).map_err(CliError::at)?;
            if mode == Mode::Change {
                lb.collect(router);
            }
            return Ok(Changed::reply(None, mode, moves));
        }
        update.ping = ping;
        let there = lb.config().find(&key).ok().and_then(|index| lb.config().vip(index));
        let quic_lb = there.map_or(Configs::default(), |vip| vip.options.quic_lb);
        let quic_lb = quic.apply(&key, quic_lb).map_err(CliError::at)?;
        update.quic_lb = (!quic.is_empty()).then_some(quic_lb);
        if let (true, Ok(index)) = (update != VipUpdate::default(), lb.config().find(&key)) {
            // A VIP that is there: what can change changes, the rest must be as it is.
            wanted.check_fixed(lb.config(), index).map_err(CliError::at)?;
            let (_, moves) =
                lb.change_or_try(router, mode, |config| config.set_vip(&key, update)).map_err(CliError::at)?;
            return Ok(Changed::reply(None, mode, moves));
        }
        let default = VipOptions::default();
        let options = VipOptions {
            encap: encap.unwrap_or(default.encap),
            scheduler: update.scheduler.unwrap_or(default.scheduler),
            new_len: update.new_len.unwrap_or(default.new_len),
            src_ip_sticky,
            target_port,
            node_port: kind.unwrap_or(false),
            ping,
            mss_clamp: update.mss_clamp,
            quic_lb,
        };
        if kind.is_some() && !options.encap.is_nat() {
            return Err(CliError::at(LbError::NatOnly { what: "type", encap: options.encap.name() }));
        }
        let (index, moves) =
            lb.change_or_try(router, mode, |config| config.add_vip(key, options)).map_err(CliError::at)?;
        let said = (mode == Mode::Change).then(|| match own_address(router, key.prefix) {
            Some(interface) => format!("lb_vip_add ok {index}\n{} is also an address of {interface}", key.prefix),
            None => format!("lb_vip_add ok {index}"),
        });
        Ok(Changed::reply(said, mode, moves))
    })
}

/// The interface that has the address which a VIP is.
fn own_address(router: &Router, prefix: IpPrefix) -> Option<String> {
    let whole = prefix.len() == if prefix.address().is_ipv4() { 32 } else { 128 };
    let has = |record: &&InterfaceRecord| match prefix.address() {
        IpAddr::V4(address) => record.addresses().iter().any(|own| own.address == address),
        IpAddr::V6(address) => record.addresses6().iter().any(|own| own.address == address),
    };
    let record = router.records().find(|record| whole && has(record))?;
    Some(router.interface(record.index())?.name.to_string())
}

/// What cannot change while a VIP is there.
struct Wanted {
    encap: Option<Encap>,
    src_ip_sticky: bool,
    kind: Option<bool>,
    target_port: Option<u16>,
}

impl Wanted {
    /// Refuses it where it was given and is something else.
    fn check_fixed(&self, config: &LbConfig, index: u32) -> Result<(), LbError> {
        let Some(vip) = config.vip(index) else { return Ok(()) };
        let has = &vip.options;
        let fixed = |what, has: String| Err(LbError::Fixed { vip: vip.key, what, has });
        if self.encap.is_some_and(|encap| encap != has.encap) {
            return fixed("encap", format!("encap {}", has.encap.name()));
        }
        if self.src_ip_sticky && !has.src_ip_sticky {
            return fixed("src_ip_sticky", "flows told apart by ports too".into());
        }
        if self.kind.is_some_and(|node_port| node_port != has.node_port) {
            return fixed("type", format!("type {}", if has.node_port { "nodeport" } else { "clusterip" }));
        }
        if self.target_port.is_some() && self.target_port != has.target_port {
            let port = has.target_port.map_or("none".into(), |port| port.to_string());
            return fixed("target_port", format!("target_port {port}"));
        }
        Ok(())
    }
}

fn servers(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let prefix = prefix(args)?;
    let (mut ports, mut addresses, mut weight) = (Ports::default(), Vec::new(), None);
    let (mut target_port, mut mac, mut server_id) = (None, None, None);
    let (mut delete, mut flush, mut mode) = (false, false, Mode::Change);
    while let Some(word) = args.peek() {
        if ports.take(args)? {
        } else if args.keyword("weight") {
            let bad = CliError::at(format!("weight must be between 0 and 100, got {}", args.got()));
            once(&mut weight, "weight", args.number("a weight", 0..=100u32).map_err(|_| bad)?)?;
        } else if args.keyword("target_port") {
            once(&mut target_port, "target_port", args.number("a port", 1..=u16::MAX)?)?;
        } else if args.keyword("mac") {
            once(&mut mac, "mac", args.mac()?)?;
        } else if args.keyword("server-id") {
            let got = args.got();
            let id = args.word("a server-id")?.parse::<ServerId>();
            let id = id.map_err(|error: ServerIdError| CliError::at(format!("{error}, got {got}")))?;
            once(&mut server_id, "server-id", id)?;
        } else if args.keyword("del") {
            delete = true;
        } else if args.keyword("flush") {
            flush = true;
        } else if args.keyword("dry-run") {
            mode = Mode::Try;
        } else if let Ok(address) = word.parse::<IpAddr>() {
            args.next();
            if addresses.contains(&address) {
                return Err(CliError::at(format!("`{address}' is given twice")));
            }
            addresses.push(address);
        } else {
            return Err(parse_error(args));
        }
    }
    if delete && weight.is_some() {
        return Err(CliError::at("weight and del are mutually exclusive"));
    }
    if delete && server_id.is_some() {
        return Err(CliError::at("server-id and del are mutually exclusive"));
    }
    if server_id.is_some() && addresses.len() > 1 {
        return Err(CliError::at("server-id is for one server, and several are named"));
    }
    if let Some(mac) = mac.filter(|mac| !mac.is_unicast()) {
        return Err(CliError::at(format!("mac {mac}: not the address of one station")));
    }
    if mac.is_some() && addresses.len() > 1 {
        return Err(CliError::at("mac is for one server, and several are named"));
    }
    let (port, mac) = (target_port, mac.map(|mac| mac.0));
    let spec = |address: &IpAddr| ServerSpec { address: *address, port, mac, server_id };
    let servers: Vec<ServerSpec> = addresses.iter().map(spec).collect();
    let key = VipKey { prefix, service: ports.service()? };
    with(router, |lb, router| {
        let change = |config: &mut LbConfig| {
            let change = if delete {
                config.del_servers(&key, &servers, flush)?
            } else {
                config.add_servers(&key, &servers, weight, flush)?
            };
            Ok(((), change))
        };
        let (_, moves) = lb.change_or_try(router, mode, change).map_err(CliError::at)?;
        Ok(Changed::reply(None, mode, moves))
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
    args.end()?;
    router.set_feature(arc, feature, interface, on).map_err(CliError::at)?;
    Ok(Reply::none())
}

fn flush(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let prefix = prefix(args)?;
    let mut ports = Ports::default();
    while !args.is_empty() {
        if !ports.take(args)? {
            return Err(parse_error(args));
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
    args.end()?;
    with(router, |lb, router| {
        lb.collect(router);
        Ok(Reply::new(Vips { verbose, vips: lb.vips(router) }))
    })
}
