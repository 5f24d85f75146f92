//! The load balancer's control side: carries a change of the configuration into routes, tables and workers.

mod listed;
mod translation;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vnet::fib::{Prefix, TrackIndex};
use vnet::path_mtu::TunnelEnd;
use vnet::router::{Family, InterfaceRecord};
use vnet::{NodeId, Router};

use crate::config::{Change, IpPrefix, LbConfig, RouteTarget, State, Step, Vip};
use crate::flow_table::{FlowMemory, MAX_OLD};
use crate::format::{CoreReport, LbReport, ServerFacts, VipCounters, VipReport, vip_reports};
use crate::handle::ServerHandle;
use crate::local::{LbLocal, Rooms, ServerCounters, Way};
use crate::moves::{Moves, Stage, affected, moves};
use crate::tables::{Engine, LbTables};
pub(crate) use listed::{Listed, ListedServer};
use translation::Translation;

/// The name under which the load balancer's routes stand.
const SOURCE: &str = "lb";

/// Whether a change is made, or only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is made.
    Change,
    /// Nothing changes.
    Try,
}

/// Numbers of servers or VIPs.
type Numbers = BTreeSet<u32>;

/// The load balancer's control side; state of the control thread.
#[derive(Default)]
pub struct LbControl {
    config: LbConfig,
    /// The ways to servers that are followed: how often, and where they stand.
    tracks: HashMap<IpAddr, TrackIndex>,
    tables: Arc<LbTables>,
    /// Slots of servers and indices of VIPs at the last change, to know which are new.
    known: (Numbers, Numbers),
    /// Whether flow tables were resized, and memory may come back.
    resized: bool,
    translation: Translation,
    /// Neighbours that lists of servers have set.
    pub(crate) listed: Listed,
    /// Packets of NAT that had found no source when the log was told last.
    refused: u64,
}

impl LbControl {
    /// What is configured.
    pub fn config(&self) -> &LbConfig {
        &self.config
    }

    /// What workers read.
    pub fn tables(&self) -> &Arc<LbTables> {
        &self.tables
    }

    /// Tries a change of the configuration; if it succeeds, everything that follows from it is done and published.
    ///
    /// # Errors
    /// In words, from the configuration or from the forwarding table; nothing has changed then.
    pub fn change<R>(
        &mut self,
        router: &mut Router,
        change: impl FnOnce(&mut LbConfig) -> Result<(R, Change), crate::config::LbError>,
    ) -> Result<R, String> {
        self.change_or_try(router, Mode::Change, change).map(|(result, _)| result)
    }

    /// The same, or all of it but the doing; says what moves at the VIPs that are affected.
    ///
    /// # Errors
    /// In words, as of [`LbControl::change`]. A trial does not find out whether there is memory for larger flow tables.
    pub fn change_or_try<R>(
        &mut self,
        router: &mut Router,
        mode: Mode,
        change: impl FnOnce(&mut LbConfig) -> Result<(R, Change), crate::config::LbError>,
    ) -> Result<(R, Vec<Moves>), String> {
        let mut next = self.config.clone();
        let (result, change) = change(&mut next).map_err(|error| error.to_string())?;
        if let Err(error) = self.prepare(router, &change, mode) {
            self.translation.follow(router, &self.config);
            return Err(error);
        }
        let tables = LbTables::build(&next, &self.tables, &Ways { tracks: &self.tracks, router });
        let moves = self.moves(router, Stage { config: &next, tables: &tables });
        if mode == Mode::Try {
            // What gave way to a VIP's route has it again, before anybody has seen that.
            self.translation.follow(router, &self.config);
            return Ok((result, moves));
        }
        self.config = next;
        // What takes long to build is taken over when they are built again, with the ways to new servers.
        self.tables = Arc::new(tables);
        self.carry_out(router, &change);
        // Who answers reads the new tables before the next packet: from here on, none goes by the old ones.
        router.ask_all(|_| ());
        Ok((result, moves))
    }

