//! The four rings that a socket shares with the kernel (the kernel's `Documentation/networking/af_xdp.rst`): each has a
//! writer and a reader, who tell each other by two counters how far they are.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sys::xdp::{self, Offsets, RingKind};

/// A frame in the receive or the transmit ring (`struct xdp_desc`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Desc {
    /// Where the buffer begins: the lower 48 bits; how far behind that the frame does: the others.
    pub(super) address: u64,
    /// Bytes of the frame.
    pub(super) len: u32,
    /// Flags; none is used.
    pub(super) options: u32,
}

impl Desc {
    /// Where the frame begins.
    #[inline(always)]
    pub(super) fn start(&self) -> u64 {
        (self.address & 0xffff_ffff_ffff) + (self.address >> 48)
    }
}

/// A ring's memory.
///
/// # Invariants
/// - The mapping lives as long as the value. `offsets` are checked when it is made: both counters and the flags are aligned
///   words in the mapping, and `mask + 1` entries of `T` (a power of two) lie in it, aligned.
/// - Counters and flags are only accessed as atomics.
/// - An entry belongs to the writer until it has moved its counter beyond it (a release store), and then to the reader
///   until that has moved its own (another). [`Producer`] and [`Consumer`] touch no others: they know how far the other end is
///   from an acquire load, and believe no count that cannot be. There is one of them at each end.
/// - Any bytes are a `T`.
#[derive(Debug)]
struct Ring<T> {
    map: Arc<MmapRaw>,
    offsets: Offsets,
    mask: u32,
    _entries: PhantomData<T>,
}

// The kernel wants to be woken.
const NEED_WAKEUP: u32 = libc::XDP_RING_NEED_WAKEUP;

impl<T: FromBytes + IntoBytes + Immutable + Copy> Ring<T> {
    fn new(map: Arc<MmapRaw>, offsets: Offsets, size: u32) -> io::Result<Ring<T>> {
        let word =
            |at: usize| at.is_multiple_of(align_of::<u32>()) && at.checked_add(4).is_some_and(|end| end <= map.len());
        let end = (size as usize).checked_mul(size_of::<T>()).and_then(|len| len.checked_add(offsets.entries));
        let fits = size.is_power_of_two()
            && [offsets.producer, offsets.consumer, offsets.flags].into_iter().all(word)
            && offsets.entries.is_multiple_of(align_of::<T>())
            && end.is_some_and(|end| end <= map.len());
        if !fits {
            return Err(io::Error::other("the kernel's ring is not laid out as it says"));
        }
        Ok(Ring { map, offsets, mask: size - 1, _entries: PhantomData })
    }

    /// The ring of this kind that was made on the socket with `size` entries.
    fn of_socket(socket: BorrowedFd<'_>, kind: RingKind, size: u32) -> io::Result<Ring<T>> {
        let offsets = xdp::offsets(socket, kind)?;
        let len = offsets.entries + size as usize * size_of::<T>();
        let map = MmapOptions::new().len(len).offset(kind.page_offset()).populate().map_raw(socket.as_raw_fd())?;
        Ring::new(Arc::new(map), offsets, size)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `at` is one of the three offsets that `new` has checked; the mapping starts on a page.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }

    #[inline(always)]
    fn entry(&self, number: u32) -> *mut T {
        let index = (number & self.mask) as usize;
        // SAFETY: the index is below the ring's size, and so many entries lie in the mapping.
        unsafe { self.map.as_mut_ptr().add(self.offsets.entries).cast::<T>().add(index) }
    }

