//! How long a worker that finds no packets looks around before it sleeps.

/// Nanoseconds without packets before a worker sleeps, at least, and ...
const LEAST: u64 = 5_000;
/// ... at most. Far below the millisecond after which an idle worker is to sleep.
const MOST: u64 = 50_000;

/// Falling asleep and waking up cost the worker some microseconds, and whoever wakes it as many. That is well spent where
/// no packet comes for longer. So patience grows where packets woke the worker soon after it had fallen asleep, as under
/// load, and shrinks where they did not.
#[derive(Debug)]
pub(crate) struct Patience {
    nanos: u64,
    /// When the first pass without a packet began.
    since: Option<u64>,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { nanos: LEAST, since: None }
    }

    /// There was something to do.
    #[inline(always)]
    pub(crate) fn begin_anew(&mut self) {
        self.since = None;
    }

    /// A pass that began at this time found nothing: whether the worker has looked around for long enough.
    #[inline(always)]
    pub(crate) fn is_over(&mut self, now: u64) -> bool {
        now - *self.since.get_or_insert(now) >= self.nanos
    }

    /// The worker has slept for so long, until packets came or something else woke it.
    pub(crate) fn slept(&mut self, nanos: u64, packets: bool) {
        let soon = packets && nanos < MOST;
        self.nanos = if soon { self.nanos * 2 } else { self.nanos / 2 }.clamp(LEAST, MOST);
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_a_while_after_the_last_packet() {
        let mut patience = Patience::new();
        assert!(!patience.is_over(1_000) && !patience.is_over(LEAST + 999) && patience.is_over(LEAST + 1_000));
        patience.begin_anew();
        assert!(!patience.is_over(LEAST + 2_000));
    }

    #[test]
    fn it_grows_where_sleep_is_short_and_shrinks_where_it_is_not() {
        let mut patience = Patience::new();
        (0..100).for_each(|_| patience.slept(MOST - 1, true));
        assert_eq!(patience.nanos, MOST);
        patience.slept(1_000, false);
        assert_eq!(patience.nanos, MOST / 2, "mail says nothing about packets");
        (0..100).for_each(|_| patience.slept(1_000_000, true));
        assert_eq!(patience.nanos, LEAST);
    }
}
