//! Which server a new flow gets, on one worker: what schedulers remember between two flows.

use vnet::mem::HugeArray;

use crate::config::Scheduler;
use crate::flow_table::FlowTable;
use crate::handle::ServerHandle;
use crate::local::zeroed;
use crate::slot_hash::FlowWords;
use crate::tables::{LbTables, VipEntry};

/// A worker's place in the lists of schedulers that go by turns, and what it knows of the other workers' flows.
///
/// Every worker goes through a list by itself, so each server has of each worker's flows its share to less than one
/// flow, and of all workers' flows to less than one per worker.
pub struct Picks {
    /// By the VIP's index.
    turns: HugeArray<Turn>,
    /// By the server's slot.
    loads: HugeArray<Load>,
    worker: usize,
    workers: u32,
}

/// The next place in a list.
#[derive(Clone, Copy, zerocopy::FromZeros)]
struct Turn {
    /// The list that this is a place in ([`VipEntry::version`]).
    version: u32,
    at: u32,
}

/// What is known of a server's flows on all workers.
#[derive(Clone, Copy, zerocopy::FromZeros)]
struct Load {
    /// Whose flows; those of another handle are not known.
    server: ServerHandle,
    /// On all workers, when they were counted last,
    sum: u32,
    /// and on this one then.
    base: u32,
    /// On this one, in the count that is under way.
    counted: u32,
}

/// Memory for [`Picks`], made away from packet threads.
pub struct PicksMemory {
    turns: HugeArray<Turn>,
    loads: HugeArray<Load>,
}

impl PicksMemory {
    /// For so many VIPs and slots of servers.
    pub fn new(vips: usize, servers: usize) -> PicksMemory {
        PicksMemory { turns: zeroed(vips), loads: zeroed(servers) }
    }
}

impl Picks {
    /// Those of a worker, in this memory.
    pub fn new(worker: usize, PicksMemory { turns, loads }: PicksMemory) -> Picks {
        Picks { turns, loads, worker, workers: 1 }
    }

    /// Goes on with other memory, which is not smaller. That of before is the caller's to free.
    pub fn grow(&mut self, mut memory: PicksMemory) -> PicksMemory {
        if memory.turns.len() >= self.turns.len() && memory.loads.len() >= self.loads.len() {
            memory.turns[..self.turns.len()].copy_from_slice(&self.turns);
            memory.loads[..self.loads.len()].copy_from_slice(&self.loads);
            std::mem::swap(&mut self.turns, &mut memory.turns);
            std::mem::swap(&mut self.loads, &mut memory.loads);
        }
        memory
    }

    /// The server of a flow that is new, from the words of its key (masked already), and a note of it.
    pub fn choose(
        &mut self,
        tables: &LbTables,
        flows: &FlowTable,
        index: u32,
        vip: &VipEntry,
        words: impl FlowWords,
    ) -> Option<ServerHandle> {
        let (server, next) = self.next(tables, flows, index, vip, words)?;
        if let Some(turn) = self.turns.get_mut(index as usize) {
            *turn = Turn { version: vip.version, at: next };
        }
        Some(server)
    }

    /// The same without a note.
    pub fn peek(
        &self,
        tables: &LbTables,
        flows: &FlowTable,
        index: u32,
        vip: &VipEntry,
        words: impl FlowWords,
    ) -> Option<ServerHandle> {
        self.next(tables, flows, index, vip, words).map(|(server, _)| server)
    }

    /// A server, and the place in the list to go on at.
    fn next(
        &self,
        tables: &LbTables,
        flows: &FlowTable,
        index: u32,
        vip: &VipEntry,
        words: impl FlowWords,
    ) -> Option<(ServerHandle, u32)> {
        match vip.scheduler {
            Scheduler::Maglev | Scheduler::Sh | Scheduler::Hash => Some((tables.choose(vip, words)?, 0)),
            Scheduler::Rr | Scheduler::Wrr => {
                let at = self.turn(index, vip);
                let next = if at as usize + 1 < vip.slots.len() { at + 1 } else { 0 };
                Some((tables.present(*vip.slots.get(at as usize)?)?, next))
            }
            Scheduler::Lc | Scheduler::Wlc => Some((self.least(tables, flows, vip)?, 0)),
        }
    }

    /// Where this worker is in a VIP's list.
    fn turn(&self, index: u32, vip: &VipEntry) -> u32 {
        match self.turns.get(index as usize) {
            Some(turn) if turn.version == vip.version => turn.at,
            // Any place is as good to begin at where all have the same share: not all workers give their first flows to
            // the same servers. Elsewhere shares are even from the list's beginning on only.
            _ if vip.scheduler == Scheduler::Rr => {
                let fraction = (self.worker as u32).wrapping_mul(GOLDEN);
                ((u64::from(fraction) * vip.slots.len() as u64) >> 32) as u32
            }
            _ => 0,
        }
    }

    /// The server with the fewest flows, divided by its weight for [`Scheduler::Wlc`]; the first of several.
    fn least(&self, tables: &LbTables, flows: &FlowTable, vip: &VipEntry) -> Option<ServerHandle> {
        let weighted = vip.scheduler == Scheduler::Wlc;
        let mut best: Option<(ServerHandle, u64, u64)> = None;
        for &slot in vip.slots.iter() {
            let Some(server) = tables.present(slot) else { continue };
            let weight = if weighted { tables.server(server).map_or(1, |entry| u64::from(entry.weight)) } else { 1 };
            let load = self.load(server, flows.flows(server));
            // As fractions: load / weight < least / heaviest.
            if best.is_none_or(|(_, least, of)| load * of < least * weight) {
                best = Some((server, load, weight));
            }
        }
        best.map(|(server, ..)| server)
    }

    /// How many flows a server has on all workers, as far as this one can know: the sum of the last count, and since
    /// then as many more on each as on this one. Were it only this one's own, all workers would make up for the same
    /// difference at the same time.
    fn load(&self, server: ServerHandle, own: u32) -> u64 {
        let known = self.loads.get(server.slot()).filter(|load| load.server == server);
        let (sum, base) = known.map_or((0, 0), |load| (load.sum, load.base));
        let since = (i64::from(own) - i64::from(base)) * i64::from(self.workers);
        (i64::from(sum) + since).max(0) as u64
    }

    /// The first half of a count: this worker's flows of each server.
    pub fn count(&mut self, flows: &FlowTable, servers: &[ServerHandle]) -> Vec<u32> {
        let one = |&server: &ServerHandle| {
            let own = flows.flows(server);
            if let Some(load) = self.loads.get_mut(server.slot()) {
                if load.server != server {
                    *load = Load { server, sum: 0, base: 0, counted: 0 };
                }
                load.counted = own;
            }
            own
        };
        servers.iter().map(one).collect()
    }

    /// The second half: the sums over all workers.
    pub fn settle(&mut self, servers: &[ServerHandle], sums: &[u32], workers: u32) {
        self.workers = workers.max(1);
        for (server, &sum) in servers.iter().zip(sums) {
            if let Some(load) = self.loads.get_mut(server.slot()).filter(|load| load.server == *server) {
                (load.sum, load.base) = (sum, load.counted);
            }
        }
    }
}

/// 2^32 divided by the golden ratio: its multiples lie evenly, however many there are.
const GOLDEN: u32 = 0x9e37_79b9;
