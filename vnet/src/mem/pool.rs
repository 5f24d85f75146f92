//! The buffers of one packet thread.

use std::ptr::NonNull;
use std::sync::Arc;

use super::mapping::{Mapping, PageKind};
use super::meta::Meta;
use super::packet::{HEADROOM, Packet, STRIDE};
use crate::counters::Counter;
use crate::graph::Held;

/// The right to use one buffer: made by [`Pool::alloc`], ended by [`Pool::free`]; never copied.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Buffer(pub(super) u32);

/// Where buffers live.
///
/// Invariants, on which all `unsafe` code of [`mem`](super) rests:
/// - `meta` points to `count` initialised [`Meta`], `data` to `count * STRIDE` initialised bytes, both for as long as
///   the `Memory` lives, and reached through nothing else.
/// - Every number below `count` is in exactly one of these places: the pool's free list, one [`Buffer`] token, or the
///   `next` link of exactly one buffer (a chain belongs to its head's token). So whoever holds `&mut Buffer` holds the
///   buffer, and the chain behind it, alone. Tokens stay with the pool that made them: a [`Pool`] and everything that
///   keeps its tokens are parts of one worker.
/// - `start + len <= STRIDE` in the metadata of every buffer that is not free.
pub(crate) struct Memory {
    meta: NonNull<Meta>,
    data: NonNull<u8>,
    count: u32,
    _mappings: [Mapping; 2],
}

// SAFETY: the memory is owned by this value alone; moving it to another thread moves that ownership.
unsafe impl Send for Memory {}
// SAFETY: shared access gives nothing by itself: every way to the bytes takes a token by `&mut` or is `unsafe`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(count: u32) -> std::io::Result<(Memory, PageKind)> {
        let mut metas = Mapping::new(count as usize * size_of::<Meta>())?;
        let mut datas = Mapping::new(count as usize * STRIDE)?;
        let kind = datas.kind;
        let none = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        // A mapping starts at a page, which satisfies the alignment of `Meta`; all-zero `Meta` is initialised below.
        let meta = NonNull::new(metas.as_mut_ptr().cast::<Meta>()).ok_or_else(none)?;
        let data = NonNull::new(datas.as_mut_ptr()).ok_or_else(none)?;
        for number in 0..count as usize {
            // SAFETY: in range of the mapping just made; nobody else knows it yet.
            unsafe { meta.add(number).write(Meta::fresh(HEADROOM as u16)) };
        }
        Ok((Memory { meta, data, count, _mappings: [metas, datas] }, kind))
    }

    /// The packet in this buffer.
    #[inline(always)]
    pub(crate) fn packet<'a>(&'a self, buffer: &'a mut Buffer) -> Packet<'a> {
        Packet::new(self, buffer)
    }

    /// # Safety
    /// `number` must be below `count`, and the caller must hold the buffer as the type's invariant says.
    #[inline(always)]
    pub(super) unsafe fn meta(&self, number: u32) -> *mut Meta {
        debug_assert!(number < self.count);
        // SAFETY: in range.
        unsafe { self.meta.as_ptr().add(number as usize) }
    }

    /// # Safety
    /// As for [`Memory::meta`].
    #[inline(always)]
    pub(super) unsafe fn data(&self, number: u32) -> NonNull<u8> {
        debug_assert!(number < self.count);
        // SAFETY: in range.
        unsafe { self.data.add(number as usize * STRIDE) }
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
        Held { buffer, pool: self.memory.data.as_ptr() as usize }
    }

    /// Takes back what was handed out.
    ///
    /// # Panics
    /// When the packet is another worker's: going on would break the memory's invariant.
    pub(crate) fn take_back(&self, held: Held) -> Buffer {
        assert_eq!(held.pool, self.memory.data.as_ptr() as usize, "a held packet must be released where it was held");
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
            let (meta, base) = unsafe { (&mut *self.memory.meta(last), self.memory.data(last)) };
            let end = usize::from(meta.start) + usize::from(meta.len);
            let n = bytes.len().min(STRIDE - end);
            // SAFETY: as above, and `bytes` cannot overlap a buffer that is held exclusively.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.as_ptr().add(end), n) };
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
