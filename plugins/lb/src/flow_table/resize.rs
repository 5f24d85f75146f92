//! From a table of one size to one of another, a few flows at a time.

use super::bucket::{SPARE_BITS, Seen, WAYS};
use super::memory::Spot;
use super::{FlowHash, FlowMemory, FlowTable};
use crate::handle::{Live, ServerHandle};

/// How many tables of other sizes may still have flows.
pub const MAX_OLD: usize = 4;

/// Buckets of an old table whose flows are moved in one call: each may cost nine lines that are in no cache.
const MOVED_AT_ONCE: usize = 16;

/// A table that was the present one before, with the flows that have not come over.
pub(super) struct Old {
    buckets: FlowMemory,
    /// Entries in use.
    used: usize,
    /// So many bits of its hash are known of every entry.
    known_bits: u32,
    /// The next bucket to look at. While flows are being moved, nothing is left in those before it.
    cursor: usize,
}

impl Old {
    pub(super) fn buckets(&self) -> &FlowMemory {
        &self.buckets
    }

    pub(super) fn into_memory(self) -> FlowMemory {
        self.buckets
    }

    /// Whether its entries know enough of their hashes to be moved. The flows of others come with their next packets,
    /// which know all, or expire.
    fn can_move(&self, bits: u32) -> bool {
        self.known_bits >= bits
    }
}

impl FlowTable {
    /// Goes on with other memory. Known flows stay known: they are looked for in the old table too, until each of them
    /// was moved, or has sent nothing for the timeout. Where the new table is the smaller one, flows that find no room
    /// in it are forgotten in the end. Touches none of the entries.
    ///
    /// # Errors
    /// Gives the memory back if so many tables ([`MAX_OLD`]) have flows left already.
    pub fn resize(&mut self, memory: FlowMemory) -> Result<(), FlowMemory> {
        if self.old.len() == MAX_OLD {
            return Err(memory);
        }
        let used = self.used - self.old.iter().map(|old| old.used).sum::<usize>();
        let buckets = std::mem::replace(&mut self.buckets, memory);
        if used == 0 {
            self.spent.push(buckets);
        } else {
            self.old.push(Old { buckets, used, known_bits: self.known_bits, cursor: 0 });
        }
        let bits = self.buckets.bits();
        // Entries that are moved bring along what is known of them.
        let coming = self.old.iter().filter(|old| old.can_move(bits)).map(|old| old.known_bits);
        self.known_bits = coming.min().unwrap_or(u32::MAX).min(bits + SPARE_BITS);
        self.old.iter_mut().for_each(|old| old.cursor = 0);
        self.cursor = 0;
        Ok(())
    }

    /// Whether [`FlowTable::sweep`] has something to do at once, because of a resize.
    #[inline]
    pub fn is_moving(&self) -> bool {
        !self.old.is_empty() && self.old.iter().any(|old| old.used == 0 || old.can_move(self.buckets.bits()))
    }

    /// How many tables of other sizes still have flows; [`MAX_OLD`] at most.
    pub fn old_tables(&self) -> usize {
        self.old.len()
    }

    /// Memory that became free, for the control thread to give back.
    pub fn take_spent(&mut self) -> Vec<FlowMemory> {
        self.spent.drain(..).collect()
    }

    /// The server of a flow that the present table does not know, if an older one does. The flow comes over, if there
    /// is room.
    #[cold]
    #[inline(never)]
    pub(super) fn known_of_old(&mut self, hash: FlowHash, now: u32, live: Live<'_>) -> Option<ServerHandle> {
        for at in 0..self.old.len() {
            let old = &self.old[at];
            let Some(Spot { bucket: spot, way }) = old.buckets.spot(hash) else { continue };
            let bucket = old.buckets.wrapped(spot);
            let (server, state) = (bucket.server[way], bucket.state(way).after_packet());
            let gone = bucket.is_free(way, now, &self.timeouts, live);
            let moved = !gone && self.put(hash, Seen { server, at: now, state }, now, live);
            let old = &mut self.old[at];
            let bits = old.buckets.bits();
            let bucket = old.buckets.wrapped_mut(spot);
            if gone || moved {
                bucket.clear(way);
                old.used -= 1;
            } else {
                bucket.refresh(way, now, hash.bucket >> bits);
            }
            if gone {
                self.release(server);
                return None;
            }
            return Some(server);
        }
        None
    }

    /// Moves some flows; in tables whose flows cannot be moved, takes back what expired, in step with the sweep of
    /// `buckets` of the present table.
    #[cold]
    #[inline(never)]
    pub(super) fn follow(&mut self, now: u32, live: Live<'_>, buckets: usize) {
        let (bits, mut moves) = (self.buckets.bits(), MOVED_AT_ONCE);
        let mut at = 0;
        while let Some(mut old) = (at < self.old.len()).then(|| self.old.swap_remove(at)) {
            if old.can_move(bits) {
                while moves > 0 && old.used > 0 {
                    self.empty_bucket(&mut old, now, live);
                    moves -= 1;
                }
            } else {
                // The old table is the smaller one, or its entries would know enough.
                for _ in 0..(buckets * old.buckets.len()).div_ceil(self.buckets.len()) {
                    self.expire_bucket(&mut old, now, live);
                }
            }
            if old.used == 0 {
                self.spent.push(old.buckets);
            } else {
                self.old.push(old);
                let last = self.old.len() - 1;
                self.old.swap(at, last);
                at += 1;
            }
        }
    }

    /// Moves what is in the next bucket of an old table.
    fn empty_bucket(&mut self, old: &mut Old, now: u32, live: Live<'_>) {
        let (at, bits) = (old.cursor, old.buckets.bits());
        old.cursor = (at + 1) & (old.buckets.len() - 1);
        let bucket = *old.buckets.wrapped(at);
        for way in (0..WAYS).filter(|&way| !bucket.server[way].is_none()) {
            let (hash, server, state) = (bucket.known_hash(way, at, bits), bucket.server[way], bucket.state(way));
            let seen = Seen { server, at: bucket.last_seen(way, now), state };
            if bucket.is_free(way, now, &self.timeouts, live) || !self.put(hash, seen, now, live) {
                self.release(server);
            }
            old.buckets.wrapped_mut(at).clear(way);
            old.used -= 1;
        }
    }

    /// Takes back what expired or lost its server in the next bucket of an old table.
    fn expire_bucket(&mut self, old: &mut Old, now: u32, live: Live<'_>) {
        let at = old.cursor;
        old.cursor = (at + 1) & (old.buckets.len() - 1);
        let bucket = old.buckets.wrapped_mut(at);
        for way in 0..WAYS {
            let server = bucket.server[way];
            if !server.is_none() && bucket.is_free(way, now, &self.timeouts, live) {
                bucket.clear(way);
                old.used -= 1;
                self.release(server);
            }
        }
    }
}
