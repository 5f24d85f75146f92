//! The router: one value that owns everything, driven by one control thread.

mod announce;
mod family;
mod interfaces;
mod ip;
mod log;
mod neighbors;
mod nodes;
mod path_mtu;
mod placement;
mod publish;
mod threads;

use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use crate::graph::{Notice, Outbox};
use crate::handoff::Exchange;
use crate::ids::NodeId;
use crate::mem::PoolStats;
use crate::registry::Registry;
use crate::tables::{Published, Tables};
use crate::worker::{Worker, WorkerShared};

pub(crate) use family::Control;
pub use family::Family;
pub use interfaces::{InterfaceError, InterfaceRecord, InterfaceSpec};
pub use ip::IpError;
pub use log::{Level, Log, LogLine};
pub use path_mtu::{PATH_MTU_AGE, PathMtu};
pub use placement::PlacedQueue;
use threads::Thread;

/// What the builder hands over.
pub(crate) struct RouterParts {
    pub(crate) registry: Registry,
    pub(crate) arcs: Vec<(String, Vec<NodeId>)>,
    pub(crate) ip4: Control<Ipv4Addr>,
    pub(crate) ip6: Control<Ipv6Addr>,
    pub(crate) tables: Tables,
    pub(crate) published: Arc<Published>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) states: AHashMap<TypeId, Box<dyn Any>>,
    pub(crate) start: Instant,
    pub(crate) workers: Vec<(Worker, Arc<WorkerShared>)>,
    pub(crate) inline: bool,
    pub(crate) cores: Vec<usize>,
    pub(crate) exchange: Option<Arc<Exchange>>,
}

/// A callback after every change of routes, neighbours or interfaces, before it is published.
type Observer = Box<dyn FnMut(&mut Router)>;

/// A plugin's words for one of its own forwarding numbers.
type Describer = Box<dyn Fn(&Tables, u32) -> Option<String>>;

