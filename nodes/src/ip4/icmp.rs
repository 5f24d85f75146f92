//! `ip4-icmp-input` and `ip4-icmp-echo-request`: ICMP for our own addresses.
//!
//! Uses: the message. Sets: the reply, in place. Next: `ip4-lookup` for replies; `ip4-punt` for what nobody waits for. Tells the control thread what
//! errors say about the ways of our tunnels.

use std::net::IpAddr;

use vnet::wire::ip4::Ip4Header;
use vnet::wire::{Icmp4Header, checksum, icmp4};
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;
use super::icmp_error::RateLimit;
use crate::path_mtu::{Heard, TooLong};
use crate::ping::{self, Seen};

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
    /// What `ip4-icmp-input` finds.
    pub enum Error {
        /// A type that nobody waits for.
        UnknownType => error "unknown type",
        /// Fewer bytes than a message.
        Short => error "ICMP message too short",
        /// The message's sum is wrong.
        Checksum => error "bad ICMP checksum",
        /// Answers to `ping`.
        EchoReply => info "echo replies received",
        /// An error made a tunnel's packets shorter.
        TunnelMtu => info "path MTU of a tunnel learned from an error",
        /// An error about a tunnel that says nothing new, or what cannot be.
        TunnelKnown => info "error about a tunnel without news",
        /// RFC 8201 section 4 leaves it to us how many to believe: some each second.
        TunnelTooMany => warn "error about a tunnel not used: too many",
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
    vec![NodeSpec::packet("ip4-icmp-input", |_| Input::default()), NodeSpec::packet("ip4-icmp-echo-request", |_| Echo)]
}

#[derive(Default)]
struct Input {
    /// Of errors about tunnels.
    limit: RateLimit,
}

impl PacketNode for Input {
    type Next = InputNext;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> InputNext {
        let bytes = packet.data();
        let Ok((ip, _)) = Ip4Header::ref_from_prefix(bytes) else {
            return cx.drop(packet, Error::Short);
        };
        let (at, from, ttl) = (ip.header_len(), ip.source_address(), ip.ttl);
        let Some(Ok((icmp, _))) = bytes.get(at..).map(Icmp4Header::ref_from_prefix) else {
            return cx.drop(packet, Error::Short);
        };
        let (kind, code, id, sequence) = (icmp.kind, icmp.code, icmp.id.get(), icmp.sequence.get());
        if checksum::finish(checksum::sum_segments(packet.segments(), at, 0)) != 0 {
            return cx.drop(packet, Error::Checksum);
        }
        match kind {
            icmp4::ECHO_REQUEST => InputNext::Echo,
            icmp4::ECHO_REPLY => {
                ping::answered(cx, Seen { from: IpAddr::V4(from), ttl, len: packet.len() - at }, id, sequence);
                cx.drop(packet, Error::EchoReply)
            }
            icmp4::UNREACHABLE if code == icmp4::FRAGMENTATION_NEEDED => self.too_long(cx, packet),
            _ => Self::unknown(cx, packet),
        }
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}

impl Input {
    /// A packet of ours was too long for its way: a tunnel's, or one that nobody here knows of.
    #[cold]
    fn too_long(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> InputNext {
        let heard = TooLong::read4(packet.data()).map_or(Heard::NotOurs, |error| error.hear(cx, &mut self.limit));
        match heard {
            Heard::NotOurs => Self::unknown(cx, packet),
            Heard::Nothing => cx.drop(packet, Error::TunnelKnown),
            Heard::Told => cx.drop(packet, Error::TunnelMtu),
            Heard::TooMany => cx.drop(packet, Error::TunnelTooMany),
        }
    }

    fn unknown(cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> InputNext {
        cx.blame(packet, Error::UnknownType);
        InputNext::Punt
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
