//! Packets and bits per second that go to each server.
//!
//! Once a second the control thread takes a [`Sample`] of what the workers have counted, and keeps those of the last ten
//! seconds. Who asks for rates gets the difference between what is counted now and a sample of some seconds ago, so there is
//! an answer at once, and packets pay nothing for it. Where no server is configured, nobody is asked anything.

mod report;
mod sample;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cli::App;
use vnet::Router;

pub use report::{Destination, Rate, RateReport};
pub use sample::{Counted, Sample};

use crate::control::LbControl;

/// How often what was counted is noted.
const EVERY: Duration = Duration::from_secs(1);
/// The longest interval that rates can be asked for.
pub const LONGEST: u64 = 10;
/// Samples that are kept: one more than fall into the longest interval.
const KEPT: usize = LONGEST as usize + 2;
/// Servers in all samples together: with very many servers, fewer samples are kept.
const MOST: usize = 1 << 20;
/// A sample is old enough if this much is missing: timers are not exact.
const SLACK: Duration = Duration::from_millis(50);

pub(crate) fn register(app: &mut App) {
    app.builder.state(Rates::default()).on_start(|router| {
        note(router);
        router.every(EVERY, note);
    });
}

/// Takes a sample of what was counted, and keeps it.
fn note(router: &mut Router) {
    let sample = router.with_state(|lb: &mut LbControl, router| sample::take(lb, router));
    if let (Some(sample), Some(rates)) = (sample, router.state::<Rates>()) {
        rates.keep(sample);
    }
}

/// The samples of the last seconds, oldest first; state of the control thread.
#[derive(Default)]
pub struct Rates {
    samples: VecDeque<Sample>,
}

impl Rates {
    /// Keeps a sample, and lets go of those that nobody will ask for any more.
    pub fn keep(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        let servers = |samples: &VecDeque<Sample>| samples.iter().map(|sample| sample.servers.len()).sum::<usize>();
        while self.samples.len() > KEPT || (self.samples.len() > 2 && servers(&self.samples) > MOST) {
            self.samples.pop_front();
        }
    }

    /// The youngest sample that is at least so old, or else the oldest there is.
    pub fn before(&self, now: Instant, interval: Duration) -> Option<&Sample> {
        let old_enough = |sample: &&Sample| now.saturating_duration_since(sample.at) + SLACK >= interval;
        self.samples.iter().rev().find(old_enough).or(self.samples.front())
    }
}

/// The rates over about the last `interval`: to all servers, or to those of the VIP with this index.
pub fn rates(lb: &LbControl, router: &mut Router, interval: Duration, vip: Option<u32>) -> RateReport {
    let now = sample::take(lb, router);
    let overhead = |vip: u32| lb.config().vip(vip).map_or(0, |vip| u64::from(vip.options.encap.overhead()));
    let nothing = Sample { at: router.start_time(), servers: Vec::new() };
    let before = router.state::<Rates>().and_then(|rates| rates.before(now.at, interval));
    RateReport::new(before.unwrap_or(&nothing), &now, vip, overhead)
}
