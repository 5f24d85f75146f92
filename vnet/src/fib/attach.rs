//! Interfaces, their addresses and the neighbours on them: what makes adjacencies and connected routes.

use super::address::{Address, Prefix};
use super::adjacency::{Adjacency, AdjacencyKind};
use super::error::FibError;
use super::forward::{Forward, ForwardKind};
use super::interface::{InterfaceFacts, LinkKind};
use super::path::{Path, Source, Target};
use super::rib::{Neighbour, Rib};
use super::slots::Key;
use crate::ids::{ForwardIndex, IfIndex};

/// What routing knows of an interface.
#[derive(Debug)]
pub(super) struct Interface<A> {
    pub(super) facts: InterfaceFacts,
    /// Addresses with the lengths of their prefixes, in the order in which they came.
    pub(super) addresses: Vec<(A, u8)>,
}

impl<A: Address> Interface<A> {
    fn has(&self, address: A) -> bool {
        let given = self.addresses.iter().any(|&(a, _)| a == address);
        given || (address.is_link_local() && A::link_local(self.facts.mac) == Some(address))
    }
}

impl<A: Address> Rib<A> {
    /// Takes note of a new interface, or of what has changed on one: up or down, MTU, link address.
    pub fn interface_changed(&mut self, facts: InterfaceFacts) {
        let index = facts.index;
        let link = facts.link;
        let old_link = match self.interfaces.get_mut(&index) {
            Some(interface) => std::mem::replace(&mut interface.facts, facts).link,
            None => {
                self.interfaces.insert(index, Interface { facts, addresses: Vec::new() });
                link
            }
        };
        self.refresh_interface(index);
        if old_link != link
            && let Some(all) = Prefix::new(A::UNSPECIFIED, 0)
        {
            self.resolve_inside(all);
        }
    }

    /// Forgets an interface, its addresses and neighbours, and every path that names it, whoever it is from.
    ///
    /// # Errors
    /// An interface that is not known.
    pub fn interface_removed(&mut self, index: IfIndex) -> Result<(), FibError> {
        let addresses = self.interface(index)?.addresses.clone();
        for (address, len) in addresses {
            self.del_interface_address(index, address, len)?;
        }
        let neighbours: Vec<A> = self.neighbours.keys().filter(|(_, i)| *i == index).map(|&(a, _)| a).collect();
        for address in neighbours {
            self.remove_neighbour(index, address)?;
        }
        let names_it = |slot: &ForwardIndex| self.slots.get(*slot).key.targets().any(|t| t.interface() == Some(index));
        let affected: Vec<(Prefix<A>, Source)> = self
            .entries
            .iter()
            .flat_map(|(&prefix, entry)| entry.sources.iter().map(move |&(source, slot)| (prefix, source, slot)))
            .filter(|(_, _, slot)| names_it(slot))
            .map(|(prefix, source, _)| (prefix, source))
            .collect();
        for (prefix, source) in affected {
            self.edit(prefix, source, |paths| paths.retain(|path| path.target.interface() != Some(index)));
        }
        self.interfaces.remove(&index);
        self.refresh_interface(index);
        Ok(())
    }

