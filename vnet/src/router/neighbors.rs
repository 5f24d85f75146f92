//! Neighbours: what packet threads learn and miss, what the operator sets, and what becomes of it in time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::family::Control;
use super::{Family, Router};
use crate::fib::LinkKind;
use crate::ids::{IfIndex, NodeId};
use crate::neighbor::{Action, How, Learn, Learned, NeighborError, Neighbors, Neighbors4, Neighbors6};
use crate::wire::Mac;

/// Neighbours are looked through at least this often, so that a change of the clock's pace cannot strand them.
const AGEING: Duration = Duration::from_secs(1);

/// Counts, for a node, what became of the senders that it told of: the packet threads cannot know.
pub struct Tally {
    node: NodeId,
    code: fn(How, Learned) -> Option<u16>,
    /// What the node's counters do not have yet: how often each error code.
    untold: Vec<(u16, u64)>,
}

impl Tally {
    fn add(&mut self, how: How, learned: Learned) {
        let Some(code) = (self.code)(how, learned) else { return };
        match self.untold.iter_mut().find(|(other, _)| *other == code) {
            Some((_, times)) => *times += 1,
            None => self.untold.push((code, 1)),
        }
    }
}

impl Router {
    /// What becomes of senders of this family is counted among the errors of `node`, under the code that `code` gives.
    pub fn tally_learned<A: Family>(&mut self, node: NodeId, code: fn(How, Learned) -> Option<u16>) {
        A::control_mut(self).tally = Some(Tally { node, code, untold: Vec::new() });
    }

    /// Has the first worker, as the one writer of its counters, add what was learned and refused since the last call.
    pub(super) fn tell_learned<A: Family>(&mut self) {
        let Some(tally) = A::control_mut(self).tally.as_mut().filter(|tally| !tally.untold.is_empty()) else { return };
        let (node, counts) = (tally.node, std::mem::take(&mut tally.untold));
        self.ask(0, move |worker| worker.count_errors(node, &counts));
    }

    /// The IPv4 neighbours.
    pub fn neighbors(&self) -> &Neighbors4 {
        &self.ip4.neighbors
    }

    /// The IPv6 neighbours.
    pub fn neighbors6(&self) -> &Neighbors6 {
        &self.ip6.neighbors
    }

    /// The neighbours of either family.
    pub fn neighbors_of<A: Family>(&self) -> &Neighbors<A> {
        &A::control(self).neighbors
    }

    /// Sets a neighbour; a `fixed` one is never replaced by what the network says.
    ///
    /// # Errors
    /// An impossible MAC, one of our own addresses, an unknown interface.
    pub fn set_neighbor<A: Family>(
        &mut self,
        interface: IfIndex,
        address: A,
        mac: [u8; 6],
        fixed: bool,
    ) -> Result<(), NeighborError> {
        let Control { neighbors, rib, .. } = A::control_mut(self);
        neighbors.set(rib, Instant::now(), interface, address, mac, fixed, false)?;
        self.touch();
        Ok(())
    }

    /// Forgets a neighbour.
    ///
    /// # Errors
    /// When there is none.
    pub fn del_neighbor<A: Family>(&mut self, interface: IfIndex, address: A) -> Result<(), NeighborError> {
        let Control { neighbors, rib, .. } = A::control_mut(self);
        neighbors.remove(rib, interface, address)?;
        self.touch();
        Ok(())
    }

    pub(super) fn learn<A: Family>(&mut self, learn: Learn<A>) {
        let Control { neighbors, rib, tally, .. } = A::control_mut(self);
        let learned = neighbors.learn(rib, Instant::now(), learn);
        if let Some(tally) = tally {
            tally.add(learn.how, learned);
        }
        if learned.changes_forwarding() {
            self.touch();
        }
    }

    /// Packets wait for the link address of `target`.
    pub fn want_neighbor<A: Family>(&mut self, interface: IfIndex, target: A) {
        let Control { neighbors, rib, .. } = A::control_mut(self);
        let action = neighbors.want(rib, Instant::now(), interface, target);
        self.act(action);
    }

    pub(super) fn age_neighbors(&mut self, now: Instant) {
        let next = self.age_neighbors_of::<Ipv4Addr>(now).min(self.age_neighbors_of::<Ipv6Addr>(now));
        self.next_ageing = next.clamp(now + Duration::from_millis(10), now + AGEING);
    }

    fn age_neighbors_of<A: Family>(&mut self, now: Instant) -> Instant {
        let Control { neighbors, rib, .. } = A::control_mut(self);
        let ticked = neighbors.tick(rib, now);
        if ticked.changed {
            self.touch();
        }
        self.act(ticked.actions);
        A::control(self).neighbors.next_tick().unwrap_or(now + AGEING)
    }

    /// The interface went away, or down.
    pub(super) fn forget_neighbors<A: Family>(&mut self, interface: IfIndex) {
        let Control { neighbors, rib, .. } = A::control_mut(self);
        if neighbors.interface_removed(rib, interface) {
            self.touch();
        }
    }

    pub(super) fn neighbors_of_changed<A: Family>(&mut self, interface: IfIndex, down: bool) {
        let Control { neighbors, rib, .. } = A::control_mut(self);
        if neighbors.interface_changed(rib, interface, down) {
            self.touch();
        }
    }

    fn act<A: Family>(&mut self, actions: impl IntoIterator<Item = Action<A>>) {
        for Action::SendRequest { interface, target } in actions {
            self.send_request(interface, target);
        }
    }

    /// Asks for a neighbour from our address in the target's prefix, or else from our first on the interface; from the
    /// link-local one where the target is such or there is no other.
    fn send_request<A: Family>(&mut self, index: IfIndex, target: A) {
        let Some(mac) = self.mac_of_link(index) else { return };
        let own = self.record(index).map(A::addresses).unwrap_or_default();
        let near = own.iter().find(|address| address.covers(target)).or(own.first()).map(|own| own.address);
        let link_local = A::own_link_local(self.tables.interface(index));
        let source = if target.is_link_local() { link_local } else { near.or(link_local) };
        if let Some(source) = source {
            self.send_frame(index, A::request(mac, source, target));
        }
    }

    /// The MAC of an interface on a link with others, if it is up.
    pub(super) fn mac_of_link(&self, index: IfIndex) -> Option<Mac> {
        let link = self.interface(index).filter(|i| i.is_up() && i.link == LinkKind::Ethernet);
        link.map(|interface| Mac(interface.mac))
    }

    /// The MAC of a neighbour that is known.
    pub fn neighbor_mac(&self, interface: IfIndex, address: IpAddr) -> Option<[u8; 6]> {
        match address {
            IpAddr::V4(address) => self.ip4.neighbors.mac(interface, address),
            IpAddr::V6(address) => self.ip6.neighbors.mac(interface, address),
        }
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
