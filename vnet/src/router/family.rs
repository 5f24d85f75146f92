//! What the router has twice, once for each address family.

use std::any::TypeId;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::announce::Announcements;
use super::neighbors::Tally;
use super::{InterfaceRecord, Router};
use crate::fib::{Address, FibNodes, Prefix, Rib};
use crate::interface::{Interface, InterfaceAddress};
use crate::neighbor::Neighbors;
use crate::wire::{Mac, arp, nd};

/// An address family that the router routes: IPv4 and IPv6.
pub trait Family: Address + Parts {}
impl Family for Ipv4Addr {}
impl Family for Ipv6Addr {}

/// The control side of one family.
pub struct Control<A: Address> {
    pub(crate) rib: Rib<A>,
    pub(super) neighbors: Neighbors<A>,
    /// Where it is counted what becomes of what the network says about neighbours.
    pub(super) tally: Option<Tally>,
    /// Our own addresses beyond those of interfaces, and the type of who named them.
    pub(super) own_extra: Vec<(TypeId, A)>,
    pub(super) announcements: Announcements<A>,
}

impl<A: Address> Control<A> {
    pub(crate) fn new(nodes: FibNodes) -> Self {
        Control {
            rib: Rib::new(nodes),
            neighbors: Neighbors::default(),
            tally: None,
            own_extra: Vec::new(),
            announcements: Announcements::default(),
        }
    }
}

/// Where a family's part of things is, and what its requests look like. It cannot be named outside, so that there are no
/// other families.
pub trait Parts: Address {
    /// After this time an address is announced once more, or, where others were asked about it, for the first time.
    const AGAIN: Duration;

    fn control(router: &Router) -> &Control<Self>;
    fn control_mut(router: &mut Router) -> &mut Control<Self>;
    fn addresses(record: &InterfaceRecord) -> &[InterfaceAddress<Self>];
    fn addresses_mut(record: &mut InterfaceRecord) -> &mut Vec<InterfaceAddress<Self>>;
    /// Notes whether the interface takes the family's packets.
    fn set_accepted(interface: &mut Interface, on: bool);
    /// The interface's own link-local address, if it has one.
    fn own_link_local(interface: &Interface) -> Option<Self>;
    /// The longest packet that the interface sends in one piece.
    fn mtu(interface: &Interface) -> u32;
    /// All addresses of a prefix, which has few.
    fn addresses_in(prefix: Prefix<Self>) -> Vec<Self>;
    /// The frame that asks for a neighbour.
    fn request(mac: Mac, source: Self, target: Self) -> Vec<u8>;
    /// The frame that asks whether another has an address of ours, if that is asked before it is announced.
    fn probe(mac: Mac, address: Self) -> Option<Vec<u8>>;
    /// The frame that says where an address of ours is.
    fn announcement(mac: Mac, address: Self) -> Vec<u8>;
}

impl Parts for Ipv4Addr {
    /// RFC 5227 section 1.1, ANNOUNCE_INTERVAL; there are two announcements (ANNOUNCE_NUM).
    const AGAIN: Duration = Duration::from_secs(2);

    fn addresses_in(prefix: Prefix<Self>) -> Vec<Self> {
        (prefix.address().to_bits()..=prefix.last().to_bits()).map(Self::from_bits).collect()
    }

    fn control(router: &Router) -> &Control<Self> {
        &router.ip4
    }

    fn control_mut(router: &mut Router) -> &mut Control<Self> {
        &mut router.ip4
    }

    fn addresses(record: &InterfaceRecord) -> &[InterfaceAddress] {
        &record.addresses
    }

    fn addresses_mut(record: &mut InterfaceRecord) -> &mut Vec<InterfaceAddress> {
        &mut record.addresses
    }

    fn set_accepted(interface: &mut Interface, on: bool) {
        interface.ip4 = on;
    }

    fn own_link_local(_: &Interface) -> Option<Self> {
        None
    }

    fn mtu(interface: &Interface) -> u32 {
        interface.ip4_mtu().into()
    }

    fn request(mac: Mac, source: Self, target: Self) -> Vec<u8> {
        arp::request(mac, source, target).to_vec()
    }

    fn probe(_: Mac, _: Self) -> Option<Vec<u8>> {
        None
    }

    fn announcement(mac: Mac, address: Self) -> Vec<u8> {
        arp::announcement(mac, address).to_vec()
    }
}

impl Parts for Ipv6Addr {
    /// RFC 4861 section 10, RETRANS_TIMER: for so long others may object.
    const AGAIN: Duration = Duration::from_secs(1);

    fn addresses_in(prefix: Prefix<Self>) -> Vec<Self> {
        (prefix.address().to_bits()..=prefix.last().to_bits()).map(Self::from_bits).collect()
    }

    fn control(router: &Router) -> &Control<Self> {
        &router.ip6
    }

    fn control_mut(router: &mut Router) -> &mut Control<Self> {
        &mut router.ip6
    }

    fn addresses(record: &InterfaceRecord) -> &[InterfaceAddress<Self>] {
        &record.addresses6
    }

    fn addresses_mut(record: &mut InterfaceRecord) -> &mut Vec<InterfaceAddress<Self>> {
        &mut record.addresses6
    }

    fn set_accepted(interface: &mut Interface, on: bool) {
        interface.ip6 = on;
    }

    fn own_link_local(interface: &Interface) -> Option<Self> {
        interface.ip6.then(|| interface.link_local())
    }

    fn mtu(interface: &Interface) -> u32 {
        interface.ip6_mtu().into()
    }

    fn request(mac: Mac, source: Self, target: Self) -> Vec<u8> {
        nd::solicitation(mac, source, target).to_vec()
    }

    fn probe(mac: Mac, address: Self) -> Option<Vec<u8>> {
        Some(nd::probe(mac, address).to_vec())
    }

    fn announcement(mac: Mac, address: Self) -> Vec<u8> {
        nd::announcement(mac, address).to_vec()
    }
}
