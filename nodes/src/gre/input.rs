//! `gre4-input`: from the outer packet to the inner.
//!
//! Uses: the outer IPv4 and GRE headers. Sets: the tunnel's interface as the one the packet came in by. Next:
//! `ip4-input`.

use vnet::wire::{Ip4Header, checksum, ethernet, gre};
use vnet::{Cx, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::Gre;
use crate::tunnel::{TunnelTable, TunnelTrace};

next_nodes! {
    /// Where `gre4-input` sends packets.
    pub enum Next {
        /// Not for a tunnel of ours, or broken.
        Drop => "error-drop",
        /// An IPv4 packet was inside.
        Ip4 => "ip4-input",
        /// Nobody has configured the tunnel.
        Punt => "ip4-punt",
    }
}

node_errors! {
    /// What `gre4-input` finds.
    pub enum Error {
        /// Packets taken out of a tunnel.
        Decapsulated => info "GRE packets decapsulated",
        /// Cut short, of another version, or with routing.
        BadHeader => error "bad GRE header",
        /// The optional checksum is wrong.
        BadChecksum => error "bad GRE checksum",
        /// A key, which no tunnel here has.
        Key => error "GRE key does not match a tunnel",
        /// Something else than IPv4 is inside.
        UnknownProtocol => error "GRE payload is not IPv4",
        /// Between these addresses there is no tunnel.
        NoTunnel => error "no such GRE tunnel",
        /// The tunnel's interface is down.
        Down => error "GRE tunnel is down",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("gre4-input", |_| GreInput)
}

struct GreInput;

impl PacketNode for GreInput {
    type Next = Next;
    type Error = Error;
    type Shared = TunnelTable<Gre>;
    type Local = ();
    type Staged = ();
    type Trace = TunnelTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Ok((outer, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::BadHeader);
        };
        let (at, local, remote) = (outer.header_len(), outer.destination.get(), outer.source.get());
        let Some(Ok(header)) = packet.data().get(at..).map(gre::parse) else {
            return cx.drop(packet, Error::BadHeader);
        };
        if header.checksum.is_some() && checksum::finish(checksum::sum_segments(packet.segments(), at, 0)) != 0 {
            return cx.drop(packet, Error::BadChecksum);
        }
        let Some(tunnel) = cx.shared.find(local, remote) else {
            cx.blame(packet, Error::NoTunnel);
            return Next::Punt;
        };
        if header.key.is_some() {
            return cx.drop(packet, Error::Key);
        }
        if header.protocol != ethernet::IP4 {
            return cx.drop(packet, Error::UnknownProtocol);
        }
        if !cx.tables.interface(tunnel.interface).is_up() {
            return cx.drop(packet, Error::Down);
        }
        if !tunnel.arrive(cx, packet, at + header.header_len) {
            return cx.drop(packet, Error::BadHeader);
        }
        cx.count(Error::Decapsulated);
        Next::Ip4
    }

    fn trace(&self, scope: &Scope<'_, TunnelTable<Gre>, ()>, packet: &Packet<'_>, (): ()) -> TunnelTrace {
        TunnelTrace::new(scope.shared, packet)
    }
}