    /// What moves if the configuration is to be another.
    fn moves(&self, router: &mut Router, after: Stage<'_>) -> Vec<Moves> {
        let before = Stage { config: &self.config, tables: &self.tables };
        let vips = affected(before, after);
        let servers = vips.iter().filter_map(|index| self.config.vip(*index)).flat_map(|vip| &vip.servers).copied();
        let servers: Vec<u32> = servers.collect();
        if servers.is_empty() {
            return vips.into_iter().map(|vip| moves(before, after, vip, |_| 0)).collect();
        }
        let handles: Arc<[ServerHandle]> = servers.iter().map(|slot| self.config.handles()[*slot as usize]).collect();
        let workers = router.ask_all(move |worker| {
            let flows = worker.local::<LbLocal>().map(|local| &local.flows);
            handles.iter().map(|handle| flows.map_or(0, |flows| flows.flows(*handle))).collect::<Vec<_>>()
        });
        let counts: HashMap<u32, u64> = servers
            .iter()
            .enumerate()
            .map(|(at, slot)| (*slot, workers.iter().map(|counts| u64::from(counts[at])).sum()))
            .collect();
        vips.into_iter().map(|vip| moves(before, after, vip, |slot| counts.get(&slot).copied().unwrap_or(0))).collect()
    }

    /// What the engine knows the way to a server's address by.
    fn track_of(&self, address: IpAddr) -> u32 {
        self.tracks.get(&address).map_or(0, |track| track.0)
    }

    /// Does what may fail of a change: a route, which nobody else may have for himself, or larger tables of flows. New
    /// servers must be other hosts. Nothing of it remains after a trial.
    fn prepare(&mut self, router: &mut Router, change: &Change, mode: Mode) -> Result<(), String> {
        for step in &change.steps {
            match step {
                Step::AddRoute { prefix, target } => {
                    self.translation.give_way(router, *prefix);
                    let (node, index) = node_of(router, *prefix, *target)?;
                    match prefix.address() {
                        IpAddr::V4(address) => add_route(router, address, prefix.len(), node, index, mode)?,
                        IpAddr::V6(address) => add_route(router, address, prefix.len(), node, index, mode)?,
                    }
                }
                Step::Buckets(buckets) if mode == Mode::Change => self.resize(router, *buckets)?,
                Step::Track { address: IpAddr::V4(server), .. } => check_elsewhere(router, *server)?,
                Step::Track { address: IpAddr::V6(server), .. } => check_elsewhere(router, *server)?,
                _ => (),
            }
        }
        Ok(())
    }

    /// Gives every worker a table of so many buckets, or none of them. The flows follow by themselves.
    fn resize(&mut self, router: &mut Router, buckets: u32) -> Result<(), String> {
        give_back_spent(router);
        let old_tables = router.ask_all(|worker| worker.local::<LbLocal>().map_or(0, |local| local.flows.old_tables()));
        if old_tables.into_iter().any(|count| count >= MAX_OLD) {
            return Err("the flow tables were resized several times just now, and flows have still to follow".into());
        }
        let memory: Result<Vec<FlowMemory>, _> = (0..router.workers()).map(|_| FlowMemory::new(buckets)).collect();
        for (worker, memory) in memory.map_err(|error| error.to_string())?.into_iter().enumerate() {
            // What cannot be used comes back, so that its memory goes on this thread.
            let refused = router.ask(worker, move |worker| match worker.local::<LbLocal>() {
                Some(local) => local.flows.resize(memory).err(),
                None => Some(memory),
            });
            debug_assert!(refused.is_none(), "there was room for one more old table");
        }
        self.resized = true;
        Ok(())
    }

    fn carry_out(&mut self, router: &mut Router, change: &Change) {
        for step in &change.steps {
            match step {
                // Done already, to see whether it can be.
                Step::AddRoute { .. } | Step::Buckets(_) => (),
                Step::DelRoute { prefix, .. } => {
                    // The configuration knows which routes there are.
                    let _ = match prefix.address() {
                        IpAddr::V4(address) => del_route(router, address, prefix.len()),
                        IpAddr::V6(address) => del_route(router, address, prefix.len()),
                    };
                }
                Step::Track { address, .. } => {
                    let track = match *address {
                        IpAddr::V4(address) => router.track(address),
                        IpAddr::V6(address) => router.track(address),
                    };
                    self.tracks.insert(*address, track);
                }
                Step::Untrack { address, .. } => {
                    if let Some(track) = self.tracks.get(address) {
                        match address {
                            IpAddr::V4(_) => router.untrack_of::<Ipv4Addr>(*track),
                            IpAddr::V6(_) => router.untrack_of::<Ipv6Addr>(*track),
                        }
                    }
                    let servers =
                        || self.config.servers().map(|(_, server)| server).filter(|one| one.address == *address);
                    if servers().next().is_none() {
                        self.tracks.remove(address);
                    }
                    self.listed.release(router, *address, |vip| servers().any(|server| server.vip == vip));
                }
                Step::Timeouts(timeouts) => {
                    let timeouts = *timeouts;
                    router.ask_all(move |worker| {
                        // The configuration has checked the range.
                        worker.local::<LbLocal>().map(|local| local.flows.set_timeouts(timeouts))
                    });
                }
            }
        }
        self.publish(router);
    }

