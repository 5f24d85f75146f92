//! The buffers of one packet thread.

use std::ptr::NonNull;
use std::sync::Arc;

use super::mapping::{Mapping, PageKind};
use super::meta::Meta;
use super::packet::{HEADROOM, Packet, ROOM, STRIDE, room};
use crate::counters::Counter;
use crate::graph::Held;

/// The right to use one buffer: made by [`Pool::alloc`], ended by [`Pool::free`]; never copied.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Buffer(pub(super) u32);

/// Where buffers live: each is its [`Meta`], [`ROOM`] bytes, and its number.
///
/// Invariants, on which all `unsafe` code of [`mem`](super) rests:
/// - `start` points to `count` buffers of [`STRIDE`] initialised bytes each, aligned to cache lines, for as long as
///   the `Memory` lives, and reached through nothing else. Numbers of buffers never change.
/// - Every number below `count` is in exactly one of these places: the pool's free list, one [`Buffer`] token, or the
///   `next` link of exactly one buffer (a chain belongs to its head's token). So whoever holds `&mut Buffer` holds the
///   buffer, and the chain behind it, alone. Tokens stay with the pool that made them: a [`Pool`] and everything that
///   keeps its tokens are parts of one worker. [`Meta`] can therefore be exchanged by safe code, and not copied.
/// - `start + len <= ROOM` in the metadata of every buffer.
pub(crate) struct Memory {
    start: NonNull<u8>,
    count: u32,
    _mapping: Mapping,
}

/// Where a buffer's number stands.
const NUMBER_AT: usize = size_of::<Meta>() + ROOM;
const _: () = assert!(NUMBER_AT.is_multiple_of(align_of::<u32>()) && NUMBER_AT + size_of::<u32>() <= STRIDE);

// SAFETY: the memory is owned by this value alone; moving it to another thread moves that ownership.
unsafe impl Send for Memory {}
// SAFETY: shared access gives nothing by itself: every way to the bytes takes a token by `&mut` or is `unsafe`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(count: u32) -> std::io::Result<(Memory, PageKind)> {
        let mut mapping = Mapping::new(count as usize * STRIDE)?;
        let kind = mapping.kind;
        let start = NonNull::new(mapping.as_mut_ptr()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let memory = Memory { start, count, _mapping: mapping };
        for number in 0..count {
            // SAFETY: in range of the zeroed mapping just made, which nobody else knows yet; it starts at a page, so
            // that both values are aligned.
            unsafe {
                memory.meta(number).write(Meta::fresh(HEADROOM as u16));
                memory.at(number).add(NUMBER_AT).cast::<u32>().write(number);
            }
        }
        Ok((memory, kind))
    }

    /// The packet in this buffer.
    #[inline(always)]
    pub(crate) fn packet<'a>(&'a self, buffer: &'a mut Buffer) -> Packet<'a> {
        Packet::new(self, buffer)
    }

    /// The start of a buffer.
    ///
    /// # Safety
    /// `number` must be below `count`.
    #[inline(always)]
    pub(super) unsafe fn at(&self, number: u32) -> NonNull<u8> {
        debug_assert!(number < self.count);
        // SAFETY: in range.
        unsafe { self.start.add(number as usize * STRIDE) }
    }

    /// A buffer's metadata.
    ///
    /// # Safety
    /// As for [`Memory::at`]; to use the pointer, the caller must hold the buffer as the type's invariant says.
    #[inline(always)]
    pub(super) unsafe fn meta(&self, number: u32) -> *mut Meta {
        // SAFETY: as required from the caller.
        unsafe { self.at(number).as_ptr().cast() }
    }

    /// Another buffer of the memory that this one is in.
    ///
    /// # Safety
    /// `buffer` must be the start of a live buffer, `number` that of another of the same memory.
    pub(super) unsafe fn neighbour(buffer: NonNull<u8>, number: u32) -> NonNull<u8> {
        // SAFETY: every buffer has its number; both are inside the same mapping.
        unsafe {
            let own = buffer.add(NUMBER_AT).cast::<u32>().read();
            buffer.offset((number as isize - own as isize) * STRIDE as isize)
        }
    }
}

