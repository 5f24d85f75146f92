//! Static neighbours that came with a list of servers: they are there as long as the servers are.

use std::collections::HashMap;
use std::net::IpAddr;

use vnet::neighbor::NeighborError;
use vnet::router::Family;
use vnet::wire::Mac;
use vnet::{IfIndex, Router};

/// The neighbours that we have set, by address. What the operator sets by hand is his: it is neither replaced nor removed.
#[derive(Default)]
pub struct Listed {
    ours: HashMap<IpAddr, (IfIndex, Mac)>,
}

impl Listed {
    /// Whether an address may have this MAC.
    ///
    /// # Errors
    /// With the other MAC that the operator has given it.
    pub fn check(&self, router: &Router, interface: IfIndex, address: IpAddr, mac: Mac) -> Result<(), Mac> {
        match fixed(router, interface, address) {
            Some(other) if other != mac && self.ours.get(&address) != Some(&(interface, other)) => Err(other),
            _ => Ok(()),
        }
    }

    /// Gives an address its MAC, for which [`check`](Self::check) was asked.
    ///
    /// # Errors
    /// As of the router.
    pub fn set(
        &mut self,
        router: &mut Router,
        interface: IfIndex,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), NeighborError> {
        if fixed(router, interface, address) == Some(mac) {
            return Ok(());
        }
        match address {
            IpAddr::V4(address) => router.set_neighbor(interface, address, mac.0, true)?,
            IpAddr::V6(address) => router.set_neighbor(interface, address, mac.0, true)?,
        }
        self.ours.insert(address, (interface, mac));
        Ok(())
    }

    /// An address is no server's any more. Who has it is asked for again when a packet goes there.
    pub(super) fn release(&mut self, router: &mut Router, address: IpAddr) {
        let Some((interface, mac)) = self.ours.remove(&address) else { return };
        if fixed(router, interface, address) == Some(mac) {
            // It is there.
            let _ = match address {
                IpAddr::V4(address) => router.del_neighbor(interface, address),
                IpAddr::V6(address) => router.del_neighbor(interface, address),
            };
        }
    }
}

/// The MAC that an address has for good.
fn fixed(router: &Router, interface: IfIndex, address: IpAddr) -> Option<Mac> {
    fn of<A: Family>(router: &Router, interface: IfIndex, address: A) -> Option<Mac> {
        router.neighbors_of::<A>().fixed(interface, address).map(Mac)
    }
    match address {
        IpAddr::V4(address) => of(router, interface, address),
        IpAddr::V6(address) => of(router, interface, address),
    }
}
