//! The host agent: what a server needs to answer for VIPs that a balancer sends it.
//!
//! Packets to a VIP come in tunnels of every kind, from any balancer, or (L3DSR) to an address of ours with a DSCP that stands
//! for the VIP. They go on, by an interface, to the kernel or the machine that has the VIP; what it answers goes straight to
//! the client. All of it is one entry of [`Hosts`], made and taken back as a whole.

pub mod node;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use nodes::tunnel::{Outer, Tunnels, add_entrance};
use nodes::{sys, tap, udp};
use vnet::fib::{LinkKind, Path, Prefix, Source, Target};
use vnet::{IfIndex, Router};

use node::HostTables;

/// The name under which the routes stand.
const SOURCE: Source = Source::Plugin("lb host");

/// The interface by which packets for VIPs come in, whatever they came in.
pub const ENTRANCE: &str = "lb-host0";

/// A prefix of VIPs that a machine behind an interface has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Host {
    /// The prefix's first address.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub len: u8,
    /// The way to the VIPs.
    pub interface: IfIndex,
    /// Its name, by which it is known again.
    pub name: Arc<str>,
    /// Who on it has the VIPs; `None`: the kernel at its other end.
    pub next_hop: Option<IpAddr>,
    /// What L3DSR packets for the VIP are known by.
    pub dscp: Option<u8>,
    /// What was done for it so far.
    #[serde(skip)]
    done: Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Done {
    neighbor: bool,
    dscp: bool,
}

/// What was changed at an interface, to be changed back.
#[derive(Clone, Copy, Debug, Default)]
struct Touched {
    up: bool,
    ip4: bool,
    ip6: bool,
}

/// The VIPs that are hosted; state of the control thread.
#[derive(Default)]
pub struct Hosts {
    list: Vec<Host>,
    touched: BTreeMap<IfIndex, Touched>,
    entrance: Option<IfIndex>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<A> {
    /// The VIPs.
    pub prefix: Prefix<A>,
    /// The way to them.
    pub interface: IfIndex,
    /// Who on it has them; `None`: the kernel at its other end.
    pub next_hop: Option<A>,
    /// What L3DSR packets for the VIP are known by: 1 to 63.
    pub dscp: Option<u8>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It is there.
    #[error("{0} is hosted already, via {1}")]
    Exists(String, String),
    /// It is not there.
    #[error("{0} is not hosted here")]
    NotThere(String),
    /// Via another interface.
    #[error("{0} is hosted via {1}, not via {2}")]
    OtherWay(String, String, String),
    /// Somebody else has the prefix.
    #[error("{0} is a prefix of `{1}' here: it cannot be hosted, too")]
    Balanced(String, &'static str),
    /// Everything, groups, or no address at all.
    #[error("{0} is no prefix of hosts")]
    NoHost(String),
    /// `local0`, or the interface that such packets come in by.
    #[error("`{0}' leads to no machine")]
    NoWay(String),
    /// Nobody knows who is at the other end.
    #[error(
        "what is behind `{0}' is not known (it is no tap and no veth of this namespace): expected its address, as in via <next-hop> {0}"
    )]
    NoKernel(String),
    /// There is only one other end.
    #[error("`{0}' has one other end: it takes no next hop")]
    OneEnd(String),
    /// L3DSR of more than one address.
    #[error("dscp stands for one IPv4 address, a prefix of 32 bits, got {0}")]
    DscpPrefix(String),
    /// The DSCP stands for another VIP.
    #[error("dscp {0} stands for {1} already")]
    Dscp(u8, String),
    /// Routing, a device or another plugin refused.
    #[error("{0}")]
    Refused(String),
}

fn refused(error: impl std::fmt::Display) -> HostError {
    HostError::Refused(error.to_string())
}

impl Host {
    /// Its prefix, as text.
    pub fn prefix(&self) -> String {
        format!("{}/{}", self.address, self.len)
    }

    fn is<A: Outer>(&self, prefix: Prefix<A>) -> bool {
        (self.address, self.len) == (prefix.address().to_ip(), prefix.len())
    }

    /// Where its packets go. What the kernel at the other end has is reached as if its first address were a neighbour, whose
    /// MAC is that end's.
    fn path<A: Outer>(&self, prefix: Prefix<A>, link: LinkKind) -> Path<A> {
        let next_hop = self.next_hop.and_then(A::of_ip).unwrap_or(prefix.address());
        Path::new(match link {
            LinkKind::Ethernet => Target::NextHop { address: next_hop, interface: self.interface },
            LinkKind::Loopback | LinkKind::PointToPoint => Target::Attached(self.interface),
        })
    }

