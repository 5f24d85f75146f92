//! Neighbours: what packet threads learn, what the operator sets, and what becomes of it in time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::Router;
use crate::ids::{AdjIndex, IfIndex};
use crate::neighbor::{Learn, Neighbors4};

/// How often neighbours are looked through for their age.
const AGEING: Duration = Duration::from_secs(1);

impl Router {
    /// The neighbours.
    pub fn neighbors(&self) -> &Neighbors4 {
        &self.neighbors
    }

    pub(super) fn learn(&mut self, _learn: Learn) {}
    pub(super) fn solicit(&mut self, _adjacency: AdjIndex) {}
    pub(super) fn age_neighbors(&mut self, now: Instant) {
        self.next_ageing = now + AGEING;
    }
    pub(super) fn forget_neighbors(&mut self, _interface: IfIndex) {
        let _ = Ipv4Addr::LOCALHOST;
    }
}
