//! What a VIP and a server are.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::encap::Encap;
use super::prefix::IpPrefix;
use super::scheduler::Scheduler;

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
}

impl Default for VipOptions {
    fn default() -> Self {
        Self { encap: Encap::Gre4, scheduler: Scheduler::Maglev, new_len: 1024, src_ip_sticky: false }
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
        let family = if self.key.prefix.address().is_ipv4() { "ip4" } else { "ip6" };
        format!("{family}-{}", self.options.encap.name())
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
    /// Its weight, 0 (no new flows) to 100.
    pub weight: u8,
    /// Whether it is still configured.
    pub state: State,
}
