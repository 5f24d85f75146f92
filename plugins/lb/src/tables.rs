//! What workers read: VIPs and servers as packets need them, immutable, built from the configuration.
//!
//! A change makes other tables, which share with those before whatever it does not touch: with ten thousand VIPs it takes as
//! long as with ten.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use vnet::NodeId;
use vnet::chunked::Chunked;

use crate::config::{
    Encap, Family, LbConfig, MssClamp, Ping, RouteTarget, Scheduler, Server, Service, State, Touched, Vip,
};
use crate::format::{ServerLine, VipLine};
use crate::handle::{Live, ServerHandle};
use crate::maglev::Member;
use crate::nat;
use crate::outer::{Ip6Outer, Outer};
use crate::quic_lb::Names;
use crate::schedule;
use crate::slot_hash::{FlowWords, KeyMask, slot_of};

/// A VIP as a packet meets it.
#[derive(Clone, Debug)]
pub struct VipEntry {
    /// How a new flow's server is picked.
    pub scheduler: Scheduler,
    /// What it is picked from ([`schedule`]): each a server's slot, or 0 for none.
    pub slots: Arc<[u32]>,
    /// Which slots these are: others have another number.
    pub version: u32,
    /// What of a flow counts.
    pub mask: KeyMask,
    /// How it prints, for traces, which outlive it.
    pub line: Arc<VipLine>,
    /// Who answers echo requests.
    pub ping: Ping,
    /// The largest TCP segments that SYNs may ask for.
    pub mss_clamp: Option<MssClamp>,
    /// The servers that QUIC's connection IDs name, where they do.
    pub names: Option<Arc<Names>>,
    /// Of NAT: the address that its packets are to, if it has only one; unless a route to somewhere else leads through it.
    pub receiver: Option<IpAddr>,
    /// What the slots were made from.
    members: Arc<[Member]>,
}

/// A server as the first packet of a flow meets it; the others find what they need in [`crate::local::Way`].
#[derive(Clone, Copy, Debug)]
pub struct ServerEntry {
    /// What leads to it.
    pub outer: Outer,
    /// The encapsulation.
    pub encap: Encap,
    /// Where it is.
    pub address: IpAddr,
    /// The port that NAT sends to.
    pub port: u16,
    /// Whether it has a port of its own.
    own_port: Option<u16>,
    /// The family of its VIP.
    pub vip: Family,
    /// The index of its VIP.
    pub vip_index: u32,
    /// What the engine knows the way to it by.
    pub track: u32,
    /// Its handle.
    pub handle: ServerHandle,
    /// Its weight.
    pub weight: u8,
    /// Whether it is configured, or only serves the flows it has.
    pub state: State,
}

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub struct LbTables {
    vips: Chunked<Option<VipEntry>, 64>,
    /// What of a flow counts, by VIP, without the rest: all that a packet of a known flow needs of its VIP. Of VIPs whose
    /// connection IDs name servers nothing stands here: there is more to look at in each packet.
    masks: Arc<[KeyMask]>,
    /// By slot; a slot without a server has an entry whose handle is that of another slot.
    servers: Chunked<ServerEntry, 64>,
    handles: Arc<[ServerHandle]>,
    ports: Arc<HashMap<PortKey, u32, ahash::RandomState>>,
    /// The VIPs of single ports of a prefix, by the index that its route carries, in the order of their own indices.
    groups: Chunked<Option<Arc<[u32]>>, 64>,
    /// What the outer IPv6 headers have in common.
    pub ip6: Ip6Outer,
    /// The addresses that servers see instead of clients', with full NAT.
    pub snat4: Arc<[u32]>,
    /// The same of IPv6.
    pub snat6: Arc<[[u8; 16]]>,
    /// How many workers there are.
    pub workers: u32,
    /// Addresses and ports of servers behind NAT.
    nat_servers: Arc<HashSet<(IpAddr, u16), ahash::RandomState>>,
    /// By family, protocol and port: the nodes of VIPs that our own addresses serve, too, and the numbers for them.
    node_ports: Arc<NodePorts>,
    /// Counts these tables and those before.
    version: u32,
    /// Counts changes of what leads to servers, and of their handles.
    ways: u64,
}

/// What the tables need to know of the engine.
pub trait Engine {
    /// What the way to a server's address is known by.
    fn track(&self, address: IpAddr) -> u32;
    /// The node that packets of a VIP of a single port go to.
    fn node(&self, _: &Vip) -> Option<NodeId> {
        None
    }
    /// How many workers there are.
    fn workers(&self) -> u32 {
        1
    }
}

