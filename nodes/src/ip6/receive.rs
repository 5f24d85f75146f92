//! `ip6-receive`: packets for our own addresses and groups.
//!
//! Uses: the extension headers, the protocol, the UDP port. Sets: nothing. Next: `ip6-icmp-input`, `gre6-input`,
//! `ipip6-input`; `ip6-udp-lookup` for ports that a node has; `ip6-full-reassembly` for pieces; `ip6-icmp-error` for what nobody here takes.

use std::net::Ipv6Addr;

use vnet::wire::UdpHeader;
use vnet::wire::icmp6::{self, Problem};
use vnet::wire::ip4::protocol;
use vnet::wire::ip6_ext::{self, ChainError};
use vnet::{Cx, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::icmp_error;
use crate::drop::AdjacencyTrace;
use crate::udp::Listeners;

next_nodes! {
    /// Where `ip6-receive` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip6-drop",
        /// ICMPv6.
        Icmp => "ip6-icmp-input",
        /// GRE.
        Gre => "gre6-input",
        /// IPv4 or IPv6.
        Ipip => "ipip6-input",
        /// A port that a node has.
        Udp => "ip6-udp-lookup",
        /// A piece.
        Reassembly => "ip6-full-reassembly",
        /// Tell the sender that nobody is here.
        IcmpError => "ip6-icmp-error",
        /// Nobody takes it, and nobody may be told.
        Punt => "ip6-punt",
    }
}

node_errors! {
    /// What `ip6-receive` finds.
    pub enum Error {
        /// An extension header runs out of the packet.
        ChainShort => error "ip6 extension header cut short",
        /// More extension headers than are gone through.
        ChainTooLong => error "too many ip6 extension headers",
        /// Hop-by-hop options that are not the first.
        Misplaced => error "ip6 hop-by-hop options not first",
        /// A routing header wants the packet sent on from here (RFC 5095 section 3: it is not).
        Routing => error "ip6 routing header with addresses left",
        /// A protocol that nobody here speaks.
        UnknownProtocol => error "unknown ip protocol",
        /// Nothing behind the headers.
        NoPayload => info "ip6 packet without a payload",
        /// A port that nobody here has.
        NoListener => error "no listener for port",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip6-receive", |_| Receive)
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
        let upper = match ip6_ext::walk(packet.data()) {
            Ok(upper) => upper,
            Err(ChainError::Short) => return cx.drop(packet, Error::ChainShort),
            Err(ChainError::TooMany) => return cx.drop(packet, Error::ChainTooLong),
            Err(ChainError::Misplaced) => return cx.drop(packet, Error::Misplaced),
        };
        if let Some(at) = upper.routing {
            // RFC 8200 section 4.4: the pointer is to the type.
            let problem = Problem::Parameter { code: icmp6::BAD_FIELD, pointer: at as u32 + 2 };
            return refuse(cx, packet, Error::Routing, problem);
        }
        if upper.piece.is_some_and(|piece| !piece.is_atomic()) {
            return Next::Reassembly;
        }
        match upper.protocol {
            protocol::ICMP6 => Next::Icmp,
            protocol::GRE => Next::Gre,
            protocol::IP_IN_IP | protocol::IPV6 => Next::Ipip,
            protocol::UDP if has_listener(cx.shared, packet.data(), upper.offset) => Next::Udp,
            ip6_ext::NO_NEXT => cx.drop(packet, Error::NoPayload),
            protocol::UDP => refuse(cx, packet, Error::NoListener, Problem::Unreachable(icmp6::PORT)),
            // To a TCP sender a router without TCP stays silent: a reset would have to come from a TCP.
            protocol::TCP => {
                cx.blame(packet, Error::NoListener);
                Next::Punt
            }
            _ => {
                let problem = Problem::Parameter { code: icmp6::UNKNOWN_NEXT_HEADER, pointer: upper.named_at as u32 };
                refuse(cx, packet, Error::UnknownProtocol, problem)
            }
        }
    }

    fn trace(&self, _: &Scope<'_, Listeners, ()>, packet: &Packet<'_>, (): ()) -> AdjacencyTrace {
        AdjacencyTrace::of::<Ipv6Addr>(packet)
    }
}

fn has_listener(listeners: &Listeners, bytes: &[u8], at: usize) -> bool {
    let port = bytes.get(at..).and_then(|bytes| UdpHeader::ref_from_prefix(bytes).ok());
    port.is_some_and(|(header, _)| listeners.port::<Ipv6Addr>(header.destination.get()).is_some())
}

fn refuse(cx: &Cx<'_, '_, Receive>, packet: &mut Packet<'_>, error: Error, problem: Problem) -> Next {
    cx.blame(packet, error);
    icmp_error::request(packet, problem);
    Next::IcmpError
}
