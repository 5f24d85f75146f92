//! What follows from a change.

use std::net::IpAddr;

use super::prefix::IpPrefix;
use super::vip::RouteTarget;
use crate::flow_table::Timeouts;

/// What has to be done outside of the configuration for a change to take effect, in this order, before the tables that
/// are built from it are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "routes, tracked addresses and flow tables follow from it"]
pub struct Change {
    /// The steps, perhaps none: weights, for instance, are in the tables alone.
    pub steps: Vec<Step>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Lead packets for a prefix to the load balancer.
    AddRoute {
        /// The prefix of one or more VIPs.
        prefix: IpPrefix,
        /// What the route carries.
        target: RouteTarget,
    },
    /// Lead them there no longer.
    DelRoute {
        /// The prefix, which no VIP has any more.
        prefix: IpPrefix,
        /// What the route carried.
        target: RouteTarget,
    },
    /// Follow the way to a server.
    Track {
        /// The server's slot.
        server: u32,
        /// Its address.
        address: IpAddr,
    },
    /// Follow it no longer.
    Untrack {
        /// The slot, which is free now.
        server: u32,
        /// The address of the server that it was.
        address: IpAddr,
    },
    /// Flow tables of this size.
    Buckets(u32),
    /// Flow tables with these timeouts.
    Timeouts(Timeouts),
}

impl Change {
    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }
}
