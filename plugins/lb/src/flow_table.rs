//! A worker's memory of which server each flow was given.
//!
//! The table is an array of buckets of one cache line with four flows each. A look-up touches that line and nothing
//! else of the table; the engine prefetches it between [`FlowTable::hash`] and [`FlowTable::lookup_or_insert`]. Flows
//! are told apart by 64 bits of a hash with random keys, in a bucket picked by other bits of it, so that nobody can
//! make two flows share an entry on purpose, and chance makes them about once in 2^64 pairs.
//!
//! An entry is free when its flow was silent for longer than the timeout, or when its server's handle is not the
//! present one any more ([`Live`]): forgetting a server's flows is a change of one number, not a walk. Entries that
//! became free are counted as used until they are reused or swept ([`FlowTable::sweep`]).

mod bucket;
mod keys;
mod resize;
#[cfg(test)]
mod tests;

use vnet::mem::HugeArray;

use bucket::{Bucket, WAYS};
pub use bucket::{LAYOUT_VERSION, MAX_TIMEOUT};
pub use keys::{FlowHash, HashKeys};

use crate::handle::{Live, ServerHandle};

/// The most buckets a table may have.
pub const MAX_BUCKETS: u32 = 1 << 24;

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The flow is known.
    Known(ServerHandle),
    /// The flow is new and now remembered.
    New(ServerHandle),
    /// The flow is new, and its bucket is full: it will be new again with its next packet.
    Untracked(ServerHandle),
    /// The flow is new, and there is no server to give it.
    NoServer,
}

/// A table that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowTableError {
    /// No memory for so many.
    #[error("no memory for {0} buckets")]
    Memory(u32),
    /// The number of buckets.
    #[error("buckets must be a power of two from 1 to {MAX_BUCKETS}, not {0}")]
    Buckets(u32),
    /// The timeout in seconds.
    #[error("timeout must be 1 to {MAX_TIMEOUT} seconds, not {0}")]
    Timeout(u32),
}

/// Checks what a table is made from.
///
/// # Errors
/// If there can be no such table.
pub fn check(buckets: u32, timeout: u32) -> Result<(), FlowTableError> {
    if !buckets.is_power_of_two() || buckets > MAX_BUCKETS {
        return Err(FlowTableError::Buckets(buckets));
    }
    if !(1..=MAX_TIMEOUT).contains(&timeout) {
        return Err(FlowTableError::Timeout(timeout));
    }
    Ok(())
}

/// The flows of one server handle.
#[derive(Clone, Copy, Default)]
struct Count {
    server: ServerHandle,
    flows: u32,
}

/// See the head of this module. `now` is in seconds everywhere, and never less than in an earlier call.
pub struct FlowTable {
    buckets: HugeArray<Bucket>,
    keys: HashKeys,
    timeout: u32,
    used: usize,
    /// By server slot. A count belongs to one handle: that of another generation is 0.
    counts: Vec<Count>,
    cursor: usize,
    /// How many doublings the entries' own bits of the hash suffice for.
    doublings: u32,
}

impl FlowTable {
    /// An empty table. A flow is forgotten when it was silent for more than `timeout` seconds.
    ///
    /// # Errors
    /// If `buckets` is not a power of two, or either is out of range.
    pub fn with_buckets(buckets: u32, timeout: u32, keys: HashKeys) -> Result<Self, FlowTableError> {
        check(buckets, timeout)?;
        // Fresh memory is zero, and so is a bucket without flows.
        let buckets = HugeArray::new(buckets as usize).map_err(|_| FlowTableError::Memory(buckets))?;
        Ok(Self { buckets, keys, timeout, used: 0, counts: Vec::new(), cursor: 0, doublings: bucket::SPARE_BITS })
    }

    /// The hash of a flow of a VIP (an index below 2^24), from the words of its key.
    #[inline(always)]
    pub fn hash(&self, words: [u64; 2], vip: u32) -> FlowHash {
        self.keys.hash(words, vip)
    }

    /// Where the flow is or would be: a thing to prefetch.
    #[inline(always)]
    pub fn place(&self, hash: FlowHash) -> &impl Sized {
        self.buckets.wrapped(hash.bucket as usize)
    }

    /// Finds the flow's server; gives it the one that `choose` names if it has none, and remembers that if it can.
    #[inline(always)]
    pub fn lookup_or_insert(
        &mut self,
        hash: FlowHash,
        now: u32,
        live: Live<'_>,
        choose: impl FnOnce() -> Option<ServerHandle>,
    ) -> Verdict {
        if let Some(server) = self.known(hash, now).filter(|&server| live.holds(server)) {
            return Verdict::Known(server);
        }
        match choose() {
            Some(server) if !server.is_none() => self.insert(hash, now, live, server),
            _ => Verdict::NoServer,
        }
    }