    #[inline(always)]
    fn needs_wakeup(&self) -> bool {
        self.word(self.offsets.flags).load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// Entries written so far, published or not.
    head: u32,
    /// Entries that the reader was seen to have done with.
    done: u32,
}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Producer<T> {
    pub(super) fn of_socket(socket: BorrowedFd<'_>, kind: RingKind, size: u32) -> io::Result<Self> {
        Ring::of_socket(socket, kind, size).map(|ring| Producer { ring, head: 0, done: 0 })
    }

    /// Entries that may be written now.
    #[inline(always)]
    pub(super) fn room(&mut self) -> u32 {
        self.done = self.ring.word(self.ring.offsets.consumer).load(Ordering::Acquire);
        self.known_room()
    }

    #[inline(always)]
    fn known_room(&self) -> u32 {
        // A reader that is ahead of the writer makes no sense, and no room.
        (self.ring.mask + 1).saturating_sub(self.head.wrapping_sub(self.done))
    }

    /// Writes an entry, not yet for the reader to see; `false` where there is no room.
    #[inline(always)]
    pub(super) fn push(&mut self, value: T) -> bool {
        if self.known_room() == 0 && self.room() == 0 {
            return false;
        }
        // SAFETY: there is room: the entry is the writer's.
        unsafe { self.ring.entry(self.head).write(value) };
        self.head = self.head.wrapping_add(1);
        true
    }

    /// Lets the reader see what was written.
    #[inline(always)]
    pub(super) fn publish(&mut self) {
        self.ring.word(self.ring.offsets.producer).store(self.head, Ordering::Release);
    }

    /// Entries that the reader has not done with.
    #[inline(always)]
    pub(super) fn pending(&mut self) -> u32 {
        self.ring.mask + 1 - self.room().min(self.ring.mask + 1)
    }

    /// Whether the kernel waits to be told of new entries.
    #[inline(always)]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }

    pub(super) fn size(&self) -> u32 {
        self.ring.mask + 1
    }
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// Entries read so far, given back or not.
    head: u32,
    /// Entries that the writer was seen to have published.
    there: u32,
}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Consumer<T> {
    pub(super) fn of_socket(socket: BorrowedFd<'_>, kind: RingKind, size: u32) -> io::Result<Self> {
        Ring::of_socket(socket, kind, size).map(|ring| Consumer { ring, head: 0, there: 0 })
    }

    /// Entries that may be read now.
    #[inline(always)]
    pub(super) fn look(&mut self) -> u32 {
        self.there = self.ring.word(self.ring.offsets.producer).load(Ordering::Acquire);
        self.known()
    }

    #[inline(always)]
    fn known(&self) -> u32 {
        let waiting = self.there.wrapping_sub(self.head);
        // More than fit make no sense.
        if waiting > self.ring.mask + 1 { 0 } else { waiting }
    }

    /// The next of the entries that [`look`](Consumer::look) saw.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<T> {
        if self.known() == 0 {
            return None;
        }
        // SAFETY: the writer has published the entry, and does not touch it until it is given back.
        let value = unsafe { self.ring.entry(self.head).read() };
        self.head = self.head.wrapping_add(1);
        Some(value)
    }

    /// The entry so many behind the next, if [`look`](Consumer::look) saw it.
    #[inline(always)]
    pub(super) fn peek(&self, behind: u32) -> Option<T> {
        if behind >= self.known() {
            return None;
        }
        // SAFETY: as in `next`.
        Some(unsafe { self.ring.entry(self.head.wrapping_add(behind)).read() })
    }

    /// Gives the entries back that were read.
    #[inline(always)]
    pub(super) fn give_back(&mut self) {
        self.ring.word(self.ring.offsets.consumer).store(self.head, Ordering::Release);
    }