/// For those who know ways only.
impl<F: Fn(IpAddr) -> u32> Engine for F {
    fn track(&self, address: IpAddr) -> u32 {
        self(address)
    }
}

/// Ports of our own addresses, and the nodes and numbers that they lead to.
type NodePorts = HashMap<(Family, u8, u16), (NodeId, u32), ahash::RandomState>;

/// The index that a route carries, protocol and port.
type PortKey = (u32, u8, u16);

impl LbTables {
    /// The tables of a configuration, with nothing to share.
    pub fn of(config: &LbConfig, engine: &impl Engine) -> Self {
        Self::default().next(config, &config.all(), engine)
    }

    /// The tables of a configuration for an engine. What was `touched` since these tables here were built is built again;
    /// the rest is shared, and so are slots that come out the same. The others are filled here, which takes milliseconds
    /// for many slots: not for a packet thread.
    pub fn next(&self, config: &LbConfig, touched: &Touched, engine: &impl Engine) -> Self {
        let mut next = self.clone();
        next.version = self.version.wrapping_add(1).max(1);
        next.workers = engine.workers();
        // What stays the same stays in workers' caches, too.
        if *next.handles != *config.handles() {
            next.handles = config.handles().into();
        }
        if touched.conf {
            let conf = config.conf();
            next.ip6 = Ip6Outer::new(conf.ip6_src);
            next.snat4 = conf.sources4().map(u32::from).collect();
            next.snat6 = conf.sources6().map(|address| address.octets()).collect();
        }
        let last = touched.vips.last().map_or(0, |last| *last as usize + 1);
        let mut masks = self.masks.to_vec();
        masks.resize(masks.len().max(last), KeyMask::None);
        for &index in &touched.vips {
            masks[index as usize] = next.build_vip(config, index);
        }
        if *masks != *self.masks {
            next.masks = masks.into();
        }
        let node_port = |vip: &Vip| vip.options.node_port;
        let both = |&index: &u32| [config.vip(index), config.vip_before(index)];
        if touched.vips.iter().flat_map(both).flatten().any(node_port) {
            next.node_ports = Arc::new(node_ports(config, engine));
        }
        for &slot in &touched.servers {
            next.build_server(config, slot, engine);
        }
        next
    }

    /// Builds all of a VIP but its mask, which it gives.
    fn build_vip(&mut self, config: &LbConfig, index: u32) -> KeyMask {
        let (vip, before) = (config.vip(index), config.vip_before(index));
        let entry = vip.map(|vip| VipEntry::build(config, vip, self.vip(index), self.version));
        let mask = entry.as_ref().filter(|entry| entry.names.is_none()).map(|entry| entry.mask);
        *self.vips.slot(index as usize, &None) = entry;
        let (old, new) = (before.and_then(port_key), vip.and_then(port_key));
        if let Some(old) = old.filter(|old| Some(*old) != new && self.ports.get(old) == Some(&index)) {
            Arc::make_mut(&mut self.ports).remove(&old);
        }
        if let Some(new) = new.filter(|new| self.ports.get(new) != Some(&index)) {
            Arc::make_mut(&mut self.ports).insert(new, index);
        }
        for (vip, (group, ..)) in [before.zip(old), vip.zip(new)].into_iter().flatten() {
            let same = |index: &u32| config.vip(*index).is_some_and(|other| other.target == vip.target);
            let mut all: Vec<u32> = config.vips_of(vip.key.prefix).filter(same).collect();
            all.sort_unstable();
            *self.groups.slot(group as usize, &None) = (!all.is_empty()).then(|| all.into());
        }
        mask.unwrap_or(KeyMask::None)
    }

    fn build_server(&mut self, config: &LbConfig, slot: u32, engine: &impl Engine) {
        let server = config.server(slot).and_then(|server| Some((server, config.vip(server.vip)?)));
        let track = |server: &Server| engine.track(server.address);
        let handle = config.handles()[slot as usize];
        let new = server.map(|(server, vip)| ServerEntry::new(config, vip, server, track(server), handle));
        let place = self.servers.slot(slot as usize, &ServerEntry::VACANT);
        let old = std::mem::replace(place, new.unwrap_or(ServerEntry::VACANT));
        // A way that is known says that its server's handle is the present one, too.
        if old.handle != ServerEntry::VACANT.handle && new.is_none_or(|new| new.way() != old.way()) {
            self.ways += 1;
        }
        for (address, port) in [Some(old), new].into_iter().flatten().filter_map(|entry| entry.behind_nat()) {
            // With port 0: whatever the port.
            for port in [port, 0] {
                let there = config.servers_at(address).any(|server| {
                    let vip = config.vip(server.vip).filter(|vip| vip.options.encap.is_nat());
                    vip.is_some_and(|vip| port == 0 || port_of(vip, server) == port)
                });
                if there != self.nat_servers.contains(&(address, port)) {
                    let all = Arc::make_mut(&mut self.nat_servers);
                    if there {
                        all.insert((address, port))
                    } else {
                        all.remove(&(address, port))
                    };
                }
            }
        }
    }

