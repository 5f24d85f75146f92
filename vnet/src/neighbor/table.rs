//! The table of neighbours, and what happens in it as time passes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::entry::{Entry, Flags, State};
use super::learn::Refusal;
use crate::fib::{Address, Rib};
use crate::ids::IfIndex;
use crate::wire::Mac;

/// Sizes and times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Neighbours at most. Those that are asked for and do not answer take half of it at most, so that scanning a
    /// connected prefix does not keep hosts from being learned.
    pub most: usize,
    /// After this time without confirmation a dynamic neighbour is asked again.
    pub age: Duration,
    /// Between two requests for the same neighbour.
    pub interval: Duration,
    /// Requests without an answer until the neighbour is removed.
    pub requests: u32,
    /// For this long after its confirmation a link address is not replaced by another.
    pub lock: Duration,
    /// New neighbours and changes of link addresses that the network may cause in a second.
    pub changes_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            most: 50_000,
            age: Duration::from_secs(300),
            interval: Duration::from_secs(1),
            requests: 3,
            lock: Duration::from_secs(1),
            changes_per_second: 1000,
        }
    }
}

/// What the caller has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<A = Ipv4Addr> {
    /// Ask for the link address of `target`.
    SendRequest {
        /// On this interface.
        interface: IfIndex,
        /// For this address.
        target: A,
    },
}

/// What a tick did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticked<A> {
    /// What the caller has to do.
    pub actions: Vec<Action<A>>,
    /// True if there is something to publish.
    pub changed: bool,
}

/// An operator's change that was refused; nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NeighborError {
    /// A group address, or zeros.
    #[error("`{0}' is not the MAC of one station")]
    BadMac(Mac),
    /// An interface that routing was not told of.
    #[error("unknown interface {0}")]
    UnknownInterface(IfIndex),
    /// Our own address.
    #[error("{0} is one of our own addresses")]
    OwnAddress(String),
    /// Nobody has an end of a connected prefix.
    #[error("{address} is the network's or the broadcast address on {interface}")]
    Reserved {
        /// The address.
        address: String,
        /// The interface's name.
        interface: String,
    },
    /// Nothing is ever sent to this neighbour.
    #[error("{address} is in no connected prefix of {interface}, and no route has it as next hop there")]
    NotOnLink {
        /// The address.
        address: String,
        /// The interface's name.
        interface: String,
    },
    /// The table is full.
    #[error("there are {0} neighbours, more are not allowed")]
    Full(usize),
    /// There is no such neighbour.
    #[error("no neighbour {address} on {interface}")]
    NotThere {
        /// The address.
        address: String,
        /// The interface's name.
        interface: String,
    },
}

/// All neighbours of one address family.
#[derive(Debug)]
pub struct Neighbors<A> {
    pub(super) limits: Limits,
    pub(super) entries: BTreeMap<(IfIndex, A), Entry>,
    /// What is due, the earliest first.
    due: BTreeSet<(Instant, IfIndex, A)>,
    incomplete: usize,
    pub(super) changes: Bucket,
    refused: Vec<u64>,
}

/// The IPv4 neighbours.
pub type Neighbors4 = Neighbors<Ipv4Addr>;

/// The IPv6 neighbours.
pub type Neighbors6 = Neighbors<Ipv6Addr>;

impl<A: Address> Default for Neighbors<A> {
    fn default() -> Self {
        Neighbors::new(Limits::default())
    }
}

impl<A: Address> Neighbors<A> {
    /// Nobody is known.
    pub fn new(limits: Limits) -> Self {
        Neighbors {
            limits,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            incomplete: 0,
            changes: Bucket::new(limits.changes_per_second),
            refused: vec![0; Refusal::ALL.len()],
        }
    }

