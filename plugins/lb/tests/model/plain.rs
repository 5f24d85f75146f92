//! A load balancer that is too simple to be wrong: lists, searched from one end to the other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use lb::config::{IpPrefix, Protocol, Scheduler, Service, VipKey};
use lb::maglev::Member;
use lb::schedule::list;
use lb::slot_hash::{KeyMask, slot_hash, slot_of};

/// One inside the other, and one apart.
pub const PREFIXES: [&str; 3] = ["90.0.0.1/32", "90.0.0.0/24", "91.0.0.0/16"];
/// The last two may lie in a VIP; one is of the wrong family.
pub const SERVERS: [&str; 8] =
    ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "2001:db8::1", "90.0.0.7", "90.0.0.1"];
/// Where packets go: address, protocol and port.
pub const TARGETS: [(Ipv4Addr, Protocol, u16); 5] = [
    (Ipv4Addr::new(90, 0, 0, 1), Protocol::Tcp, 80),
    (Ipv4Addr::new(90, 0, 0, 1), Protocol::Udp, 53),
    (Ipv4Addr::new(90, 0, 0, 7), Protocol::Tcp, 80),
    (Ipv4Addr::new(91, 0, 3, 4), Protocol::Udp, 53),
    (Ipv4Addr::new(92, 0, 0, 1), Protocol::Tcp, 80),
];

/// The key that a number stands for: each prefix with all ports, TCP 80 and UDP 53.
pub fn key(number: usize) -> VipKey {
    let service = match number % 3 {
        0 => Service::All,
        1 => Service::Port { protocol: Protocol::Tcp, port: 80 },
        _ => Service::Port { protocol: Protocol::Udp, port: 53 },
    };
    VipKey { prefix: prefix(number / 3), service }
}

fn prefix(number: usize) -> IpPrefix {
    PREFIXES[number].parse().unwrap()
}

pub fn servers(numbers: &[usize]) -> Vec<IpAddr> {
    numbers.iter().map(|number| SERVERS[*number].parse().unwrap()).collect()
}

/// A server of a VIP.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub weight: u8,
    pub removed: bool,
}

/// A flow that a worker remembers.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub server: IpAddr,
    pub seen: u32,
    /// It was silent for longer than a timeout that was lengthened then: it may be known again, or not.
    pub lapsed: bool,
}

/// A worker, and the words of the flow's key, those masked that do not count.
pub type FlowKey = (usize, [u64; 2]);

/// A VIP with its flows.
#[derive(Clone, Debug)]
pub struct Vip {
    pub key: VipKey,
    pub new_len: u32,
    pub scheduler: Scheduler,
    pub mask: KeyMask,
    pub servers: BTreeMap<IpAddr, Server>,
    pub flows: BTreeMap<FlowKey, Flow>,
    pub removed: bool,
}

impl Vip {
    /// The server of a new flow by its hash (what workers remember is not modelled): tables are made from the servers in
    /// the order of their addresses.
    pub fn choice(&self, words: [u64; 2]) -> Option<IpAddr> {
        let used: Vec<(IpAddr, Server)> = self
            .servers
            .iter()
            .filter(|(_, server)| !server.removed)
            .map(|(address, server)| (*address, *server))
            .collect();
        let member = |(at, (address, server)): (usize, &(IpAddr, Server))| Member {
            slot: at as u32 + 1,
            address: *address,
            port: 0,
            weight: server.weight,
        };
        let members: Vec<Member> = used.iter().enumerate().map(member).collect();
        let table = list(self.scheduler, self.new_len, &members).unwrap();
        let words = if self.scheduler == Scheduler::Sh { KeyMask::Source.apply(words) } else { words };
        let slot = *table.get(slot_of(slot_hash(words), table.len()))?;
        (slot > 0).then(|| used[slot as usize - 1].0)
    }

    pub fn forget(&mut self, server: IpAddr) {
        self.flows.retain(|_, flow| flow.server != server);
    }

    /// How many flows of a server are surely remembered, and how many perhaps.
    pub fn flows_of(&self, server: IpAddr, alive: impl Fn(&Flow) -> bool) -> (u64, u64) {
        let own = || self.flows.values().filter(|flow| flow.server == server && alive(flow));
        (own().filter(|flow| !flow.lapsed).count() as u64, own().count() as u64)
    }
}

/// The VIP that a packet belongs to: that of the longest prefix, if it is for this port.
pub fn vip_of(vips: &[Vip], (address, protocol, port): (Ipv4Addr, Protocol, u16)) -> Option<usize> {
    let used = || vips.iter().enumerate().filter(|(_, vip)| !vip.removed);
    let longest = used().map(|(_, vip)| vip.key.prefix).filter(|prefix| prefix.contains(address.into()));
    let longest = longest.max_by_key(|prefix| prefix.len())?;
    let service = Service::Port { protocol, port };
    let meant =
        |vip: &Vip| vip.key.prefix == longest && (vip.key.service == Service::All || vip.key.service == service);
    used().find(|(_, vip)| meant(vip)).map(|(at, _)| at)
}

/// The words of a flow's key.
pub fn words(flow: u32, (address, protocol, port): (Ipv4Addr, Protocol, u16)) -> [u64; 2] {
    // Some sources with several ports each.
    let (source, sport) = (0x0a09_0000 + u64::from(flow / 4), 1000 + u64::from(flow % 4));
    [source << 32 | u64::from(address.to_bits()), u64::from(protocol.number()) << 32 | sport << 16 | u64::from(port)]
}
