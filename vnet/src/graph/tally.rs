//! What a node knows of all packets of a vector together.

use crate::mem::Offload;

/// What the packets of a vector come to. A node that has looked at each of them anyway tells it ([`Cx::tell`](super::Cx::tell)), and the
/// next one, if that is all it has to know, need not look at each again ([`Vector::tally`](super::Vector::tally)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Their bytes.
    pub bytes: u64,
    /// The work that is left to do for any of them.
    pub offload: Offload,
}

impl Tally {
    /// That of no packets.
    pub const NONE: Tally = Tally { bytes: 0, offload: Offload::empty() };

    /// One more, with so many bytes and this work left.
    #[inline(always)]
    pub fn add(&mut self, bytes: usize, offload: Offload) {
        self.bytes += bytes as u64;
        self.offload |= offload;
    }
}