    /// The VIP with this index, if there is one.
    #[inline(always)]
    pub fn vip(&self, index: u32) -> Option<&VipEntry> {
        self.vips.get(index as usize)?.as_ref()
    }

    /// What of a flow counts for the VIP with this index, if there is one and nothing but the flow counts.
    #[inline(always)]
    pub fn mask(&self, index: u32) -> Option<KeyMask> {
        self.masks.get(index as usize).copied().filter(|mask| *mask != KeyMask::None)
    }

    /// The VIP of a port, under the index that a route to its prefix carries.
    #[inline]
    pub fn port_vip(&self, group: u32, protocol: u8, port: u16) -> Option<u32> {
        self.ports.get(&(group, protocol, port)).copied()
    }

    /// The VIPs of single ports that share a prefix, whose route carries this index; by their own indices.
    pub fn port_vips(&self, group: u32) -> impl Iterator<Item = &VipEntry> {
        self.group(group).iter().filter_map(|index| self.vip(*index))
    }

    /// The VIP that stands for all VIPs of single ports of a prefix where no port decides: the first.
    pub fn first_of(&self, group: u32) -> Option<u32> {
        self.group(group).first().copied()
    }

    fn group(&self, group: u32) -> &[u32] {
        self.groups.get(group as usize).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Whether a server behind NAT has this address and port.
    pub fn is_nat_server(&self, address: IpAddr, port: u16) -> bool {
        self.nat_servers.contains(&(address, port))
    }

    /// Where packets to a port of an address of ours are balanced: the node, and the number for it.
    pub fn node_port(&self, family: Family, protocol: u8, port: u16) -> Option<(NodeId, u32)> {
        self.node_ports.get(&(family, protocol, port)).copied()
    }

    /// The server with this handle, while it is the present one of its slot.
    #[inline(always)]
    pub fn server(&self, handle: ServerHandle) -> Option<&ServerEntry> {
        self.servers.get(handle.slot()).filter(|server| server.handle == handle)
    }

    /// Counts changes of what leads to servers, as far as these tables have it, and of their handles.
    #[inline(always)]
    pub fn ways(&self) -> u64 {
        self.ways
    }

    /// The present handles.
    #[inline(always)]
    pub fn live(&self) -> Live<'_> {
        Live::new(&self.handles)
    }

    /// The server of a new flow, from the words of its key (masked by the VIP's [`KeyMask`] already), by a hash of
    /// them. For schedulers that go by something else this is the server of a flow that cannot be remembered: all its
    /// packets must go to the same.
    #[inline(always)]
    pub fn choose(&self, vip: &VipEntry, words: impl FlowWords) -> Option<ServerHandle> {
        let words = if vip.scheduler == Scheduler::Sh { words.masked(KeyMask::Source) } else { words };
        self.present(*vip.slots.get(slot_of(words.slot_hash(), vip.slots.len()))?)
    }

    /// The server of a slot.
    #[inline(always)]
    pub fn present(&self, slot: u32) -> Option<ServerHandle> {
        self.handles.get(slot as usize).copied().filter(|server| !server.is_none())
    }

    fn entries(&self) -> impl Iterator<Item = &VipEntry> {
        (0..self.masks.len() as u32).filter_map(|index| self.vip(index))
    }

    /// The indices of VIPs are below this.
    pub fn indices(&self) -> usize {
        self.masks.len()
    }

    /// The prefixes of the VIPs, as they are typed.
    pub fn prefixes(&self) -> Vec<String> {
        self.entries().map(|vip| vip.line.prefix.to_string()).collect()
    }

    /// How many slots each server has, by slot; one pass over all tables.
    pub fn slot_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.handles.len()];
        for &slot in self.entries().flat_map(|vip| vip.slots.iter()) {
            counts[slot as usize] += 1;
        }
        counts
    }
}

