//! Queues: where rings and the worker's buffers meet.
//!
//! A queue's two halves have a [`Loan`] each: buffers in the fill and the receive ring belong to the receiving half, those in
//! the transmit and the completion ring to the sending one.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use vnet::mem::{CHUNK, Lendable, Lending, Loan, Returned};
use vnet::{IfIndex, Packet};

use super::ring::{Consumer, Desc, Producer};
use super::socket::XdpSocket;
use crate::host::Looks;
use crate::sys::xdp::{self, Counts};

/// Buffers that are not lent to devices for frames to come, so that other work goes on.
const RESERVE: usize = 512;

/// What a worker tells about a receive queue; written by that worker, read by the control thread.
#[derive(Debug, Default)]
pub(super) struct RxState {
    counts: [AtomicU64; 5],
}

impl RxState {
    /// Notes the kernel's counts; gives what they grew by.
    pub(super) fn set_counts(&self, now: Counts) -> Counts {
        let grown = |at: usize, now: u64| now.saturating_sub(self.counts[at].swap(now, Relaxed));
        Counts {
            dropped: grown(0, now.dropped),
            full: grown(1, now.full),
            invalid_fill: grown(2, now.invalid_fill),
            invalid_tx: grown(3, now.invalid_tx),
            fill_empty: grown(4, now.fill_empty),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let [dropped, full, invalid_fill, invalid_tx, fill_empty] =
            [0, 1, 2, 3, 4].map(|at| self.counts[at].load(Relaxed));
        Counts { dropped, full, invalid_fill, invalid_tx, fill_empty }
    }
}

/// A receive queue, in the hands of its worker.
pub(super) struct RxQueue {
    pub(super) interface: IfIndex,
    pub(super) number: u32,
    pub(super) socket: Arc<XdpSocket>,
    pub(super) rx: Consumer<Desc>,
    pub(super) fill: Producer<u64>,
    pub(super) loan: Loan,
    pub(super) state: Arc<RxState>,
    /// The kernel serves the device's queue when it is asked to.
    pub(super) busy_poll: bool,
    /// When the socket's counts are looked at.
    pub(super) looks: Looks,
}

impl RxQueue {
    /// Takes the next frame that the ring was seen to hold; `Err` for a descriptor that makes no sense.
    #[inline(always)]
    pub(super) fn next_frame(&mut self, lending: &mut Lending<'_>) -> Option<Result<(Returned, u32), ()>> {
        let desc = self.rx.next()?;
        // SAFETY: the kernel has put the address into the receive ring: it is done with the buffer.
        let frame = unsafe { lending.take_frame(&mut self.loan, desc.start(), desc.len) };
        Some(frame.map(|frame| (frame, desc.len)).ok_or(()))
    }

    /// Has the processor fetch the frame that comes so many behind the next.
    #[inline(always)]
    pub(super) fn prefetch(&self, behind: u32, lending: &Lending<'_>) {
        if let Some(desc) = self.rx.peek(behind) {
            lending.prefetch(desc.start());
        }
    }

    /// Gives the places of what was taken back, and buffers for as many frames to come. Asks the kernel to look, if it
    /// wants to be asked.
    pub(super) fn refill(&mut self, lending: &mut Lending<'_>) {
        self.rx.give_back();
        let wanted = (self.rx.size() as usize).saturating_sub(self.loan.count());
        let can = wanted.min(lending.available().saturating_sub(RESERVE));
        if can > 0 {
            for _ in 0..can.min(self.fill.room() as usize) {
                let Some(address) = lending.lend(&mut self.loan) else { break };
                // There is room: it was asked for.
                self.fill.push(address);
            }
            self.fill.publish();
        }
        if self.fill.needs_wakeup() {
            // What is wrong shows in the looks at the device.
            let _ = xdp::wake_rx(self.socket.as_fd());
        }
    }

    /// Where nothing waits, busy polling has the kernel look at the device.
    pub(super) fn poll_device(&self) {
        if self.busy_poll {
            // As above.
            let _ = xdp::wake_rx(self.socket.as_fd());
        }
    }

    /// Closes this half; what remains is what it had.
    pub(super) fn close(self, debts: &mut Debts) {
        debts.add(self.loan, self.socket);
    }

