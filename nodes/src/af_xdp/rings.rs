//! An AF_XDP interface as the control thread sees it.

use std::any::Any;
use std::sync::Arc;

use vnet::{IfIndex, Router};

use super::interface::XdpOptions;
use super::queue::{Debts, Queues, RxState};
use super::tx::{TxQueues, queue_of};
use crate::host::Rings;
use crate::sys::bpf::{Attach, Link};

/// What belongs to the interface; the queues are the workers'.
pub(super) struct XdpRings {
    pub(super) options: XdpOptions,
    /// The number in the interface's name.
    pub(super) instance: usize,
    pub(super) attached: Attach,
    /// Ties the program to the device.
    pub(super) link: Option<Link>,
    pub(super) offloads: Vec<&'static str>,
    pub(super) rx: Vec<RxFacts>,
    pub(super) tx: TxQueues,
}

/// What is known of a receive queue.
pub(super) struct RxFacts {
    pub(super) size: u32,
    pub(super) zero_copy: bool,
    pub(super) shared: bool,
    pub(super) state: Arc<RxState>,
}

impl Rings for XdpRings {
    fn class(&self) -> &'static str {
        "af_xdp"
    }

    fn delete_command(&self, _: &str, name: &str) -> String {
        format!("delete interface af_xdp {name}")
    }

    fn max_mtu(&self) -> u32 {
        super::MAX_MTU
    }

    fn tx_users(&self, workers: usize) -> Vec<Vec<usize>> {
        let queues = self.tx.get().map(Vec::as_slice).unwrap_or_default();
        let owners: Vec<_> = queues.iter().map(|queue| queue.owner).collect();
        let users = |number| (0..workers).filter(|worker| queue_of(*worker, &owners) == number).collect();
        (0..queues.len()).map(users).collect()
    }

    fn describe(&self) -> (Vec<String>, Vec<String>) {
        let mode = match self.attached {
            Attach::Native => "native",
            Attach::Generic => "skb",
            Attach::Offload => "offload",
        };
        let mut flags = vec![mode];
        flags.push(if self.rx.iter().all(|queue| queue.zero_copy) { "zero-copy" } else { "copy" });
        if self.rx.iter().any(|queue| queue.shared) {
            flags.push("shared-umem");
        }
        if self.options.busy_poll {
            flags.push("busy-poll");
        }
        let lines = vec![format!("netdev {}", self.options.host_if), format!("flags: {}", flags.join(" "))];
        let mut behind = Vec::new();
        for (number, queue) in self.rx.iter().enumerate() {
            let counts = queue.state.counts();
            behind.push(format!("RX Queue {number}:"));
            behind.push(format!("  size:{}", queue.size));
            behind.push(format!(
                "  kernel drops:{} ring full:{} fill ring empty:{} invalid:{}",
                counts.dropped, counts.full, counts.fill_empty, counts.invalid_fill
            ));
        }
        for (number, queue) in self.tx.get().map(Vec::as_slice).unwrap_or_default().iter().enumerate() {
            behind.push(format!("TX Queue {number}:"));
            let mut guard = queue.ring();
            let Some(tx) = guard.as_mut() else {
                behind.push("  closed".into());
                continue;
            };
            let (size, pending, lent) = tx.counts();
            behind.push(format!("  size:{size} in the ring:{pending} on their way:{lent}"));
        }
        (lines, behind)
    }

    fn offloads(&self) -> &[&'static str] {
        &self.offloads
    }

    fn close(&mut self, index: IfIndex) -> Box<dyn FnOnce(&mut Router)> {
        // No more frames come to the sockets.
        self.link = None;
        let queues = self.tx.get().cloned().unwrap_or_default();
        Box::new(move |router| {
            let mut debts: Vec<Debts> = router.ask_all(move |worker| {
                let mut debts = Debts::default();
                let Some(queues) = worker.local::<Queues>() else { return debts };
                queues.rx.extract_if(.., |queue| queue.interface == index).for_each(|queue| queue.close(&mut debts));
                queues.tx.retain(|(interface, _)| *interface != index);
                debts
            });
            for queue in queues {
                let tx = queue.ring().take();
                if let Some((tx, debts)) = tx.zip(debts.get_mut(queue.owner)) {
                    tx.close(debts);
                }
            }
            // All of them first: a queue's two halves share a socket.
            debts.iter_mut().for_each(Debts::close);
            for (worker, debts) in debts.into_iter().enumerate() {
                router.ask(worker, move |worker| debts.settle(&mut worker.lending()));
            }
        })
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
