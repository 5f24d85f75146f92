//! IP configuration: addresses of interfaces, routes.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Family, Router};
use crate::fib::{FibError, Path, Prefix, Rib, Rib4, Rib6, Source, TrackIndex};
use crate::ids::{IfIndex, NodeId};
use crate::interface::InterfaceAddress;

/// Why IP configuration was not changed.
pub type IpError = FibError;

impl Router {
    /// The IPv4 routes.
    pub fn rib(&self) -> &Rib4 {
        &self.ip4.rib
    }

    /// The IPv6 routes.
    pub fn rib6(&self) -> &Rib6 {
        &self.ip6.rib
    }

    /// The routes of either family.
    pub fn rib_of<A: Family>(&self) -> &Rib<A> {
        &A::control(self).rib
    }

    /// Gives an interface an address: its prefix is connected, the address itself is ours. With its first IPv6 address the
    /// interface gets a link-local one, too.
    ///
    /// # Errors
    /// Overlap with another interface, an impossible address, an unknown interface.
    pub fn add_address<A: Family>(&mut self, interface: IfIndex, address: A, length: u8) -> Result<(), IpError> {
        let own = InterfaceAddress { address, length };
        if own.is_end() {
            return Err(FibError::UnusableAddress(own.to_string()));
        }
        A::control_mut(self).rib.add_interface_address(interface, address, length)?;
        if let Some(Some(record)) = self.interfaces.get_mut(interface.index()) {
            A::addresses_mut(record).push(own);
        }
        self.addresses_changed::<A>(interface);
        self.announce(interface, &[address]);
        self.announce_plugins::<A>(interface);
        Ok(())
    }

    /// Takes an address from an interface.
    ///
    /// # Errors
    /// When it does not have it.
    pub fn del_address<A: Family>(&mut self, interface: IfIndex, address: A, length: u8) -> Result<(), IpError> {
        A::control_mut(self).rib.del_interface_address(interface, address, length)?;
        if let Some(Some(record)) = self.interfaces.get_mut(interface.index()) {
            A::addresses_mut(record).retain(|a| *a != InterfaceAddress { address, length });
        }
        self.neighbors_of_changed::<A>(interface, false);
        self.addresses_changed::<A>(interface);
        Ok(())
    }

    fn addresses_changed<A: Family>(&mut self, interface: IfIndex) {
        let has = self.record(interface).is_some_and(|record| !A::addresses(record).is_empty());
        let told = self.record(interface).is_some_and(|record| record.ip6_enabled);
        let old = A::own_link_local(self.tables.interface(interface));
        A::set_accepted(&mut self.tables.interfaces[interface.index()], has || (A::BITS == 128 && told));
        let new = A::own_link_local(self.tables.interface(interface));
        if let Some(own) = new.filter(|_| old.is_none()) {
            self.announce(interface, &[own]);
        }
        self.refresh_own_addresses();
    }

    /// Accepts IPv4 on an interface without an address of its own (a tunnel's end).
    pub fn set_unnumbered(&mut self, interface: IfIndex, on: bool) {
        if self.record(interface).is_some_and(|record| record.addresses.is_empty()) {
            self.tables.interfaces[interface.index()].ip4 = on;
            self.touch();
        }
    }

    /// Accepts IPv6 on an interface, with or without an address beyond its link-local one; `false`: only as long as it has
    /// another.
    pub fn set_ip6_enabled(&mut self, interface: IfIndex, on: bool) {
        if let Some(Some(record)) = self.interfaces.get_mut(interface.index()) {
            record.ip6_enabled = on;
            self.addresses_changed::<Ipv6Addr>(interface);
        }
    }

    /// Adds a path to a route.
    ///
    /// # Errors
    /// An unknown interface, too many paths.
    pub fn add_route<A: Family>(&mut self, source: Source, prefix: Prefix<A>, path: Path<A>) -> Result<(), IpError> {
        self.touch();
        A::control_mut(self).rib.add_route(source, prefix, path)
    }

    /// Takes a path from a route, and the route with its last path.
    ///
    /// # Errors
    /// When there is no such route or path.
    pub fn del_route<A: Family>(&mut self, source: Source, prefix: Prefix<A>, path: Path<A>) -> Result<(), IpError> {
        self.touch();
        A::control_mut(self).rib.del_route(source, prefix, path)
    }

    /// Takes all paths of a source from a prefix.
    ///
    /// # Errors
    /// When there are none.
    pub fn del_prefix<A: Family>(&mut self, source: Source, prefix: Prefix<A>) -> Result<(), IpError> {
        self.touch();
        A::control_mut(self).rib.del_prefix(source, prefix)
    }

    /// Sends a prefix's packets to a plugin's node, with the plugin's own number.
    ///
    /// # Errors
    /// When another plugin has the prefix.
    pub fn add_plugin_route<A: Family>(
        &mut self,
        prefix: Prefix<A>,
        plugin: &'static str,
        node: NodeId,
        index: u32,
    ) -> Result<(), IpError> {
        self.touch();
        A::control_mut(self).rib.add_plugin_route(prefix, plugin, node, index)?;
        if A::control_mut(self).announcements.plugins.insert(prefix) {
            self.announce_plugin(prefix);
        }
        Ok(())
    }

    /// Ends [`Router::add_plugin_route`].
    ///
    /// # Errors
    /// When the plugin does not have the prefix.
    pub fn del_plugin_route<A: Family>(&mut self, prefix: Prefix<A>, plugin: &'static str) -> Result<(), IpError> {
        self.touch();
        let control = A::control_mut(self);
        control.rib.del_plugin_route(prefix, plugin)?;
        control.announcements.plugins.remove(&prefix);
        Ok(())
    }

    /// Follows an address: [`Snapshot::tracked`](crate::fib::Snapshot::tracked) of the family's snapshot gives where its
    /// packets go.
    pub fn track<A: Family>(&mut self, address: A) -> TrackIndex {
        self.touch();
        A::control_mut(self).rib.track(address)
    }

    /// Ends [`Router::track`] of an IPv4 address.
    pub fn untrack(&mut self, track: TrackIndex) {
        self.untrack_of::<Ipv4Addr>(track);
    }

    /// Ends [`Router::track`] of an address of the family.
    pub fn untrack_of<A: Family>(&mut self, track: TrackIndex) {
        self.touch();
        A::control_mut(self).rib.untrack(track);
    }
}
