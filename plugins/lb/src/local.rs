//! What a worker keeps: its flow table and its counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nodes::ip::Ip;
use vnet::fib::{Forward, ForwardKind, Snapshot, TrackIndex};
use vnet::mem::HugeArray;
use vnet::wire::{FlowKey4, FlowKey6};
use vnet::{Held, NodeId, Tables, VECTOR};

use crate::config::Encap;
use crate::flow_table::{FlowTable, HashKeys};
use crate::format::VipCounters;
use crate::fragments::{Fragments, InPieces, Room};
use crate::handle::{Live, ServerHandle};
use crate::nat::{Session, Sessions, Shortage, Usual};
use crate::node::find::Left;
use crate::node::fragments::Follow;
use crate::outer::{Outer, ethertype};
use crate::picks::{Picks, PicksMemory};
use crate::tables::{LbTables, ServerEntry};

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

/// The way to a server, as the tables say. Looked up once, until routes, neighbours or interfaces change, or what leads to
/// servers does: half a dozen loads in a row less for a packet.
#[derive(Clone, Copy, zerocopy::FromZeros)]
#[repr(C)]
pub struct Way {
    /// Handle and version, see [`Epoch`].
    key: u64,
    /// What packets for it carry on: the number for the node that they go to,
    pub index: u32,
    /// and what the engine knows the way by.
    pub track: u32,
    /// What leads to it.
    pub outer: Outer,
    /// The node that packets for it go to.
    pub node: NodeId,
    /// The longest packet that the way takes, before it is wrapped; of several ways, that each of them takes.
    pub room: u16,
}

/// A version of what ways are made of, as [`Way`]s note it: its lower half. A way would have to be left alone for 2^32
/// versions to be taken for a present one.
#[derive(Clone, Copy)]
pub struct Epoch(u64);

impl Epoch {
    /// That of no tables that have a server.
    pub const NONE: Epoch = Epoch(0);

    /// That of these tables.
    #[inline(always)]
    pub fn of(tables: &Tables, own: &LbTables) -> Epoch {
        // Neither ever goes back: where one has changed, so has the sum.
        Epoch((tables.forwarding + own.ways()) << 32)
    }

    /// What a way is good for: one server's handle in one version.
    #[inline(always)]
    fn key(self, server: ServerHandle) -> u64 {
        self.0 | u64::from(server.bits())
    }
}

/// No server's: that of a handle with the highest slot, which stands where other slots look, if anywhere.
const NO_KEY: u64 = u64::MAX;

impl Way {
    /// The tables' way to a server. One that leads nowhere is good for no packet.
    #[cold]
    #[inline(never)]
    pub fn new(tables: &Tables, own: &LbTables, server: &ServerEntry) -> Way {
        match (server.encap, server.address) {
            (Encap::L2dsr, IpAddr::V4(_)) => Self::of_link::<Ipv4Addr>(tables, own, server),
            (Encap::L2dsr, IpAddr::V6(_)) => Self::of_link::<Ipv6Addr>(tables, own, server),
            (_, IpAddr::V4(_)) => Self::of::<Ipv4Addr>(tables, own, server),
            (_, IpAddr::V6(_)) => Self::of::<Ipv6Addr>(tables, own, server),
        }
    }

    /// By the forwarding table.
    fn of<A: Ip>(tables: &Tables, own: &LbTables, server: &ServerEntry) -> Way {
        let (track, fib) = (server.track, A::fib(tables));
        let forward = fib.tracked(TrackIndex(track));
        let mtu = mtu_of(fib, forward);
        // And no more gets through, errors say.
        let path = server.encap.outside(server.vip).and_then(|_| tables.path_mtus.get(server.address));
        let mtu = mtu.map(|mtu| path.map_or(mtu, |path| mtu.min(path.into())));
        let key = if forward.is_drop() { NO_KEY } else { Epoch::of(tables, own).key(server.handle) };
        // RFC 791: no packet is longer.
        let mtu = mtu.unwrap_or(u32::MAX).min(u32::from(u16::MAX)) as u16;
        let room = mtu.saturating_sub(server.encap.overhead());
        Way { key, index: forward.index, track, outer: server.outer, node: forward.node, room }
    }

