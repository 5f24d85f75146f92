//! `host-X-tx`: frames into the transmit ring of a host-interface, one system call for a vector and one for each large
//! segment in it.
//!
//! Uses: the frame, the work left to do. Sets: `tx_error` counters. Next: none.

use std::sync::Arc;

use trace::{Record, Text};
use vnet::{IfIndex, NodeSpec, Notice, Packet, Router, SinkCx, SinkNode, Vector, node_errors};

use super::queues::TxQueue;
use super::{DeviceEvent, HeaderFacts, Kick, TxRing};
use crate::buffer_trace::BufferFrameTrace;
use crate::offload;
use crate::sys::VnetHdr;

node_errors! {
    /// Why `host-X-tx` did not transmit.
    pub enum Error {
        /// The kernel does not keep up.
        Full => error "transmit ring is full",
        /// The device, or the far end of a veth, had no room; or the device is down.
        Dropped => error "device refused the frame",
        /// Too long for the device, or a virtio-net header that does not fit.
        Rejected => error "kernel rejected the frame",
        /// The device was deleted.
        Gone => error "device is gone",
    }
}

pub(super) fn spec(name: &str, interface: IfIndex, queues: Vec<Arc<TxQueue>>) -> NodeSpec {
    NodeSpec::sink(format!("{name}-tx"), move |worker| Transmit {
        interface,
        queue: queues[worker % queues.len()].clone(),
    })
}

struct Transmit {
    interface: IfIndex,
    queue: Arc<TxQueue>,
}

/// Interface, queue, what is written into the ring, the buffer, the frame.
#[derive(serde::Serialize)]
struct TransmitTrace {
    hw_if_index: u32,
    queue: u32,
    ring: Option<HeaderFacts>,
    vnet: VnetHdr,
    packet: BufferFrameTrace,
}

impl Record for TransmitTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("af_packet: hw_if_index {} tx-queue {}", self.hw_if_index, self.queue));
        text.nest(2, |text| {
            if let Some(ring) = &self.ring {
                ring.text(text);
            }
            self.vnet.text(text);
            self.packet.text(text);
        });
    }
}

impl SinkNode for Transmit {
    type Error = Error;
    type Trace = TransmitTrace;

    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        let mut guard = self.queue.ring();
        let Some(ring) = guard.as_mut() else {
            return self.refuse(cx, Error::Gone, vector.len() as u64);
        };
        let mut gone = false;
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            match put(ring, &packet) {
                Put::Done => (),
                Put::Long => {
                    let kick = ring.send_long(packet.segments(), &offload::hand_over(&packet));
                    gone |= self.settle(cx, kick);
                }
                Put::Full => {
                    let kick = ring.kick();
                    gone |= self.settle(cx, kick);
                    match put(ring, &packet) {
                        Put::Done => (),
                        _ => self.refuse(cx, Error::Full, 1),
                    }
                }
            }
        }
        let kick = ring.kick();
        gone |= self.settle(cx, kick);
        if gone {
            *guard = None;
        }
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> TransmitTrace {
        TransmitTrace {
            hw_if_index: self.interface.0,
            queue: self.queue.number,
            ring: self.queue.ring().as_ref().map(|ring| ring.facts(packet.len())),
            vnet: offload::hand_over(packet),
            packet: BufferFrameTrace::new(packet),
        }
    }
}

enum Put {
    Done,
    Full,
    /// The frame does not fit the ring's.
    Long,
}

#[inline(always)]
fn put(ring: &mut TxRing, packet: &Packet<'_>) -> Put {
    let Some(mut slot) = ring.reserve() else { return Put::Full };
    let (len, room) = (packet.len(), slot.data());
    let Some(room) = room.get_mut(..len) else { return Put::Long };
    if packet.is_chain() {
        packet.copy_out(0, room);
    } else {
        room.copy_from_slice(packet.data());
    }
    if slot.commit(len, &offload::hand_over(packet).in_one_piece(len)) { Put::Done } else { Put::Long }
}

impl Transmit {
    fn refuse(&self, cx: &SinkCx<'_, '_, Self>, error: Error, frames: u64) {
        cx.count(error, frames);
        cx.interface(self.interface).tx_error.add(frames);
    }

    /// Counts what the kernel refused; whether the device is gone.
    fn settle(&self, cx: &mut SinkCx<'_, '_, Self>, kick: Kick) -> bool {
        self.queue.set_waiting(kick.waiting > 0);
        if kick.dropped > 0 {
            self.refuse(cx, Error::Dropped, u64::from(kick.dropped));
        }
        if kick.rejected > 0 {
            self.refuse(cx, Error::Rejected, u64::from(kick.rejected));
        }
        if kick.event.is_some() {
            let interface = self.interface;
            cx.notify(Notice::Call(Box::new(move |router: &mut Router| {
                crate::host::look_again(router, interface);
            })));
        }
        kick.event == Some(DeviceEvent::Gone)
    }
}
