//! IPv4's part of [`icmp`], and `ip4-icmp-echo-request`, which answers.
//!
//! Uses: the message. Sets: the reply, in place. Next: `ip4-lookup`.

use std::net::{IpAddr, Ipv4Addr};

use vnet::wire::ip4::Ip4Header;
use vnet::wire::{Icmp4Header, checksum, icmp4};
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;
use crate::ip::icmp::{self, Icmp, Message, Says};
use crate::path_mtu::TooLong;
use crate::ping::Seen;

next_nodes! {
    /// Where `ip4-icmp-input` sends packets.
    pub enum InputNext {
        /// Broken.
        Drop => "ip4-drop",
        /// A question to us.
        Echo => "ip4-icmp-echo-request",
        /// Nobody waits for it.
        Punt => "ip4-punt",
    }
}

next_nodes! {
    /// Where `ip4-icmp-echo-request` sends packets.
    pub enum EchoNext {
        /// Broken.
        Drop => "ip4-drop",
        /// The answer.
        Lookup => "ip4-lookup",
    }
}

node_errors! {
    /// What `ip4-icmp-echo-request` does.
    pub enum EchoError {
        /// Answers.
        Sent => info "echo replies sent",
        /// Fewer bytes than a message.
        Short => error "ICMP message too short",
    }
}

pub(super) fn nodes() -> Vec<NodeSpec> {
    vec![icmp::node::<Ipv4Addr>(), NodeSpec::packet("ip4-icmp-echo-request", |_| Echo)]
}

impl Icmp for Ipv4Addr {
    const NODE: &'static str = "ip4-icmp-input";
    type Next = InputNext;
    const PUNT: InputNext = InputNext::Punt;

    fn message(packet: &Packet<'_>) -> Option<Message<InputNext>> {
        let (ip, _) = Ip4Header::ref_from_prefix(packet.data()).ok()?;
        let at = ip.header_len();
        let (icmp, _) = Icmp4Header::ref_from_prefix(packet.data().get(at..)?).ok()?;
        let says = match icmp.kind {
            icmp4::ECHO_REQUEST => Says::Next(InputNext::Echo),
            icmp4::ECHO_REPLY => {
                let seen = Seen { from: IpAddr::V4(ip.source_address()), ttl: ip.ttl, len: packet.len() - at };
                Says::EchoReply(seen, icmp.id.get(), icmp.sequence.get())
            }
            icmp4::UNREACHABLE if icmp.code == icmp4::FRAGMENTATION_NEEDED => {
                TooLong::read4(packet.data()).map_or(Says::Unknown, Says::TooLong)
            }
            _ => Says::Unknown,
        };
        Some(Message { at, start: 0, says })
    }
}

struct Echo;

impl PacketNode for Echo {
    type Next = EchoNext;
    type Error = EchoError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> EchoNext {
        let Ok((ip, rest)) = Ip4Header::mut_from_prefix(packet.data_mut()) else {
            return cx.drop(packet, EchoError::Short);
        };
        let options = ip.header_len().saturating_sub(Ip4Header::LEN);
        let Some(Ok((icmp, _))) = rest.get_mut(options..).map(Icmp4Header::mut_from_prefix) else {
            return cx.drop(packet, EchoError::Short);
        };
        icmp.into_reply();
        std::mem::swap(&mut ip.source, &mut ip.destination);
        // Addresses swapped leave the sum as it was; the TTL is a new packet's (RFC 1122 section 3.2.1.7).
        let old = u16::from_be_bytes([ip.ttl, ip.protocol]);
        ip.ttl = 64;
        let new = u16::from_be_bytes([ip.ttl, ip.protocol]);
        ip.checksum.set(checksum::update16(ip.checksum.get(), old, new));
        packet.meta_mut().offload = Offload::LOCAL;
        cx.count(EchoError::Sent);
        EchoNext::Lookup
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}
