//! `lb import csv`, `lb import packetvisor`.

use cli::{App, Args, CliError, Reply};
use vnet::Router;

use super::with;
use super::words::{Ports, end, flag, once, parse_error, prefix};
use crate::config::{Encap, LbError, Scheduler, VipKey};
use crate::control::Mode;
use crate::import::{ImportError, Plan, PlannedVip, apply, csv, packetvisor, read};
use crate::maglev::MAX_LEN;

pub(super) fn register(app: &mut App) {
    app.command(
        "lb import csv",
        "lb import csv <file> encap <encap> vip <prefix> [protocol (tcp|udp) port <n>] [dscp <n>] [new_len <n>] \
         [scheduler <maglev|rr|wrr|lc|wlc|sh|hash>] [dry-run]",
        list,
    )
    .command("lb import packetvisor", "lb import packetvisor <file> [dry-run]", file);
}

fn list(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let file = args.word("a file")?;
    let (mut encap, mut vip, mut ports, mut dscp) = (None, None, Ports::default(), None);
    let (mut scheduler, mut new_len, mut dry_run) = (None, None, false);
    while !args.is_empty() {
        if ports.take(args)? {
        } else if args.keyword("encap") {
            once(&mut encap, "encap", args.word("an encapsulation (gre4, ipip4, l3dsr, ...)")?)?;
        } else if args.keyword("vip") {
            once(&mut vip, "vip", prefix(args)?)?;
        } else if args.keyword("dscp") {
            once(&mut dscp, "dscp", args.number("a dscp", 0..=63u32)?)?;
        } else if args.keyword("new_len") {
            once(&mut new_len, "new_len", args.number("a number of slots", 1..=MAX_LEN)?)?;
        } else if args.keyword("scheduler") {
            let word = args.word("a scheduler (maglev, rr, wrr, lc, wlc, sh or hash)")?;
            once(&mut scheduler, "scheduler", word.parse::<Scheduler>().map_err(CliError::at)?)?;
        } else if args.keyword("dry-run") {
            flag(&mut dry_run, "dry-run")?;
        } else {
            let words = "encap, vip, protocol, port, dscp, new_len, scheduler or dry-run";
            return Err(parse_error(args, words));
        }
    }
    let mode = if dry_run { Mode::Try } else { Mode::Change };
    let missing = |what: &str| CliError::at(format!("expected {what} for the servers in `{file}', got nothing"));
    let encap = encap.ok_or_else(|| missing("`encap' and an encapsulation"))?;
    let prefix = vip.ok_or_else(|| missing("`vip' and a prefix"))?;
    let key = VipKey { prefix, service: ports.service()? };
    let unknown = || CliError::at(LbError::Encap(encap.into()));
    full_name(encap, true).or(full_name(encap, false)).ok_or_else(unknown)?;
    let text = read(file).map_err(CliError::at)?;
    let at = |error: ImportError| CliError::at(error.in_file(file));
    let servers = csv::parse(&text).map_err(at)?;
    let ip4 = servers.first().is_none_or(|server| server.address.is_ipv4());
    let encap = full_name(encap, ip4).ok_or_else(unknown)?;
    let vip = PlannedVip { line: 0, key, encap, dscp, scheduler, new_len, servers };
    carry_out(router, file, &Plan { vips: vec![vip] }, mode)
}

/// An encapsulation as commands call it; `ipip` and the like stand for the one of the servers' family.
fn full_name(word: &str, ip4: bool) -> Option<&'static str> {
    let family = if ip4 { "4" } else { "6" };
    let known = |name: &str| name == word || name.strip_suffix(family) == Some(word);
    Encap::ALL.into_iter().map(Encap::name).find(|name| known(name))
}

fn file(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let file = args.word("a file")?;
    let mode = if args.keyword("dry-run") { Mode::Try } else { Mode::Change };
    end(args, if mode == Mode::Try { "nothing more" } else { "dry-run" })?;
    let text = read(file).map_err(CliError::at)?;
    let plan = packetvisor::parse(&text).map_err(|error| CliError::at(error.in_file(file)))?;
    carry_out(router, file, &plan, mode)
}

fn carry_out(router: &mut Router, file: &str, plan: &Plan, mode: Mode) -> Result<Reply, CliError> {
    with(router, |lb, router| {
        let imported = apply(lb, router, plan, mode).map_err(|error| CliError::at(error.in_file(file)))?;
        Ok(Reply::new(imported))
    })
}
