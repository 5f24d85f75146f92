//! What workers read.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::address::{Address, PrefixTrie};
use super::adjacency::Adjacency;
use super::balance::LoadBalance;
use super::counts::Counters;
use super::forward::Forward;
use crate::chunked::Chunked;
use crate::ids::{AdjIndex, ForwardIndex, NodeId};

pub(crate) type Forwards = Chunked<Forward, 1024>;
pub(crate) type Adjacencies = Chunked<Adjacency, 256>;
pub(crate) type LoadBalances = Chunked<LoadBalance, 64>;

/// An address that somebody follows: see [`Rib::track`](super::Rib::track).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[repr(transparent)]
pub struct TrackIndex(pub u32);

/// All of a family's forwarding at one moment. It never changes; later versions share what is the same in them.
///
/// A clone copies one pointer per chunk (64 blocks of the trie, 1024 entries), so put it behind an `Arc` where it is
/// cloned for other reasons than a change of routes.
#[derive(Debug)]
pub struct Snapshot<A: Address> {
    pub(super) lookup: <A::Trie as PrefixTrie<A>>::Lookup,
    pub(super) forwards: Forwards,
    pub(super) adjacencies: Adjacencies,
    pub(super) load_balances: LoadBalances,
    pub(super) counters: Counters,
    pub(super) drop: NodeId,
    pub(super) version: u64,
}

// Derived, this would ask for `A::Trie: Clone`, which is not needed.
impl<A: Address> Clone for Snapshot<A> {
    fn clone(&self) -> Self {
        Snapshot {
            lookup: self.lookup.clone(),
            forwards: self.forwards.clone(),
            adjacencies: self.adjacencies.clone(),
            load_balances: self.load_balances.clone(),
            counters: self.counters.clone(),
            drop: self.drop,
            version: self.version,
        }
    }
}

/// IPv4 forwarding at one moment.
pub type Fib4Snapshot = Snapshot<Ipv4Addr>;

/// IPv6 forwarding at one moment.
pub type Fib6Snapshot = Snapshot<Ipv6Addr>;

impl Snapshot<Ipv4Addr> {
    /// The entry for a destination address, given in host byte order (`Ipv4Addr::to_bits`). Entry 0 is "no route".
    #[inline(always)]
    pub fn lookup(&self, address: u32) -> ForwardIndex {
        self.lookup.lookup(address)
    }
}

impl Snapshot<Ipv6Addr> {
    /// The entry for a destination address, given as it stands in a packet. Entry 0 is "no route".
    #[inline(always)]
    pub fn lookup(&self, address: [u8; 16]) -> ForwardIndex {
        self.lookup.lookup(u128::from_be_bytes(address))
    }
}

impl<A: Address> Snapshot<A> {
    /// The entry for a destination address of either family.
    #[inline(always)]
    pub fn find(&self, address: A) -> ForwardIndex {
        A::Trie::find(&self.lookup, address)
    }

    /// The entries for as many destination addresses. For those that go to different places this takes less time than
    /// [`find`](Snapshot::find) for each, since they wait for memory together.
    #[inline]
    pub fn find_many(&self, addresses: &[A], entries: &mut [ForwardIndex]) {
        A::Trie::find_many(&self.lookup, addresses, entries);
    }

    /// What an entry says. An index that is not from this snapshot's own look-ups may give any entry or a drop.
    #[inline(always)]
    pub fn forward(&self, index: ForwardIndex) -> Forward {
        self.forwards.get(index.index()).copied().unwrap_or(Forward::drop(self.drop))
    }

    /// Gives what an entry says: for loops over packets. `none` is for entries that there are not.
    #[inline(always)]
    pub fn forwards<'s>(&'s self, none: &'s Forward) -> impl Fn(ForwardIndex) -> Forward + Copy {
        let view = self.forwards.view();
        move |index| *view.get_or(index.index(), none)
    }

    /// Counts what a worker sends by entries, as packets and bytes: for loops over packets. Only that worker may call it.
    #[inline(always)]
    pub fn counting(&self, worker: usize) -> impl Fn(ForwardIndex, u64, u64) + Copy {
        self.counters.counting(worker)
    }

    /// Counts what a worker sends by an entry; only that worker may call this.
    #[inline(always)]
    pub fn count(&self, worker: usize, entry: ForwardIndex, packets: u64, bytes: u64) {
        self.counters.counting(worker)(entry, packets, bytes);
    }

    /// Where packets to a followed address go now.
    #[inline(always)]
    pub fn tracked(&self, index: TrackIndex) -> Forward {
        self.forward(ForwardIndex(index.0))
    }

    /// An adjacency; [`Adjacency::NONE`] if there is none of that number.
    #[inline(always)]
    pub fn adjacency(&self, index: AdjIndex) -> &Adjacency {
        self.adjacencies.get_or(index.index(), &Adjacency::NONE)
    }

    /// Gives an adjacency, if there is one of that number: for loops over packets.
    #[inline(always)]
    pub fn adjacencies<'s>(&'s self) -> impl Fn(AdjIndex) -> Option<&'s Adjacency> + Copy {
        let view = self.adjacencies.view();
        move |index| view.get(index.index())
    }

    /// An adjacency, if there is one of that number.
    #[inline(always)]
    pub fn get_adjacency(&self, index: AdjIndex) -> Option<&Adjacency> {
        self.adjacencies.get(index.index())
    }

    /// Several next hops: the index is that of a forward of kind `LoadBalance`.
    #[inline(always)]
    pub fn load_balance(&self, index: u32) -> Option<&LoadBalance> {
        self.load_balances.get(index as usize)
    }

    /// The next hop that a flow's hash picks; a drop if there is no such load balance.
    #[inline(always)]
    pub fn pick(&self, load_balance: u32, flow_hash: u32) -> Forward {
        self.load_balance(load_balance).and_then(|lb| lb.pick(flow_hash)).unwrap_or(Forward::drop(self.drop))
    }

    /// Counts up with every published change.
    pub fn version(&self) -> u64 {
        self.version
    }
}
