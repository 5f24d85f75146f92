//! `ipip4-input`: from the outer packet to the inner.
//!
//! Uses: the outer IPv4 header. Sets: the tunnel's interface as the one the packet came in by. Next: `ip4-input`.

use vnet::wire::Ip4Header;
use vnet::{Cx, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::Ipip;
use crate::tunnel::{TunnelTable, TunnelTrace};

next_nodes! {
    /// Where `ipip4-input` sends packets.
    pub enum Next {
        /// Broken, or the tunnel is down.
        Drop => "error-drop",
        /// An IPv4 packet was inside.
        Ip4 => "ip4-input",
        /// Nobody has configured the tunnel.
        Punt => "ip4-punt",
    }
}

node_errors! {
    /// What `ipip4-input` finds.
    pub enum Error {
        /// Packets taken out of a tunnel.
        Decapsulated => info "IPIP packets decapsulated",
        /// Cut short.
        Short => error "IPIP packet too short",
        /// Between these addresses there is no tunnel.
        NoTunnel => error "no such IPIP tunnel",
        /// The tunnel's interface is down.
        Down => error "IPIP tunnel is down",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ipip4-input", |_| IpipInput)
}

struct IpipInput;

impl PacketNode for IpipInput {
    type Next = Next;
    type Error = Error;
    type Shared = TunnelTable<Ipip>;
    type Local = ();
    type Staged = ();
    type Trace = TunnelTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Ok((outer, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        let (at, local, remote) = (outer.header_len(), outer.destination.get(), outer.source.get());
        let Some(tunnel) = cx.shared.find(local, remote) else {
            cx.blame(packet, Error::NoTunnel);
            return Next::Punt;
        };
        if !cx.tables.interface(tunnel.interface).is_up() {
            return cx.drop(packet, Error::Down);
        }
        if !tunnel.arrive(cx, packet, at) {
            return cx.drop(packet, Error::Short);
        }
        cx.count(Error::Decapsulated);
        Next::Ip4
    }

    fn trace(&self, scope: &Scope<'_, TunnelTable<Ipip>, ()>, packet: &Packet<'_>, (): ()) -> TunnelTrace {
        TunnelTrace::new(scope.shared, packet)
    }
}
