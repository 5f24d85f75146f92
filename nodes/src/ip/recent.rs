//! What look-ups gave of late: in front of a balancer most packets go to the same addresses, again and again.

use vnet::fib::Snapshot;
use vnet::{ForwardIndex, NodeId};

use super::Ip;

/// Answers that are kept: 256 KB for IPv4, 448 KB for IPv6.
const SLOTS: usize = 16384;

/// Versions of the forwarding that a slot can tell apart.
const EPOCH: u64 = 1 << u16::BITS;

/// Where the packets to some destinations go, each in the slot of its hash.
///
/// # Invariant
/// A slot that has the low bits of `version` is true of that version.
pub(super) struct Recent<A> {
    version: u64,
    slots: Box<[Slot<A>; SLOTS]>,
}

/// What an entry says about a destination, in the version of the forwarding with these low bits.
#[derive(Clone, Copy)]
pub(super) struct Slot<A> {
    destination: A,
    pub(super) entry: ForwardIndex,
    /// As [`vnet::fib::Forward::index`].
    pub(super) index: u32,
    node: NodeId,
    version: u16,
}

impl<A: Ip> Slot<A> {
    fn new(fib: &Snapshot<A>, destination: A, entry: ForwardIndex) -> Self {
        let forward = fib.forward(entry);
        Slot { destination, entry, index: forward.index, node: forward.node, version: fib.version() as u16 }
    }
}

impl<A: Ip> Recent<A> {
    pub(super) fn new() -> Self {
        let nothing =
            Slot { destination: A::UNSPECIFIED, entry: ForwardIndex(0), index: 0, node: NodeId(0), version: 0 };
        // Not by way of the stack. No version has come yet, so the first one is of another epoch.
        let slots = vec![nothing; SLOTS].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!());
        Recent { version: u64::MAX, slots }
    }

    /// From here on this version of the forwarding is meant: to be called in each vector before anything else.
    #[inline(always)]
    pub(super) fn follow(&mut self, fib: &Snapshot<A>) {
        if self.version != fib.version() {
            self.change(fib);
        }
    }

    /// Answers of the version that is meant, for a loop: those for packets that go to `node`.
    #[inline(always)]
    pub(super) fn to<'r>(&'r self, node: NodeId) -> impl Fn(A) -> Option<&'r Slot<A>> + Copy {
        let (slots, version) = (&*self.slots, self.version as u16);
        move |destination| {
            let slot = &slots[place(destination)];
            (slot.destination == destination && (slot.node, slot.version) == (node, version)).then_some(slot)
        }
    }

    /// The entry for a destination, if it is known.
    #[inline(always)]
    pub(super) fn get(&self, destination: A) -> Option<ForwardIndex> {
        let slot = &self.slots[place(destination)];
        (slot.destination == destination && slot.version == self.version as u16).then_some(slot.entry)
    }

    /// Keeps an answer of the version that is meant.
    #[inline]
    pub(super) fn put(&mut self, fib: &Snapshot<A>, destination: A, entry: ForwardIndex) {
        self.slots[place(destination)] = Slot::new(fib, destination, entry);
    }

    #[cold]
    #[inline(never)]
    fn change(&mut self, fib: &Snapshot<A>) {
        if self.version / EPOCH != fib.version() / EPOCH {
            // What is as old as an epoch would seem new.
            self.slots.fill(Slot::new(fib, A::UNSPECIFIED, fib.find(A::UNSPECIFIED)));
        }
        self.version = fib.version();
    }
}

/// Addresses that follow each other, as those of VIPs often do, have slots that do so, too: fewer lines of memory.
#[inline(always)]
fn place<A: Ip>(destination: A) -> usize {
    let digest = destination.digest();
    (digest ^ digest >> SLOTS.ilog2()) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use vnet::fib::{FibNodes, Prefix, Rib};

    use super::*;

    const NODE: NodeId = NodeId(7);

    fn rib<A: Ip>() -> Rib<A> {
        let [drop, receive, glean, arp, rewrite, load_balance] = [1, 2, 3, 4, 5, 6].map(NodeId);
        Rib::new(FibNodes { drop, receive, glean, arp, rewrite, load_balance })
    }

    /// One of a few addresses, of which four at a time share a slot.
    fn address<A: Ip>(n: u32, make: impl Fn(u32) -> A) -> A {
        let (high, low) = (n % 4, n / 4);
        let address = 10 << 24 | high << SLOTS.ilog2() | (low ^ high);
        make(address)
    }

    /// Whatever is routed, published and asked for in which order: what is known is what a look-up gives.
    fn agrees<A: Ip>(steps: &[(u8, u32)], make: impl Fn(u32) -> A + Copy) {
        let (mut rib, mut recent) = (rib::<A>(), Recent::new());
        let mut fib = rib.publish();
        recent.follow(&fib);
        for &(step, n) in steps {
            let address = address(n % 32, make);
            match step {
                0 => {
                    let _ = rib.add_plugin_route(Prefix::host(address), "test", NODE, n);
                }
                1 => {
                    let _ = rib.del_plugin_route(Prefix::host(address), "test");
                }
                2 => {
                    fib = rib.publish();
                    recent.follow(&fib);
                }
                _ => recent.put(&fib, address, fib.find(address)),
            }
            for address in (0..32).map(|n| self::address(n, make)) {
                let entry = fib.find(address);
                assert!(recent.get(address).is_none_or(|known| known == entry));
                let to = recent.to(NODE)(address);
                assert!(to.is_none_or(|slot| slot.entry == entry && slot.index == fib.forward(entry).index));
                let there = recent.get(address).is_some() && fib.forward(entry).node == NODE;
                assert_eq!(to.is_some(), there);
            }
        }
    }

    fn ip6(n: u32) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from(n))
    }

    proptest! {
        #[test]
        fn what_is_known_is_what_a_look_up_gives(steps in prop::collection::vec((0u8..6, any::<u32>()), 0..80)) {
            agrees(&steps, Ipv4Addr::from_bits);
            agrees(&steps, ip6);
        }
    }

    #[test]
    fn two_of_one_slot_put_each_other_out() {
        let (mut rib, mut recent) = (rib::<Ipv4Addr>(), Recent::new());
        let fib = rib.publish();
        recent.follow(&fib);
        let [one, other] = [0, 1].map(|n| address(n, Ipv4Addr::from_bits));
        assert!(one != other && place(one) == place(other));
        recent.put(&fib, one, fib.find(one));
        assert!(recent.get(one).is_some() && recent.get(other).is_none());
        recent.put(&fib, other, fib.find(other));
        assert!(recent.get(one).is_none() && recent.get(other).is_some());
    }

    #[test]
    fn an_answer_does_not_come_back_with_the_low_bits_of_its_version() {
        let (mut rib, mut recent) = (rib::<Ipv4Addr>(), Recent::new());
        let address = Ipv4Addr::new(10, 1, 2, 3);
        let fib = rib.publish();
        recent.follow(&fib);
        recent.put(&fib, address, fib.find(address));
        assert_eq!(recent.get(address), Some(fib.find(address)));
        rib.add_plugin_route(Prefix::host(address), "test", NODE, 9).unwrap();
        let mut later = rib.publish();
        while later.version() as u16 != fib.version() as u16 {
            later = rib.publish();
        }
        recent.follow(&later);
        assert_eq!(recent.get(address), None);
    }
}
