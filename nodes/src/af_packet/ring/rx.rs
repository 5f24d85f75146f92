//! The receive ring, of either version.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::facts::{BlockFacts, BlockHeader, Header2, Header3, HeaderFacts, Version};
use super::layout::RingLayout;
use super::map::RingMap;
use super::rx3::BlockCounts;
use super::{rx2, rx3};
use crate::af_packet::error::{DeviceError, DeviceEvent};
use crate::af_packet::socket::{KernelCounts, PacketSocket};
use crate::sys::VnetHdr;

/// Frames that the kernel received, in shared memory.
///
/// Its descriptor is readable while frames wait. After an error on the descriptor call [`RxRing::take_event`].
#[derive(Debug)]
pub struct RxRing {
    map: RingMap,
    layout: RingLayout,
    cursor: Cursor,
    vnet: bool,
    malformed: u64,
    socket: PacketSocket,
}

/// One received frame, until the next call to the ring.
#[derive(Clone, Copy, Debug)]
pub struct RxFrame<'a> {
    /// The frame from its link-layer header on.
    pub data: &'a [u8],
    /// What is left to do about it; zeros if the ring carries no such headers.
    pub vnet: VnetHdr,
    /// Bytes that the frame had; more than there are in `data` if the ring had no room for all.
    pub len: u32,
    status: u32,
    taken: Taken,
    version: Version,
    map: &'a RingMap,
}

/// Where a frame stands that the kernel has handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Its header, from the start of the ring.
    pub(super) offset: usize,
    /// Where the memory that it may use ends.
    pub(super) end: usize,
    pub(super) status: u32,
    pub(super) len: u32,
    pub(super) snaplen: u32,
    pub(super) mac: u16,
    /// The block (its offset and number) and the frame's number in it.
    pub(super) block: Option<(usize, u32, u32)>,
}

#[derive(Debug)]
enum Cursor {
    V2(rx2::Cursor),
    V3(rx3::Cursor),
}

impl RxRing {
    /// Makes the ring on a socket that is not bound yet, and then sets nothing in motion: the caller binds.
    ///
    /// # Errors
    /// [`DeviceError::BadRing`] for sizes that make no ring; [`DeviceError::Os`] for what the kernel says, such as ENOMEM.
    pub fn new(socket: PacketSocket, version: Version, layout: RingLayout, vnet: bool) -> Result<Self, DeviceError> {
        if let Some(what) = layout.flaw(version) {
            return Err(DeviceError::BadRing { name: socket.name().into(), what });
        }
        socket.set_version(version)?;
        if vnet {
            socket.set_vnet_hdr(true)?;
        }
        socket.set_ring(version, false, &layout, RETIRE_MS)?;
        let map = RingMap::new(socket.as_fd(), layout.len())
            .map_err(|source| DeviceError::new(socket.name(), "map the receive ring", source))?;
        let cursor = match version {
            Version::V2 => Cursor::V2(rx2::Cursor::default()),
            Version::V3 => Cursor::V3(rx3::Cursor::default()),
        };
        Ok(Self { map, layout, cursor, vnet, malformed: 0, socket })
    }

    /// The next frame, if there is one. The one before goes back to the kernel (with version 3: its block, when this was
    /// the last of it).
    ///
    /// What others send through the device is left out.
    #[inline]
    pub fn next_frame(&mut self) -> Option<RxFrame<'_>> {
        let version = self.version();
        loop {
            let taken = match &mut self.cursor {
                Cursor::V2(cursor) => cursor.next(&self.map, &self.layout)?,
                Cursor::V3(cursor) => cursor.next(&self.map, &self.layout)?,
            };
            // SAFETY: the cursor has seen the kernel hand this frame over, and takes it back only in its `next`.
            let Some((data, vnet, outgoing)) = (unsafe { taken.contents(&self.map, version, self.vnet) }) else {
                self.malformed += 1;
                continue;
            };
            if outgoing {
                continue;
            }
            // SAFETY: as above. (Formed anew because a borrow that is returned cannot be made inside the loop.)
            let data = unsafe { self.map.bytes(data, taken.snaplen as usize) }?;
            let (len, status) = (taken.len, taken.status);
            return Some(RxFrame { data, vnet, len, status, taken, version, map: &self.map });
        }
    }

    /// The format of the ring.
    pub fn version(&self) -> Version {
        match self.cursor {
            Cursor::V2(_) => Version::V2,
            Cursor::V3(_) => Version::V3,
        }
    }

    /// Its sizes.
    pub fn layout(&self) -> &RingLayout {
        &self.layout
    }

    /// The block (version 3) or frame (version 2) that is next.
    pub fn position(&self) -> u32 {
        match &self.cursor {
            Cursor::V2(cursor) => cursor.position(),
            Cursor::V3(cursor) => cursor.position(),
        }
    }

    /// The blocks that were taken since the last call; version 2 has none.
    pub fn take_block_counts(&mut self) -> BlockCounts {
        match &mut self.cursor {
            Cursor::V2(_) => BlockCounts::default(),
            Cursor::V3(cursor) => cursor.take_counts(),
        }
    }

    /// Frames whose header made no sense; always 0 unless the kernel errs.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// What the kernel counted, drops for want of room included.
    pub fn kernel_counts(&mut self) -> KernelCounts {
        self.socket.kernel_counts()
    }

    /// What happened to the device since the last call; clears the error that `epoll` reports.
    pub fn take_event(&self) -> Option<DeviceEvent> {
        self.socket.take_event()
    }

    /// The socket under the ring.
    pub fn socket(&self) -> &PacketSocket {
        &self.socket
    }
}