    /// The first half of [`FlowTable::lookup_or_insert`]: the flow's server and a note of this packet. Whether the
    /// server is still there is for the caller to see; if not, the flow is a new one.
    #[inline(always)]
    pub fn known(&mut self, hash: FlowHash, now: u32) -> Option<ServerHandle> {
        let mask = self.buckets.len() - 1;
        let bucket = self.buckets.wrapped_mut(hash.bucket as usize);
        let way = bucket.find(hash.identity)?;
        // Most packets of busy flows come in the same second as the one before.
        if bucket.idle(way, now) != 0 {
            if bucket.idle(way, now) > self.timeout {
                return None;
            }
            // The bits above the mask stay as they are; a table that has grown learns them anew here.
            bucket.refresh(way, now, hash.bucket >> mask.trailing_ones());
        }
        Some(bucket.server[way])
    }

    /// The server of a flow that is known, without noting a packet.
    pub fn peek(&self, hash: FlowHash, now: u32, live: Live<'_>) -> Option<ServerHandle> {
        let bucket = &self.buckets[hash.bucket as usize & (self.buckets.len() - 1)];
        let way = bucket.find(hash.identity)?;
        (!bucket.is_free(way, now, self.timeout, live)).then_some(bucket.server[way])
    }

    /// The second half of [`FlowTable::lookup_or_insert`]: remembers a flow that is not known, if it can.
    #[inline(never)]
    pub fn insert(&mut self, hash: FlowHash, now: u32, live: Live<'_>, server: ServerHandle) -> Verdict {
        let mask = self.buckets.len() - 1;
        let bucket = &mut self.buckets[hash.bucket as usize & mask];
        // The flow's own entry first, where it is no good any more: an identity stands once in a bucket.
        let own = bucket.find(hash.identity);
        let Some(way) = own.or_else(|| (0..WAYS).find(|&way| bucket.is_free(way, now, self.timeout, live))) else {
            return Verdict::Untracked(server);
        };
        let before = bucket.server[way];
        bucket.set(way, hash, mask.trailing_ones(), server, now);
        self.release(before);
        self.acquire(server);
        Verdict::New(server)
    }

    /// Takes back what expired or lost its server in the next `buckets` buckets, going on where the last call ended.
    /// Returns whether the end of the table was passed.
    pub fn sweep(&mut self, now: u32, live: Live<'_>, buckets: usize) -> bool {
        for _ in 0..buckets.min(self.buckets.len()) {
            let at = self.cursor;
            self.cursor = (at + 1) & (self.buckets.len() - 1);
            for way in 0..WAYS {
                let server = self.buckets[at].server[way];
                if !server.is_none() && self.buckets[at].is_free(way, now, self.timeout, live) {
                    self.buckets[at].clear(way);
                    self.release(server);
                }
            }
            if self.cursor == 0 {
                return true;
            }
        }
        false
    }

    /// Sweeps the whole table; the counts are exact afterwards.
    pub fn sweep_all(&mut self, now: u32, live: Live<'_>) {
        self.cursor = 0;
        let all = self.buckets.len();
        self.sweep(now, live, all);
    }

    /// Forgets all flows.
    pub fn clear(&mut self) {
        self.buckets.fill(Bucket::EMPTY);
        self.counts.clear();
        self.used = 0;
        self.cursor = 0;
    }

    /// Changes how long a flow may be silent, for those there are too.
    ///
    /// # Errors
    /// If the timeout is out of range; nothing is changed then.
    pub fn set_timeout(&mut self, timeout: u32) -> Result<(), FlowTableError> {
        check(self.buckets(), timeout)?;
        self.timeout = timeout;
        Ok(())
    }

    /// How many flows a server has: those remembered and not yet taken back.
    pub fn flows(&self, server: ServerHandle) -> u32 {
        self.counts.get(server.slot()).filter(|count| count.server == server).map_or(0, |count| count.flows)
    }

    /// How many entries are in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many flows fit.
    pub fn capacity(&self) -> usize {
        self.buckets.len() * WAYS
    }

    /// The number of buckets.
    pub fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    /// The timeout in seconds.
    pub fn timeout(&self) -> u32 {
        self.timeout
    }

    fn acquire(&mut self, server: ServerHandle) {
        let slot = server.slot();
        if slot >= self.counts.len() {
            self.counts.resize((slot + 1).next_power_of_two(), Count::default());
        }
        let count = &mut self.counts[slot];
        if count.server != server {
            *count = Count { server, flows: 0 };
        }
        count.flows += 1;
        self.used += 1;
    }

    fn release(&mut self, server: ServerHandle) {
        if server.is_none() {
            return;
        }
        self.used -= 1;
        if let Some(count) = self.counts.get_mut(server.slot()).filter(|count| count.server == server) {
            count.flows = count.flows.saturating_sub(1);
        }
    }
}