    /// Gives the workers tables of the present configuration.
    fn publish(&mut self, router: &mut Router) {
        self.translation.follow(router, &self.config);
        let ways = Ways { tracks: &self.tracks, router };
        let tables = Arc::new(LbTables::build(&self.config, &self.tables, &ways));
        let servers: Numbers = self.config.servers().map(|(slot, _)| slot).collect();
        let vips: Numbers = self.config.vips().map(|(index, _)| index).collect();
        let new_servers: Vec<u32> = servers.difference(&self.known.0).copied().collect();
        let new_vips: Vec<u32> = vips.difference(&self.known.1).copied().collect();
        let rooms = (vips.last().map_or(1, |last| *last as usize + 1), self.config.handles().len());
        self.known = (servers, vips);
        make_room(router, rooms.0, rooms.1);
        router.ask_all(move |worker| {
            let Some(local) = worker.local::<LbLocal>() else { return };
            new_vips.iter().for_each(|index| local.reset_vip(*index as usize));
            new_servers.iter().for_each(|slot| local.reset_server(*slot as usize));
        });
        self.tables = tables.clone();
        router.set_extension(tables);
        router.set_tunnel_ends::<LbControl>(tunnel_ends(&self.config));
        let own = self.translation.own(&self.config);
        router.set_own_addresses_of::<LbControl, _>(own.ip4);
        router.set_own_addresses_of::<LbControl, _>(own.ip6);
        router.publish();
    }

    /// Lets go of what was removed and has no flows left, and of memory that workers do not need any more.
    pub fn collect(&mut self, router: &mut Router) {
        if self.translation.let_go(router) {
            self.publish(router);
        }
        // Interfaces may have other addresses than before.
        if self.translation.follow(router, &self.config) {
            router.publish();
        }
        if self.resized {
            self.resized = give_back_spent(router);
        }
        let removed = |(_, server): (u32, &crate::config::Server)| server.state == State::Removed;
        let leaving =
            self.config.servers().any(removed) || self.config.vips().any(|(_, vip)| vip.state == State::Removed);
        if !leaving {
            return;
        }
        let slots: Vec<ServerHandle> = self.config.handles().to_vec();
        let counts = router.ask_all(move |worker| {
            let flows = worker.local::<LbLocal>().map(|local| &local.flows);
            slots.iter().map(|handle| flows.map_or(0, |flows| flows.flows(*handle))).collect::<Vec<_>>()
        });
        let change = self.config.collect(|handle| {
            counts.iter().map(|worker| u64::from(worker.get(handle.slot()).copied().unwrap_or(0))).sum()
        });
        if change.steps.is_empty() && !self.config_shrank() {
            return;
        }
        self.carry_out(router, &change);
    }

    /// Tells every worker how many flows servers have on all of them together, where a scheduler goes by that. A worker
    /// that is alone knows.
    pub fn count_flows(&mut self, router: &mut Router) {
        let counted = |vip: &Vip| vip.state == State::Used && vip.options.scheduler.counts_flows();
        let slots = self.config.vips().filter(|(_, vip)| counted(vip)).flat_map(|(_, vip)| &vip.servers);
        let servers: Arc<[ServerHandle]> = slots.map(|slot| self.config.handles()[*slot as usize]).collect();
        let workers = router.workers() as u32;
        if servers.is_empty() || workers < 2 {
            return;
        }
        let asked = servers.clone();
        let counts = router.ask_all(move |worker| {
            worker.local::<LbLocal>().map(|local| local.picks.count(&local.flows, &asked)).unwrap_or_default()
        });
        let sum = |at: usize| counts.iter().filter_map(|worker| worker.get(at)).sum();
        let sums: Arc<[u32]> = (0..servers.len()).map(sum).collect();
        router
            .ask_all(move |worker| worker.local::<LbLocal>().map(|local| local.picks.settle(&servers, &sums, workers)));
    }

