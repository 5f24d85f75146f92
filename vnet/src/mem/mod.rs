//! The memory of packets: one mapping per packet thread, cut into buffers, and views of single packets.
//!
//! This is the one module of the engine with `unsafe` code. What it rests on is stated at [`pool::Memory`].
#![allow(unsafe_code)]

mod carry;
mod huge;
mod lend;
mod mapping;
mod meta;
mod packet;
mod pool;

pub(crate) use carry::CARRIED;
pub use huge::{HugeArray, LentArray};
pub(crate) use lend::lend_some;
pub use lend::{CHUNK, Lendable, Lending, Loan, Region, Returned};
pub use mapping::{NoPageSize, PageKind, PageSize};
pub use meta::{Meta, Offload};
pub use packet::{DATA_SIZE, HEADROOM, Packet, ROOM, STRIDE};
pub(crate) use pool::{Buffer, Memory};
pub use pool::{Pool, PoolStats};

/// Asks the processor to bring the cache line at `place` near; a hint without other effect.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    prefetch_raw(std::ptr::from_ref(place).cast());
}

#[inline(always)]
fn prefetch_raw(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch does not access memory in the sense of the abstract machine and may name any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
