//! A limit on how often something happens.

use std::time::Instant;

/// So many a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    left: f64,
    last: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(per_second: u32) -> Self {
        Bucket { per_second, left: f64::from(per_second), last: None }
    }

    /// True if one more may happen now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = self.last.map_or(0.0, |last| now.saturating_duration_since(last).as_secs_f64());
        self.last = Some(now);
        let most = f64::from(self.per_second);
        self.left = (self.left + passed * most).min(most);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}
