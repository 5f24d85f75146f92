//! What a worker keeps: its flow table and its counts.

use crate::flow_table::{FlowTable, HashKeys};
use crate::format::VipCounters;
use crate::handle::Live;

/// Buckets looked through in one pass, of those that are due: so few that no packet waits for it noticeably.
const PER_PASS: usize = 256;

/// What went to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ServerCounters {
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets, as they came.
    pub bytes: u64,
    /// Flows begun.
    pub flows: u64,
}

/// A worker's part of the load balancer.
pub struct LbLocal {
    /// The flows it has seen.
    pub flows: FlowTable,
    /// By the VIP's index.
    pub vips: Vec<VipCounters>,
    /// By the server's slot; a server's count begins with its handle's slot being given to it.
    pub servers: Vec<ServerCounters>,
    /// The second up to which `owed` counts.
    swept: u32,
    /// Buckets that are due to be looked through.
    owed: usize,
}

impl LbLocal {
    /// An empty table of the default size.
    pub fn new(buckets: u32, timeout: u32, keys: HashKeys) -> LbLocal {
        let flows = FlowTable::with_buckets(buckets, timeout, keys);
        LbLocal {
            flows: flows.expect("the defaults are in range"),
            vips: vec![VipCounters::default(); 16],
            servers: vec![ServerCounters::default(); 64],
            swept: 0,
            owed: 0,
        }
    }

    /// Makes room for VIPs and servers with numbers below these.
    pub fn reserve(&mut self, vips: usize, servers: usize) {
        self.vips.resize(self.vips.len().max(vips.next_power_of_two()), VipCounters::default());
        self.servers.resize(self.servers.len().max(servers.next_power_of_two()), ServerCounters::default());
    }

    /// Counts of a server that comes to a slot begin at 0.
    pub fn reset_server(&mut self, slot: usize) {
        if let Some(counters) = self.servers.get_mut(slot) {
            *counters = ServerCounters::default();
        }
    }

    /// Counts of a VIP that comes to an index begin at 0.
    pub fn reset_vip(&mut self, index: usize) {
        if let Some(counters) = self.vips.get_mut(index) {
            *counters = VipCounters::default();
        }
    }

    /// How many buckets to look through in this pass: in all, the table twice in the time after which a silent flow is
    /// forgotten, and nothing while it is empty.
    pub fn due(&mut self, now: u32) -> usize {
        let elapsed = now.saturating_sub(self.swept);
        if elapsed > 0 {
            self.swept = now;
            let buckets = u64::from(self.flows.buckets());
            let more = (buckets * 2 * u64::from(elapsed)).div_ceil(u64::from(self.flows.timeout().max(1)));
            let owed = (self.owed as u64 + more).min(buckets) as usize;
            self.owed = if self.flows.used() == 0 { 0 } else { owed };
        }
        self.owed.min(PER_PASS)
    }

    /// Takes back what has expired in so many buckets. Returns whether more are due.
    pub fn sweep(&mut self, now: u32, live: Live<'_>, buckets: usize) -> bool {
        self.flows.sweep(now, live, buckets);
        self.owed = self.owed.saturating_sub(buckets);
        self.owed > 0
    }
}
