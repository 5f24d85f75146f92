//! IPv6's part of [`input`](crate::ip::input): which headers and addresses are sound, and what is addressed to us on the link
//! alone.

use std::net::Ipv6Addr;

use vnet::arcs::{ArcIndex, IP6_UNICAST};
use vnet::interface::{IfStats, Interface};
use vnet::wire::ip6::{self, ALL_NODES, ALL_ROUTERS, Ip6Error};
use vnet::{Packet, Tables, next_nodes, node_errors};

use crate::ip::input::Enter;

next_nodes! {
    /// Where `ip6-input` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip6-drop",
        /// Sound.
        Lookup => "ip6-lookup",
        /// For a group that we are in, or our link-local address.
        Receive => "ip6-receive",
        ; To
    }
}

node_errors! {
    /// Why `ip6-input` drops.
    pub enum Error {
        /// Fewer bytes than a header.
        Short => error "ip6 length too short",
        /// Not version 6.
        Version => error "ip6 bad version",
        /// A payload length beyond the frame.
        Length => error "ip6 payload length > l2 length",
        /// A packet with a hop limit of 0 should not have been sent.
        HopLimitZero => error "ip6 hop limit is 0",
        /// Claims to come from one of our own addresses.
        OwnSource => error "ip6 source address is our own",
        /// A group, the loopback address, or none where one is needed (RFC 4291 section 2.5).
        BadSource => error "ip6 source address is not a host",
        /// The unspecified or the loopback address.
        BadDestination => error "ip6 destination address is not a host",
        /// A group that we are not in.
        OtherGroup => error "ip6 multicast group not joined",
        /// Link-local, and not ours: such packets are not forwarded (RFC 4291 section 2.5.6).
        OtherLinkLocal => error "ip6 link-local destination is not ours",
        /// The interface has no IPv6 address.
        NotEnabled => error "ip6 is not enabled on the interface",
    }
}

impl Enter for Ipv6Addr {
    const NODE: &'static str = "ip6-input";
    type Next = Next;
    type Error = Error;
    const ARC: ArcIndex = IP6_UNICAST;
    const ONWARD: Next = Next::Lookup;
    const NOT_ENABLED: Error = Error::NotEnabled;

    fn is_enabled(interface: &Interface) -> bool {
        interface.ip6
    }

    #[inline(always)]
    fn count(stats: &IfStats, packets: u64) {
        stats.ip6.add(packets);
    }

    #[inline(always)]
    fn is_common(tables: &Tables, packet: &Packet<'_>) -> bool {
        ip6::common(packet.data(), packet.plain_len()).is_some_and(|header| {
            is_plain(header.source[0])
                && is_plain(header.destination[0])
                && header.hop_limit != 0
                && !tables.own6.contains_octets(&header.source)
        })
    }

    fn judge(tables: &Tables, packet: &mut Packet<'_>) -> Result<Option<Next>, Error> {
        let length = packet.len();
        let facts = ip6::check(packet.data(), length)?;
        if facts.total_len != length {
            packet.truncate(facts.total_len);
        }
        let (source, destination) = (facts.source, facts.destination);
        if tables.own6.contains(source) {
            return Err(Error::OwnSource);
        }
        // Without an address one may ask groups of the link for one (RFC 4862 section 5.4.2).
        let asks = source.is_unspecified() && destination.is_multicast() && ip6::is_link_scope(destination);
        if source.is_multicast() || source.is_loopback() || (source.is_unspecified() && !asks) {
            return Err(Error::BadSource);
        }
        if facts.hop_limit == 0 {
            return Err(Error::HopLimitZero);
        }
        if destination.is_multicast() {
            return if is_joined(destination) { Ok(Some(Next::Receive)) } else { Err(Error::OtherGroup) };
        }
        if destination.is_unspecified() || destination.is_loopback() {
            return Err(Error::BadDestination);
        }
        if ip6::is_link_scope(destination) {
            let ours = destination == tables.interface(packet.meta().rx).link_local();
            return if ours { Ok(Some(Next::Receive)) } else { Err(Error::OtherLinkLocal) };
        }
        Ok(None)
    }
}

/// Whether addresses that begin so are all hosts': neither groups, nor link-local, nor the special ones of `::/8`.
#[inline(always)]
fn is_plain(first: u8) -> bool {
    (1..0xfe).contains(&first)
}

/// Groups that every interface is in: all nodes, all routers, and those of solicitations, whoever is meant: the node that
/// answers them looks at the target, which may be a plugin's address.
fn is_joined(group: Ipv6Addr) -> bool {
    let solicited = group.octets()[..13] == ip6::solicited_node(Ipv6Addr::UNSPECIFIED).octets()[..13];
    group == ALL_NODES || group == ALL_ROUTERS || solicited
}

impl From<Ip6Error> for Error {
    #[cold]
    fn from(error: Ip6Error) -> Error {
        match error {
            Ip6Error::TooShort => Error::Short,
            Ip6Error::BadVersion => Error::Version,
            Ip6Error::BadLength => Error::Length,
        }
    }
}
