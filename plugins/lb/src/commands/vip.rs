//! `lb vip`.

use std::net::IpAddr;

use cli::{Args, CliError, Reply};
use vnet::Router;
use vnet::router::InterfaceRecord;

use super::quic_lb::QuicWords;
use super::words::{Ports, flag, once, parse_error, prefix};
use super::{Changed, with};
use crate::config::{
    Encap, EncapWords, IpPrefix, LbConfig, LbError, MssClamp, Ping, Scheduler, VipKey, VipOptions, VipUpdate,
};
use crate::control::Mode;
use crate::maglev::MAX_LEN;
use crate::quic_lb::Configs;

/// RFC 9293 section 3.7.1: what every host takes over IPv4, less the options that a careless one may add.
const LEAST_MSS: u16 = 88;

/// What may follow the prefix.
const WORDS: &str = "protocol, port, encap, dscp, variant, type, target_port, new_len, src_ip_sticky, scheduler, ping, \
                     mss-clamp, quic-lb, del or dry-run";

pub(super) fn vip(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let prefix = prefix(args)?;
    let (mut ports, mut encap, mut words, mut update) =
        (Ports::default(), None, EncapWords::default(), VipUpdate::default());
    let (mut src_ip_sticky, mut delete, mut dry_run) = (false, false, false);
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
            flag(&mut src_ip_sticky, "src_ip_sticky")?;
        } else if args.keyword("del") {
            flag(&mut delete, "del")?;
        } else if args.keyword("dry-run") {
            flag(&mut dry_run, "dry-run")?;
        } else {
            return Err(parse_error(args, WORDS));
        }
    }
    let given = [(src_ip_sticky, "src_ip_sticky"), (update.new_len.is_some(), "new_len")];
    let more = [(update.scheduler.is_some(), "scheduler"), (!quic.is_empty(), "quic-lb")];
    let rest = [(ping.is_some(), "ping"), (update.mss_clamp.is_some(), "mss-clamp")];
    let given = given.into_iter().chain(more).chain(rest).find(|(given, _)| *given);
    if let (true, Some((_, word))) = (delete, given) {
        return Err(CliError::at(format!("{word} and del are mutually exclusive")));
    }
    let mode = if dry_run { Mode::Try } else { Mode::Change };
    let key = VipKey { prefix, service: ports.service()? };
    let said = encap.is_some() || words != EncapWords::default();
    let default = Encap::default().name();
    let encap = said.then(|| Encap::new(encap.unwrap_or(default), words)).transpose().map_err(CliError::at)?;
    let wanted = Wanted { encap, src_ip_sticky, kind, target_port };
    with(router, |lb, router| {
        if delete {
            wanted.check_same(lb.config(), lb.config().find(&key).map_err(CliError::at)?).map_err(CliError::at)?;
            let (_, moves) =
                lb.change_or_try(router, mode, |config| Ok(((), config.del_vip(&key)?))).map_err(CliError::at)?;
            if mode == Mode::Change {
                lb.collect_soon(router);
            }
            return Ok(Changed::reply(None, mode, moves));
        }
        lb.catch_up(router);
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
    /// Refuses to change it where it was given and is something else.
    fn check_fixed(&self, config: &LbConfig, index: u32) -> Result<(), LbError> {
        let Some((vip, (what, _, has))) = self.difference(config, index) else { return Ok(()) };
        Err(LbError::Fixed { vip, what, has })
    }

    /// Refuses it as the description of a VIP that is to go: what was said is of another.
    fn check_same(&self, config: &LbConfig, index: u32) -> Result<(), LbError> {
        let Some((vip, (_, wanted, has))) = self.difference(config, index) else { return Ok(()) };
        Err(LbError::Differs { vip, has, wanted })
    }

    /// The first that is not as it was given: the word, what was said and what there is.
    fn difference(&self, config: &LbConfig, index: u32) -> Option<(VipKey, (&'static str, String, String))> {
        let vip = config.vip(index)?;
        let has = &vip.options;
        let other = |what, wanted, has| Some((vip.key, (what, wanted, has)));
        if let Some(encap) = self.encap.filter(|encap| *encap != has.encap) {
            return other("encap", encap_words(encap), encap_words(has.encap));
        }
        if self.src_ip_sticky && !has.src_ip_sticky {
            return other("src_ip_sticky", "src_ip_sticky".into(), "flows told apart by ports too".into());
        }
        let kind = |node_port| format!("type {}", if node_port { "nodeport" } else { "clusterip" });
        if let Some(node_port) = self.kind.filter(|node_port| *node_port != has.node_port) {
            return other("type", kind(node_port), kind(has.node_port));
        }
        if let Some(wanted) = self.target_port.filter(|port| Some(*port) != has.target_port) {
            let port = has.target_port.map_or("none".into(), |port| port.to_string());
            return other("target_port", format!("target_port {wanted}"), format!("target_port {port}"));
        }
        None
    }
}

/// An encapsulation as it is typed.
fn encap_words(encap: Encap) -> String {
    let more = match encap {
        Encap::L3dsr { dscp } => format!(" dscp {dscp}"),
        Encap::Gue4 { direct: true } | Encap::Gue6 { direct: true } => " variant 1".into(),
        _ => String::new(),
    };
    format!("encap {}{more}", encap.name())
}