    /// An operator's or a program's neighbour. `fixed`: it stays until it is removed, and the network does not change
    /// it; otherwise it ages as if learned. `no_fib`: it gets no route of its own. What was known before is replaced.
    ///
    /// # Errors
    /// See [`NeighborError`].
    #[expect(clippy::too_many_arguments, reason = "a neighbour is what it is")]
    pub fn set(
        &mut self,
        rib: &mut Rib<A>,
        now: Instant,
        interface: IfIndex,
        address: A,
        mac: [u8; 6],
        fixed: bool,
        no_fib: bool,
    ) -> Result<(), NeighborError> {
        if !is_host_mac(mac) {
            return Err(NeighborError::BadMac(Mac(mac)));
        }
        if !rib.has_interface(interface) {
            return Err(NeighborError::UnknownInterface(interface));
        }
        if rib.is_own_address(address) {
            return Err(NeighborError::OwnAddress(address.to_string()));
        }
        let names = || (address.to_string(), rib.interface_name(interface));
        if rib.is_reserved(interface, address) {
            let (address, interface) = names();
            return Err(NeighborError::Reserved { address, interface });
        }
        if !rib.is_on_link(interface, address) && !rib.is_next_hop(interface, address) {
            let (address, interface) = names();
            return Err(NeighborError::NotOnLink { address, interface });
        }
        if self.get(interface, address).is_none() && self.len() >= self.limits.most {
            return Err(NeighborError::Full(self.limits.most));
        }
        let due = (!fixed).then(|| now + self.limits.age);
        let flags = Flags { fixed, no_fib, state: State::Reachable };
        self.store(interface, address, Entry { mac, flags, confirmed: now, asked: 0, asked_at: None, due });
        rib.set_neighbour(interface, address, mac, !no_fib);
        Ok(())
    }

