//! A worker's memory of which server each flow was given.
//!
//! The table is an array of buckets of one cache line with four flows each. A look-up touches that line and nothing
//! else of the table; the engine prefetches it between [`FlowTable::hash`] and [`FlowTable::lookup_or_insert`]. Only
//! where a bucket is full does the next of its flows stand in the one beside: a flow that is not in its own bucket is
//! looked for there, too, as every new one is. Flows are told apart by 64 bits of a hash with random keys, in two
//! buckets picked by other bits of it, so that nobody can make two flows share an entry on purpose, and chance makes
//! them about once in 2^64 pairs.
//!
//! An entry is free when its flow was silent for longer than the timeout of its state ([`FlowState`]), or when its server's handle is not the
//! present one any more ([`Live`]): forgetting a server's flows is a change of one number, not a walk. Entries that
//! became free are counted as used until they are reused or swept ([`FlowTable::sweep`]).
//!
//! A table is made larger or smaller while packets flow: [`FlowTable::resize`] only exchanges the memory, and the flows
//! follow a few at a time, or with their next packets. Memory comes from elsewhere and goes elsewhere
//! ([`FlowMemory`]), since mapping and unmapping take a while.

mod bucket;
mod finder;
mod keys;
mod list;
mod memory;
mod resize;
#[cfg(test)]
mod resize_tests;
mod state;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;

use bucket::{Bucket, Seen, WAYS};
pub use bucket::{LAYOUT_VERSION, MAX_TIMEOUT};
pub use finder::{Finder, Known};
pub use keys::{FlowHash, HashKeys, RunKeys, VipKeys};
pub use list::{FlowEntry, Place, Walk};
pub use memory::FlowMemory;
use memory::Spot;
pub use resize::MAX_OLD;
use resize::Old;
pub use state::{Control, FlowState, Timeouts};

use crate::flow_bytes::FlowBytes;
use crate::handle::{Live, ServerHandle};
use crate::slot_hash::{FlowWords, KeyMask};

/// The most buckets a table may have.
pub const MAX_BUCKETS: u32 = 1 << 24;

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The flow is known.
    Known(ServerHandle),
    /// The flow is new and now remembered.
    New(ServerHandle),
    /// The flow is new, and its bucket and the one beside are full: it will be new again with its next packet.
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
    Timeouts::all(timeout).check()
}

/// The flows of one server handle.
#[derive(Clone, Copy, Default)]
struct Count {
    server: ServerHandle,
    flows: u32,
}

/// What a table that is full somewhere did about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pressed {
    /// Half-open flows whose entry another flow took.
    pub evicted: u64,
    /// Packets of flows that found no entry.
    pub refused: u64,
    /// Flows that were remembered beside one with the same 32 bits of identity, and told apart by the others.
    pub collided: u64,
}

/// See the head of this module. `now` is in seconds everywhere, and never less than in an earlier call.
pub struct FlowTable {
    buckets: FlowMemory,
    keys: HashKeys,
    timeouts: Timeouts,
    /// Flows that took the entry of a half-open one, and flows that found none.
    pressed: Pressed,
    /// Entries in use, those in older tables included.
    used: usize,
    /// By server slot. A count belongs to one handle: that of another generation is 0.
    counts: Vec<Count>,
    cursor: usize,
    /// So many of the lowest bits of its hash are known of every entry.
    known_bits: u32,
    /// Tables of other sizes whose flows have not all come over. A flow stands in one table only.
    old: Vec<Old>,
    /// Memory that is not needed any more, for somebody else to give back.
    spent: Vec<FlowMemory>,
}

impl FlowTable {
    /// An empty table. A flow is forgotten when it was silent for more than `timeout` seconds.
    ///
    /// # Errors
    /// If `buckets` is not a power of two, or either is out of range.
    pub fn with_buckets(buckets: u32, timeout: u32, keys: HashKeys) -> Result<Self, FlowTableError> {
        check(buckets, timeout)?;
        let buckets = FlowMemory::new(buckets)?;
        let known_bits = buckets.bits() + bucket::SPARE_BITS;
        let (old, spent) = (Vec::with_capacity(MAX_OLD), Vec::with_capacity(MAX_OLD + 1));
        let (timeouts, pressed) = (Timeouts::all(timeout), Pressed::default());
        Ok(Self { buckets, keys, timeouts, pressed, used: 0, counts: Vec::new(), cursor: 0, known_bits, old, spent })
    }

