//! `show lb flows` and `show lb flow`: what flow tables remember, asked for so that no packet waits for it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;
use vnet::Router;
use vnet::wire::{FlowKey4, FlowKey6};

use crate::config::{LbConfig, Scheduler, Service, State, Vip, VipKey};
use crate::control::LbControl;
use crate::flow_table::{FlowEntry, FlowState, Walk};
use crate::handle::ServerHandle;
use crate::local::LbLocal;
use crate::slot_hash::{FlowWords, slot_of};
use crate::tables::LbTables;

/// Buckets that a worker looks through between two passes: 32 KB of its memory.
const AT_ONCE: usize = 512;

/// Which flows to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Those of this VIP (its index).
    pub vip: Option<u32>,
    /// Those of servers with this address.
    pub server: Option<IpAddr>,
}

/// A flow in `show lb flows`.
#[derive(Clone, Debug, Serialize)]
pub struct FlowLine {
    /// The worker that knows it.
    pub worker: usize,
    /// Its VIP, removed ones too.
    pub vip: VipKey,
    /// Its server.
    pub server: IpAddr,
    /// How far it has come.
    pub state: FlowState,
    /// The server takes no new flows.
    pub leaving: bool,
    /// Seconds since its last packet.
    pub idle: u32,
    /// What it is recognised by.
    pub identity: u64,
}

/// `show lb flows`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FlowList {
    /// Flows, `max` at most.
    pub flows: Vec<FlowLine>,
    /// So many at most.
    pub max: usize,
    /// There are more.
    pub more: bool,
}

impl fmt::Display for FlowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.more {
            writeln!(f, "Limiting display to {} flows. To display more specify max.", self.max)?;
        }
        if self.flows.is_empty() {
            return writeln!(f, "No flows");
        }
        writeln!(f, "{:<7}{:<44}{:<17}{:<9}{:<12}{:>7}  Identity", "Thread", "VIP", "Server", "AS", "State", "Idle")?;
        for flow in &self.flows {
            let (vip, server) = (flow.vip.to_string(), flow.server.to_string());
            let leaving = if flow.leaving { "leaving" } else { "active" };
            write!(f, "{:<7}{vip:<43} {server:<16} {leaving:<9}{:<12}", flow.worker, flow.state.name())?;
            writeln!(f, "{:>6}s  {:016x}", flow.idle, flow.identity)?;
        }
        Ok(())
    }
}

/// A list that is being made: a little in each step.
pub struct FlowWalk {
    wanted: Wanted,
    /// By the server's slot: whether its flows are wanted. As of the first step.
    slots: Option<Arc<[bool]>>,
    list: FlowList,
    worker: usize,
    walk: Walk,
}

impl FlowWalk {
    /// A list of no more than `max` flows.
    pub fn new(wanted: Wanted, max: usize) -> FlowWalk {
        let list = FlowList { max, ..FlowList::default() };
        FlowWalk { wanted, slots: None, list, worker: 0, walk: Walk::default() }
    }

    /// Looks through some more buckets of one worker. Returns whether the list is not complete yet.
    pub fn step(&mut self, lb: &LbControl, router: &mut Router) -> bool {
        if self.worker >= router.workers() || self.list.more {
            return false;
        }
        let (config, tables) = (lb.config(), lb.tables().clone());
        let slots = self.slots.get_or_insert_with(|| slots(config, self.wanted)).clone();
        let (mut walk, most) = (self.walk, self.list.max - self.list.flows.len() + 1);
        let (walk, found, more) = router.ask(self.worker, move |worker| {
            let (now, mut found) = (worker.seconds(), Vec::new());
            let Some(local) = worker.local::<LbLocal>() else { return (walk, found, false) };
            let wanted = |server: ServerHandle| slots.get(server.slot()) == Some(&true);
            let more = local.flows.walk(&mut walk, (AT_ONCE, most), now, tables.live(), wanted, &mut found);
            (walk, found, more)
        });
        self.walk = walk;
        self.list.flows.extend(found.iter().filter_map(|entry| line(config, self.worker, entry)));
        if self.list.flows.len() > self.list.max {
            self.list.flows.truncate(self.list.max);
            self.list.more = true;
        }
        if !more {
            (self.worker, self.walk) = (self.worker + 1, Walk::default());
        }
        !self.list.more && self.worker < router.workers()
    }

    /// What was found.
    pub fn into_list(self) -> FlowList {
        self.list
    }
}

fn slots(config: &LbConfig, wanted: Wanted) -> Arc<[bool]> {
    let of = |slot: u32| {
        config.server(slot).is_some_and(|server| {
            let right = wanted.vip.is_none_or(|vip| vip == server.vip);
            right && wanted.server.is_none_or(|address| address == server.address)
        })
    };
    (0..config.handles().len() as u32).map(of).collect()
}

fn line(config: &LbConfig, worker: usize, entry: &FlowEntry) -> Option<FlowLine> {
    let server = config.server(entry.server.slot() as u32)?;
    let vip = config.vip(server.vip)?;
    Some(FlowLine {
        worker,
        vip: vip.key,
        server: server.address,
        leaving: server.state == State::Removed || server.weight == 0,
        state: entry.state,
        idle: entry.idle,
        identity: entry.identity,
    })
}

/// A flow as `show lb flow` is asked for it.
#[derive(Clone, Copy, Debug)]
pub struct FlowTuple {
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The number of the protocol.
    pub protocol: u8,
}

/// `show lb flow`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields of a flow's VIP")]
pub struct FlowReport {
    pub vip: VipKey,
    pub index: u32,
    /// The slot of a new flow and the number of slots, where a hash picks one.
    pub slot: Option<(usize, usize)>,
    pub scheduler: Scheduler,
    /// What each worker would do.
    pub workers: Vec<FlowAtWorker>,
}