    /// Removes a neighbour, of whatever kind.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove(&mut self, rib: &mut Rib<A>, interface: IfIndex, address: A) -> Result<(), NeighborError> {
        if self.drop_entry(rib, interface, address) {
            return Ok(());
        }
        Err(NeighborError::NotThere { address: address.to_string(), interface: rib.interface_name(interface) })
    }

    /// Packets wait for a next hop whose link address is not known. Gives the request to send, unless one for the same
    /// next hop went out a moment ago, it is known by now, or there are too many that do not answer. The next hop need
    /// not be in a connected prefix: a route may name any.
    pub fn want(&mut self, rib: &Rib<A>, now: Instant, interface: IfIndex, target: A) -> Option<Action<A>> {
        if !rib.has_interface(interface) || rib.is_own_address(target) {
            return None;
        }
        let known = self.get(interface, target).copied();
        if known.is_none() && (self.incomplete >= self.limits.most / 2 || self.len() >= self.limits.most) {
            self.count(Refusal::Full);
            return None;
        }
        let mut entry = known.unwrap_or(Entry {
            mac: [0; 6],
            flags: Flags { fixed: false, no_fib: false, state: State::Incomplete },
            confirmed: now,
            asked: 0,
            asked_at: None,
            due: None,
        });
        let soon = entry.asked_at.is_some_and(|at| now.saturating_duration_since(at) < self.limits.interval);
        if entry.flags.state != State::Incomplete || soon {
            return None;
        }
        // Packets keep coming: count from the start, so that the entry lives as long as somebody wants it.
        entry.asked = 1;
        entry.asked_at = Some(now);
        entry.due = Some(now + self.limits.interval);
        self.store(interface, target, entry);
        Some(Action::SendRequest { interface, target })
    }

    /// Does what is due: asks again, and removes who has not answered.
    pub fn tick(&mut self, rib: &mut Rib<A>, now: Instant) -> Ticked<A> {
        let mut ticked = Ticked { actions: Vec::new(), changed: false };
        while let Some(&(at, interface, address)) = self.due.first()
            && at <= now
        {
            let Some(mut entry) = self.get(interface, address).copied() else {
                self.due.pop_first();
                continue;
            };
            if entry.asked >= self.limits.requests {
                ticked.changed |= entry.flags.state != State::Incomplete;
                self.drop_entry(rib, interface, address);
                continue;
            }
            if entry.flags.state == State::Reachable {
                entry.flags.state = State::Stale;
            }
            entry.asked += 1;
            entry.asked_at = Some(now);
            entry.due = Some(now + self.limits.interval);
            self.store(interface, address, entry);
            ticked.actions.push(Action::SendRequest { interface, target: address });
        }
        ticked
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next_tick(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _, _)| at)
    }

    /// Removes what an interface's own state keeps from being true any longer: all dynamic neighbours if it is `down`,
    /// otherwise those that no connected prefix has any more (an address was removed). True if there is something to
    /// publish.
    pub fn interface_changed(&mut self, rib: &mut Rib<A>, interface: IfIndex, down: bool) -> bool {
        self.drop_where(rib, |i, address, entry, rib| {
            i == interface && !entry.flags.fixed && (down || !rib.is_on_link(i, address))
        })
    }

    /// Removes all neighbours on an interface that goes; to be called before the interface leaves the `Rib`.
    pub fn interface_removed(&mut self, rib: &mut Rib<A>, interface: IfIndex) -> bool {
        self.drop_where(rib, |i, _, _, _| i == interface)
    }

    /// Removes all dynamic neighbours. True if there is something to publish.
    pub fn flush(&mut self, rib: &mut Rib<A>) -> bool {
        self.drop_where(rib, |_, _, entry, _| !entry.flags.fixed)
    }

    /// The link address of a neighbour that is known.
    pub fn mac(&self, interface: IfIndex, address: A) -> Option<[u8; 6]> {
        let entry = self.get(interface, address)?;
        (entry.flags.state != State::Incomplete).then_some(entry.mac)
    }

    /// The link address of a neighbour that stays until it is removed, and that the network does not change.
    pub fn fixed(&self, interface: IfIndex, address: A) -> Option<[u8; 6]> {
        self.get(interface, address).filter(|entry| entry.flags.fixed).map(|entry| entry.mac)
    }

    /// How many there are, those included that are asked for.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often what the network said was refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.iter().copied().zip(self.refused.iter().copied())
    }

    pub(super) fn count(&mut self, why: Refusal) {
        self.refused[why as usize] += 1;
    }

    pub(super) fn get(&self, interface: IfIndex, address: A) -> Option<&Entry> {
        self.entries.get(&(interface, address))
    }

    pub(super) fn store(&mut self, interface: IfIndex, address: A, entry: Entry) {
        self.take(interface, address);
        self.incomplete += usize::from(entry.flags.state == State::Incomplete);
        self.due.extend(entry.due.map(|at| (at, interface, address)));
        self.entries.insert((interface, address), entry);
    }

    fn take(&mut self, interface: IfIndex, address: A) -> Option<Entry> {
        let entry = self.entries.remove(&(interface, address))?;
        self.incomplete -= usize::from(entry.flags.state == State::Incomplete);
        if let Some(at) = entry.due {
            self.due.remove(&(at, interface, address));
        }
        Some(entry)
    }

    fn drop_entry(&mut self, rib: &mut Rib<A>, interface: IfIndex, address: A) -> bool {
        let Some(entry) = self.take(interface, address) else { return false };
        if entry.flags.state != State::Incomplete {
            // It is not there if the interface went first; that is as good.
            let _ = rib.remove_neighbour(interface, address);
        }
        true
    }

    fn drop_where(&mut self, rib: &mut Rib<A>, goes: impl Fn(IfIndex, A, &Entry, &Rib<A>) -> bool) -> bool {
        let going: Vec<(IfIndex, A, State)> = self
            .entries
            .iter()
            .filter(|((i, address), entry)| goes(*i, *address, entry, rib))
            .map(|(&(i, address), entry)| (i, address, entry.flags.state))
            .collect();
        for &(interface, address, _) in &going {
            self.drop_entry(rib, interface, address);
        }
        going.iter().any(|(_, _, state)| *state != State::Incomplete)
    }
}

/// Neither a group address nor zeros.
pub(super) fn is_host_mac(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}