    /// The hash of a flow of a VIP (an index below 2^24), from the words of its key.
    #[inline(always)]
    pub fn hash(&self, words: impl FlowWords, vip: u32) -> FlowHash {
        let bytes = words.bytes();
        self.hash_by(&self.keys_towards(self.keys_of(KeyMask::Flow, vip), bytes), bytes)
    }

    /// How the flows of a VIP (an index below 2^24) are hashed, of which `mask` says what counts.
    #[inline(always)]
    pub fn keys_of<B: FlowBytes>(&self, mask: KeyMask, vip: u32) -> VipKeys<B> {
        self.keys.of(mask, vip)
    }

    /// The same for its flows that have the destination of this one.
    #[inline(always)]
    pub fn keys_towards<B: FlowBytes>(&self, vip: VipKeys<B>, bytes: B) -> RunKeys<B> {
        self.keys.towards(vip, bytes)
    }

    /// The hash of a flow of the VIP and the destination whose keys these are.
    #[inline(always)]
    pub fn hash_by<B: FlowBytes>(&self, keys: &RunKeys<B>, bytes: B) -> FlowHash {
        self.keys.hash(keys, bytes)
    }

    /// Where the flow mostly is or would be: a thing to prefetch.
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
        if let Some(server) = self.find(hash, now, live) {
            return Verdict::Known(server);
        }
        match choose() {
            Some(server) if !server.is_none() => self.insert(hash, now, live, server, FlowState::Plain),
            _ => Verdict::NoServer,
        }
    }

    /// The server of a flow that is known, tables of other sizes included, and a note of this packet.
    #[inline(always)]
    pub fn find(&mut self, hash: FlowHash, now: u32, live: Live<'_>) -> Option<ServerHandle> {
        let server = self.known(hash, now).map(|known| known.server).filter(|&server| live.holds(server));
        if server.is_none() && !self.old.is_empty() {
            return self.known_of_old(hash, now, live);
        }
        server
    }

    /// Whether [`FlowTable::insert`] of a flow that is not known would find an entry for it.
    pub fn has_room(&self, hash: FlowHash, now: u32, live: Live<'_>) -> bool {
        let may = |bucket: &Bucket| bucket.free(now, &self.timeouts, live).or_else(|| bucket.giving_way(now));
        self.buckets.spot(hash).or_else(|| self.buckets.first(hash, may)).is_some()
    }

    /// What the present table knows of a flow, and a note of this packet. Whether the server is still there is for the caller to see; if
    /// not, the flow is a new one.
    pub fn known(&mut self, hash: FlowHash, now: u32) -> Option<Known> {
        let bits = self.buckets.bits();
        let (bucket, way) = self.buckets.entry_mut(hash)?;
        // A packet for each flow and second, at least where all flows are busy.
        if bucket.is_news(way, now) {
            if bucket.is_over(way, now, &self.timeouts) {
                return None;
            }
            // A table that has grown learns the bits above the bucket's number anew here.
            bucket.refresh(way, now, hash.bucket >> bits);
        }
        Some(bucket.known(way))
    }

    /// The server of a flow that is known, and a note of a packet that says something about its connection. A flow that
    /// was closing and begins anew is not known.
    pub fn control(&mut self, hash: FlowHash, now: u32, live: Live<'_>, what: Control) -> Option<ServerHandle> {
        if self.buckets.spot(hash).is_none() && !self.old.is_empty() {
            let server = self.known_of_old(hash, now, live)?;
            if self.buckets.spot(hash).is_none() {
                // There is no room for it here: it stays where it is, as it is.
                return Some(server);
            }
        }
        let (bits, timeouts) = (self.buckets.bits(), self.timeouts);
        let entry = self.buckets.entry_mut(hash);
        let (bucket, way) = entry.filter(|(bucket, way)| !bucket.is_free(*way, now, &timeouts, live))?;
        let state = match (what, bucket.state(way)) {
            (Control::Syn, FlowState::Closing) => return None,
            (Control::Syn, state) => state,
            (Control::End, _) => FlowState::Closing,
        };
        bucket.note(way, now, hash.bucket >> bits, state);
        Some(bucket.server[way])
    }

    /// Notes a packet the other way, which tells that the flow lives, but not that its sender does: a half-open flow stays
    /// what it is and ends when it would have.
    pub fn touch(&mut self, hash: FlowHash, now: u32) {
        let bits = self.buckets.bits();
        if let Some((bucket, way)) = self.buckets.entry_mut(hash)
            && bucket.state(way) != FlowState::HalfOpen
            && !bucket.is_over(way, now, &self.timeouts)
        {
            bucket.refresh(way, now, hash.bucket >> bits);
        }
    }

    /// Notes whether packets of a flow go straight to this server, if that is what the present table says it has; see
    /// [`Known::straight`]. With another server, or in another table, they do not until it is said again.
    pub fn set_straight(&mut self, hash: FlowHash, server: ServerHandle, straight: bool) {
        if let Some((bucket, way)) = self.buckets.entry_mut(hash).filter(|(bucket, way)| bucket.server[*way] == server)
        {
            bucket.set_straight(way, straight);
        }
    }

    /// For finding many flows that are at hand.
    #[inline(always)]
    pub fn finder(&mut self) -> Finder<'_> {
        Finder::new(self.buckets.lent())
    }

    /// The server of a flow that is known, without noting a packet.
    pub fn peek(&self, hash: FlowHash, now: u32, live: Live<'_>) -> Option<ServerHandle> {
        let tables = std::iter::once(&self.buckets).chain(self.old.iter().map(Old::buckets));
        tables
            .filter_map(|buckets| buckets.entry(hash))
            .find_map(|(bucket, way)| (!bucket.is_free(way, now, &self.timeouts, live)).then_some(bucket.server[way]))
    }

    /// The second half of [`FlowTable::lookup_or_insert`]: remembers a flow that is not known, if it can.
    pub fn insert(
        &mut self,
        hash: FlowHash,
        now: u32,
        live: Live<'_>,
        server: ServerHandle,
        state: FlowState,
    ) -> Verdict {
        if !self.put(hash, Seen { server, at: now, state }, now, live) {
            self.pressed.refused += 1;
            return Verdict::Untracked(server);
        }
        self.acquire(server);
        Verdict::New(server)
    }

    /// Gives a flow an entry, if there is a free one, or one of a half-open flow that gives way.
    fn put(&mut self, hash: FlowHash, seen: Seen, now: u32, live: Live<'_>) -> bool {
        let (bits, timeouts) = (self.buckets.bits(), self.timeouts);
        // The flow's own entry first, where it is no good any more: a flow has one.
        let own = self.buckets.spot(hash);
        let free = own.or_else(|| self.buckets.first(hash, |bucket| bucket.free(now, &timeouts, live)));
        let spot = free.or_else(|| self.buckets.first(hash, |bucket| bucket.giving_way(now)));
        let Some(Spot { bucket, way }) = spot else { return false };
        self.pressed.evicted += u64::from(free.is_none());
        let away = bucket != self.buckets.places(hash)[0];
        let bucket = self.buckets.wrapped_mut(bucket);
        self.pressed.collided += u64::from(bucket.has_half_of(hash.identity));
        let before = bucket.server[way];
        bucket.set(way, hash, (bits, away), seen);
        self.release(before);
        true
    }

    /// Takes back what expired or lost its server in the next `buckets` buckets, going on where the last call ended; if
    /// flows stand in tables of other sizes, a few of them are moved. Returns whether the end of the table was passed.
    pub fn sweep(&mut self, now: u32, live: Live<'_>, buckets: usize) -> bool {
        if !self.old.is_empty() {
            self.follow(now, live, buckets);
        }
        for _ in 0..buckets.min(self.buckets.len()) {
            let at = self.cursor;
            self.cursor = (at + 1) & (self.buckets.len() - 1);
            for way in 0..WAYS {
                let bucket = self.buckets.wrapped_mut(at);
                let server = bucket.server[way];
                if !server.is_none() && bucket.is_free(way, now, &self.timeouts, live) {
                    bucket.clear(way);
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

    /// Forgets all flows. The memory of before is the caller's: giving it back is nothing for a packet thread.
    pub fn start_over(&mut self, memory: FlowMemory) -> Vec<FlowMemory> {
        let mut spent = std::mem::take(&mut self.spent);
        spent.extend(self.old.drain(..).map(Old::into_memory));
        spent.push(std::mem::replace(&mut self.buckets, memory));
        (self.used, self.cursor) = (0, 0);
        self.known_bits = self.buckets.bits() + bucket::SPARE_BITS;
        self.counts.fill(Count::default());
        spent
    }

    /// Changes how long a flow may be silent, for those there are too.
    ///
    /// # Errors
    /// If a timeout is out of range; nothing is changed then.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), FlowTableError> {
        timeouts.check()?;
        self.timeouts = timeouts;
        Ok(())
    }

    /// What became of flows that found their buckets full, since the beginning.
    pub fn pressed(&self) -> Pressed {
        self.pressed
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

    /// The timeouts in seconds.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
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
