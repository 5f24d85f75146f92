//! `ip4-receive`: packets for our own addresses.
//!
//! Uses: the protocol, the UDP port. Sets: nothing. Next: `ip4-icmp-input`, `gre4-input`, `ipip4-input`; `ip4-udp-lookup` for
//! ports that a node has; the node that takes all packets with their DSCP, if there is one; `ip4-full-reassembly` for pieces;
//! `ip4-icmp-error` for what nobody here takes.

use std::net::Ipv4Addr;

use vnet::wire::UdpHeader;
use vnet::wire::icmp4::{self, Problem};
use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::{Cx, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::icmp_error;
use crate::drop::AdjacencyTrace;
use crate::udp::Listeners;

next_nodes! {
    /// Where `ip4-receive` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip4-drop",
        /// ICMP.
        Icmp => "ip4-icmp-input",
        /// GRE.
        Gre => "gre4-input",
        /// IPv4 or IPv6.
        Ipip => "ipip4-input",
        /// A port that a node has.
        Udp => "ip4-udp-lookup",
        /// A piece.
        Reassembly => "ip4-full-reassembly",
        /// Tell the sender that nobody is here.
        IcmpError => "ip4-icmp-error",
        /// Nobody takes it, and nobody may be told.
        Punt => "ip4-punt",
        ; To
    }
}

node_errors! {
    /// What `ip4-receive` finds.
    pub enum Error {
        /// Fewer bytes than a header.
        Short => error "packet too short",
        /// A protocol that nobody here speaks.
        UnknownProtocol => error "unknown ip protocol",
        /// A port that nobody here has.
        NoListener => error "no listener for port",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-receive", |_| Receive)
}

struct Receive;

impl PacketNode for Receive {
    type Next = Next;
    type Error = Error;
    type Shared = Listeners;
    type Local = ();
    type Staged = ();
    type Trace = AdjacencyTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Ok((header, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        if let Some(node) = cx.shared.dscp(header.dscp()) {
            return Next::To(node);
        }
        if header.is_fragment() {
            return Next::Reassembly;
        }
        let (error, code) = match header.protocol {
            protocol::ICMP => return Next::Icmp,
            protocol::GRE => return Next::Gre,
            protocol::IP_IN_IP | protocol::IPV6 => return Next::Ipip,
            protocol::UDP if has_listener(cx.shared, packet.data(), header.header_len()) => return Next::Udp,
            protocol::UDP | protocol::TCP => (Error::NoListener, icmp4::PORT),
            _ => (Error::UnknownProtocol, icmp4::PROTOCOL),
        };
        let tcp = header.protocol == protocol::TCP;
        cx.blame(packet, error);
        // To a TCP sender a router without TCP stays silent: a reset would have to come from a TCP.
        if tcp {
            return Next::Punt;
        }
        icmp_error::request(packet, Problem::Unreachable(code));
        Next::IcmpError
    }

    fn trace(&self, _: &Scope<'_, Listeners, ()>, packet: &Packet<'_>, (): ()) -> AdjacencyTrace {
        AdjacencyTrace::new(packet)
    }
}

fn has_listener(listeners: &Listeners, bytes: &[u8], at: usize) -> bool {
    let port = bytes.get(at..).and_then(|bytes| UdpHeader::ref_from_prefix(bytes).ok());
    port.is_some_and(|(header, _)| listeners.port::<Ipv4Addr>(header.destination.get()).is_some())
}