    /// Gives an interface an address: the prefix becomes connected, the address our own, and the prefix's first and
    /// last address are dropped where they are the network's and the broadcast address.
    ///
    /// # Errors
    /// An interface that is not known, a length beyond the family's, an address that no interface can have, or a prefix
    /// that overlaps one that an interface has already (a second address in the same prefix of one interface is fine).
    pub fn add_interface_address(&mut self, index: IfIndex, address: A, len: u8) -> Result<(), FibError> {
        let on = self.interface(index)?.facts.name.to_string();
        let prefix = Prefix::new(address, len).ok_or(FibError::PrefixLength(len))?;
        let ip = address.to_ip();
        if address.is_link_local() {
            return Err(FibError::LinkLocal(address.to_string()));
        }
        if ip.is_unspecified() || ip.is_multicast() || ip == std::net::Ipv4Addr::BROADCAST {
            return Err(FibError::UnusableAddress(address.to_string()));
        }
        for (other_index, other) in &self.interfaces {
            for &(a, l) in &other.addresses {
                let beside = *other_index == index && l == len && a != address;
                let overlaps = address.masked(len.min(l)) == a.masked(len.min(l));
                if overlaps && !beside {
                    let (new, old) = (format!("{address}/{len}"), format!("{a}/{l}"));
                    return Err(FibError::AddressConflict { new, on, old, holder: other.facts.name.to_string() });
                }
            }
        }
        if let Some(interface) = self.interfaces.get_mut(&index) {
            interface.addresses.push((address, len));
        }
        self.refresh_connected(index, prefix);
        self.edit(Prefix::host(address), Source::Interface, |paths| paths.push(Path::new(Target::Local(index))));
        self.refresh_interface(index);
        Ok(())
    }

    /// Takes an address from an interface, with the routes it made.
    ///
    /// # Errors
    /// An interface that is not known, or that does not have the address with that length.
    pub fn del_interface_address(&mut self, index: IfIndex, address: A, len: u8) -> Result<(), FibError> {
        let interface = self.interface(index)?;
        let at = interface.addresses.iter().position(|&has| has == (address, len)).ok_or_else(|| {
            let (address, interface) = (format!("{address}/{len}"), interface.facts.name.to_string());
            FibError::NoAddress { address, interface }
        })?;
        let prefix = Prefix::new(address, len).ok_or(FibError::PrefixLength(len))?;
        if let Some(interface) = self.interfaces.get_mut(&index) {
            interface.addresses.remove(at);
        }
        let own = Path::new(Target::Local(index));
        self.edit(Prefix::host(address), Source::Interface, |paths| paths.retain(|path| *path != own));
        self.refresh_connected(index, prefix);
        self.refresh_interface(index);
        Ok(())
    }

    /// An interface's addresses with the lengths of their prefixes, in the order in which they were given.
    pub fn interface_addresses(&self, index: IfIndex) -> Vec<(A, u8)> {
        self.interfaces.get(&index).map(|interface| interface.addresses.clone()).unwrap_or_default()
    }

    /// True if `address` is in a connected prefix of the interface, or means something on its link alone.
    pub fn is_on_link(&self, index: IfIndex, address: A) -> bool {
        self.source_towards(index, address).is_some()
    }

    /// True if an interface has the address.
    pub fn is_own_address(&self, address: A) -> bool {
        self.interfaces.values().any(|interface| interface.has(address))
    }

    /// True if `address` is the network's or the broadcast address of a connected prefix of the interface.
    pub fn is_reserved(&self, index: IfIndex, address: A) -> bool {
        let addresses = self.interfaces.get(&index).into_iter().flat_map(|interface| &interface.addresses);
        addresses
            .filter(|(_, len)| A::reserves_ends(*len))
            .any(|&(a, len)| address == a.masked(len) || address == a.last(len))
    }

    /// True if the interface is known.
    pub fn has_interface(&self, index: IfIndex) -> bool {
        self.interfaces.contains_key(&index)
    }

    /// A neighbour's link address has become known or has changed. With `install` it gets a route of its own, as long
    /// as the longest prefix that covers it is connected on the interface.
    pub fn set_neighbour(&mut self, index: IfIndex, address: A, mac: [u8; 6], install: bool) {
        self.neighbours.insert((address, index), Neighbour { mac, install });
        self.refresh_neighbour(index, address);
    }

    /// A neighbour's link address is not known any more.
    ///
    /// # Errors
    /// It was not known before.
    pub fn remove_neighbour(&mut self, index: IfIndex, address: A) -> Result<(), FibError> {
        if self.neighbours.remove(&(address, index)).is_none() {
            let interface = self.interface_name(index);
            return Err(FibError::NoNeighbour { address: address.to_string(), interface });
        }
        self.refresh_neighbour(index, address);
        Ok(())
    }

