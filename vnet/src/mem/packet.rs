//! The view of one packet that node code gets.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::meta::{Meta, Span};
use super::pool::{Buffer, Memory, linked};
use crate::graph::{Reason, TRACING};
use crate::ids::{IfIndex, NodeId};

/// Bytes from one buffer to the next: metadata, room, and the buffer's number. An odd number of cache lines, so that
/// the headers of a vector spread over all sets of the first-level cache instead of a handful.
pub const STRIDE: usize = 37 * LINE;
/// Bytes of a buffer that headers and data may use.
pub const ROOM: usize = HEADROOM + DATA_SIZE;
/// Bytes before a fresh packet, for headers that are pushed.
///
/// A multiple of cache lines and 26 bytes more. Then one line holds all that a balancer reads and writes of a packet: the 24 bytes
/// in front that two IPv4 headers and a GRE header take beyond what the link header gives back (14 + 20 + 4 - 14), the link
/// header, the IPv4 header, and the ports (24 + 14 + 20 + 4 = 62 bytes). And the addresses of an IPv6 header are the last quarter of one
/// line and the first of the next: neither is read from two lines.
pub const HEADROOM: usize = 3 * LINE + 26;
/// Bytes of a packet that one buffer holds without touching its headroom.
pub const DATA_SIZE: usize = 2048;

const LINE: usize = 64;
const _: () = assert!((STRIDE / LINE) % 2 == 1 && ROOM <= u16::MAX as usize);

/// Exclusive access to one packet: its metadata, the bytes in its first buffer, and the chain behind it.
///
/// One word: nodes hand packets to functions by reference, and what is not a word then has to be in memory.
///
/// Invariant: `buffer` is the start of a live buffer of a [`Memory`] that outlives `'a`, and as long as the `Packet`
/// exists, nobody else reaches this buffer and the chain behind it.
pub struct Packet<'a> {
    buffer: NonNull<u8>,
    _held: PhantomData<(&'a Memory, &'a mut Buffer)>,
}

