//! `af_xdp-input`: frames from AF_XDP sockets, in the buffers that the kernel put them into.
//!
//! Uses: the sockets that the control thread gave to this worker. Sets: `meta.rx`, the work left to do, `rx` counters.
//! Next: `ethernet-input`.

use std::sync::Arc;

use trace::{Record, Text};
use vnet::{InputCx, InputNode, NodeSpec, Poll, next_nodes, node_errors};

use super::queue::{Queues, RxQueue};
use crate::host::RETRY;
use crate::unfinished::find_unfinished;

next_nodes! {
    /// Where `af_xdp-input` sends packets.
    pub enum Next {
        /// Not used: frames that are no use are not made packets.
        Drop => "error-drop",
        /// Every frame.
        Ethernet => "ethernet-input",
    }
}

node_errors! {
    /// What `af_xdp-input` finds.
    pub enum Error {
        /// The interface is not set up.
        AdminDown => error "interface is down",
        /// What the kernel wrote into the receive ring makes no sense.
        BadDescriptor => error "descriptor makes no sense",
        /// Longer than a buffer, or the fill ring was empty.
        Dropped => error "frame dropped by the kernel",
        /// The worker does not keep up.
        RingFull => error "receive ring was full",
        /// No buffer was there for a frame.
        FillEmpty => error "fill ring was empty",
        /// The kernel did not take what we wrote into a ring.
        Invalid => error "descriptor refused by the kernel",
        /// The transport checksum was left to the device.
        Unfinished => info "checksum to be completed",
    }
}

pub(super) const NAME: &str = "af_xdp-input";

pub(super) fn node() -> NodeSpec {
    NodeSpec::input(NAME, |_| XdpInput)
}

struct XdpInput;

/// The interface, the queue, the frame.
#[derive(serde::Serialize)]
struct InputTrace {
    interface: Arc<str>,
    hw_if_index: u32,
    queue: u32,
    length: usize,
    unfinished: bool,
}

impl Record for InputTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("af_xdp: {} ({}) next-node ethernet-input", self.interface, self.hw_if_index));
        let unfinished = if self.unfinished { " checksum to be completed" } else { "" };
        text.nest(2, |text| text.line(format_args!("rx-queue {} length {}{unfinished}", self.queue, self.length)));
    }
}

impl InputNode for XdpInput {
    type Next = Next;
    type Error = Error;
    type Local = Queues;
    type Trace = InputTrace;

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let mut queues = std::mem::take(cx.local);
        let (mut seen, count) = (0, queues.rx.len());
        for turn in 0..count {
            let queue = &mut queues.rx[(queues.first + turn) % count];
            let frames = serve(cx, queue);
            if queue.looks.is_due(cx.now().nanos, frames) {
                look(cx, queue);
            }
            seen += frames;
        }
        queues.first = if count == 0 { 0 } else { (queues.first + 1) % count };
        let mut waiting = false;
        for (_, queue) in &queues.tx {
            waiting |= queue.look_again(&mut cx.lending());
        }
        *cx.local = queues;
        match seen {
            0 if waiting => Poll::Until(cx.now().nanos + RETRY),
            0 => Poll::Idle,
            _ => Poll::Busy(seen),
        }
    }
}

/// Frames whose first lines are fetched ahead: another processor has written them.
const AHEAD: u32 = 8;

/// Brings in what waits in a ring, as far as there is room; gives the number of frames taken.
fn serve(cx: &mut InputCx<'_, '_, XdpInput>, queue: &mut RxQueue) -> usize {
    let there = queue.rx.look() as usize;
    if there == 0 {
        queue.poll_device();
        return 0;
    }
    let interface = queue.interface;
    let up = cx.tables.interface(interface).admin_up;
    let (mut packets, mut bytes, mut bad, mut unfinished) = (0, 0, 0, 0);
    let taken = there.min(cx.room());
    for behind in 0..AHEAD {
        queue.prefetch(behind, &cx.lending());
    }
    for _ in 0..taken {
        queue.prefetch(AHEAD, &cx.lending());
        let (frame, len) = match queue.next_frame(&mut cx.lending()) {
            Some(Ok(frame)) => frame,
            Some(Err(())) => {
                bad += 1;
                continue;
            }
            None => break,
        };
        if !up {
            cx.lending().throw_away(frame);
            continue;
        }
        packets += 1;
        bytes += u64::from(len);
        let tables = cx.tables;
        let mut incomplete = false;
        let number = queue.number;
        cx.deliver_returned(
            interface,
            frame,
            |packet| {
                incomplete = find_unfinished(packet);
                Next::Ethernet
            },
            |packet| InputTrace {
                interface: tables.interface(interface).name.clone(),
                hw_if_index: interface.0,
                queue: number,
                length: packet.len(),
                unfinished: packet.csum_start().is_some(),
            },
        );
        unfinished += u64::from(incomplete);
    }
    queue.refill(&mut cx.lending());
    if packets > 0 {
        cx.interface(interface).rx.add(packets, bytes);
    }
    if unfinished > 0 {
        cx.count(Error::Unfinished, unfinished);
    }
    if !up {
        cx.count(Error::AdminDown, taken as u64);
    }
    if bad > 0 {
        cx.count(Error::BadDescriptor, bad);
        cx.interface(interface).rx_error.add(bad);
    }
    taken
}

/// Looks after a socket's counts, and for buffers where the pool had none.
#[cold]
fn look(cx: &mut InputCx<'_, '_, XdpInput>, queue: &mut RxQueue) {
    queue.refill(&mut cx.lending());
    let grown = queue.state.set_counts(queue.kernel_counts());
    let missed = grown.dropped + grown.full;
    if missed > 0 {
        cx.interface(queue.interface).rx_miss.add(missed);
    }
    let counts = [
        (Error::Dropped, grown.dropped),
        (Error::RingFull, grown.full),
        (Error::FillEmpty, grown.fill_empty),
        (Error::Invalid, grown.invalid_fill + grown.invalid_tx),
    ];
    for (error, count) in counts {
        if count > 0 {
            cx.count(error, count);
        }
    }
}
