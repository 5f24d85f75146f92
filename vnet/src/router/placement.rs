//! Which worker serves which receive queue.

use super::Router;
use crate::ids::IfIndex;

/// The receive queues of all interfaces: for each interface that has some, the node that polls them, and the workers of its
/// queues 0, 1 and so on.
#[derive(Default)]
pub(super) struct Placement(std::collections::BTreeMap<IfIndex, (&'static str, Vec<usize>)>);

/// A receive queue and who serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedQueue {
    /// The interface.
    pub interface: IfIndex,
    /// The queue's number.
    pub number: usize,
    /// The input node that polls it.
    pub node: &'static str,
    /// The packet thread.
    pub worker: usize,
}

impl Placement {
    /// Each queue goes to the worker with the fewest, but those of one interface to different workers as long as there
    /// are some: that is what the queues are for.
    fn place(&mut self, interface: IfIndex, node: &'static str, queues: usize, workers: usize) -> Vec<usize> {
        self.0.remove(&interface);
        let mut load = vec![(0, 0); workers];
        for &worker in self.0.values().flat_map(|(_, workers)| workers) {
            load[worker].1 += 1;
        }
        let mut placed = Vec::with_capacity(queues);
        for _ in 0..queues {
            // The first of equals.
            let Some(worker) = (0..workers).min_by_key(|&worker| load[worker]) else { break };
            load[worker].0 += 1;
            load[worker].1 += 1;
            placed.push(worker);
        }
        self.0.insert(interface, (node, placed.clone()));
        placed
    }

    pub(super) fn remove(&mut self, interface: IfIndex) {
        self.0.remove(&interface);
    }
}

impl Router {
    /// Finds a worker for each of an interface's receive queues, which this input node polls, so that every worker has about
    /// as many. The places are free again when the interface is removed. As many as asked for are given.
    pub fn place_rx_queues(&mut self, interface: IfIndex, node: &'static str, queues: usize) -> Vec<usize> {
        let workers = self.workers().max(1);
        self.placement.place(interface, node, queues, workers)
    }

    /// All receive queues.
    pub fn rx_queues(&self) -> impl Iterator<Item = PlacedQueue> {
        self.placement.0.iter().flat_map(|(&interface, (node, workers))| {
            let queues = workers.iter().enumerate();
            queues.map(move |(number, &worker)| PlacedQueue { interface, number, node, worker })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_with_one_queue_each_are_spread_over_the_workers() {
        let mut placement = Placement::default();
        let one = |placement: &mut Placement, interface| placement.place(IfIndex(interface), "input", 1, 2)[0];
        assert_eq!([1, 2, 3].map(|interface| one(&mut placement, interface)), [0, 1, 0]);
        placement.remove(IfIndex(1));
        assert_eq!([4, 5].map(|interface| one(&mut placement, interface)), [0, 1], "its place is free again");
    }

    #[test]
    fn the_queues_of_one_interface_go_to_different_workers() {
        let mut placement = Placement::default();
        assert_eq!(placement.place(IfIndex(1), "input", 1, 3), [0]);
        assert_eq!(placement.place(IfIndex(2), "input", 2, 3), [1, 2]);
        assert_eq!(placement.place(IfIndex(3), "input", 4, 3), [0, 1, 2, 0]);
        assert_eq!(placement.place(IfIndex(4), "input", 2, 3), [1, 2]);
        assert_eq!(Placement::default().place(IfIndex(5), "input", 2, 1), [0, 0]);
    }
}
