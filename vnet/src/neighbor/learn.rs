//! What the network says about neighbours, and what of it is believed.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::entry::{Entry, Flags, State};
use super::table::{Neighbors, is_host_mac};
use crate::fib::{Address, Rib};
use crate::ids::IfIndex;

/// In which kind of packet a sender named its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub enum How {
    /// A request for one of our addresses (RFC 826: then the sender is added).
    Request,
    /// A reply to us.
    Reply,
    /// Anything else that names a sender, such as an announcement (RFC 5227, section 3): it only updates who is known.
    Announcement,
    /// It does not insist: it makes known who is asked for, and does not replace another link address (RFC 4861 section
    /// 7.2.5, an advertisement without the override flag).
    Hint,
}

/// What a node saw: the sender of a packet gives itself a link address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Learn<A = Ipv4Addr> {
    /// Where the packet came in.
    pub interface: IfIndex,
    /// The sender's IP address.
    pub address: A,
    /// The sender's link address.
    pub mac: [u8; 6],
    /// The kind of packet.
    pub how: How,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learned {
    /// The neighbour is new or has become complete: forwarding has changed.
    New,
    /// It has another link address than before: forwarding has changed.
    Changed,
    /// It was known so.
    Confirmed,
    /// It was not believed.
    Refused(Refusal),
}

impl Learned {
    /// True if there is something to publish.
    pub fn changes_forwarding(self) -> bool {
        matches!(self, Learned::New | Learned::Changed)
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// Why what the network said was not believed.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, thiserror::Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Refusal {
            /// All of them, in the order of [`Neighbors::refused`].
            pub const ALL: &[Refusal] = &[$(Refusal::$name),*];
        }
    };
}

refusals! {
    /// No connected prefix of the interface has the sender's address.
    NotOnLink: "address not in a connected prefix",
    /// The network's or the broadcast address of a connected prefix.
    Reserved: "address is the network's or the broadcast address",
    /// The sender uses one of our own addresses.
    OwnAddress: "address is one of ours",
    /// A group address, or zeros.
    BadMac: "link address of no host",
    /// A static neighbour has another link address.
    Static: "conflict with a static neighbour",
    /// Another link address was confirmed less than a moment ago.
    TooSoon: "link address changes too often",
    /// Another link address is known, and this one is offered without insisting.
    Hint: "link address offered without insisting",
    /// An announcement of an address that nobody asked for.
    Unasked: "announcement of an unknown neighbour",
    /// More changes in a second than are allowed.
    RateLimited: "too many changes a second",
    /// The table is full.
    Full: "table full",
}

impl<A: Address> Neighbors<A> {
    /// Takes in what a node saw. What is refused is counted and changes nothing.
    pub fn learn(&mut self, rib: &mut Rib<A>, now: Instant, seen: Learn<A>) -> Learned {
        let learned = self.judge(rib, now, &seen);
        match learned {
            Learned::Refused(why) => self.count(why),
            Learned::Confirmed => self.confirm(now, &seen),
            Learned::New | Learned::Changed => {
                let no_fib = self.get(seen.interface, seen.address).is_some_and(|old| old.flags.no_fib);
                let entry = Entry {
                    mac: seen.mac,
                    flags: Flags { fixed: false, no_fib, state: State::Reachable },
                    confirmed: now,
                    asked: 0,
                    asked_at: None,
                    due: Some(now + self.limits.age),
                };
                self.store(seen.interface, seen.address, entry);
                rib.set_neighbour(seen.interface, seen.address, seen.mac, !no_fib);
            }
        }
        learned
    }

    fn judge(&mut self, rib: &Rib<A>, now: Instant, seen: &Learn<A>) -> Learned {
        let refused = Learned::Refused;
        if !is_host_mac(seen.mac) {
            return refused(Refusal::BadMac);
        }
        if rib.is_own_address(seen.address) {
            return refused(Refusal::OwnAddress);
        }
        // The ends of a prefix are nobody's, and "no address yet" (RFC 5227, section 2.1.1) is in none. Who is in the
        // table although off the link, a route named as next hop or an operator set.
        let known = self.get(seen.interface, seen.address);
        if known.is_none() && rib.is_reserved(seen.interface, seen.address) {
            return refused(Refusal::Reserved);
        }
        if known.is_none() && !rib.is_on_link(seen.interface, seen.address) {
            return refused(Refusal::NotOnLink);
        }
        let verdict = match known {
            // The answer to a question of ours. There are no more of these than we ask, so that no limit is needed;
            // packets wait for them, and a flood of unasked ones must not take their place.
            Some(entry) if entry.flags.state == State::Incomplete => return Learned::New,
            Some(entry) if entry.mac == seen.mac => return Learned::Confirmed,
            Some(entry) if entry.flags.fixed => return refused(Refusal::Static),
            Some(_) if seen.how == How::Hint => return refused(Refusal::Hint),
            Some(entry) if now.saturating_duration_since(entry.confirmed) < self.limits.lock => {
                return refused(Refusal::TooSoon);
            }
            Some(_) => Learned::Changed,
            None if matches!(seen.how, How::Announcement | How::Hint) => return refused(Refusal::Unasked),
            None if self.len() >= self.limits.most => return refused(Refusal::Full),
            None => Learned::New,
        };
        if self.changes.take(now) { verdict } else { refused(Refusal::RateLimited) }
    }

    fn confirm(&mut self, now: Instant, seen: &Learn<A>) {
        let Some(mut entry) = self.get(seen.interface, seen.address).copied() else { return };
        entry.confirmed = now;
        if !entry.flags.fixed {
            entry.flags.state = State::Reachable;
            entry.asked = 0;
            entry.due = Some(now + self.limits.age);
        }
        self.store(seen.interface, seen.address, entry);
    }
}
