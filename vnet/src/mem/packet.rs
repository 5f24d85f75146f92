//! The view of one packet that node code gets.

use std::ptr::NonNull;

use super::meta::Meta;
use super::pool::{Buffer, Memory};
use crate::ids::IfIndex;

/// Bytes from one buffer to the next. An odd number of cache lines, so that the headers of a vector spread over all
/// sets of the first-level cache instead of a handful.
pub const STRIDE: usize = 35 * 64;
/// Bytes before a fresh packet, for headers that are pushed.
pub const HEADROOM: usize = STRIDE - DATA_SIZE;
/// Bytes of a packet that one buffer holds without touching its headroom.
pub const DATA_SIZE: usize = 2048;

/// Exclusive access to one packet: its metadata, the bytes in its first buffer, and the chain behind it.
///
/// Invariant: as long as a `Packet` exists, nobody else reaches its buffers; see [`Memory`].
/// `meta.start + meta.len <= STRIDE` holds at all times, so that no access needs more than that to stay inside.
pub struct Packet<'a> {
    memory: &'a Memory,
    meta: &'a mut Meta,
    base: NonNull<u8>,
}

impl<'a> Packet<'a> {
    /// The buffer must be a live one of `memory`; taking it by `&mut` makes the access exclusive.
    #[inline(always)]
    pub(super) fn new(memory: &'a Memory, buffer: &'a mut Buffer) -> Packet<'a> {
        // SAFETY: by the invariant of `Memory`, tokens are unique and in range, and `&mut Buffer` keeps this one from
        // being used twice.
        unsafe { Packet { memory, meta: &mut *memory.meta(buffer.0), base: memory.data(buffer.0) } }
    }

    /// The metadata.
    #[inline(always)]
    pub fn meta(&self) -> &Meta {
        self.meta
    }

    /// The metadata, to change.
    #[inline(always)]
    pub fn meta_mut(&mut self) -> &mut Meta {
        self.meta
    }

    /// The bytes in the first buffer; all of the packet unless it is a chain.
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        self.span(self.meta.start, self.meta.len)
    }

    /// The bytes in the first buffer, to change.
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: `start + len <= STRIDE` (the type's invariant), and `&mut self` is exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.base.as_ptr().add(usize::from(self.meta.start)),
                usize::from(self.meta.len),
            )
        }
    }

    #[inline(always)]
    fn span(&self, start: u16, len: u16) -> &[u8] {
        // SAFETY: callers pass ranges inside the buffer (`start + len <= STRIDE`), which is initialised memory.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(usize::from(start)), usize::from(len)) }
    }

    /// Bytes of the whole packet, the chain included.
    #[inline(always)]
    pub fn len(&self) -> usize {
        usize::from(self.meta.len) + self.meta.rest as usize
    }

    /// Whether the packet has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the packet is longer than its first buffer.
    #[inline(always)]
    pub fn is_chain(&self) -> bool {
        self.meta.next != 0
    }

    /// Bytes that can still be pushed.
    #[inline(always)]
    pub fn headroom(&self) -> usize {
        usize::from(self.meta.start)
    }

    /// Puts `n` bytes in front and gives the bytes of the first buffer; `None` where the headroom is used up.
    /// The new bytes hold whatever stood there.
    #[inline(always)]
    pub fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > usize::from(self.meta.start) {
            return None;
        }
        self.meta.start -= n as u16;
        self.meta.len += n as u16;
        Some(self.data_mut())
    }

    /// Takes `n` bytes off the front; `false`, and nothing changes, where the first buffer holds fewer.
    #[inline(always)]
    pub fn pull(&mut self, n: usize) -> bool {
        if n > usize::from(self.meta.len) {
            return false;
        }
        self.meta.start += n as u16;
        self.meta.len -= n as u16;
        true
    }

    /// Cuts the whole packet to at most `len` bytes (Ethernet's padding behind an IP packet).
    pub fn truncate(&mut self, len: usize) {
        if !self.is_chain() {
            self.meta.len = self.meta.len.min(len.min(STRIDE) as u16);
        } else if len < self.len() {
            self.truncate_chain(len);
        }
    }

    #[cold]
    fn truncate_chain(&mut self, len: usize) {
        let mut left = len.saturating_sub(usize::from(self.meta.len));
        self.meta.rest = left as u32;
        self.meta.len = self.meta.len.min(len.min(STRIDE) as u16);
        let mut next = self.meta.next;
        while next != 0 {
            // SAFETY: the buffers behind a packet belong to it alone (invariant of `Memory`).
            let meta = unsafe { &mut *self.memory.meta(next - 1) };
            meta.len = meta.len.min(left.min(STRIDE) as u16);
            left -= usize::from(meta.len);
            next = meta.next;
        }
    }

    /// Appends what fits into the first buffer; gives the number of bytes taken.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let end = usize::from(self.meta.start) + usize::from(self.meta.len);
        let n = if self.is_chain() { 0 } else { bytes.len().min(STRIDE - end) };
        self.meta.len += n as u16;
        let len = usize::from(self.meta.len);
        self.data_mut()[len - n..].copy_from_slice(&bytes[..n]);
        n
    }

    /// Fills a fresh packet with `bytes`; `false`, and nothing changes, where they need more than one buffer.
    #[inline(always)]
    pub(crate) fn append_fresh(&mut self, bytes: &[u8]) -> bool {
        debug_assert_eq!((self.meta.len, usize::from(self.meta.start)), (0, HEADROOM));
        if bytes.len() > DATA_SIZE {
            return false;
        }
        self.meta.len = bytes.len() as u16;
        self.data_mut().copy_from_slice(bytes);
        true
    }

    /// The pieces of the packet, in order.
    pub fn segments(&self) -> Segments<'_> {
        Segments { packet: self, next: None }
    }

    /// Copies bytes from `offset` on into `out`; gives how many there were.
    pub fn copy_out(&self, mut offset: usize, out: &mut [u8]) -> usize {
        let mut done = 0;
        for segment in self.segments() {
            if offset >= segment.len() {
                offset -= segment.len();
                continue;
            }
            let n = (segment.len() - offset).min(out.len() - done);
            out[done..done + n].copy_from_slice(&segment[offset..offset + n]);
            done += n;
            offset = 0;
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// Calls `change` with every piece of the packet and its offset.
    pub fn for_each_segment_mut(&mut self, mut change: impl FnMut(usize, &mut [u8])) {
        change(0, self.data_mut());
        let (mut offset, mut next) = (usize::from(self.meta.len), self.meta.next);
        while next != 0 {
            // SAFETY: the buffers behind a packet belong to it alone, and `start + len <= STRIDE` for each.
            let bytes = unsafe {
                let meta = &*self.memory.meta(next - 1);
                let base = self.memory.data(next - 1);
                let bytes =
                    std::slice::from_raw_parts_mut(base.as_ptr().add(usize::from(meta.start)), usize::from(meta.len));
                next = meta.next;
                bytes
            };
            change(offset, bytes);
            offset += bytes.len();
        }
    }

    /// Remembers that the Ethernet header starts at the packet's present start.
    #[inline(always)]
    pub fn mark_l2(&mut self) {
        self.meta.l2 = self.meta.start;
    }

    /// Remembers that the network header starts at the packet's present start.
    #[inline(always)]
    pub fn mark_l3(&mut self) {
        self.meta.l3 = self.meta.start;
    }

    /// Remembers that the network header starts `offset` bytes after the packet's present start.
    pub fn mark_l3_at(&mut self, offset: usize) {
        self.meta.l3 = self.meta.start.saturating_add(offset.min(STRIDE) as u16);
    }

    /// The bytes from the marked Ethernet header to the end of the first buffer, also after [`Packet::pull`].
    pub fn l2_bytes(&self) -> &[u8] {
        self.marked(self.meta.l2)
    }

    /// The bytes from the marked network header to the end of the first buffer.
    pub fn l3_bytes(&self) -> &[u8] {
        self.marked(self.meta.l3)
    }

    fn marked(&self, mark: u16) -> &[u8] {
        let end = self.meta.start + self.meta.len;
        self.span(mark.min(end), end - mark.min(end))
    }

    /// Where the marked headers stand, relative to the packet's present start (negative: in front of it).
    pub fn header_offsets(&self) -> (i32, i32) {
        let start = i32::from(self.meta.start);
        (i32::from(self.meta.l2) - start, i32::from(self.meta.l3) - start)
    }

    /// The packet's present start, relative to that of a fresh packet (VPP's `current data`).
    pub fn current_data(&self) -> i32 {
        i32::from(self.meta.start) - HEADROOM as i32
    }

    /// Where the unfinished checksum's range begins, in bytes from the packet's present start. `None` where there is
    /// no unfinished checksum or a header in front of it has been taken off beyond it.
    #[inline]
    pub fn csum_start(&self) -> Option<usize> {
        (self.meta.csum_start >= self.meta.start && self.meta.csum_start != 0)
            .then(|| usize::from(self.meta.csum_start - self.meta.start))
    }

    /// Notes that the checksum over the bytes from `start` (counted from the packet's present start) is unfinished.
    pub fn set_csum_start(&mut self, start: usize) {
        self.meta.csum_start = self.meta.start.saturating_add(start.min(STRIDE) as u16);
    }

    /// Whether the packet is traced.
    #[inline(always)]
    pub fn is_traced(&self) -> bool {
        self.meta.trace != 0
    }

    /// The packet's trace, counted from 0 as VPP does; `None`: not traced.
    pub fn trace_handle(&self) -> Option<u32> {
        self.meta.trace.checked_sub(1)
    }

    /// A number that stands for the first buffer in traces; it names nothing.
    pub fn buffer_label(&self) -> usize {
        self.base.as_ptr() as usize & 0x00ff_ffc0
    }

    /// Takes over what describes the packet `from` rather than its bytes: interfaces and trace.
    pub(crate) fn inherit(&mut self, rx: IfIndex, trace: u32) {
        self.meta.rx = rx;
        self.meta.trace = trace;
    }
}

/// Iterates over the pieces of a packet.
pub struct Segments<'p> {
    packet: &'p Packet<'p>,
    /// `None`: the first buffer is still to come; then the link to the next.
    next: Option<u32>,
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p [u8];
    fn next(&mut self) -> Option<&'p [u8]> {
        match self.next {
            None => {
                self.next = Some(self.packet.meta.next);
                Some(self.packet.data())
            }
            Some(0) => None,
            Some(link) => {
                let memory = self.packet.memory;
                // SAFETY: the buffers behind a packet belong to it alone and are borrowed with it.
                let (meta, base) = unsafe { (&*memory.meta(link - 1), memory.data(link - 1)) };
                self.next = Some(meta.next);
                // SAFETY: `start + len <= STRIDE` for every buffer.
                Some(unsafe {
                    std::slice::from_raw_parts(base.as_ptr().add(usize::from(meta.start)), usize::from(meta.len))
                })
            }
        }
    }
}
