//! Which flows may be known to a worker that their unfragmented packets do not come to.

use std::sync::atomic::{AtomicU32, Ordering};

/// Flows that a worker has begun with a fragment, as all workers see them: by a few bits of their identity, so that others
/// may be taken for one of them. Whoever has a new flow that may be one asks around.
pub struct InPieces(Box<[AtomicU32]>);

/// Flows that are told apart.
const PLACES: usize = 1 << 14;

impl Default for InPieces {
    fn default() -> Self {
        InPieces((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }
}

impl InPieces {
    /// Notes that a flow may be known until then, in seconds of the clock of `now`.
    pub fn note(&self, identity: u64, until: u32) {
        // What workers have to know of each other's tables they are told with the packets that they hand over.
        self.place(identity).fetch_max(until, Ordering::Relaxed);
    }

    /// Whether a flow may be one of them.
    pub fn may_have(&self, identity: u64, now: u32) -> bool {
        self.place(identity).load(Ordering::Relaxed) > now
    }

    fn place(&self, identity: u64) -> &AtomicU32 {
        &self.0[identity as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_noted_until_the_last_of_them_may_be_gone() {
        let flows = InPieces::default();
        assert!(!flows.may_have(7, 0));
        flows.note(7, 50);
        flows.note(7 + PLACES as u64, 40);
        assert!(flows.may_have(7, 49) && !flows.may_have(7, 50) && !flows.may_have(8, 0));
    }
}
