//! `lb as`.

use std::net::IpAddr;

use cli::{Args, CliError, Reply};
use vnet::Router;

use super::words::{Ports, flag, once, parse_error, prefix};
use super::{Changed, with};
use crate::config::{LbConfig, ServerSpec, VipKey};
use crate::control::Mode;
use crate::quic_lb::{ServerId, ServerIdError};

/// What may follow the prefix.
const WORDS: &str =
    "the address of a server, protocol, port, target_port, mac, server-id, weight, del, flush or dry-run";

pub(super) fn servers(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let prefix = prefix(args)?;
    let (mut ports, mut addresses, mut weight) = (Ports::default(), Vec::new(), None);
    let (mut target_port, mut mac, mut server_id) = (None, None, None);
    let (mut delete, mut flush, mut dry_run) = (false, false, false);
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
            flag(&mut delete, "del")?;
        } else if args.keyword("flush") {
            flag(&mut flush, "flush")?;
        } else if args.keyword("dry-run") {
            flag(&mut dry_run, "dry-run")?;
        } else if let Ok(address) = word.parse::<IpAddr>() {
            args.next();
            if addresses.contains(&address) {
                return Err(CliError::at(format!("`{address}' is given twice")));
            }
            addresses.push(address);
        } else {
            return Err(parse_error(args, WORDS));
        }
    }
    if delete && weight.is_some() {
        return Err(CliError::at("weight and del are mutually exclusive"));
    }
    if flush && !delete && weight.is_none() {
        return Err(CliError::at("flush belongs to del or to a weight: lb as <vip-prefix> <address> del flush"));
    }
    if delete && mac.is_some() {
        return Err(CliError::at("mac and del are mutually exclusive"));
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
    let mode = if dry_run { Mode::Try } else { Mode::Change };
    let (port, mac) = (target_port, mac.map(|mac| mac.0));
    let spec = |address: &IpAddr| ServerSpec { address: *address, port, mac, server_id };
    let servers: Vec<ServerSpec> = addresses.iter().map(spec).collect();
    let key = VipKey { prefix, service: ports.service()? };
    with(router, |lb, router| {
        if !delete {
            lb.catch_up(router);
        }
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
