//! GRE tunnels as interfaces: making and removing them, and the node that sends into them.

use std::any::Any;
use std::net::Ipv4Addr;
use std::sync::Arc;

use trace::{Record, Text};
use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::{InterfaceError, InterfaceSpec};
use vnet::wire::gre::Ip4GreHeader;
use vnet::wire::{Ip4Header, ethernet};
use vnet::{Cx, IfIndex, NodeSpec, Offload, Packet, PacketNode, Router, Scope, next_nodes, node_errors};

use super::{Tunnel, TunnelTable};

/// Bytes that a tunnel adds: IPv4 (20) and GRE (4).
pub const OVERHEAD: u16 = 24;

/// The tunnels, on the control side.
#[derive(Default)]
pub struct Tunnels {
    list: Vec<Tunnel>,
}

/// Why a tunnel was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There is one between the two ends.
    #[error("a GRE tunnel from {0} to {1} exists already")]
    Exists(Ipv4Addr, String),
    /// There is none between the two ends.
    #[error("no GRE tunnel from {0} to {1}")]
    NotThere(Ipv4Addr, String),
    /// The instance number is taken.
    #[error("GRE instance {0} is in use")]
    Instance(u32),
    /// Source and destination are the same.
    #[error("a GRE tunnel needs two ends, got {0} twice")]
    SameEnds(Ipv4Addr),
    /// An end that is not one host's.
    #[error("a GRE tunnel needs the addresses of hosts, got {0}")]
    NoHost(Ipv4Addr),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
}

fn end(destination: Option<Ipv4Addr>) -> String {
    destination.map_or("any (multipoint)".into(), |address| address.to_string())
}

impl Tunnels {
    /// The tunnels, in the order in which they were made.
    pub fn list(&self) -> &[Tunnel] {
        &self.list
    }

    /// Makes a tunnel; its interface is `greN`.
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
            return Err(TunnelError::NoHost(end));
        }
        if destination == Some(source) {
            return Err(TunnelError::SameEnds(source));
        }
        if self.list.iter().any(|t| (t.source, t.destination) == (source, destination)) {
            return Err(TunnelError::Exists(source, end(destination)));
        }
        let taken = |instance: u32| self.list.iter().any(|t| t.instance == instance);
        let instance = match instance {
            Some(instance) if taken(instance) => return Err(TunnelError::Instance(instance)),
            Some(instance) => instance,
            None => (0..).find(|&instance| !taken(instance)).unwrap_or(u32::MAX),
        };
        let name = format!("gre{instance}");
        let own = name.clone();
        let interface = router.add_interface(InterfaceSpec {
            name,
            mac: [0; 6],
            // The way to the other end is an Ethernet of 1500 bytes more often than not.
            mtu: 1500 - OVERHEAD,
            link: LinkKind::PointToPoint,
            caps: Caps::empty(),
            link_up: true,
            device: Box::new(GreDevice { source, destination }),
            nodes: Box::new(move |index| {
                [
                    crate::output::spec(&own, index),
                    NodeSpec::packet(format!("{own}-tx"), move |_| Encapsulate { source, destination }),
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
        let at = at.ok_or_else(|| TunnelError::NotThere(source, end(destination)))?;
        let tunnel = self.list.remove(at);
        self.publish(router);
        Ok(router.remove_interface(tunnel.interface)?)
    }

    fn publish(&self, router: &mut Router) {
        router.set_extension(Arc::new(TunnelTable::new(&self.list)));
        router.publish();
    }
}

struct GreDevice {
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
}

impl Device for GreDevice {
    fn hardware(&self) -> Hardware {
        Hardware {
            name: "GRE tunnel".into(),
            lines: vec![format!("GRE tunnel from {} to {}", self.source, end(self.destination))],
        }
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

next_nodes! {
    /// Where the transmitting end of a tunnel sends packets.
    pub enum Next {
        /// Not possible.
        Drop => "error-drop",
        /// The outer packet finds its own way.
        Lookup => "ip4-lookup",
    }
}

node_errors! {
    /// Why the transmitting end of a tunnel drops.
    pub enum Error {
        /// A multipoint tunnel does not know the other end.
        NoDestination => error "multipoint GRE tunnel has no destination for the packet",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the outer header",
        /// The outer packet would be longer than an IPv4 packet may be.
        TooLong => error "packet too long for a tunnel",
    }
}

/// Puts the outer headers in front.
struct Encapsulate {
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
}

/// The outer packet.
#[derive(serde::Serialize)]
pub struct EncapsulateTrace {
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
}

impl Record for EncapsulateTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("GRE: {} -> {}", self.source, end(self.destination)));
    }
}

impl PacketNode for Encapsulate {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = EncapsulateTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Some(destination) = self.destination else {
            return cx.drop(packet, Error::NoDestination);
        };
        let tos = Ip4Header::ref_from_prefix(packet.data()).map_or(0, |(ip, _)| ip.tos);
        let Some(mut header) = Ip4GreHeader::new(self.source, destination, ethernet::IP4, 64).around(packet.len())
        else {
            return cx.drop(packet, Error::TooLong);
        };
        // RFC 2983: the inner DSCP; RFC 6040: the inner ECN.
        header.ip.tos = tos;
        header.ip.set_checksum();
        let Some(bytes) = packet.push(Ip4GreHeader::LEN) else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        bytes[..Ip4GreHeader::LEN].copy_from_slice(header.as_bytes());
        packet.mark_l3();
        packet.meta_mut().offload = Offload::LOCAL;
        Next::Lookup
    }

    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) -> EncapsulateTrace {
        EncapsulateTrace { source: self.source, destination: self.destination }
    }
}
