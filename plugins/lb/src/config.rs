//! What is configured: VIPs, their servers, and the parameters of the flow tables.
//!
//! This is data and nothing else. An operation either succeeds, and names what follows from it ([`Change`]), or fails
//! with a sentence ([`LbError`]) and has changed nothing. What workers read is built from it: [`crate::tables`].
//!
//! VIPs and servers that are deleted stay, as removed, until no flow remembers them ([`LbConfig::collect`]). Their
//! numbers are free for others only then, and a server's number comes back with another generation.

mod before;
mod change;
mod check;
mod conf;
mod encap;
mod error;
mod family;
mod index;
mod places;
mod prefix;
mod quic;
mod scheduler;
#[cfg(test)]
mod tests;
mod vip;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use before::{Before, Touched};
pub use change::{Change, Step};
pub use conf::{Conf, ConfUpdate};
pub use encap::{Encap, EncapWords};
pub use error::LbError;
pub use family::Family;
pub use prefix::{IpPrefix, PrefixError};
pub use scheduler::Scheduler;
pub use vip::{MssClamp, Ping, Protocol, RouteTarget, Server, ServerSpec, Service, State, Vip, VipKey, VipOptions};

use check::{check_options, check_pool, check_room, checked_weight, nobody_has, nobody4, nobody6};
use index::Index;
use places::Places;

use crate::flow_table;
use crate::handle::ServerHandle;
use crate::maglev::{self, Member};
use crate::quic_lb::Configs;

/// The highest index of a VIP: flow hashes have 24 bits for it.
pub const MAX_VIP: u32 = (1 << 24) - 1;

/// The parts of [`VipOptions`] that can change while packets flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `VipOptions`")]
pub struct VipUpdate {
    pub scheduler: Option<Scheduler>,
    pub new_len: Option<u32>,
    pub ping: Option<Ping>,
    pub mss_clamp: Option<MssClamp>,
    pub quic_lb: Option<Configs>,
}

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct LbConfig {
    conf: Conf,
    /// By index; 0 stays free, as in VPP, where it is the default VIP.
    vips: Places<Vip>,
    /// By slot; 0 is no server.
    servers: Places<Server>,
    /// The present handle of each slot, also of free ones.
    handles: Vec<ServerHandle>,
    /// Prefixes with VIPs of single ports, by the index that their route carries.
    groups: Places<IpPrefix>,
    index: Index,
    before: Before,
}

impl Default for LbConfig {
    fn default() -> Self {
        Self {
            conf: Conf::default(),
            vips: Places::from(1),
            servers: Places::from(1),
            handles: vec![ServerHandle::NONE],
            groups: Places::from(0),
            index: Index::default(),
            before: Before::default(),
        }
    }
}

impl LbConfig {
    /// The parameters.
    pub fn conf(&self) -> &Conf {
        &self.conf
    }

    /// All VIPs with their indices, removed ones too.
    pub fn vips(&self) -> impl Iterator<Item = (u32, &Vip)> {
        self.vips.iter()
    }

    /// The VIP with this index.
    pub fn vip(&self, index: u32) -> Option<&Vip> {
        self.vips.get(index)
    }

    /// All servers with their slots, removed ones too.
    pub fn servers(&self) -> impl Iterator<Item = (u32, &Server)> {
        self.servers.iter()
    }

    /// The server in this slot.
    pub fn server(&self, slot: u32) -> Option<&Server> {
        self.servers.get(slot)
    }

    /// The present handle of every slot, for [`crate::handle::Live`].
    pub fn handles(&self) -> &[ServerHandle] {
        &self.handles
    }

    /// The index of a configured VIP.
    ///
    /// # Errors
    /// If there is none of this key.
    pub fn find(&self, key: &VipKey) -> Result<u32, LbError> {
        if let Some(index) = self.index.vip(key) {
            return Ok(index);
        }
        let mut others: Vec<_> = self.index.vips_of(key.prefix).collect();
        others.sort_unstable();
        let others: Vec<_> = others.into_iter().filter_map(|index| Some(self.vip(index)?.key)).collect();
        Err(if others.is_empty() { LbError::NoVip(*key) } else { LbError::OtherVips { vip: *key, others } })
    }

