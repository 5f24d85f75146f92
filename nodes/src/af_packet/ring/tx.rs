//! The transmit ring, of either version.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use serde::Serialize;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::facts::{Header2, Header3, HeaderFacts, Version};
use super::layout::RingLayout;
use super::map::RingMap;
use crate::af_packet::error::{DeviceError, DeviceEvent};
use crate::af_packet::socket::PacketSocket;
use crate::sys::VnetHdr;

/// Frames to be sent, in shared memory: [`TxRing::reserve`] and [`TxSlot::commit`] each, then one [`TxRing::kick`]. What is
/// longer than a frame of the ring goes past it ([`TxRing::send_long`]), so that not every frame has to have room for a
/// large segment.
///
/// # Invariants
/// - `pending` frames from `first` on were committed and not yet seen taken by the kernel; `next` comes after them.
/// - Every [`Place`] is that of a frame of the ring.
/// - `first` is where the kernel looks next: it moves only in [`TxRing::kick`], which nobody else runs.
/// - A frame is written only while its status is `TP_STATUS_AVAILABLE`, or while it is pending and the kernel not asked.
#[derive(Debug)]
pub struct TxRing {
    map: RingMap,
    layout: RingLayout,
    version: Version,
    /// Frames in a block.
    per_block: u32,
    first: Place,
    pending: u32,
    next: Place,
    socket: PacketSocket,
    /// For what is longer than a frame of the ring.
    past: PacketSocket,
}

/// A frame of the ring. Going from one to the next takes no division.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    frame: u32,
    /// Its number in its block.
    in_block: u32,
    /// Where it begins, from the start of the ring.
    offset: usize,
}

/// Room for one frame.
#[derive(Debug)]
pub struct TxSlot<'a> {
    ring: &'a mut TxRing,
    offset: usize,
}

/// What became of the pending frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kick {
    /// Frames that the kernel took.
    pub sent: u32,
    /// Frames that the device refused for want of room (its queue, or the far end of a veth). They are lost.
    pub dropped: u32,
    /// Frames that the kernel refused as wrong: too long, or with an impossible virtio-net header. They are lost.
    pub rejected: u32,
    /// Frames that still wait because too much is on its way. Kick again later.
    pub waiting: u32,
    /// What is wrong with the device; the pending frames were dropped (and counted as such).
    pub event: Option<DeviceEvent>,
}

/// How many frames of the ring are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TxCounts {
    /// Free.
    pub available: u32,
    /// Committed.
    pub request: u32,
    /// Taken by the kernel, not yet sent.
    pub sending: u32,
    /// Refused.
    pub wrong: u32,
    /// All.
    pub total: u32,
}

impl TxRing {
    /// Makes the ring on a socket that is not bound, and binds it so that it receives nothing; as well the other one, which
    /// is for frames that are too long. Every frame has a virtio-net header, if only to be copied
    /// ([`VnetHdr::in_one_piece`]).
    ///
    /// # Errors
    /// As [`super::RxRing::new`].
    pub fn new(
        socket: PacketSocket,
        past: PacketSocket,
        version: Version,
        layout: RingLayout,
    ) -> Result<Self, DeviceError> {
        if let Some(what) = layout.flaw(version) {
            return Err(DeviceError::BadRing { name: socket.name().into(), what });
        }
        socket.set_version(version)?;
        socket.set_vnet_hdr(true)?;
        past.set_vnet_hdr(true)?;
        socket.set_ring(version, true, &layout, 0)?;
        let map = RingMap::new(socket.as_fd(), layout.len())
            .map_err(|source| DeviceError::new(socket.name(), "map the transmit ring", source))?;
        socket.bind(false)?;
        past.bind(false)?;
        let (per_block, start) = (layout.frames_per_block().max(1), Place::default());
        Ok(Self { map, layout, version, per_block, first: start, pending: 0, next: start, socket, past })
    }

