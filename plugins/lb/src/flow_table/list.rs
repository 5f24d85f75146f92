//! Looking at entries, for people.

use super::bucket::{Bucket, WAYS};
use super::memory::Spot;
use super::resize::Old;
use super::{FlowHash, FlowMemory, FlowState, FlowTable};
use crate::handle::{Live, ServerHandle};

/// A flow that is remembered. Of its addresses and ports an entry keeps nothing but the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// What the flow is recognised by.
    pub identity: u64,
    /// Its server.
    pub server: ServerHandle,
    /// How far it has come.
    pub state: FlowState,
    /// Seconds since its last packet.
    pub idle: u32,
    /// Where it stands.
    pub place: Place,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// 0: the present table; from 1 on: those of other sizes that flows are still moving from.
    pub table: usize,
    /// The bucket.
    pub bucket: usize,
    /// Of so many.
    pub buckets: usize,
    /// The entry in the bucket, from 0.
    pub way: usize,
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    table: usize,
    bucket: usize,
}

impl FlowTable {
    /// Looks through the next `buckets` buckets and gives the flows whose servers are `wanted` to `found`, but not more
    /// than `most` and three. Returns whether there is more to look through.
    ///
    /// A walk in several calls sees a table that changes: each flow that stays where it is once, others perhaps not or
    /// twice.
    pub fn walk(
        &self,
        walk: &mut Walk,
        (buckets, most): (usize, usize),
        now: u32,
        live: Live<'_>,
        wanted: impl Fn(ServerHandle) -> bool,
        found: &mut Vec<FlowEntry>,
    ) -> bool {
        for _ in 0..buckets {
            let Some(memory) = self.table(walk.table) else { return false };
            if walk.bucket >= memory.len() {
                *walk = Walk { table: walk.table + 1, bucket: 0 };
                continue;
            }
            if found.len() >= most {
                return true;
            }
            let bucket = memory.wrapped(walk.bucket);
            for way in 0..WAYS {
                let place = Place { table: walk.table, bucket: walk.bucket, buckets: memory.len(), way };
                if !bucket.is_free(way, now, &self.timeouts, live) && wanted(bucket.server[way]) {
                    found.push(entry(bucket, place, now));
                }
            }
            walk.bucket += 1;
        }
        true
    }

    /// The entry of a flow that is known, without noting a packet.
    pub fn locate(&self, hash: FlowHash, now: u32, live: Live<'_>) -> Option<FlowEntry> {
        (0..=self.old.len()).find_map(|table| {
            let memory = self.table(table)?;
            let Spot { bucket: at, way } = memory.spot(hash)?;
            let bucket = memory.wrapped(at);
            let place = Place { table, bucket: at, buckets: memory.len(), way };
            (!bucket.is_free(way, now, &self.timeouts, live)).then(|| entry(bucket, place, now))
        })
    }

    fn table(&self, number: usize) -> Option<&FlowMemory> {
        match number {
            0 => Some(&self.buckets),
            _ => self.old.get(number - 1).map(Old::buckets),
        }
    }
}

fn entry(bucket: &Bucket, place: Place, now: u32) -> FlowEntry {
    let identity = bucket.known_hash(place.way, 0, 0).identity;
    let way = place.way;
    FlowEntry { identity, server: bucket.server[way], state: bucket.state(way), idle: bucket.idle(way, now), place }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_table::{HashKeys, Verdict};

    const KEYS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 7, 0xaf25_1af3_b0f0_25b5];

    #[test]
    fn every_flow_is_found_once_and_where_it_is() {
        let keys = HashKeys::from_words(KEYS);
        let mut table = FlowTable::with_buckets(64, 40, keys).unwrap();
        let handles = [ServerHandle::NONE, ServerHandle::first(1), ServerHandle::first(2)];
        let live = Live::new(&handles);
        let mut known = Vec::new();
        for flow in 0..100u64 {
            let hash = table.hash([flow, 6 << 32], 1);
            let server = handles[1 + flow as usize % 2];
            if table.lookup_or_insert(hash, flow as u32 / 10, live, || Some(server)) == Verdict::New(server) {
                known.push((hash.identity, server));
            }
            if flow == 50 {
                table.resize(FlowMemory::new(256).unwrap()).ok().unwrap();
            }
        }
        known.sort_by_key(|(identity, _)| *identity);
        for (buckets, wanted) in [(1, handles[1]), (1000, handles[2]), (7, ServerHandle::NONE)] {
            let wanted = |server| wanted.is_none() || server == wanted;
            let (mut walk, mut found) = (Walk::default(), Vec::new());
            while table.walk(&mut walk, (buckets, usize::MAX), 10, live, wanted, &mut found) {}
            let mut seen: Vec<_> = found.iter().map(|entry| (entry.identity, entry.server)).collect();
            seen.sort_by_key(|(identity, _)| *identity);
            let expected: Vec<_> = known.iter().copied().filter(|(_, server)| wanted(*server)).collect();
            assert_eq!(seen, expected);
        }
        let hash = table.hash([7, 6 << 32], 1);
        let entry = table.locate(hash, 10, live).unwrap();
        assert_eq!((entry.identity, entry.server, entry.idle), (hash.identity, handles[2], 10));
        assert_eq!((entry.place.table, entry.place.buckets), (1, 64));
        assert_eq!(table.locate(table.hash([7, 6 << 32], 2), 10, live), None);
        assert_eq!(table.locate(hash, 41, live), None);
    }

    #[test]
    fn a_walk_stops_in_time() {
        let mut table = FlowTable::with_buckets(1024, 40, HashKeys::from_words(KEYS)).unwrap();
        let handles = [ServerHandle::NONE, ServerHandle::first(1)];
        let live = Live::new(&handles);
        for flow in 0..1000 {
            table.lookup_or_insert(table.hash([flow, 0], 1), 0, live, || Some(handles[1]));
        }
        let (mut walk, mut found) = (Walk::default(), Vec::new());
        assert!(table.walk(&mut walk, (2000, 10), 0, live, |_| true, &mut found));
        assert!((10..14).contains(&found.len()));
        assert!(walk.bucket < 100);
    }
}