    /// An interface's name; its number in words if it is not known.
    pub fn interface_name(&self, index: IfIndex) -> String {
        self.interfaces.get(&index).map_or_else(|| format!("interface {index}"), |i| i.facts.name.to_string())
    }

    fn interface(&self, index: IfIndex) -> Result<&Interface<A>, FibError> {
        self.interfaces.get(&index).ok_or(FibError::UnknownInterface(index))
    }

    fn edit(&mut self, prefix: Prefix<A>, source: Source, change: impl FnOnce(&mut Vec<Path<A>>)) {
        let mut paths = self.slot_of(source, prefix).map(|slot| self.slots.get(slot).key.paths()).unwrap_or_default();
        let before = paths.clone();
        change(&mut paths);
        paths.sort_unstable();
        paths.dedup();
        if paths != before {
            self.put(prefix, source, (!paths.is_empty()).then(|| Key::of(&paths)));
        }
    }

    /// Makes the connected route of a prefix what the interface's addresses say: the first address in it is the source.
    fn refresh_connected(&mut self, index: IfIndex, prefix: Prefix<A>) {
        let in_prefix = |&(a, l): &(A, u8)| Prefix::new(a, l) == Some(prefix);
        let source = self.interfaces.get(&index).and_then(|i| i.addresses.iter().copied().find(in_prefix));
        if !prefix.is_host() {
            self.edit(prefix, Source::Interface, |paths| {
                paths.retain(|path| path.target.connected() != Some((index, prefix)));
                paths
                    .extend(source.map(|(source, len)| Path::new(Target::Connected { interface: index, source, len })));
            });
        }
        if A::reserves_ends(prefix.len()) {
            for end in [prefix.address(), prefix.last()] {
                self.edit(Prefix::host(end), Source::Interface, |paths| {
                    paths.retain(|path| path.target != Target::Drop);
                    paths.extend(source.map(|_| Path::new(Target::Drop)));
                });
            }
        }
    }

    fn refresh_neighbour(&mut self, index: IfIndex, address: A) {
        if let Some(slot) = self.slots.peek(&Key::One(Target::NextHop { address, interface: index })) {
            self.refresh_adjacency(slot);
            self.settle(&[slot]);
        }
        self.reconsider_neighbour(index, address);
    }

    /// Gives neighbours inside a prefix their routes, or takes them, after the prefix's own route has changed.
    pub(super) fn reconsider_neighbours(&mut self, prefix: Prefix<A>) {
        let range = (prefix.address(), IfIndex(0))..=(prefix.last(), IfIndex(u32::MAX));
        let inside: Vec<_> = self.neighbours.range(range).map(|(&key, _)| key).collect();
        inside.into_iter().for_each(|(address, index)| self.reconsider_neighbour(index, address));
    }

    /// A neighbour has a route of its own only where it refines the connected prefix: a longer route in between, to
    /// somewhere else, must not be bypassed because a host on the link says that the address is there.
    fn reconsider_neighbour(&mut self, index: IfIndex, address: A) {
        let install = self.neighbours.get(&(address, index)).is_some_and(|neighbour| neighbour.install);
        let on_link = install
            && self.cover(Prefix::host(address)).is_some_and(|(_, cover)| {
                let mut targets = self.slots.get(cover.active).key.targets();
                targets.any(|t| matches!(t, Target::Connected { interface, .. } if interface == index))
            });
        let path = Path::via(address, Some(index));
        self.edit(Prefix::host(address), Source::Adjacency, |paths| {
            paths.retain(|p| *p != path);
            paths.extend(on_link.then_some(path));
        });
    }

    /// Computes all adjacencies of an interface anew.
    fn refresh_interface(&mut self, index: IfIndex) {
        let slots: Vec<ForwardIndex> = self.by_interface.get(&index).into_iter().flatten().copied().collect();
        slots.iter().for_each(|&slot| self.refresh_adjacency(slot));
        self.settle(&slots);
    }