impl VipEntry {
    fn build(config: &LbConfig, vip: &Vip, before: Option<&Self>, version: u32) -> Self {
        let (members, scheduler, len) = (config.members(vip), vip.options.scheduler, vip.options.new_len);
        let same = before.filter(|before| {
            let same_len = scheduler != Scheduler::Maglev || before.slots.len() == len as usize;
            before.scheduler == scheduler && same_len && *before.members == *members
        });
        let (slots, members, version) = match same {
            Some(before) => (before.slots.clone(), before.members.clone(), before.version),
            None => {
                let slots = schedule::list(scheduler, len, &members);
                (slots.expect("LbConfig refuses servers that there are no slots for"), members.into(), version)
            }
        };
        let mask = if vip.options.src_ip_sticky { KeyMask::Source } else { KeyMask::Flow };
        let (line, ping) = (Arc::new(VipLine::new(vip)), vip.ping());
        let mss_clamp = vip.options.mss_clamp.filter(|clamp| *clamp != MssClamp::Off);
        let configs = &vip.options.quic_lb;
        let names = (!configs.is_empty()).then(|| Arc::new(Names::new(configs, config.server_ids(vip))));
        let receiver = only_receiver(vip).filter(|_| vip.options.encap.is_nat()).map(|(address, _)| address);
        Self { scheduler, slots, version, mask, line, ping, mss_clamp, names, receiver, members }
    }
}

impl ServerEntry {
    /// What stands for no server: no slot's server has its handle. It is of slot 0, and not what stands for none there.
    const VACANT: Self = Self {
        outer: Outer::NONE,
        encap: Encap::Gre4,
        address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        port: 0,
        own_port: None,
        vip: Family::Ip4,
        vip_index: 0,
        track: 0,
        handle: ServerHandle::NONE.next(),
        weight: 0,
        state: State::Removed,
    };

    /// What a way to it is made of.
    fn way(&self) -> (ServerHandle, Outer, Encap, IpAddr, u32) {
        (self.handle, self.outer, self.encap, self.address, self.track)
    }

    /// Its address and port, where there is NAT.
    fn behind_nat(&self) -> Option<(IpAddr, u16)> {
        self.encap.is_nat().then_some((self.address, self.port))
    }

    fn new(config: &LbConfig, vip: &Vip, server: &Server, track: u32, handle: ServerHandle) -> Self {
        let (encap, source, family) = (vip.options.encap, config.conf().ip4_src, vip.family());
        let port = port_of(vip, server);
        let outer = Outer::new(encap, family, source, server.address, port, server.mac);
        let receivers = match encap {
            Encap::L3dsr { .. } => only_address(vip).map(|from| ((from, 0), (server.address, 0))),
            _ if encap.is_nat() => only_receiver(vip).map(|from| (from, (server.address, port))),
            _ => None,
        };
        let change = receivers.and_then(|(from, to)| nat::change_of_receiver(from, to));
        Self {
            outer: change.map_or(outer, |change| outer.with_change(vip.key.prefix.address(), change)),
            encap,
            address: server.address,
            port,
            own_port: server.port,
            vip: family,
            vip_index: server.vip,
            track,
            handle,
            weight: server.weight,
            state: server.state,
        }
    }

    /// How it prints, for traces.
    pub fn line(&self) -> ServerLine {
        ServerLine { address: self.address, port: self.own_port, weight: self.weight, state: self.state }
    }
}

/// The only address and port of a VIP, if it has one.
fn only_receiver(vip: &Vip) -> Option<(IpAddr, u16)> {
    let Service::Port { port, .. } = vip.key.service else { return None };
    only_address(vip).filter(|_| !vip.options.node_port).map(|address| (address, port))
}

/// The only address of a VIP, if it has one.
fn only_address(vip: &Vip) -> Option<IpAddr> {
    let prefix = vip.key.prefix;
    let all = if prefix.address().is_ipv4() { 32 } else { 128 };
    (prefix.len() == all).then(|| prefix.address())
}

/// What a VIP of a single port is found by, while it is configured.
fn port_key(vip: &Vip) -> Option<PortKey> {
    match (vip.state, vip.target, vip.key.service) {
        (State::Used, RouteTarget::Ports(_, group), Service::Port { protocol, port }) => {
            Some((group, protocol.number(), port))
        }
        _ => None,
    }
}

/// The port that NAT sends a server's packets to; 0: theirs.
fn port_of(vip: &Vip, server: &Server) -> u16 {
    server.port.or(vip.options.target_port).unwrap_or(0)
}

/// By family, protocol and port: where packets for ports of our own addresses go.
fn node_ports(config: &LbConfig, engine: &impl Engine) -> NodePorts {
    let of = |(_, vip): (u32, &Vip)| {
        let (group, protocol, port) = port_key(vip)?;
        Some(((vip.family(), protocol, port), (engine.node(vip)?, group)))
    };
    config.node_ports().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
