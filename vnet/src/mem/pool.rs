//! The buffers of one packet thread.

use std::ptr::NonNull;
use std::sync::Arc;

use super::mapping::{Mapping, PageKind, PageSize};
use super::meta::{Meta, Span};
use super::packet::{HEADROOM, Packet, ROOM, STRIDE, room};
use crate::counters::Counter;
use crate::graph::Held;

/// The right to use one buffer: made by [`Pool::alloc`], ended by [`Pool::free`]; never copied. It points to the buffer.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Buffer(pub(super) NonNull<u8>);

// SAFETY: a token is the sole right to its buffer, wherever the token goes.
unsafe impl Send for Buffer {}

/// Where buffers live: each is its [`Meta`], [`ROOM`] bytes, and its number.
///
/// Invariants, on which all `unsafe` code of [`mem`](super) rests:
/// - `start` points to `count` buffers of [`STRIDE`] initialised bytes each, aligned to cache lines, for as long as
///   the `Memory` lives, and reached through nothing else. Numbers of buffers never change.
/// - Buffers are made in the order of their numbers, each once; what is said of buffers is said of those that are made.
/// - Every buffer is in exactly one of these places: the pool's free list, one [`Buffer`] token, the `next` link of
///   exactly one buffer (a chain belongs to its head's token), or a bit in one [`Loan`](super::Loan). So whoever holds `&mut Buffer` holds the buffer, and the
///   chain behind it, alone. Tokens stay with the pool that made them: a [`Pool`], its `Memory` and everything that
///   keeps its tokens are parts of one worker. [`Meta`] can therefore be exchanged by safe code, and not copied.
/// - `start + len <= ROOM` in the metadata of every buffer.
pub(crate) struct Memory {
    pub(super) start: NonNull<u8>,
    pub(super) count: u32,
    _mapping: Mapping,
}

/// Buffers made at a time.
const BATCH: u32 = 256;

/// Where a buffer's number stands.
const NUMBER_AT: usize = (size_of::<Meta>() + ROOM).next_multiple_of(align_of::<u32>());
const _: () = assert!(NUMBER_AT + size_of::<u32>() <= STRIDE);

// SAFETY: the memory is owned by this value alone; moving it to another thread moves that ownership.
unsafe impl Send for Memory {}
// SAFETY: shared access gives nothing by itself: every way to the bytes takes a token by `&mut` or is `unsafe`.
unsafe impl Sync for Memory {}

impl Memory {
    /// The memory of `count` buffers, none of which is made yet.
    fn new(count: u32, pages: PageSize) -> std::io::Result<(Memory, PageKind)> {
        let mut mapping = Mapping::with_pages(count as usize * STRIDE, pages)?;
        let kind = mapping.kind;
        let start = NonNull::new(mapping.as_mut_ptr()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok((Memory { start, count, _mapping: mapping }, kind))
    }

    /// Makes a buffer and its one token.
    ///
    /// # Safety
    /// `number` must be less than `count`, and this the only time that it is made.
    unsafe fn make(&self, number: u32) -> Buffer {
        // SAFETY: in range of the mapping, which is zeroed and starts at a page, so that both values are aligned. Nobody
        // knows this buffer yet.
        unsafe {
            let buffer = self.start.add(number as usize * STRIDE);
            buffer.cast::<Meta>().write(Meta::fresh(HEADROOM as u16));
            buffer.add(NUMBER_AT).cast::<u32>().write(number);
            Buffer(buffer)
        }
    }

    /// The packet in this buffer.
    #[inline(always)]
    pub(crate) fn packet<'a>(&'a self, buffer: &'a mut Buffer) -> Packet<'a> {
        Packet::new(self, buffer)
    }

    /// Where a buffer begins, counted from the start of the memory.
    #[inline(always)]
    pub(super) fn address(&self, buffer: &Buffer) -> u64 {
        (buffer.0.as_ptr() as usize - self.start.as_ptr() as usize) as u64
    }
}

/// A buffer's metadata.
///
/// # Safety
/// The pointer must be that of a live buffer; to use the result, the caller must hold the buffer as the invariant of
/// [`Memory`] says.
#[inline(always)]
unsafe fn meta(buffer: NonNull<u8>) -> *mut Meta {
    buffer.as_ptr().cast()
}

/// The link that leads to a buffer: its number, plus one.
///
/// # Safety
/// The pointer must be that of a live buffer.
unsafe fn link(buffer: NonNull<u8>) -> u32 {
    // SAFETY: every buffer has its number.
    unsafe { buffer.add(NUMBER_AT).cast::<u32>().read() + 1 }
}

/// The buffer that a link (not 0) leads to, from a buffer of the same memory.
///
/// # Safety
/// `buffer` must be a live buffer, and the link that of another of the same memory.
pub(super) unsafe fn linked(buffer: NonNull<u8>, to: u32) -> NonNull<u8> {
    // SAFETY: both are inside the same mapping.
    unsafe { buffer.offset((to as isize - link(buffer) as isize) * STRIDE as isize) }
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

/// Counts that the control thread reads while the worker runs; other workers have others, in other cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Shared {
    available: Counter,
    exhausted: Counter,
}

/// The buffers of one packet thread and its free list.
pub struct Pool {
    pub(super) memory: Arc<Memory>,
    free: Vec<Buffer>,
    /// Buffers made so far; the others, whose memory nobody has touched yet, are free too.
    made: u32,
    shared: Arc<Shared>,
    pub(super) kind: PageKind,
}

impl Pool {
    /// A pool of `count` buffers.
    ///
    /// # Errors
    /// When the kernel has no memory left for the mapping.
    pub fn new(count: u32) -> std::io::Result<Pool> {
        Pool::with_pages(count, PageSize::Default)
    }

