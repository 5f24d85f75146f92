//! Rings of frames in memory shared with the kernel.
//!
//! The kernel and the program take turns at each block (receive, version 3) or frame (the rest); a status word says
//! whose turn it is. `map` touches the memory and states the invariant; the rings know whose turn it is.

mod facts;
mod layout;
mod map;
mod rx;
mod rx2;
mod rx3;
mod tx;

pub use facts::{BlockFacts, HeaderFacts, Version};
pub use layout::RingLayout;
pub use rx::{RxFrame, RxRing};
pub use rx3::BlockCounts;
pub use tx::{Kick, TxCounts, TxRing, TxSlot};
