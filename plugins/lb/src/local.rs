//! What a worker keeps: its flow table and its counts.

use crate::flow_table::{FlowTable, HashKeys};
use crate::format::VipCounters;
use crate::handle::Live;

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
    swept: u32,
}

impl LbLocal {
    /// An empty table of the default size.
    pub fn new(buckets: u32, timeout: u32) -> LbLocal {
        let flows = FlowTable::with_buckets(buckets, timeout, HashKeys::random());
        LbLocal {
            flows: flows.expect("the defaults are in range"),
            vips: vec![VipCounters::default(); 16],
            servers: vec![ServerCounters::default(); 64],
            swept: 0,
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

    /// Takes back what has expired: as much of the table as is due, so that all of it is looked through twice in the time
    /// after which a silent flow is forgotten.
    pub fn sweep(&mut self, now: u32, live: Live<'_>) {
        let elapsed = now.saturating_sub(self.swept);
        if elapsed == 0 {
            return;
        }
        self.swept = now;
        let buckets = u64::from(self.flows.buckets());
        let due = (buckets * 2 * u64::from(elapsed)).div_ceil(u64::from(self.flows.timeout().max(1)));
        self.flows.sweep(now, live, due.min(buckets) as usize);
    }
}