    /// The configured VIPs of a prefix, in the order of their protocols and ports.
    pub fn vips_of(&self, prefix: IpPrefix) -> impl Iterator<Item = u32> {
        self.index.vips_of(prefix)
    }

    /// The prefix of a configured VIP that has this address.
    pub fn covering(&self, address: IpAddr) -> Option<IpPrefix> {
        self.index.covering(address)
    }

    /// All servers with this address, removed ones too.
    pub fn servers_at(&self, address: IpAddr) -> impl Iterator<Item = &Server> {
        self.index.servers_at(address).filter_map(|slot| self.server(slot))
    }

    /// Whether a VIP, be it a removed one, has this encapsulation.
    pub fn has_encap(&self, encap: Encap) -> bool {
        self.index.has_encap(encap)
    }

    /// The encapsulations and families of VIPs that have servers.
    pub fn kinds(&self) -> impl Iterator<Item = (Encap, Family)> {
        self.index.kinds()
    }

    /// The VIPs that our own addresses serve, too.
    pub fn node_ports(&self) -> impl Iterator<Item = (u32, &Vip)> {
        self.index.node_ports().filter_map(|index| Some((index, self.vip(index)?)))
    }

    /// Removed servers, which may still have flows.
    pub fn leaving(&self) -> impl Iterator<Item = ServerHandle> {
        self.index.leaving_servers.iter().map(|slot| self.handles[*slot as usize])
    }

    /// Whether there are removed VIPs or servers.
    pub fn has_removed(&self) -> bool {
        !self.index.leaving_vips.is_empty() || !self.index.leaving_servers.is_empty()
    }

    /// The configured servers of a VIP, as its scheduler sees them.
    pub fn members(&self, vip: &Vip) -> Vec<Member> {
        let member = |&slot: &u32| {
            let server = self.server(slot).filter(|server| server.state == State::Used)?;
            Some(Member { slot, address: server.address, port: server.port.unwrap_or(0), weight: server.weight })
        };
        vip.servers.iter().filter_map(member).collect()
    }

    /// Changes parameters.
    ///
    /// # Errors
    /// If a number is out of range, `buckets` is not a power of two, or nobody can have a source address. All ones, which
    /// stand where none was set, cannot be set either.
    pub fn set_conf(&mut self, update: ConfUpdate) -> Result<Change, LbError> {
        let next = Conf {
            ip4_src: update.ip4_src.unwrap_or(self.conf.ip4_src),
            ip6_src: update.ip6_src.unwrap_or(self.conf.ip6_src),
            snat4: update.snat4.or(self.conf.snat4),
            snat6: update.snat6.or(self.conf.snat6),
            buckets: update.buckets.unwrap_or(self.conf.buckets),
            timeout: update.timeout.unwrap_or(self.conf.timeout),
            half_open: update.half_open.or(self.conf.half_open),
            established: update.established.or(self.conf.established),
            closing: update.closing.or(self.conf.closing),
            udp: update.udp.or(self.conf.udp),
        };
        flow_table::check(next.buckets, next.timeout)?;
        next.timeouts().check()?;
        if update.ip4_src.is_some_and(nobody4) {
            return Err(LbError::Source(next.ip4_src.into()));
        }
        if update.ip6_src.is_some_and(nobody6) {
            return Err(LbError::Source(next.ip6_src.into()));
        }
        if let Some(pool) = update.snat4 {
            check_pool(pool.first, pool.last, |source| nobody4(source) || source.is_loopback())?;
        }
        if let Some(pool) = update.snat6 {
            check_pool(pool.first, pool.last, |source| nobody6(source) || source.is_loopback())?;
        }
        let pool4 = update.snat4.is_some().then(|| next.sources4().map(IpAddr::from)).into_iter().flatten();
        let pool6 = update.snat6.is_some().then(|| next.sources6().map(IpAddr::from)).into_iter().flatten();
        let tunnels = [update.ip4_src.map(IpAddr::from), update.ip6_src.map(IpAddr::from)].into_iter().flatten();
        self.check_sources(&tunnels.chain(pool4).chain(pool6).collect())?;
        let mut change = Change::default();
        if next.buckets != self.conf.buckets {
            change.push(Step::Buckets(next.buckets));
        }
        if next.timeouts() != self.conf.timeouts() {
            change.push(Step::Timeouts(next.timeouts()));
        }
        if next != self.conf {
            self.before.conf.get_or_insert(self.conf);
            self.conf = next;
        }
        Ok(change)
    }

