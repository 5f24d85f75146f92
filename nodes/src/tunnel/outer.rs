//! The outer header of a tunnel, of either family.

use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};

use ahash::AHashMap;
use vnet::wire::{Ip4Header, Ip6Header, ip6_ext};

use super::encapsulate::{Next as Out, NotSent};
use super::ends::{Ends, Way};
use super::input::Next as In;
use crate::ip::Ip;

/// A family that tunnels go over.
pub trait Outer: Ip {
    /// The family's digit in names of nodes.
    const DIGIT: char;
    /// Bytes of its header without options or extension headers.
    const HEADER_LEN: usize;
    /// What nobody here handles.
    #[doc(hidden)]
    const PUNT: In;
    /// Where an outer packet finds its way.
    #[doc(hidden)]
    const LOOK_UP: Out;
    /// An address as tables know it; 0 stands for any.
    type Key: Copy + Eq + Hash + Default + Send + Sync;

    /// The address as tables know it.
    fn key(self) -> Self::Key;
    /// An address that a host may have.
    fn is_host(self) -> bool;
    /// What the outer header says; `None`: it is cut short.
    fn read(bytes: &[u8]) -> Option<Facts<Self>>;
    /// The sum of the pseudo-header of a packet that begins with its header.
    fn pseudo_sum(bytes: &[u8], protocol: u8, len: u16) -> u64;
    /// Writes a header over the first bytes of `place`, which are [`HEADER_LEN`](Outer::HEADER_LEN) or more:
    /// from our end to the other, with a class (DSCP and ECN) and so many bytes of payload.
    ///
    /// # Errors
    /// A payload longer than a packet of the family may have.
    fn write(place: &mut [u8], ends: (Self, Self), protocol: u8, class: u8, payload: usize) -> Result<(), NotSent>;
    /// The tunnels over the family, by their ends.
    #[doc(hidden)]
    fn by_ends(ends: &Ends, kind: usize) -> &AHashMap<(Self::Key, Self::Key), Way>;
}

/// What stands in an outer header.
#[derive(Clone, Copy, Debug)]
pub struct Facts<A: Outer> {
    /// The receiver: our end.
    pub local: A::Key,
    /// The sender.
    pub remote: A::Key,
    /// The congestion notification field.
    pub ecn: u8,
    /// What the header says is behind it.
    pub protocol: u8,
    /// Where that begins.
    pub at: usize,
}

impl Outer for Ipv4Addr {
    const DIGIT: char = '4';
    const HEADER_LEN: usize = Ip4Header::LEN;
    const PUNT: In = In::Punt4;
    const LOOK_UP: Out = Out::Lookup4;
    type Key = u32;

    fn key(self) -> u32 {
        self.to_bits()
    }

    fn is_host(self) -> bool {
        !(self.is_multicast() || self.is_broadcast() || self.octets()[0] == 0)
    }

    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<Facts<Self>> {
        let (header, _) = Ip4Header::ref_from_prefix(bytes).ok()?;
        Some(Facts {
            local: header.destination.get(),
            remote: header.source.get(),
            ecn: header.ecn(),
            protocol: header.protocol,
            at: header.header_len(),
        })
    }

    fn pseudo_sum(bytes: &[u8], protocol: u8, len: u16) -> u64 {
        Ip4Header::ref_from_prefix(bytes).map_or(0, |(header, _)| {
            vnet::wire::checksum::pseudo4(header.source.get(), header.destination.get(), protocol, len)
        })
    }

    #[inline]
    fn write(place: &mut [u8], ends: (Self, Self), protocol: u8, class: u8, payload: usize) -> Result<(), NotSent> {
        if payload + Ip4Header::LEN > usize::from(u16::MAX) {
            return Err(NotSent::TooLong);
        }
        let mut header = Ip4Header::new(ends.0, ends.1, protocol, payload, 64);
        header.tos = class;
        header.set_checksum();
        header.emit(place).map(|_| ()).map_err(|_| NotSent::NoHeadroom)
    }

    #[inline(always)]
    fn by_ends(ends: &Ends, kind: usize) -> &AHashMap<(u32, u32), Way> {
        &ends.over4[kind]
    }
}

impl Outer for Ipv6Addr {
    const DIGIT: char = '6';
    const HEADER_LEN: usize = Ip6Header::LEN;
    const PUNT: In = In::Punt6;
    const LOOK_UP: Out = Out::Lookup6;
    type Key = u128;

    fn key(self) -> u128 {
        self.to_bits()
    }

    fn is_host(self) -> bool {
        !(self.is_multicast() || self.is_unspecified())
    }

    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<Facts<Self>> {
        let upper = ip6_ext::walk(bytes).ok()?;
        let (header, _) = Ip6Header::ref_from_prefix(bytes).ok()?;
        Some(Facts {
            local: header.destination_address().to_bits(),
            remote: header.source_address().to_bits(),
            ecn: header.traffic_class() & 3,
            protocol: upper.protocol,
            at: upper.offset,
        })
    }

    fn pseudo_sum(bytes: &[u8], protocol: u8, len: u16) -> u64 {
        Ip6Header::ref_from_prefix(bytes).map_or(0, |(header, _)| header.pseudo_sum(protocol, len.into()))
    }

    #[inline]
    fn write(place: &mut [u8], ends: (Self, Self), protocol: u8, class: u8, payload: usize) -> Result<(), NotSent> {
        if payload > usize::from(u16::MAX) {
            return Err(NotSent::TooLong);
        }
        let mut header = Ip6Header::new(ends.0, ends.1, protocol, payload, 64);
        header.version_class_flow.set(6 << 28 | u32::from(class) << 20);
        header.emit(place).map(|_| ()).map_err(|_| NotSent::NoHeadroom)
    }

    #[inline(always)]
    fn by_ends(ends: &Ends, kind: usize) -> &AHashMap<(u128, u128), Way> {
        &ends.over6[kind]
    }
}
