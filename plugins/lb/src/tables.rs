//! What workers read: VIPs and servers as packets need them, immutable, built from the configuration.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use vnet::NodeId;

use crate::config::{Encap, Family, LbConfig, MssClamp, Ping, RouteTarget, Scheduler, Server, Service, State, Vip};
use crate::format::{ServerLine, VipLine};
use crate::handle::{Live, ServerHandle};
use crate::maglev::Member;
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
    vips: Vec<Option<VipEntry>>,
    /// What of a flow counts, by VIP, without the rest: all that a packet of a known flow needs of its VIP. Of VIPs whose
    /// connection IDs name servers nothing stands here: there is more to look at in each packet.
    masks: Vec<KeyMask>,
    /// By slot; a slot without a server has an entry whose handle is that of another slot.
    servers: Vec<ServerEntry>,
    handles: Vec<ServerHandle>,
    ports: HashMap<PortKey, u32, ahash::RandomState>,
    /// The VIP that echo requests to a prefix with VIPs of single ports belong to, by the index that its route carries: the first.
    firsts: Vec<u32>,
    /// What the outer IPv6 headers have in common.
    pub ip6: Ip6Outer,
    /// The addresses that servers see instead of clients', with full NAT.
    pub snat4: Arc<[u32]>,
    /// The same of IPv6.
    pub snat6: Arc<[[u8; 16]]>,
    /// How many workers there are.
    pub workers: u32,
    /// Addresses and ports of servers behind NAT.
    nat_servers: HashSet<(IpAddr, u16), ahash::RandomState>,
    /// By family, protocol and port: the nodes of VIPs that our own addresses serve, too, and the numbers for them.
    node_ports: HashMap<(Family, u8, u16), (NodeId, u32), ahash::RandomState>,
    /// Counts these tables and those before.
    version: u32,
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

/// The index that a route carries, protocol and port.
type PortKey = (u32, u8, u16);

impl LbTables {
    /// Builds the tables of a configuration for an engine.
    ///
    /// Slots that would come out the same are shared with the tables `before`. The others are filled here, which takes
    /// milliseconds for many slots: not for a packet thread.
    pub fn build(config: &LbConfig, before: &Self, engine: &impl Engine) -> Self {
        let version = before.version.wrapping_add(1).max(1);
        let ip6 = Ip6Outer::new(config.conf().ip6_src);
        let conf = config.conf();
        let mut tables = Self {
            handles: config.handles().to_vec(),
            version,
            ip6,
            snat4: conf.sources4().map(u32::from).collect(),
            snat6: conf.sources6().map(|address| address.octets()).collect(),
            workers: engine.workers(),
            ..Self::default()
        };
        for (index, vip) in config.vips() {
            let entry = VipEntry::build(config, vip, before.vip(index), version);
            tables.masks.resize(tables.masks.len().max(index as usize + 1), KeyMask::NONE);
            tables.masks[index as usize] = if entry.names.is_none() { entry.mask } else { KeyMask::NONE };
            put(&mut tables.vips, index, entry);
            if let (State::Used, RouteTarget::Ports(_, group), Service::Port { protocol, port }) =
                (vip.state, vip.target, vip.key.service)
            {
                tables.ports.insert((group, protocol.number(), port), index);
                tables.firsts.resize(tables.firsts.len().max(group as usize + 1), 0);
                if vip.options.node_port
                    && let Some(node) = engine.node(vip)
                {
                    tables.node_ports.insert((vip.family(), protocol.number(), port), (node, group));
                }
                let first = &mut tables.firsts[group as usize];
                *first = if *first == 0 { index } else { index.min(*first) };
            }
        }
        for (slot, server) in config.servers() {
            let Some(vip) = config.vip(server.vip) else { continue };
            let handle = config.handles()[slot as usize];
            let entry = ServerEntry::new(config, vip, server, engine.track(server.address), handle);
            if vip.options.encap.is_nat() {
                // With port 0: whatever the port.
                tables.nat_servers.extend([(entry.address, entry.port), (entry.address, 0)]);
            }
            for vacant in tables.servers.len() as u32..=slot {
                tables.servers.push(ServerEntry::vacant(vacant));
            }
            tables.servers[slot as usize] = entry;
        }
        tables
    }

