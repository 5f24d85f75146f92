//! Receiving frame by frame (version 2).
#![allow(unsafe_code)]

use super::facts::Header2;
use super::layout::RingLayout;
use super::map::RingMap;
use super::rx::Taken;

/// The place in the ring.
///
/// Invariant: if `held`, the frame at `frame` was seen with `TP_STATUS_USER` and not handed back since.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    frame: u32,
    held: bool,
}

impl Cursor {
    /// Hands the frame before back and takes the next.
    #[inline]
    pub(super) fn next(&mut self, map: &RingMap, layout: &RingLayout) -> Option<Taken> {
        if self.held {
            map.set_status(layout.frame_offset(self.frame), libc::TP_STATUS_KERNEL);
            self.held = false;
            self.frame += 1;
            if self.frame == layout.frames {
                self.frame = 0;
            }
        }
        let offset = layout.frame_offset(self.frame);
        let status = map.status(offset);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.held = true;
        // SAFETY: the status says that the frame is the program's.
        let header = unsafe { map.read::<Header2>(offset) }?;
        let end = offset + layout.frame_size as usize;
        Some(Taken { offset, end, status, len: header.len, snaplen: header.snaplen, mac: header.mac, block: None })
    }

    pub(super) fn position(&self) -> u32 {
        self.frame
    }
}
