//! What a worker keeps: its flow table and its counts.

use vnet::fib::{Forward, ForwardKind, TrackIndex};
use vnet::{NodeId, Tables};

use crate::flow_table::{FlowTable, HashKeys};
use crate::format::VipCounters;
use crate::handle::Live;
use crate::tables::ServerEntry;

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

/// The way to a server, as the tables of one version say.
#[derive(Clone, Copy)]
pub struct Way {
    version: u64,
    /// Where packets for it go on.
    pub forward: Forward,
    /// The longest packet that the way takes; of several ways, that each of them takes.
    pub mtu: u32,
    /// What the engine knows the way by.
    pub track: u32,
}

impl Way {
    /// The tables' way to a server.
    #[cold]
    #[inline(never)]
    pub fn new(tables: &Tables, server: &ServerEntry) -> Way {
        let (version, track, fib) = (tables.version, server.track, &tables.fib4);
        let forward = fib.tracked(TrackIndex(track));
        let mtu_of = |way: &Forward| Some(fib.adjacency(way.adjacency()?).mtu);
        let mtu = match forward.kind {
            ForwardKind::LoadBalance => {
                fib.load_balance(forward.index).and_then(|ways| ways.buckets().iter().filter_map(mtu_of).min())
            }
            _ => mtu_of(&forward),
        };
        Way { version, forward, mtu: mtu.unwrap_or(u32::MAX), track }
    }
}

/// What a worker keeps of a server, in one cache line.
#[derive(Clone)]
#[repr(align(64))]
pub struct ServerLocal {
    /// What went to it.
    pub counters: ServerCounters,
    /// The way there, looked up once for each version of the tables: half a dozen loads in a row less for a packet.
    way: Way,
}

impl Default for ServerLocal {
    fn default() -> Self {
        let forward = Forward::drop(NodeId(0));
        // No tables have this version.
        let way = Way { version: u64::MAX, forward, mtu: 0, track: 0 };
        Self { counters: ServerCounters::default(), way }
    }
}

impl ServerLocal {
    /// The way to the server, which must be the one of this slot.
    #[inline(always)]
    pub fn way(&mut self, tables: &Tables, server: &ServerEntry) -> Way {
        if self.way.version != tables.version {
            self.way = Way::new(tables, server);
        }
        self.way
    }
}

/// A worker's part of the load balancer.
pub struct LbLocal {
    /// The flows it has seen.
    pub flows: FlowTable,
    /// By the VIP's index.
    pub vips: Vec<VipCounters>,
    /// By the server's slot; a server's count begins when it comes to the slot.
    pub servers: Vec<ServerLocal>,
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
            servers: vec![ServerLocal::default(); 64],
            swept: 0,
            owed: 0,
        }
    }

    /// Makes room for VIPs and servers with numbers below these.
    pub fn reserve(&mut self, vips: usize, servers: usize) {
        self.vips.resize(self.vips.len().max(vips.next_power_of_two()), VipCounters::default());
        self.servers.resize(self.servers.len().max(servers.next_power_of_two()), ServerLocal::default());
    }

    /// Counts of a server that comes to a slot begin at 0.
    pub fn reset_server(&mut self, slot: usize) {
        if let Some(server) = self.servers.get_mut(slot) {
            server.counters = ServerCounters::default();
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
