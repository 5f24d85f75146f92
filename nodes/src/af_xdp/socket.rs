//! A queue of a device: its four rings, the memory behind them, and the two AF_XDP sockets that have them.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use vnet::mem::{CHUNK, Region};

use super::error::XdpError;
use super::ring::{Consumer, Desc, Producer};
use crate::sys::xdp::{self, Counts, RingKind};

/// What a socket is to be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The device's name, for errors.
    pub(super) name: String,
    /// The kernel's number of the device.
    pub(super) device: u32,
    pub(super) queue: u32,
    pub(super) rx_size: u32,
    pub(super) tx_size: u32,
    pub(super) zero_copy: ZeroCopy,
    pub(super) busy_poll: bool,
}

/// Whether the device itself shall read and write buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Where it can.
    #[default]
    Auto,
    /// Or fail.
    Yes,
    /// The kernel shall copy.
    No,
}

/// A bound socket that receives, and one beside it on the same queue that sends: the kernel tells whoever watches a socket
/// of each frame that was sent, which costs more than sending does of our own work. Nobody watches the second one.
///
/// Invariant, on which the `unsafe` code of [`queue`](super::queue) rests: the sockets' memory is that of `region`, which
/// lives as long as this value; what comes out of their rings is what the kernel has put there.
#[derive(Debug)]
pub(super) struct XdpSocket {
    descriptor: OwnedFd,
    sending: OwnedFd,
    pub(super) zero_copy: bool,
    /// Whether it uses the memory of another socket, and did not register it once more.
    pub(super) shared: bool,
    region: Keep,
}

/// Keeps the memory.
struct Keep(Region);

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Region")
    }
}

/// Our ends of a socket's rings.
pub(super) struct Rings {
    pub(super) rx: Consumer<Desc>,
    pub(super) fill: Producer<u64>,
    pub(super) tx: Producer<Desc>,
    pub(super) completion: Consumer<u64>,
}

impl XdpSocket {
    /// Opens a socket over a worker's buffers. Where another socket has these already, `share`, that one's are used; what
    /// the kernel does not share (another mode is needed, say) is registered anew, which pins the memory twice.
    pub(super) fn open(wanted: &Wanted, region: &Region, share: Option<&XdpSocket>) -> Result<(Self, Rings), XdpError> {
        let huge = region.is_huge();
        if wanted.zero_copy == ZeroCopy::Yes && !huge {
            return Err(XdpError::Words(format!(
                "{}: zero-copy takes buffers on reserved huge pages (buffers {{ page-size 2M }}): others cross pages that \
                 are not side by side",
                wanted.name
            )));
        }
        // The mode of a socket that is shared is that one's.
        let agrees = |share: &&XdpSocket| match wanted.zero_copy {
            ZeroCopy::Auto => true,
            ZeroCopy::Yes => share.zero_copy,
            ZeroCopy::No => !share.zero_copy,
        };
        if let Some(share) = share.filter(agrees) {
            match Self::with_memory(wanted, region, Some(share)) {
                Err(XdpError::Os { source, .. }) if source.raw_os_error() != Some(libc::EBUSY) => (),
                opened => return opened,
            }
        }
        Self::with_memory(wanted, region, None)
    }

