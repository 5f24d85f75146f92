//! How a server is referred to: by slot and generation.

use std::fmt;

/// A server as flow tables remember it: 18 bits of slot, 14 of generation.
///
/// A slot is an index into the tables of servers; 0 is none. Its generation goes up when the server's flows are to be
/// forgotten, and when the slot is given to another server, so that a flow never reaches a server that it was not
/// given to. Generations come round after 16,384 flushes of one server; an idle flow that survives so many within its
/// timeout would be found again, and would go where it went before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, zerocopy::FromZeros)]
#[repr(transparent)]
pub struct ServerHandle(u32);

impl ServerHandle {
    /// No server.
    pub const NONE: Self = Self(0);
    const SLOT_BITS: u32 = 18;
    /// The highest slot.
    pub const MAX_SLOT: u32 = (1 << Self::SLOT_BITS) - 1;

    /// The first generation of a slot.
    pub const fn first(slot: u32) -> Self {
        debug_assert!(slot <= Self::MAX_SLOT);
        Self(slot & Self::MAX_SLOT)
    }

    /// The slot.
    #[inline(always)]
    pub fn slot(self) -> usize {
        (self.0 & Self::MAX_SLOT) as usize
    }

    /// A number whose lowest bits are the slot: for arrays that are asked for an index modulo their length, of as many places as there are
    /// slots, or fewer.
    #[inline(always)]
    pub fn place(self) -> usize {
        self.0 as usize
    }

    /// The generation.
    pub fn generation(self) -> u32 {
        self.0 >> Self::SLOT_BITS
    }

    /// Slot and generation in one word.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// What [`bits`](Self::bits) gave.
    #[inline(always)]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The same slot, one generation on.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1 << Self::SLOT_BITS))
    }

    /// Whether this names no server.
    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.slot() == 0
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}.{}", self.slot(), self.generation())
    }
}

/// The present handle of every slot: a flow whose handle is another has lost its server.
#[derive(Clone, Copy)]
pub struct Live<'a>(&'a [ServerHandle]);

impl<'a> Live<'a> {
    /// Present handles, indexed by slot; slot 0 stands for none.
    #[inline(always)]
    pub fn new(handles: &'a [ServerHandle]) -> Self {
        Self(handles)
    }

    /// Whether `handle` is its slot's present one.
    #[inline(always)]
    pub fn holds(self, handle: ServerHandle) -> bool {
        self.0.get(handle.slot()) == Some(&handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_come_round_and_leave_the_slot_alone() {
        let first = ServerHandle::first(ServerHandle::MAX_SLOT);
        let mut handle = first;
        for generation in 1..1 << 14 {
            handle = handle.next();
            assert_eq!((handle.slot(), handle.generation()), (first.slot(), generation));
        }
        assert_eq!(handle.next(), first);
    }

    #[test]
    fn only_the_present_handle_is_live() {
        let old = ServerHandle::first(1);
        let handles = [ServerHandle::NONE, old.next()];
        let live = Live::new(&handles);
        assert!(live.holds(old.next()) && !live.holds(old) && !live.holds(ServerHandle::first(2)));
        assert!(ServerHandle::NONE.is_none() && !old.is_none());
    }
}