    /// Adds a VIP; says its index.
    ///
    /// # Errors
    /// If there is one of this key, one that cannot stand beside it, or a server within its prefix; if no host can have
    /// such an address; if an option cannot be, or not of this family.
    pub fn add_vip(&mut self, key: VipKey, options: VipOptions) -> Result<(u32, Change), LbError> {
        check_options(&key, &options, &self.conf)?;
        self.check_quic_lb(&key, &options.quic_lb, None)?;
        if nobody_has(key.prefix) {
            return Err(LbError::VipNotUnicast(key.prefix));
        }
        if !maglev::is_valid_len(options.new_len) {
            return Err(LbError::NewLen(options.new_len));
        }
        let beside = self.check_beside(&key, &options)?;
        if let Some(server) = self.index.servers_in(key.prefix).next().and_then(|slot| self.server(slot)) {
            return Err(LbError::Loop { server: server.address, vip: key.prefix });
        }
        let index = free(&self.vips, MAX_VIP, "VIPs")?;
        let mut change = Change::default();
        let target = match (beside, key.service) {
            (Some(target), _) => target,
            (None, Service::All) => RouteTarget::Vip(options.encap, index),
            (None, Service::Port { .. }) => {
                let group = free(&self.groups, MAX_VIP, "prefixes")?;
                self.write_group(group, Some(key.prefix));
                RouteTarget::Ports(options.encap, group)
            }
        };
        if beside.is_none() {
            change.push(Step::AddRoute { prefix: key.prefix, target });
        }
        self.write_vip(index, Some(Vip { key, options, state: State::Used, servers: Vec::new(), target }));
        Ok((index, change))
    }

    /// Changes how a VIP picks servers for new flows; says its index. Known flows stay where they are.
    ///
    /// # Errors
    /// If there is none of this key, there cannot be so many slots, or too few for its servers, or connection IDs cannot
    /// name servers so.
    pub fn set_vip(&mut self, key: &VipKey, update: VipUpdate) -> Result<(u32, Change), LbError> {
        let index = self.find(key)?;
        let mut vip = self.vip(index).ok_or(LbError::NoVip(*key))?.clone();
        vip.options.scheduler = update.scheduler.unwrap_or(vip.options.scheduler);
        vip.options.new_len = update.new_len.unwrap_or(vip.options.new_len);
        vip.options.ping = update.ping.or(vip.options.ping);
        if vip.options.encap.is_nat() && update.ping == Some(Ping::Balance) {
            return Err(LbError::PingNat { vip: *key, encap: vip.options.encap.name() });
        }
        vip.options.mss_clamp = update.mss_clamp.or(vip.options.mss_clamp);
        if !maglev::is_valid_len(vip.options.new_len) {
            return Err(LbError::NewLen(vip.options.new_len));
        }
        if let Some(configs) = update.quic_lb {
            self.check_quic_lb(key, &configs, Some(&vip))?;
            vip.options.quic_lb = configs;
        }
        check_room(&vip, &self.members(&vip))?;
        self.write_vip(index, Some(vip));
        Ok((index, Change::default()))
    }