/// What `show buffers` tells about a pool.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct PoolStats {
    /// Buffers in the pool.
    pub total: u32,
    /// Buffers that are free.
    pub available: u32,
    /// Allocations that failed because none was free.
    pub exhausted: u64,
    /// Pages under the data.
    pub pages: PageKind,
}

/// Counts that the control thread reads while the worker runs.
#[derive(Default)]
struct Shared {
    available: Counter,
    exhausted: Counter,
}

/// The buffers of one packet thread and its free list.
pub struct Pool {
    memory: Arc<Memory>,
    free: Vec<u32>,
    shared: Arc<Shared>,
    kind: PageKind,
}

impl Pool {
    /// A pool of `count` buffers.
    ///
    /// # Errors
    /// When the kernel has no memory left for the mapping.
    pub fn new(count: u32) -> std::io::Result<Pool> {
        let (memory, kind) = Memory::new(count)?;
        let pool = Pool { memory: Arc::new(memory), free: (0..count).rev().collect(), shared: Arc::default(), kind };
        pool.shared.available.set(u64::from(count));
        Ok(pool)
    }

    /// Where the buffers live, for views that outlast a borrow of the pool.
    pub(crate) fn memory(&self) -> Arc<Memory> {
        self.memory.clone()
    }

    /// The packet in this buffer.
    #[inline(always)]
    pub(crate) fn packet<'a>(&'a self, buffer: &'a mut Buffer) -> Packet<'a> {
        self.memory.packet(buffer)
    }

    /// A fresh empty packet.
    #[inline(always)]
    pub(crate) fn alloc(&mut self) -> Option<Buffer> {
        let Some(number) = self.free.pop() else {
            self.shared.exhausted.add(1);
            return None;
        };
        // SAFETY: a number from the free list is held by nobody else.
        unsafe { self.memory.meta(number).write(Meta::fresh(HEADROOM as u16)) };
        Some(Buffer(number))
    }

    /// Gives back a packet with its whole chain.
    #[inline(always)]
    pub(crate) fn free(&mut self, buffer: Buffer) {
        // SAFETY: the token is the right to the buffer.
        let next = unsafe { (*self.memory.meta(buffer.0)).next };
        self.free.push(buffer.0);
        if next != 0 {
            self.free_chain(next);
        }
    }

    #[cold]
    fn free_chain(&mut self, mut next: u32) {
        while next != 0 {
            // SAFETY: the chain belonged to the head's token, which is gone.
            let meta = unsafe { &mut *self.memory.meta(next - 1) };
            self.free.push(next - 1);
            next = std::mem::take(&mut meta.next);
        }
    }

    /// Turns a packet that leaves the engine's hands into what a node may keep.
    pub(crate) fn hand_out(&self, buffer: Buffer) -> Held {
        Held { buffer, pool: self.memory.start.as_ptr() as usize }
    }

    /// Takes back what was handed out.
    ///
    /// # Panics
    /// When the packet is another worker's: going on would break the memory's invariant.
    pub(crate) fn take_back(&self, held: Held) -> Buffer {
        assert_eq!(held.pool, self.memory.start.as_ptr() as usize, "a held packet must be released where it was held");
        held.buffer
    }

