//! One cache line of flows.

use super::finder::Known;
use super::keys::FlowHash;
use super::state::{FlowState, Timeouts};
use crate::handle::{Live, ServerHandle};

/// The version of the layout of buckets, for those who share or keep tables.
pub const LAYOUT_VERSION: u32 = 8;

/// Flows per bucket.
pub(super) const WAYS: usize = 4;

/// The longest timeout, in seconds: half the range of the stamp's clock.
pub const MAX_TIMEOUT: u32 = 1 << (CLOCK.count_ones() - 1);

/// The stamp's clock: seconds, modulo 2^20 (12 days).
const CLOCK: u32 = (1 << 20) - 1;
/// Where the flow's state begins: 3 bits.
const STATE: u32 = 20;
/// See [`Known::straight`].
const STRAIGHT: u32 = 1 << 23;
/// The state's bit that says that the next packet changes it.
const PENDING: u32 = 1 << STATE;
/// The flow's own bucket is the one beside, which was full.
const AWAY: u32 = 1 << 24;
/// Where the stamp's 7 bits of the hash begin.
const ABOVE: u32 = 25;
/// How many bits of the hash there are in a stamp.
pub(super) const SPARE_BITS: u32 = 7;

/// What an entry says of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) server: ServerHandle,
    /// The second of the last packet.
    pub(super) at: u32,
    pub(super) state: FlowState,
}

/// Four flows, field by field, so that one comparison of the identities' lower halves serves all four. Nearly always that
/// tells which entry it is, if any; the upper half then has only to be asked of that one.
///
/// An entry without a flow has identity 0 and no server. An identity stands at most once in a bucket and the one beside. The stamp is,
/// from bit 0: 20 bits of the second of the last packet, 3 bits of state, one that says that packets go straight to the
/// server, one that says that the flow's own bucket is the one beside, 7 bits of the hash: those just above the ones that
/// picked the bucket, so that a larger table can tell where the flow belongs.
#[derive(Clone, Copy, zerocopy::FromZeros)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    low: [u32; WAYS],
    high: [u32; WAYS],
    pub(super) server: [ServerHandle; WAYS],
    stamp: [u32; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);

impl Bucket {
    pub(super) const EMPTY: Self =
        Self { low: [0; WAYS], high: [0; WAYS], server: [ServerHandle::NONE; WAYS], stamp: [0; WAYS] };

    /// The entry with this identity (never 0). All four are compared whatever the first says: a branch for each would
    /// be guessed wrongly most of the time.
    #[inline(always)]
    pub(super) fn find(&self, identity: u64) -> Option<usize> {
        let [low, high] = halves(identity);
        let mut found = vnet::simd::equal4(&self.low, low);
        while found != 0 {
            let way = found.trailing_zeros() as usize & (WAYS - 1);
            if self.high[way] == high {
                return Some(way);
            }
            found &= found - 1;
        }
        None
    }

    /// Seconds since the entry's last packet.
    #[inline(always)]
    pub(super) fn idle(&self, way: usize, now: u32) -> u32 {
        now.wrapping_sub(self.stamp[way]) & CLOCK
    }

    /// Whether a packet has something to note: none of this second was noted, or it changes the state.
    #[inline(always)]
    pub(super) fn is_news(&self, way: usize, now: u32) -> bool {
        (self.stamp[way] ^ (now & CLOCK)) & (CLOCK | PENDING) != 0
    }

    /// The flow's state.
    pub(super) fn state(&self, way: usize) -> FlowState {
        FlowState::from_bits(self.stamp[way] >> STATE)
    }

    /// Whether the flow was silent for too long.
    #[inline]
    pub(super) fn is_over(&self, way: usize, now: u32, timeouts: &Timeouts) -> bool {
        self.idle(way, now) > timeouts.of(self.state(way))
    }

    /// Whether the entry has no flow, or one that is to be forgotten.
    pub(super) fn is_free(&self, way: usize, now: u32, timeouts: &Timeouts, live: Live<'_>) -> bool {
        self.server[way].is_none() || !live.holds(self.server[way]) || self.is_over(way, now, timeouts)
    }

    /// An entry that is free.
    pub(super) fn free(&self, now: u32, timeouts: &Timeouts, live: Live<'_>) -> Option<usize> {
        (0..WAYS).find(|&way| self.is_free(way, now, timeouts, live))
    }

