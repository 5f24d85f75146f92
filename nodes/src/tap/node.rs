//! `tap-input` and `tapN-tx`: frames from and to taps.
//!
//! Uses: the taps that the control thread gave to this worker. Sets: `meta.rx`, the work left to do, `rx` and `tx_error`
//! counters. Next: `ethernet-input`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;
use trace::{Record, Text};
use vnet::{
    IfIndex, InputCx, InputNode, NodeSpec, Notice, Packet, Poll, Router, SinkCx, SinkNode, Vector, next_nodes,
    node_errors,
};

use super::{Tap, TapSent};
use crate::af_packet::DeviceEvent;
use crate::buffer_trace::BufferFrameTrace;
use crate::offload;
use crate::sys::VnetHdr;

next_nodes! {
    /// Where `tap-input` sends packets.
    pub enum Next {
        /// Not used.
        Drop => "error-drop",
        /// Every frame.
        Ethernet => "ethernet-input",
    }
}

node_errors! {
    /// What `tap-input` finds.
    pub enum InputError {
        /// The interface is not set up.
        AdminDown => error "interface is down",
        /// The kernel's end was deleted.
        Gone => error "device is gone",
    }
}

node_errors! {
    /// Why `tapN-tx` did not transmit.
    pub enum SendError {
        /// The kernel does not keep up.
        Full => error "kernel has no room for the frame",
        /// Too short, too long, or a virtio-net header that does not fit.
        Rejected => error "kernel rejected the frame",
        /// The kernel's end is down.
        Down => error "kernel's end is down",
        /// The kernel's end was deleted.
        Gone => error "device is gone",
    }
}

/// Frames that are thrown away in one go while the interface is down.
const DRAIN: usize = 256;

/// A tap that the workers which send and the one which receives share; `None` once the device is gone, so that its
/// descriptor is closed and wakes nobody.
#[derive(Clone, Debug)]
pub(super) struct SharedTap(Arc<Mutex<Option<Tap>>>);

impl SharedTap {
    pub(super) fn new(tap: Tap) -> SharedTap {
        SharedTap(Arc::new(Mutex::new(Some(tap))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Tap>> {
        // A thread that panicked between two frames leaves a tap that is still sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The taps that a worker receives from.
#[derive(Default)]
pub(super) struct Taps(pub(super) Vec<(IfIndex, SharedTap)>);

pub(super) const NAME: &str = "tap-input";

pub(super) fn input() -> NodeSpec {
    NodeSpec::input(NAME, |_| TapInput)
}

struct TapInput;

/// Interface and virtio-net header.
#[derive(serde::Serialize)]
struct InputTrace {
    hw_if_index: u32,
    len: usize,
    next_index: u8,
    vnet: VnetHdr,
}

impl Record for InputTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!(
            "tap: hw_if_index {} rx-queue 0 next-index {} len {}",
            self.hw_if_index, self.next_index, self.len
        ));
        text.nest(2, |text| self.vnet.text(text));
    }
}

impl InputNode for TapInput {
    type Next = Next;
    type Error = InputError;
    type Local = Taps;
    type Trace = InputTrace;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        if cx.local.0.is_empty() {
            return Poll::Idle;
        }
        let mut taps = std::mem::take(&mut cx.local.0);
        let mut seen = 0;
        taps.retain(|(interface, shared)| {
            let mut guard = shared.lock();
            let Some(tap) = guard.as_mut() else { return false };
            let Ok(frames) = serve(cx, *interface, tap) else {
                *guard = None;
                let interface = *interface;
                cx.count(InputError::Gone, 1);
                cx.notify(Notice::Call(Box::new(move |router: &mut Router| super::interface::gone(router, interface))));
                return false;
            };
            seen += frames;
            true
        });
        // Another one is served first next time.
        let turn = usize::from(taps.len() > 1);
        taps.rotate_left(turn);
        cx.local.0 = taps;
        if seen > 0 { Poll::Busy(seen) } else { Poll::Idle }
    }
}

fn serve(cx: &mut InputCx<'_, '_, TapInput>, interface: IfIndex, tap: &mut Tap) -> Result<usize, DeviceEvent> {
    if !cx.tables.interface(interface).admin_up {
        let mut drained = 0;
        while drained < DRAIN && tap.receive()?.is_some() {
            drained += 1;
        }
        cx.count(InputError::AdminDown, drained as u64);
        return Ok(drained);
    }
    let (mut packets, mut bytes) = (0, 0);
    while cx.room() > 0 {
        let Some(frame) = tap.receive()? else { break };
        packets += 1;
        bytes += frame.data.len() as u64;
        // Without a buffer the frame is lost, which the engine has counted.
        let _ = cx.deliver(
            interface,
            frame.data,
            |packet| {
                offload::take_over(packet, &frame.vnet);
                Next::Ethernet
            },
            |_| InputTrace {
                hw_if_index: interface.0,
                len: frame.data.len(),
                next_index: Next::Ethernet as u8,
                vnet: frame.vnet,
            },
        );
    }
    if packets > 0 {
        cx.interface(interface).rx.add(packets, bytes);
    }
    Ok(packets as usize)
}

pub(super) fn tx(name: &str, interface: IfIndex, tap: SharedTap) -> NodeSpec {
    NodeSpec::sink(format!("{name}-tx"), move |_| Transmit { interface, tap: tap.clone() })
}

struct Transmit {
    interface: IfIndex,
    tap: SharedTap,
}

/// Interface, virtio-net header, the buffer, the frame.
#[derive(serde::Serialize)]
struct TransmitTrace {
    hw_if_index: u32,
    vnet: VnetHdr,
    packet: BufferFrameTrace,
}

impl Record for TransmitTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("tap: hw_if_index {} tx-queue 0", self.hw_if_index));
        text.nest(2, |text| {
            self.vnet.text(text);
            self.packet.text(text);
        });
    }
}

impl SinkNode for Transmit {
    type Error = SendError;
    type Trace = TransmitTrace;

    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        let mut guard = self.tap.lock();
        for at in 0..vector.len() {
            let packet = vector.packet(at);
            let sent = guard.as_mut().map(|tap| send(tap, &packet));
            let error = match sent {
                Some(TapSent::Sent) => continue,
                Some(TapSent::Full) => SendError::Full,
                Some(TapSent::Rejected) => SendError::Rejected,
                Some(TapSent::Lost(DeviceEvent::Down)) => SendError::Down,
                // `tap-input` closes it and tells the control thread.
                Some(TapSent::Lost(DeviceEvent::Gone)) | None => SendError::Gone,
            };
            cx.count(error, 1);
            cx.interface(self.interface).tx_error.add(1);
        }
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> TransmitTrace {
        TransmitTrace {
            hw_if_index: self.interface.0,
            vnet: offload::hand_over(packet),
            packet: BufferFrameTrace::new(packet),
        }
    }
}

#[inline(always)]
fn send(tap: &mut Tap, packet: &Packet<'_>) -> TapSent {
    let vnet = offload::hand_over(packet);
    if !packet.is_chain() {
        return tap.send(&vnet, [packet.data()]);
    }
    let pieces: SmallVec<[&[u8]; 48]> = packet.segments().collect();
    if pieces.len() <= Tap::MAX_PIECES {
        return tap.send(&vnet, pieces);
    }
    // Many small pieces, as a tunnel's fragments make them: one copy.
    let mut whole = vec![0; packet.len()];
    packet.copy_out(0, &mut whole);
    tap.send(&vnet, [&whole[..]])
}
