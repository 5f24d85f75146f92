//! `ip route`, `show adj`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use vnet::fib::{Path, Prefix, Source, Target};
use vnet::router::Family;
use vnet::{IfIndex, Router};

use crate::app::App;
use crate::args::Args;
use crate::error::CliError;
use crate::reply::{Job, Reply, Step, Words};

pub(super) fn register(app: &mut App) {
    let route = "ip route [add|del] [count <n>] <dst-ip-addr>/<width> [table <id>] via <next-hop> [<interface>] \
                 [weight <w>] [preference <p>] | via <interface> | drop [via ...]";
    app.command("ip route", route, ip_route).command("show adj", "show adj [<adj-index>] [<interface>]", show_adj);
}

fn ip_route(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let delete = args.keyword("del");
    let _ = delete || args.keyword("add");
    let mut count = 1;
    if args.keyword("count") {
        count = args.number("a number of routes", 1..=16_777_216u32)?;
    }
    if args.is_ip6() {
        routes::<Ipv6Addr>(router, args, count, delete)
    } else {
        routes::<Ipv4Addr>(router, args, count, delete)
    }
}

/// What an address family needs for routes that follow each other.
trait Numbered: Family {
    fn from_number(bits: u128) -> Self;
    fn number(self) -> u128;
}

impl Numbered for Ipv4Addr {
    fn from_number(bits: u128) -> Self {
        Ipv4Addr::from_bits(bits as u32)
    }

    fn number(self) -> u128 {
        self.to_bits().into()
    }
}

impl Numbered for Ipv6Addr {
    fn from_number(bits: u128) -> Self {
        Ipv6Addr::from_bits(bits)
    }

    fn number(self) -> u128 {
        self.to_bits()
    }
}

fn routes<A: Numbered>(router: &mut Router, args: &mut Args<'_>, count: u32, delete: bool) -> Result<Reply, CliError> {
    let (address, length) = args.prefix_of::<A>()?;
    let first = Prefix::new(address, length).ok_or_else(|| CliError::bare(format!("Invalid prefix len: {length}")))?;
    if args.keyword("table") {
        table(args)?;
    }
    let mut paths = Vec::new();
    while args.keyword("via") || args.peek() == Some("drop") {
        paths.push(path::<A>(router, args)?);
    }
    args.end()?;
    if paths.is_empty() && !delete {
        return Err(CliError::bare("expected paths."));
    }
    // The prefixes of `count` follow each other without a gap.
    let (most, base) = (u128::MAX >> (128 - u32::from(A::BITS)), first.address().number());
    // Of length 0 there is but one, whose step is nobody's.
    let step = 1u128.checked_shl(u32::from(A::BITS - length)).unwrap_or(0);
    let room = if length == 0 { 0 } else { (most - base) / step };
    if room < u128::from(count - 1) {
        let family = if A::BITS == 32 { "IPv4" } else { "IPv6" };
        return Err(CliError::at(format!("{count} prefixes of length {length} from {first} do not fit into {family}")));
    }
    let mut bulk = Bulk { base, step, length, next: 0, count, paths, delete };
    if count <= AT_ONCE {
        bulk.go_on(router, AT_ONCE)?;
        return Ok(Reply::none());
    }
    Ok(Reply::later(bulk))
}

/// So many routes are changed between two looks at the clock, and without any.
const AT_ONCE: u32 = 1000;
/// Other sessions, and signals, wait for many routes no longer than this.
const SLICE: Duration = Duration::from_millis(20);

/// Routes that follow each other, to be added or deleted.
struct Bulk<A> {
    base: u128,
    step: u128,
    length: u8,
    next: u32,
    count: u32,
    paths: Vec<Path<A>>,
    delete: bool,
}

impl<A: Numbered> Bulk<A> {
    /// Changes the next routes; the first that cannot be changed ends it.
    fn go_on(&mut self, router: &mut Router, most: u32) -> Result<(), CliError> {
        let end = self.count.min(self.next + most);
        for number in self.next..end {
            let address = A::from_number(self.base + u128::from(number) * self.step);
            let Some(prefix) = Prefix::new(address, self.length) else { continue };
            change(router, prefix, &self.paths, self.delete).map_err(CliError::at)?;
        }
        self.next = end;
        Ok(())
    }
}

