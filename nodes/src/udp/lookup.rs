//! `ip4-udp-lookup` and `ip6-udp-lookup`: datagrams to us, for ports that a node has.
//!
//! Uses: the UDP header; the checksum, where there is one. Sets: the packet's length (what is behind the datagram is cut
//! off). Next: the node that has the port; `ip4-gso-cut` or `ip6-gso-cut` for several datagrams in one packet.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

use vnet::wire::checksum::{fold, sum_segments};
use vnet::wire::{UdpHeader, ip4::protocol};
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use super::Listeners;
use crate::drop::AdjacencyTrace;
use crate::tunnel::Outer;

next_nodes! {
    /// Where the nodes send packets.
    pub enum Next {
        /// Broken.
        Drop => "error-drop",
        /// Several datagrams.
        Cut4 => "ip4-gso-cut",
        /// The same over IPv6.
        Cut6 => "ip6-gso-cut",
        ; To
    }
}

node_errors! {
    /// What the nodes find.
    pub enum Error {
        /// Cut short, or a length that is less than the header's or more than there is.
        BadLength => error "bad udp length",
        /// Neither right nor absent (RFC 768; over IPv6, RFC 6935).
        BadChecksum => error "bad udp checksum",
        /// The port was given back a moment ago.
        NoListener => error "no listener for port",
    }
}

pub(super) fn nodes() -> [NodeSpec; 2] {
    [
        NodeSpec::packet("ip4-udp-lookup", |_| Lookup::<Ipv4Addr>(PhantomData)),
        NodeSpec::packet("ip6-udp-lookup", |_| Lookup::<Ipv6Addr>(PhantomData)),
    ]
}

struct Lookup<A>(PhantomData<A>);

impl<A: Outer> PacketNode for Lookup<A> {
    type Next = Next;
    type Error = Error;
    type Shared = Listeners;
    type Local = ();
    type Staged = ();
    type Trace = AdjacencyTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let facts = A::read(packet.data());
        let Some((at, header)) = facts.and_then(|facts| {
            let (header, _) = UdpHeader::ref_from_prefix(packet.data().get(facts.at..)?).ok()?;
            Some((facts.at, *header))
        }) else {
            return cx.drop(packet, Error::BadLength);
        };
        let len = usize::from(header.len.get());
        if len < UdpHeader::LEN || at + len > packet.len() {
            return cx.drop(packet, Error::BadLength);
        }
        // A kernel that leaves this checksum unfinished has the datagram from a sender of its own machine.
        let own_checksum = packet.meta().offload.contains(Offload::CHECKSUM) && packet.csum_start() == Some(at);
        if own_checksum && packet.meta().offload.contains(Offload::GSO_UDP) {
            crate::ip4::gso::come_back_to(packet, cx.this_node());
            return if A::BITS == 32 { Next::Cut4 } else { Next::Cut6 };
        }
        // Of a large segment, which is cut later, the checksum can only be right later.
        let large = packet.meta().offload.intersects(Offload::GSO);
        if !own_checksum && !large {
            packet.truncate(at + len);
            crate::checksum::complete(packet);
            if header.checksum.get() != 0 && !checksum_ok::<A>(packet, at, header.len.get()) {
                return cx.drop(packet, Error::BadChecksum);
            }
        }
        if own_checksum {
            packet.meta_mut().offload.remove(Offload::CHECKSUM);
        }
        match cx.shared.port::<A>(header.destination.get()) {
            Some(node) => Next::To(node),
            None => cx.drop(packet, Error::NoListener),
        }
    }

    fn trace(&self, _: &Scope<'_, Listeners, ()>, packet: &Packet<'_>, (): ()) -> AdjacencyTrace {
        AdjacencyTrace::of::<A>(packet)
    }
}

fn checksum_ok<A: Outer>(packet: &Packet<'_>, at: usize, len: u16) -> bool {
    let pseudo = A::pseudo_sum(packet.data(), protocol::UDP, len);
    fold(sum_segments(packet.segments(), at, pseudo)) == 0xffff
}
