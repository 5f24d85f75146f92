//! A packet thread: one copy of the graph, its buffers, and the loop that runs it.

mod pass;

use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_queue::SegQueue;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::counters::Counter;
use crate::graph::{
    Dispatch, Frame, Held, Locals, Look, LookedAt, NodeStats, Now, Outbox, Parts, Poll, Queues, TraceState,
};
use crate::handoff::Exchange;
use crate::ids::NodeId;
use crate::interface::IfStats;
use crate::mem::{Lending, Memory, Packet, Pool};
use crate::nap;
use crate::patience::Patience;
use crate::tables::{Published, Tables};
use pass::Pass;

/// A closure that the control thread wants run between two passes.
pub(crate) type Mail = Box<dyn FnOnce(&mut Worker) + Send>;

/// What the control thread and a worker share, and no other worker.
#[repr(align(128))]
pub(crate) struct WorkerShared {
    mail: SegQueue<Mail>,
    sleeping: AtomicBool,
    stop: AtomicBool,
    /// The version of the tables that the worker uses.
    pub(crate) using: AtomicU64,
    wake: EventFd,
    /// What the loop counts.
    pub(crate) stats: LoopStats,
}

/// What a worker's loop counts, for `show threads` and `show runtime`.
#[derive(Default)]
pub struct LoopStats {
    /// Passes.
    pub loops: Counter,
    /// Times the thread went to sleep.
    pub sleeps: Counter,
    /// Times it was woken by mail, new tables, or packets from other workers.
    pub wakeups: Counter,
    /// Frames dispatched to nodes that are no input nodes.
    pub frames: Counter,
    /// Packets in them.
    pub vectors: Counter,
    /// Linux's number of the thread.
    pub tid: Counter,
}

impl WorkerShared {
    pub(crate) fn new() -> std::io::Result<WorkerShared> {
        Ok(WorkerShared {
            mail: SegQueue::new(),
            sleeping: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            using: AtomicU64::new(0),
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
            stats: LoopStats::default(),
        })
    }

    pub(crate) fn post(&self, mail: Mail) {
        self.mail.push(mail);
        self.nudge();
    }

    /// Wakes the worker if it sleeps.
    pub(crate) fn nudge(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) {
            // The counter of an eventfd is full after 2^64 - 2 wake-ups at the earliest; then it is awake anyway.
            let _ = self.wake.write(1);
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.wake.write(1);
    }
}

