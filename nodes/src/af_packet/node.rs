//! `af-packet-input`: frames from the rings of host-interfaces.
//!
//! Uses: the rings that the control thread gave to this worker. Sets: `meta.rx`, the work left to do, `rx` counters.
//! Next: `ethernet-input`.

use trace::{Record, Text};
use vnet::wire::ethernet;
use vnet::{IfIndex, InputCx, InputNode, NodeSpec, Notice, Poll, Router, next_nodes, node_errors};

use super::queues::{Queues, RxQueue};
use super::{DeviceEvent, HeaderFacts, RxFrame};
use crate::host::RETRY;
use crate::offload;
use crate::sys::VnetHdr;
use crate::unfinished::find_unfinished;

next_nodes! {
    /// Where `af-packet-input` sends packets.
    pub enum Next {
        /// Not used: frames that are no use are not made packets.
        Drop => "error-drop",
        /// Every frame.
        Ethernet => "ethernet-input",
    }
}

node_errors! {
    /// What `af-packet-input` finds.
    pub enum Error {
        /// A block of a version 3 ring, handed over because its time was up: the rule where traffic is light.
        TimedOutBlock => error "timed out block",
        /// Any block of a version 3 ring.
        TotalBlock => error "total received block",
        /// The ring's frames were too small for it.
        Truncated => error "frame longer than the ring's frames",
        /// The interface is not set up.
        AdminDown => error "interface is down",
        /// What the kernel wrote about it makes no sense.
        Malformed => error "frame header makes no sense",
        /// The operator of the kernel took the link down.
        Down => info "device went down",
        /// The device was deleted or moved to another namespace.
        Gone => error "device is gone",
        /// Frames that had waited for room in the kernel.
        LateLost => error "frame refused by the kernel after waiting",
    }
}

/// Frames that are thrown away in one go while the interface is down.
const DRAIN: usize = 1024;

pub(super) const NAME: &str = "af-packet-input";

pub(super) fn node() -> NodeSpec {
    NodeSpec::input(NAME, |_| PacketInput)
}

struct PacketInput;

/// Interface, queue, what the ring's header and the virtio-net header said.
#[derive(serde::Serialize)]
struct InputTrace {
    hw_if_index: u32,
    queue: u32,
    next_index: u8,
    ring: HeaderFacts,
    vnet: VnetHdr,
}

impl Record for InputTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!(
            "af_packet: hw_if_index {} rx-queue {} next-index {}",
            self.hw_if_index, self.queue, self.next_index
        ));
        text.nest(2, |text| {
            self.ring.text(text);
            self.vnet.text(text);
        });
    }
}

impl InputNode for PacketInput {
    type Next = Next;
    type Error = Error;
    type Local = Queues;
    type Trace = InputTrace;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let mut queues = std::mem::take(cx.local);
        let (mut seen, count) = (0, queues.rx.len());
        let mut gone = false;
        for turn in 0..count {
            seen += serve(cx, &mut queues.rx[(queues.first + turn) % count]);
        }
        for queue in &mut queues.rx {
            if queue.looks.is_due(cx.now().nanos, seen) {
                look(cx, queue);
            }
            gone |= queue.state.is_gone();
        }
        if gone {
            // Closing the descriptors ends the watch: a device that is gone would wake the worker for ever.
            queues.rx.retain(|queue| !queue.state.is_gone());
            cx.count(Error::Gone, (count - queues.rx.len()) as u64);
        }
        queues.first = if queues.rx.is_empty() { 0 } else { (queues.first + 1) % queues.rx.len() };
        let mut waiting = false;
        for (interface, queue) in &queues.tx {
            let (lost, left) = queue.kick_again();
            if lost > 0 {
                cx.count(Error::LateLost, u64::from(lost));
                cx.interface(*interface).tx_error.add(u64::from(lost));
            }
            waiting |= left > 0;
        }
        *cx.local = queues;
        match seen {
            0 if waiting => Poll::Until(cx.now().nanos + RETRY),
            0 => Poll::Idle,
            _ => Poll::Busy(seen),
        }
    }
}

