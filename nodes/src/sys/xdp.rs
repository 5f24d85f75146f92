//! System calls about AF_XDP sockets. Every function but the one that hands memory over is safe to call.
//!
//! Invariant of the module: the kernel is handed only memory that outlives the call, with its true length; memory that it
//! keeps is promised by the caller of [`register_memory`].
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use libc::{c_int, socklen_t};

/// A non-blocking AF_XDP socket.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the answer is a descriptor of our own.
    unsafe {
        let socket = libc::socket(libc::AF_XDP, kind, 0);
        if socket < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(socket)) }
    }
}

/// The rings of a socket: the option that makes each, and where it is mapped from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingKind {
    Rx,
    Tx,
    Fill,
    Completion,
}

impl RingKind {
    fn option(self) -> c_int {
        match self {
            RingKind::Rx => libc::XDP_RX_RING,
            RingKind::Tx => libc::XDP_TX_RING,
            RingKind::Fill => libc::XDP_UMEM_FILL_RING,
            RingKind::Completion => libc::XDP_UMEM_COMPLETION_RING,
        }
    }

    /// Where the ring's memory begins in the socket's.
    pub(crate) fn page_offset(self) -> u64 {
        match self {
            RingKind::Rx => libc::XDP_PGOFF_RX_RING as u64,
            RingKind::Tx => libc::XDP_PGOFF_TX_RING as u64,
            RingKind::Fill => libc::XDP_UMEM_PGOFF_FILL_RING,
            RingKind::Completion => libc::XDP_UMEM_PGOFF_COMPLETION_RING,
        }
    }
}

/// Where the parts of a ring stand in its memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) producer: usize,
    pub(crate) consumer: usize,
    pub(crate) entries: usize,
    pub(crate) flags: usize,
}

/// Makes a ring of so many entries.
pub(crate) fn make_ring(socket: BorrowedFd<'_>, ring: RingKind, entries: u32) -> io::Result<()> {
    set(socket, libc::SOL_XDP, ring.option(), &(entries as c_int))
}

/// Where the parts of a ring stand.
pub(crate) fn offsets(socket: BorrowedFd<'_>, ring: RingKind) -> io::Result<Offsets> {
    // SAFETY: plain old data; all zero is valid.
    let mut all: libc::xdp_mmap_offsets = unsafe { zeroed() };
    let len = get(socket, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, &mut all)?;
    if len != size_of::<libc::xdp_mmap_offsets>() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the kernel's rings have no wake-up flags (before 5.4)",
        ));
    }
    let ring = match ring {
        RingKind::Rx => all.rx,
        RingKind::Tx => all.tx,
        RingKind::Fill => all.fr,
        RingKind::Completion => all.cr,
    };
    let [producer, consumer, entries, flags] =
        [ring.producer, ring.consumer, ring.desc, ring.flags].map(|offset| offset as usize);
    Ok(Offsets { producer, consumer, entries, flags })
}

/// Lets the kernel read and write memory for the socket (its UMEM): chunks of `chunk` bytes, wherever they begin.
///
/// # Safety
/// The memory stays mapped until the socket is closed, and while parts of it are in one of the socket's rings for the kernel,
/// nobody makes a reference to them.
pub(crate) unsafe fn register_memory(
    socket: BorrowedFd<'_>,
    start: NonNull<u8>,
    len: usize,
    chunk: usize,
) -> io::Result<()> {
    // SAFETY: plain old data; all zero is valid.
    let mut region: libc::xdp_umem_reg = unsafe { zeroed() };
    region.addr = start.as_ptr() as u64;
    region.len = len as u64;
    region.chunk_size = chunk as u32;
    region.flags = libc::XDP_UMEM_UNALIGNED_CHUNK_FLAG;
    set(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &region)
}

/// Binds the socket to a queue of a device; with `share`, memory and mode are those of that socket.
pub(crate) fn bind(
    socket: BorrowedFd<'_>,
    device: u32,
    queue: u32,
    flags: u16,
    share: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: if share.is_some() { libc::XDP_SHARED_UMEM } else { flags },
        sxdp_ifindex: device,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: share.map_or(0, |share| share.as_raw_fd() as u32),
    };
    let len = size_of::<libc::sockaddr_xdp>() as socklen_t;
    // SAFETY: the address is initialised and its length true.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// Whether the kernel copies nothing for the socket.
pub(crate) fn is_zero_copy(socket: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: plain old data; all zero is valid.
    let mut options: libc::xdp_options = unsafe { zeroed() };
    get(socket, libc::SOL_XDP, libc::XDP_OPTIONS, &mut options)?;
    Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
}

/// What the kernel counted for a socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Frames lost: longer than a chunk, or no buffer for them in the fill ring.
    pub(crate) dropped: u64,
    /// Frames lost because the receive ring was full.
    pub(crate) full: u64,
    /// Addresses in the fill ring that make no sense.
    pub(crate) invalid_fill: u64,
    /// Descriptors in the transmit ring that make no sense.
    pub(crate) invalid_tx: u64,
    /// Times that a buffer was wanted and the fill ring had none.
    pub(crate) fill_empty: u64,
}

/// What the kernel counted.
pub(crate) fn counts(socket: BorrowedFd<'_>) -> io::Result<Counts> {
    // SAFETY: plain old data; all zero is valid.
    let mut counts: libc::xdp_statistics = unsafe { zeroed() };
    get(socket, libc::SOL_XDP, libc::XDP_STATISTICS, &mut counts)?;
    Ok(Counts {
        dropped: counts.rx_dropped,
        full: counts.rx_ring_full,
        invalid_fill: counts.rx_invalid_descs,
        invalid_tx: counts.tx_invalid_descs,
        fill_empty: counts.rx_fill_ring_empty_descs,
    })
}

/// Lets one system call send so many frames where the kernel copies (Linux 6.17; at most the ring's size).
pub(crate) fn set_tx_budget(socket: BorrowedFd<'_>, frames: u32) -> io::Result<()> {
    const XDP_MAX_TX_SKB_BUDGET: c_int = 9;
    set(socket, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &frames)
}

/// Has the kernel serve the device's queue when the socket asks, rather than when the device interrupts: for so many
/// microseconds at a time, and so many frames.
pub(crate) fn set_busy_poll(socket: BorrowedFd<'_>, micros: c_int, budget: c_int) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, &1_i32)?;
    set(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, &micros)?;
    set(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, &budget)
}

/// Has the kernel look at the transmit ring.
#[inline]
pub(crate) fn wake_tx(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an empty message needs no memory.
    let sent =
        unsafe { libc::sendto(socket.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the kernel look at the fill ring, and for frames.
#[inline]
pub(crate) fn wake_rx(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nowhere = std::ptr::null_mut();
    // SAFETY: no memory is offered.
    let got = unsafe {
        libc::recvfrom(socket.as_raw_fd(), nowhere, 0, libc::MSG_DONTWAIT, std::ptr::null_mut(), std::ptr::null_mut())
    };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets an option; `T` is what the option takes, without pointers.
fn set<T: Copy>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as socklen_t;
    // SAFETY: `value` is of the stated length and outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const *value).cast(), len) }).map(drop)
}

/// Reads an option into plain old data, every bit pattern of which is valid; gives how many bytes there were.
fn get<T: Copy>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &mut T) -> io::Result<usize> {
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `value`.
    let answer = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut *value).cast(), &raw mut len) };
    check(answer).map(|_| len as usize)
}

fn check(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
