//! `ping`: echo requests, and how long the answers took.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use cli::columns::plain;
use cli::{App, Args, CliError, Given, Job, Reply, Step};
use vnet::fib::ForwardKind;
use vnet::wire::{Short, icmp4, icmp6};
use vnet::{IfIndex, Offload, Router};

use crate::ip::Ip;
use crate::ping::Pings;

pub(super) fn register(app: &mut App) {
    let help = "ping <ip-addr> [source <interface>] [size <bytes:56>] [interval <sec:1>] [repeat <cnt:5>]";
    app.command("ping", help, ping);
}

/// The longer of the two families' IP and ICMP headers.
const HEADERS: usize = 48;
/// The most bytes that both families can carry.
const MOST: usize = 65_535 - 28;

fn ping(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let to = args.ip("whom to ask")?;
    let (mut source, mut size, mut interval, mut repeat) = (None, 56, 1.0, 5);
    let mut given = Given::default();
    while let Some(word) = given.next(args)? {
        match word {
            "source" => source = Some(args.interface(router)?),
            "size" => size = args.number("a number of bytes", 0..=MOST)?,
            "interval" => {
                interval = args.parse::<f64>("an interval in seconds")?;
                if !(0.001..=3600.0).contains(&interval) {
                    return Err(CliError::at(format!(
                        "expected an interval from 0.001 to 3600 seconds, got {interval}"
                    )));
                }
            }
            "repeat" => repeat = args.number("a number of requests", 1..=65_535u16)?,
            _ => return Err(given.unknown()),
        }
    }
    let from = own_address(router, source, to)?;
    if router.node(lookup(to)).is_none() {
        return Err(CliError::at("there is no IP in this router"));
    }
    let id = router.state::<Pings>().map(Pings::begin).ok_or_else(|| CliError::at("there is no IP in this router"))?;
    let interval = Duration::from_secs_f64(interval);
    Ok(Reply::later(Ping { from, to, size, interval, repeat, id, sent: 0, received: 0, asked: None, done: false }))
}

/// The node that requests to an address begin at.
fn lookup(to: IpAddr) -> &'static str {
    if to.is_ipv4() { Ipv4Addr::LOOKUP } else { Ipv6Addr::LOOKUP }
}

/// The address that requests come from: the interface's, or that of the way to `to`.
fn own_address(router: &Router, source: Option<IfIndex>, to: IpAddr) -> Result<IpAddr, CliError> {
    match to {
        IpAddr::V4(to) => own_address_of(router, source, to).map(IpAddr::V4),
        IpAddr::V6(to) if to.is_unicast_link_local() || to.is_multicast() => {
            Err(CliError::at(format!("`{to}' is of one link: expected an address that can be routed")))
        }
        IpAddr::V6(to) => own_address_of(router, source, to).map(IpAddr::V6),
    }
}

fn own_address_of<A: Ip>(router: &Router, source: Option<IfIndex>, to: A) -> Result<A, CliError> {
    let tables = router.tables();
    let nowhere = || CliError::at(format!("no route to {to}"));
    let interface = match source {
        Some(interface) => interface,
        None if to.is_own(tables) => return Ok(to),
        None => {
            let fib = A::fib(tables);
            let mut way = fib.forward(fib.find(to));
            if let ForwardKind::LoadBalance = way.kind {
                way = fib.pick(way.index, 0);
            }
            let adjacency = way.adjacency().ok_or_else(nowhere)?;
            fib.adjacency(adjacency).interface
        }
    };
    let nameless = || CliError::at(format!("interface {} has no address", tables.interface(interface).name));
    let own = router.rib_of::<A>().interface_addresses(interface);
    let near = own.iter().find(|(own, len)| own.masked(*len) == to.masked(*len)).or(own.first());
    if let Some((own, _)) = near {
        return Ok(*own);
    }
    // A tunnel borrows an address.
    let mut all = router.records().flat_map(|record| router.rib_of::<A>().interface_addresses(record.index()));
    let any = all.next().map(|(address, _)| address);
    any.filter(|_| source.is_none()).ok_or_else(nameless)
}

/// The job: a request, its answer or the end of patience, the next request.
struct Ping {
    from: IpAddr,
    to: IpAddr,
    size: usize,
    interval: Duration,
    repeat: u16,
    id: u16,
    sent: u16,
    received: u16,
    /// When the last request left, and whether its answer came.
    asked: Option<(Instant, bool)>,
    done: bool,
}

/// How often to look whether an answer came.
const LOOK: Duration = Duration::from_millis(1);

impl Job for Ping {
    fn poll(&mut self, router: &mut Router) -> Step {
        if self.done {
            return Step::Done(Ok(()));
        }
        let now = Instant::now();
        if let Some((at, answered)) = self.asked {
            let reply = router.state::<Pings>().and_then(|pings| pings.take(self.id, self.sent));
            if let Some(reply) = reply.filter(|_| !answered) {
                self.asked = Some((at, true));
                self.received += 1;
                let time = reply.at.saturating_duration_since(at).as_secs_f64() * 1000.0;
                return Step::Print(format!(
                    "{} bytes from {}: icmp_seq={} ttl={} time={} ms\n",
                    reply.len,
                    reply.from,
                    reply.sequence,
                    reply.ttl,
                    plain(time, 4)
                ));
            }
            let over = now >= at + self.interval;
            if self.sent == self.repeat && (answered || over) {
                return self.finish(router);
            }
            if !over {
                return Step::Wait(if answered { at + self.interval } else { now + LOOK });
            }
        }
        if !self.ask(router) {
            self.end(router);
            return Step::Done(Err(CliError::at("no buffer for a request")));
        }
        Step::Wait(Instant::now() + LOOK)
    }
}

impl Ping {
    fn ask(&mut self, router: &mut Router) -> bool {
        let Some(lookup) = router.node(lookup(self.to)) else { return false };
        self.sent += 1;
        let payload: Vec<u8> = (0..self.size).map(|at| at as u8).collect();
        let mut packet = vec![0; HEADERS + self.size];
        let (id, sequence) = (self.id, self.sent);
        let made = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                icmp4::Echo { request: true, id, sequence }.emit(from, to, 64, &payload, &mut packet)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                icmp6::Echo { request: true, id, sequence }.emit(from, to, 64, &payload, &mut packet)
            }
            _ => Err(Short),
        };
        let Ok(len) = made else { return false };
        packet.truncate(len);
        self.asked = Some((Instant::now(), false));
        router.ask(0, move |worker| {
            worker.inject(&packet, lookup, |packet| {
                packet.mark_l3();
                packet.meta_mut().offload = Offload::LOCAL | Offload::MAY_CUT;
            })
        })
    }

    fn finish(&mut self, router: &mut Router) -> Step {
        self.end(router);
        self.done = true;
        let (sent, received) = (u32::from(self.sent), u32::from(self.received));
        let loss = (f64::from(sent - received) * 10_000.0 / f64::from(sent)).round() / 100.0;
        Step::Print(format!("\nStatistics: {sent} sent, {received} received, {loss}% packet loss\n"))
    }

    fn end(&mut self, router: &mut Router) {
        if let Some(pings) = router.state::<Pings>() {
            pings.end(self.id);
        }
    }
}