    /// A pool of `count` buffers on pages of a size.
    ///
    /// # Errors
    /// When the kernel has no such pages left for the mapping.
    pub fn with_pages(count: u32, pages: PageSize) -> std::io::Result<Pool> {
        let (memory, kind) = Memory::new(count, pages)?;
        let free = Vec::with_capacity(count as usize);
        let pool = Pool { memory: Arc::new(memory), free, made: 0, shared: Arc::default(), kind };
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
        let buffer = match self.free.pop() {
            Some(buffer) => buffer,
            None => self.alloc_new()?,
        };
        // SAFETY: the token is the right to the buffer.
        unsafe { meta(buffer.0).write(Meta::fresh(HEADROOM as u16)) };
        Some(buffer)
    }

    /// A free buffer as it is, its metadata not written.
    #[inline(always)]
    pub(super) fn take_free(&mut self) -> Option<Buffer> {
        self.free.pop().or_else(|| self.alloc_new())
    }

    /// Where a buffer begins, counted from the start of the memory.
    #[inline(always)]
    pub(super) fn address(&self, buffer: &Buffer) -> u64 {
        self.memory.address(buffer)
    }

    /// The token of a buffer.
    ///
    /// # Safety
    /// The buffer is made, and what stood for its token until now does so no more.
    #[inline(always)]
    pub(super) unsafe fn token(&self, number: usize) -> Buffer {
        debug_assert!(number < self.made as usize);
        // SAFETY: buffers that are made lie in the mapping.
        Buffer(unsafe { self.memory.start.add(number * STRIDE) })
    }

    /// Frees a buffer without a look at its metadata: it is no chain.
    ///
    /// # Safety
    /// As for [`Pool::token`].
    #[inline(always)]
    pub(super) unsafe fn give_back(&mut self, number: usize) {
        // SAFETY: the caller's promise.
        let buffer = unsafe { self.token(number) };
        self.free.push(buffer);
    }

    /// As [`Pool::alloc`], where no buffer that is made is free.
    #[cold]
    fn alloc_new(&mut self) -> Option<Buffer> {
        self.make_some();
        let buffer = self.free.pop();
        self.shared.exhausted.add(u64::from(buffer.is_none()));
        buffer
    }

    /// Makes more buffers where some are in use, and not all are made; `false` where there is nothing to do. The kernel
    /// clears their memory meanwhile, which takes longer than all else: a worker calls this when it is idle, so that later
    /// packets do not wait for it. A worker that has no packets takes no memory.
    pub(crate) fn make_ahead(&mut self) -> bool {
        self.made > 0 && self.make_some()
    }

    /// Makes some more buffers; `false` where all are made.
    fn make_some(&mut self) -> bool {
        let end = self.memory.count.min(self.made + BATCH);
        // The first one last, to be taken first.
        for number in (self.made..end).rev() {
            // SAFETY: each number comes up once, as `made` grows.
            self.free.push(unsafe { self.memory.make(number) });
        }
        let more = self.made < end;
        self.made = end;
        more
    }

    /// Gives back a packet with its whole chain.
    #[inline(always)]
    pub(crate) fn free(&mut self, buffer: Buffer) {
        // SAFETY: the token is the right to the buffer.
        let next = unsafe { (*meta(buffer.0)).next };
        if next != 0 {
            self.free_chain(buffer.0, next);
        }
        self.free.push(buffer);
    }

