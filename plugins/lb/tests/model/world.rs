//! The load balancer's parts put together as control thread and workers do it, and compared with the model.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lb::config::{
    Change, ConfUpdate, IpPrefix, LbConfig, LbError, RouteTarget, Scheduler, Service, State, Step, Touched, VipOptions,
    VipUpdate,
};
use lb::flow_table::{FlowMemory, FlowTable, HashKeys, MAX_OLD, Verdict};
use lb::maglev::is_valid_len;
use lb::slot_hash::KeyMask;
use lb::tables::LbTables;

use crate::Event;
use crate::plain::{self, Flow, Server, TARGETS, Vip, key, servers, vip_of, words};

pub const WORKERS: usize = 2;
/// So many buckets that none is ever full.
const BUCKETS: u32 = 1 << 12;

pub struct World {
    config: LbConfig,
    tables: LbTables,
    workers: Vec<FlowTable>,
    routes: BTreeMap<IpPrefix, RouteTarget>,
    tracked: BTreeMap<u32, IpAddr>,
    now: u32,
    /// By the same index as in the configuration; what was there before is not.
    model: BTreeMap<u32, Vip>,
}

impl World {
    pub fn new() -> World {
        let mut config = LbConfig::default();
        let _ = config.set_conf(ConfUpdate { buckets: Some(BUCKETS), ..Default::default() }).unwrap();
        let keys = HashKeys::from_words([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 7, 0xaf25_1af3_b0f0_25b5]);
        let worker = |_| FlowTable::with_buckets(BUCKETS, config.conf().timeout, keys).unwrap();
        World {
            workers: (0..WORKERS).map(worker).collect(),
            config,
            tables: LbTables::default(),
            routes: BTreeMap::new(),
            tracked: BTreeMap::new(),
            now: 1_000_000,
            model: BTreeMap::new(),
        }
    }

    pub(crate) fn happens(&mut self, event: Event) {
        match event {
            Event::Wait(seconds) => self.now += seconds,
            Event::Sweep(buckets) => {
                let live = self.tables.live();
                for worker in &mut self.workers {
                    worker.sweep(self.now, live, buckets);
                }
            }
            Event::Packets { worker, flows, to } => flows.for_each(|flow| self.packet(worker, flow, to)),
            Event::Collect => self.collect(),
            Event::Buckets(buckets) => {
                if self.workers.iter().all(|worker| worker.old_tables() < MAX_OLD) {
                    let update = ConfUpdate { buckets: Some(buckets), ..Default::default() };
                    assert_eq!(self.change(|config| config.set_conf(update)), Ok(()));
                }
            }
            Event::Timeout(timeout) => {
                let (now, before) = (self.now, self.config.conf().timeout);
                for flow in self.model.values_mut().flat_map(|vip| vip.flows.values_mut()) {
                    flow.lapsed |= now - flow.seen > before;
                }
                let update = ConfUpdate { timeout: Some(timeout), ..Default::default() };
                assert_eq!(self.change(|config| config.set_conf(update)), Ok(()));
            }
            Event::AddVip { vip, new_len, sticky } => self.add_vip(vip, new_len, sticky),
            Event::SetVip { vip, scheduler, new_len } => {
                self.set_vip(vip, VipUpdate { scheduler, new_len, ..VipUpdate::default() })
            }
            Event::DelVip(vip) => {
                let done = self.change(|config| config.del_vip(&key(vip)));
                assert_eq!(done.is_ok(), self.index(vip).is_some(), "{done:?}");
                if let Some(vip) = self.vip(vip) {
                    vip.removed = true;
                    vip.servers.values_mut().for_each(|server| server.removed = true);
                }
            }
            Event::FlushVip(vip) => {
                let done = self.change(|config| config.flush_vip(&key(vip)).map(|(_, change)| change));
                assert_eq!(done.is_ok(), self.index(vip).is_some(), "{done:?}");
                if let Some(vip) = self.vip(vip) {
                    vip.flows.clear();
                }
            }
            Event::AddServers { vip, servers, weight, flush } => self.add_servers(vip, &servers, weight, flush, false),
            Event::SetWeight { vip, servers, weight, flush } => {
                self.add_servers(vip, &servers, Some(weight), flush, true)
            }
            Event::DelServers { vip, servers, flush } => self.del_servers(vip, &servers, flush),
        }
        self.check();
    }