impl Taken {
    /// Where the data starts, the virtio-net header, and whether somebody else sent the frame through this device; `None`
    /// if what the header says does not fit its frame.
    ///
    /// # Safety
    /// The frame is the program's.
    #[inline]
    unsafe fn contents(&self, map: &RingMap, version: Version, vnet: bool) -> Option<(usize, VnetHdr, bool)> {
        let data = self.offset + usize::from(self.mac);
        if data.checked_add(self.snaplen as usize)? > self.end {
            return None;
        }
        let vnet = if vnet {
            let at = data.checked_sub(VnetHdr::LEN).filter(|at| *at >= self.offset)?;
            // SAFETY: within the frame, by the caller's promise.
            unsafe { map.read::<VnetHdr>(at) }?
        } else {
            VnetHdr::default()
        };
        // SAFETY: within the frame's headers, by the caller's promise.
        let kind = unsafe { map.read::<u8>(self.offset + version.header_len() + SOCKADDR_PKTTYPE) }?;
        Some((data, vnet, kind == libc::PACKET_OUTGOING))
    }
}

impl RxFrame<'_> {
    /// Whether the ring had no room for the whole frame.
    pub fn is_truncated(&self) -> bool {
        self.data.len() < self.len as usize
    }

    /// Whether the kernel took a VLAN tag out of the frame.
    pub fn has_vlan(&self) -> bool {
        self.status & libc::TP_STATUS_VLAN_VALID != 0
    }

    /// Whether the sender left the checksum to its device, and nothing says where it belongs, as in a ring without headers for that.
    pub fn has_unmarked_checksum(&self) -> bool {
        self.status & libc::TP_STATUS_CSUMNOTREADY != 0 && !self.vnet.needs_checksum()
    }

    /// The header, for a trace.
    pub fn facts(&self) -> HeaderFacts {
        let offset = self.taken.offset;
        // SAFETY: the frame is the program's for as long as it borrows the ring; so are its headers and its block's.
        let facts = unsafe {
            match self.version {
                Version::V2 => self.map.read::<Header2>(offset).map(|header| HeaderFacts::from(&header)),
                Version::V3 => {
                    let block = self.taken.block.and_then(|(at, number, pkt_num)| {
                        let BlockHeader { version, seq_num, .. } = self.map.read(at)?;
                        Some(BlockFacts { number, address: self.map.address(at), version, seq_num, pkt_num })
                    });
                    self.map.read::<Header3>(offset).map(|header| HeaderFacts::version3(&header, block))
                }
            }
        };
        facts.unwrap_or_else(|| HeaderFacts::of_length(self.version, self.len))
    }
}

impl AsFd for RxRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for RxRing {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// How long a block waits for more frames before the kernel hands it over: the least there is.
const RETIRE_MS: u32 = 1;

/// `sll_pkttype` in the `sockaddr_ll` that follows the header (whose length is a multiple of 16 in both versions).
const SOCKADDR_PKTTYPE: usize = 10;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use nix::sys::memfd::{MFdFlags, memfd_create};
    use proptest::prelude::*;

    use super::*;

    /// Walks a ring of which every byte is nonsense, three times round.
    fn walk(version: Version, words: &[u32], vnet: bool) -> usize {
        let layout = RingLayout { block_size: 4096, blocks: 2, frame_size: 2048, frames: 4 };
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).cycle().take(layout.len()).collect::<Vec<_>>();
        let mut file = File::from(memfd_create("ring", MFdFlags::empty()).unwrap());
        file.write_all(&bytes).unwrap();
        let map = RingMap::new(file.as_fd(), layout.len()).unwrap();
        let (mut two, mut three) = (rx2::Cursor::default(), rx3::Cursor::default());
        let mut seen = 0;
        for _ in 0..200 {
            let taken = match version {
                Version::V2 => two.next(&map, &layout),
                Version::V3 => three.next(&map, &layout),
            };
            let Some(taken) = taken else { break };
            // SAFETY: no kernel is at the other end of this file.
            if let Some((data, ..)) = unsafe { taken.contents(&map, version, vnet) } {
                assert!(data + taken.snaplen as usize <= layout.len());
                seen += 1;
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn nonsense_from_the_kernel_stays_within_the_ring(
            words in proptest::collection::vec(prop_oneof![0u32..4096, any::<u32>()], 16..80),
            vnet in any::<bool>(),
        ) {
            prop_assert!(walk(Version::V2, &words, vnet) <= 200);
            prop_assert!(walk(Version::V3, &words, vnet) <= 200);
        }
    }

    #[test]
    fn a_ring_of_ones_ends() {
        assert_eq!(walk(Version::V3, &[u32::MAX; 16], true), 0);
        assert!(walk(Version::V2, &[1; 16], false) > 0);
    }
}
