//! What workers read: one immutable value, replaced as a whole.

use std::any::{Any, TypeId};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::arcs::{ArcIndex, ArcTable};
use crate::fib::{Address, Fib4Snapshot, Fib6Snapshot};
use crate::ids::IfIndex;
use crate::interface::{Interface, InterfaceAddress};
use crate::path_mtu::PathMtus;

/// Everything that is configured, as of one moment. Cloning shares structure.
#[derive(Clone)]
pub struct Tables {
    /// Counts publications.
    pub version: u64,
    /// The last publication in which more has changed than parts of plugins: what was looked up of routes, neighbours and
    /// interfaces holds as long as this does.
    pub forwarding: u64,
    /// IPv4 forwarding.
    pub fib4: Fib4Snapshot,
    /// IPv6 forwarding.
    pub fib6: Fib6Snapshot,
    /// The interfaces, by number; deleted ones leave an entry that is down.
    pub interfaces: Vec<Interface>,
    /// IPv4 addresses that are our own.
    pub own4: OwnAddresses,
    /// IPv6 addresses that are our own, link-local ones among them.
    pub own6: OwnAddresses<Ipv6Addr>,
    /// The connected IPv4 prefixes of each interface.
    pub connected4: Connected,
    /// The connected IPv6 prefixes of each interface.
    pub connected6: Connected<Ipv6Addr>,
    /// The tunnels that errors may be about, and what they said.
    pub path_mtus: PathMtus,
    pub(crate) arcs: Vec<ArcTable>,
    pub(crate) extensions: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

impl Tables {
    /// A plugin's part, at the slot that was found for this type when the graph was built.
    #[inline(always)]
    pub(crate) fn extension_at<T: Send + Sync + 'static>(&self, slot: usize) -> &T {
        // Settled when the code is compiled.
        if let Some(nothing) = (&() as &'static dyn Any).downcast_ref() {
            return nothing;
        }
        self.extensions[slot].1.downcast_ref().expect("the slot was found by this type")
    }

    /// A plugin's part, by type.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.extensions.iter().find(|(id, _)| *id == TypeId::of::<T>()).map(|(_, value)| value)
    }

    /// An interface; `local0` where there is none of that number.
    #[inline(always)]
    pub fn interface(&self, index: IfIndex) -> &Interface {
        self.interfaces.get(index.index()).unwrap_or(&self.interfaces[0])
    }

    /// The features of interfaces in an arc.
    #[inline(always)]
    pub fn arc(&self, arc: ArcIndex) -> &ArcTable {
        &self.arcs[usize::from(arc.0)]
    }
}

/// The router's own addresses of a family: a sorted list behind a filter, so that the common "no" costs one load. IPv4's are
/// numbers in host order.
#[derive(Clone, Debug)]
pub struct OwnAddresses<T = u32> {
    /// By [`OwnAddress::place`]. A byte for each, because a bit takes four instructions more to find.
    filter: [bool; 256],
    sorted: Arc<[T]>,
}

/// What [`OwnAddresses`] can hold.
pub trait OwnAddress: Copy + Ord {
    /// Where it stands in the filter.
    fn place(self) -> u8;
}

impl OwnAddress for u32 {
    /// The last byte, which is one load from a packet. As good as a hash: one address of ours makes the longer way for one
    /// stranger of 256 either way.
    #[inline(always)]
    fn place(self) -> u8 {
        self as u8
    }
}

impl OwnAddress for Ipv6Addr {
    #[inline(always)]
    fn place(self) -> u8 {
        place6(&self.octets())
    }
}

