//! The parts of a worker that nodes reach while they run.

use std::any::{Any, TypeId};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;

use super::frame::Queues;
use super::node::NoBuffers;
use super::stats::NodeStats;
use super::tally::Tally;
use crate::ids::{IfIndex, NodeId};
use crate::interface::IfStats;
use crate::mem::{Buffer, Memory, Packet, Pool};
use crate::neighbor::Learn;
use crate::router::Router;
use crate::tables::Tables;

/// The time of a pass over the graph: read once, used by all nodes of the pass.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Nanoseconds since the router started.
    pub nanos: u64,
    /// Seconds since the router started.
    pub seconds: u32,
    /// The same moment for comparison with other threads' times.
    pub instant: Instant,
}

/// What a packet thread tells the control thread.
pub enum Notice {
    /// An address was seen at a MAC.
    Learn(Learn),
    /// An IPv6 address was seen at a MAC.
    Learn6(Learn<Ipv6Addr>),
    /// Packets wait for a neighbour's link address.
    Want {
        /// On this interface.
        interface: IfIndex,
        /// The neighbour.
        target: IpAddr,
    },
    /// An ICMP error says that no longer packets get to the other end of a tunnel.
    PathMtu {
        /// The other end.
        destination: IpAddr,
        /// In bytes.
        mtu: u16,
    },
    /// Anything else; rare, as it costs an allocation.
    Call(Box<dyn FnOnce(&mut Router) + Send>),
}

/// The mailbox of the control thread.
pub(crate) struct Outbox {
    pub(crate) queue: ArrayQueue<Notice>,
    pub(crate) waker: RwLock<Option<Box<dyn Fn() + Send + Sync>>>,
}

/// Worker-local state by type.
#[derive(Default)]
pub struct Locals {
    values: Vec<(TypeId, Box<dyn Any + Send>)>,
}

impl Locals {
    pub(crate) fn insert(&mut self, value: Box<dyn Any + Send>) {
        self.values.push(((*value).type_id(), value));
    }

    /// The state at a slot that the registry gave for this type.
    #[inline(always)]
    pub(crate) fn at<T: 'static>(&mut self, slot: usize) -> &mut T {
        // Settled when the code is compiled; a box of nothing takes no memory.
        let nothing: &'static mut () = Box::leak(Box::new(()));
        if let Some(nothing) = (nothing as &mut dyn Any).downcast_mut() {
            return nothing;
        }
        self.values[slot].1.downcast_mut().expect("the slot was found by this type")
    }

    /// The state of this type.
    pub fn get<T: 'static>(&mut self) -> Option<&mut T> {
        let slot = self.values.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.values[slot].1.downcast_mut()
    }
}

/// Tracing in one worker.
#[derive(Default)]
pub(crate) struct TraceState {
    pub(crate) store: trace::Store,
    /// For each node, how many more packets to trace.
    pub(crate) wanted: Vec<u32>,
}

/// A worker's parts while nodes run; their own state ([`Locals`]) is lent beside them.
pub(crate) struct Parts<'p> {
    pub(crate) pool: &'p mut Pool,
    pub(crate) memory: &'p Memory,
    pub(crate) queues: &'p mut Queues,
    pub(crate) tables: &'p Tables,
    /// Counters of the node that runs.
    pub(crate) stats: &'p NodeStats,
    /// Counters of all nodes, by number.
    pub(crate) all_stats: &'p [Arc<NodeStats>],
    pub(crate) interfaces: &'p [Arc<IfStats>],
    pub(crate) trace: &'p mut TraceState,
    pub(crate) outbox: &'p Outbox,
    pub(crate) now: Now,
    pub(crate) node: NodeId,
    pub(crate) worker: usize,
    /// What the node that runs has told of its packets.
    pub(crate) told: Option<Tally>,
}

impl Parts<'_> {
    #[inline(always)]
    pub(crate) fn interface(&self, interface: IfIndex) -> &IfStats {
        self.interfaces.get(interface.index()).unwrap_or(&self.interfaces[0])
    }

    pub(crate) fn stamp(&self) -> trace::Stamp {
        trace::Stamp(self.now.instant_micros())
    }

    pub(crate) fn notify(&self, notice: Notice) -> bool {
        self.outbox.send(notice)
    }

    /// Makes a packet of `body`, finished by `build`; `Ok(None)` where `build` changed its mind.
    pub(crate) fn build<R>(
        &mut self,
        rx: IfIndex,
        trace: u32,
        body: &mut dyn Iterator<Item = &[u8]>,
        build: impl FnOnce(&mut Packet<'_>) -> Option<R>,
    ) -> Result<Option<(R, Buffer)>, NoBuffers> {
        let mut buffer = self.pool.alloc().ok_or(NoBuffers)?;
        for piece in body {
            if !self.pool.append(&mut buffer, piece) {
                self.pool.free(buffer);
                return Err(NoBuffers);
            }
        }
        Ok(if let Some(made) = self.finish_build(rx, trace, &mut buffer, build) {
            Some((made, buffer))
        } else {
            self.pool.free(buffer);
            None
        })
    }

    fn finish_build<R>(
        &self,
        rx: IfIndex,
        trace: u32,
        buffer: &mut Buffer,
        build: impl FnOnce(&mut Packet<'_>) -> Option<R>,
    ) -> Option<R> {
        let mut packet = self.pool.packet(buffer);
        packet.inherit(rx, trace);
        build(&mut packet)
    }
}

impl Now {
    /// Microseconds from the router's start to this very moment (not that of the pass), for traces.
    fn instant_micros(&self) -> u64 {
        self.nanos / 1000 + self.instant.elapsed().as_micros() as u64
    }
}