    /// Out of the interface that the server is on, with its MAC. One that is behind a router cannot be reached so.
    fn of_link<A: Ip>(tables: &Tables, own: &LbTables, server: &ServerEntry) -> Way {
        let (track, fib, mac) = (server.track, A::fib(tables), server.outer.mac());
        let forward = fib.tracked(TrackIndex(track));
        let adjacency = forward.adjacency().map(|index| *fib.adjacency(index));
        let Some(adjacency) =
            adjacency.filter(|to| forward.kind == ForwardKind::Glean || to.next_hop == server.address)
        else {
            return Way::none();
        };
        let (key, room) = (Epoch::of(tables, own).key(server.handle), adjacency.mtu.min(u32::from(u16::MAX)) as u16);
        let way = Way { key, index: forward.index, track, outer: Outer::NONE, node: forward.node, room };
        if mac == [0; 6] && forward.kind != ForwardKind::Rewrite {
            // Its MAC is asked for first.
            return way;
        }
        let interface = tables.interface(adjacency.interface);
        let mut link = [0; 14];
        link[..6].copy_from_slice(if mac == [0; 6] { &adjacency.rewrite[..6] } else { &mac });
        link[6..12].copy_from_slice(&interface.mac);
        link[12..].copy_from_slice(&ethertype(server.vip).to_be_bytes());
        Way { outer: Outer::with_link(link), index: adjacency.interface.0, node: interface.output, ..way }
    }

    /// What stands where no way was looked up.
    fn none() -> Way {
        Way { key: NO_KEY, index: 0, track: 0, outer: Outer::NONE, node: NodeId(0), room: 0 }
    }
}

/// The MTU of a way; of several ways, the smallest. `None`: it leads out of no interface.
pub fn mtu_of<A: Ip>(fib: &Snapshot<A>, forward: Forward) -> Option<u32> {
    let of = |way: &Forward| Some(fib.adjacency(way.adjacency()?).mtu);
    match forward.kind {
        ForwardKind::LoadBalance => {
            fib.load_balance(forward.index).and_then(|ways| ways.buckets().iter().filter_map(of).min())
        }
        _ => of(&forward),
    }
}

/// What a worker keeps of a server for its packets: one cache line.
#[derive(Clone, zerocopy::FromZeros)]
#[repr(C, align(64))]
pub struct ServerLocal {
    /// Packets sent to it.
    pub packets: u64,
    /// The way there.
    pub way: Way,
    /// Bytes sent to it, as they came.
    pub bytes: u64,
}

const _: () = assert!(size_of::<ServerLocal>() == 64);

impl ServerLocal {
    /// Whether the way is that to this server, and as the tables of this version say.
    #[inline(always)]
    pub fn knows(&self, server: ServerHandle, epoch: Epoch) -> bool {
        self.way.key == epoch.key(server)
    }
}

/// What a worker's counts stand in, made away from packet threads: what is allocated there is touched there for the first
/// time, too.
pub struct Rooms {
    vips: HugeArray<VipCounters>,
    servers: HugeArray<ServerLocal>,
    begun: HugeArray<u64>,
    picks: PicksMemory,
}

impl Rooms {
    /// For so many VIPs and slots of servers, or some more.
    pub fn new(vips: usize, servers: usize) -> Rooms {
        let (vips, places) = (vips.next_power_of_two(), servers.next_power_of_two());
        let mut servers = zeroed(places);
        servers.fill(ServerLocal { packets: 0, bytes: 0, way: Way::none() });
        Rooms { vips: zeroed(vips), servers, begun: zeroed(places), picks: PicksMemory::new(vips, places) }
    }

    /// For how many VIPs and slots of servers there is room.
    pub fn room(&self) -> (usize, usize) {
        (self.vips.len(), self.servers.len())
    }
}

