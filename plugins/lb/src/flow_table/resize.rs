//! Tables of another size with the flows of this one.

use super::bucket::{SPARE_BITS, WAYS};
use super::{FlowTable, FlowTableError};
use crate::handle::Live;

impl FlowTable {
    /// A table with another number of buckets and the flows of this one, as far as they find room.
    ///
    /// An entry knows a few more bits of its hash than picked its bucket, enough to double a table eight times. Where
    /// that does not suffice the new table begins empty. Walks the whole table: not for a packet thread under load
    /// when tables are large.
    ///
    /// # Errors
    /// If there can be no table of `buckets`.
    pub fn resized(&self, buckets: u32, now: u32, live: Live<'_>) -> Result<Self, FlowTableError> {
        let mut table = Self::with_buckets(buckets, self.timeout, self.keys)?;
        let (from, to) = (self.buckets().trailing_zeros(), buckets.trailing_zeros());
        if to > from + self.doublings {
            return Ok(table);
        }
        table.doublings = (self.doublings + from - to).min(SPARE_BITS);
        for (index, bucket) in self.buckets.iter().enumerate() {
            for way in (0..WAYS).filter(|&way| !bucket.is_free(way, now, self.timeout, live)) {
                let hash = bucket.known_hash(way, index, from);
                table.insert(hash, bucket.last_seen(way, now), live, bucket.server[way]);
            }
        }
        Ok(table)
    }
}
