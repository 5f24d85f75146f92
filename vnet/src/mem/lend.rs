//! Buffers in the hands of a device that reads and writes them itself: an AF_XDP socket whose UMEM is the pool.
//!
//! The pool gives such a device whole buffers and takes them back by their addresses. What is lent stands in a [`Loan`],
//! one for each queue of the device, so that nothing comes back twice, or from where it was never lent to.

use std::ptr::NonNull;
use std::sync::Arc;

use super::mapping::PageKind;
use super::meta::{Meta, Span};
use super::packet::{DATA_SIZE, HEADROOM, Packet, ROOM, STRIDE};
use super::pool::{Buffer, Memory, Pool};
use super::prefetch_raw;

/// Bytes that the kernel leaves free before a frame that it receives (`XDP_PACKET_HEADROOM`).
const DEVICE_HEADROOM: usize = 256;
/// Where a buffer's chunk begins: so that a frame begins where that of any fresh packet does. The chunk takes a part of the
/// metadata along, which is written anew when the buffer comes back.
const CHUNK_AT: usize = ROOM_AT + HEADROOM - DEVICE_HEADROOM;
/// Bytes of a chunk, as a device is to be told: its headroom and a buffer's [`DATA_SIZE`].
pub const CHUNK: usize = DEVICE_HEADROOM + DATA_SIZE;
/// Where a buffer's room begins.
const ROOM_AT: usize = size_of::<Meta>();
const _: () = assert!(CHUNK_AT + CHUNK == ROOM_AT + ROOM && CHUNK >= 2048 && CHUNK <= 4096);

/// The memory of a worker's buffers as a device sees it; it stays mapped as long as this lives.
#[derive(Clone)]
pub struct Region {
    memory: Arc<Memory>,
    pages: PageKind,
}

impl Region {
    /// Its first byte, at the start of a page. Addresses of lent buffers are counted from here.
    pub fn start(&self) -> NonNull<u8> {
        self.memory.start
    }

    /// Its length, in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.memory.count as usize * STRIDE
    }

    /// Whether it lies on reserved huge pages: on others, buffers cross pages that are not side by side in the machine's
    /// memory, which devices that write there without the kernel's help do not do.
    pub fn is_huge(&self) -> bool {
        !matches!(self.pages, PageKind::Ordinary | PageKind::Small)
    }
}

/// What a queue of a device has been lent: a bit for each buffer. Dropped with something in it, that is lost to the pool.
#[derive(Debug)]
pub struct Loan {
    lent: Box<[u64]>,
    count: usize,
    /// The pool that lends.
    pool: usize,
}

impl Loan {
    /// Nothing yet.
    pub fn new(region: &Region) -> Loan {
        let words = (region.memory.count as usize).div_ceil(64);
        Loan { lent: vec![0; words].into(), count: 0, pool: region.start().as_ptr() as usize }
    }

    /// Buffers that are lent.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the buffer that this address is in is lent.
    pub fn has(&self, address: u64) -> bool {
        let (word, bit) = place(number(address));
        self.lent.get(word).is_some_and(|lent| lent & bit != 0)
    }

    #[inline(always)]
    fn add(&mut self, number: usize) {
        let (word, bit) = place(number);
        self.lent[word] |= bit;
        self.count += 1;
    }

    #[inline(always)]
    fn remove(&mut self, number: usize) -> bool {
        let (word, bit) = place(number);
        let Some(lent) = self.lent.get_mut(word).filter(|lent| **lent & bit != 0) else { return false };
        *lent &= !bit;
        self.count -= 1;
        true
    }
}

#[inline(always)]
fn number(address: u64) -> usize {
    address as usize / STRIDE
}

#[inline(always)]
fn place(number: usize) -> (usize, u64) {
    (number / 64, 1 << (number % 64))
}

/// A frame that came back from a device, in its buffer; not yet a packet of the graph. It belongs into
/// [`InputCx::deliver_returned`](crate::InputCx::deliver_returned) or [`Lending::throw_away`].
#[must_use]
#[derive(Debug)]
pub struct Returned(pub(crate) Buffer);

/// A pool, to lend from and give back to.
pub struct Lending<'a>(&'a mut Pool);

