//! Questions to workers that have long answers: a part in each pass, so that no packet waits for one of them.

use std::ops::Range;
use std::sync::Arc;

use vnet::Router;

use crate::handle::ServerHandle;
use crate::local::LbLocal;

/// Values that a worker gives in one pass.
const AT_ONCE: usize = 256;

/// What a worker has under the numbers below `len`; defaults where it has nothing. The memory for it comes from here.
pub(super) fn from_worker<T: Clone + Default + Send + 'static>(
    router: &mut Router,
    worker: usize,
    len: usize,
    value: impl Fn(&LbLocal, usize) -> Option<T> + Send + Clone + 'static,
) -> Vec<T> {
    let mut all = vec![T::default(); len];
    for from in (0..len).step_by(AT_ONCE) {
        let (value, part): (_, Range<usize>) = (value.clone(), from..len.min(from + AT_ONCE));
        all = router.ask(worker, move |worker| {
            if let Some(local) = worker.local::<LbLocal>() {
                for at in part {
                    all[at] = value(local, at).unwrap_or_default();
                }
            }
            all
        });
    }
    all
}

/// How many flows these servers have on all workers together.
pub(super) fn flows_of(router: &mut Router, servers: Vec<ServerHandle>) -> Vec<u64> {
    let servers: Arc<[ServerHandle]> = servers.into();
    let mut sums = vec![0; servers.len()];
    for worker in 0..router.workers() {
        let asked = servers.clone();
        let counts = from_worker(router, worker, servers.len(), move |local, at| Some(local.flows.flows(asked[at])));
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += u64::from(count));
    }
    sums
}