/// A packet thread's state. Mail from the control thread gets it between two passes.
pub struct Worker {
    index: usize,
    pool: Pool,
    memory: Arc<Memory>,
    queues: Queues,
    locals: Locals,
    nodes: Vec<Box<dyn Dispatch>>,
    stats: Vec<Arc<NodeStats>>,
    inputs: Vec<NodeId>,
    interfaces: Vec<Arc<IfStats>>,
    trace: TraceState,
    tables: Arc<Tables>,
    published: Arc<Published>,
    shared: Arc<WorkerShared>,
    outbox: Arc<Outbox>,
    epoll: Epoll,
    clock: quanta::Clock,
    start: Instant,
    /// When the last pass began, in nanoseconds after that.
    now: u64,
    scratch: Box<Frame>,
    exchange: Option<Arc<Exchange>>,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        pool: Pool,
        locals: Locals,
        published: Arc<Published>,
        shared: Arc<WorkerShared>,
        outbox: Arc<Outbox>,
        start: Instant,
    ) -> std::io::Result<Worker> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&shared.wake, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let tables = published.load();
        shared.using.store(tables.version, Ordering::SeqCst);
        Ok(Worker {
            index,
            memory: pool.memory(),
            pool,
            queues: Queues::new(),
            locals,
            nodes: Vec::new(),
            stats: Vec::new(),
            inputs: Vec::new(),
            // A thread may run before the mail that brings it `local0`, whose place the others fall back to.
            interfaces: vec![Arc::default()],
            trace: TraceState::default(),
            tables,
            published,
            shared,
            outbox,
            epoll,
            clock: quanta::Clock::new(),
            start,
            now: 0,
            scratch: Frame::new(),
            exchange: None,
        })
    }

    /// This worker's number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Seconds since the router started.
    pub fn seconds(&self) -> u32 {
        self.start.elapsed().as_secs() as u32
    }

    /// The tables of the last pass.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// State that nodes of this worker share.
    pub fn local<T: 'static>(&mut self) -> Option<&mut T> {
        self.locals.get()
    }

    /// A node of this worker.
    pub fn node<N: 'static>(&mut self, node: NodeId) -> Option<&mut N> {
        self.nodes.get_mut(node.index())?.as_any().downcast_mut()
    }

    /// Lets `look` see every packet that comes to a node; `None` ends that, as does the node's end.
    pub fn look_at(&mut self, node: NodeId, look: Option<Look>) {
        let Some(place) = self.nodes.get_mut(node.index()) else { return };
        if let Some(bare) = place.take_looked_at() {
            *place = bare;
        }
        if let Some(look) = look {
            let bare = self.nodes.remove(node.index());
            self.nodes.insert(node.index(), Box::new(LookedAt::new(look, bare)));
        }
    }

    /// Sleep ends when this descriptor becomes readable. Closing the descriptor ends the watch.
    ///
    /// # Errors
    /// The kernel's.
    pub fn watch(&self, descriptor: impl AsFd) -> std::io::Result<()> {
        Ok(self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, 1))?)
    }

    /// Ends [`Worker::watch`] for a descriptor that stays open.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unwatch(&self, descriptor: impl AsFd) -> std::io::Result<()> {
        Ok(self.epoll.delete(descriptor)?)
    }

    /// Sends a held packet to a node, changed by `change` first.
    pub fn release(&mut self, held: Held, to: NodeId, change: impl FnOnce(&mut Packet<'_>)) {
        let mut buffer = self.pool.take_back(held);
        let mut packet = self.memory.packet(&mut buffer);
        change(&mut packet);
        let traced = packet.is_traced();
        self.queues.push(to, buffer, traced);
    }

    /// Makes a packet of `bytes` and sends it to a node, completed by `finish`; `false` where no buffer was free.
    pub fn inject(&mut self, bytes: &[u8], to: NodeId, finish: impl FnOnce(&mut Packet<'_>)) -> bool {
        let Some(mut buffer) = self.pool.alloc() else { return false };
        if !self.pool.append(&mut buffer, bytes) {
            self.pool.free(buffer);
            return false;
        }
        finish(&mut self.memory.packet(&mut buffer));
        self.queues.push(to, buffer, false);
        true
    }

    /// The buffers, for a device that reads and writes them itself.
    pub fn lending(&mut self) -> Lending<'_> {
        Lending::new(&mut self.pool)
    }

    /// Buffers that are not free.
    pub fn buffers_in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// The traces of this worker.
    pub fn traces(&mut self) -> &mut trace::Store {
        &mut self.trace.store
    }

    /// Traces the next `count` packets that an input node brings in.
    pub fn trace_add(&mut self, node: NodeId, count: u32) {
        let wanted = &mut self.trace.wanted[node.index()];
        *wanted = wanted.saturating_add(count);
    }

    /// Forgets the traces and what was still to be traced.
    pub fn trace_clear(&mut self) {
        self.trace.store.clear();
        self.trace.wanted.fill(0);
    }

    /// Joins the workers that hand packets over to each other.
    pub(crate) fn join(&mut self, exchange: Arc<Exchange>) {
        self.exchange = Some(exchange);
    }

    pub(crate) fn install(&mut self, node: NodeId, dispatch: Box<dyn Dispatch>, stats: Arc<NodeStats>, input: bool) {
        self.queues.grow(node.index() + 1);
        if node.index() < self.nodes.len() {
            self.nodes[node.index()] = dispatch;
            self.stats[node.index()] = stats;
            self.inputs.retain(|&other| other != node);
        } else {
            self.nodes.push(dispatch);
            self.stats.push(stats);
            self.trace.wanted.push(0);
        }
        if input {
            self.inputs.push(node);
        }
    }

    pub(crate) fn install_interface(&mut self, index: usize, stats: Arc<IfStats>) {
        if index < self.interfaces.len() {
            self.interfaces[index] = stats;
        } else {
            self.interfaces.push(stats);
        }
    }

    pub(crate) fn clear_runtime(&mut self) {
        self.stats.iter().for_each(|stats| stats.clear_runtime());
        let counts = &self.shared.stats;
        [&counts.loops, &counts.frames, &counts.vectors].into_iter().for_each(|counter| counter.set(0));
    }

    /// Adds to a node's counters what the control thread found out; codes that the node does not have are left out.
    pub(crate) fn count_errors(&mut self, node: NodeId, counts: &[(u16, u64)]) {
        let Some(stats) = self.stats.get(node.index()) else { return };
        for &(code, times) in counts {
            if let Some(counter) = stats.errors.get(usize::from(code)) {
                counter.add(times);
            }
        }
    }

    pub(crate) fn clear_errors(&mut self) {
        self.stats.iter().for_each(|stats| stats.clear_errors());
    }

    pub(crate) fn clear_interfaces(&mut self) {
        self.interfaces.iter().for_each(|stats| stats.clear());
    }

    /// Runs until the router stops.
    pub(crate) fn run(mut self) {
        self.shared.stats.tid.set(nix::unistd::gettid().as_raw() as u64);
        nap::be_punctual();
        let mut patience = Patience::new();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let until = match self.pass() {
                Poll::Busy(_) => {
                    patience.begin_anew();
                    continue;
                }
                Poll::Idle => None,
                Poll::Until(when) => Some(when),
            };
            if !self.pool.make_ahead() && patience.is_over(self.now) {
                self.sleep(until, &mut patience);
            }
        }
    }

    /// One pass: mail, new tables, then every input node and all that follows from what it brought.
    pub(crate) fn pass(&mut self) -> Poll {
        let mut mail = 0;
        // Taking from an empty queue costs a fence.
        while !self.shared.mail.is_empty()
            && let Some(letter) = self.shared.mail.pop()
        {
            letter(self);
            mail += 1;
        }
        if self.published.version() != self.tables.version {
            self.tables = self.published.load();
            self.shared.using.store(self.tables.version, Ordering::Release);
        }
        self.shared.stats.loops.add(1);
        let instant = Instant::now();
        let nanos = instant.duration_since(self.start).as_nanos() as u64;
        self.now = nanos;
        if self.stats.is_empty() {
            // A thread may run before the mail that brings it nodes.
            return if mail > 0 { Poll::Busy(mail) } else { Poll::Idle };
        }
        let mut pass = self.begin(Now { nanos, seconds: (nanos / 1_000_000_000) as u32, instant });
        let (mut seen, mut until) = (mail, None);
        // Packets released by mail.
        seen += pass.drain();
        for &input in pass.inputs {
            match pass.poll(input) {
                Poll::Busy(packets) => seen += packets.max(1),
                Poll::Until(when) => until = Some(until.map_or(when, |other: u64| other.min(when))),
                Poll::Idle => (),
            }
            seen += pass.drain();
        }
        if seen > 0 {
            self.settle_traces();
            self.pool.publish();
            return Poll::Busy(seen);
        }
        until.map_or(Poll::Idle, Poll::Until)
    }

    #[inline(always)]
    fn begin(&mut self, now: Now) -> Pass<'_> {
        let parts = Parts {
            pool: &mut self.pool,
            memory: &self.memory,
            queues: &mut self.queues,
            tables: &self.tables,
            stats: &self.stats[0],
            all_stats: &self.stats,
            interfaces: &self.interfaces,
            trace: &mut self.trace,
            outbox: &self.outbox,
            now,
            node: NodeId(0),
            worker: self.index,
            told: None,
        };
        Pass {
            parts,
            inputs: &self.inputs,
            nodes: &mut self.nodes,
            locals: &mut self.locals,
            frame: &mut self.scratch,
            ended: self.clock.raw(),
            clock: &self.clock,
            counts: &self.shared.stats,
        }
    }

    fn settle_traces(&mut self) {
        if *self.trace.store.filter() != trace::Filter::None {
            let TraceState { store, wanted } = &mut self.trace;
            store.settle(|origin| wanted[usize::from(origin)] += 1);
        }
    }

    fn sleep(&mut self, until: Option<u64>, patience: &mut Patience) {
        let Some(length) = nap::length(until, self.now) else { return };
        self.pool.publish();
        self.shared.sleeping.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.shared.mail.is_empty()
            && self.published.version() == self.tables.version
            && self.exchange.as_ref().is_none_or(|exchange| exchange.is_quiet(self.index))
            && !self.shared.stop.load(Ordering::SeqCst)
        {
            self.shared.stats.sleeps.add(1);
            let mut events = [EpollEvent::empty(); 8];
            let ready = nap::sleep(&self.epoll, &mut events, length);
            let slept = self.start.elapsed().as_nanos() as u64 - self.now;
            patience.slept(slept, events[..ready].iter().any(|event| event.data() != 0));
            if events[..ready].iter().any(|event| event.data() == 0) {
                self.shared.stats.wakeups.add(1);
                let _ = self.shared.wake.read();
            }
        }
        self.shared.sleeping.store(false, Ordering::SeqCst);
    }

    pub(crate) fn pool_watcher(&self) -> Box<dyn Fn() -> crate::mem::PoolStats + Send> {
        Box::new(self.pool.watcher())
    }

    /// Whether no packet waits anywhere in the graph.
    pub fn is_quiet(&self) -> bool {
        self.queues.is_empty()
    }

    /// A node's own state, whatever its type.
    pub fn node_any(&mut self, node: NodeId) -> Option<&mut dyn Any> {
        Some(self.nodes.get_mut(node.index())?.as_any())
    }
}
