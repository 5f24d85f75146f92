//! Adjacencies: where a packet leaves, and the bytes that go before it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::ids::{IfIndex, NodeId};

/// What an adjacency is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[repr(u8)]
pub enum AdjacencyKind {
    /// A neighbour whose link address is not known.
    Incomplete,
    /// A neighbour that is ready: the rewrite is the whole link header.
    Complete,
    /// A connected prefix: the rewrite is the broadcast header of the requests to be sent.
    Glean,
    /// The other end of a point-to-point interface or tunnel: there is no link header.
    Midchain,
}

/// A next hop on an interface, as workers read it: one cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[repr(align(64))]
pub struct Adjacency {
    /// The link header, in the first [`rewrite_len`](Self::rewrite_len) bytes.
    pub rewrite: [u8; 16],
    /// The interface the packet leaves by.
    pub interface: IfIndex,
    /// The longest IP packet the interface takes, in bytes.
    pub mtu: u32,
    /// The interface's output node.
    pub node: NodeId,
    /// What a packet in a hurry asks for, in one comparison: the longest IP packet that needs nothing but the 14 bytes of
    /// Ethernet in front. 0 where there is another link header, or none.
    pub ethernet_mtu: u16,
    /// What this is.
    pub kind: AdjacencyKind,
    /// Length of the connected prefix that [`source`](Self::source) is in.
    pub source_len: u8,
    /// The neighbour's address; unspecified for a glean and on a point-to-point interface.
    pub next_hop: IpAddr,
    /// Our address towards the neighbour: the sender of requests. Unspecified if the interface has none.
    pub source: IpAddr,
}

const _: () = assert!(size_of::<Adjacency>() == 64);

impl Adjacency {
    /// What an index that refers to nothing gives.
    pub const NONE: Adjacency = Adjacency {
        rewrite: [0; 16],
        interface: IfIndex(0),
        mtu: 0,
        node: NodeId(0),
        ethernet_mtu: 0,
        kind: AdjacencyKind::Incomplete,
        source_len: 0,
        next_hop: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };

    /// The bytes that go before the packet.
    #[inline(always)]
    pub fn rewrite(&self) -> &[u8] {
        &self.rewrite[..self.rewrite_len()]
    }

    /// Writes an Ethernet header, where the rewrite is one.
    #[inline(always)]
    pub fn write_ethernet(&self, place: &mut [u8; 14]) {
        // In two words that overlap: the compiler would take three that do not.
        place[..8].copy_from_slice(&self.rewrite[..8]);
        place[6..].copy_from_slice(&self.rewrite[6..14]);
    }

    /// Bytes of link header: 14 on Ethernet, 0 on a point-to-point interface and while incomplete.
    #[inline(always)]
    pub fn rewrite_len(&self) -> usize {
        match self.kind {
            AdjacencyKind::Complete | AdjacencyKind::Glean => 14,
            AdjacencyKind::Incomplete | AdjacencyKind::Midchain => 0,
        }
    }

    /// The adjacency in words, for `show adj` and the trace of `ip4-rewrite`; `interface` is the interface's name.
    ///
    /// The number behind `next:` is the output node's.
    pub fn text<'a>(&'a self, interface: &'a str) -> AdjacencyText<'a> {
        AdjacencyText { adjacency: self, interface }
    }
}

/// An adjacency in words: see [`Adjacency::text`].
#[derive(Clone, Copy, Debug)]
pub struct AdjacencyText<'a> {
    adjacency: &'a Adjacency,
    interface: &'a str,
}

impl fmt::Display for AdjacencyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AdjacencyText { adjacency: adj, interface } = *self;
        let family = if adj.next_hop.is_ipv4() { "ipv4" } else { "ipv6" };
        match adj.kind {
            AdjacencyKind::Incomplete if adj.next_hop.is_ipv4() => {
                return write!(f, "arp-ipv4: via {} {interface}", adj.next_hop);
            }
            AdjacencyKind::Incomplete => return write!(f, "nd-ipv6: via {} {interface}", adj.next_hop),
            AdjacencyKind::Glean => write!(f, "{family}-glean: [src:{}] {interface}", Network(adj))?,
            AdjacencyKind::Complete | AdjacencyKind::Midchain => {
                write!(f, "{family} via {} {interface}", adj.next_hop)?
            }
        }
        write!(f, ": mtu:{} next:{} flags:[]", adj.mtu, adj.node)?;
        if adj.rewrite_len() > 0 {
            f.write_str(" ")?;
        }
        adj.rewrite().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The connected prefix of a glean.
struct Network<'a>(&'a Adjacency);

impl fmt::Display for Network<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.source_len;
        match self.0.source {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
                write!(f, "{}/{len}", Ipv4Addr::from_bits(a.to_bits() & mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
                write!(f, "{}/{len}", std::net::Ipv6Addr::from_bits(a.to_bits() & mask))
            }
        }
    }
}
