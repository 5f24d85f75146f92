//! The load balancer: a plugin that gives every flow to a virtual address a server, and remembers which.
//!
//! What decides is plain data and functions, without packets and threads:
//!
//! - [`config`]: VIPs, servers and parameters, as they are configured.
//! - [`tables`]: what packets need of these, built from the configuration and immutable.
//! - [`maglev`]: which server a new flow goes to; [`slot_hash`]: the hash that decides it, the same on every machine.
//! - [`flow_table`]: a worker's memory of the flows it has seen.
//! - [`handle`]: how servers are referred to, so that a flow never reaches one that it was not given to.
//! - [`outer`]: the headers in front of an encapsulated packet.
//! - [`mod@format`]: reports and their texts.
#![forbid(unsafe_code)]

pub mod config;
pub mod flow_table;
pub mod format;
pub mod handle;
pub mod maglev;
pub mod outer;
pub mod slot_hash;
pub mod tables;
