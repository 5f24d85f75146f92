//! Finding flows, one after the other.

use vnet::mem::LentArray;

use super::FlowHash;
use super::bucket::{Bucket, beside};
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
pub struct Finder<'t>(LentArray<'t, Bucket>);

impl<'t> Finder<'t> {
    #[inline(always)]
    pub(super) fn new(buckets: LentArray<'t, Bucket>) -> Self {
        Finder(buckets)
    }

    /// A flow that is in its own bucket and of whose packet there is nothing to note: most packets of busy flows come in the same
    /// second as the one before. Of the others [`FlowTable::known`](super::FlowTable::known) tells, and the bucket beside is on its way
    /// for it. Whether the server is still there is for the caller to see.
    #[inline(always)]
    pub fn at_hand(&mut self, hash: FlowHash, now: u32) -> Option<Known> {
        let bucket = self.0.wrapped_mut(hash.bucket as usize);
        let Some(way) = bucket.find(hash.identity) else {
            vnet::mem::prefetch(self.0.wrapped_mut(beside(hash.bucket as usize)));
            return None;
        };
        if bucket.is_news(way, now) {
            return None;
        }
        Some(bucket.known(way))
    }
}
