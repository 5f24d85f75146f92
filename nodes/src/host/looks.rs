//! When an input node looks at what a system call tells of a queue's socket.

/// Nanoseconds between two looks at a socket where there are no frames (a look is a system call or two), and ...
const LOOK: u64 = 1_000_000;
/// ... while there are some.
const BUSY_LOOK: u64 = 100_000_000;
/// When to try again what the kernel had no room for, or what is on its way.
pub(crate) const RETRY: u64 = 2_000_000;

/// The looks at one queue.
#[derive(Default)]
pub(crate) struct Looks {
    next: u64,
}

impl Looks {
    /// Whether it is time for one, where there were so many frames just now: in this queue, or, if a look can wait for the others, in
    /// all of the worker's.
    pub(crate) fn is_due(&mut self, now: u64, frames: usize) -> bool {
        let pause = if frames == 0 { 0 } else { BUSY_LOOK };
        let due = now >= self.next + pause;
        if due {
            self.next = now + LOOK;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_queue_is_looked_at_less_often() {
        let mut looks = Looks::default();
        assert!(looks.is_due(0, 0) && !looks.is_due(LOOK - 1, 0) && looks.is_due(LOOK, 0));
        assert!(!looks.is_due(2 * LOOK + BUSY_LOOK - 1, 5) && looks.is_due(2 * LOOK + BUSY_LOOK, 5));
    }
}
