//! IPv4 configuration: addresses of interfaces, routes.

use std::net::Ipv4Addr;

use super::Router;
use crate::fib::{FibError, Path, Prefix, Rib4, Source, TrackIndex};
use crate::ids::{IfIndex, NodeId};
use crate::interface::InterfaceAddress;

/// Why IPv4 configuration was not changed.
pub type Ip4Error = FibError;

impl Router {
    /// The routes.
    pub fn rib(&self) -> &Rib4 {
        &self.rib
    }

    /// Gives an interface an address: its prefix is connected, the address itself is ours.
    ///
    /// # Errors
    /// Overlap with another interface, an impossible address, an unknown interface.
    pub fn add_address(&mut self, interface: IfIndex, address: Ipv4Addr, length: u8) -> Result<(), Ip4Error> {
        let own = InterfaceAddress { address, length };
        if own.is_end() {
            return Err(FibError::UnusableAddress(own.to_string()));
        }
        self.rib.add_interface_address(interface, address, length)?;
        if let Some(Some(record)) = self.interfaces.get_mut(interface.index()) {
            record.addresses.push(own);
        }
        self.addresses_changed(interface);
        self.announce(interface, &[address]);
        self.announce_plugins(interface);
        Ok(())
    }

    /// Takes an address from an interface.
    ///
    /// # Errors
    /// When it does not have it.
    pub fn del_address(&mut self, interface: IfIndex, address: Ipv4Addr, length: u8) -> Result<(), Ip4Error> {
        self.rib.del_interface_address(interface, address, length)?;
        if let Some(Some(record)) = self.interfaces.get_mut(interface.index()) {
            record.addresses.retain(|a| *a != InterfaceAddress { address, length });
        }
        self.addresses_changed(interface);
        Ok(())
    }

    fn addresses_changed(&mut self, interface: IfIndex) {
        let ip4 = self.record(interface).is_some_and(|record| !record.addresses.is_empty());
        self.tables.interfaces[interface.index()].ip4 = ip4;
        self.refresh_own_addresses();
    }

    /// Accepts IPv4 on an interface without an address of its own (a tunnel's end).
    pub fn set_unnumbered(&mut self, interface: IfIndex, on: bool) {
        if self.record(interface).is_some_and(|record| record.addresses.is_empty()) {
            self.tables.interfaces[interface.index()].ip4 = on;
            self.touch();
        }
    }

    /// Adds a path to a route.
    ///
    /// # Errors
    /// An unknown interface, too many paths.
    pub fn add_route(
        &mut self,
        source: Source,
        prefix: Prefix<Ipv4Addr>,
        path: Path<Ipv4Addr>,
    ) -> Result<(), Ip4Error> {
        self.touch();
        self.rib.add_route(source, prefix, path)
    }

    /// Takes a path from a route, and the route with its last path.
    ///
    /// # Errors
    /// When there is no such route or path.
    pub fn del_route(
        &mut self,
        source: Source,
        prefix: Prefix<Ipv4Addr>,
        path: Path<Ipv4Addr>,
    ) -> Result<(), Ip4Error> {
        self.touch();
        self.rib.del_route(source, prefix, path)
    }

    /// Takes all paths of a source from a prefix.
    ///
    /// # Errors
    /// When there are none.
    pub fn del_prefix(&mut self, source: Source, prefix: Prefix<Ipv4Addr>) -> Result<(), Ip4Error> {
        self.touch();
        self.rib.del_prefix(source, prefix)
    }

    /// Sends a prefix's packets to a plugin's node, with the plugin's own number.
    ///
    /// # Errors
    /// When another plugin has the prefix.
    pub fn add_plugin_route(
        &mut self,
        prefix: Prefix<Ipv4Addr>,
        plugin: &'static str,
        node: NodeId,
        index: u32,
    ) -> Result<(), Ip4Error> {
        self.touch();
        self.rib.add_plugin_route(prefix, plugin, node, index)?;
        if self.announcements.plugins.insert(prefix) {
            self.announce_plugin(prefix);
        }
        Ok(())
    }

    /// Ends [`Router::add_plugin_route`].
    ///
    /// # Errors
    /// When the plugin does not have the prefix.
    pub fn del_plugin_route(&mut self, prefix: Prefix<Ipv4Addr>, plugin: &'static str) -> Result<(), Ip4Error> {
        self.touch();
        self.rib.del_plugin_route(prefix, plugin)?;
        self.announcements.plugins.remove(&prefix);
        Ok(())
    }

    /// Follows an address: [`Fib4Snapshot::tracked`](crate::fib::Fib4Snapshot::tracked) gives where its packets go.
    pub fn track(&mut self, address: Ipv4Addr) -> TrackIndex {
        self.touch();
        self.rib.track(address)
    }

    /// Ends [`Router::track`].
    pub fn untrack(&mut self, track: TrackIndex) {
        self.touch();
        self.rib.untrack(track);
    }
}