    pub(super) fn size(&self) -> u32 {
        self.ring.mask + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSETS: Offsets = Offsets { producer: 0, consumer: 64, entries: 192, flags: 128 };

    fn ends<T: FromBytes + IntoBytes + Immutable + Copy>(size: u32) -> (Producer<T>, Consumer<T>) {
        let len = OFFSETS.entries + size as usize * size_of::<T>();
        let map: Arc<MmapRaw> = Arc::new(MmapOptions::new().len(len).map_anon().unwrap().into());
        let ring = || Ring::new(map.clone(), OFFSETS, size).unwrap();
        (Producer { ring: ring(), head: 0, done: 0 }, Consumer { ring: ring(), head: 0, there: 0 })
    }

    /// Starts both ends just before their counters begin again.
    fn near_the_end(producer: &mut Producer<u64>, consumer: &mut Consumer<u64>) {
        let start = u32::MAX - 2;
        (producer.head, producer.done, consumer.head, consumer.there) = (start, start, start, start);
        producer.publish();
        consumer.give_back();
    }

    #[test]
    fn entries_come_out_as_they_went_in_when_they_are_published() {
        let (mut producer, mut consumer) = ends::<Desc>(4);
        let desc = |n: u64| Desc { address: n | 3 << 48, len: n as u32, options: 0 };
        assert!(producer.push(desc(1)) && producer.push(desc(2)));
        assert_eq!((consumer.look(), consumer.next()), (0, None));
        producer.publish();
        assert_eq!((consumer.look(), producer.pending()), (2, 2));
        assert_eq!([0, 1, 2].map(|behind| consumer.peek(behind)), [Some(desc(1)), Some(desc(2)), None]);
        assert_eq!((consumer.next(), consumer.next(), consumer.next()), (Some(desc(1)), Some(desc(2)), None));
        assert_eq!(desc(1).start(), 4);
        assert_eq!(producer.pending(), 2, "not given back");
        consumer.give_back();
        assert_eq!((producer.pending(), producer.room()), (0, 4));
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let (mut producer, mut consumer) = ends::<u64>(4);
        assert!((0..4).all(|n| producer.push(n)) && !producer.push(4));
        producer.publish();
        consumer.look();
        assert_eq!(consumer.next(), Some(0));
        assert!(!producer.push(4), "not given back");
        consumer.give_back();
        assert!(producer.push(4) && !producer.push(5));
        producer.publish();
        consumer.look();
        assert_eq!(std::iter::from_fn(|| consumer.next()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn counters_begin_again_after_the_last_number() {
        let (mut producer, mut consumer) = ends::<u64>(4);
        near_the_end(&mut producer, &mut consumer);
        for round in 0..5 {
            assert!((0..3).all(|n| producer.push(round * 3 + n)));
            producer.publish();
            assert_eq!(consumer.look(), 3);
            assert_eq!(std::iter::from_fn(|| consumer.next()).collect::<Vec<_>>(), [0, 1, 2].map(|n| round * 3 + n));
            consumer.give_back();
            assert_eq!((producer.room(), consumer.look()), (4, 0));
        }
    }

    #[test]
    fn counts_that_cannot_be_are_not_believed() {
        let (mut producer, mut consumer) = ends::<u64>(4);
        producer.ring.word(OFFSETS.producer).store(100, Ordering::Release);
        producer.ring.word(OFFSETS.consumer).store(7, Ordering::Release);
        assert_eq!((consumer.look(), consumer.next()), (0, None));
        assert!(producer.room() == 0 && !producer.push(1) && producer.pending() == 4);
        assert!(!producer.needs_wakeup());
        producer.ring.word(OFFSETS.flags).store(NEED_WAKEUP, Ordering::Release);
        assert!(producer.needs_wakeup());
    }

    #[test]
    fn rings_that_do_not_fit_their_memory_are_refused() {
        let map: Arc<MmapRaw> = Arc::new(MmapOptions::new().len(4096).map_anon().unwrap().into());
        let made = |offsets, size| Ring::<Desc>::new(map.clone(), offsets, size).is_ok();
        assert!(made(OFFSETS, 128) && !made(OFFSETS, 256) && !made(OFFSETS, 3) && !made(OFFSETS, 0));
        assert!(!made(Offsets { flags: 2, ..OFFSETS }, 4) && !made(Offsets { consumer: 4094, ..OFFSETS }, 4));
        assert!(
            !made(Offsets { producer: usize::MAX - 3, ..OFFSETS }, 4) && !made(Offsets { entries: 193, ..OFFSETS }, 4)
        );
    }
}