    /// Whether the VIP can stand beside those of the same prefix, and the route that it shares with them.
    fn check_beside(&self, key: &VipKey, options: &VipOptions) -> Result<Option<RouteTarget>, LbError> {
        let mut target = None;
        for vip in self.index.vips_of(key.prefix).filter_map(|index| self.vip(index)) {
            if vip.key == *key {
                return Err(LbError::VipExists(*key));
            }
            match (vip.key.service, key.service) {
                (Service::All, _) => return Err(LbError::AllPorts(*key)),
                (_, Service::All) => return Err(LbError::SinglePort(*key)),
                _ if vip.options.encap.name() != options.encap.name() => {
                    return Err(LbError::OtherEncap { vip: *key, has: vip.options.encap.name() });
                }
                _ => target = Some(vip.target),
            }
        }
        Ok(target)
    }

    /// Deletes a VIP and with it its servers; they stay listed as removed.
    ///
    /// # Errors
    /// If there is none of this key.
    pub fn del_vip(&mut self, key: &VipKey) -> Result<Change, LbError> {
        let index = self.find(key)?;
        let mut change = Change::default();
        let Some(mut vip) = self.vip(index).cloned() else { return Ok(change) };
        vip.state = State::Removed;
        let target = vip.target;
        for &slot in &vip.servers {
            let server = self.server(slot).map(|server| Server { state: State::Removed, ..*server });
            self.write_server(slot, server);
        }
        self.write_vip(index, Some(vip));
        if self.index.vips_of(key.prefix).next().is_none() {
            change.push(Step::DelRoute { prefix: key.prefix, target });
            if let RouteTarget::Ports(_, group) = target {
                self.write_group(group, None);
            }
        }
        Ok(change)
    }

    /// Adds servers to a VIP. With a weight, servers that are there take that weight, and their flows are forgotten if
    /// `flush`; without one they are an error unless they take another server ID, and the weight of new ones is 100. A
    /// removed server is taken back, with the flows it still has.
    ///
    /// # Errors
    /// If the VIP is not there, or an address cannot be one of its servers; if the weight is over 100; if there are not
    /// enough slots; if a server cannot be called so.
    pub fn add_servers(
        &mut self,
        key: &VipKey,
        servers: &[impl Into<ServerSpec> + Copy],
        weight: Option<u32>,
        flush: bool,
    ) -> Result<Change, LbError> {
        let index = self.find(key)?;
        let servers = named(servers, self.vip(index))?;
        let new_weight = checked_weight(weight.unwrap_or(100))?;
        let vip = self.vip(index).ok_or(LbError::NoVip(*key))?;
        let mut members = self.members(vip);
        let (mut fresh, mut weights) = (0, Vec::with_capacity(servers.len()));
        for server in &servers {
            self.check_server(vip, server)?;
            let slot = self.slot_of(vip, server);
            let there = slot.and_then(|slot| self.server(slot));
            self.check_server_id(vip, server, there.and_then(|server| server.server_id))?;
            let used = there.filter(|server| server.state == State::Used);
            if used.is_some() && weight.is_none() && server.server_id.is_none() {
                return Err(LbError::ServerExists { server: *server, vip: *key });
            }
            let weight = if weight.is_none() { used.map_or(new_weight, |used| used.weight) } else { new_weight };
            weights.push(weight);
            let port = server.port.unwrap_or(0);
            members.retain(|member| (member.address, member.port) != (server.address, port));
            members.push(Member { slot: 0, address: server.address, port, weight });
            fresh += usize::from(slot.is_none());
        }
        check_room(vip, &members)?;
        if self.servers.last_of(fresh) > ServerHandle::MAX_SLOT as usize {
            return Err(LbError::TooMany { what: "servers", most: ServerHandle::MAX_SLOT });
        }
        let mut change = Change::default();
        for (server, weight) in servers.iter().zip(weights) {
            let slot = self.put_server(index, server, weight, &mut change)?;
            if flush {
                self.forget(slot);
            }
        }
        Ok(change)
    }

