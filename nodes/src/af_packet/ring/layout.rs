//! How a ring's memory is cut up.

use serde::Serialize;

use super::facts::Version;

/// The sizes of a ring, in bytes and counts. A frame never crosses the end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RingLayout {
    /// Bytes per block: a power of two, because the kernel rounds its allocation up to one.
    pub block_size: u32,
    /// Blocks.
    pub blocks: u32,
    /// Bytes per frame, header included. A formality for a receive ring of version 3.
    pub frame_size: u32,
    /// Frames in all the blocks.
    pub frames: u32,
}

impl RingLayout {
    /// A receive ring of version 3 with this many blocks of 128 KiB: the least power of two that holds a frame of 64 KB
    /// with its headers whole. 64 blocks (8 MiB) are what arrives in 64 ms at a trickle (a block is closed after 1 ms), or
    /// 64 full-size GSO frames at worst.
    pub fn receive_blocks(blocks: u32) -> Self {
        let (block_size, frame_size) = (128 * 1024, 2048);
        Self { block_size, blocks, frame_size, frames: blocks * (block_size / frame_size) }
    }

    /// A ring of at least `frames` frames that hold packets of up to 64 KB: 15 frames of 68 KiB to a block of 1 MiB.
    pub fn large_frames(frames: u32) -> Self {
        Self::framed(1024 * 1024, 68 * 1024, frames)
    }

    /// A ring of at least `frames` frames for packets up to an MTU, without segmentation offload.
    pub fn mtu_frames(mtu: u32, frames: u32) -> Self {
        // Header, link-layer header, two VLAN tags, and what the kernel aligns.
        let frame_size = (mtu.min(MAX_FRAME) + 256).next_power_of_two().max(2048);
        Self::framed(frame_size.max(64 * 1024), frame_size, frames)
    }

    /// A transmit ring of at least `frames` frames for packets up to an MTU, but no more than a jumbo frame's: what is
    /// longer goes past the ring. Frames are an odd number of cache lines apart, so that the first lines of a vector's
    /// frames spread over all sets of the processor's caches.
    pub fn transmit(mtu: u32, frames: u32) -> Self {
        // Header, virtio-net header, link-layer header, two VLAN tags.
        let lines = (mtu.clamp(1500, JUMBO) + 48 + 10 + 14 + 8).div_ceil(LINE) | 1;
        Self::framed(64 * 1024, lines * LINE, frames)
    }

    /// Frames per block.
    pub fn frames_per_block(&self) -> u32 {
        self.block_size / self.frame_size.max(1)
    }

    /// Bytes of the whole ring.
    pub fn len(&self) -> usize {
        self.block_size as usize * self.blocks as usize
    }

    /// Whether the ring has no room at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a block starts, in bytes from the start of the ring.
    pub(super) fn block_offset(&self, block: u32) -> usize {
        block as usize * self.block_size as usize
    }

    /// Where a frame starts, in bytes from the start of the ring.
    pub(super) fn frame_offset(&self, frame: u32) -> usize {
        let per_block = self.frames_per_block().max(1);
        self.block_offset(frame / per_block) + (frame % per_block) as usize * self.frame_size as usize
    }

    /// What is wrong with the sizes, if anything is (the kernel checks the same and says only EINVAL).
    pub(super) fn flaw(&self, version: Version) -> Option<&'static str> {
        let frame_header = version.header_len() as u32 + 64;
        if self.blocks == 0 || self.frames == 0 {
            Some("a ring needs a block and a frame")
        } else if self.block_size < 4096 || !self.block_size.is_power_of_two() {
            Some("the block size of a ring must be a power of two of at least 4096")
        } else if self.frame_size <= frame_header || !self.frame_size.is_multiple_of(16) {
            Some("the frame size of a ring must be a multiple of 16 and hold more than the headers")
        } else if self.frames_per_block().checked_mul(self.blocks) != Some(self.frames) {
            Some("the frames of a ring must fill its blocks")
        } else {
            None
        }
    }

    fn framed(block_size: u32, frame_size: u32, frames: u32) -> Self {
        let per_block = block_size / frame_size;
        let blocks = frames.clamp(1, MAX_FRAMES).div_ceil(per_block);
        Self { block_size, blocks, frame_size, frames: blocks * per_block }
    }
}

const LINE: u32 = 64;
const JUMBO: u32 = 9216;
const MAX_FRAME: u32 = 65_536;
const MAX_FRAMES: u32 = 65_536;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_ones_are_sound_and_hold_a_large_frame() {
        for version in [Version::V2, Version::V3] {
            for layout in [
                RingLayout::receive_blocks(64),
                RingLayout::large_frames(256),
                RingLayout::mtu_frames(1500, 1024),
                RingLayout::transmit(1500, 1024),
            ] {
                assert_eq!(layout.flaw(version), None, "{layout:?}");
            }
        }
        assert_eq!(RingLayout::large_frames(256).frames, 270);
        assert!(RingLayout::large_frames(1).frame_size > 65_536 + 14 + 128);
    }

    proptest! {
        #[test]
        fn frames_stay_in_their_block(mtu in 0u32..100_000, frames in 0u32..3000) {
            let layout = RingLayout::mtu_frames(mtu, frames);
            prop_assert_eq!(layout.flaw(Version::V3), None);
            let last = layout.frame_offset(layout.frames - 1);
            prop_assert!(last + layout.frame_size as usize <= layout.len());
            prop_assert!(layout.frame_size >= mtu.min(MAX_FRAME) + 200);
        }

        #[test]
        fn transmit_rings_hold_what_most_devices_send(mtu in 0u32..100_000, frames in 0u32..3000) {
            let layout = RingLayout::transmit(mtu, frames);
            for version in [Version::V2, Version::V3] {
                prop_assert_eq!(layout.flaw(version), None);
                prop_assert!(layout.frame_size >= mtu.min(JUMBO) + 22 + 10 + version.header_len() as u32);
            }
            prop_assert!(layout.frames >= frames.max(1) && layout.frame_size / LINE % 2 == 1);
        }
    }
}
