//! Telling neighbours where our addresses are, so that none of them keeps an old MAC: those of interfaces, and those that a
//! plugin answers for.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{InterfaceRecord, Router};
use crate::fib::{ForwardKind, LinkKind, Prefix};
use crate::ids::IfIndex;
use crate::interface::{Interface, InterfaceAddress};
use crate::wire::{Mac, arp};

/// RFC 5227 section 1.1, ANNOUNCE_INTERVAL; there are two announcements (ANNOUNCE_NUM).
const INTERVAL: Duration = Duration::from_secs(2);
/// Prefixes of plugins with more addresses are not announced: that would be a flood on the link.
const SHORTEST_PREFIX: u8 = 24;

/// What is to be announced, and what may be.
#[derive(Default)]
pub(super) struct Announcements {
    /// With the next version of the tables.
    next: BTreeSet<(IfIndex, Ipv4Addr)>,
    /// For the second time, at these times.
    again: VecDeque<(Instant, IfIndex, Ipv4Addr)>,
    /// Where routes lead to plugins, who have such addresses answered for.
    pub(super) plugins: BTreeSet<Prefix<Ipv4Addr>>,
}

impl Announcements {
    /// When the next second announcement is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.front().map(|(due, ..)| *due)
    }
}

impl Router {
    /// Tells the neighbours of an interface, with the next version of the tables, where these addresses of ours are now
    /// (RFC 5227, section 2.3). Only where there is a link with others on it: a kernel's device.
    pub(super) fn announce(&mut self, index: IfIndex, addresses: &[Ipv4Addr]) {
        if self.record(index).is_some_and(|record| record.device.kernel_index().is_some()) {
            self.announcements.next.extend(addresses.iter().map(|address| (index, *address)));
        }
    }

    /// The same for all addresses of an interface that came up or has another MAC than `before`.
    pub(super) fn announce_if_new(&mut self, index: IfIndex, before: (bool, [u8; 6])) {
        let interface = self.tables.interface(index);
        if interface.is_up() && (true, interface.mac) != before {
            let own: Vec<_> = self
                .record(index)
                .map(|record| record.addresses.iter().map(|own| own.address).collect())
                .unwrap_or_default();
            self.announce(index, &own);
            self.announce_plugins(index);
        }
    }

    /// The same for what plugins answer for on an interface.
    pub(super) fn announce_plugins(&mut self, index: IfIndex) {
        let Some(record) = self.record(index) else { return };
        let prefixes = self.announcements.plugins.iter();
        let addresses: Vec<_> = prefixes.flat_map(|prefix| answered_on(record, *prefix)).collect();
        self.announce(index, &addresses);
    }

    /// The same for a plugin's new prefix, wherever it is answered for.
    pub(super) fn announce_plugin(&mut self, prefix: Prefix<Ipv4Addr>) {
        let answered = |record: &InterfaceRecord| (record.index(), answered_on(record, prefix).collect::<Vec<_>>());
        let all: Vec<_> = self.interfaces.iter().flatten().map(answered).collect();
        all.iter().for_each(|(index, addresses)| self.announce(*index, addresses));
    }

    pub(super) fn send_announcements(&mut self) {
        let due = Instant::now() + INTERVAL;
        for (index, address) in std::mem::take(&mut self.announcements.next) {
            if self.send_announcement(index, address) {
                self.announcements.again.push_back((due, index, address));
            }
        }
    }

    /// Announces for the second time.
    pub(super) fn repeat_announcements(&mut self, now: Instant) {
        while self.announcements.due().is_some_and(|due| due <= now) {
            if let Some((_, index, address)) = self.announcements.again.pop_front() {
                self.send_announcement(index, address);
            }
        }
    }

    /// Announces an address that is still ours, on an interface that is up. Whether it was.
    fn send_announcement(&mut self, index: IfIndex, address: Ipv4Addr) -> bool {
        let up = |interface: &&Interface| interface.is_up() && interface.link == LinkKind::Ethernet;
        let Some(mac) = self.interface(index).filter(up).map(|interface| interface.mac) else { return false };
        let plugins = || self.rib.lookup(address).kind == ForwardKind::Plugin;
        let ours = self.rib.is_own_address(address) || plugins();
        if ours {
            self.send_frame(index, arp::announcement(Mac(mac), address).to_vec());
        }
        ours
    }
}

/// The addresses of a plugin's prefix that are answered for on an interface: it has to lie within a connected prefix, of
/// which it does not have all, nor one of the ends.
fn answered_on(record: &InterfaceRecord, prefix: Prefix<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
    let connected =
        record.addresses.iter().find(|own| own.length < prefix.len() && own.covers(prefix.address())).copied();
    let few = connected.filter(|_| prefix.len() >= SHORTEST_PREFIX);
    few.into_iter().flat_map(move |own| {
        let all = u32::from(prefix.address())..=u32::from(prefix.last());
        all.map(Ipv4Addr::from).filter(move |&address| !InterfaceAddress { address, ..own }.is_end())
    })
}