    /// Sets the weight of servers that are there; `flush` forgets their flows.
    ///
    /// # Errors
    /// If the VIP or a server is not there, the weight is over 100, or there are not enough slots.
    pub fn set_weight(
        &mut self,
        key: &VipKey,
        servers: &[impl Into<ServerSpec> + Copy],
        weight: u32,
        flush: bool,
    ) -> Result<Change, LbError> {
        let vip = self.vip(self.find(key)?).ok_or(LbError::NoVip(*key))?;
        for server in servers.iter().map(|server| (*server).into()) {
            let slot = self.slot_of(vip, &server).and_then(|slot| self.server(slot));
            if slot.is_none_or(|server| server.state != State::Used) {
                return Err(LbError::NoServer { server, vip: *key });
            }
        }
        self.add_servers(key, servers, Some(weight), flush)
    }

    /// Deletes servers of a VIP. Flows they have keep them, unless `flush`; a server that is removed already may still
    /// be flushed.
    ///
    /// # Errors
    /// If the VIP or a server is not there.
    pub fn del_servers(
        &mut self,
        key: &VipKey,
        servers: &[impl Into<ServerSpec> + Copy],
        flush: bool,
    ) -> Result<Change, LbError> {
        let index = self.find(key)?;
        let servers = named(servers, self.vip(index))?;
        let vip = self.vip(index).ok_or(LbError::NoVip(*key))?;
        let mut slots = Vec::new();
        for server in servers {
            let there = |&slot: &u32| self.server(slot).is_some_and(|server| flush || server.state == State::Used);
            let slot = self.slot_of(vip, &server).filter(there);
            slots.push(slot.ok_or(LbError::NoServer { server, vip: *key })?);
        }
        let members: Vec<Member> =
            self.members(vip).into_iter().filter(|member| !slots.contains(&member.slot)).collect();
        check_room(vip, &members)?;
        for slot in slots {
            // Flushed, it has no connections any more.
            let server_id = |server: &Server| server.server_id.filter(|_| !flush);
            let removed = |server: &Server| Server { state: State::Removed, server_id: server_id(server), ..*server };
            self.write_server(slot, self.server(slot).map(removed));
            if flush {
                self.forget(slot);
            }
        }
        Ok(Change::default())
    }

    /// Forgets all flows of a VIP.
    ///
    /// # Errors
    /// If there is none of this key.
    pub fn flush_vip(&mut self, key: &VipKey) -> Result<(u32, Change), LbError> {
        let index = self.find(key)?;
        for slot in self.vip(index).map(|vip| vip.servers.clone()).unwrap_or_default() {
            self.forget(slot);
        }
        Ok((index, Change::default()))
    }

    /// Forgets the flows of all VIPs, removed ones too.
    pub fn forget_flows(&mut self) {
        (1..self.handles.len() as u32).for_each(|slot| self.forget(slot));
    }

    /// Lets go of removed servers that have no flow left, and of removed VIPs that have no server left. `flows` sums
    /// over all workers; ask them only after tables without the removed servers were published, or a worker may still
    /// be giving them flows.
    pub fn collect(&mut self, flows: impl Fn(ServerHandle) -> u64) -> Change {
        let (mut change, mut lost) = (Change::default(), BTreeSet::new());
        for slot in self.index.leaving_servers.iter().copied().collect::<Vec<_>>() {
            let Some(&server) = self.server(slot) else { continue };
            if flows(self.handles[slot as usize]) > 0 {
                continue;
            }
            self.write_server(slot, None);
            self.forget(slot);
            change.push(Step::Untrack { server: slot, address: server.address });
            lost.insert(server.vip);
        }
        for index in lost {
            if let Some(mut vip) = self.vip(index).cloned() {
                vip.servers.retain(|slot| self.server(*slot).is_some());
                self.write_vip(index, Some(vip));
            }
        }
        for index in self.index.leaving_vips.iter().copied().collect::<Vec<_>>() {
            if self.vip(index).is_some_and(|vip| vip.servers.is_empty()) {
                self.write_vip(index, None);
            }
        }
        change
    }