    /// Computes an entry's adjacency and content anew. The caller settles what depends on it.
    pub(super) fn refresh_adjacency(&mut self, index: ForwardIndex) {
        let slot = self.slots.get(index);
        let (Key::One(target), Some(number)) = (&slot.key, slot.owned) else { return };
        let (adjacency, up) = self.adjacency_for(*target);
        let (kind, node) = match adjacency.kind {
            AdjacencyKind::Incomplete => (ForwardKind::Arp, self.nodes.arp),
            AdjacencyKind::Glean => (ForwardKind::Glean, self.nodes.glean),
            AdjacencyKind::Complete | AdjacencyKind::Midchain => (ForwardKind::Rewrite, self.nodes.rewrite),
        };
        if self.adjacencies.get(number as usize) != Some(&adjacency) {
            *self.adjacencies.slot(number as usize, &Adjacency::NONE) = adjacency;
        }
        let forward = if up { Forward { kind, node, index: number } } else { Forward::drop(self.nodes.drop) };
        self.slots.set(index, forward);
    }

    /// The adjacency that a target on an interface has now, and whether it can be used.
    fn adjacency_for(&self, target: Target<A>) -> (Adjacency, bool) {
        let (next_hop, glean) = match target {
            Target::NextHop { address, .. } => (address, false),
            _ => (A::UNSPECIFIED, true),
        };
        let next_hop_ip = next_hop.to_ip();
        let Some((index, interface)) = target.interface().and_then(|i| Some((i, self.interfaces.get(&i)?))) else {
            return (Adjacency { next_hop: next_hop_ip, source: A::UNSPECIFIED.to_ip(), ..Adjacency::NONE }, false);
        };
        let facts = &interface.facts;
        let (source, source_len) = match target {
            Target::Connected { source, len, .. } => (source, len),
            Target::Attached(_) => (interface.addresses.first().map_or(A::UNSPECIFIED, |&(a, _)| a), 0),
            _ => self
                .source_towards(index, next_hop)
                .or(interface.addresses.first().copied())
                .unwrap_or((A::UNSPECIFIED, 0)),
        };
        let (kind, header) = match (facts.link, glean) {
            (LinkKind::PointToPoint, _) => (AdjacencyKind::Midchain, None),
            (LinkKind::Loopback, _) => (AdjacencyKind::Complete, Some(([0; 6], A::ETHERTYPE))),
            (LinkKind::Ethernet, true) => (AdjacencyKind::Glean, Some(A::REQUEST)),
            (LinkKind::Ethernet, false) => match self.neighbours.get(&(next_hop, index)) {
                Some(neighbour) => (AdjacencyKind::Complete, Some((neighbour.mac, A::ETHERTYPE))),
                None => (AdjacencyKind::Incomplete, None),
            },
        };
        let mut rewrite = [0; 16];
        if let Some((destination, ethertype)) = header {
            rewrite[..6].copy_from_slice(&destination);
            rewrite[6..12].copy_from_slice(&facts.mac);
            rewrite[12..14].copy_from_slice(&ethertype);
        }
        let adjacency = Adjacency {
            rewrite,
            interface: index,
            mtu: facts.mtu,
            node: facts.output_node,
            // RFC 791: no packet is longer than 65535.
            ethernet_mtu: header.map_or(0, |_| u16::try_from(facts.mtu).unwrap_or(u16::MAX)),
            kind,
            source_len,
            next_hop: next_hop_ip,
            source: source.to_ip(),
        };
        (adjacency, facts.up)
    }

    /// The interface's address whose prefix has `address`.
    fn source_towards(&self, index: IfIndex, address: A) -> Option<(A, u8)> {
        let interface = self.interfaces.get(&index)?;
        if address.is_link_local() {
            return A::link_local(interface.facts.mac).map(|own| (own, A::BITS));
        }
        let addresses = &interface.addresses;
        addresses.iter().copied().find(|&(a, len)| a.masked(len) == address.masked(len))
    }
}
