//! What the nodes of IPv4 and IPv6 have in common: one implementation with the family as its type parameter.

pub(crate) mod icmp;
pub(crate) mod input;
pub(crate) mod lookup;
mod recent;
pub(crate) mod rewrite;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vnet::Tables;
use vnet::fib::Snapshot;
use vnet::router::Family;
use vnet::tables::Connected;
use vnet::wire::{Ip6Header, Start};

use crate::{ip4, ip6};

/// An address family as nodes see it.
pub trait Ip: Family {
    /// How its packets are kept for traces.
    const START: Start;
    /// The node that drops its packets.
    const DROP: &'static str;
    /// The node that looks up where its packets go.
    const LOOKUP: &'static str;
    /// The last node before an interface's.
    const REWRITE: &'static str;
    /// The node that takes packets for us.
    const RECEIVE: &'static str;
    /// The node that tells a packet's sender what is wrong.
    const ICMP_ERROR: &'static str;
    /// The node that tells of packets to us of which pieces are missing.
    const EXPIRED: &'static str;

    /// Its forwarding.
    fn fib(tables: &Tables) -> &Snapshot<Self>;
    /// Our addresses, by interface.
    fn connected(tables: &Tables) -> &Connected<Self>;
    /// The destination of a packet that begins with the family's header.
    fn destination(bytes: &[u8]) -> Option<Self>;
    /// The hash that spreads flows over several paths.
    fn flow_hash(bytes: &[u8]) -> u32;
    /// 32 bits that tell addresses apart, though not all.
    fn digest(self) -> u32;
    /// Whether the address is one of ours.
    fn is_own(self, tables: &Tables) -> bool;
    /// An address of this family.
    fn of_ip(address: IpAddr) -> Option<Self>;
}

impl Ip for Ipv4Addr {
    const START: Start = Start::Ip4;
    const DROP: &'static str = "ip4-drop";
    const LOOKUP: &'static str = "ip4-lookup";
    const REWRITE: &'static str = "ip4-rewrite";
    const RECEIVE: &'static str = "ip4-receive";
    const ICMP_ERROR: &'static str = "ip4-icmp-error";
    const EXPIRED: &'static str = "ip4-full-reassembly-expired";

    #[inline(always)]
    fn fib(tables: &Tables) -> &Snapshot<Self> {
        &tables.fib4
    }

    fn connected(tables: &Tables) -> &Connected {
        &tables.connected4
    }

    #[inline(always)]
    fn destination(bytes: &[u8]) -> Option<Self> {
        ip4::destination(bytes).map(Ipv4Addr::from)
    }

    fn flow_hash(bytes: &[u8]) -> u32 {
        ip4::flow_hash(bytes)
    }

    #[inline(always)]
    fn digest(self) -> u32 {
        self.to_bits()
    }

    fn is_own(self, tables: &Tables) -> bool {
        tables.own4.contains(self.into())
    }

    fn of_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }
}

impl Ip for Ipv6Addr {
    const START: Start = Start::Ip6;
    const DROP: &'static str = "ip6-drop";
    const LOOKUP: &'static str = "ip6-lookup";
    const REWRITE: &'static str = "ip6-rewrite";
    const RECEIVE: &'static str = "ip6-receive";
    const ICMP_ERROR: &'static str = "ip6-icmp-error";
    const EXPIRED: &'static str = "ip6-full-reassembly-expired";

    #[inline(always)]
    fn fib(tables: &Tables) -> &Snapshot<Self> {
        &tables.fib6
    }

    fn connected(tables: &Tables) -> &Connected<Self> {
        &tables.connected6
    }

    #[inline(always)]
    fn destination(bytes: &[u8]) -> Option<Self> {
        Ip6Header::ref_from_prefix(bytes).ok().map(|(header, _)| header.destination_address())
    }

    fn flow_hash(bytes: &[u8]) -> u32 {
        ip6::flow_hash(bytes)
    }

    #[inline(always)]
    fn digest(self) -> u32 {
        let bits = self.to_bits();
        let half = (bits >> 64) as u64 ^ bits as u64;
        (half >> 32) as u32 ^ half as u32
    }

    fn is_own(self, tables: &Tables) -> bool {
        tables.own6.contains(self)
    }

    fn of_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }
    }
}

/// Declares next nodes as [`vnet::next_nodes!`] does, named by constants of the address family `A: Ip`.
macro_rules! next_nodes_of {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident => $node:ident,)* ; $($(#[$xdoc:meta])* $extra:ident $(($inner:ty))?),*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name<A> {
            $($(#[$doc])* $variant,)*
            $($(#[$xdoc])* $extra $(($inner))?,)*
            #[doc(hidden)]
            #[expect(dead_code, reason = "it stands for the type parameter")]
            Family(std::marker::PhantomData<A>, std::convert::Infallible),
        }
        impl<A: $crate::ip::Ip> vnet::NextNodes for $name<A> {
            const NAMES: &'static [&'static str] = &[$(A::$node),*];
            #[inline(always)]
            fn target(self) -> vnet::Target {
                #[repr(u8)]
                enum Slot { $($variant,)* }
                match self {
                    $($name::$variant => vnet::Target::Static(Slot::$variant as u8),)*
                    $($crate::ip::next_nodes_of!(@pattern $name $extra to $(($inner))?) =>
                        $crate::ip::next_nodes_of!(@target $extra to $(($inner))?),)*
                    $name::Family(_, never) => match never {},
                }
            }
            #[inline(always)]
            fn drop() -> Self { $crate::ip::next_nodes_of!(@first $name $($variant)*) }
        }
    };
    (@pattern $name:ident $extra:ident $to:ident ($inner:ty)) => { $name::$extra($to) };
    (@pattern $name:ident $extra:ident $to:ident) => { $name::$extra };
    (@target $extra:ident $to:ident ($inner:ty)) => { vnet::Target::$extra($to) };
    (@target $extra:ident $to:ident) => { vnet::Target::$extra };
    (@first $name:ident $first:ident $($rest:ident)*) => { $name::$first };
}
pub(crate) use next_nodes_of;
