//! Static neighbours that came with a list of servers: they are there as long as the list's servers are, whoever else has servers
//! with the same addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use vnet::neighbor::NeighborError;
use vnet::router::Family;
use vnet::wire::Mac;
use vnet::{IfIndex, Router};

/// The neighbours that we have set, by address. What the operator sets by hand is his: it is neither replaced nor removed.
#[derive(Default)]
pub struct Listed {
    ours: HashMap<IpAddr, Neighbor>,
}

/// A neighbour, and the indices of the VIPs that got it as a server by lists.
struct Neighbor {
    interface: IfIndex,
    mac: Mac,
    vips: Vec<u32>,
}

/// A server of a list.
#[derive(Clone, Copy)]
pub struct ListedServer {
    /// On whose network it is.
    pub interface: IfIndex,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: Mac,
    /// The index of its VIP.
    pub vip: u32,
}

impl Listed {
    /// Whether an address may have this MAC.
    ///
    /// # Errors
    /// With the other MAC that the operator has given it.
    pub fn check(&self, router: &Router, interface: IfIndex, address: IpAddr, mac: Mac) -> Result<(), Mac> {
        let ours = self.ours.get(&address).filter(|ours| ours.interface == interface).map(|ours| ours.mac);
        match found(router, interface, address) {
            Some((other, true)) if other != mac && ours != Some(other) => Err(other),
            _ => Ok(()),
        }
    }

    /// The MAC that was learned of a server's address, where it is another.
    pub fn learned(router: &Router, server: ListedServer) -> Option<Mac> {
        let (mac, fixed) = found(router, server.interface, server.address)?;
        (!fixed && mac != server.mac).then_some(mac)
    }

    /// Gives a server's address its MAC, for which [`check`](Self::check) was asked.
    ///
    /// # Errors
    /// As of the router.
    pub fn set(&mut self, router: &mut Router, server: ListedServer) -> Result<(), NeighborError> {
        let ListedServer { interface, address, mac, vip } = server;
        if found(router, interface, address) == Some((mac, true)) {
            // The operator's, or of another list.
            if let Some(ours) = self.ours.get_mut(&address).filter(|ours| !ours.vips.contains(&vip)) {
                ours.vips.push(vip);
            }
            return Ok(());
        }
        match address {
            IpAddr::V4(address) => router.set_neighbor(interface, address, mac.0, true)?,
            IpAddr::V6(address) => router.set_neighbor(interface, address, mac.0, true)?,
        }
        let ours = self.ours.entry(address).or_insert(Neighbor { interface, mac, vips: Vec::new() });
        (ours.interface, ours.mac) = (interface, mac);
        if !ours.vips.contains(&vip) {
            ours.vips.push(vip);
        }
        Ok(())
    }

    /// A server of this address went. Where no VIP that got it by a list still `has` one, who has the address is asked for again when
    /// a packet goes there.
    pub(super) fn release(&mut self, router: &mut Router, address: IpAddr, has: impl Fn(u32) -> bool) {
        let Some(ours) = self.ours.get_mut(&address) else { return };
        ours.vips.retain(|vip| has(*vip));
        if !ours.vips.is_empty() {
            return;
        }
        let (interface, mac) = (ours.interface, ours.mac);
        self.ours.remove(&address);
        if found(router, interface, address) == Some((mac, true)) {
            // It is there.
            let _ = match address {
                IpAddr::V4(address) => router.del_neighbor(interface, address),
                IpAddr::V6(address) => router.del_neighbor(interface, address),
            };
        }
    }
}

/// The MAC that an address has, and whether for good.
fn found(router: &Router, interface: IfIndex, address: IpAddr) -> Option<(Mac, bool)> {
    fn of<A: Family>(router: &Router, interface: IfIndex, address: A) -> Option<(Mac, bool)> {
        let mac = router.neighbors_of::<A>().mac(interface, address)?;
        Some((Mac(mac), router.neighbors_of::<A>().fixed(interface, address).is_some()))
    }
    match address {
        IpAddr::V4(address) => of(router, interface, address),
        IpAddr::V6(address) => of(router, interface, address),
    }
}