    #[cold]
    fn free_chain(&mut self, mut buffer: NonNull<u8>, mut next: u32) {
        while next != 0 {
            // SAFETY: the chain belongs to the head's token, which is here to be given back; a buffer taken out of its
            // link gets the token that the link stood for.
            unsafe {
                buffer = linked(buffer, next);
                self.free.push(Buffer(buffer));
                next = std::mem::take(&mut (*meta(buffer)).next);
            }
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

    /// A packet that was handed out.
    ///
    /// # Panics
    /// As [`Pool::take_back`].
    pub(crate) fn held<'a>(&'a self, held: &'a mut Held) -> Packet<'a> {
        assert_eq!(held.pool, self.memory.start.as_ptr() as usize, "a held packet must be looked at where it was held");
        self.packet(&mut held.buffer)
    }

    /// Appends bytes to the packet, chaining buffers as needed; `false` where the pool ran out (the packet then holds
    /// what fitted).
    pub(crate) fn append(&mut self, buffer: &mut Buffer, mut bytes: &[u8]) -> bool {
        let mut last = buffer.0;
        // SAFETY: `last` is held through `buffer`, or linked behind it.
        unsafe {
            while let next @ 1.. = (*meta(last)).next {
                last = linked(last, next);
            }
        }
        loop {
            // SAFETY: as above; the range `end..end + n` is inside the room, and `bytes` cannot overlap a buffer that is
            // held exclusively. The head is held too; where it is another buffer than `last`, it counts the bytes.
            let n = unsafe {
                let meta_of_last = &mut *meta(last);
                let span = meta_of_last.span;
                let end = usize::from(span.start()) + usize::from(span.len());
                let n = bytes.len().min(ROOM - end);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), room(last).add(end), n);
                meta_of_last.span = span.with_len(span.len() + n as u16);
                if last != buffer.0 {
                    let span = (*meta(buffer.0)).span;
                    (*meta(buffer.0)).span = span.with_rest(span.rest() + n as u32);
                }
                n
            };
            bytes = &bytes[n..];
            if bytes.is_empty() {
                return true;
            }
            let Some(more) = self.alloc() else { return false };
            // A chained buffer needs no headroom.
            // SAFETY: `more` was just allocated; its token is given up for the link.
            unsafe {
                (*meta(more.0)).span = Span::new(0, 0);
                (*meta(last)).next = link(more.0);
            }
            last = more.0;
        }
    }

    /// Frees every packet of a vector, which is left empty.
    #[inline]
    pub(crate) fn free_all(&mut self, buffers: &mut Vec<Buffer>) {
        // SAFETY: tokens are the right to their buffers.
        let links = buffers.iter().fold(0, |links, buffer| links | unsafe { (*meta(buffer.0)).next });
        if links == 0 {
            // No chains, which is the rule: the tokens as they are.
            self.free.append(buffers);
        } else {
            buffers.drain(..).for_each(|buffer| self.free(buffer));
        }
    }

    /// Buffers that are not free.
    pub fn in_use(&self) -> usize {
        self.made as usize - self.free.len()
    }

    /// Free buffers.
    #[inline(always)]
    pub fn available(&self) -> usize {
        self.memory.count as usize - self.in_use()
    }

    /// Writes the counts that other threads read; called once per pass.
    #[inline]
    pub(crate) fn publish(&self) {
        self.shared.available.set(self.available() as u64);
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
    fn memory_is_touched_when_it_is_needed() {
        let mut pool = Pool::new(BATCH + 2).unwrap();
        assert!(!pool.make_ahead(), "nobody has needed any yet");
        assert_eq!((pool.available(), pool.in_use(), pool.made), (BATCH as usize + 2, 0, 0));
        let first = pool.alloc().unwrap();
        assert_eq!((pool.available(), pool.in_use(), pool.made), (BATCH as usize + 1, 1, BATCH));
        assert!(pool.make_ahead() && !pool.make_ahead());
        let mut all: Vec<Buffer> = std::iter::from_fn(|| pool.alloc()).collect();
        assert_eq!((all.len(), pool.available(), pool.in_use()), (BATCH as usize + 1, 0, BATCH as usize + 2));
        all.push(first);
        pool.free_all(&mut all);
        assert_eq!((pool.available(), pool.in_use(), pool.watcher()().exhausted), (BATCH as usize + 2, 0, 1));
    }

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
