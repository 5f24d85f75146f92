//! The mapping itself: every access to the memory that is shared with the kernel goes through here.
#![allow(unsafe_code)]

use std::io;
use std::mem::{align_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Memory shared with the kernel.
///
/// # Invariants
/// - The mapping lives as long as the value, and every access is checked to lie within it.
/// - Status words are only ever accessed as `AtomicU32`, by [`RingMap::status`] and [`RingMap::set_status`]. (A copy of a
///   header that holds one may be read by [`RingMap::read`] once the kernel has handed the frame over: the kernel does
///   not write it again until it is handed back.)
/// - Everything else belongs to whoever the status word says. The functions that touch it are `unsafe`, and their callers
///   promise that they have seen the status word say that the region is the program's (an acquire load) and have not
///   handed it back since (a release store).
/// - The mapping belongs to one ring. Rings write to it, take from it and hand back only through `&mut self`, and tie the
///   references that they return to that borrow; through `&self` they look at status words and nothing else.
#[derive(Debug)]
pub(super) struct RingMap {
    map: MmapRaw,
}

impl RingMap {
    /// Maps `len` bytes of the ring that was set up on a socket.
    pub(super) fn new(socket: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(len).populate().map_raw(socket.as_raw_fd())?;
        Ok(Self { map })
    }

    /// Where a byte of the ring is mapped, as a number to show.
    pub(super) fn address(&self, offset: usize) -> u64 {
        (self.map.as_mut_ptr() as u64).wrapping_add(offset as u64)
    }

    /// Reads a status word. What the kernel wrote before it handed over is visible afterwards.
    pub(super) fn status(&self, offset: usize) -> u32 {
        self.word(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Writes a status word. What the program did before is visible to the kernel afterwards.
    pub(super) fn set_status(&self, offset: usize, status: u32) {
        if let Some(word) = self.word(offset) {
            word.store(status, Ordering::Release);
        }
    }

    /// A copy of the `T` at `offset`; `None` if it does not lie within the ring.
    ///
    /// # Safety
    /// The region is the program's.
    #[inline]
    pub(super) unsafe fn read<T: FromBytes + Copy>(&self, offset: usize) -> Option<T> {
        self.check(offset, size_of::<T>())?;
        // SAFETY: within the mapping; any bytes are a `T`; the caller owns the region; no alignment is assumed.
        Some(unsafe { self.map.as_ptr().add(offset).cast::<T>().read_unaligned() })
    }

    /// Writes `value` at `offset`; `None`, and nothing written, if it does not lie within the ring.
    ///
    /// # Safety
    /// The region is the program's, and no reference into it exists.
    #[inline]
    pub(super) unsafe fn write<T: IntoBytes + Immutable + Copy>(&mut self, offset: usize, value: T) -> Option<()> {
        self.check(offset, size_of::<T>())?;
        // SAFETY: within the mapping; the caller owns the region; no alignment is assumed.
        unsafe { self.map.as_mut_ptr().add(offset).cast::<T>().write_unaligned(value) };
        Some(())
    }

    /// The bytes from `offset`; `None` if they do not lie within the ring.
    ///
    /// # Safety
    /// The region is the program's for as long as the slice lives.
    #[inline]
    pub(super) unsafe fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.check(offset, len)?;
        // SAFETY: within the mapping, which outlives the slice; the caller owns the region and does not write to it.
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), len) })
    }

    /// The bytes from `offset`, to be written; `None` if they do not lie within the ring.
    ///
    /// # Safety
    /// The region is the program's for as long as the slice lives.
    #[inline]
    pub(super) unsafe fn bytes_mut(&mut self, offset: usize, len: usize) -> Option<&mut [u8]> {
        self.check(offset, len)?;
        // SAFETY: as in `bytes`; the exclusive borrow of the map keeps any other reference away.
        Some(unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(offset), len) })
    }

    /// Copies bytes within the ring; `None`, and nothing copied, if either end does not lie within it.
    ///
    /// # Safety
    /// Both regions are the program's.
    pub(super) unsafe fn copy_within(&mut self, from: usize, to: usize, len: usize) -> Option<()> {
        self.check(from, len)?;
        self.check(to, len)?;
        let base = self.map.as_mut_ptr();
        // SAFETY: both within the mapping; the caller owns them; `copy` allows an overlap.
        unsafe { std::ptr::copy(base.add(from), base.add(to), len) };
        Some(())
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.check(offset, size_of::<u32>())?;
        if !offset.is_multiple_of(align_of::<AtomicU32>()) {
            return None;
        }
        // SAFETY: within the mapping, aligned (the mapping starts on a page); status words are only accessed as atomics.
        Some(unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) })
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) -> Option<()> {
        (offset.checked_add(len)? <= self.map.len()).then_some(())
    }
}