    /// The VIP with this index, if there is one.
    #[inline(always)]
    pub fn vip(&self, index: u32) -> Option<&VipEntry> {
        self.vips.get(index as usize)?.as_ref()
    }

    /// What of a flow counts for the VIP with this index, if there is one and nothing but the flow counts.
    #[inline(always)]
    pub fn mask(&self, index: u32) -> Option<KeyMask> {
        self.masks.get(index as usize).copied().filter(|mask| mask.is_some())
    }

    /// The VIP of a port, under the index that a route to its prefix carries.
    #[inline]
    pub fn port_vip(&self, group: u32, protocol: u8, port: u16) -> Option<u32> {
        self.ports.get(&(group, protocol, port)).copied()
    }

    /// The VIPs of single ports that share a prefix, whose route carries this index; by their own indices.
    pub fn port_vips(&self, group: u32) -> Vec<&VipEntry> {
        let of_group = self.ports.iter().filter(|((other, ..), _)| *other == group);
        let mut indices: Vec<u32> = of_group.map(|(_, index)| *index).collect();
        indices.sort_unstable();
        indices.into_iter().filter_map(|index| self.vip(index)).collect()
    }

    /// The VIP that stands for all VIPs of single ports of a prefix where no port decides.
    pub fn first_of(&self, group: u32) -> Option<u32> {
        self.firsts.get(group as usize).copied().filter(|&index| index != 0)
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
        let words = if vip.scheduler == Scheduler::Sh { words.masked(KeyMask::SOURCE) } else { words };
        self.present(*vip.slots.get(slot_of(words.slot_hash(), vip.slots.len()))?)
    }

    /// The server of a slot.
    #[inline(always)]
    pub fn present(&self, slot: u32) -> Option<ServerHandle> {
        self.handles.get(slot as usize).copied().filter(|server| !server.is_none())
    }

    /// The prefixes of the VIPs, as they are typed.
    pub fn prefixes(&self) -> Vec<String> {
        self.vips.iter().flatten().map(|vip| vip.line.prefix.to_string()).collect()
    }

    /// How many slots each server has, by slot; one pass over all tables.
    pub fn slot_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.handles.len()];
        for &slot in self.vips.iter().flatten().flat_map(|vip| vip.slots.iter()) {
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
        let mask = if vip.options.src_ip_sticky { KeyMask::SOURCE } else { KeyMask::FLOW };
        let (line, ping) = (Arc::new(VipLine::new(vip)), vip.ping());
        let mss_clamp = vip.options.mss_clamp.filter(|clamp| *clamp != MssClamp::Off);
        let configs = &vip.options.quic_lb;
        let names = (!configs.is_empty()).then(|| Arc::new(Names::new(configs, config.server_ids(vip))));
        Self { scheduler, slots, version, mask, line, ping, mss_clamp, names, members }
    }
}

impl ServerEntry {
    /// What stands for no server: no handle of this slot equals its handle.
    fn vacant(slot: u32) -> Self {
        Self {
            outer: Outer::NONE,
            encap: Encap::Gre4,
            address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            port: 0,
            own_port: None,
            vip: Family::Ip4,
            vip_index: 0,
            track: 0,
            handle: ServerHandle::first(slot ^ 1),
            weight: 0,
            state: State::Removed,
        }
    }

