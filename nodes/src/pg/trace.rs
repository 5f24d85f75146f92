//! What `show trace` prints of generated packets.

use std::fmt;
use std::sync::Arc;

use trace::{Record, Text};
use vnet::mem::HEADROOM;
use vnet::wire::{HeaderBytes, Start};
use vnet::{Offload, Packet};

use crate::frame_trace::FrameTrace;

/// The buffer that a packet lies in, as VPP describes it.
#[derive(serde::Serialize)]
pub struct BufferTrace {
    current_data: i32,
    length: usize,
    /// Bytes in the buffers behind the first, for chains.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<usize>,
    trace_handle: u32,
}

impl BufferTrace {
    fn new(packet: &Packet<'_>) -> BufferTrace {
        BufferTrace {
            current_data: packet.current_data(),
            length: packet.data().len(),
            more: packet.is_chain().then(|| packet.len() - packet.data().len()),
            trace_handle: packet.trace_handle().unwrap_or(0),
        }
    }
}

/// A packet has one pool, that of its worker, and one owner.
impl fmt::Display for BufferTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "current data {}, length {}, buffer-pool 0, ref-count 1", self.current_data, self.length)?;
        if let Some(more) = self.more {
            write!(f, ", totlen-nifb {more}")?;
        }
        write!(f, ", trace handle 0x{:x}", self.trace_handle)
    }
}

/// `pg-input`: the stream, the buffer, the packet.
#[derive(serde::Serialize)]
pub struct InputTrace {
    stream: Arc<str>,
    bytes: usize,
    sw_if_index: u32,
    next_node: Arc<str>,
    buffer: BufferTrace,
    packet: HeaderBytes,
}

/// What all packets of a stream say in traces.
pub(super) struct Origin {
    pub(super) stream: Arc<str>,
    pub(super) next_node: Arc<str>,
    /// The header that packets begin with.
    pub(super) start: Start,
}

impl InputTrace {
    pub(super) fn new(origin: &Origin, packet: &Packet<'_>) -> InputTrace {
        InputTrace {
            stream: origin.stream.clone(),
            bytes: packet.len(),
            sw_if_index: packet.meta().rx.0,
            next_node: origin.next_node.clone(),
            buffer: BufferTrace::new(packet),
            packet: HeaderBytes::new(origin.start, packet.data()),
        }
    }
}

impl Record for InputTrace {
    fn text(&self, text: &mut Text) {
        let (stream, bytes, interface) = (&self.stream, self.bytes, self.sw_if_index);
        text.line(format_args!(
            "stream {stream}, {bytes} bytes, sw_if_index {interface}, next_node {}",
            self.next_node
        ));
        text.line(&self.buffer);
        self.packet.text(text);
    }
}

/// `pgN-tx`: the buffer, where its headers were marked, the frame.
#[derive(serde::Serialize)]
pub struct TxTrace {
    buffer: usize,
    state: BufferTrace,
    #[serde(skip_serializing_if = "Option::is_none")]
    l2_offset: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_offset: Option<i32>,
    local: bool,
    frame: FrameTrace,
}

impl TxTrace {
    pub(super) fn new(packet: &Packet<'_>) -> TxTrace {
        // As VPP counts: from where the data of a fresh buffer begins. A mark that nobody set is at the buffer's start.
        let (l2, l3) = packet.header_offsets();
        let mark = |offset: i32| Some(offset + packet.current_data()).filter(|&mark| mark != -(HEADROOM as i32));
        TxTrace {
            buffer: packet.buffer_label(),
            state: BufferTrace::new(packet),
            l2_offset: mark(l2),
            l3_offset: mark(l3),
            local: packet.meta().offload.contains(Offload::LOCAL),
            frame: FrameTrace::new(packet),
        }
    }
}

impl Record for TxTrace {
    fn text(&self, text: &mut Text) {
        text.nest(2, |text| text.line(format_args!("buffer 0x{:x}: {}", self.buffer, self.state)));
        // VPP marks no headers in packets of its own.
        let mut marks = if self.local { String::from("local ") } else { String::new() };
        for (name, mark) in [("l2", self.l2_offset), ("l3", self.l3_offset)] {
            if let Some(mark) = mark.filter(|_| !self.local) {
                marks.push_str(&format!("{name}-hdr-offset {mark} "));
            }
        }
        if !marks.is_empty() {
            text.nest(18, |text| text.line(marks));
        }
        self.frame.text(text);
    }
}