/// Brings in what waits in a ring, as far as there is room; gives the number of frames taken.
fn serve(cx: &mut InputCx<'_, '_, PacketInput>, queue: &mut RxQueue) -> usize {
    let interface = queue.interface;
    if !cx.tables.interface(interface).admin_up {
        let drained = (0..DRAIN).take_while(|_| queue.ring.next_frame().is_some()).count();
        if drained > 0 {
            cx.count(Error::AdminDown, drained as u64);
            queue.state.set_position(queue.ring.position());
        }
        return drained;
    }
    let (mut packets, mut bytes, mut truncated) = (0, 0, 0);
    while cx.room() > 0 {
        let Some(frame) = queue.ring.next_frame() else { break };
        if frame.is_truncated() {
            truncated += 1;
            continue;
        }
        packets += 1;
        bytes += frame.data.len() as u64;
        if frame.has_vlan() {
            deliver(cx, interface, queue.number, &frame, &with_tag(&frame));
        } else {
            deliver(cx, interface, queue.number, &frame, frame.data);
        }
    }
    if packets + truncated > 0 {
        let blocks = queue.ring.take_block_counts();
        if blocks.total > 0 {
            cx.count(Error::TimedOutBlock, blocks.timed_out);
            cx.count(Error::TotalBlock, blocks.total);
        }
        queue.state.set_position(queue.ring.position());
        cx.interface(interface).rx.add(packets, bytes);
    }
    if truncated > 0 {
        cx.count(Error::Truncated, truncated);
        cx.interface(interface).rx_error.add(truncated);
    }
    (packets + truncated) as usize
}

#[inline(always)]
fn deliver(cx: &mut InputCx<'_, '_, PacketInput>, interface: IfIndex, queue: u32, frame: &RxFrame<'_>, data: &[u8]) {
    // Without a buffer the frame is lost, which the engine has counted.
    let _ = cx.deliver(
        interface,
        data,
        |packet| {
            offload::take_over(packet, &frame.vnet);
            if frame.has_unmarked_checksum() {
                find_unfinished(packet);
            }
            Next::Ethernet
        },
        |_| InputTrace {
            hw_if_index: interface.0,
            queue,
            next_index: Next::Ethernet as u8,
            ring: frame.facts(),
            vnet: frame.vnet,
        },
    );
}

/// Puts the VLAN tag back that the kernel took out, so that `ethernet-input` sees what was on the wire and drops it.
#[cold]
fn with_tag(frame: &RxFrame<'_>) -> Vec<u8> {
    let (facts, addresses) = (frame.facts(), frame.data.len().min(12));
    let tpid = if facts.vlan_tpid == 0 { ethernet::VLAN } else { facts.vlan_tpid };
    let mut data = frame.data[..addresses].to_vec();
    data.extend(tpid.to_be_bytes());
    data.extend((facts.vlan_tci as u16).to_be_bytes());
    data.extend(&frame.data[addresses..]);
    data
}

/// Looks after a socket's errors and counts.
#[cold]
fn look(cx: &mut InputCx<'_, '_, PacketInput>, queue: &mut RxQueue) {
    let interface = queue.interface;
    let missed = queue.state.set_counts(queue.ring.kernel_counts());
    if missed > 0 {
        cx.interface(interface).rx_miss.add(missed);
    }
    let malformed = queue.state.set_malformed(queue.ring.malformed());
    if malformed > 0 {
        cx.count(Error::Malformed, malformed);
        cx.interface(interface).rx_error.add(malformed);
    }
    match queue.ring.take_event() {
        None => return,
        Some(DeviceEvent::Down) => cx.count(Error::Down, 1),
        Some(DeviceEvent::Gone) => queue.state.set_gone(),
    }
    // A notice that finds no room is no loss: the monitor of links tells the same.
    cx.notify(Notice::Call(Box::new(move |router: &mut Router| crate::host::look_again(router, interface))));
}