    /// Does what a change asks for; where it is refused, nothing may have changed.
    fn change(&mut self, change: impl FnOnce(&mut LbConfig) -> Result<Change, LbError>) -> Result<(), LbError> {
        let before = format!("{:?}", self.config);
        let change = change(&mut self.config).inspect_err(|_| assert_eq!(format!("{:?}", self.config), before))?;
        self.check_undo();
        self.carry_out(change);
        Ok(())
    }

    /// A change that is undone leaves what was there before, as the tables have it still.
    fn check_undo(&self) {
        let mut undone = self.config.clone();
        undone.undo();
        assert_eq!(undone.touched(), Touched::default());
        agree(&undone, &self.tables, &LbTables::of(&undone, &|_| 0));
    }

    fn carry_out(&mut self, change: Change) {
        for step in change.steps {
            match step {
                Step::AddRoute { prefix, target } => assert_eq!(self.routes.insert(prefix, target), None),
                Step::DelRoute { prefix, target } => assert_eq!(self.routes.remove(&prefix), Some(target)),
                Step::Track { server, address } => assert_eq!(self.tracked.insert(server, address), None),
                Step::Untrack { server, address } => assert_eq!(self.tracked.remove(&server), Some(address)),
                Step::Timeouts(timeouts) => self.workers.iter_mut().for_each(|one| one.set_timeouts(timeouts).unwrap()),
                Step::Buckets(buckets) => {
                    let resize = |one: &mut FlowTable| one.resize(FlowMemory::new(buckets).unwrap()).is_ok();
                    assert!(self.workers.iter_mut().all(resize));
                }
            }
        }
        self.tables = self.tables.next(&self.config, &self.config.touched(), &|_| 0);
        self.config.settle();
        agree(&self.config, &self.tables, &LbTables::of(&self.config, &|_| 0));
    }

    /// The index of a configured VIP.
    fn index(&self, number: usize) -> Option<u32> {
        self.model.iter().find(|(_, vip)| !vip.removed && vip.key == key(number)).map(|(index, _)| *index)
    }

    fn vip(&mut self, number: usize) -> Option<&mut Vip> {
        let index = self.index(number)?;
        self.model.get_mut(&index)
    }

    fn add_vip(&mut self, number: usize, new_len: u32, src_ip_sticky: bool) {
        let key = key(number);
        let mut index = None;
        let options = VipOptions { new_len, src_ip_sticky, ..VipOptions::default() };
        let done = self.change(|config| {
            config.add_vip(key, options).map(|(at, change)| {
                index = Some(at);
                change
            })
        });
        let beside = |vip: &Vip| {
            !vip.removed
                && vip.key.prefix == key.prefix
                && (vip.key == key || key.service == Service::All || vip.key.service == Service::All)
        };
        let within = |vip: &Vip| vip.servers.keys().any(|server| key.prefix.contains(*server));
        let fine = is_valid_len(new_len) && !self.model.values().any(|vip| beside(vip) || within(vip));
        assert_eq!(done.is_ok(), fine, "{done:?}");
        if let Some(index) = index {
            let mask = if src_ip_sticky { KeyMask::Source } else { KeyMask::Flow };
            let (servers, flows) = Default::default();
            let before = self.model.insert(
                index,
                Vip { key, new_len, scheduler: Scheduler::Maglev, mask, servers, flows, removed: false },
            );
            assert!(before.is_none(), "{before:?} is still there");
        }
    }

