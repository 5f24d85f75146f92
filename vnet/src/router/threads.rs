//! Packet threads, and how the control thread talks to them.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Router;
use crate::graph::{Notice, Outbox, Poll};
use crate::handoff::HandOver;
use crate::mem::PoolStats;
use crate::neighbor::How;
use crate::worker::{LoopStats, Worker, WorkerShared};

/// One worker: on a thread of its own, or run by the caller.
pub(super) struct Thread {
    pub(super) shared: Arc<WorkerShared>,
    place: Place,
}

enum Place {
    Inline(Box<Worker>),
    Own(Option<JoinHandle<()>>),
}

impl Thread {
    pub(super) fn start(
        worker: Worker,
        shared: Arc<WorkerShared>,
        inline: bool,
        core: Option<usize>,
    ) -> std::io::Result<Thread> {
        if inline {
            return Ok(Thread { shared, place: Place::Inline(Box::new(worker)) });
        }
        let name = format!("maglane-wk-{}", worker.index());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Some(core) = core {
                let mut set = nix::sched::CpuSet::new();
                // A core that does not exist leaves the thread where it is; `show threads` tells where.
                if set.set(core).is_ok() {
                    let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
                }
            }
            worker.run();
        })?;
        Ok(Thread { shared, place: Place::Own(Some(thread)) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.stop();
        if let Place::Own(thread) = &mut self.place
            && let Some(thread) = thread.take()
        {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Outbox {
    pub(crate) fn new(room: usize) -> Outbox {
        Outbox { queue: crossbeam_queue::ArrayQueue::new(room), waker: std::sync::RwLock::default() }
    }

    pub(crate) fn set_waker(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.waker.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(wake);
    }

    /// Leaves a notice; `false` where the box is full.
    pub(crate) fn send(&self, notice: Notice) -> bool {
        // Nobody who speaks unasked gets the last places: they are for answers, and for questions.
        let unasked = match &notice {
            Notice::Learn(learn) => learn.how != How::Reply,
            Notice::Learn6(learn) => learn.how != How::Reply,
            // Whoever can send an error that is believed needs no more room.
            Notice::PathMtu { .. } => true,
            Notice::Want { .. } | Notice::Call(_) => false,
        };
        let room = !unasked || self.queue.len() < self.queue.capacity() / 2;
        let sent = room && self.queue.push(notice).is_ok();
        if let Some(wake) = &*self.waker.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            wake();
        }
        sent
    }
}

impl Router {
    /// The number of packet threads.
    pub fn workers(&self) -> usize {
        self.threads.len()
    }

    /// The name of a packet thread as VPP shows it: `vpp_main` where there is only one.
    pub fn thread_name(&self, worker: usize) -> String {
        if self.threads.len() == 1 { "vpp_main".into() } else { format!("vpp_wk_{worker}") }
    }

    /// What a packet thread's loop counts.
    pub fn loop_stats(&self, worker: usize) -> &LoopStats {
        &self.threads[worker].shared.stats
    }

    /// The buffers of a packet thread.
    pub fn pool_stats(&self, worker: usize) -> PoolStats {
        (self.pools[worker])()
    }

    /// What workers have handed over to each other, for each two of them; nothing where nobody asked for that.
    pub fn hand_overs(&self) -> Vec<HandOver> {
        self.exchange.as_ref().map(|exchange| exchange.flows()).unwrap_or_default()
    }

    /// Runs a question on a worker between two passes and gives the answer.
    ///
    /// # Panics
    /// When the packet thread has died, which only a bug in a node can cause.
    pub fn ask<R: Send + 'static>(
        &mut self,
        worker: usize,
        question: impl FnOnce(&mut Worker) -> R + Send + 'static,
    ) -> R {
        match &mut self.threads[worker].place {
            Place::Inline(worker) => question(worker),
            Place::Own(_) => {
                let (answer, wait) = mpsc::sync_channel(1);
                self.threads[worker].shared.post(Box::new(move |worker| {
                    // Nobody waits any more only if the control thread died.
                    let _ = answer.send(question(worker));
                }));
                wait.recv().expect("a packet thread lives as long as its router")
            }
        }
    }

    /// Asks every worker in turn.
    pub fn ask_all<R: Send + 'static>(
        &mut self,
        question: impl Fn(&mut Worker) -> R + Send + Sync + Clone + 'static,
    ) -> Vec<R> {
        (0..self.threads.len()).map(|worker| self.ask(worker, question.clone())).collect()
    }

    /// Runs the graph on this thread until it has nothing to do, for routers built `inline`; handles what the nodes
    /// tell the control thread, too. Gives the number of passes that found something.
    pub fn step(&mut self) -> usize {
        let mut busy = 0;
        for _ in 0..1_000_000 {
            self.poll();
            let mut seen = false;
            for thread in &mut self.threads {
                if let Place::Inline(worker) = &mut thread.place {
                    seen |= matches!(worker.pass(), Poll::Busy(_));
                }
            }
            if !seen && self.outbox.queue.is_empty() {
                break;
            }
            busy += usize::from(seen);
        }
        busy
    }

    /// One pass of an inline worker without anything else, for benchmarks.
    pub fn pass(&mut self, worker: usize) -> bool {
        match &mut self.threads[worker].place {
            Place::Inline(worker) => matches!(worker.pass(), Poll::Busy(_)),
            Place::Own(_) => false,
        }
    }

    /// Waits until `done` says so or the time is over: runs inline workers, or sleeps in short naps.
    pub fn wait_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Router) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            self.step();
            if done(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Sets the counters of `show runtime` to 0.
    pub fn clear_runtime(&mut self) {
        self.ask_all(Worker::clear_runtime);
        self.cleared = Instant::now();
    }

    /// Sets the counters of `show errors` to 0.
    pub fn clear_errors(&mut self) {
        self.ask_all(Worker::clear_errors);
    }

    /// Sets the counters of `show interface` to 0.
    pub fn clear_interfaces(&mut self) {
        self.ask_all(Worker::clear_interfaces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IfIndex;
    use crate::neighbor::Learn;

    #[test]
    fn unasked_senders_leave_room_for_answers_in_a_full_mailbox() {
        let outbox = Outbox::new(8);
        let learn = |how| {
            let address = std::net::Ipv4Addr::new(10, 0, 1, 2);
            outbox.send(Notice::Learn(Learn { interface: IfIndex(1), address, mac: [2; 6], how }))
        };
        let sent = |how| (0..20).filter(|_| learn(how)).count();
        assert_eq!(sent(How::Request), 4);
        assert_eq!(sent(How::Announcement), 0);
        assert_eq!(sent(How::Reply), 4);
    }
}