impl<'a> Packet<'a> {
    /// Taking the token by `&mut` makes the access exclusive; `memory` must be the one that it points into.
    #[inline(always)]
    pub(super) fn new(memory: &'a Memory, buffer: &'a mut Buffer) -> Packet<'a> {
        let _ = memory;
        Packet { buffer: buffer.0, _held: PhantomData }
    }

    /// The same packet, for as long as this one is lent. What a function that is not inlined takes by reference must lie
    /// in memory, in every round of the loop that may call it; of a packet lent this way only the copy does, and only
    /// where the call is made.
    #[inline(always)]
    pub fn again(&mut self) -> Packet<'_> {
        Packet { buffer: self.buffer, _held: PhantomData }
    }

    /// The metadata.
    #[inline(always)]
    pub fn meta(&self) -> &Meta {
        // SAFETY: a buffer begins with its metadata (invariant of `Memory`).
        unsafe { self.buffer.cast().as_ref() }
    }

    /// The metadata, to change.
    #[inline(always)]
    pub fn meta_mut(&mut self) -> &mut Meta {
        // SAFETY: as for `meta`, and `&mut self` is exclusive.
        unsafe { self.buffer.cast().as_mut() }
    }

    /// The buffer that a link of this packet's chain leads to.
    fn linked(&self, link: u32) -> NonNull<u8> {
        // SAFETY: the link is one of this packet's chain, whose buffers are of the same memory.
        unsafe { linked(self.buffer, link) }
    }

    /// The bytes in the first buffer; all of the packet unless it is a chain.
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        // SAFETY: the buffer is held as long as `self` is borrowed.
        unsafe { bytes(self.buffer) }
    }

    /// The bytes in the first buffer, to change.
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: the buffer is held, and `&mut self` is exclusive.
        unsafe { bytes_mut(self.buffer) }
    }

    /// Bytes of the whole packet, the chain included.
    #[inline(always)]
    pub fn len(&self) -> usize {
        usize::from(self.meta().span.len()) + self.meta().span.rest() as usize
    }

    /// Bytes of the packet if one buffer has them all, or else 65536 or more: what nodes compare that leave chains to the
    /// part of them that is for uncommon packets.
    #[inline(always)]
    pub fn plain_len(&self) -> usize {
        self.meta().span.plain_len()
    }

    /// Whether the packet has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the packet is longer than its first buffer.
    #[inline(always)]
    pub fn is_chain(&self) -> bool {
        self.meta().next != 0
    }

    /// Bytes that can still be pushed.
    #[inline(always)]
    pub fn headroom(&self) -> usize {
        usize::from(self.meta().span.start())
    }

    /// Puts `n` bytes in front and gives the bytes of the first buffer; `None` where the headroom is used up.
    /// The new bytes hold whatever stood there.
    #[inline(always)]
    pub fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        let span = self.meta().span;
        if n > usize::from(span.start()) {
            return None;
        }
        self.meta_mut().span = span.pushed(n as u16);
        Some(self.data_mut())
    }

    /// As [`push`](Packet::push), for a header of a length known beforehand: gives just the new bytes.
    #[inline(always)]
    pub fn push_array<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.push(N)?;
        // SAFETY: the `N` bytes from the new start on were in front of the old one, so they are in the room.
        Some(unsafe { &mut *room(self.buffer).add(usize::from(self.meta().span.start())).cast() })
    }

    /// Puts `N` bytes in front of what begins with `M`: gives both. `None`, and nothing changes, where the headroom is used
    /// up or the first buffer holds fewer than `M`.
    #[inline(always)]
    pub fn push_before<const N: usize, const M: usize>(&mut self) -> Option<(&mut [u8; N], &mut [u8; M])> {
        if usize::from(self.meta().span.len()) < M {
            return None;
        }
        self.push(N)?;
        // SAFETY: the `N` bytes from the new start on were in front of the old one, and at least `M` bytes of the packet
        // follow them in the buffer: all are in the room, and they do not overlap.
        unsafe {
            let new = room(self.buffer).add(usize::from(self.meta().span.start()));
            Some((&mut *new.cast(), &mut *new.add(N).cast()))
        }
    }

    /// Takes `n` bytes off the front; `false`, and nothing changes, where the first buffer holds fewer.
    #[inline(always)]
    pub fn pull(&mut self, n: usize) -> bool {
        let span = self.meta().span;
        if n > usize::from(span.len()) {
            return false;
        }
        self.meta_mut().span = span.pulled(n as u16);
        true
    }

    /// Cuts the whole packet to at most `len` bytes (Ethernet's padding behind an IP packet).
    pub fn truncate(&mut self, len: usize) {
        if !self.is_chain() {
            self.truncate_first(len);
        } else if len < self.len() {
            self.truncate_chain(len);
        }
    }

    fn truncate_first(&mut self, len: usize) {
        let span = self.meta().span;
        self.meta_mut().span = span.with_len(span.len().min(len.min(ROOM) as u16));
    }

    #[cold]
    fn truncate_chain(&mut self, len: usize) {
        let mut left = len.saturating_sub(usize::from(self.meta().span.len()));
        self.meta_mut().span = self.meta().span.with_rest(left as u32);
        self.truncate_first(len);
        let mut next = self.meta().next;
        while next != 0 {
            // SAFETY: the buffers behind a packet belong to it alone (invariant of `Memory`).
            let meta = unsafe { self.linked(next).cast::<Meta>().as_mut() };
            meta.span = meta.span.with_len(meta.span.len().min(left.min(ROOM) as u16));
            left -= usize::from(meta.span.len());
            next = meta.next;
        }
    }

    /// Appends what fits into the first buffer; gives the number of bytes taken.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let span = self.meta().span;
        let end = usize::from(span.start()) + usize::from(span.len());
        let n = if self.is_chain() { 0 } else { bytes.len().min(ROOM - end) };
        let len = usize::from(span.len()) + n;
        self.meta_mut().span = span.with_len(len as u16);
        self.data_mut()[len - n..].copy_from_slice(&bytes[..n]);
        n
    }

    /// Fills a fresh packet with `bytes`; `false`, and nothing changes, where they need more than one buffer.
    #[inline(always)]
    pub(crate) fn append_fresh(&mut self, bytes: &[u8]) -> bool {
        debug_assert_eq!((self.meta().span.len(), usize::from(self.meta().span.start())), (0, HEADROOM));
        if bytes.len() > DATA_SIZE {
            return false;
        }
        self.meta_mut().span = Span::new(HEADROOM as u16, bytes.len() as u16);
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
        let (mut offset, mut next) = (usize::from(self.meta().span.len()), self.meta().next);
        while next != 0 {
            let buffer = self.linked(next);
            // SAFETY: the buffers behind a packet belong to it alone.
            let bytes = unsafe {
                next = buffer.cast::<Meta>().as_ref().next;
                bytes_mut(buffer)
            };
            change(offset, bytes);
            offset += bytes.len();
        }
    }

    /// Remembers that the Ethernet header starts at the packet's present start.
    #[inline(always)]
    pub fn mark_l2(&mut self) {
        self.meta_mut().l2 = self.meta().span.start();
    }

    /// Remembers that the network header starts at the packet's present start.
    #[inline(always)]
    pub fn mark_l3(&mut self) {
        self.meta_mut().l3 = self.meta().span.start();
    }

    /// Remembers that the network header starts `offset` bytes after the packet's present start.
    pub fn mark_l3_at(&mut self, offset: usize) {
        self.meta_mut().l3 = self.meta().span.start().saturating_add(offset.min(ROOM) as u16);
    }

    /// The bytes from the marked Ethernet header to the end of the first buffer, also after [`Packet::pull`].
    pub fn l2_bytes(&self) -> &[u8] {
        self.marked(self.meta().l2)
    }

    /// The bytes from the marked network header to the end of the first buffer.
    pub fn l3_bytes(&self) -> &[u8] {
        self.marked(self.meta().l3)
    }

    pub(super) fn marked(&self, mark: u16) -> &[u8] {
        let end = self.meta().span.start() + self.meta().span.len();
        let mark = mark.min(end);
        // SAFETY: `mark <= end <= ROOM`, and the buffer is held.
        unsafe { span(self.buffer, Span::new(mark, end - mark)) }
    }

    /// Where the marked headers stand, relative to the packet's present start (negative: in front of it).
    pub fn header_offsets(&self) -> (i32, i32) {
        let start = i32::from(self.meta().span.start());
        (i32::from(self.meta().l2) - start, i32::from(self.meta().l3) - start)
    }

    /// The packet's present start, relative to that of a fresh packet (VPP's `current data`).
    pub fn current_data(&self) -> i32 {
        i32::from(self.meta().span.start()) - HEADROOM as i32
    }

    /// Where the unfinished checksum's range begins, in bytes from the packet's present start. `None` where there is
    /// no unfinished checksum or a header in front of it has been taken off beyond it.
    #[inline]
    pub fn csum_start(&self) -> Option<usize> {
        (self.meta().csum_start >= self.meta().span.start() && self.meta().csum_start != 0)
            .then(|| usize::from(self.meta().csum_start - self.meta().span.start()))
    }

    /// Notes that the checksum over the bytes from `start` (counted from the packet's present start) is unfinished.
    pub fn set_csum_start(&mut self, start: usize) {
        self.meta_mut().csum_start = self.meta().span.start().saturating_add(start.min(ROOM) as u16);
    }

    /// Notes why the packet is dropped, in place of what was noted before.
    #[inline(always)]
    pub fn note(&mut self, reason: Reason) {
        self.meta_mut().error = reason.0;
    }

    /// Notes that another worker shall go on with the packet, in front of `node`; it must then be sent to the node
    /// [`worker-handoff`](crate::handoff). In place of a reason for a drop.
    #[inline(always)]
    pub fn hand_over(&mut self, worker: usize, node: NodeId) {
        self.meta_mut().error = (worker.min(0xffff) as u32) << 16 | u32::from(node.0);
    }

    /// The worker and the node that the packet is meant for; gives the word back to the reasons for drops.
    pub(crate) fn take_addressee(&mut self) -> (usize, NodeId) {
        let word = std::mem::take(&mut self.meta_mut().error);
        ((word >> 16) as usize, NodeId(word as u16))
    }

    /// Whether the packet is traced.
    #[inline(always)]
    pub fn is_traced(&self) -> bool {
        TRACING && self.meta().trace != 0
    }

    /// The packet's trace, counted from 0 as VPP does; `None`: not traced.
    pub fn trace_handle(&self) -> Option<u32> {
        self.meta().trace.checked_sub(1)
    }

    /// A number that stands for the first buffer in traces; it names nothing.
    pub fn buffer_label(&self) -> usize {
        self.buffer.as_ptr() as usize & 0x00ff_ffc0
    }

    /// Takes over what describes the packet `from` rather than its bytes: interfaces and trace.
    pub(crate) fn inherit(&mut self, rx: IfIndex, trace: u32) {
        self.meta_mut().rx = rx;
        self.meta_mut().trace = trace;
    }
}