    fn set_vip(&mut self, number: usize, update: VipUpdate) {
        let vip_key = key(number);
        let done = self.change(|config| config.set_vip(&vip_key, update).map(|(_, change)| change));
        let fine = self.index(number).is_some() && update.new_len.is_none_or(is_valid_len);
        if let Err(LbError::NoRoom { needed, .. }) = done {
            assert!(fine && is_valid_len(needed));
            return;
        }
        assert_eq!(done.is_ok(), fine, "{done:?}");
        if let (true, Some(vip)) = (fine, self.vip(number)) {
            vip.scheduler = update.scheduler.unwrap_or(vip.scheduler);
            vip.new_len = update.new_len.unwrap_or(vip.new_len);
        }
    }

    fn add_servers(&mut self, number: usize, numbers: &[usize], weight: Option<u32>, flush: bool, there: bool) {
        let (vip_key, addresses) = (key(number), servers(numbers));
        let done = self.change(|config| match weight {
            Some(weight) if there => config.set_weight(&vip_key, &addresses, weight, flush),
            _ => config.add_servers(&vip_key, &addresses, weight, flush),
        });
        let prefixes: Vec<IpPrefix> =
            self.model.values().filter(|vip| !vip.removed).map(|vip| vip.key.prefix).collect();
        let now_used = |vip: &Vip, address: &IpAddr| vip.servers.get(address).is_some_and(|server| !server.removed);
        let fine = self.vip(number).is_some_and(|vip| {
            let good = |address: &IpAddr| {
                let used = now_used(vip, address);
                let possible = address.is_ipv4() && !prefixes.iter().any(|prefix| prefix.contains(*address));
                possible && (used || !there) && (!used || weight.is_some())
            };
            !addresses.is_empty() && weight.unwrap_or(0) <= 100 && addresses.iter().all(good)
        });
        if let Err(LbError::NoRoom { needed, .. }) = done {
            assert!(fine && is_valid_len(needed));
            return;
        }
        assert_eq!(done.is_ok(), fine, "{done:?}");
        if let (true, Some(vip)) = (fine, self.vip(number)) {
            for address in addresses {
                vip.servers.insert(address, Server { weight: weight.unwrap_or(100) as u8, removed: false });
                if flush {
                    vip.forget(address);
                }
            }
        }
    }

    fn del_servers(&mut self, number: usize, numbers: &[usize], flush: bool) {
        let (vip_key, addresses) = (key(number), servers(numbers));
        let done = self.change(|config| config.del_servers(&vip_key, &addresses, flush));
        let fine = self.vip(number).is_some_and(|vip| {
            let there = |address: &IpAddr| vip.servers.get(address).is_some_and(|server| flush || !server.removed);
            !addresses.is_empty() && addresses.iter().all(there)
        });
        if let Err(LbError::NoRoom { needed, .. }) = done {
            assert!(fine && is_valid_len(needed));
            return;
        }
        assert_eq!(done.is_ok(), fine, "{done:?}");
        if let (true, Some(vip)) = (fine, self.vip(number)) {
            for address in addresses {
                vip.servers.get_mut(&address).unwrap().removed = true;
                if flush {
                    vip.forget(address);
                }
            }
        }
    }

