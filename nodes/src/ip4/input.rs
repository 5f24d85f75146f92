//! `ip4-input`: what claims to be an IPv4 packet is checked here, once; later nodes trust it.
//!
//! Uses: the header. Sets: the packet's length (link padding is cut off), the interface's `ip4` count. Next: the
//! features of `ip4-unicast`, then `ip4-lookup`; `ip4-icmp-error` for an expired TTL; `ip4-drop`.

use vnet::arcs::IP4_UNICAST;
use vnet::wire::ip4::{self, Ip4Error};
use vnet::{Cx, IfIndex, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::HeaderTrace;

next_nodes! {
    /// Where `ip4-input` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip4-drop",
        /// Sound.
        Lookup => "ip4-lookup",
        ; To
    }
}

node_errors! {
    /// Why `ip4-input` drops.
    pub enum Error {
        /// Fewer bytes than a header.
        Short => error "ip4 length too short",
        /// Not version 4.
        Version => error "ip4 bad version",
        /// A header length below 20 bytes, or beyond the packet.
        HeaderLength => error "ip4 bad header length",
        /// A total length below the header's, or beyond the frame.
        TotalLength => error "ip4 length > l2 length",
        /// RFC 791: the header checksum is wrong.
        Checksum => error "bad ip4 checksum",
        /// A packet with a TTL of 0 should not have been sent.
        TtlZero => error "ip4 ttl is 0",
        /// An option that runs out of the header.
        Options => error "ip4 bad options",
        /// Claims to come from one of our own addresses.
        OwnSource => error "ip4 source address is our own",
        /// A multicast or broadcast source (RFC 1122 section 3.2.1.3).
        BadSource => error "ip4 source address is not a host",
        /// The interface has no IPv4 address.
        NotEnabled => error "ip4 is not enabled on the interface",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-input", |_| Ip4Input { rx: IfIndex(0), run: 0 })
}

/// Counts packets by runs from the same interface: a vector mostly comes from one.
struct Ip4Input {
    rx: IfIndex,
    run: u64,
}

impl PacketNode for Ip4Input {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let rx = packet.meta().rx;
        if rx != self.rx {
            cx.interface(self.rx).ip4.add(std::mem::take(&mut self.run));
            self.rx = rx;
        }
        self.run += 1;
        let length = packet.len();
        let facts = match ip4::check(packet.data(), length) {
            Ok(facts) => facts,
            Err(error) => return cx.drop(packet, blame(error)),
        };
        if facts.total_len != length {
            packet.truncate(facts.total_len);
        }
        if cx.tables.own4.contains(facts.source) {
            return cx.drop(packet, Error::OwnSource);
        }
        if facts.source >= 0xe000_0000 {
            return cx.drop(packet, Error::BadSource);
        }
        if facts.ttl == 0 {
            return cx.drop(packet, Error::TtlZero);
        }
        if !cx.tables.interface(rx).ip4 {
            return cx.drop(packet, Error::NotEnabled);
        }
        cx.start_arc(packet, IP4_UNICAST, rx).map_or(Next::Lookup, Next::To)
    }

    fn end(&mut self, cx: &mut Cx<'_, '_, Self>, _: usize) {
        cx.interface(self.rx).ip4.add(std::mem::take(&mut self.run));
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::new(packet)
    }
}

#[cold]
fn blame(error: Ip4Error) -> Error {
    match error {
        Ip4Error::TooShort => Error::Short,
        Ip4Error::BadVersion => Error::Version,
        Ip4Error::BadHeaderLength => Error::HeaderLength,
        Ip4Error::BadTotalLength => Error::TotalLength,
        Ip4Error::BadChecksum => Error::Checksum,
        Ip4Error::BadOptions => Error::Options,
    }
}