    /// Says in the log, once in a second, that there was no source left for packets of NAT.
    pub fn watch_sources(&mut self, router: &mut Router) {
        if !self.config.vips().any(|(_, vip)| vip.options.encap.is_nat()) {
            return;
        }
        let refused = no_source(router);
        let more = refused.saturating_sub(self.refused);
        self.refused = refused;
        if more > 0 {
            let packets = if more == 1 { "packet" } else { "packets" };
            let text = format!("no source address and port left for {more} {packets} of NAT (lb conf snat4, snat6)");
            router.log().add(vnet::router::Level::Warn, "lb", text);
        }
    }

    /// Whether a VIP has gone since the last publication.
    fn config_shrank(&self) -> bool {
        self.config.vips().count() != self.known.1.len()
    }

    /// Forgets all flows.
    pub fn flush_flows(&mut self, router: &mut Router) {
        for worker in 0..router.workers() {
            let Ok(memory) = FlowMemory::new(self.config.conf().buckets) else {
                // No memory for a second table: entries that nobody may use any more are taken back by and by.
                self.config.forget_flows();
                self.publish(router);
                return;
            };
            // The memory of before comes back and goes on this thread.
            router.ask(worker, move |worker| match worker.local::<LbLocal>() {
                Some(local) => local.flows.start_over(memory),
                None => vec![memory],
            });
        }
    }

    /// `show lb`.
    pub fn report(&self, router: &mut Router) -> LbReport {
        let mut cores: Vec<CoreReport> = router
            .ask_all(|worker| {
                let core = worker.index();
                worker.local::<LbLocal>().map(|local| CoreReport {
                    core,
                    timeout: local.flows.timeouts().plain,
                    timeouts: local.flows.timeouts(),
                    pressed: local.flows.pressed(),
                    used: local.flows.used(),
                    size: local.flows.capacity(),
                })
            })
            .into_iter()
            .flatten()
            .collect();
        // A table that has seen nothing is not worth lines, as in VPP.
        cores.retain(|core| core.used > 0);
        let mut report = LbReport::new(&self.config, cores);
        report.nat = self.translation.reports(router, &self.config);
        report.no_source = no_source(router);
        report
    }

    /// `show lb vips`, with counters summed over the workers.
    pub fn vips(&self, router: &mut Router) -> Vec<VipReport> {
        let handles: Vec<ServerHandle> = self.config.handles().to_vec();
        let workers: Vec<(Vec<VipCounters>, Vec<ServerCounters>, Vec<u32>)> = router
            .ask_all(move |worker| {
                let local = worker.local::<LbLocal>()?;
                let flows = handles.iter().map(|handle| local.flows.flows(*handle)).collect();
                Some((local.vips.clone(), local.counters(), flows))
            })
            .into_iter()
            .flatten()
            .collect();
        let slots = self.tables.slot_counts();
        let tables = router.tables();
        let counters = |index: u32| {
            let mut sum = VipCounters::default();
            for one in workers.iter().filter_map(|(vips, ..)| vips.get(index as usize)) {
                sum.known += one.known;
                sum.new += one.new;
                sum.untracked += one.untracked;
                sum.no_server += one.no_server;
            }
            sum
        };
        let facts = |slot: u32| {
            let address = self.config.server(slot).map(|server| server.address);
            let dpo = address.map_or(0, |address| self.track_of(address));
            let buckets = slots.get(slot as usize).copied().unwrap_or(0);
            let handle = self.config.handles().get(slot as usize).copied().unwrap_or(ServerHandle::NONE);
            let room = self.tables.server(handle).map_or(0, |server| Way::new(tables, server).room);
            let mut facts = ServerFacts { buckets, dpo, room, ..ServerFacts::default() };
            for (_, servers, flows) in &workers {
                facts.flows += u64::from(flows.get(slot as usize).copied().unwrap_or(0));
                if let Some(one) = servers.get(slot as usize) {
                    facts.packets += one.packets;
                    facts.bytes += one.bytes;
                    facts.total_flows += one.flows;
                }
            }
            facts
        };
        vip_reports(&self.config, counters, facts)
    }
}

