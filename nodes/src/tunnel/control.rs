//! Tunnels as interfaces: making and removing them.

use std::any::Any;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vnet::fib::{LinkKind, Prefix};
use vnet::interface::{Caps, Device, Hardware};
use vnet::path_mtu::TunnelEnd;
use vnet::router::{InterfaceError, InterfaceSpec};
use vnet::{IfIndex, NodeSpec, Router};

use super::encapsulate::Encapsulate;
use super::{Ends, Inner, Kind, Outer};

/// A tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The number of its kind.
    pub kind: usize,
    /// Its interface.
    pub interface: IfIndex,
    /// The instance number, as in `gre0`.
    pub instance: u32,
    /// Our end.
    pub source: IpAddr,
    /// The other end; `None`: any (multipoint).
    pub destination: Option<IpAddr>,
    /// What the kind says of it beyond that.
    pub remark: &'static str,
    /// Bytes that packets are longer by in it.
    pub overhead: u16,
    /// Protocols of the outer header, for IPv4 and IPv6 inside, and the UDP port that its packets go to, or 0.
    outside: ([u8; 2], u16),
}

impl Tunnel {
    /// What its packets look like from outside.
    fn ends(&self) -> impl Iterator<Item = TunnelEnd> {
        let (protocols, port) = self.outside;
        let Tunnel { source, destination, .. } = *self;
        let end = move |protocol| Some(TunnelEnd { source, destination: destination?, protocol, port });
        protocols.into_iter().filter_map(end)
    }
}

/// The tunnels of all kinds and the open prefixes, on the control side.
#[derive(Default)]
pub struct Tunnels {
    list: Vec<Tunnel>,
    open4: Vec<(Prefix<Ipv4Addr>, IfIndex)>,
    open6: Vec<(Prefix<Ipv6Addr>, IfIndex)>,
}