/// The top eight bits of a multiplicative hash.
#[inline(always)]
fn place6(octets: &[u8; 16]) -> u8 {
    let [high, low] = [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|n| octets[at + n])));
    ((high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl<T: OwnAddress> Default for OwnAddresses<T> {
    fn default() -> Self {
        OwnAddresses::new([])
    }
}

impl<T: OwnAddress> OwnAddresses<T> {
    pub(crate) fn new(addresses: impl IntoIterator<Item = T>) -> OwnAddresses<T> {
        let mut sorted: Vec<T> = addresses.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut filter = [false; 256];
        for &address in &sorted {
            filter[usize::from(address.place())] = true;
        }
        OwnAddresses { filter, sorted: sorted.into() }
    }

    /// Whether the address is one of ours.
    #[inline(always)]
    pub fn contains(&self, address: T) -> bool {
        self.filter[usize::from(address.place())] && self.is_listed(address)
    }

    #[inline(never)]
    fn is_listed(&self, address: T) -> bool {
        self.sorted.binary_search(&address).is_ok()
    }
}

impl OwnAddresses {
    /// Whether the address is one of ours, as it stands in a packet: turned round only where it may be.
    #[inline(always)]
    pub fn contains_octets(&self, octets: [u8; 4]) -> bool {
        self.filter[usize::from(octets[3])] && self.is_listed(u32::from_be_bytes(octets))
    }
}

impl OwnAddresses<Ipv6Addr> {
    /// Whether the address is one of ours, as it stands in a packet, where it stays unless it may be.
    #[inline(always)]
    pub fn contains_octets(&self, octets: &[u8; 16]) -> bool {
        self.filter[usize::from(place6(octets))] && self.lists_octets(octets)
    }

    #[inline(never)]
    fn lists_octets(&self, octets: &[u8; 16]) -> bool {
        self.is_listed(Ipv6Addr::from(*octets))
    }
}

/// Which addresses can be reached directly over which interface.
#[derive(Clone, Debug)]
pub struct Connected<A = Ipv4Addr> {
    by_interface: Arc<[Vec<InterfaceAddress<A>>]>,
}

impl<A: Address> Default for Connected<A> {
    fn default() -> Self {
        Connected::new(std::iter::empty())
    }
}

impl<A: Address> Connected<A> {
    pub(crate) fn new(by_interface: impl Iterator<Item = Vec<InterfaceAddress<A>>>) -> Connected<A> {
        Connected { by_interface: by_interface.collect() }
    }

    /// Our addresses on an interface.
    pub fn on(&self, interface: IfIndex) -> &[InterfaceAddress<A>] {
        self.by_interface.get(interface.index()).map_or(&[], Vec::as_slice)
    }

    /// Whether a connected prefix of the interface covers the address.
    pub fn covers(&self, interface: IfIndex, address: impl Into<A>) -> bool {
        let address = address.into();
        self.on(interface).iter().any(|own| own.covers(address))
    }

    /// Our own address nearest to `address` on an interface: one whose prefix covers it, or else the first.
    pub fn source(&self, interface: IfIndex, address: impl Into<A>) -> Option<A> {
        let (own, address) = (self.on(interface), address.into());
        own.iter().find(|own| own.covers(address)).or(own.first()).map(|own| own.address)
    }
}

/// Where the control thread puts the newest tables and workers find them.
pub(crate) struct Published {
    current: ArcSwap<Tables>,
    version: AtomicU64,
}

impl Published {
    pub(crate) fn new(tables: Tables) -> Published {
        Published { version: AtomicU64::new(tables.version), current: ArcSwap::from_pointee(tables) }
    }

    /// Replaces the tables; gives the old ones, which the caller must keep until no worker uses them.
    pub(crate) fn replace(&self, tables: Arc<Tables>) -> Arc<Tables> {
        let version = tables.version;
        let old = self.current.swap(tables);
        self.version.store(version, Ordering::SeqCst);
        old
    }

    /// The newest version's number.
    #[inline(always)]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn load(&self) -> Arc<Tables> {
        self.current.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_found_and_others_are_not() {
        let own = OwnAddresses::new((0..100).map(|i| i * 7919));
        let wide = |i: u32| Ipv6Addr::from_bits(0x2001 << 112 | u128::from(i) << 40);
        let own6 = OwnAddresses::new((0..100).map(|i| wide(i * 7919)));
        for address in 0..800_000u32 {
            let ours = address % 7919 == 0 && address / 7919 < 100;
            assert_eq!((own.contains(address), own6.contains(wide(address))), (ours, ours), "{address}");
        }
    }
}
