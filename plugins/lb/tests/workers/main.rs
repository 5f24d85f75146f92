//! The load balancer on several packet threads that are kept busy, while it is configured.

mod bed;

mod changing;
mod counting;
mod listing;
mod scheduling;
mod stopping;