/// What the tunnel packets that we make look like from outside.
fn tunnel_ends(config: &LbConfig) -> impl Iterator<Item = TunnelEnd> {
    let conf = config.conf();
    config.servers().filter_map(move |(_, server)| {
        let vip = config.vip(server.vip)?;
        let (protocol, port) = vip.options.encap.outside(vip.family())?;
        let destination = server.address;
        let source = if destination.is_ipv4() { conf.ip4_src.into() } else { conf.ip6_src.into() };
        Some(TunnelEnd { source, destination, protocol, port })
    })
}

/// Packets of NAT that found no source, on all workers.
fn no_source(router: &mut Router) -> u64 {
    router.ask_all(|worker| worker.local::<LbLocal>().map_or(0, |local| local.no_source)).into_iter().sum()
}

/// What tables are built with.
struct Ways<'r> {
    tracks: &'r HashMap<IpAddr, TrackIndex>,
    router: &'r Router,
}

impl Engine for Ways<'_> {
    fn track(&self, address: IpAddr) -> u32 {
        self.tracks.get(&address).map_or(0, |track| track.0)
    }

    fn node(&self, vip: &Vip) -> Option<NodeId> {
        self.router.node(vip.options.encap.nodes(vip.family())?[1])
    }

    fn workers(&self) -> u32 {
        self.router.workers() as u32
    }
}

/// Sees to it that the workers have room for VIPs and slots of servers with numbers below these.
fn make_room(router: &mut Router, vips: usize, servers: usize) {
    for worker in 0..router.workers() {
        let Some((had, had_servers)) = router.ask(worker, |worker| Some(worker.local::<LbLocal>()?.room())) else {
            continue;
        };
        if vips > had || servers > had_servers {
            let rooms = Rooms::new(vips.max(had), servers.max(had_servers));
            // Those of before come back and go on this thread.
            router.ask(worker, move |worker| match worker.local::<LbLocal>() {
                Some(local) => local.move_to(rooms),
                None => rooms,
            });
        }
    }
}

/// Unmaps what workers need no more. Whether some of them have flows to move yet.
fn give_back_spent(router: &mut Router) -> bool {
    let workers = router.ask_all(|worker| {
        worker.local::<LbLocal>().map(|local| (local.flows.take_spent(), local.flows.old_tables() > 0))
    });
    workers.into_iter().flatten().any(|(_, more)| more)
}

/// Whether a server may be another host: packets for our own addresses would come back here, and nobody has the ends of
/// a connected prefix.
fn check_elsewhere<A: Family>(router: &Router, server: A) -> Result<(), String> {
    let rib = router.rib_of::<A>();
    if rib.is_own_address(server) {
        return Err(format!("server {server} is one of our own addresses: its packets would come back here"));
    }
    match router.records().map(InterfaceRecord::index).find(|index| rib.is_reserved(*index, server)) {
        Some(index) => {
            Err(format!("server {server} is the network's or the broadcast address on {}", rib.interface_name(index)))
        }
        None => Ok(()),
    }
}

/// The node for a route's target, and the number that the route carries.
fn node_of(router: &Router, prefix: IpPrefix, target: RouteTarget) -> Result<(NodeId, u32), String> {
    let (encap, at, index) = match target {
        RouteTarget::Vip(encap, index) => (encap, 0, index),
        RouteTarget::Ports(encap, group) => (encap, 1, group),
    };
    let names = encap.nodes(prefix.family()).ok_or("no node for this family and encap")?;
    Ok((router.node(names[at]).ok_or_else(|| format!("node {} is not there", names[at]))?, index))
}

fn add_route<A: Family>(
    router: &mut Router,
    address: A,
    length: u8,
    node: NodeId,
    index: u32,
    mode: Mode,
) -> Result<(), String> {
    let prefix = Prefix::new(address, length).ok_or("prefix too long")?;
    router.add_plugin_route(prefix, SOURCE, node, index).map_err(|error| error.to_string())?;
    if mode == Mode::Try {
        router.del_plugin_route(prefix, SOURCE).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn del_route<A: Family>(router: &mut Router, address: A, length: u8) -> Option<()> {
    router.del_plugin_route(Prefix::new(address, length)?, SOURCE).ok()
}