impl<'a> Lending<'a> {
    pub(crate) fn new(pool: &'a mut Pool) -> Lending<'a> {
        Lending(pool)
    }

    /// The memory that buffers are lent from.
    pub fn region(&self) -> Region {
        Region { memory: self.0.memory.clone(), pages: self.0.kind }
    }

    /// Buffers that are free.
    #[inline(always)]
    pub fn available(&self) -> usize {
        self.0.available()
    }

    /// Has the processor fetch what stands at an address, and the metadata of the buffer around it: a frame that comes back
    /// soon.
    #[inline(always)]
    pub fn prefetch(&self, address: u64) {
        let start = self.0.memory.start.as_ptr();
        prefetch_raw(start.wrapping_add(number(address) * STRIDE));
        prefetch_raw(start.wrapping_add(address as usize));
    }

    /// Lends a free buffer, for the device to put a frame into; gives the address of its chunk of [`CHUNK`] bytes. `None`
    /// where no buffer is free.
    ///
    /// # Panics
    /// Here and below, when the loan is of another pool.
    #[inline(always)]
    pub fn lend(&mut self, loan: &mut Loan) -> Option<u64> {
        self.check(loan);
        let buffer = self.0.take_free()?;
        let at = self.0.address(&buffer);
        loan.add(number(at));
        Some(at + CHUNK_AT as u64)
    }

    /// Lends a copy of a packet's bytes; gives their address. `None` where no buffer is free, or one does not hold them.
    pub fn lend_copy(&mut self, packet: &Packet<'_>, loan: &mut Loan) -> Option<u64> {
        self.check(loan);
        let len = packet.len();
        if len > DATA_SIZE {
            return None;
        }
        let mut buffer = self.0.alloc()?;
        let mut copy = self.0.packet(&mut buffer);
        copy.meta_mut().span = Span::new(HEADROOM as u16, len as u16);
        packet.copy_out(0, copy.data_mut());
        let at = self.0.address(&buffer);
        loan.add(number(at));
        Some(at + (ROOM_AT + HEADROOM) as u64)
    }

    /// Takes back a buffer with a frame of `len` bytes at this address. `None`, and the buffer is free again, where those
    /// do not lie in it; `None`, and nothing happens, where it was not lent.
    ///
    /// # Safety
    /// The device has handed the buffer back since it was lent, and neither reads nor writes it any more.
    #[inline(always)]
    pub unsafe fn take_frame(&mut self, loan: &mut Loan, address: u64, len: u32) -> Option<Returned> {
        self.check(loan);
        let at = (address as usize % STRIDE).wrapping_sub(ROOM_AT);
        if !loan.remove(number(address)) {
            return None;
        }
        // SAFETY: the buffer is one of this pool's, and made, as it was lent; the bit that stood for its token is gone.
        let buffer = unsafe { self.0.token(number(address)) };
        let fits = at <= ROOM && len as usize <= ROOM - at;
        let span = if fits { Span::new(at as u16, len as u16) } else { Span::new(HEADROOM as u16, 0) };
        let mut meta = Meta::fresh(span.start());
        meta.span = span;
        // SAFETY: the token is the right to the buffer; the device has no part in it any more (the caller's promise).
        unsafe { buffer.0.cast::<Meta>().write(meta) };
        if fits {
            return Some(Returned(buffer));
        }
        self.0.free(buffer);
        None
    }

    /// Takes back a buffer whose bytes nobody wants any more; `false` where it was not lent.
    ///
    /// # Safety
    /// As for [`Lending::take_frame`].
    #[inline(always)]
    pub unsafe fn take_sent(&mut self, loan: &mut Loan, address: u64) -> bool {
        self.check(loan);
        let known = loan.remove(number(address));
        if known {
            // SAFETY: as in `take_frame`. Free buffers have no metadata: it is written when they are taken.
            unsafe { self.0.give_back(number(address)) };
        }
        known
    }

    /// Takes back all that is lent.
    ///
    /// # Safety
    /// The device is closed: it neither reads nor writes any of the buffers any more.
    pub unsafe fn take_all(&mut self, loan: &mut Loan) {
        self.check(loan);
        for (word, lent) in loan.lent.iter_mut().enumerate() {
            while *lent != 0 {
                let bit = lent.trailing_zeros() as usize;
                *lent &= *lent - 1;
                // SAFETY: as in `take_sent`.
                unsafe { self.0.give_back(word * 64 + bit) };
            }
        }
        loan.count = 0;
    }

    /// Frees a frame that is of no use.
    pub fn throw_away(&mut self, frame: Returned) {
        self.0.free(frame.0);
    }

    #[inline(always)]
    fn check(&self, loan: &Loan) {
        check(&self.0.memory, loan);
    }
}

#[inline(always)]
fn check(memory: &Memory, loan: &Loan) {
    assert_eq!(loan.pool, memory.start.as_ptr() as usize, "buffers are lent and returned where they live");
}

/// A packet that may be lent as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Lendable {
    /// Where its bytes stand, in the words of [`Region`].
    pub address: u64,
    /// How many they are; at least one.
    pub len: u32,
}