    fn slot_of(&self, vip: &Vip, spec: &ServerSpec) -> Option<u32> {
        let there = |&&slot: &&u32| self.server(slot).is_some_and(|server| (server.address, server.port) == spec.key());
        vip.servers.iter().find(there).copied()
    }

    /// Adds a server, takes it back, or gives it another weight.
    fn put_server(&mut self, vip: u32, spec: &ServerSpec, weight: u8, change: &mut Change) -> Result<u32, LbError> {
        let &ServerSpec { address, port, mac, server_id } = spec;
        let server = Server { vip, address, port, mac, server_id, weight, state: State::Used };
        let there = self.vip(vip).and_then(|vip| self.slot_of(vip, spec));
        if let Some(slot) = there {
            let before = self.server(slot).map(|server| (server.mac, server.server_id));
            let (mac_before, id_before) = before.unwrap_or_default();
            let (mac, server_id) = (mac.or(mac_before), server_id.or(id_before));
            self.write_server(slot, Some(Server { mac, server_id, ..server }));
            return Ok(slot);
        }
        let slot = free(&self.servers, ServerHandle::MAX_SLOT, "servers")?;
        self.write_server(slot, Some(server));
        if let Some(mut with) = self.vip(vip).cloned() {
            with.servers.push(slot);
            self.write_vip(vip, Some(with));
        }
        change.push(Step::Track { server: slot, address });
        Ok(slot)
    }

    fn forget(&mut self, slot: u32) {
        let handle = &mut self.handles[slot as usize];
        self.before.handles.entry(slot).or_insert(*handle);
        *handle = handle.next();
    }

    /// All that is known of VIPs and servers is written by these, so that it can be found, and undone.
    fn write_vip(&mut self, index: u32, vip: Option<Vip>) {
        if let Some(old) = self.vips.get(index) {
            self.index.note_vip(index, old, false);
        }
        if let Some(vip) = &vip {
            self.index.note_vip(index, vip, true);
        }
        let old = self.vips.put(index, vip);
        self.before.vips.entry(index).or_insert(old);
    }

    fn write_server(&mut self, slot: u32, server: Option<Server>) {
        let kind = |server: &Server| self.vips.get(server.vip).map(|vip| (vip.options.encap, vip.family()));
        if let Some(old) = self.servers.get(slot) {
            self.index.note_server(slot, old, kind(old), false);
        }
        if let Some(server) = &server {
            self.index.note_server(slot, server, kind(server), true);
        }
        let old = self.servers.put(slot, server);
        self.before.servers.entry(slot).or_insert(old);
        for fresh in self.handles.len() as u32..=slot {
            self.handles.push(ServerHandle::first(fresh));
        }
    }

    fn write_group(&mut self, group: u32, prefix: Option<IpPrefix>) {
        let old = self.groups.put(group, prefix);
        self.before.groups.entry(group).or_insert(old);
    }
}

/// The servers, each once, in the order in which they were named. The VIP's own port is none of their own.
fn named(servers: &[impl Into<ServerSpec> + Copy], vip: Option<&Vip>) -> Result<Vec<ServerSpec>, LbError> {
    let usual = vip.and_then(|vip| vip.options.target_port);
    let mut once: Vec<ServerSpec> = Vec::with_capacity(servers.len());
    for mut server in servers.iter().map(|server| (*server).into()) {
        server.port = server.port.filter(|port| Some(*port) != usual);
        if !once.iter().any(|other| other.key() == server.key()) {
            once.push(server);
        }
    }
    if once.is_empty() { Err(LbError::NoAddress) } else { Ok(once) }
}

fn free<T>(places: &Places<T>, last: u32, what: &'static str) -> Result<u32, LbError> {
    let next = places.next();
    if next <= last { Ok(next) } else { Err(LbError::TooMany { what, most: last }) }
}
