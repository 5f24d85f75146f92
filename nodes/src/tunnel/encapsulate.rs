//! The node that sends into a tunnel.

use std::net::IpAddr;

use trace::{Record, Text};
use vnet::wire::{Ip4Header, Ip6Header};
use vnet::{Cx, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::control::end;
use super::{Inner, Kind, Outer};
use crate::{ip4, ip6};

next_nodes! {
    /// Where the transmitting end of a tunnel sends packets.
    pub enum Next {
        /// Not possible.
        Drop => "error-drop",
        /// The outer packet finds its own way.
        Lookup4 => "ip4-lookup",
        /// The same over IPv6.
        Lookup6 => "ip6-lookup",
    }
}

node_errors! {
    /// Why the transmitting end of a tunnel drops.
    pub enum NotSent {
        /// A multipoint tunnel does not know the other end.
        NoDestination => error "multipoint tunnel has no destination for the packet",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the outer header",
        /// The outer packet would be longer than an IP packet may be.
        TooLong => error "packet too long for a tunnel",
        /// Neither IPv4 nor IPv6; only a broken node sends one here.
        NotIp => error "packet for a tunnel is not IP",
    }
}

/// Puts the outer headers in front.
pub(super) struct Encapsulate<K, A> {
    kind: K,
    source: A,
    destination: Option<A>,
}

impl<K, A> Encapsulate<K, A> {
    pub(super) fn new(kind: K, source: A, destination: Option<A>) -> Self {
        Encapsulate { kind, source, destination }
    }
}

/// The outer packet.
#[derive(serde::Serialize)]
pub struct EncapsulateTrace {
    #[serde(skip)]
    kind: &'static str,
    source: IpAddr,
    destination: Option<IpAddr>,
}

impl Record for EncapsulateTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("{}: {} -> {}", self.kind, self.source, end(self.destination)));
    }
}

/// What the packet is, and its class: DSCP and ECN.
#[inline]
fn inner(bytes: &[u8]) -> Option<(Inner, u8)> {
    match bytes.first()? >> 4 {
        4 => Some((Inner::Ip4, Ip4Header::ref_from_prefix(bytes).ok()?.0.tos)),
        6 => Some((Inner::Ip6, Ip6Header::ref_from_prefix(bytes).ok()?.0.traffic_class())),
        _ => None,
    }
}

impl<K: Kind, A: Outer> PacketNode for Encapsulate<K, A> {
    type Next = Next;
    type Error = NotSent;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = EncapsulateTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Some(destination) = self.destination else {
            return cx.drop(packet, NotSent::NoDestination);
        };
        let Some((inner, class)) = inner(packet.data()) else {
            return cx.drop(packet, NotSent::NotIp);
        };
        let (len, shim) = (packet.len(), self.kind.shim_len());
        let hash = match (K::BY_FLOW, inner) {
            (false, _) => 0,
            (true, Inner::Ip4) => ip4::flow_hash(packet.data()),
            (true, Inner::Ip6) => ip6::flow_hash(packet.data()),
        };
        let ends = (self.source, destination);
        let Some(bytes) = packet.push(A::HEADER_LEN + shim) else {
            return cx.drop(packet, NotSent::NoHeadroom);
        };
        let (outer, between) = bytes[..A::HEADER_LEN + shim].split_at_mut(A::HEADER_LEN);
        // The inner DSCP (RFC 2983) and the inner ECN (RFC 6040 section 4.1).
        if let Err(error) = A::write(outer, ends, K::protocol(inner), class, len + shim) {
            return cx.drop(packet, error);
        }
        self.kind.write(between, inner, len, hash);
        packet.mark_l3();
        packet.meta_mut().offload = Offload::LOCAL | Offload::MAY_CUT;
        A::LOOK_UP
    }

    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) -> EncapsulateTrace {
        let (source, destination) = (self.source.to_ip(), self.destination.map(A::to_ip));
        EncapsulateTrace { kind: K::NAME, source, destination }
    }
}