    /// The entry that gives way where none is free: of those that are half-open or closing, and were silent for a second
    /// at least, the one that was silent for longest.
    pub(super) fn giving_way(&self, now: u32) -> Option<usize> {
        let passing = |way: usize| matches!(self.state(way), FlowState::HalfOpen | FlowState::Closing);
        let waiting = |way: &usize| passing(*way) && self.idle(*way, now) > 0;
        (0..WAYS).filter(waiting).max_by_key(|way| self.idle(*way, now))
    }

    /// Notes a packet. Called about once a second for a flow: a line that was only read need not go back to memory.
    pub(super) fn refresh(&mut self, way: usize, now: u32, above: u32) {
        self.note(way, now, above, self.state(way).after_packet());
    }

    /// Notes a packet that leaves the flow in a state.
    pub(super) fn note(&mut self, way: usize, now: u32, above: u32, state: FlowState) {
        let stays = self.stamp[way] & (STRAIGHT | AWAY);
        self.stamp[way] = now & CLOCK | (state as u32) << STATE | stays | above << ABOVE;
    }

    /// The flow's server, and whether packets go straight to it.
    #[inline(always)]
    pub(super) fn known(&self, way: usize) -> Known {
        Known { server: self.server[way], straight: self.stamp[way] & STRAIGHT != 0 }
    }

    /// Notes whether they do.
    pub(super) fn set_straight(&mut self, way: usize, straight: bool) {
        let bit = if straight { STRAIGHT } else { 0 };
        self.stamp[way] = self.stamp[way] & !STRAIGHT | bit;
    }

    /// Whether there is an entry of another flow with the same half of its identity.
    pub(super) fn has_half_of(&self, identity: u64) -> bool {
        let [low, high] = halves(identity);
        (0..WAYS).any(|way| self.low[way] == low && self.high[way] != high && !self.server[way].is_none())
    }

    /// Puts a flow in; `bits` of the hash picked its bucket, which is this one or (`away`) the one beside.
    pub(super) fn set(&mut self, way: usize, hash: FlowHash, (bits, away): (u32, bool), seen: Seen) {
        [self.low[way], self.high[way]] = halves(hash.identity);
        self.server[way] = seen.server;
        let away = if away { AWAY } else { 0 };
        self.stamp[way] = seen.at & CLOCK | (seen.state as u32) << STATE | away | (hash.bucket >> bits) << ABOVE;
    }

    /// The bits of the hash that an entry knows, if it lies in bucket `index` of a table of 2^`bits`; 0 above.
    pub(super) fn known_hash(&self, way: usize, index: usize, bits: u32) -> FlowHash {
        let above = u64::from(self.stamp[way] >> ABOVE) << bits;
        let own = if self.stamp[way] & AWAY != 0 { beside(index) } else { index };
        FlowHash {
            identity: u64::from(self.high[way]) << 32 | u64::from(self.low[way]),
            bucket: (above | own as u64) as u32,
        }
    }

    /// The second of the last packet, in full: the stamp holds only its lower bits.
    pub(super) fn last_seen(&self, way: usize, now: u32) -> u32 {
        now.wrapping_sub(self.idle(way, now))
    }

    /// Takes a flow out.
    pub(super) fn clear(&mut self, way: usize) {
        (self.low[way], self.high[way]) = (0, 0);
        self.server[way] = ServerHandle::NONE;
        self.stamp[way] = 0;
    }
}

/// The bucket that takes the flows of a full one: its neighbour in the same 128 bytes, and so on the same page.
#[inline(always)]
pub(super) fn beside(index: usize) -> usize {
    index ^ 1
}

/// The lower and the upper half of an identity.
#[inline(always)]
fn halves(identity: u64) -> [u32; 2] {
    [identity as u32, (identity >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_agree_in_half_of_their_identity_are_told_apart() {
        let mut bucket = Bucket::EMPTY;
        let identities = [0x1_0000_0007, 0x2_0000_0007, 0x1_0000_0008, 0x3_0000_0007];
        for (way, identity) in identities.into_iter().enumerate() {
            assert_eq!(bucket.find(identity), None);
            let seen = Seen { server: ServerHandle::NONE, at: 0, state: FlowState::Plain };
            bucket.set(way, FlowHash { identity, bucket: 0 }, (0, false), seen);
            assert_eq!(bucket.known_hash(way, 0, 0).identity, identity);
        }
        for (way, identity) in identities.into_iter().enumerate() {
            assert_eq!(bucket.find(identity), Some(way));
        }
        assert_eq!(bucket.find(0x4_0000_0007), None);
        bucket.clear(1);
        assert_eq!((bucket.find(identities[1]), bucket.find(identities[3])), (None, Some(3)));
    }
}
