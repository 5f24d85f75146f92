//! `ip4-icmp-error`: tells a packet's sender why it will not arrive.
//!
//! Uses: the problem that the node before left in the packet ([`request`]). Sets: nothing in the packet itself, which
//! goes to `ip4-drop`. Next: `ip4-lookup` for the message.

use vnet::wire::icmp4::{self, Problem};
use vnet::wire::ip4::Ip4Header;
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;
use crate::error_source::error_source;

next_nodes! {
    /// Where `ip4-icmp-error` sends packets.
    pub enum Next {
        /// The packet that the message is about.
        Drop => "ip4-drop",
        /// The message.
        Lookup => "ip4-lookup",
    }
}

node_errors! {
    /// What `ip4-icmp-error` does.
    pub enum Error {
        /// Messages about hops.
        TtlExpired => info "hop limit exceeded response sent",
        /// Messages about packets whose pieces did not all come.
        ReassemblyTimedOut => info "reassembly time exceeded sent",
        /// Messages about destinations.
        Unreachable => info "destination unreachable response sent",
        /// Messages about lengths.
        FragmentationNeeded => info "fragmentation needed response sent",
        /// RFC 1812 section 4.3.2.8.
        RateLimited => warn "error message not sent: rate limited",
        /// RFC 1122 section 3.2.2: about ICMP errors, broadcasts and later fragments nobody is told.
        NotAllowed => info "error message not sent: not allowed about such a packet",
        /// Neither the interface that the packet came in by nor the one that the message leaves by has an address.
        NoSource => error "error message not sent: no address",
        /// No buffer for the message.
        NoBuffer => error "error message not sent: no free buffer",
    }
}

/// Messages per second and worker.
const PER_SECOND: u32 = 100;

/// Messages that a worker has sent in this second.
#[derive(Default)]
pub struct RateLimit {
    second: u32,
    sent: u32,
}

impl RateLimit {
    pub(crate) fn take(&mut self, second: u32) -> bool {
        if self.second != second {
            *self = RateLimit { second, sent: 0 };
        }
        self.sent += 1;
        self.sent <= PER_SECOND
    }
}

/// Leaves word in the packet what its sender is to be told; then send it to `ip4-icmp-error`.
pub fn request(packet: &mut Packet<'_>, problem: Problem) {
    packet.meta_mut().opaque = match problem {
        Problem::TimeExceeded => [1, 0],
        Problem::ReassemblyTimeExceeded => [4, 0],
        Problem::Unreachable(code) => [2, u32::from(code)],
        Problem::FragmentationNeeded { mtu } => [3, u32::from(mtu)],
    };
}

fn requested(packet: &Packet<'_>) -> Problem {
    match packet.meta().opaque {
        [1, _] => Problem::TimeExceeded,
        [4, _] => Problem::ReassemblyTimeExceeded,
        [3, mtu] => Problem::FragmentationNeeded { mtu: mtu as u16 },
        [_, code] => Problem::Unreachable(code as u8),
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-icmp-error", |_| IcmpErrors)
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
        if !icmp4::may_report(packet.data()) {
            cx.count(Error::NotAllowed);
            return Next::Drop;
        }
        let Ok((about, _)) = Ip4Header::ref_from_prefix(packet.data()) else { return Next::Drop };
        let to = about.source_address();
        let Some(from) = error_source(cx.tables, packet.meta().rx, to) else {
            cx.count(Error::NoSource);
            return Next::Drop;
        };
        if !cx.local.take(cx.now().seconds) {
            cx.count(Error::RateLimited);
            return Next::Drop;
        }
        let mut message = [0; 576];
        let mut original = [0; icmp4::MAX_QUOTE];
        let quoted = packet.copy_out(0, &mut original);
        let Ok(len) = problem.emit(from, to, 255, &original[..quoted], &mut message) else { return Next::Drop };
        let sent = cx.emit(packet, |new| {
            new.append(&message[..len]);
            new.mark_l3();
            new.meta_mut().offload = Offload::LOCAL;
            Some(Next::Lookup)
        });
        cx.count(match (sent, problem) {
            (Err(_), _) => Error::NoBuffer,
            (_, Problem::TimeExceeded) => Error::TtlExpired,
            (_, Problem::ReassemblyTimeExceeded) => Error::ReassemblyTimedOut,
            (_, Problem::Unreachable(_)) => Error::Unreachable,
            (_, Problem::FragmentationNeeded { .. }) => Error::FragmentationNeeded,
        });
        Next::Drop
    }

    fn trace(&self, _: &Scope<'_, (), RateLimit>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}
