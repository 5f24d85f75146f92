//! `lb host vip`, `show lb host`: the host agent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cli::{App, Args, CliError, Reply};
use nodes::tunnel::Outer;
use serde::Serialize;
use vnet::Router;
use vnet::fib::Prefix;

use super::words::{end, flag, once};
use crate::host::{Host, Hosts, Wish, node};

/// How often it is looked whether a kernel's end has another MAC.
const FOLLOW: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) fn register(app: &mut App) {
    app.builder.node(node::node()).extension(node::HostTables::default()).state(Hosts::default()).on_start(|router| {
        router.every(FOLLOW, |router| {
            router.with_state::<Hosts, _>(|hosts, router| hosts.follow(router));
        });
    });
    let help = "lb host vip <prefix> via [<next-hop>] <interface> [dscp <n>] [del]";
    app.command("lb host vip", help, |router, args| match args.is_ip6() {
        true => host::<Ipv6Addr>(router, args),
        false => host::<Ipv4Addr>(router, args),
    });
    app.command("show lb host", "show lb host", show);
}

fn host<A: Outer>(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (address, len) = args.prefix_of::<A>()?;
    let prefix = Prefix::new(address, len).ok_or_else(|| CliError::at(format!("bad prefix {address}/{len}")))?;
    let (mut via, mut next_hop, mut dscp, mut delete) = (None, None, None, false);
    while !args.is_empty() {
        if args.keyword("via") {
            match args.peek().map(str::parse::<IpAddr>) {
                Some(Ok(address)) => {
                    let other = || CliError::at(format!("next hop `{address}' is not of the family of {prefix}"));
                    next_hop = Some(A::of_ip(address).ok_or_else(other)?);
                    args.next();
                }
                _ => next_hop = None,
            }
            once(&mut via, "via", args.interface(router)?)?;
        } else if args.keyword("dscp") {
            once(&mut dscp, "dscp", args.number("a dscp", 1..=63u8)?)?;
        } else if args.keyword("del") {
            flag(&mut delete, "del")?;
        } else {
            return end(args, "via, dscp or del").map(|()| Reply::none());
        }
    }
    let missing = || CliError::at("the load balancer is disabled");
    router
        .with_state::<Hosts, _>(|hosts, router| {
            let done = match (delete, via) {
                (true, via) => hosts.remove(router, prefix, via),
                (false, Some(interface)) => hosts.add(router, Wish { prefix, interface, next_hop, dscp }),
                (false, None) => return Err(CliError::at("expected via <interface>, got nothing")),
            };
            done.map(|()| Reply::none()).map_err(CliError::at)
        })
        .ok_or_else(missing)?
}

/// What is hosted.
#[derive(Serialize)]
#[serde(transparent)]
struct Rows {
    hosts: Vec<Host>,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hosts.is_empty() {
            return writeln!(f, "No hosted VIPs configured...");
        }
        for host in &self.hosts {
            write!(f, "{} via ", host.prefix())?;
            if let Some(next_hop) = host.next_hop {
                write!(f, "{next_hop} ")?;
            }
            write!(f, "{}", host.name)?;
            if let Some(dscp) = host.dscp {
                write!(f, " dscp {dscp}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let hosts = router.state::<Hosts>().map(|hosts| hosts.list().to_vec()).unwrap_or_default();
    Ok(Reply::new(Rows { hosts }))
}