    /// A packet on its way through lookup and balancing node.
    fn packet(&mut self, worker: usize, flow: u32, to: usize) {
        let (target, words) = (TARGETS[to], words(flow, TARGETS[to]));
        let (address, protocol, port) = target;
        let routes = self.routes.iter().filter(|(prefix, _)| prefix.contains(address.into()));
        let vip = match routes.max_by_key(|(prefix, _)| prefix.len()).map(|(_, target)| *target) {
            Some(RouteTarget::Vip(_, vip)) => Some(vip),
            Some(RouteTarget::Ports(_, group)) => self.tables.port_vip(group, protocol.number(), port),
            None => None,
        };
        let (numbers, vips): (Vec<u32>, Vec<Vip>) = self.model.iter().map(|(at, vip)| (*at, vip.clone())).unzip();
        let meant = vip_of(&vips, target).map(|at| numbers[at]);
        assert_eq!(vip, meant);
        let Some(vip) = vip else { return };
        let (tables, now) = (&self.tables, self.now);
        let entry = tables.vip(vip).unwrap();
        assert_eq!(entry.mask, self.model[&vip].mask);
        let words = entry.mask.apply(words);
        let table = &mut self.workers[worker];
        let hash = table.hash(words, vip);
        let verdict = table.lookup_or_insert(hash, now, tables.live(), || tables.choose(entry, words));

        let timeout = self.config.conf().timeout;
        let plain = self.model.get_mut(&vip).unwrap();
        let known = plain.flows.get(&(worker, words)).copied().filter(|flow| now - flow.seen <= timeout);
        let choice = plain.choice(words);
        let address = |handle| tables.server(handle).unwrap().address;
        let server = match (verdict, known) {
            (Verdict::Known(server), Some(flow)) => {
                assert_eq!(address(server), flow.server, "a known flow keeps its server");
                flow.server
            }
            (Verdict::New(server), known) => {
                assert!(known.is_none_or(|flow| flow.lapsed), "{known:?} was forgotten");
                assert_eq!(Some(address(server)), choice);
                address(server)
            }
            (Verdict::NoServer, known) => {
                assert!(known.is_none_or(|flow| flow.lapsed) && choice.is_none(), "{known:?} {choice:?}");
                plain.flows.remove(&(worker, words));
                return;
            }
            other => panic!("{other:?}"),
        };
        plain.flows.insert((worker, words), Flow { server, seen: now, lapsed: false });
        if plain.key.service == Service::All && !plain.key.prefix.contains(TARGETS[to].0.into()) {
            panic!("a packet for another VIP");
        }
    }

    /// As the control thread's timer, after a whole sweep.
    fn collect(&mut self) {
        let (live, now, timeout) = (self.tables.live(), self.now, self.config.conf().timeout);
        for worker in &mut self.workers {
            worker.sweep_all(now, live);
        }
        let counts = |handle| self.workers.iter().map(|worker| u64::from(worker.flows(handle))).sum::<u64>();
        // What moves between tables is swept when it has come.
        let moving = self.workers.iter().any(|worker| worker.old_tables() > 0);
        let mut exact = !moving;
        for (slot, server) in self.config.servers() {
            let (sure, perhaps) = self.model[&server.vip].flows_of(server.address, |flow| now - flow.seen <= timeout);
            let count = counts(self.config.handles()[slot as usize]);
            assert!(count >= sure && (moving || count <= perhaps), "{server:?}: {count}, not {sure} to {perhaps}");
            exact &= sure == perhaps;
        }
        let handles: Vec<_> = self.config.handles().to_vec();
        let sums: Vec<u64> = handles.iter().map(|handle| counts(*handle)).collect();
        let change = self.config.collect(|handle| sums[handle.slot()]);
        self.carry_out(change);
        // What is gone has no flow that anything could ask for.
        for (index, vip) in &mut self.model {
            vip.flows.retain(|_, flow| {
                flow.lapsed |= now - flow.seen > timeout;
                moving || now - flow.seen <= timeout
            });
            let listed: Vec<IpAddr> = self
                .config
                .vip(*index)
                .map(|vip| vip.servers.iter().map(|slot| self.config.server(*slot).unwrap().address).collect())
                .unwrap_or_default();
            for (address, server) in &vip.servers {
                let gone = !listed.contains(address);
                assert!(!gone || server.removed);
                let left = vip.flows.values().any(|flow| flow.server == *address && !flow.lapsed);
                assert!(!(gone && left), "{address} had flows");
                assert!(gone || left || !server.removed || !exact, "{address} has no flows");
            }
            vip.servers.retain(|address, _| listed.contains(address));
            vip.flows.retain(|_, flow| listed.contains(&flow.server));
        }
        let config = &self.config;
        self.model.retain(|index, vip| {
            assert!(config.vip(*index).is_some() || (vip.removed && vip.servers.is_empty()));
            config.vip(*index).is_some()
        });
    }

