//! The load balancer's control side: carries a change of the configuration into routes, tables and workers.

mod ask;
mod listed;
mod translation;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vnet::fib::{Prefix, TrackIndex};
use vnet::path_mtu::TunnelEnd;
use vnet::router::{Family, InterfaceRecord};
use vnet::{NodeId, Router};

use crate::config::{Change, IpPrefix, LbConfig, RouteTarget, State, Step, Touched, Vip};
use crate::flow_table::{FlowMemory, MAX_OLD};
use crate::format::{CoreReport, LbReport, ServerFacts, VipCounters, VipReport, vip_reports};
use crate::handle::ServerHandle;
use crate::local::{LbLocal, Rooms, ServerCounters, Way};
use crate::moves::{Moves, Stage};
use crate::tables::{Engine, LbTables};
use ask::{flows_of, from_worker};
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

/// The load balancer's control side; state of the control thread.
#[derive(Default)]
pub struct LbControl {
    config: LbConfig,
    /// The ways to servers that are followed: how often, and where they stand.
    tracks: HashMap<IpAddr, TrackIndex>,
    tables: Arc<LbTables>,
    /// For how many VIPs and slots of servers the workers have room.
    rooms: (usize, usize),
    /// Whether servers have come or gone, or the sources of tunnels have changed, since the ends of tunnels were named.
    tunnels_changed: bool,
    /// See [`collect_soon`](Self::collect_soon).
    postponed: bool,
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
        let (result, change) = match change(&mut self.config) {
            Ok(done) => done,
            Err(error) => {
                self.config.undo();
                return Err(error.to_string());
            }
        };
        if let Err(error) = self.prepare(router, &change, mode) {
            self.config.undo();
            self.translation.follow(router, &self.config);
            return Err(error);
        }
        if mode == Mode::Change {
            self.track(router, &change);
        }
        let touched = self.config.touched();
        let tables = self.tables.next(&self.config, &touched, &Ways { tracks: &self.tracks, router });
        let moves = self.moves(router, &tables, &touched);
        if mode == Mode::Try {
            self.config.undo();
            // What gave way to a VIP's route has it again, before anybody has seen that.
            self.translation.follow(router, &self.config);
            return Ok((result, moves));
        }
        self.carry_out(router, &change);
        self.publish(router, tables, &touched);
        Ok((result, moves))
    }

    /// What moves if the present change is kept.
    fn moves(&self, router: &mut Router, tables: &LbTables, touched: &Touched) -> Vec<Moves> {
        let stage = Stage { config: &self.config, old: &self.tables, new: tables };
        let vips = stage.affected(touched);
        let servers: Vec<u32> = vips.iter().flat_map(|index| stage.servers(*index)).collect();
        let handles = servers.iter().map(|slot| self.config.handle_before(*slot)).collect();
        let counts: HashMap<u32, u64> = servers.into_iter().zip(flows_of(router, handles)).collect();
        vips.into_iter().map(|vip| stage.moves(vip, |slot| counts.get(&slot).copied().unwrap_or(0))).collect()
    }

    /// What the engine knows the way to a server's address by.
    fn track_of(&self, address: IpAddr) -> u32 {
        self.tracks.get(&address).map_or(0, |track| track.0)
    }

    /// Does what may fail of a change: a route, which nobody else may have for himself, or larger tables of flows. New
    /// servers must be other hosts. Nothing of it remains after a trial, or where it fails.
    fn prepare(&mut self, router: &mut Router, change: &Change, mode: Mode) -> Result<(), String> {
        for (done, step) in change.steps.iter().enumerate() {
            let result = match step {
                Step::AddRoute { prefix, target } => {
                    self.translation.give_way(router, *prefix);
                    add_route(router, *prefix, *target, mode)
                }
                Step::Buckets(buckets) if mode == Mode::Change => self.resize(router, *buckets),
                Step::Track { address: IpAddr::V4(server), .. } => check_elsewhere(router, *server),
                Step::Track { address: IpAddr::V6(server), .. } => check_elsewhere(router, *server),
                _ => Ok(()),
            };
            if let Err(error) = result {
                for step in change.steps[..done].iter().filter(|_| mode == Mode::Change) {
                    if let Step::AddRoute { prefix, .. } = step {
                        del_route(router, *prefix);
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Follows the ways to new servers.
    fn track(&mut self, router: &mut Router, change: &Change) {
        for step in &change.steps {
            if let Step::Track { address, .. } = step {
                let track = match *address {
                    IpAddr::V4(address) => router.track(address),
                    IpAddr::V6(address) => router.track(address),
                };
                self.tracks.insert(*address, track);
            }
        }
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

    /// Does the rest of a change but for the tables.
    fn carry_out(&mut self, router: &mut Router, change: &Change) {
        for step in &change.steps {
            match step {
                // Done already, to see whether it can be.
                Step::AddRoute { .. } | Step::Buckets(_) | Step::Track { .. } => (),
                Step::DelRoute { prefix, .. } => del_route(router, *prefix),
                Step::Untrack { address, .. } => {
                    if let Some(track) = self.tracks.get(address) {
                        match address {
                            IpAddr::V4(_) => router.untrack_of::<Ipv4Addr>(*track),
                            IpAddr::V6(_) => router.untrack_of::<Ipv6Addr>(*track),
                        }
                    }
                    if self.config.servers_at(*address).next().is_none() {
                        self.tracks.remove(address);
                    }
                    let has = |vip| self.config.servers_at(*address).any(|server| server.vip == vip);
                    self.listed.release(router, *address, has);
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
    }

    /// Gives the workers the tables of the present configuration, and settles it. In a script, what can wait for the other
    /// commands does.
    fn publish(&mut self, router: &mut Router, tables: LbTables, touched: &Touched) {
        self.translation.follow(router, &self.config);
        let rooms = (tables.indices().max(1), self.config.handles().len());
        if rooms.0 > self.rooms.0 || rooms.1 > self.rooms.1 {
            self.rooms = make_room(router, rooms.0, rooms.1);
        }
        if !touched.new_vips.is_empty() || !touched.new_servers.is_empty() {
            let (vips, servers) = (touched.new_vips.clone(), touched.new_servers.clone());
            router.ask_all(move |worker| {
                let Some(local) = worker.local::<LbLocal>() else { return };
                vips.iter().for_each(|index| local.reset_vip(*index as usize));
                servers.iter().for_each(|slot| local.reset_server(*slot as usize));
            });
        }
        self.tunnels_changed |= touched.conf || self.config.before().changes_servers(&self.config);
        self.config.settle();
        self.tables = Arc::new(tables);
        router.set_extension(self.tables.clone());
        if !router.gathers() {
            self.before_publish(router);
            router.publish();
            // Who answers reads the new tables before the next packet: from here on, none goes by the old ones.
            router.ask_all(|_| ());
        }
    }

    /// What follows from all changes together since tables were published last.
    pub fn before_publish(&mut self, router: &mut Router) {
        if std::mem::take(&mut self.tunnels_changed) {
            router.set_tunnel_ends::<LbControl>(tunnel_ends(&self.config));
        }
        self.translation.name_own(router, &self.config);
    }

    /// Builds and publishes what is `touched` of the present configuration.
    fn refresh(&mut self, router: &mut Router, touched: &Touched) {
        let tables = self.tables.next(&self.config, touched, &Ways { tracks: &self.tracks, router });
        self.publish(router, tables, touched);
    }

    /// Lets go of what was removed and has no flows left, and of memory that workers do not need any more.
    pub fn collect(&mut self, router: &mut Router) {
        self.postponed = false;
        self.translation.let_go(router);
        // Interfaces may have other addresses than before.
        self.translation.follow(router, &self.config);
        self.before_publish(router);
        if self.resized {
            self.resized = give_back_spent(router);
        }
        if !self.config.has_removed() {
            return router.publish();
        }
        // Workers that have older tables may still give flows to servers that were removed.
        router.gather(false);
        router.publish();
        let leaving: Vec<ServerHandle> = self.config.leaving().collect();
        let flows: HashMap<ServerHandle, u64> =
            leaving.iter().copied().zip(flows_of(router, leaving.clone())).collect();
        let change = self.config.collect(|handle| flows.get(&handle).copied().unwrap_or(0));
        let touched = self.config.touched();
        if touched != Touched::default() {
            self.carry_out(router, &change);
            self.refresh(router, &touched);
        }
    }

    /// As [`collect`](Self::collect), which has tables published and everybody asked: in a script not for each line that removes
    /// something, but before the next one that adds something ([`catch_up`](Self::catch_up)), which shall find the same numbers
    /// free as if it were typed, before the next report, or within seconds.
    pub fn collect_soon(&mut self, router: &mut Router) {
        self.postponed = router.gathers();
        if !self.postponed {
            self.collect(router);
        }
    }

    /// Does what [`collect_soon`](Self::collect_soon) has put off.
    pub fn catch_up(&mut self, router: &mut Router) {
        if self.postponed {
            self.collect(router);
        }
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

    /// Forgets all flows.
    pub fn flush_flows(&mut self, router: &mut Router) {
        for worker in 0..router.workers() {
            let Ok(memory) = FlowMemory::new(self.config.conf().buckets) else {
                // No memory for a second table: entries that nobody may use any more are taken back by and by.
                self.config.forget_flows();
                self.refresh(router, &self.config.touched());
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
        let handles: Arc<[ServerHandle]> = self.config.handles().into();
        let vips = self.tables.indices();
        let workers: Vec<(Vec<VipCounters>, Vec<ServerCounters>, Vec<u32>)> = (0..router.workers())
            .map(|worker| {
                let handles = handles.clone();
                (
                    from_worker(router, worker, vips, |local, index| local.vips.get(index).copied()),
                    from_worker(router, worker, handles.len(), |local, slot| local.counters(slot)),
                    from_worker(router, worker, handles.len(), move |local, slot| {
                        Some(local.flows.flows(handles[slot]))
                    }),
                )
            })
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
            let room = self.tables.server(handle).map_or(0, |server| Way::new(tables, &self.tables, server).room);
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

/// Sees to it that the workers have room for VIPs and slots of servers with numbers below these; says for how many they have.
fn make_room(router: &mut Router, vips: usize, servers: usize) -> (usize, usize) {
    let mut least = (usize::MAX, usize::MAX);
    for worker in 0..router.workers() {
        let Some((had, had_servers)) = router.ask(worker, |worker| Some(worker.local::<LbLocal>()?.room())) else {
            continue;
        };
        let rooms = Rooms::new(vips.max(had), servers.max(had_servers));
        let (vips, servers) = rooms.room();
        least = (least.0.min(vips), least.1.min(servers));
        if vips > had || servers > had_servers {
            // Those of before come back and go on this thread.
            router.ask(worker, move |worker| match worker.local::<LbLocal>() {
                Some(local) => local.move_to(rooms),
                None => rooms,
            });
        }
    }
    least
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

/// Leads packets for a prefix to its node; in a trial only finds out whether that could be.
fn add_route(router: &mut Router, prefix: IpPrefix, target: RouteTarget, mode: Mode) -> Result<(), String> {
    let (encap, at, index) = match target {
        RouteTarget::Vip(encap, index) => (encap, 0, index),
        RouteTarget::Ports(encap, group) => (encap, 1, group),
    };
    let names = encap.nodes(prefix.family()).ok_or("no node for this family and encap")?;
    let node = router.node(names[at]).ok_or_else(|| format!("node {} is not there", names[at]))?;
    fn add<A: Family>(router: &mut Router, address: A, len: u8, node: NodeId, index: u32) -> Result<(), String> {
        let prefix = Prefix::new(address, len).ok_or("prefix too long")?;
        router.add_plugin_route(prefix, SOURCE, node, index).map_err(|error| error.to_string())
    }
    match prefix.address() {
        IpAddr::V4(address) => add(router, address, prefix.len(), node, index)?,
        IpAddr::V6(address) => add(router, address, prefix.len(), node, index)?,
    }
    if mode == Mode::Try {
        del_route(router, prefix);
    }
    Ok(())
}

/// The configuration knows which routes there are.
fn del_route(router: &mut Router, prefix: IpPrefix) {
    let _ = match prefix.address() {
        IpAddr::V4(address) => Prefix::new(address, prefix.len()).map(|prefix| router.del_plugin_route(prefix, SOURCE)),
        IpAddr::V6(address) => Prefix::new(address, prefix.len()).map(|prefix| router.del_plugin_route(prefix, SOURCE)),
    };
}
