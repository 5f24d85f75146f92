//! Receiving block by block (version 3).
#![allow(unsafe_code)]

use super::facts::{BlockHeader, Header3};
use super::layout::RingLayout;
use super::map::RingMap;
use super::rx::Taken;

/// The place in the ring.
///
/// Invariant: if `held`, the block at `block` was seen with `TP_STATUS_USER` and not handed back since; `next` and `left`
/// are then its next frame and how many there still are.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    block: u32,
    held: bool,
    next: usize,
    left: u32,
    taken: u32,
    counts: BlockCounts,
}

/// Blocks that the kernel handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// All of them.
    pub total: u64,
    /// Those that were handed over because their time was up, and not because they were full.
    pub timed_out: u64,
}

impl Cursor {
    /// The blocks since the last call.
    pub(super) fn take_counts(&mut self) -> BlockCounts {
        std::mem::take(&mut self.counts)
    }

    /// Takes the next frame; hands a block back when all of it has been taken.
    #[inline]
    pub(super) fn next(&mut self, map: &RingMap, layout: &RingLayout) -> Option<Taken> {
        if self.left == 0 && !self.next_block(map, layout) {
            return None;
        }
        let (start, end) = (layout.block_offset(self.block), layout.block_offset(self.block + 1));
        let offset = self.next;
        // SAFETY: the block is the program's (the invariant of the type), and this lies within it or is refused.
        let header = if offset + HEADERS <= end { unsafe { map.read::<Header3>(offset) } } else { None };
        let Some(header) = header else {
            // Makes no sense; a frame of no room lets the ring count it, and the rest of the block is given up.
            self.left = 0;
            let (len, snaplen) = (0, u32::MAX);
            return Some(Taken { offset: start, end: start, status: 0, len, snaplen, mac: 0, block: None });
        };
        let block = Some((start, self.block, self.taken));
        self.left -= 1;
        self.taken += 1;
        if self.left > 0 {
            self.next = offset + header.next_offset as usize;
            if header.next_offset == 0 {
                self.left = 0;
            }
        }
        let Header3 { status, len, snaplen, mac, .. } = header;
        Some(Taken { offset, end, status, len, snaplen, mac, block })
    }

    pub(super) fn position(&self) -> u32 {
        self.block
    }

    /// Hands the block back, if there is one, and takes the next that holds a frame.
    fn next_block(&mut self, map: &RingMap, layout: &RingLayout) -> bool {
        // Blocks may be empty, but not all of them at once for ever.
        for _ in 0..=layout.blocks {
            if self.held {
                map.set_status(layout.block_offset(self.block) + BLOCK_STATUS, libc::TP_STATUS_KERNEL);
                self.held = false;
                self.block += 1;
                if self.block == layout.blocks {
                    self.block = 0;
                }
            }
            let start = layout.block_offset(self.block);
            let status = map.status(start + BLOCK_STATUS);
            if status & libc::TP_STATUS_USER == 0 {
                return false;
            }
            self.held = true;
            self.counts.total += 1;
            self.counts.timed_out += u64::from(status & libc::TP_STATUS_BLK_TMO != 0);
            // SAFETY: the status says that the block is the program's.
            let Some(header) = (unsafe { map.read::<BlockHeader>(start) }) else { return false };
            self.left = header.num_pkts;
            self.next = start + header.offset_to_first_pkt as usize;
            self.taken = 0;
            if self.left > 0 {
                return true;
            }
        }
        false
    }
}

/// Where the status word stands in a block.
const BLOCK_STATUS: usize = std::mem::offset_of!(BlockHeader, status);

/// Header and link-layer address of a frame.
const HEADERS: usize = size_of::<Header3>() + 20;