/// Why a tunnel was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There is one between the two ends.
    #[error("{0} tunnel from {1} to {2} exists already")]
    Exists(&'static str, IpAddr, String),
    /// There is none between the two ends.
    #[error("no {0} tunnel from {1} to {2}")]
    NotThere(&'static str, IpAddr, String),
    /// The instance number is taken.
    #[error("{0} instance {1} is in use")]
    Instance(&'static str, u32),
    /// Source and destination are the same.
    #[error("{0} tunnel needs two ends, got {1} twice")]
    SameEnds(&'static str, IpAddr),
    /// An end that is not one host's.
    #[error("{0} tunnel needs the addresses of hosts, got {1}")]
    NoHost(&'static str, IpAddr),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
}

pub(super) fn end(destination: Option<impl Display>) -> String {
    destination.map_or("any (multipoint)".into(), |address| address.to_string())
}

impl Tunnels {
    /// The tunnels of a kind, in the order in which they were made.
    pub fn list<K: Kind>(&self) -> impl Iterator<Item = &Tunnel> {
        self.list.iter().filter(|tunnel| tunnel.kind == K::INDEX)
    }

    fn find<K: Kind, A: Outer>(&self, source: A, destination: Option<A>) -> Option<usize> {
        let ends = (source.to_ip(), destination.map(A::to_ip));
        self.list.iter().position(|t| t.kind == K::INDEX && (t.source, t.destination) == ends)
    }

    /// Makes a tunnel; its interface is named after the kind and its instance, as in `gre0`.
    ///
    /// # Errors
    /// When there is one between these ends, or the instance is taken.
    pub fn add<K: Kind, A: Outer>(
        &mut self,
        router: &mut Router,
        kind: K,
        source: A,
        destination: Option<A>,
        instance: Option<u32>,
    ) -> Result<IfIndex, TunnelError> {
        if let Some(end) = [Some(source), destination].into_iter().flatten().find(|end| !end.is_host()) {
            return Err(TunnelError::NoHost(K::A_NAME, end.to_ip()));
        }
        if destination == Some(source) {
            return Err(TunnelError::SameEnds(K::A_NAME, source.to_ip()));
        }
        if self.find::<K, A>(source, destination).is_some() {
            return Err(TunnelError::Exists(K::A_NAME, source.to_ip(), end(destination)));
        }
        let taken = |instance: u32| self.list::<K>().any(|tunnel| tunnel.instance == instance);
        let instance = match instance {
            Some(instance) if taken(instance) => return Err(TunnelError::Instance(K::NAME, instance)),
            Some(instance) => instance,
            None => (0..).find(|&instance| !taken(instance)).unwrap_or(u32::MAX),
        };
        let overhead = (A::HEADER_LEN + kind.shim_len()) as u16;
        let name = format!("{}{instance}", K::WORD);
        let own = name.clone();
        let interface = router.add_interface(InterfaceSpec {
            name,
            mac: [0; 6],
            // The way to the other end is an Ethernet of 1500 bytes more often than not.
            mtu: 1500 - overhead,
            link: LinkKind::PointToPoint,
            caps: Caps::empty(),
            link_up: true,
            device: Box::new(TunnelDevice { kind: K::NAME, source: source.to_ip(), destination: end(destination) }),
            nodes: Box::new(move |index| {
                [
                    crate::output::spec(&own, index),
                    NodeSpec::packet(format!("{own}-tx"), move |_| Encapsulate::new(kind, source, destination)),
                ]
            }),
        })?;
        // A tunnel's end needs no address of its own to take packets.
        router.set_unnumbered(interface, true);
        router.set_ip6_enabled(interface, true);
        let (source, destination) = (source.to_ip(), destination.map(A::to_ip));
        self.list.push(Tunnel {
            kind: K::INDEX,
            interface,
            instance,
            source,
            destination,
            remark: kind.remark(),
            overhead,
            outside: ([K::protocol(Inner::Ip4), K::protocol(Inner::Ip6)], K::PORT),
        });
        self.publish(router);
        Ok(interface)
    }

    /// Removes a tunnel.
    ///
    /// # Errors
    /// When there is none between these ends.
    pub fn remove<K: Kind, A: Outer>(
        &mut self,
        router: &mut Router,
        source: A,
        destination: Option<A>,
    ) -> Result<(), TunnelError> {
        let at = self.find::<K, A>(source, destination);
        let at = at.ok_or_else(|| TunnelError::NotThere(K::NAME, source.to_ip(), end(destination)))?;
        let tunnel = self.list.remove(at);
        self.publish(router);
        Ok(router.remove_interface(tunnel.interface)?)
    }

    /// From now on takes packets to a prefix out of tunnels of every kind that end at any address of ours, whoever sent them:
    /// they come in by the interface `by`. Packets of tunnels that there are stay those tunnels'.
    pub fn open<A: Outer>(&mut self, router: &mut Router, prefix: Prefix<A>, by: IfIndex) {
        self.forget(prefix);
        let (address, len) = (prefix.address().to_ip(), prefix.len());
        match address {
            IpAddr::V4(address) => self.open4.extend(Prefix::new(address, len).map(|prefix| (prefix, by))),
            IpAddr::V6(address) => self.open6.extend(Prefix::new(address, len).map(|prefix| (prefix, by))),
        }
        self.publish(router);
    }

    /// Ends [`Tunnels::open`].
    pub fn close<A: Outer>(&mut self, router: &mut Router, prefix: Prefix<A>) {
        self.forget(prefix);
        self.publish(router);
    }

    fn forget<A: Outer>(&mut self, prefix: Prefix<A>) {
        let (address, len) = (prefix.address().to_ip(), prefix.len());
        self.open4.retain(|(own, _)| (own.address().into(), own.len()) != (address, len));
        self.open6.retain(|(own, _)| (own.address().into(), own.len()) != (address, len));
    }

    /// Makes tunnels as narrow as errors say that their ways are, for as long as they count.
    pub(super) fn follow_ways(&self, router: &mut Router) {
        for tunnel in &self.list {
            let way = tunnel.destination.and_then(|other| router.path_mtu(other));
            router.set_tunnel_mtu(tunnel.interface, way.map(|mtu| mtu - tunnel.overhead));
        }
    }

    fn publish(&self, router: &mut Router) {
        router.set_extension(Arc::new(Ends::new(&self.list, &self.open4, &self.open6)));
        router.set_tunnel_ends::<Tunnels>(self.list.iter().flat_map(Tunnel::ends));
        self.follow_ways(router);
        router.publish();
    }
}

struct TunnelDevice {
    kind: &'static str,
    source: IpAddr,
    destination: String,
}

impl Device for TunnelDevice {
    fn hardware(&self) -> Hardware {
        Hardware {
            name: format!("{} tunnel", self.kind),
            lines: vec![format!("{} tunnel from {} to {}", self.kind, self.source, self.destination)],
        }
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