    pub(super) fn kernel_counts(&self) -> Counts {
        self.socket.counts()
    }
}

/// A transmit queue: one worker's, whose buffers go out as they are; others that have none of their own copy into buffers
/// that were put aside for them.
pub(super) struct TxQueue {
    pub(super) number: u32,
    /// The worker whose buffers the socket has.
    pub(super) owner: usize,
    ring: Mutex<Option<Tx>>,
    /// Something is on its way: the owner's `af_xdp-input` looks again.
    waiting: AtomicBool,
}

/// The rings of a transmit queue.
pub(super) struct Tx {
    socket: Arc<XdpSocket>,
    ring: Producer<Desc>,
    completion: Consumer<u64>,
    /// The owner's packets on their way.
    loan: Loan,
    stash: Option<Stash>,
}

/// Buffers for workers that have no queue of their own.
struct Stash {
    loan: Loan,
    /// Addresses of those that are not on their way.
    free: Vec<u64>,
    /// The owner's buffers that came back to others, for the owner to take.
    back: Vec<u64>,
}

/// What became of frames that were handed to the kernel.
#[derive(Debug, Default)]
pub(super) struct Kicked {
    /// The device is down, or gone.
    pub(super) unfit: bool,
    /// A system call was needed.
    pub(super) called: bool,
}

impl TxQueue {
    pub(super) fn new(number: u32, owner: usize, tx: Tx) -> TxQueue {
        TxQueue { number, owner, ring: Mutex::new(Some(tx)), waiting: AtomicBool::new(false) }
    }

    /// The rings; `None` once the device is gone.
    pub(super) fn ring(&self) -> MutexGuard<'_, Option<Tx>> {
        // A thread that panicked between two frames leaves rings that are still sound.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_waiting(&self, waiting: bool) {
        if self.waiting.load(Relaxed) != waiting {
            self.waiting.store(waiting, Relaxed);
        }
    }

    /// The owner looks after what is on its way; whether some of it still is.
    pub(super) fn look_again(&self, lending: &mut Lending<'_>) -> bool {
        if !self.waiting.load(Relaxed) {
            return false;
        }
        let mut guard = self.ring();
        let Some(tx) = guard.as_mut() else { return false };
        tx.kick();
        tx.collect(Some(lending));
        let waiting = tx.is_waiting();
        self.set_waiting(waiting);
        waiting
    }
}

impl Tx {
    pub(super) fn new(socket: Arc<XdpSocket>, ring: Producer<Desc>, completion: Consumer<u64>) -> Tx {
        let loan = Loan::new(socket.region());
        Tx { socket, ring, completion, loan, stash: None }
    }

    /// Puts buffers aside for workers that have no queue of their own.
    pub(super) fn put_aside(&mut self, lending: &mut Lending<'_>, count: usize) {
        let mut loan = Loan::new(self.socket.region());
        let free = (0..count).map_while(|_| lending.lend(&mut loan)).collect();
        self.stash = Some(Stash { loan, free, back: Vec::new() });
    }

    /// The ring and the loan, for [`SinkCx::lend`](vnet::SinkCx::lend).
    #[inline(always)]
    pub(super) fn parts(&mut self) -> (&mut Loan, &mut Producer<Desc>) {
        (&mut self.loan, &mut self.ring)
    }

    /// A chain: its bytes are joined in another buffer, if they fit one; whether it goes out.
    pub(super) fn send_joined(&mut self, packet: &Packet<'_>, lending: &mut Lending<'_>) -> bool {
        if self.ring.room() == 0 {
            return false;
        }
        let Some(address) = lending.lend_copy(packet, &mut self.loan) else { return false };
        push(&mut self.ring, Lendable { address, len: packet.len() as u32 })
    }

    /// Another worker's frame: the next buffer of the stash to write to, if there is one and room in the ring.
    pub(super) fn send_copy(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        if len > CHUNK || len == 0 || self.ring.room() == 0 {
            return false;
        }
        let Some(address) = self.stash.as_mut().and_then(|stash| stash.free.pop()) else { return false };
        // SAFETY: the address is that of a chunk of `CHUNK` bytes that is lent to the stash, whose free ones are in nobody's
        // hands but ours: this queue is locked.
        let bytes = unsafe {
            let start = self.socket.region().start().add(address as usize);
            std::slice::from_raw_parts_mut(start.as_ptr(), len)
        };
        write(bytes);
        push(&mut self.ring, Lendable { address, len: len as u32 })
    }

