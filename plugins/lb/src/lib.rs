//! The load balancer: a plugin that gives every flow to a virtual address a server, and remembers which.
//!
//! - [`maglev`]: which server a new flow goes to; [`slot_hash`]: the hash that decides it, the same on every machine.
//! - [`handle`]: how servers are referred to, so that a flow never reaches one that it was not given to.
//! - [`config`]: VIPs, servers and parameters, as they are configured.
//! - [`flow_table`]: a worker's memory of the flows it has seen.
#![forbid(unsafe_code)]

pub mod config;
pub mod flow_table;
pub mod handle;
pub mod maglev;
pub mod slot_hash;