    /// Room for a frame; `None` while the ring is full: [`TxRing::kick`], and if that does not help, drop.
    #[inline]
    pub fn reserve(&mut self) -> Option<TxSlot<'_>> {
        let offset = self.next.offset;
        let free = self.pending < self.layout.frames && self.status(offset) == libc::TP_STATUS_AVAILABLE;
        free.then_some(TxSlot { ring: self, offset })
    }

    /// Hands all committed frames to the kernel.
    ///
    /// A frame that the kernel refuses is taken out and replaced by the last one that waits, so that nothing gets stuck;
    /// this is the only case in which frames change their order.
    pub fn kick(&mut self) -> Kick {
        let mut kick = Kick::default();
        let mut old_error = true;
        while self.pending > 0 {
            let result = self.socket.send_ring();
            kick.sent += self.advance();
            if self.pending == 0 {
                break;
            }
            if self.status(self.first.offset) == libc::TP_STATUS_WRONG_FORMAT {
                self.drop_first();
                kick.rejected += 1;
                continue;
            }
            match result.map_err(|error| error.raw_os_error()) {
                // The kernel gave up half way; the next call tells why.
                Ok(bytes) if bytes > 0 => {}
                Err(Some(libc::EINTR)) => {}
                Ok(_) | Err(Some(libc::EAGAIN)) => break,
                Err(Some(libc::ENOBUFS)) => {
                    self.drop_first();
                    kick.dropped += 1;
                }
                // The socket may remember that the device was down; only what it says twice is so now.
                Err(Some(libc::ENETDOWN)) if old_error => old_error = false,
                Err(Some(code)) if UNFIT.contains(&code) => {
                    kick.dropped += self.drop_all();
                    kick.event = Some(self.socket.device_state().unwrap_or(DeviceEvent::Down));
                }
                Err(_) => {
                    self.drop_first();
                    kick.rejected += 1;
                }
            }
        }
        kick.waiting = self.pending;
        kick
    }

    /// Sends a frame that is too long for the ring, in pieces, behind all committed frames, which are handed to the kernel
    /// first. One system call more; nothing waits where too much is on its way: the frame is lost then.
    pub fn send_long<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>, vnet: &VnetHdr) -> Kick {
        let mut kick = self.kick();
        if kick.event.is_some() {
            kick.dropped += 1;
            return kick;
        }
        let mut all: SmallVec<[IoSlice<'_>; 40]> = SmallVec::new();
        all.push(IoSlice::new(vnet.as_bytes()));
        for piece in pieces {
            all.push(IoSlice::new(piece));
        }
        // The socket may remember that the device was down; only what it says twice is so now.
        let again = |error: &io::Error| [Some(libc::ENETDOWN), Some(libc::EINTR)].contains(&error.raw_os_error());
        let sent = match self.past.send_pieces(&all) {
            Err(error) if again(&error) => self.past.send_pieces(&all),
            sent => sent,
        };
        match sent.map_err(|error| error.raw_os_error()) {
            Ok(_) => kick.sent += 1,
            Err(Some(libc::EAGAIN | libc::ENOBUFS)) => kick.dropped += 1,
            Err(Some(code)) if UNFIT.contains(&code) => {
                kick.dropped += 1;
                kick.event = Some(self.past.device_state().unwrap_or(DeviceEvent::Down));
            }
            Err(_) => kick.rejected += 1,
        }
        kick
    }

    /// The format of the ring.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its sizes.
    pub fn layout(&self) -> &RingLayout {
        &self.layout
    }

    /// The longest frame, in bytes, without the virtio-net header.
    pub fn capacity(&self) -> usize {
        self.layout.frame_size as usize - self.data_offset()
    }

    /// The frame that is filled next.
    pub fn position(&self) -> u32 {
        self.next.frame
    }

    /// Frames committed and not yet taken by the kernel.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// How many frames are in which state. Looks at each of them.
    pub fn counts(&self) -> TxCounts {
        let mut counts = TxCounts { total: self.layout.frames, ..TxCounts::default() };
        for frame in 0..self.layout.frames {
            let status = self.status(self.layout.frame_offset(frame));
            counts.request += u32::from(status & libc::TP_STATUS_SEND_REQUEST != 0);
            counts.sending += u32::from(status & libc::TP_STATUS_SENDING != 0);
            counts.wrong += u32::from(status & libc::TP_STATUS_WRONG_FORMAT != 0);
            counts.available += u32::from(status == libc::TP_STATUS_AVAILABLE);
        }
        counts
    }

    /// The header of a committed frame of `len` bytes, for a trace.
    pub fn facts(&self, len: usize) -> HeaderFacts {
        let len = (len + VnetHdr::LEN) as u32;
        HeaderFacts { status: libc::TP_STATUS_SEND_REQUEST, ..HeaderFacts::of_length(self.version, len) }
    }

    /// What happened to the device since the last call; clears the error that `epoll` reports.
    pub fn take_event(&self) -> Option<DeviceEvent> {
        self.socket.take_event()
    }

    /// The socket under the ring.
    pub fn socket(&self) -> &PacketSocket {
        &self.socket
    }

    /// Passes over the pending frames that the kernel has taken; returns how many.
    fn advance(&mut self) -> u32 {
        let mut taken = 0;
        while self.pending > 0 {
            let status = self.status(self.first.offset);
            if status == libc::TP_STATUS_SEND_REQUEST || status == libc::TP_STATUS_WRONG_FORMAT {
                break;
            }
            self.first = self.after(self.first);
            self.pending -= 1;
            taken += 1;
        }
        taken
    }

    /// Drops the frame that the kernel looks at next and does not take: the last pending frame takes its place, because
    /// the kernel goes on from there and nowhere else.
    fn drop_first(&mut self) {
        let first = self.first.offset;
        let last_place = self.place((self.first.frame + self.pending - 1) % self.layout.frames);
        let last = last_place.offset;
        if last == first {
            self.set_status(first, libc::TP_STATUS_AVAILABLE);
        } else {
            // SAFETY: both frames are pending and the kernel is not at work (invariants of the type).
            unsafe {
                let used = self.queued_len(last) as usize + self.version.header_len();
                self.map.copy_within(last, first, used.min(self.layout.frame_size as usize));
            }
            self.set_status(first, libc::TP_STATUS_SEND_REQUEST);
            self.set_status(last, libc::TP_STATUS_AVAILABLE);
        }
        self.next = last_place;
        self.pending -= 1;
    }

    fn drop_all(&mut self) -> u32 {
        let dropped = self.pending;
        let mut place = self.first;
        for _ in 0..dropped {
            self.set_status(place.offset, libc::TP_STATUS_AVAILABLE);
            place = self.after(place);
        }
        self.next = self.first;
        self.pending = 0;
        dropped
    }

    /// The length that the header at `offset` states.
    ///
    /// # Safety
    /// The frame is the program's.
    unsafe fn queued_len(&self, offset: usize) -> u32 {
        // SAFETY: by the caller's promise.
        let len = unsafe {
            match self.version {
                Version::V2 => self.map.read::<Header2>(offset).map(|header| header.len),
                Version::V3 => self.map.read::<Header3>(offset).map(|header| header.len),
            }
        };
        len.unwrap_or_default()
    }

    fn status(&self, offset: usize) -> u32 {
        self.map.status(offset + self.status_offset())
    }

    fn set_status(&self, offset: usize, status: u32) {
        self.map.set_status(offset + self.status_offset(), status);
    }

    fn status_offset(&self) -> usize {
        match self.version {
            Version::V2 => std::mem::offset_of!(Header2, status),
            Version::V3 => std::mem::offset_of!(Header3, status),
        }
    }

    /// Where the frame itself starts, from the start of its header.
    fn data_offset(&self) -> usize {
        self.version.header_len() + VnetHdr::LEN
    }

    fn place(&self, frame: u32) -> Place {
        Place { frame, in_block: frame % self.per_block, offset: self.layout.frame_offset(frame) }
    }

    #[inline]
    fn after(&self, Place { frame, in_block, offset }: Place) -> Place {
        let size = self.layout.frame_size as usize;
        if frame + 1 == self.layout.frames {
            Place::default()
        } else if in_block + 1 < self.per_block {
            Place { frame: frame + 1, in_block: in_block + 1, offset: offset + size }
        } else {
            let start = offset - in_block as usize * size;
            Place { frame: frame + 1, in_block: 0, offset: start + self.layout.block_size as usize }
        }
    }
}

