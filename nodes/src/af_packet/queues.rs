//! Queues as workers and the control thread share them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vnet::IfIndex;

use super::{DeviceEvent, KernelCounts, RxRing, TxRing};
use crate::host::Looks;

/// What a worker tells about a receive queue; written by that worker, read by the control thread.
#[derive(Debug, Default)]
pub(super) struct RxState {
    position: AtomicU32,
    drops: AtomicU64,
    freezes: AtomicU64,
    malformed: AtomicU64,
    gone: AtomicBool,
}

impl RxState {
    pub(super) fn set_position(&self, position: u32) {
        self.position.store(position, Relaxed);
    }

    /// Notes the kernel's counts; gives the drops since the last time.
    pub(super) fn set_counts(&self, counts: KernelCounts) -> u64 {
        self.freezes.store(counts.freezes, Relaxed);
        counts.drops.saturating_sub(self.drops.swap(counts.drops, Relaxed))
    }

    /// Notes the number of senseless headers; gives those since the last time.
    pub(super) fn set_malformed(&self, malformed: u64) -> u64 {
        malformed.saturating_sub(self.malformed.swap(malformed, Relaxed))
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Relaxed);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Position, drops, freezes.
    pub(super) fn get(&self) -> (u32, u64, u64) {
        (self.position.load(Relaxed), self.drops.load(Relaxed), self.freezes.load(Relaxed))
    }
}

/// A receive queue, in the hands of its worker.
pub(super) struct RxQueue {
    pub(super) interface: IfIndex,
    pub(super) number: u32,
    pub(super) ring: RxRing,
    pub(super) state: Arc<RxState>,
    /// When the socket's errors and counts are looked at.
    pub(super) looks: Looks,
}

/// A transmit queue. Several workers may use one, hence the lock; it is taken once per vector.
#[derive(Debug)]
pub(super) struct TxQueue {
    pub(super) number: u32,
    ring: Mutex<Option<TxRing>>,
    /// Frames wait for the kernel to have room: `af-packet-input` of the first worker kicks again.
    waiting: AtomicBool,
}

impl TxQueue {
    pub(super) fn new(number: u32, ring: TxRing) -> TxQueue {
        TxQueue { number, ring: Mutex::new(Some(ring)), waiting: AtomicBool::new(false) }
    }

    /// The ring; `None` once the device is gone.
    pub(super) fn ring(&self) -> MutexGuard<'_, Option<TxRing>> {
        // A thread that panicked between two frames leaves a ring that is still sound.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_waiting(&self, waiting: bool) {
        if self.waiting.load(Relaxed) != waiting {
            self.waiting.store(waiting, Relaxed);
        }
    }

    /// Hands frames that wait to the kernel once more; gives how many are lost, and how many still wait.
    pub(super) fn kick_again(&self) -> (u32, u32) {
        if !self.waiting.load(Relaxed) {
            return (0, 0);
        }
        let mut ring = self.ring();
        let kick = ring.as_mut().map(TxRing::kick).unwrap_or_default();
        if kick.event == Some(DeviceEvent::Gone) {
            *ring = None;
        }
        self.set_waiting(kick.waiting > 0);
        (kick.dropped + kick.rejected, kick.waiting)
    }
}

/// The queues of one worker.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) rx: Vec<RxQueue>,
    /// Transmit queues that this worker looks after when frames wait in them.
    pub(super) tx: Vec<(IfIndex, Arc<TxQueue>)>,
    /// The queue that is served first next time, so that none starves.
    pub(super) first: usize,
}