/// What help lines call a plugin's things, and the names that there are.
type Completer = (&'static str, Box<dyn Fn(&Router) -> Vec<String>>);

/// Work of a plugin that comes up again and again.
struct Timer {
    next: Instant,
    interval: Duration,
    work: Box<dyn FnMut(&mut Router)>,
}

/// A router: the graph, its packet threads, and all that is configured.
///
/// Everything happens on the thread that owns this value, except the packets. Call [`Router::poll`] when the waker given
/// to [`Router::set_waker`] fires and when [`Router::deadline`] has come.
pub struct Router {
    registry: Registry,
    arcs: Vec<(String, Vec<NodeId>)>,
    ip4: Control<Ipv4Addr>,
    ip6: Control<Ipv6Addr>,
    interfaces: Vec<Option<InterfaceRecord>>,
    /// The next version to be published.
    tables: Tables,
    dirty: bool,
    published: Arc<Published>,
    /// Versions that a worker may still use.
    retired: VecDeque<Arc<Tables>>,
    outbox: Arc<Outbox>,
    states: AHashMap<TypeId, Box<dyn Any>>,
    /// Whether more than parts of plugins has changed.
    forwards_anew: bool,
    /// Whether changes wait for each other.
    gathering: bool,
    observers: Vec<Observer>,
    describers: AHashMap<NodeId, Describer>,
    completers: Vec<Completer>,
    timers: Vec<Timer>,
    log: log::Log,
    start: Instant,
    threads: Vec<Thread>,
    pools: Vec<Box<dyn Fn() -> PoolStats + Send>>,
    next_ageing: Instant,
    cleared: Instant,
    placement: placement::Placement,
    exchange: Option<Arc<Exchange>>,
    paths: path_mtu::Paths,
}

impl Router {
    pub(crate) fn assemble(parts: RouterParts) -> std::io::Result<Router> {
        let mut router = Router {
            registry: parts.registry,
            arcs: parts.arcs,
            ip4: parts.ip4,
            ip6: parts.ip6,
            interfaces: Vec::new(),
            tables: parts.tables,
            dirty: false,
            published: parts.published,
            retired: VecDeque::new(),
            outbox: parts.outbox,
            states: parts.states,
            forwards_anew: false,
            gathering: false,
            observers: Vec::new(),
            describers: AHashMap::new(),
            completers: Vec::new(),
            timers: Vec::new(),
            log: log::Log::new(parts.start),
            start: parts.start,
            threads: Vec::new(),
            pools: parts.workers.iter().map(|(worker, _)| worker.pool_watcher()).collect(),
            next_ageing: parts.start,
            cleared: parts.start,
            placement: Default::default(),
            exchange: parts.exchange,
            paths: Default::default(),
        };
        for (index, (worker, shared)) in parts.workers.into_iter().enumerate() {
            let core = (!parts.cores.is_empty()).then(|| parts.cores[index % parts.cores.len()]);
            router.threads.push(Thread::start(worker, shared, parts.inline, core)?);
        }
        router.install_local0();
        Ok(router)
    }

    /// When the router started.
    pub fn start_time(&self) -> Instant {
        self.start
    }

    /// When the counters of `show runtime` were cleared last.
    pub fn cleared_at(&self) -> Instant {
        self.cleared
    }

    /// What fires when a packet thread has something to tell; call [`Router::poll`] then.
    pub fn set_waker(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        self.outbox.set_waker(Box::new(wake));
    }

    /// Handles what packet threads told, ages neighbours, frees old tables.
    pub fn poll(&mut self) {
        // What arrives while this runs is left for the next call: a flood must not keep the control thread here.
        for _ in 0..self.outbox.queue.len() {
            match self.outbox.queue.pop() {
                Some(Notice::Learn(learn)) => self.learn(learn),
                Some(Notice::Learn6(learn)) => self.learn(learn),
                Some(Notice::Want { interface, target }) => match target {
                    IpAddr::V4(target) => self.want_neighbor(interface, target),
                    IpAddr::V6(target) => self.want_neighbor(interface, target),
                },
                Some(Notice::PathMtu { destination, mtu }) => self.learn_path_mtu(Instant::now(), destination, mtu),
                Some(Notice::Call(call)) => call(self),
                None => break,
            }
        }
        self.tell_learned::<Ipv4Addr>();
        self.tell_learned::<Ipv6Addr>();
        let now = Instant::now();
        if now >= self.next_ageing {
            self.age_neighbors(now);
        }
        if self.paths.due().is_some_and(|due| due <= now) {
            self.forget_path_mtus(Some(now));
        }
        self.run_timers(now);
        self.publish();
        self.repeat_announcements(now);
        self.reclaim();
    }

    /// When [`Router::poll`] must be called next at the latest.
    pub fn deadline(&self) -> Instant {
        let timers = self.timers.iter().map(|timer| timer.next);
        let announcements = [self.ip4.announcements.due(), self.ip6.announcements.due()];
        timers.chain(announcements.into_iter().flatten()).chain(self.paths.due()).fold(self.next_ageing, Instant::min)
    }

    /// Calls `work` again and again, an interval apart.
    pub fn every(&mut self, interval: Duration, work: impl FnMut(&mut Router) + 'static) {
        self.timers.push(Timer { next: Instant::now() + interval, interval, work: Box::new(work) });
    }

    fn run_timers(&mut self, now: Instant) {
        // What a timer adds begins with the next call.
        let mut timers = std::mem::take(&mut self.timers);
        for timer in timers.iter_mut().filter(|timer| now >= timer.next) {
            timer.next = now + timer.interval;
            (timer.work)(self);
        }
        timers.append(&mut self.timers);
        self.timers = timers;
    }

    /// State of the control thread, by type.
    pub fn state<T: 'static>(&mut self) -> Option<&mut T> {
        self.states.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// Runs `work` with state of the control thread and the router side by side. `None` where there is no such state.
    pub fn with_state<T: 'static, R>(&mut self, work: impl FnOnce(&mut T, &mut Router) -> R) -> Option<R> {
        let mut state = self.states.remove(&TypeId::of::<T>())?;
        let result = state.downcast_mut().map(|state| work(state, self));
        self.states.insert(TypeId::of::<T>(), state);
        result
    }

    /// Gives words to what a plugin's routes lead to, for `show ip fib`.
    pub fn set_describer(&mut self, node: NodeId, describe: impl Fn(&Tables, u32) -> Option<String> + 'static) {
        self.describers.insert(node, Box::new(describe));
    }

    /// A plugin's words for a forwarding entry that names its node.
    pub fn describe(&self, node: NodeId, index: u32) -> Option<String> {
        self.describers.get(&node)?(&self.tables, index)
    }

    /// Whether a plugin's routes lead to this node, so that it has words for them.
    pub fn describes(&self, node: NodeId) -> bool {
        self.describers.contains_key(&node)
    }

    /// Adds names that an operator may type where the help line of a command says `<what>`, for completion.
    pub fn add_completer(&mut self, what: &'static str, names: impl Fn(&Router) -> Vec<String> + 'static) {
        self.completers.push((what, Box::new(names)));
    }

    /// Names of plugins' things that an operator may type where a help line says `<what>`.
    pub fn completions(&self, what: &str) -> Vec<String> {
        self.completers.iter().filter(|(own, _)| *own == what).flat_map(|(_, names)| names(self)).collect()
    }

    /// What the router and its plugins log.
    pub fn log(&mut self) -> &mut log::Log {
        &mut self.log
    }

    /// Calls `observer` after every change of routes, neighbours or interfaces, just before it is published.
    pub fn observe(&mut self, observer: impl FnMut(&mut Router) + 'static) {
        self.observers.push(Box::new(observer));
    }
}
