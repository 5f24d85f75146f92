//! Finding flows, one after the other.

use vnet::mem::LentArray;

use super::bucket::Bucket;
use super::{FlowHash, Timeouts};
use crate::handle::ServerHandle;

/// What is known of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its server.
    pub server: ServerHandle,
    /// Whether the server is all that its packets need, for those who keep more of some flows elsewhere: as
    /// [`FlowTable::set_straight`](super::FlowTable::set_straight) said since it has this server.
    pub straight: bool,
}

/// The part of a flow table in which flows mostly are, for the time of a loop.
pub struct Finder<'t> {
    buckets: LentArray<'t, Bucket>,
    timeouts: Timeouts,
}

impl<'t> Finder<'t> {
    #[inline(always)]
    pub(super) fn new(buckets: LentArray<'t, Bucket>, timeouts: Timeouts) -> Self {
        Finder { buckets, timeouts }
    }

    /// The first half of [`FlowTable::lookup_or_insert`](super::FlowTable::lookup_or_insert): the flow's server and a note of this packet. Whether the
    /// server is still there is for the caller to see; if not, the flow is a new one.
    #[inline(always)]
    pub fn known(&mut self, hash: FlowHash, now: u32) -> Option<Known> {
        let bits = self.buckets.bits();
        let bucket = self.buckets.wrapped_mut(hash.bucket as usize);
        let way = bucket.find(hash.identity)?;
        // Most packets of busy flows come in the same second as the one before.
        if bucket.is_news(way, now) {
            if bucket.is_over(way, now, &self.timeouts) {
                return None;
            }
            // The bits above the mask stay as they are; a table that has grown learns them anew here.
            bucket.refresh(way, now, hash.bucket >> bits);
        }
        Some(Known { server: bucket.server[way], straight: bucket.is_straight(way) })
    }
}