    /// Whether its interface is still the one that it was made with: numbers are given again.
    fn interface_is_there(&self, router: &Router) -> bool {
        router.interface(self.interface).is_some_and(|interface| interface.name == self.name)
    }
}

impl Hosts {
    /// What is hosted, in the order in which it was asked for.
    pub fn list(&self) -> &[Host] {
        &self.list
    }

    /// Hosts a prefix, or nothing of it where something is wrong.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn add<A: Outer>(&mut self, router: &mut Router, wish: Wish<A>) -> Result<(), HostError> {
        let link = self.check(router, &wish)?;
        let interface = router.tables().interface(wish.interface);
        let mut host = Host {
            address: wish.prefix.address().to_ip(),
            len: wish.prefix.len(),
            interface: wish.interface,
            name: interface.name.clone(),
            next_hop: wish.next_hop.map(A::to_ip),
            dscp: wish.dscp,
            done: Done::default(),
        };
        let made = self.make(router, &mut host, wish, link);
        if made.is_err() {
            self.take_back(router, &host, wish.prefix);
        } else {
            self.list.push(host);
        }
        self.publish(router);
        made
    }

    /// Hosts a prefix no longer: what was changed for it is as it was. `via`, where it is given, must be its interface.
    ///
    /// # Errors
    /// When it is not hosted, or elsewhere.
    pub fn remove<A: Outer>(
        &mut self,
        router: &mut Router,
        prefix: Prefix<A>,
        via: Option<IfIndex>,
    ) -> Result<(), HostError> {
        let at = self.list.iter().position(|host| host.is(prefix));
        let at = at.ok_or_else(|| HostError::NotThere(prefix.to_string()))?;
        let host = &self.list[at];
        if let Some(other) = via.filter(|via| *via != host.interface) {
            let other = router.tables().interface(other).name.to_string();
            return Err(HostError::OtherWay(prefix.to_string(), host.name.to_string(), other));
        }
        let host = self.list.remove(at);
        self.take_back(router, &host, prefix);
        self.publish(router);
        Ok(())
    }

    fn check<A: Outer>(&self, router: &mut Router, wish: &Wish<A>) -> Result<LinkKind, HostError> {
        let prefix = wish.prefix;
        if prefix.len() == 0 || !prefix.address().is_host() {
            return Err(HostError::NoHost(prefix.to_string()));
        }
        if let Some(host) = self.list.iter().find(|host| host.is(prefix)) {
            return Err(HostError::Exists(prefix.to_string(), host.name.to_string()));
        }
        let sources = router.rib_of::<A>().route(prefix).map(|route| route.sources).unwrap_or_default();
        if let Some(Source::Plugin(name)) = sources.iter().map(|view| view.source).find(|source| is_other(*source)) {
            return Err(HostError::Balanced(prefix.to_string(), name));
        }
        let (link, name) = match router.interface(wish.interface) {
            Some(interface) => (interface.link, interface.name.to_string()),
            None => return Err(HostError::NoWay(wish.interface.to_string())),
        };
        if wish.interface == IfIndex(0) || Some(wish.interface) == self.entrance {
            return Err(HostError::NoWay(name));
        }
        if wish.next_hop.is_some() && link != LinkKind::Ethernet {
            return Err(HostError::OneEnd(name));
        }
        let known = wish.next_hop.is_some() || kernel_mac(router, wish.interface).is_some();
        if link == LinkKind::Ethernet && !known {
            return Err(HostError::NoKernel(name));
        }
        if let Some(dscp) = wish.dscp {
            if A::BITS != 32 || !prefix.is_host() {
                return Err(HostError::DscpPrefix(prefix.to_string()));
            }
            if let Some(host) = self.list.iter().find(|host| host.dscp == Some(dscp)) {
                return Err(HostError::Dscp(dscp, host.prefix()));
            }
        }
        Ok(link)
    }

    fn make<A: Outer>(
        &mut self,
        router: &mut Router,
        host: &mut Host,
        wish: Wish<A>,
        link: LinkKind,
    ) -> Result<(), HostError> {
        let (interface, first) = (wish.interface, wish.prefix.address());
        let entrance = match self.entrance {
            Some(entrance) => entrance,
            None => add_entrance(router, ENTRANCE).map_err(refused)?,
        };
        self.entrance = Some(entrance);
        self.prepare::<A>(router, interface)?;
        router.add_route(SOURCE, wish.prefix, host.path(wish.prefix, link)).map_err(refused)?;
        // A neighbour is one that a route has as its next hop, so that it comes after the route.
        if link == LinkKind::Ethernet
            && wish.next_hop.is_none()
            && router.neighbor_mac(interface, first.to_ip()).is_none()
            && let Some(mac) = kernel_mac(router, interface)
        {
            router.set_neighbor(interface, first, mac, true).map_err(refused)?;
            host.done.neighbor = true;
        }
        if let Some(dscp) = wish.dscp {
            let node = router.node(node::NAME).ok_or_else(|| refused(format!("there is no node {}", node::NAME)))?;
            udp::listen_dscp(router, dscp, node).map_err(refused)?;
            host.done.dscp = true;
        }
        router.with_state::<Tunnels, _>(|tunnels, router| tunnels.open(router, wish.prefix, entrance));
        Ok(())
    }

    /// Sets the interface up, and lets it take what comes back, with or without an address.
    fn prepare<A: Outer>(&mut self, router: &mut Router, index: IfIndex) -> Result<(), HostError> {
        let interface = router.tables().interface(index);
        let (up, ip4, ip6) = (interface.admin_up, interface.ip4, interface.ip6);
        let touched = self.touched.entry(index).or_default();
        if !up {
            router.set_interface_state(index, true).map_err(refused)?;
            touched.up = true;
        }
        if A::BITS == 32 && !ip4 {
            router.set_unnumbered(index, true);
            touched.ip4 = true;
        }
        if A::BITS == 128 && !ip6 {
            router.set_ip6_enabled(index, true);
            touched.ip6 = true;
        }
        Ok(())
    }

    /// Undoes what was done for a host that is not in the list.
    fn take_back<A: Outer>(&mut self, router: &mut Router, host: &Host, prefix: Prefix<A>) {
        let there = host.interface_is_there(router);
        if there && host.done.neighbor {
            let _ = router.del_neighbor(host.interface, prefix.address());
        }
        // Where the interface went away its routes and neighbours went with it.
        let _ = router.del_prefix(SOURCE, prefix);
        router.with_state::<Tunnels, _>(|tunnels, router| tunnels.close(router, prefix));
        if let (Some(dscp), true) = (host.dscp, host.done.dscp) {
            udp::ignore_dscp(router, dscp);
        }
        let last = !self.list.iter().any(|other| other.interface == host.interface);
        if let Some(touched) = last.then(|| self.touched.remove(&host.interface)).flatten()
            && there
        {
            if touched.ip4 {
                router.set_unnumbered(host.interface, false);
            }
            if touched.ip6 {
                router.set_ip6_enabled(host.interface, false);
            }
            if touched.up {
                let _ = router.set_interface_state(host.interface, false);
            }
        }
        if self.list.is_empty()
            && let Some(entrance) = self.entrance.take()
        {
            let _ = router.remove_interface(entrance);
        }
    }

    fn publish(&self, router: &mut Router) {
        let vip = |host: &Host| match host.address {
            IpAddr::V4(address) => Some((host.dscp?, address)),
            IpAddr::V6(_) => None,
        };
        router.set_extension(Arc::new(HostTables::new(self.list.iter().filter_map(vip))));
        router.publish();
    }

    /// Notices that a kernel's end has another MAC now.
    pub fn follow(&self, router: &mut Router) {
        for host in self.list.iter().filter(|host| host.done.neighbor) {
            let Some(mac) = host.interface_is_there(router).then(|| kernel_mac(router, host.interface)).flatten()
            else {
                continue;
            };
            if router.neighbor_mac(host.interface, host.address) == Some(mac) {
                continue;
            }
            // An impossible MAC leaves things as they are.
            let _ = match host.address {
                IpAddr::V4(address) => router.set_neighbor(host.interface, address, mac, true),
                IpAddr::V6(address) => router.set_neighbor(host.interface, address, mac, true),
            };
        }
    }
}

fn is_other(source: Source) -> bool {
    matches!(source, Source::Plugin(_)) && source != SOURCE
}

/// The MAC of the kernel at the other end of an interface: of a tap, or of a veth both ends of which are here.
fn kernel_mac(router: &mut Router, interface: IfIndex) -> Option<[u8; 6]> {
    if let Some(mac) = tap::kernel_mac(router, interface) {
        return Some(mac);
    }
    sys::veth_peer_mac(router.record(interface)?.kernel_index()?)
}