    fn new(config: &LbConfig, vip: &Vip, server: &Server, track: u32, handle: ServerHandle) -> Self {
        let (encap, source, family) = (vip.options.encap, config.conf().ip4_src, vip.family());
        let port = server.port.or(vip.options.target_port).unwrap_or(0);
        Self {
            outer: Outer::new(encap, family, source, server.address, port, server.mac),
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

fn put<T>(places: &mut Vec<Option<T>>, index: u32, value: T) {
    let index = index as usize;
    if index >= places.len() {
        places.resize_with(index + 1, || None);
    }
    places[index] = Some(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Protocol, VipKey, VipOptions};

    fn key(text: &str, service: Service) -> VipKey {
        VipKey { prefix: text.parse().unwrap(), service }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn two_vips() -> (LbConfig, VipKey, VipKey) {
        let (one, other) = (key("90.0.0.1/32", Service::All), key("91.0.0.1/32", Service::All));
        let mut config = LbConfig::default();
        for key in [one, other] {
            let _ = config.add_vip(key, VipOptions::default()).unwrap();
            let _ = config.add_servers(&key, &[ip("10.0.2.2"), ip("10.0.2.3")], None, false).unwrap();
        }
        (config, one, other)
    }

    fn build(config: &LbConfig, before: &LbTables) -> LbTables {
        LbTables::build(config, before, &|address| u32::from(address == ip("10.0.2.3")) + 7)
    }

    #[test]
    fn unchanged_slots_are_shared() {
        let (mut config, one, _) = two_vips();
        let before = build(&config, &LbTables::default());
        let _ = config.add_servers(&one, &[ip("10.0.2.4")], None, false).unwrap();
        let after = build(&config, &before);
        let slots = |tables: &LbTables, vip| tables.vip(vip).unwrap().slots.clone();
        assert!(!Arc::ptr_eq(&slots(&before, 1), &slots(&after, 1)));
        assert!(Arc::ptr_eq(&slots(&before, 2), &slots(&after, 2)));
        // A flush changes handles, not slots.
        let _ = config.flush_vip(&one).unwrap();
        let flushed = build(&config, &after);
        assert!(Arc::ptr_eq(&slots(&after, 1), &slots(&flushed, 1)));
        let old = after.choose(after.vip(1).unwrap(), [1u64, 2]).unwrap();
        assert!(after.live().holds(old) && !flushed.live().holds(old) && flushed.server(old).is_none());
        let new = flushed.choose(flushed.vip(1).unwrap(), [1u64, 2]).unwrap();
        assert_eq!((new.slot(), new.generation()), (old.slot(), 1));
    }

    #[test]
    fn servers_carry_what_a_packet_needs() {
        let (config, ..) = two_vips();
        let tables = build(&config, &LbTables::default());
        let server = tables.server(ServerHandle::first(2)).unwrap();
        assert_eq!((server.track, server.address), (8, ip("10.0.2.3")));
        assert_eq!(server.line().to_string(), "10.0.2.3 weight:100 used");
        assert_eq!(tables.slot_counts(), [0, 512, 512, 512, 512]);
        assert!(tables.vip(0).is_none() && tables.vip(3).is_none() && tables.server(ServerHandle::NONE).is_none());
    }

    #[test]
    fn removed_servers_get_no_new_flows_and_keep_their_old() {
        let (mut config, one, _) = two_vips();
        let before = build(&config, &LbTables::default());
        let _ = config.del_servers(&one, &[ip("10.0.2.2")], false).unwrap();
        let tables = build(&config, &before);
        assert!(tables.vip(1).unwrap().slots.iter().all(|&slot| slot == 2));
        assert_eq!(tables.server(ServerHandle::first(1)).unwrap().state, State::Removed);
        let _ = config.del_servers(&one, &[ip("10.0.2.3")], true).unwrap();
        let tables = build(&config, &tables);
        assert_eq!(tables.choose(tables.vip(1).unwrap(), [1u64, 2]), None);
    }

    #[test]
    fn ports_lead_to_their_vips() {
        let mut config = LbConfig::default();
        for port in [80, 443] {
            let service = Service::Port { protocol: Protocol::Tcp, port };
            let _ = config.add_vip(key("90.0.0.1/32", service), VipOptions::default()).unwrap();
        }
        let tables = build(&config, &LbTables::default());
        assert_eq!((tables.port_vip(0, 6, 80), tables.port_vip(0, 6, 443)), (Some(1), Some(2)));
        assert_eq!((tables.port_vip(0, 17, 80), tables.port_vip(1, 6, 80)), (None, None));
        let service = Service::Port { protocol: Protocol::Tcp, port: 80 };
        let _ = config.del_vip(&key("90.0.0.1/32", service)).unwrap();
        assert_eq!(build(&config, &tables).port_vip(0, 6, 80), None);
    }
}