    /// Takes buffers back that were sent: the owner, with its pool, or somebody else.
    pub(super) fn collect(&mut self, mut lending: Option<&mut Lending<'_>>) {
        if let (Some(lending), Some(stash)) = (&mut lending, &mut self.stash) {
            for address in stash.back.drain(..) {
                // SAFETY: it came out of the completion ring.
                unsafe { lending.take_sent(&mut self.loan, address) };
            }
        }
        if self.completion.look() == 0 {
            return;
        }
        while let Some(address) = self.completion.next() {
            match (&mut lending, &mut self.stash) {
                (_, Some(stash)) if stash.loan.has(address) => stash.free.push(address),
                // SAFETY: the kernel has put the address into the completion ring: it is done with the buffer.
                (Some(lending), _) => drop(unsafe { lending.take_sent(&mut self.loan, address) }),
                (None, Some(stash)) => stash.back.push(address),
                (None, None) => (),
            }
        }
        self.completion.give_back();
    }

    /// Hands what was written to the kernel.
    pub(super) fn kick(&mut self) -> Kicked {
        self.ring.publish();
        let mut kicked = Kicked::default();
        let mut waiting = self.ring.pending();
        while waiting > 0 && self.ring.needs_wakeup() {
            kicked.called = true;
            let unfit = xdp::wake_tx(self.socket.sending()).is_err_and(|error| is_unfit(&error));
            let left = self.ring.pending();
            // The kernel sends some at a time, and none while it has no room.
            if unfit || left >= waiting {
                kicked.unfit = unfit;
                break;
            }
            waiting = left;
        }
        kicked
    }

    /// Whether anything is on its way.
    pub(super) fn is_waiting(&mut self) -> bool {
        let free = self.stash.as_ref().map_or(0, |stash| stash.loan.count() - stash.free.len());
        self.loan.count() + free > 0 || self.ring.pending() > 0
    }

    /// Frames in the ring, and buffers that did not come back yet.
    pub(super) fn counts(&mut self) -> (u32, u32, usize) {
        (self.ring.size(), self.ring.pending(), self.loan.count())
    }

    /// Closes this half; what remains is what it had.
    pub(super) fn close(self, debts: &mut Debts) {
        debts.add(self.loan, self.socket.clone());
        if let Some(stash) = self.stash {
            debts.add(stash.loan, self.socket);
        }
    }
}

/// Writes a frame into the transmit ring; `false` where it is full.
#[inline(always)]
pub(super) fn push(ring: &mut Producer<Desc>, frame: Lendable) -> bool {
    ring.push(Desc { address: frame.address, len: frame.len, options: 0 })
}

fn is_unfit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::EBADF))
}

/// What was lent to sockets that are about to be closed.
#[derive(Default)]
pub(super) struct Debts {
    open: Vec<Arc<XdpSocket>>,
    loans: Vec<(Loan, Weak<XdpSocket>)>,
}

impl Debts {
    fn add(&mut self, loan: Loan, socket: Arc<XdpSocket>) {
        self.loans.push((loan, Arc::downgrade(&socket)));
        self.open.push(socket);
    }

    /// Closes the sockets. Where devices read and wrote the buffers themselves, waits until the kernel has told them: it
    /// does that some time after the socket is closed, and does not say when.
    pub(super) fn close(&mut self) {
        let direct = self.open.iter().any(|socket| socket.zero_copy);
        // The kernel waits here until nobody is about to fill a buffer.
        self.open.clear();
        if direct {
            std::thread::sleep(DIRECT);
        }
    }

    /// Takes back what closed sockets had.
    pub(super) fn settle(mut self, lending: &mut Lending<'_>) {
        for (loan, socket) in &mut self.loans {
            if socket.strong_count() == 0 {
                // SAFETY: the socket is closed: nobody holds it any more.
                unsafe { lending.take_all(loan) };
            }
        }
    }
}

/// Long enough for the kernel to stop a device: it only has to wait for its own locks and the device's queue.
const DIRECT: Duration = Duration::from_millis(300);

/// The queues of one worker.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) rx: Vec<RxQueue>,
    /// Transmit queues whose buffers are this worker's.
    pub(super) tx: Vec<(IfIndex, Arc<TxQueue>)>,
    /// The queue that is served first next time, so that none starves.
    pub(super) first: usize,
}