/// Memory of pages of its own: no other worker writes to the same cache lines. All its pages are there.
pub fn zeroed<T: zerocopy::FromZeros + Clone>(len: usize) -> HugeArray<T> {
    let mut array = HugeArray::new(len).expect("memory for what workers keep of VIPs and servers");
    array.fill(T::new_zeroed());
    array
}

/// A worker's part of the load balancer.
pub struct LbLocal {
    /// The flows it has seen.
    pub flows: FlowTable,
    /// By the VIP's index.
    pub vips: HugeArray<VipCounters>,
    /// By the server's slot; a server's counts begin when it comes to the slot. Of a hundred thousand servers on pages of 4 KB
    /// hardly any would be where the processor knows the page.
    pub servers: HugeArray<ServerLocal>,
    /// By the server's slot: the flows that it was given.
    pub begun: HugeArray<u64>,
    /// Which servers new flows get.
    pub picks: Picks,
    /// Where fragments go.
    pub fragments: Fragments<Follow, Held>,
    /// Flows that fragments have begun, which all workers share.
    pub in_pieces: Arc<InPieces>,
    /// The sessions of NAT: of no room, until there are VIPs that need it.
    pub nat4: Sessions<FlowKey4>,
    /// The same of IPv6.
    pub nat6: Sessions<FlowKey6>,
    /// Packets of NAT that found no source that their server does not see already.
    pub no_source: u64,
    /// Servers for which there was none a short while ago.
    pub shortage: Shortage,
    /// Packets of a vector, for the time of a call of [`find::all`](crate::node::find::all).
    pub(crate) left: Box<[Left; VECTOR]>,
    /// The second up to which `owed` counts.
    swept: u32,
    /// Buckets that are due to be looked through.
    owed: usize,
    /// Places of sessions, likewise.
    owed_places: usize,
}

impl LbLocal {
    /// That of a worker, with an empty table; with the others of its router it shares `in_pieces`.
    pub fn new(worker: usize, buckets: u32, timeout: u32, keys: HashKeys, in_pieces: Arc<InPieces>) -> LbLocal {
        let flows = FlowTable::with_buckets(buckets, timeout, keys);
        let Rooms { vips, servers, begun, picks } = Rooms::new(16, 64);
        LbLocal {
            flows: flows.expect("the defaults are in range"),
            vips,
            servers,
            begun,
            picks: Picks::new(worker, picks),
            fragments: Fragments::new(Room::default()),
            in_pieces,
            nat4: Sessions::with_capacity(0, keys.words()),
            nat6: Sessions::with_capacity(0, keys.words()),
            no_source: 0,
            shortage: Shortage::default(),
            left: Box::new([Left::default(); VECTOR]),
            swept: 0,
            owed: 0,
            owed_places: 0,
        }
    }

    /// For how many VIPs and slots of servers there is room.
    pub fn room(&self) -> (usize, usize) {
        (self.vips.len(), self.servers.len())
    }

    /// Goes on in other rooms, which are not smaller. Those of before are the caller's to free.
    pub fn move_to(&mut self, mut rooms: Rooms) -> Rooms {
        let (vips, servers) = self.room();
        if rooms.vips.len() >= vips && rooms.servers.len() >= servers {
            rooms.vips[..vips].copy_from_slice(&self.vips);
            rooms.servers[..servers].clone_from_slice(&self.servers);
            rooms.begun[..servers].copy_from_slice(&self.begun);
            std::mem::swap(&mut self.vips, &mut rooms.vips);
            std::mem::swap(&mut self.servers, &mut rooms.servers);
            std::mem::swap(&mut self.begun, &mut rooms.begun);
            rooms.picks = self.picks.grow(rooms.picks);
        }
        rooms
    }

    /// Counts of a server that comes to a slot begin at 0.
    pub fn reset_server(&mut self, slot: usize) {
        if let Some(server) = self.servers.get_mut(slot) {
            (server.packets, server.bytes, self.begun[slot]) = (0, 0, 0);
        }
    }

    /// What went to the server of a slot.
    pub fn counters(&self, slot: usize) -> Option<ServerCounters> {
        let (server, begun) = (self.servers.get(slot)?, self.begun.get(slot)?);
        Some(ServerCounters { packets: server.packets, bytes: server.bytes, flows: *begun })
    }

