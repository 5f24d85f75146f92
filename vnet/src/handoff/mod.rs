//! Packets that go from one worker to another, because another worker's state decides what becomes of them.
//!
//! A crate that needs this says so with [`Builder::hand_over`](crate::Builder::hand_over). Its node names `worker-handoff` among
//! its next nodes, says [`Packet::hand_over(worker, node)`](crate::Packet::hand_over) and sends the packet there:
//!
//! ```
//! vnet::next_nodes! {
//!     enum Next {
//!         Drop => "error-drop",
//!         HandOver => "worker-handoff",
//!     }
//! }
//! fn to_its_owner(packet: &mut vnet::Packet<'_>, owner: usize, this_node: vnet::NodeId) -> Next {
//!     packet.hand_over(owner, this_node);
//!     Next::HandOver
//! }
//! ```
//!
//! In its next pass the other worker has the packet in front of `node`, with its bytes and all that
//! [`Meta`](crate::Meta) says, but in a buffer of its own: buffers stay with their workers, so the bytes are copied, through a ring
//! for each pair of workers. What one worker sends another arrives in order. A ring that is full loses the packet; it is
//! counted as `congestion drop`. The other worker's tables are as new as the sender's or newer: what the packet says of
//! their contents by number may be gone, as it may be for a packet that was held.
//!
//! A packet that is handed over to the worker it is on goes to the node at once. So a node need not know how many workers there
//! are, although it costs less to ask first.

mod input;
mod output;
mod ring;

use std::sync::Arc;

use crate::mem::CARRIED;
use crate::registry::NodeSpec;
use crate::worker::WorkerShared;
use ring::{Reader, Ring, Writer};

/// Bytes of the ring between two workers, for whoever has no reason to take another number: sixty of the largest packets, which is
/// more than a TCP connection mostly has under way, or ten vectors of full Ethernet frames, so that a worker may be some passes
/// behind. Only what is used of it takes memory.
pub const ROOM: usize = 1 << 22;

/// Two of the largest packets, and what describes them.
const LEAST: usize = 2 * 65_536 + 4096;

/// Words in front of a packet's bytes: the tables' version, the node and the trace, and what describes the packet.
const HEAD: usize = 2 + CARRIED;

/// The rings between all workers of a router.
pub(crate) struct Exchange {
    /// By sender and receiver; none from a worker to itself.
    rings: Vec<Vec<Option<Arc<Ring>>>>,
    workers: Vec<Arc<WorkerShared>>,
}

impl Exchange {
    /// Rings of `bytes` bytes each.
    ///
    /// # Errors
    /// When the kernel has no memory left.
    pub(crate) fn new(workers: &[Arc<WorkerShared>], bytes: usize) -> std::io::Result<Arc<Exchange>> {
        let count = workers.len();
        let ring = |from, to| (from != to).then(|| Ring::new(bytes.max(LEAST))).transpose();
        let rings = (0..count).map(|from| (0..count).map(|to| ring(from, to)).collect()).collect::<Result<_, _>>()?;
        Ok(Arc::new(Exchange { rings, workers: workers.to_vec() }))
    }

    /// The nodes that put packets into the rings and take them out.
    pub(crate) fn nodes(self: &Arc<Exchange>) -> Vec<NodeSpec> {
        let sender = self.clone();
        let mut nodes = vec![output::spec(move |worker| output::HandOff::new(sender.clone(), worker))];
        if self.workers.len() > 1 {
            let receiver = self.clone();
            nodes.push(input::spec(move |worker| input::Arrivals::new(receiver.readers(worker))));
        }
        nodes
    }

    fn writers(&self, from: usize) -> Vec<Option<Writer>> {
        self.rings[from].iter().map(|ring| ring.clone().map(Writer::new)).collect()
    }

    fn readers(&self, to: usize) -> Vec<(usize, Reader)> {
        let all = self.rings.iter().enumerate();
        all.filter_map(|(from, rings)| Some((from, Reader::new(rings[to].clone()?)))).collect()
    }

    /// Whether nothing waits for this worker.
    pub(crate) fn is_quiet(&self, to: usize) -> bool {
        self.rings.iter().all(|rings| rings[to].as_ref().is_none_or(|ring| ring.is_empty()))
    }

    fn wake(&self, worker: usize) {
        self.workers[worker].nudge();
    }

    /// What was handed over, by sender and receiver.
    pub(crate) fn flows(&self) -> Vec<HandOver> {
        let all = self.rings.iter().enumerate();
        let pairs = all.flat_map(|(from, rings)| rings.iter().enumerate().map(move |(to, ring)| (from, to, ring)));
        pairs
            .filter_map(|(from, to, ring)| {
                let ring = ring.as_ref()?;
                let (packets, bytes) = (ring.written.packets.get(), ring.written.bytes.get());
                let (waiting, room) = (ring.waiting(), ring.room());
                Some(HandOver { from, to, packets, bytes, congested: ring.written.congested.get(), waiting, room })
            })
            .collect()
    }
}

/// What one worker has handed over to another since the router started.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct HandOver {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
    /// Packets lost because the ring was full.
    pub congested: u64,
    /// Bytes that wait in the ring.
    pub waiting: usize,
    /// Bytes that it holds.
    pub room: usize,
}