    /// Appends bytes to the packet, chaining buffers as needed; `false` where the pool ran out (the packet then holds
    /// what fitted).
    pub(crate) fn append(&mut self, buffer: &mut Buffer, mut bytes: &[u8]) -> bool {
        let mut last = buffer.0;
        // SAFETY: `last` is held through `buffer`, or linked behind it.
        while let next @ 1.. = unsafe { (*self.memory.meta(last)).next } {
            last = next - 1;
        }
        loop {
            // SAFETY: as above; the range `end..end + n` is inside the buffer.
            let (meta, room) = unsafe { (&mut *self.memory.meta(last), room(self.memory.at(last))) };
            let end = usize::from(meta.start) + usize::from(meta.len);
            let n = bytes.len().min(ROOM - end);
            // SAFETY: as above, and `bytes` cannot overlap a buffer that is held exclusively.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), room.add(end), n) };
            meta.len += n as u16;
            if last != buffer.0 {
                // SAFETY: the head is held; it is another buffer than `last`.
                unsafe { (*self.memory.meta(buffer.0)).rest += n as u32 };
            }
            bytes = &bytes[n..];
            if bytes.is_empty() {
                return true;
            }
            let Some(more) = self.alloc() else { return false };
            // A chained buffer needs no headroom.
            // SAFETY: `more` was just allocated; its number moves from the token into the link.
            unsafe {
                (*self.memory.meta(more.0)).start = 0;
                (*self.memory.meta(last)).next = more.0 + 1;
            }
            last = more.0;
        }
    }

    /// Frees every buffer of a vector.
    #[inline]
    pub(crate) fn free_all(&mut self, buffers: impl Iterator<Item = Buffer>) {
        for buffer in buffers {
            self.free(buffer);
        }
    }

    /// Buffers that are not free.
    pub fn in_use(&self) -> usize {
        self.memory.count as usize - self.free.len()
    }

    /// Free buffers.
    #[inline(always)]
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Writes the counts that other threads read; called once per pass.
    #[inline]
    pub(crate) fn publish(&self) {
        self.shared.available.set(self.free.len() as u64);
    }

    /// A reader for `show buffers`.
    pub(crate) fn watcher(&self) -> impl Fn() -> PoolStats + Send + use<> {
        let (shared, total, pages) = (self.shared.clone(), self.memory.count, self.kind);
        move || PoolStats { total, available: shared.available.get() as u32, exhausted: shared.exhausted.get(), pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_pull_and_bounds() {
        let mut pool = Pool::new(4).unwrap();
        let mut buffer = pool.alloc().unwrap();
        let mut packet = pool.packet(&mut buffer);
        assert_eq!(packet.append(b"hello"), 5);
        packet.push(2).unwrap()[..2].copy_from_slice(b"> ");
        assert_eq!(packet.data(), b"> hello");
        assert!(packet.pull(2) && !packet.pull(6));
        assert!(packet.push(HEADROOM + 1).is_none());
        assert_eq!(packet.append(&[0; 4000]), DATA_SIZE_LEFT);
        pool.free(buffer);
        assert_eq!(pool.in_use(), 0);
    }
    const DATA_SIZE_LEFT: usize = super::super::DATA_SIZE - 5;

    #[test]
    fn chains_grow_are_cut_and_are_freed_whole() {
        let mut pool = Pool::new(8).unwrap();
        let mut buffer = pool.alloc().unwrap();
        let bytes: Vec<u8> = (0..6000u32).map(|i| i as u8).collect();
        assert!(pool.append(&mut buffer, &bytes[..10]) && pool.append(&mut buffer, &bytes[10..]));
        assert_eq!(pool.in_use(), 3);
        let mut packet = pool.packet(&mut buffer);
        assert_eq!(packet.len(), 6000);
        assert_eq!(packet.segments().flatten().copied().collect::<Vec<_>>(), bytes);
        let mut out = [0; 300];
        assert_eq!(packet.copy_out(2000, &mut out), 300);
        assert_eq!(out[..], bytes[2000..2300]);
        packet.truncate(3000);
        assert_eq!(packet.segments().map(<[u8]>::len).sum::<usize>(), 3000);
        assert_eq!(packet.len(), 3000);
        pool.free(buffer);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn an_exhausted_pool_says_so() {
        let mut pool = Pool::new(2).unwrap();
        let watch = pool.watcher();
        let mut buffer = pool.alloc().unwrap();
        assert!(!pool.append(&mut buffer, &[0; 6000]));
        assert!(pool.alloc().is_none());
        pool.free(buffer);
        assert_eq!((pool.in_use(), watch().exhausted), (0, 2));
    }
}
