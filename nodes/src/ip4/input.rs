//! IPv4's part of [`input`](crate::ip::input): which headers and sources are sound.

use std::net::Ipv4Addr;

use vnet::arcs::{ArcIndex, IP4_UNICAST};
use vnet::interface::{IfStats, Interface};
use vnet::wire::Ip4Header;
use vnet::wire::ip4::{self, Ip4Error};
use vnet::{Packet, Tables, next_nodes, node_errors};

use crate::ip::input::Enter;

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

/// From here on addresses are no hosts': multicast, reserved, broadcast.
const NO_HOSTS: u32 = 0xe000_0000;

impl Enter for Ipv4Addr {
    const NODE: &'static str = "ip4-input";
    type Next = Next;
    type Error = Error;
    const ARC: ArcIndex = IP4_UNICAST;
    const ONWARD: Next = Next::Lookup;
    const NOT_ENABLED: Error = Error::NotEnabled;

    fn is_enabled(interface: &Interface) -> bool {
        interface.ip4
    }

    #[inline(always)]
    fn count(stats: &IfStats, packets: u64) {
        stats.ip4.add(packets);
    }

    #[inline(always)]
    fn is_common(tables: &Tables, packet: &Packet<'_>) -> bool {
        // The length first, as one word, of which the bytes' place is a part.
        let (length, bytes) = (packet.plain_len(), packet.data());
        // Bytes by themselves, and before the checksum reads the words that they stand in: taken out of these, they are more instructions.
        let host = Ip4Header::ref_from_prefix(bytes)
            .is_ok_and(|(header, _)| header.source.to_bytes()[0] < (NO_HOSTS >> 24) as u8 && header.ttl != 0);
        host && ip4::common(bytes, length).is_some_and(|header| !tables.own4.contains_octets(header.source.to_bytes()))
    }

    fn judge(tables: &Tables, packet: &mut Packet<'_>) -> Result<Option<Next>, Error> {
        let length = packet.len();
        let facts = ip4::check(packet.data(), length)?;
        if facts.total_len != length {
            packet.truncate(facts.total_len);
        }
        if tables.own4.contains(facts.source) {
            return Err(Error::OwnSource);
        }
        if facts.source >= NO_HOSTS {
            return Err(Error::BadSource);
        }
        if facts.ttl == 0 {
            return Err(Error::TtlZero);
        }
        Ok(None)
    }
}

impl From<Ip4Error> for Error {
    #[cold]
    fn from(error: Ip4Error) -> Error {
        match error {
            Ip4Error::TooShort => Error::Short,
            Ip4Error::BadVersion => Error::Version,
            Ip4Error::BadHeaderLength => Error::HeaderLength,
            Ip4Error::BadTotalLength => Error::TotalLength,
            Ip4Error::BadChecksum => Error::Checksum,
            Ip4Error::BadOptions => Error::Options,
        }
    }
}