    /// Counts of a VIP that comes to an index begin at 0.
    pub fn reset_vip(&mut self, index: usize) {
        if let Some(counters) = self.vips.get_mut(index) {
            *counters = VipCounters::default();
        }
    }

    /// How many buckets to look through in this pass: in all, the table twice in the time after which a silent flow is
    /// forgotten, and nothing while it is empty. At least one while flows are moving to a table of another size, or while there are
    /// sessions to look at.
    pub fn due(&mut self, now: u32) -> usize {
        let elapsed = now.saturating_sub(self.swept);
        if elapsed > 0 {
            self.swept = now;
            let round = u64::from(self.flows.timeouts().to_sweep().max(1));
            let more = |all: usize| (all as u64 * 2 * u64::from(elapsed)).div_ceil(round);
            let owed = |owed: usize, all: usize, used: usize| match used {
                0 => 0,
                _ => (owed as u64 + more(all)).min(all as u64) as usize,
            };
            let sessions = self.nat4.used() + self.nat6.used();
            let places = self.nat4.capacity().max(self.nat6.capacity());
            self.owed_places = owed(self.owed_places, places, sessions);
            self.owed = owed(self.owed, self.flows.buckets() as usize, self.flows.used());
        }
        let least = self.flows.is_moving() || self.owed_places > 0;
        self.owed.min(PER_PASS).max(usize::from(least))
    }

    /// Takes back what has expired in so many buckets, and sessions whose flows are forgotten. Returns whether more are
    /// due.
    pub fn sweep(&mut self, now: u32, live: Live<'_>, buckets: usize) -> bool {
        self.flows.sweep(now, live, buckets);
        self.owed = self.owed.saturating_sub(buckets);
        let places = self.owed_places.min(PER_PASS * WAYS);
        self.owed_places -= places;
        let LbLocal { flows, nat4, nat6, .. } = self;
        nat4.sweep(places, |session| stays(session, flows, now, live));
        nat6.sweep(places, |session| stays(session, flows, now, live));
        self.owed > 0 || self.owed_places > 0 || self.flows.is_moving()
    }
}

/// Whether a session's flow is remembered, or its server's part of that. If not, the session is to go: not at once, because a flow that
/// found no room in the flow table has nothing but its session, which the answer needs.
pub fn stays<K: Usual>(session: &Session<K>, flows: &mut FlowTable, now: u32, live: Live<'_>) -> bool {
    let known = |flow| flows.peek(flow, now, live) == Some(session.handle);
    let stays =
        known(session.flow) || known(session.flow.with(session.handle)) || now.saturating_sub(session.seen) < GRACE;
    if !stays {
        // What was silent for too long may not have been once timeouts are longer.
        flows.set_straight(session.flow, session.handle, false);
    }
    stays
}

/// Seconds for which a session stays by itself: long enough for an answer, and short, because whoever floods a balancer with flows takes
/// its places for as long.
const GRACE: u32 = 2;

/// Sessions that there may be for each bucket of the flow table: as many as flows.
pub const WAYS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_move_to_larger_rooms_and_never_to_smaller_ones() {
        let mut local = LbLocal::new(0, 1024, 40, HashKeys::random(), Arc::default());
        let (vips, servers) = local.room();
        (local.vips[3].new, local.servers[5].packets, local.begun[5]) = (7, 8, 9);
        // One kind grows, the other stays as it is.
        let before = local.move_to(Rooms::new(vips, servers + 1));
        assert_eq!((before.vips.len(), before.servers.len()), (vips, servers));
        assert_eq!(local.room(), (vips, servers * 2));
        assert_eq!((local.vips[3].new, local.servers[5].packets, local.begun[5]), (7, 8, 9));
        assert!(local.counters(servers * 2 - 1).is_some() && local.counters(servers * 2).is_none());
        let _ = local.move_to(Rooms::new(vips * 4, 1));
        assert_eq!(local.room(), (vips, servers * 2));
    }
}
