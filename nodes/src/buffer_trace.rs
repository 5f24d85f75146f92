//! The block that devices show of a packet they send: its first buffer, what is left to do, the frame.

use trace::{Record, Text};
use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::{Offload, Packet};

use crate::frame_trace::FrameTrace;

/// `buffer 0x…:` with what VPP prints of a buffer; without the frame, see [`BufferFrameTrace`].
#[derive(serde::Serialize)]
pub struct BufferTrace {
    label: usize,
    current_data: i32,
    length: usize,
    total_length: Option<usize>,
    handle: Option<u32>,
    offload: u16,
    protocol: u8,
    gso_size: u16,
    l2: i32,
    l3: i32,
    l4: Option<i32>,
}

impl BufferTrace {
    /// What stands in the packet now.
    pub fn new(packet: &Packet<'_>) -> BufferTrace {
        let (start, (l2, l3)) = (packet.current_data(), packet.header_offsets());
        let unfinished = packet.meta().offload.contains(Offload::CHECKSUM);
        let l4 = packet.csum_start().filter(|_| unfinished).and_then(|at| i32::try_from(at).ok());
        BufferTrace {
            label: packet.buffer_label(),
            current_data: start,
            length: packet.data().len(),
            total_length: packet.is_chain().then(|| packet.len() - packet.data().len()),
            handle: packet.trace_handle(),
            offload: packet.meta().offload.bits(),
            protocol: Ip4Header::ref_from_prefix(packet.l3_bytes()).map_or(0, |(ip, _)| ip.protocol),
            gso_size: packet.meta().gso_size,
            l2: l2 + start,
            l3: l3 + start,
            l4: l4.map(|at| at + start),
        }
    }
}

impl Record for BufferTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("buffer 0x{:x}:", self.label));
        text.nest(2, |text| {
            let total = self.total_length.map(|rest| format!(", totlen-nifb {rest}")).unwrap_or_default();
            let handle = self.handle.map(|handle| format!(", trace handle 0x{handle:x}")).unwrap_or_default();
            text.line(format_args!(
                "current data {}, length {}, buffer-pool 0, ref-count 1{total}{handle}",
                self.current_data, self.length
            ));
            let (offload, mut flags) = (Offload::from_bits_truncate(self.offload), String::new());
            if offload.contains(Offload::LOCAL) {
                flags += "local ";
            }
            if offload.contains(Offload::CHECKSUM) {
                flags +=
                    if self.protocol == protocol::UDP { "ip4 offload-udp-cksum  " } else { "ip4 offload-tcp-cksum  " };
            }
            // VPP marks no headers in packets of its own.
            if !offload.contains(Offload::LOCAL) {
                flags += &format!("l2-hdr-offset {} l3-hdr-offset {} ", self.l2, self.l3);
            }
            if let Some(l4) = self.l4 {
                flags += &format!("l4-hdr-offset {l4} ");
            }
            if offload.intersects(Offload::GSO) {
                flags += &format!("gso gso-size {}", self.gso_size);
            }
            text.line(flags);
        });
    }
}

/// A packet's flags as VPP's `IF-output` shows them (bits of its `vlib_buffer_t`), from what is known here.
pub fn flags(packet: &Packet<'_>) -> u32 {
    const TRACED: u32 = 1;
    const CHAIN: u32 = 1 << 1;
    const LENGTH: u32 = 1 << 2;
    const L4_OFFSET: u32 = 1 << 18;
    const L3_OFFSET: u32 = 1 << 19;
    const L2_OFFSET: u32 = 1 << 20;
    const OFFLOAD: u32 = 1 << 22;
    const IP4: u32 = 1 << 24;
    const LOCAL: u32 = 1 << 25;
    let meta = packet.meta();
    let mut flags = if packet.is_traced() { TRACED } else { 0 };
    if packet.is_chain() {
        flags |= CHAIN | LENGTH;
    }
    if meta.offload.contains(Offload::LOCAL) {
        return flags | LOCAL;
    }
    flags |= L2_OFFSET | L3_OFFSET;
    // The packet generator leaves the length of the whole packet to be found out.
    if meta.opaque[0] != crate::GENERATED {
        flags |= LENGTH;
    }
    if meta.offload.intersects(Offload::UNFINISHED) {
        flags |= OFFLOAD | IP4 | L4_OFFSET;
    }
    flags
}

/// A [`BufferTrace`] and the frame below it.
#[derive(serde::Serialize)]
pub struct BufferFrameTrace {
    buffer: BufferTrace,
    frame: FrameTrace,
}

impl BufferFrameTrace {
    /// The packet begins with its Ethernet header.
    pub fn new(packet: &Packet<'_>) -> BufferFrameTrace {
        BufferFrameTrace { buffer: BufferTrace::new(packet), frame: FrameTrace::new(packet) }
    }
}

impl Record for BufferFrameTrace {
    fn text(&self, text: &mut Text) {
        self.buffer.text(text);
        self.frame.text(text);
    }
}