impl TxSlot<'_> {
    /// Where the frame goes, from its link-layer header on. Holds whatever an earlier frame left.
    #[inline]
    pub fn data(&mut self) -> &mut [u8] {
        let (start, len) = (self.offset + self.ring.data_offset(), self.ring.capacity());
        // SAFETY: the frame was seen available, and the kernel takes no frame that is not requested.
        unsafe { self.ring.map.bytes_mut(start, len) }.unwrap_or_default()
    }

    /// Puts the first `len` bytes in line. `false`, and nothing is in line, if that is more than there is room for.
    #[inline]
    pub fn commit(self, len: usize, vnet: &VnetHdr) -> bool {
        let Self { ring, offset } = self;
        if len > ring.capacity() {
            return false;
        }
        let header_len = ring.version.header_len();
        let total = (len + ring.data_offset() - header_len) as u32;
        // SAFETY: as in `data`; the status word is not among what is written.
        let written = unsafe {
            ring.map.write(offset + header_len, *vnet);
            match ring.version {
                Version::V2 => ring.map.write(offset + LENGTHS_2, [total, total]),
                Version::V3 => {
                    ring.map.write(offset, 0u32).and_then(|()| ring.map.write(offset + LENGTHS_3, [total, total]))
                }
            }
        };
        if written.is_none() {
            return false;
        }
        ring.set_status(offset, libc::TP_STATUS_SEND_REQUEST);
        ring.next = ring.after(ring.next);
        ring.pending += 1;
        true
    }
}

impl AsFd for TxRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TxRing {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What the kernel says where the device is down or gone.
const UNFIT: [i32; 3] = [libc::ENETDOWN, libc::ENXIO, libc::ENODEV];

/// `tp_len` and `tp_snaplen` stand side by side in version 2, …
const LENGTHS_2: usize = std::mem::offset_of!(Header2, len);
/// … and in the other order in version 3. Both get the same value.
const LENGTHS_3: usize = std::mem::offset_of!(Header3, snaplen);