    /// What always holds.
    fn check(&self) {
        let listed: Vec<u32> = self.config.vips().map(|(index, _)| index).collect();
        assert_eq!(listed, self.model.keys().copied().collect::<Vec<u32>>());
        let counts = self.tables.slot_counts();
        for (index, vip) in self.config.vips() {
            let plain = &self.model[&index];
            assert_eq!((vip.key, vip.state == State::Removed), (plain.key, plain.removed));
            assert_eq!(vip.servers.len(), plain.servers.len());
            let mut shares = Vec::new();
            for &slot in &vip.servers {
                let server = self.config.server(slot).unwrap();
                let plain = plain.servers[&server.address];
                assert_eq!((server.weight, server.state == State::Removed), (plain.weight, plain.removed));
                let share = counts[slot as usize];
                let takes_flows = !plain.removed && plain.weight > 0;
                assert_eq!(share > 0, takes_flows, "{server:?}");
                shares.extend(takes_flows.then_some((plain.weight, share)));
                assert_eq!(self.tracked.get(&slot), Some(&server.address));
            }
            let weights = || shares.iter().map(|(weight, _)| *weight);
            let slots = || shares.iter().map(|(_, share)| *share);
            if weights().min() == weights().max() {
                assert!(slots().max().unwrap_or(0) - slots().min().unwrap_or(0) <= 1, "{shares:?}");
            }
        }
        assert_eq!(self.tracked.len(), self.config.servers().count());
    }

    /// All goes, and nothing is left of it.
    pub fn ends(&mut self) {
        for number in 0..plain::PREFIXES.len() * 3 {
            self.happens(Event::DelVip(number));
        }
        assert!(self.routes.is_empty(), "{:?}", self.routes);
        self.now += 100;
        let live = self.tables.live();
        for worker in &mut self.workers {
            while worker.is_moving() {
                worker.sweep(self.now, live, 1);
            }
        }
        self.happens(Event::Collect);
        assert!(self.tracked.is_empty() && self.config.servers().count() + self.config.vips().count() == 0);
        assert!(self.workers.iter().all(|worker| worker.used() == 0 && worker.old_tables() == 0));
    }
}

/// Tables that were built step by step are those of the whole configuration.
fn agree(config: &LbConfig, tables: &LbTables, whole: &LbTables) {
    for index in 0..config.vips().last().map_or(0, |(index, _)| index) + 2 {
        let (one, other) = (tables.vip(index), whole.vip(index));
        assert_eq!(
            one.map(|vip| (vip.line.to_string(), &vip.slots)),
            other.map(|vip| (vip.line.to_string(), &vip.slots))
        );
        assert_eq!(tables.mask(index), whole.mask(index), "VIP {index}");
        assert_eq!(tables.first_of(index), whole.first_of(index), "ports {index}");
        let lines = |tables: &LbTables| tables.port_vips(index).map(|vip| vip.line.to_string()).collect::<Vec<_>>();
        assert_eq!(lines(tables), lines(whole));
    }
    for (_, vip) in config.vips() {
        if let (RouteTarget::Ports(_, group), Service::Port { protocol, port }) = (vip.target, vip.key.service) {
            let found = |tables: &LbTables| tables.port_vip(group, protocol.number(), port);
            assert_eq!(found(tables), found(whole), "{}", vip.key);
        }
    }
    for (slot, _) in config.servers() {
        let handle = config.handles()[slot as usize];
        assert_eq!((tables.present(slot), whole.present(slot)), (Some(handle), Some(handle)));
        assert_eq!(format!("{:?}", tables.server(handle)), format!("{:?}", whole.server(handle)), "slot {slot}");
    }
    for (slot, handle) in config.handles().iter().enumerate() {
        assert_eq!(tables.server(*handle).is_some(), config.server(slot as u32).is_some());
    }
    for (_, server) in config.servers() {
        for port in [0, server.port.unwrap_or(0), 80, 8080] {
            let behind = |tables: &LbTables| tables.is_nat_server(server.address, port);
            assert_eq!(behind(tables), behind(whole), "{}:{port}", server.address);
        }
    }
}
