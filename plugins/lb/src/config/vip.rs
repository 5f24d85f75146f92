//! What a VIP and a server are.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::encap::Encap;
use super::family::Family;
use super::prefix::IpPrefix;
use super::scheduler::Scheduler;
use crate::quic_lb::{Configs, ServerId};

/// A transport protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Tcp { "tcp" } else { "udp" })
    }
}

/// Which packets to a prefix a VIP is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Service {
    /// All.
    All,
    /// Those to one port.
    Port {
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
}

/// What names a VIP in commands: no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VipKey {
    /// The addresses.
    pub prefix: IpPrefix,
    /// The packets to these.
    pub service: Service,
}

impl fmt::Display for VipKey {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.prefix)?;
        if let Service::Port { protocol, port } = self.service {
            write!(f, " protocol {protocol} port {port}")?;
        }
        Ok(())
    }
}

/// What a VIP is made from, besides its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VipOptions {
    /// How packets travel to the servers.
    pub encap: Encap,
    /// How a new flow's server is picked.
    pub scheduler: Scheduler,
    /// Slots of the scheduler's table.
    pub new_len: u32,
    /// All flows of a source go to one server.
    pub src_ip_sticky: bool,
    /// The port that NAT sends to, where a server does not name its own.
    pub target_port: Option<u16>,
    /// Our own addresses serve the port, too (VPP's and Kubernetes' "nodeport").
    pub node_port: bool,
    /// Who answers echo requests; `None`: a server where the VIP is for all ports, we where it is for one.
    pub ping: Option<Ping>,
    /// The largest TCP segments that SYNs, and with NAT their answers, may ask for.
    pub mss_clamp: Option<MssClamp>,
    /// How QUIC's connection IDs name servers; none: they do not.
    pub quic_lb: Configs,
}

/// The largest TCP segments that SYNs may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MssClamp {
    /// What the way to the flow's server carries in one piece; with NAT, what the way to the client does, too.
    Auto,
    /// So many bytes.
    At(u16),
    /// As they ask.
    Off,
}

/// Who answers echo requests to a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ping {
    /// We.
    Answer,
    /// A server: requests are flows as others are.
    Balance,
}

impl Ping {
    /// The word in commands.
    pub fn name(self) -> &'static str {
        if self == Ping::Answer { "answer" } else { "balance" }
    }
}

impl Default for VipOptions {
    fn default() -> Self {
        Self {
            encap: Encap::Gre4,
            scheduler: Scheduler::Maglev,
            new_len: 1024,
            src_ip_sticky: false,
            target_port: None,
            node_port: false,
            ping: None,
            mss_clamp: None,
            quic_lb: Configs::default(),
        }
    }
}

/// Whether a VIP or a server is there to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Configured.
    Used,
    /// Deleted, and listed until its flows are gone.
    Removed,
}

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// What names it.
    pub key: VipKey,
    /// What it was made from.
    pub options: VipOptions,
    /// Whether it is still configured.
    pub state: State,
    /// Its servers' slots, in the order in which they were added.
    pub servers: Vec<u32>,
    /// What a route to the prefix leads to.
    pub target: RouteTarget,
}

impl Vip {
    /// VPP's word for the family and the encapsulation.
    pub fn kind(&self) -> String {
        format!("{}-{}", self.family().word(), self.options.encap.name())
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        self.key.prefix.family()
    }

    /// Who answers echo requests.
    pub fn ping(&self) -> Ping {
        let default = if self.key.service == Service::All { Ping::Balance } else { Ping::Answer };
        self.options.ping.unwrap_or(default)
    }
}

/// What a route to a VIP's prefix leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum RouteTarget {
    /// The VIP of all ports with this index, and the way to its servers.
    Vip(Encap, u32),
    /// The VIPs of single ports of one prefix, under an index of their own, and the way to their servers.
    Ports(Encap, u32),
}

/// A server of one VIP (VPP's "application server", AS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// The index of its VIP.
    pub vip: u32,
    /// Where it is.
    pub address: IpAddr,
    /// The port that packets for it get, where it has one of its own.
    pub port: Option<u16>,
    /// Its MAC, where it was told.
    pub mac: Option<[u8; 6]>,
    /// What QUIC's connection IDs call it, where it was told.
    pub server_id: Option<ServerId>,
    /// Its weight, 0 (no new flows) to 100.
    pub weight: u8,
    /// Whether it is still configured.
    pub state: State,
}

/// A server as it is named: several ports of one address are several servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Where it is.
    pub address: IpAddr,
    /// Its port, where it is not the VIP's.
    pub port: Option<u16>,
    /// Its MAC, where it is told and not asked for.
    pub mac: Option<[u8; 6]>,
    /// What QUIC's connection IDs call it.
    pub server_id: Option<ServerId>,
}

impl From<IpAddr> for ServerSpec {
    fn from(address: IpAddr) -> ServerSpec {
        ServerSpec { address, port: None, mac: None, server_id: None }
    }
}

impl ServerSpec {
    /// What tells it from other servers of a VIP.
    pub fn key(&self) -> (IpAddr, Option<u16>) {
        (self.address, self.port)
    }
}

impl fmt::Display for ServerSpec {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        self.port.map_or(Ok(()), |port| write!(f, " target_port {port}"))
    }
}
