//! Telling neighbours where our addresses are, so that none of them keeps an old MAC: those of interfaces, and those that a
//! plugin answers for. IPv6 asks first whether another has the address (RFC 4862 section 5.4).

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use super::{Family, InterfaceRecord, Level, Router};
use crate::fib::{Address, ForwardKind, Prefix};
use crate::ids::IfIndex;
use crate::interface::InterfaceAddress;
use crate::wire::Mac;

/// Prefixes of plugins with more addresses, of so many bits, are not announced: that would be a flood on the link.
const MOST_BITS: u8 = 8;

/// What is to be announced, and what may be.
pub(super) struct Announcements<A: Address> {
    /// With the next version of the tables.
    next: BTreeSet<(IfIndex, A)>,
    /// For the second time, or after nobody has objected, at these times.
    again: VecDeque<(Instant, IfIndex, A)>,
    /// Where routes lead to plugins, who have such addresses answered for.
    pub(super) plugins: BTreeSet<Prefix<A>>,
}

impl<A: Address> Default for Announcements<A> {
    fn default() -> Self {
        Announcements { next: BTreeSet::new(), again: VecDeque::new(), plugins: BTreeSet::new() }
    }
}

impl<A: Address> Announcements<A> {
    /// When the next second announcement is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.front().map(|(due, ..)| *due)
    }
}

impl Router {
    /// Tells the neighbours of an interface, with the next version of the tables, where these addresses of ours are now
    /// (RFC 5227, section 2.3; RFC 4861, section 7.2.6). Only where there is a link with others on it: a kernel's device.
    pub(super) fn announce<A: Family>(&mut self, index: IfIndex, addresses: &[A]) {
        if self.record(index).is_some_and(|record| record.device.kernel_index().is_some()) {
            A::control_mut(self).announcements.next.extend(addresses.iter().map(|address| (index, *address)));
        }
    }

    /// The same for all addresses of an interface that came up or has another MAC than `before`.
    pub(super) fn announce_if_new(&mut self, index: IfIndex, before: (bool, [u8; 6])) {
        let interface = self.tables.interface(index);
        let (mac, fresh) = (interface.mac, interface.is_up() && (true, interface.mac) != before);
        if mac != before.1 {
            // Link-local addresses are made of it.
            self.refresh_own_addresses();
        }
        if fresh {
            self.announce_all::<Ipv4Addr>(index);
            self.announce_all::<Ipv6Addr>(index);
        }
    }

    fn announce_all<A: Family>(&mut self, index: IfIndex) {
        let own = self.record(index).map(A::addresses).unwrap_or_default().iter().map(|own| own.address);
        let own: Vec<A> = own.chain(A::own_link_local(self.tables.interface(index))).collect();
        self.announce(index, &own);
        self.announce_plugins::<A>(index);
    }

    /// The same for what plugins answer for on an interface.
    pub(super) fn announce_plugins<A: Family>(&mut self, index: IfIndex) {
        let Some(record) = self.record(index) else { return };
        let prefixes = A::control(self).announcements.plugins.iter();
        let addresses: Vec<A> = prefixes.flat_map(|prefix| answered_on(record, *prefix)).collect();
        self.announce(index, &addresses);
    }

    /// The same for a plugin's new prefix, wherever it is answered for.
    pub(super) fn announce_plugin<A: Family>(&mut self, prefix: Prefix<A>) {
        let answered = |record: &InterfaceRecord| (record.index(), answered_on(record, prefix));
        let all: Vec<_> = self.interfaces.iter().flatten().map(answered).collect();
        all.iter().for_each(|(index, addresses)| self.announce(*index, addresses));
    }

    pub(super) fn send_announcements(&mut self) {
        self.send_announcements_of::<Ipv4Addr>();
        self.send_announcements_of::<Ipv6Addr>();
    }

    fn send_announcements_of<A: Family>(&mut self) {
        let due = Instant::now() + A::AGAIN;
        for (index, address) in std::mem::take(&mut A::control_mut(self).announcements.next) {
            if self.send_about(index, address, |mac| A::probe(mac, address).unwrap_or(A::announcement(mac, address))) {
                A::control_mut(self).announcements.again.push_back((due, index, address));
            }
        }
    }

    /// Announces for the second time.
    pub(super) fn repeat_announcements(&mut self, now: Instant) {
        self.repeat_announcements_of::<Ipv4Addr>(now);
        self.repeat_announcements_of::<Ipv6Addr>(now);
    }

    fn repeat_announcements_of<A: Family>(&mut self, now: Instant) {
        while A::control(self).announcements.due().is_some_and(|due| due <= now) {
            if let Some((_, index, address)) = A::control_mut(self).announcements.again.pop_front() {
                self.send_about(index, address, |mac| A::announcement(mac, address));
            }
        }
    }

    /// Sends a frame about an address that is still ours, on an interface that is up. Whether it was.
    fn send_about<A: Family>(&mut self, index: IfIndex, address: A, frame: impl FnOnce(Mac) -> Vec<u8>) -> bool {
        let Some(mac) = self.mac_of_link(index) else { return false };
        let rib = &A::control(self).rib;
        let ours = rib.is_own_address(address) || rib.lookup(address).kind == ForwardKind::Plugin;
        if ours {
            self.send_frame(index, frame(mac));
        }
        ours
    }

    /// Another station uses an address of ours. While we ask whether it is free, it is then not announced, and the log says
    /// so; later a neighbour may say what it will.
    pub fn address_conflict<A: Family>(&mut self, interface: IfIndex, address: A, mac: [u8; 6]) {
        let again = &mut A::control_mut(self).announcements.again;
        let before = again.len();
        again.retain(|(_, i, a)| (*i, *a) != (interface, address));
        if again.len() < before {
            let (name, mac) = (self.tables.interface(interface).name.clone(), Mac(mac));
            let text = format!("duplicate address {address} on {name}: {mac} has it, too; it is not announced");
            self.log().add(Level::Warn, "ip6-dad", text);
        }
    }
}

/// The addresses of a plugin's prefix that are answered for on an interface: it has to lie within a connected prefix, of
/// which it does not have all, nor one of the ends.
fn answered_on<A: Family>(record: &InterfaceRecord, prefix: Prefix<A>) -> Vec<A> {
    let mut own = A::addresses(record).iter();
    let connected = own.find(|own| own.length < prefix.len() && own.covers(prefix.address()));
    match connected.filter(|_| prefix.len() >= A::BITS - MOST_BITS) {
        Some(own) => {
            let mut all = A::addresses_in(prefix);
            all.retain(|&address| !InterfaceAddress { address, ..*own }.is_end());
            all
        }
        None => Vec::new(),
    }
}
