//! `IF-tx` of an AF_XDP interface: packets go to the kernel in the buffers that they are in.
//!
//! Uses: the frame. Sets: `tx_error` counters. Next: none.

use std::sync::{Arc, OnceLock};

use trace::{Record, Text};
use vnet::{IfIndex, NodeSpec, Notice, Packet, Router, SinkCx, SinkNode, Vector, node_errors};

use super::queue::{Tx, TxQueue, push};
use crate::buffer_trace::BufferFrameTrace;

node_errors! {
    /// Why `IF-tx` did not transmit.
    pub enum Error {
        /// The kernel does not keep up.
        Full => error "no free tx slots",
        /// Longer than a buffer, or without a free one to be joined in.
        TooLong => error "frame longer than a buffer",
        /// The device is down.
        Down => error "device went down",
        /// The device was deleted.
        Gone => error "device is gone",
        /// Vectors that took a system call.
        Syscall => info "syscall required",
    }
}

/// The queues, once the sockets are open.
pub(super) type TxQueues = Arc<OnceLock<Vec<Arc<TxQueue>>>>;

pub(super) fn spec(name: &str, interface: IfIndex, queues: TxQueues) -> NodeSpec {
    NodeSpec::sink(format!("{name}-tx"), move |worker| Transmit {
        interface,
        worker,
        queues: queues.clone(),
        queue: None,
    })
}

struct Transmit {
    interface: IfIndex,
    worker: usize,
    queues: TxQueues,
    /// The one that this worker uses, once it is known.
    queue: Option<Arc<TxQueue>>,
}

/// The place of the queue that a worker uses: its own, or one that it shares.
pub(super) fn queue_of(worker: usize, owners: &[usize]) -> usize {
    owners.iter().position(|owner| *owner == worker).unwrap_or(worker % owners.len().max(1))
}

/// Interface, queue, the buffer, the frame.
#[derive(serde::Serialize)]
struct TransmitTrace {
    hw_if_index: u32,
    queue: u32,
    copied: bool,
    packet: BufferFrameTrace,
}

impl Record for TransmitTrace {
    fn text(&self, text: &mut Text) {
        let copied = if self.copied { " copied" } else { "" };
        text.line(format_args!("af_xdp: hw_if_index {} tx-queue {}{copied}", self.hw_if_index, self.queue));
        text.nest(2, |text| self.packet.text(text));
    }
}

impl SinkNode for Transmit {
    type Error = Error;
    type Trace = TransmitTrace;

    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        if self.queue.is_none() {
            self.queue = self.choose();
        }
        let Some(queue) = self.queue.clone() else {
            return self.refuse(cx, Error::Gone, vector.len());
        };
        let mut guard = queue.ring();
        let Some(tx) = guard.as_mut() else {
            return self.refuse(cx, Error::Gone, vector.len());
        };
        let kicked =
            if queue.owner == self.worker { self.send(cx, tx, vector) } else { self.send_copies(cx, tx, vector) };
        if kicked.called {
            cx.count(Error::Syscall, 1);
        }
        if kicked.unfit {
            cx.count(Error::Down, 1);
            let interface = self.interface;
            cx.notify(Notice::Call(Box::new(move |router: &mut Router| crate::host::look_again(router, interface))));
        }
        queue.set_waiting(tx.is_waiting());
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> TransmitTrace {
        let queue = self.choose();
        TransmitTrace {
            hw_if_index: self.interface.0,
            queue: queue.as_ref().map_or(0, |queue| queue.number),
            copied: packet.is_chain() || queue.is_some_and(|queue| queue.owner != self.worker),
            packet: BufferFrameTrace::new(packet),
        }
    }
}

impl Transmit {
    fn choose(&self) -> Option<Arc<TxQueue>> {
        let queues = self.queues.get()?;
        let owners: Vec<_> = queues.iter().map(|queue| queue.owner).collect();
        queues.get(queue_of(self.worker, &owners)).cloned()
    }

    fn refuse(&self, cx: &SinkCx<'_, '_, Self>, error: Error, frames: usize) {
        if frames > 0 {
            cx.count(error, frames as u64);
            cx.interface(self.interface).tx_error.add(frames as u64);
        }
    }

    /// Lends the packets' own buffers to the kernel.
    fn send(&self, cx: &mut SinkCx<'_, '_, Self>, tx: &mut Tx, vector: &mut Vector<'_>) -> super::queue::Kicked {
        tx.collect(Some(&mut cx.lending()));
        let (loan, ring) = tx.parts();
        cx.lend(vector, loan, |frame| push(ring, frame));
        let mut too_long = 0;
        let mut full = 0;
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            if !packet.is_chain() {
                full += 1;
            } else if !tx.send_joined(&packet, &mut cx.lending()) {
                too_long += 1;
            }
        }
        self.refuse(cx, Error::Full, full);
        self.refuse(cx, Error::TooLong, too_long);
        let kicked = tx.kick();
        tx.collect(Some(&mut cx.lending()));
        kicked
    }

    /// Copies the packets into buffers of the worker that has the queue.
    fn send_copies(&self, cx: &SinkCx<'_, '_, Self>, tx: &mut Tx, vector: &mut Vector<'_>) -> super::queue::Kicked {
        tx.collect(None);
        let (mut too_long, mut full) = (0, 0);
        for packet in vector.packets() {
            let len = packet.len();
            if len > vnet::mem::DATA_SIZE {
                too_long += 1;
            } else if !tx.send_copy(len, |out| {
                packet.copy_out(0, out);
            }) {
                full += 1;
            }
        }
        self.refuse(cx, Error::Full, full);
        self.refuse(cx, Error::TooLong, too_long);
        let kicked = tx.kick();
        tx.collect(None);
        kicked
    }
}
