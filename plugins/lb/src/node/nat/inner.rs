//! What NAT needs of a family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vnet::mem::LentArray;
use vnet::wire::{FlowKey4, FlowKey6, Ip4Header, Ip6Header};

use super::super::family::{Inner, V4, V6};
use crate::config::Encap;
use crate::flow_table::FlowTable;
use crate::local::{LbLocal, ServerLocal, Way};
use crate::nat::{FlowKey, Quoted, Sessions, Shortage, Usual};
use crate::tables::LbTables;

/// A family with NAT.
pub(in crate::node) trait NatInner:
    Inner<Words = <Self::Key as FlowKey>::Words, Flow = Self::Key>
{
    /// A flow.
    type Key: Quoted;
    /// The encapsulation's names: plain and full.
    const ENCAPS: [Encap; 2];

    /// A worker's sessions, and what goes with them.
    fn parts(local: &mut LbLocal) -> Parts<'_, Self::Key>;
    /// The sessions, to read.
    fn sessions_of(local: &LbLocal) -> &Sessions<Self::Key>;
    /// The addresses that servers see instead of clients'.
    fn pool(tables: &LbTables) -> &[<Self::Key as FlowKey>::Address];
    /// Who sent a packet.
    fn sender(packet: &[u8]) -> Option<<Self::Key as FlowKey>::Address>;
    /// An address.
    fn ip(address: <Self::Key as FlowKey>::Address) -> IpAddr;
    /// A server's address.
    fn address(way: &Way) -> <Self::Key as FlowKey>::Address;
}

/// What of a worker NAT uses at once.
pub(in crate::node) struct Parts<'l, K: Usual> {
    pub(in crate::node) sessions: &'l mut Sessions<K>,
    pub(in crate::node) flows: &'l mut FlowTable,
    pub(in crate::node) servers: LentArray<'l, ServerLocal>,
    pub(super) shortage: &'l mut Shortage,
}

impl NatInner for V4 {
    type Key = FlowKey4;
    const ENCAPS: [Encap; 2] = [Encap::Nat4, Encap::Fullnat4];

    #[inline(always)]
    fn parts(local: &mut LbLocal) -> Parts<'_, FlowKey4> {
        let LbLocal { nat4: sessions, flows, servers, shortage, .. } = local;
        Parts { sessions, flows, servers: servers.lent(), shortage }
    }
    fn sessions_of(local: &LbLocal) -> &Sessions<FlowKey4> {
        &local.nat4
    }
    fn pool(tables: &LbTables) -> &[u32] {
        &tables.snat4
    }
    fn sender(packet: &[u8]) -> Option<u32> {
        Some(Ip4Header::ref_from_prefix(packet).ok()?.0.source.get())
    }
    fn ip(address: u32) -> IpAddr {
        Ipv4Addr::from(address).into()
    }
    fn address(way: &Way) -> u32 {
        u32::from_be_bytes(way.outer.address4())
    }
}

impl NatInner for V6 {
    type Key = FlowKey6;
    const ENCAPS: [Encap; 2] = [Encap::Nat6, Encap::Fullnat6];

    #[inline(always)]
    fn parts(local: &mut LbLocal) -> Parts<'_, FlowKey6> {
        let LbLocal { nat6: sessions, flows, servers, shortage, .. } = local;
        Parts { sessions, flows, servers: servers.lent(), shortage }
    }
    fn sessions_of(local: &LbLocal) -> &Sessions<FlowKey6> {
        &local.nat6
    }
    fn pool(tables: &LbTables) -> &[[u8; 16]] {
        &tables.snat6
    }
    fn sender(packet: &[u8]) -> Option<[u8; 16]> {
        Some(Ip6Header::ref_from_prefix(packet).ok()?.0.source)
    }
    fn ip(address: [u8; 16]) -> IpAddr {
        Ipv6Addr::from(address).into()
    }
    fn address(way: &Way) -> [u8; 16] {
        *way.outer.address6()
    }
}
