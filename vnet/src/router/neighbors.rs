//! Neighbours: what packet threads learn and miss, what the operator sets, and what becomes of it in time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::Router;
use crate::fib::LinkKind;
use crate::ids::IfIndex;
use crate::neighbor::{Action, Learn, NeighborError, Neighbors4};
use crate::wire::{Mac, arp};

/// Neighbours are looked through at least this often, so that a change of the clock's pace cannot strand them.
const AGEING: Duration = Duration::from_secs(1);

impl Router {
    /// The neighbours.
    pub fn neighbors(&self) -> &Neighbors4 {
        &self.neighbors
    }

    /// Sets a neighbour; a `fixed` one is never replaced by what the network says.
    ///
    /// # Errors
    /// An impossible MAC, one of our own addresses, an unknown interface.
    pub fn set_neighbor(
        &mut self,
        interface: IfIndex,
        address: Ipv4Addr,
        mac: [u8; 6],
        fixed: bool,
    ) -> Result<(), NeighborError> {
        self.neighbors.set(&mut self.rib, Instant::now(), interface, address, mac, fixed, false)?;
        self.touch();
        Ok(())
    }

    /// Forgets a neighbour.
    ///
    /// # Errors
    /// When there is none.
    pub fn del_neighbor(&mut self, interface: IfIndex, address: Ipv4Addr) -> Result<(), NeighborError> {
        self.neighbors.remove(&mut self.rib, interface, address)?;
        self.touch();
        Ok(())
    }

    pub(super) fn learn(&mut self, learn: Learn) {
        if self.neighbors.learn(&mut self.rib, Instant::now(), learn).changes_forwarding() {
            self.touch();
        }
    }

    /// Packets wait for the link address of `target`.
    pub fn want_neighbor(&mut self, interface: IfIndex, target: Ipv4Addr) {
        let action = self.neighbors.want(&self.rib, Instant::now(), interface, target);
        self.act(action);
    }

    pub(super) fn age_neighbors(&mut self, now: Instant) {
        let ticked = self.neighbors.tick(&mut self.rib, now);
        if ticked.changed {
            self.touch();
        }
        self.act(ticked.actions);
        let next = self.neighbors.next_tick().unwrap_or(now + AGEING);
        self.next_ageing = next.clamp(now + Duration::from_millis(10), now + AGEING);
    }

    /// The interface went away, or down.
    pub(super) fn forget_neighbors(&mut self, interface: IfIndex) {
        if self.neighbors.interface_removed(&mut self.rib, interface) {
            self.touch();
        }
    }

    pub(super) fn neighbors_of_changed(&mut self, interface: IfIndex, down: bool) {
        if self.neighbors.interface_changed(&mut self.rib, interface, down) {
            self.touch();
        }
    }

    fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
        for Action::SendRequest { interface, target } in actions {
            self.send_request(interface, target);
        }
    }

    /// Sends an ARP request from our address in the target's prefix, or else from our first on the interface.
    fn send_request(&mut self, index: IfIndex, target: Ipv4Addr) {
        let Some(interface) = self.interface(index).filter(|i| i.is_up() && i.link == LinkKind::Ethernet).cloned()
        else {
            return;
        };
        let addresses = self.record(index).map(|record| record.addresses().to_vec()).unwrap_or_default();
        let near = addresses.iter().find(|address| address.covers(target)).or(addresses.first());
        let Some(source) = near.map(|address| address.address) else { return };
        let frame = arp::request(Mac(interface.mac), source, target);
        self.send_frame(index, frame.to_vec());
    }

    /// Sends a whole frame out of an interface, from the control thread.
    pub fn send_frame(&mut self, index: IfIndex, frame: Vec<u8>) {
        let Some(output) = self.interface(index).map(|interface| interface.output) else { return };
        self.ask(0, move |worker| {
            // With no buffer free the frame is lost, as on a wire; whoever needs an answer asks again.
            worker.inject(&frame, output, |packet| {
                packet.mark_l2();
                packet.meta_mut().tx = index;
                packet.meta_mut().offload = crate::Offload::LOCAL;
            })
        });
    }
}