/// A flow at one worker.
#[derive(Clone, Debug, Serialize)]
pub struct FlowAtWorker {
    /// The worker.
    pub worker: usize,
    /// What the flow is recognised by.
    pub identity: u64,
    /// The bucket and the number of buckets.
    pub bucket: (usize, usize),
    /// The entry in the bucket, how far the flow has come, and the seconds since its last packet, if it is known.
    pub known: Option<(usize, FlowState, u32)>,
    /// Its server, or the one that it would get; `None`: there is none that takes new flows.
    pub server: Option<IpAddr>,
}

impl fmt::Display for FlowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vip[{}] {} scheduler:{}", self.index, self.vip, self.scheduler)?;
        if let Some((slot, slots)) = self.slot {
            write!(f, " slot:{slot}/{slots}")?;
        }
        writeln!(f)?;
        for one in &self.workers {
            let (bucket, buckets) = one.bucket;
            write!(f, "  thread {}: identity {:016x} bucket:{bucket}/{buckets}", one.worker, one.identity)?;
            match (one.known, one.server) {
                (Some((way, state, idle)), Some(server)) => {
                    writeln!(f, " entry:{way} {} idle:{idle}s, known: {server}", state.name())?;
                }
                (None, Some(server)) => writeln!(f, ", not known: a new flow would get {server}")?,
                _ => writeln!(f, ", not known: no server for a new flow")?,
            }
        }
        Ok(())
    }
}

/// Looks one flow up on every worker.
///
/// # Errors
/// If it is no flow of a VIP.
pub fn look_up(lb: &LbControl, router: &mut Router, flow: FlowTuple) -> Result<FlowReport, String> {
    let (config, tables) = (lb.config(), lb.tables().clone());
    let (sport, dport, proto) = (flow.source.port(), flow.destination.port(), flow.protocol);
    let (index, vip) = vip_of(config, flow)?;
    let (slot, workers) = match (flow.source.ip(), flow.destination.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let key = FlowKey4 { src: src.into(), dst: dst.into(), sport, dport, proto };
            at_all(router, tables, index, key.words())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let key = FlowKey6 { src: src.octets(), dst: dst.octets(), sport, dport, proto };
            at_all(router, tables, index, key.words())
        }
        (source, destination) => return Err(format!("{destination} and {source} are not of one family")),
    }
    .ok_or("the VIP is not there yet")?;
    let address = |server: ServerHandle| config.server(server.slot() as u32).map(|server| server.address);
    let workers = workers.into_iter().map(|(worker, found)| FlowAtWorker {
        worker,
        identity: found.identity,
        bucket: found.bucket,
        known: found.known,
        server: found.server.and_then(address),
    });
    Ok(FlowReport { vip: vip.key, index, slot, scheduler: vip.options.scheduler, workers: workers.collect() })
}

struct Found {
    identity: u64,
    bucket: (usize, usize),
    known: Option<(usize, FlowState, u32)>,
    server: Option<ServerHandle>,
}

/// A slot of so many.
type Slot = Option<(usize, usize)>;

/// The slot of a flow of a VIP, and what each worker says.
fn at_all(
    router: &mut Router,
    tables: Arc<LbTables>,
    index: u32,
    words: impl FlowWords + 'static,
) -> Option<(Slot, Vec<(usize, Found)>)> {
    let entry = tables.vip(index)?;
    let words = words.masked(entry.mask);
    let len = entry.slots.len();
    let slot = (entry.scheduler == Scheduler::Maglev && len > 0).then(|| (slot_of(words.slot_hash(), len), len));
    let workers = router.ask_all(move |worker| {
        let (now, number) = (worker.seconds(), worker.index());
        worker.local::<LbLocal>().and_then(|local| Some((number, at_worker(local, &tables, now, index, words)?)))
    });
    Some((slot, workers.into_iter().flatten().collect()))
}

fn at_worker(local: &LbLocal, tables: &LbTables, now: u32, index: u32, words: impl FlowWords) -> Option<Found> {
    let vip = tables.vip(index)?;
    let flows = &local.flows;
    let hash = flows.hash(words, index);
    let buckets = flows.buckets() as usize;
    Some(match flows.locate(hash, now, tables.live()) {
        Some(entry) => Found {
            identity: hash.identity,
            bucket: (entry.place.bucket, entry.place.buckets),
            known: Some((entry.place.way, entry.state, entry.idle)),
            server: Some(entry.server),
        },
        None => Found {
            identity: hash.identity,
            bucket: (hash.bucket as usize & (buckets - 1), buckets),
            known: None,
            server: local.picks.peek(tables, flows, index, vip, words),
        },
    })
}

/// The VIP that a flow belongs to: that of the longest prefix, if it is for this protocol and port.
fn vip_of(config: &LbConfig, flow: FlowTuple) -> Result<(u32, &Vip), String> {
    let to = flow.destination;
    let meant = |vip: &Vip| vip.state == State::Used && vip.key.prefix.contains(to.ip());
    let longest = config.vips().filter(|(_, vip)| meant(vip)).map(|(_, vip)| vip.key.prefix.len()).max();
    let longest = longest.ok_or_else(|| format!("{} is in no VIP's prefix", to.ip()))?;
    let serves = |vip: &Vip| match vip.key.service {
        Service::All => true,
        Service::Port { protocol, port } => protocol.number() == flow.protocol && port == to.port(),
    };
    let mut same = config.vips().filter(|(_, vip)| meant(vip) && vip.key.prefix.len() == longest);
    same.find(|(_, vip)| serves(vip)).ok_or_else(|| format!("no VIP of {} is for this protocol and port", to.ip()))
}