    fn with_memory(wanted: &Wanted, region: &Region, share: Option<&XdpSocket>) -> Result<(Self, Rings), XdpError> {
        let name = wanted.name.as_str();
        let fail = |doing| move |source: io::Error| XdpError::new(name, doing, source);
        let descriptor = xdp::open().map_err(fail("open an AF_XDP socket"))?;
        let sending = xdp::open().map_err(fail("open an AF_XDP socket"))?;
        let (socket, sender) = (descriptor.as_fd(), sending.as_fd());
        if share.is_none() {
            // SAFETY: the region is kept below for as long as the socket is open; what is lent of it is reached through
            // the rings alone (invariant of `Loan`).
            unsafe { xdp::register_memory(socket, region.start(), region.len(), CHUNK) }
                .map_err(|source| XdpError::memory(name, region.len(), source))?;
        }
        let sizes = [
            (socket, RingKind::Fill, wanted.rx_size),
            (socket, RingKind::Completion, wanted.tx_size),
            (socket, RingKind::Rx, wanted.rx_size),
            (sender, RingKind::Tx, wanted.tx_size),
        ];
        for (of, kind, size) in sizes {
            xdp::make_ring(of, kind, size).map_err(fail("make a ring"))?;
        }
        let rings = Rings {
            rx: Consumer::of_socket(socket, RingKind::Rx, wanted.rx_size).map_err(fail("map the receive ring"))?,
            fill: Producer::of_socket(socket, RingKind::Fill, wanted.rx_size).map_err(fail("map the fill ring"))?,
            tx: Producer::of_socket(sender, RingKind::Tx, wanted.tx_size).map_err(fail("map the transmit ring"))?,
            completion: Consumer::of_socket(socket, RingKind::Completion, wanted.tx_size)
                .map_err(fail("map the completion ring"))?,
        };
        let mode = match wanted.zero_copy {
            ZeroCopy::Yes => libc::XDP_ZEROCOPY,
            ZeroCopy::Auto if region.is_huge() => 0,
            _ => libc::XDP_COPY,
        };
        let flags = mode | libc::XDP_USE_NEED_WAKEUP;
        bind(socket, wanted, flags, share.map(XdpSocket::as_fd)).map_err(|source| busy_words(wanted, source))?;
        bind(sender, wanted, flags, Some(socket)).map_err(|source| busy_words(wanted, source))?;
        if wanted.busy_poll {
            xdp::set_busy_poll(socket, BUSY_POLL_MICROS, BUSY_POLL_BUDGET).map_err(fail("poll busily"))?;
        }
        // Kernels before 6.17 do not know it, and send 32 at a time.
        let _ = xdp::set_tx_budget(sender, wanted.tx_size);
        set_send_buffer(sender);
        let zero_copy = xdp::is_zero_copy(socket).unwrap_or(false);
        let (shared, region) = (share.is_some(), Keep(region.clone()));
        Ok((XdpSocket { descriptor, sending, zero_copy, shared, region }, rings))
    }

    /// The socket that sends.
    pub(super) fn sending(&self) -> BorrowedFd<'_> {
        self.sending.as_fd()
    }

    /// What the kernel counted for both; nothing once the device is gone.
    pub(super) fn counts(&self) -> Counts {
        let [received, sent] = [self.as_fd(), self.sending()].map(|socket| xdp::counts(socket).unwrap_or_default());
        Counts { invalid_tx: sent.invalid_tx, ..received }
    }

    /// The memory.
    pub(super) fn region(&self) -> &Region {
        &self.region.0
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// One round of busy polling takes no longer, and ...
const BUSY_POLL_MICROS: i32 = 20;
/// ... no more frames.
const BUSY_POLL_BUDGET: i32 = 256;

/// Bytes on their way at once where the kernel copies, at most.
const SEND_BUFFER: usize = 16 << 20;

fn set_send_buffer(socket: BorrowedFd<'_>) {
    use nix::sys::socket::{setsockopt, sockopt};
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        // The default of the system is enough to work with.
        let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
    }
}

/// The kernel frees a queue some time after its last socket was closed; this is longer.
const PATIENCE: Duration = Duration::from_millis(500);

fn bind(socket: BorrowedFd<'_>, wanted: &Wanted, flags: u16, share: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match xdp::bind(socket, wanted.device, wanted.queue, flags, share) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}

fn busy_words(wanted: &Wanted, source: io::Error) -> XdpError {
    let hint = match source.raw_os_error() {
        Some(libc::EBUSY) => format!(" (another AF_XDP socket has queue {} already)", wanted.queue),
        Some(libc::EINVAL) => format!(" (has the device a queue {}?)", wanted.queue),
        Some(libc::EOPNOTSUPP) => " (the device does no zero-copy)".into(),
        _ => String::new(),
    };
    XdpError::Os { device: wanted.name.clone(), doing: "bind an AF_XDP socket", source, hint }
}
