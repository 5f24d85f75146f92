//! `ip6-icmp-error`: tells a packet's sender why it will not arrive.
//!
//! Uses: the problem that the node before left in the packet ([`request`]). Sets: nothing in the packet itself, which
//! goes to `ip6-drop`. Next: `ip6-lookup` for the message.

use std::net::Ipv6Addr;

use vnet::wire::Ip6Header;
use vnet::wire::icmp6::{self, Problem};
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use crate::error_source::error_source;
use crate::ip4::{HeaderTrace, icmp_error};

next_nodes! {
    /// Where `ip6-icmp-error` sends packets.
    pub enum Next {
        /// The packet that the message is about.
        Drop => "ip6-drop",
        /// The message.
        Lookup => "ip6-lookup",
    }
}

node_errors! {
    /// What `ip6-icmp-error` does.
    pub enum Error {
        /// Messages about hops.
        HopLimit => info "hop limit exceeded response sent",
        /// Messages about packets whose pieces did not all come.
        ReassemblyTimedOut => info "reassembly time exceeded sent",
        /// Messages about destinations.
        Unreachable => info "destination unreachable response sent",
        /// Messages about lengths.
        TooBig => info "packet too big response sent",
        /// Messages about what is in a packet.
        Parameter => info "parameter problem response sent",
        /// RFC 4443 section 2.4 (f).
        RateLimited => warn "error message not sent: rate limited",
        /// RFC 4443 section 2.4 (e): about ICMPv6 errors, groups and later fragments nobody is told.
        NotAllowed => info "error message not sent: not allowed about such a packet",
        /// Neither the interface that the packet came in by nor the one that the message leaves by has an address, or the
        /// sender's is link-local.
        NoSource => error "error message not sent: no address",
        /// No buffer for the message.
        NoBuffer => error "error message not sent: no free buffer",
    }
}

/// Messages that a worker has sent in this second, not counting those of IPv4.
#[derive(Default)]
pub struct RateLimit(icmp_error::RateLimit);

/// Leaves word in the packet what its sender is to be told; then send it to `ip6-icmp-error`.
pub fn request(packet: &mut Packet<'_>, problem: Problem) {
    packet.meta_mut().opaque = match problem {
        Problem::TimeExceeded => [1, 0],
        Problem::Unreachable(code) => [2, u32::from(code)],
        Problem::TooBig { mtu } => [3, mtu],
        Problem::ReassemblyTimeExceeded => [4, 0],
        // Pointers are below 64 KB.
        Problem::Parameter { code, pointer } => [5, u32::from(code) << 24 | pointer & 0xff_ffff],
    };
}

fn requested(packet: &Packet<'_>) -> Problem {
    match packet.meta().opaque {
        [1, _] => Problem::TimeExceeded,
        [3, mtu] => Problem::TooBig { mtu },
        [4, _] => Problem::ReassemblyTimeExceeded,
        [5, both] => Problem::Parameter { code: (both >> 24) as u8, pointer: both & 0xff_ffff },
        [_, code] => Problem::Unreachable(code as u8),
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip6-icmp-error", |_| IcmpErrors)
}

struct IcmpErrors;

impl PacketNode for IcmpErrors {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = RateLimit;
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let problem = requested(packet);
        if !icmp6::may_report(problem, packet.data()) {
            cx.count(Error::NotAllowed);
            return Next::Drop;
        }
        let Ok((about, _)) = Ip6Header::ref_from_prefix(packet.data()) else { return Next::Drop };
        let to = about.source_address();
        let source = error_source(cx.tables, packet.meta().rx, to);
        let Some(from) = source.filter(|_| !to.is_unicast_link_local()) else {
            cx.count(Error::NoSource);
            return Next::Drop;
        };
        if !cx.local.0.take(cx.now().seconds) {
            cx.count(Error::RateLimited);
            return Next::Drop;
        }
        let mut message = [0; icmp6::MIN_MTU];
        let mut original = [0; icmp6::MAX_QUOTE];
        let quoted = packet.copy_out(0, &mut original);
        let Ok(len) = problem.emit(from, to, 255, &original[..quoted], &mut message) else { return Next::Drop };
        let sent = cx.emit(packet, |new| {
            new.append(&message[..len]);
            new.mark_l3();
            new.meta_mut().offload = Offload::LOCAL | Offload::MAY_CUT;
            Some(Next::Lookup)
        });
        cx.count(match (sent, problem) {
            (Err(_), _) => Error::NoBuffer,
            (_, Problem::TimeExceeded) => Error::HopLimit,
            (_, Problem::ReassemblyTimeExceeded) => Error::ReassemblyTimedOut,
            (_, Problem::Unreachable(_)) => Error::Unreachable,
            (_, Problem::TooBig { .. }) => Error::TooBig,
            (_, Problem::Parameter { .. }) => Error::Parameter,
        });
        Next::Drop
    }

    fn trace(&self, _: &Scope<'_, (), RateLimit>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<Ipv6Addr>(packet)
    }
}
