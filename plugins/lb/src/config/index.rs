//! What VIPs and servers are found by, so that a change of one takes no longer where there are ten thousand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Encap, Family, IpPrefix, Protocol, Server, Service, State, Vip, VipKey};

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The configured VIPs.
    vips: BTreeMap<VipKey, u32>,
    /// How many configured VIPs have prefixes of these lengths.
    lens: BTreeMap<(Family, u8), u32>,
    /// All servers, by address.
    servers: BTreeSet<(IpAddr, u32)>,
    /// How many VIPs there are of a kind, and servers of these; removed ones too.
    kinds: HashMap<(Encap, Family), [u32; 2]>,
    /// VIPs that our own addresses serve, too.
    node_ports: BTreeSet<u32>,
    /// Removed VIPs.
    pub(super) leaving_vips: BTreeSet<u32>,
    /// Removed servers.
    pub(super) leaving_servers: BTreeSet<u32>,
}

impl Index {
    /// Takes in, or forgets, what is known of a VIP but its servers.
    pub(super) fn note_vip(&mut self, index: u32, vip: &Vip, there: bool) {
        let family = vip.family();
        count(self.kinds.entry((vip.options.encap, family)).or_default(), 0, there);
        set(&mut self.node_ports, index, there && vip.options.node_port);
        set(&mut self.leaving_vips, index, there && vip.state == State::Removed);
        if vip.state == State::Removed {
            return;
        }
        let len = self.lens.entry((family, vip.key.prefix.len())).or_default();
        if there {
            self.vips.insert(vip.key, index);
            *len += 1;
        } else {
            self.vips.remove(&vip.key);
            *len -= 1;
        }
        self.lens.retain(|_, vips| *vips > 0);
    }

    /// The same of a server of a VIP of this kind.
    pub(super) fn note_server(&mut self, slot: u32, server: &Server, kind: Option<(Encap, Family)>, there: bool) {
        set(&mut self.servers, (server.address, slot), there);
        set(&mut self.leaving_servers, slot, there && server.state == State::Removed);
        if let Some(kind) = kind {
            count(self.kinds.entry(kind).or_default(), 1, there);
        }
    }

    /// The configured VIP of this key.
    pub(super) fn vip(&self, key: &VipKey) -> Option<u32> {
        self.vips.get(key).copied()
    }

    /// The configured VIPs of this prefix, by protocol and port.
    pub(super) fn vips_of(&self, prefix: IpPrefix) -> impl Iterator<Item = u32> {
        let last = Service::Port { protocol: Protocol::Udp, port: u16::MAX };
        let key = |service| VipKey { prefix, service };
        self.vips.range(key(Service::All)..=key(last)).map(|(_, index)| *index)
    }

    /// The prefix of a configured VIP that has this address.
    pub(super) fn covering(&self, address: IpAddr) -> Option<IpPrefix> {
        let family = Family::of(address);
        let lens = self.lens.range((family, 0)..=(family, 128));
        lens.filter_map(|((_, len), _)| IpPrefix::new(address, *len).ok())
            .find(|prefix| self.vips_of(*prefix).next().is_some())
    }

    /// The servers with addresses of this prefix.
    pub(super) fn servers_in(&self, prefix: IpPrefix) -> impl Iterator<Item = u32> {
        let host = |bits: u32| u128::MAX.checked_shr(bits).unwrap_or(0);
        let len = u32::from(prefix.len());
        let last = match prefix.address() {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() | host(96 + len) as u32)),
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() | host(len))),
        };
        self.servers.range((prefix.address(), 0)..=(last, u32::MAX)).map(|(_, slot)| *slot)
    }

    /// The servers with this address.
    pub(super) fn servers_at(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.servers.range((address, 0)..=(address, u32::MAX)).map(|(_, slot)| *slot)
    }

    /// Whether a VIP has this encapsulation.
    pub(super) fn has_encap(&self, encap: Encap) -> bool {
        self.kinds.iter().any(|((other, _), [vips, _])| *other == encap && *vips > 0)
    }

    /// The kinds of VIPs that have servers.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (Encap, Family)> {
        self.kinds.iter().filter(|(_, [_, servers])| *servers > 0).map(|(kind, _)| *kind)
    }

    /// VIPs that our own addresses serve, too, in order.
    pub(super) fn node_ports(&self) -> impl Iterator<Item = u32> {
        self.node_ports.iter().copied()
    }
}

fn set<T: Ord>(all: &mut BTreeSet<T>, one: T, there: bool) {
    if there {
        all.insert(one);
    } else {
        all.remove(&one);
    }
}

fn count(counts: &mut [u32; 2], which: usize, more: bool) {
    counts[which] = if more { counts[which] + 1 } else { counts[which] - 1 };
}
