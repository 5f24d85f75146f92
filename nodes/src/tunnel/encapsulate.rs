//! The node that sends into a tunnel.

use std::marker::PhantomData;
use std::net::Ipv4Addr;

use trace::{Record, Text};
use vnet::wire::Ip4Header;
use vnet::{Cx, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::Kind;
use super::control::end;

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
        NoDestination => error "multipoint tunnel has no destination for the packet",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the outer header",
        /// The outer packet would be longer than an IPv4 packet may be.
        TooLong => error "packet too long for a tunnel",
    }
}

/// Puts the outer headers in front.
pub(super) struct Encapsulate<K> {
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
    _kind: PhantomData<K>,
}

impl<K> Encapsulate<K> {
    pub(super) fn new(source: Ipv4Addr, destination: Option<Ipv4Addr>) -> Self {
        Encapsulate { source, destination, _kind: PhantomData }
    }
}

/// The outer packet.
#[derive(serde::Serialize)]
pub struct EncapsulateTrace {
    #[serde(skip)]
    kind: &'static str,
    source: Ipv4Addr,
    destination: Option<Ipv4Addr>,
}

impl Record for EncapsulateTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("{}: {} -> {}", self.kind, self.source, end(self.destination)));
    }
}

impl<K: Kind> PacketNode for Encapsulate<K> {
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
        if packet.len() + K::LEN > usize::from(u16::MAX) {
            return cx.drop(packet, Error::TooLong);
        }
        let mut header =
            Ip4Header::new(self.source, destination, K::PROTOCOL, packet.len() + K::LEN - Ip4Header::LEN, 64);
        // RFC 2983: the inner DSCP; RFC 6040: the inner ECN.
        header.tos = tos;
        header.set_checksum();
        let Some(bytes) = packet.push(K::LEN) else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        let (outer, shim) = bytes[..K::LEN].split_at_mut(Ip4Header::LEN);
        outer.copy_from_slice(header.as_bytes());
        shim.copy_from_slice(K::SHIM);
        packet.mark_l3();
        packet.meta_mut().offload = Offload::LOCAL;
        Next::Lookup
    }

    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) -> EncapsulateTrace {
        EncapsulateTrace { kind: K::NAME, source: self.source, destination: self.destination }
    }
}
