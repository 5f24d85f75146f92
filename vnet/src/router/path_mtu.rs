//! The control side of [`crate::path_mtu`]: which tunnels there are, and for how long errors about them count.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashSet;

use super::{Level, Router};
use crate::path_mtu::TunnelEnd;

/// RFC 1191 section 6.3 and RFC 8201 section 4: for so long nobody tries longer packets again.
pub const PATH_MTU_AGE: Duration = Duration::from_secs(600);

/// See the head of this module. There are at most as many as tunnels.
#[derive(Default)]
pub(super) struct Paths {
    /// Who named them, and the ends of tunnels.
    ends: Vec<(TypeId, Vec<TunnelEnd>)>,
    /// The other end, what gets there, and until when that counts.
    known: BTreeMap<IpAddr, (u16, Instant)>,
}

/// What gets to the other end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// The other end.
    pub destination: IpAddr,
    /// The longest IP packet, in bytes.
    pub mtu: u16,
    /// When that is forgotten.
    pub until: Instant,
}

impl Paths {
    /// When the next one is forgotten.
    pub(super) fn due(&self) -> Option<Instant> {
        self.known.values().map(|(_, until)| *until).min()
    }
}

impl Router {
    /// Names the tunnels of an owner, in place of those that it named before: ICMP errors about their packets count from now.
    pub fn set_tunnel_ends<Owner: 'static>(&mut self, ends: impl IntoIterator<Item = TunnelEnd>) {
        let (owner, ends) = (TypeId::of::<Owner>(), ends.into_iter().collect::<Vec<_>>());
        let before = self.paths.ends.iter().find(|(other, _)| *other == owner);
        if before.map_or(&[][..], |(_, before)| before) == ends {
            return;
        }
        self.paths.ends.retain(|(other, _)| *other != owner);
        self.paths.ends.push((owner, ends));
        let all: AHashSet<TunnelEnd> = self.paths.ends.iter().flat_map(|(_, ends)| ends).copied().collect();
        let destinations: AHashSet<IpAddr> = all.iter().map(|end| end.destination).collect();
        self.tables.path_mtus.ends = Arc::new(all);
        self.paths.known.retain(|destination, _| destinations.contains(destination));
        self.paths_changed();
    }

    /// What gets to the other end of a tunnel, in bytes, if errors have told of less than our own interface takes.
    pub fn path_mtu(&self, destination: IpAddr) -> Option<u16> {
        self.tables.path_mtus.get(destination)
    }

    /// All that errors have told, by address.
    pub fn path_mtus(&self) -> impl Iterator<Item = PathMtu> {
        self.paths.known.iter().map(|(&destination, &(mtu, until))| PathMtu { destination, mtu, until })
    }

    /// An error has told that no more than `mtu` bytes get to the other end of a tunnel: until ten minutes after `now`.
    pub(super) fn learn_path_mtu(&mut self, now: Instant, destination: IpAddr, mtu: u16) {
        // Tunnels may have gone, and others may have told the same, since a worker saw it.
        if !self.tables.path_mtus.ends.iter().any(|end| end.destination == destination) {
            return;
        }
        let known = self.path_mtu(destination);
        if known.is_some_and(|known| known <= mtu) {
            return;
        }
        self.paths.known.insert(destination, (mtu, now + PATH_MTU_AGE));
        if known.is_none() {
            let text = format_args!("tunnels to {destination} take {mtu} bytes, an ICMP error says; for ten minutes");
            self.log().add(Level::Info, "path-mtu", text);
        }
        self.paths_changed();
    }

    /// Forgets what does not count any more at `now`; with no time, all of it.
    pub fn forget_path_mtus(&mut self, now: Option<Instant>) {
        let before = self.paths.known.len();
        self.paths.known.retain(|_, (_, until)| now.is_some_and(|now| *until > now));
        if self.paths.known.len() < before {
            self.paths_changed();
        }
    }

    fn paths_changed(&mut self) {
        let known = self.paths.known.iter().map(|(&destination, &(mtu, _))| (destination, mtu)).collect();
        self.tables.path_mtus.known = Arc::new(known);
        self.touch();
    }

    /// What an interface that is a tunnel sends may be longer than its way takes for now: it takes no packets longer than
    /// `mtu` bytes until another is told; `None`: than its own MTU.
    pub fn set_tunnel_mtu(&mut self, index: crate::IfIndex, mtu: Option<u16>) {
        let mtu = mtu.unwrap_or(u16::MAX);
        if self.record(index).is_some() && self.tables.interface(index).mtu_path != mtu {
            self.tables.interfaces[index.index()].mtu_path = mtu;
            self.interface_changed(index);
        }
    }
}