/// Moves those packets to the front that are not chains and that `each` takes, and writes them into the loan; gives how many
/// those are. Whoever has the tokens gives up that many at the front: the loan has them now.
#[inline(always)]
pub(crate) fn lend_some(
    memory: &Memory,
    buffers: &mut [Buffer],
    loan: &mut Loan,
    mut each: impl FnMut(Lendable) -> bool,
) -> usize {
    check(memory, loan);
    let mut lent = 0;
    for at in 0..buffers.len() {
        let packet = memory.packet(&mut buffers[at]);
        let (len, start) = (packet.data().len() as u32, usize::from(packet.meta().span.start()));
        if packet.is_chain() || len == 0 {
            continue;
        }
        let buffer = memory.address(&buffers[at]);
        if each(Lendable { address: buffer + (ROOM_AT + start) as u64, len }) {
            loan.add(number(buffer));
            buffers.swap(at, lent);
            lent += 1;
        }
    }
    lent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(pool: &mut Pool, count: usize, bytes: &[u8]) -> Vec<Buffer> {
        (0..count)
            .map(|_| {
                let mut buffer = pool.alloc().unwrap();
                assert!(pool.append(&mut buffer, bytes));
                buffer
            })
            .collect()
    }

    #[test]
    fn a_frame_comes_back_where_a_fresh_packet_begins() {
        let mut pool = Pool::new(8).unwrap();
        let mut lending = Lending::new(&mut pool);
        let region = lending.region();
        let mut loan = Loan::new(&region);
        let address = lending.lend(&mut loan).unwrap();
        assert!(address as usize + CHUNK <= region.len() && loan.has(address) && loan.count() == 1);
        // As the kernel does: headroom first, then the frame.
        let frame = address + DEVICE_HEADROOM as u64;
        // SAFETY: the chunk is lent to this test, which plays the device.
        unsafe { region.start().add(frame as usize).copy_from_nonoverlapping(NonNull::from(b"hello").cast(), 5) };
        // SAFETY: the test does not touch it from here on.
        let returned = unsafe { lending.take_frame(&mut loan, frame, 5) }.unwrap();
        // SAFETY: nothing is handed back by this: it is not lent any more.
        assert!(unsafe { lending.take_frame(&mut loan, frame, 5) }.is_none(), "it came back once");
        let mut buffer = returned.0;
        let packet = pool.packet(&mut buffer);
        assert_eq!((packet.data(), packet.current_data()), (&b"hello"[..], 0));
        pool.free(buffer);
        assert_eq!((pool.in_use(), loan.count()), (0, 0));
    }

    #[test]
    fn senseless_addresses_and_lengths_do_no_harm() {
        let mut pool = Pool::new(4).unwrap();
        let mut lending = Lending::new(&mut pool);
        let mut loan = Loan::new(&lending.region());
        for (offset, len) in [(0, 3000), (4000 - 2368, 2000), (256, u32::MAX)] {
            let address = lending.lend(&mut loan).unwrap() + offset;
            // SAFETY: nobody plays the device here.
            assert!(unsafe { lending.take_frame(&mut loan, address, len) }.is_none());
        }
        // SAFETY: as above.
        let never = unsafe { lending.take_sent(&mut loan, 1 << 40) || lending.take_sent(&mut loan, u64::MAX) };
        // SAFETY: as above.
        unsafe { lending.take_all(&mut loan) };
        assert!(!never);
        assert_eq!((pool.in_use(), loan.count()), (0, 0));
    }

    #[test]
    fn packets_are_lent_but_for_chains_and_those_refused() {
        let mut pool = Pool::new(16).unwrap();
        let mut buffers = packets(&mut pool, 3, b"abc");
        buffers.extend(packets(&mut pool, 1, &[7; 5000]));
        buffers.extend(packets(&mut pool, 2, b"defg"));
        let mut loan = Loan::new(&Lending::new(&mut pool).region());
        let memory = pool.memory();
        let mut seen = Vec::new();
        let lent = lend_some(&memory, &mut buffers, &mut loan, |packet| {
            seen.push(packet.len);
            seen.len() != 2
        });
        assert_eq!((lent, loan.count(), seen), (4, 4, vec![3, 3, 3, 4, 4]));
        // The tokens of what is lent are given up.
        buffers.drain(..lent);
        assert_eq!(buffers.len(), 2);
        let chain = buffers.iter_mut().map(|buffer| memory.packet(buffer)).find(Packet::is_chain).unwrap();
        assert!(Lending::new(&mut pool).lend_copy(&chain, &mut loan).is_none(), "longer than a buffer");
        pool.free_all(&mut buffers);
        assert_eq!(pool.in_use(), 4);
        // SAFETY: nobody plays the device here.
        unsafe { Lending::new(&mut pool).take_all(&mut loan) };
        assert_eq!((pool.in_use(), loan.count()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "lent and returned where they live")]
    fn pools_do_not_lend_for_others() {
        let (mut here, mut there) = (Pool::new(4).unwrap(), Pool::new(4).unwrap());
        let mut loan = Loan::new(&Lending::new(&mut here).region());
        Lending::new(&mut there).lend(&mut loan);
    }
}
