//! Tunnels as interfaces: making and removing them.

use std::any::Any;
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::sync::Arc;

use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::{InterfaceError, InterfaceSpec};
use vnet::{IfIndex, NodeSpec, Router};

use super::encapsulate::Encapsulate;
use super::{Kind, Tunnel, TunnelTable};

/// The tunnels of a kind, on the control side.
pub struct Tunnels<K> {
    list: Vec<Tunnel>,
    _kind: PhantomData<K>,
}

impl<K> Default for Tunnels<K> {
    fn default() -> Self {
        Tunnels { list: Vec::new(), _kind: PhantomData }
    }
}

/// Why a tunnel was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There is one between the two ends.
    #[error("{0} tunnel from {1} to {2} exists already")]
    Exists(&'static str, Ipv4Addr, String),
    /// There is none between the two ends.
    #[error("no {0} tunnel from {1} to {2}")]
    NotThere(&'static str, Ipv4Addr, String),
    /// The instance number is taken.
    #[error("{0} instance {1} is in use")]
    Instance(&'static str, u32),
    /// Source and destination are the same.
    #[error("{0} tunnel needs two ends, got {1} twice")]
    SameEnds(&'static str, Ipv4Addr),
    /// An end that is not one host's.
    #[error("{0} tunnel needs the addresses of hosts, got {1}")]
    NoHost(&'static str, Ipv4Addr),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
}

pub(super) fn end(destination: Option<Ipv4Addr>) -> String {
    destination.map_or("any (multipoint)".into(), |address| address.to_string())
}

impl<K: Kind> Tunnels<K> {
    /// The tunnels, in the order in which they were made.
    pub fn list(&self) -> &[Tunnel] {
        &self.list
    }

    /// Makes a tunnel; its interface is named after the kind and its instance, as in `gre0`.
    ///
    /// # Errors
    /// When there is one between these ends, or the instance is taken.
    pub fn add(
        &mut self,
        router: &mut Router,
        source: Ipv4Addr,
        destination: Option<Ipv4Addr>,
        instance: Option<u32>,
    ) -> Result<IfIndex, TunnelError> {
        let host = |address: &Ipv4Addr| {
            !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.octets()[0] == 0)
        };
        if let Some(end) = [Some(source), destination].into_iter().flatten().find(|end| !host(end)) {
            return Err(TunnelError::NoHost(K::A_NAME, end));
        }
        if destination == Some(source) {
            return Err(TunnelError::SameEnds(K::A_NAME, source));
        }
        if self.list.iter().any(|t| (t.source, t.destination) == (source, destination)) {
            return Err(TunnelError::Exists(K::A_NAME, source, end(destination)));
        }
        let taken = |instance: u32| self.list.iter().any(|t| t.instance == instance);
        let instance = match instance {
            Some(instance) if taken(instance) => return Err(TunnelError::Instance(K::NAME, instance)),
            Some(instance) => instance,
            None => (0..).find(|&instance| !taken(instance)).unwrap_or(u32::MAX),
        };
        let name = format!("{}{instance}", K::WORD);
        let own = name.clone();
        let interface = router.add_interface(InterfaceSpec {
            name,
            mac: [0; 6],
            // The way to the other end is an Ethernet of 1500 bytes more often than not.
            mtu: 1500 - K::LEN as u16,
            link: LinkKind::PointToPoint,
            caps: Caps::empty(),
            link_up: true,
            device: Box::new(TunnelDevice { kind: K::NAME, source, destination }),
            nodes: Box::new(move |index| {
                [
                    crate::output::spec(&own, index),
                    NodeSpec::packet(format!("{own}-tx"), move |_| Encapsulate::<K>::new(source, destination)),
                ]
            }),
        })?;
        // A tunnel's end needs no address of its own to take IPv4.
        router.set_unnumbered(interface, true);
        self.list.push(Tunnel { interface, instance, source, destination });
        self.publish(router);
        Ok(interface)
    }

    /// Removes a tunnel.
    ///
    /// # Errors
    /// When there is none between these ends.
    pub fn remove(
        &mut self,
        router: &mut Router,
        source: Ipv4Addr,
        destination: Option<Ipv4Addr>,
    ) -> Result<(), TunnelError> {
        let at = self.list.iter().position(|t| (t.source, t.destination) == (source, destination));
        let at = at.ok_or_else(|| TunnelError::NotThere(K::NAME, source, end(destination)))?;
        let tunnel = self.list.remove(at);
        self.publish(router);
        Ok(router.remove_interface(tunnel.interface)?)
    }

    fn publish(&self, router: &mut Router) {
        router.set_extension(Arc::new(TunnelTable::<K>::new(&self.list)));
        router.publish();
    }
}

struct TunnelDevice {
    kind: &'static str,
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
}

impl Device for TunnelDevice {
    fn hardware(&self) -> Hardware {
        Hardware {
            name: format!("{} tunnel", self.kind),
            lines: vec![format!("{} tunnel from {} to {}", self.kind, self.source, end(self.destination))],
        }
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