/// The bytes of the packet's part in a buffer.
///
/// # Safety
/// The buffer must be a live one of a [`Memory`] and nobody may write to it during `'b`.
#[inline(always)]
unsafe fn bytes<'b>(buffer: NonNull<u8>) -> &'b [u8] {
    // SAFETY: as required from the caller; `start + len <= ROOM` in every buffer.
    unsafe {
        let meta: &Meta = buffer.cast().as_ref();
        span(buffer, meta.span)
    }
}

/// The same, to change.
///
/// # Safety
/// The buffer must be a live one of a [`Memory`] and held by the caller alone during `'b`.
#[inline(always)]
unsafe fn bytes_mut<'b>(buffer: NonNull<u8>) -> &'b mut [u8] {
    // SAFETY: as required from the caller; `start + len <= ROOM` in every buffer.
    unsafe {
        let meta: &Meta = buffer.cast().as_ref();
        std::slice::from_raw_parts_mut(room(buffer).add(usize::from(meta.span.start())), usize::from(meta.span.len()))
    }
}

/// # Safety
/// As for [`bytes`], and `start + len <= ROOM`.
#[inline(always)]
unsafe fn span<'b>(buffer: NonNull<u8>, span: Span) -> &'b [u8] {
    // SAFETY: as required from the caller.
    unsafe { std::slice::from_raw_parts(room(buffer).add(usize::from(span.start())), usize::from(span.len())) }
}

/// Where the room for data begins, behind the metadata.
///
/// # Safety
/// The pointer must be that of a buffer.
#[inline(always)]
pub(super) unsafe fn room(buffer: NonNull<u8>) -> *mut u8 {
    // SAFETY: a buffer is longer than its metadata.
    unsafe { buffer.as_ptr().add(size_of::<Meta>()) }
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
                self.next = Some(self.packet.meta().next);
                Some(self.packet.data())
            }
            Some(0) => None,
            Some(link) => {
                let buffer = self.packet.linked(link);
                // SAFETY: the buffers behind a packet belong to it alone and are borrowed with it.
                unsafe {
                    self.next = Some(buffer.cast::<Meta>().as_ref().next);
                    Some(bytes(buffer))
                }
            }
        }
    }
}