impl<A: Numbered> Job for Bulk<A> {
    fn poll(&mut self, router: &mut Router) -> Step {
        let begun = Instant::now();
        while self.next < self.count {
            if let Err(error) = self.go_on(router, AT_ONCE) {
                return Step::Done(Err(error));
            }
            if begun.elapsed() > SLICE {
                return Step::Wait(Instant::now());
            }
        }
        Step::Done(Ok(()))
    }
}

fn change<A: Family>(
    router: &mut Router,
    prefix: Prefix<A>,
    paths: &[Path<A>],
    delete: bool,
) -> Result<(), vnet::fib::FibError> {
    if delete && paths.is_empty() {
        return router.del_prefix(Source::Cli, prefix);
    }
    for path in paths {
        if delete {
            router.del_route(Source::Cli, prefix, *path)?;
        } else {
            router.add_route(Source::Cli, prefix, *path)?;
        }
    }
    Ok(())
}

/// The number of a table: there is one.
pub(super) fn table(args: &mut Args<'_>) -> Result<(), CliError> {
    let only = CliError::at(format!("expected table 0, which is the only one, got {}", args.got()));
    args.number("a table", 0..=0u32).map_err(|_| only)?;
    Ok(())
}

/// What follows `via`.
fn path<A: Family>(router: &Router, args: &mut Args<'_>) -> Result<Path<A>, CliError> {
    let mut path = if args.keyword("drop") {
        Path::new(Target::Drop)
    } else if let Some(Ok(address)) = args.peek().map(str::parse::<A>) {
        let ip = address.to_ip();
        if ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST {
            return Err(CliError::at(format!("`{address}' is not the address of one next hop")));
        }
        args.next();
        let interface = way_out(router, args)?;
        if address.is_link_local() && interface.is_none() {
            return Err(CliError::at(format!("`{address}' is link-local: expected an interface after it")));
        }
        Path::via(address, interface)
    } else if let Some(Ok(other)) = args.peek().map(str::parse::<IpAddr>) {
        return Err(CliError::at(format!("next hop `{other}' is not of the family of the route")));
    } else if let Some(interface) = way_out(router, args)? {
        Path::new(Target::Attached(interface))
    } else {
        let got = args.got();
        return Err(CliError::at(format!("expected a next hop, an interface or `drop' after `via', got {got}")));
    };
    loop {
        if args.keyword("weight") {
            path.weight = args.number("a weight", 1..=255u32)?;
        } else if args.keyword("preference") {
            path.preference = args.number("a preference", 0..=255u8)?;
        } else {
            return Ok(path);
        }
    }
}

/// Takes the name of an interface that packets can be sent to, if one stands there.
fn way_out(router: &Router, args: &mut Args<'_>) -> Result<Option<IfIndex>, CliError> {
    match args.peek().and_then(|word| router.interface_by_name(word)) {
        Some(IfIndex(0)) => Err(CliError::at("`local0' is no way out: it stands for packets without an interface")),
        found => {
            if found.is_some() {
                args.next();
            }
            Ok(found)
        }
    }
}

fn show_adj(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (mut index, mut interface) = (None, None);
    while let Some(word) = args.peek() {
        if index.is_none() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            index = Some(args.number("an adjacency's number", 0..=u32::MAX)?);
        } else if interface.is_none() {
            interface = Some(args.interface(router)?);
        } else {
            return Err(args.unknown());
        }
    }
    let rows: Vec<_> = (router.rib().adjacency_rows().into_iter())
        .chain(router.rib6().adjacency_rows())
        .filter(|row| index.is_none_or(|index| row.index.0 == index))
        .filter(|row| interface.is_none_or(|interface| row.adjacency.interface == interface))
        .collect();
    if let (Some(index), true) = (index, rows.is_empty()) {
        return Err(CliError::at(format!("no adjacency {index}")));
    }
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    Ok(Reply::new(Words::from(text)))
}
