//! `ip4-icmp-input` and `ip6-icmp-input`: ICMP for our own addresses and groups.
//!
//! Uses: the message. Sets: nothing. Next: the nodes of [`Icmp::Next`], which answer; `ip4-punt` or `ip6-punt` for what nobody
//! waits for. Tells the control thread what errors say about the ways of our tunnels.

use std::marker::PhantomData;

use vnet::wire::checksum;
use vnet::{Cx, NextNodes, NodeSpec, Packet, PacketNode, Scope, node_errors};

use super::Ip;
use crate::ip4::HeaderTrace;
use crate::ip4::icmp_error::RateLimit;
use crate::path_mtu::{Heard, TooLong};
use crate::ping::{self, Seen};

node_errors! {
    /// What `ip4-icmp-input` and `ip6-icmp-input` find.
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

/// A message to us.
pub(crate) struct Message<X> {
    /// Where it begins.
    pub(crate) at: usize,
    /// What its checksum covers beyond it: the sum of the pseudo-header, or 0.
    pub(crate) start: u64,
    /// What it says, if the checksum is right.
    pub(crate) says: Says<X>,
}

/// What a message says.
pub(crate) enum Says<X> {
    /// What another node answers.
    Next(X),
    /// The answer to an echo request of this identifier and this sequence number.
    EchoReply(Seen, u16, u16),
    /// That a packet of ours was too long.
    TooLong(TooLong),
    /// What nobody waits for.
    Unknown,
}

/// A family's messages.
pub(crate) trait Icmp: Ip {
    /// The node that gets those to us.
    const NODE: &'static str;
    /// Where it sends them.
    type Next: NextNodes;
    /// Where those go that nobody waits for.
    const PUNT: Self::Next;

    /// The message in a packet that begins with its IP header; `None`: it is cut short.
    fn message(packet: &Packet<'_>) -> Option<Message<Self::Next>>;
}

pub(crate) fn node<A: Icmp>() -> NodeSpec {
    NodeSpec::packet(A::NODE, |_| Input::<A> { limit: RateLimit::default(), _family: PhantomData })
}

struct Input<A> {
    /// Of errors about tunnels.
    limit: RateLimit,
    _family: PhantomData<A>,
}

impl<A: Icmp> PacketNode for Input<A> {
    type Next = A::Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> A::Next {
        let Some(message) = A::message(packet) else {
            return cx.drop(packet, Error::Short);
        };
        if checksum::finish(checksum::sum_segments(packet.segments(), message.at, message.start)) != 0 {
            return cx.drop(packet, Error::Checksum);
        }
        match message.says {
            Says::Next(next) => next,
            Says::EchoReply(seen, id, sequence) => {
                ping::answered(cx, seen, id, sequence);
                cx.drop(packet, Error::EchoReply)
            }
            Says::TooLong(error) => match error.hear(cx, &mut self.limit) {
                Heard::NotOurs => unknown(cx, packet),
                Heard::Nothing => cx.drop(packet, Error::TunnelKnown),
                Heard::Told => cx.drop(packet, Error::TunnelMtu),
                Heard::TooMany => cx.drop(packet, Error::TunnelTooMany),
            },
            Says::Unknown => unknown(cx, packet),
        }
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<A>(packet)
    }
}

fn unknown<A: Icmp>(cx: &Cx<'_, '_, Input<A>>, packet: &mut Packet<'_>) -> A::Next {
    cx.blame(packet, Error::UnknownType);
    A::PUNT
}
