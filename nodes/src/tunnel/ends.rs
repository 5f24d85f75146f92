//! All tunnels, and what is taken from everybody, as workers know them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ahash::{AHashMap, AHashSet};
use vnet::IfIndex;
use vnet::fib::{Address, Prefix};
use vnet::wire::{Ip4Header, Ip6Header};

use super::{Inner, KINDS, Kind, Outer, Tunnel};

/// The interface by which a packet comes out of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub(super) interface: IfIndex,
    /// The tunnel's instance number; `None`: it came from anybody, for an open prefix.
    pub(super) instance: Option<u32>,
}

/// The tunnels by their ends, and the open prefixes.
#[derive(Default)]
pub struct Ends {
    /// By our end and the other; the other is 0 where any will do.
    pub(super) over4: [AHashMap<(u32, u32), Way>; KINDS],
    pub(super) over6: [AHashMap<(u128, u128), Way>; KINDS],
    open4: Open<Ipv4Addr>,
    open6: Open<Ipv6Addr>,
}

impl Ends {
    pub(super) fn new(
        tunnels: &[Tunnel],
        open4: &[(Prefix<Ipv4Addr>, IfIndex)],
        open6: &[(Prefix<Ipv6Addr>, IfIndex)],
    ) -> Ends {
        use std::net::IpAddr::{V4, V6};
        let mut ends = Ends { open4: Open::new(open4), open6: Open::new(open6), ..Ends::default() };
        for tunnel in tunnels {
            let way = Way { interface: tunnel.interface, instance: Some(tunnel.instance) };
            match (tunnel.source, tunnel.destination) {
                (V4(source), Some(V4(other))) => ends.over4[tunnel.kind].insert((source.key(), other.key()), way),
                (V6(source), Some(V6(other))) => ends.over6[tunnel.kind].insert((source.key(), other.key()), way),
                (V4(source), _) => ends.over4[tunnel.kind].insert((source.key(), 0), way),
                (V6(source), _) => ends.over6[tunnel.kind].insert((source.key(), 0), way),
            };
        }
        ends
    }

    /// The tunnel of a packet between these ends: the one with just these, or else a multipoint one.
    #[inline]
    pub(super) fn tunnel<K: Kind, A: Outer>(&self, local: A::Key, remote: A::Key) -> Option<Way> {
        let tunnels = A::by_ends(self, K::INDEX);
        tunnels.get(&(local, remote)).or_else(|| tunnels.get(&(local, A::Key::default()))).copied()
    }

    /// The way in for an inner packet that is taken from everybody.
    #[inline]
    pub(super) fn open(&self, inner: Inner, bytes: &[u8]) -> Option<Way> {
        let interface = match inner {
            Inner::Ip4 => self.open4.find(Ip4Header::ref_from_prefix(bytes).ok()?.0.destination_address()),
            Inner::Ip6 => self.open6.find(Ip6Header::ref_from_prefix(bytes).ok()?.0.destination_address()),
        };
        interface.map(|interface| Way { interface, instance: None })
    }
}

/// Prefixes and the interface by which packets to each come in. One look-up for each length that there is, and mostly there
/// is one.
struct Open<A> {
    /// The longest first.
    lengths: Vec<u8>,
    prefixes: AHashMap<(A, u8), IfIndex>,
}

impl<A> Default for Open<A> {
    fn default() -> Self {
        Open { lengths: Vec::new(), prefixes: AHashMap::new() }
    }
}

impl<A: Address> Open<A> {
    fn new(prefixes: &[(Prefix<A>, IfIndex)]) -> Open<A> {
        let lengths: AHashSet<u8> = prefixes.iter().map(|(prefix, _)| prefix.len()).collect();
        let mut lengths: Vec<u8> = lengths.into_iter().collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let prefixes = prefixes.iter().map(|(prefix, by)| ((prefix.address(), prefix.len()), *by)).collect();
        Open { lengths, prefixes }
    }

    fn find(&self, address: A) -> Option<IfIndex> {
        self.lengths.iter().find_map(|len| self.prefixes.get(&(address.masked(*len), *len)).copied())
    }
}
