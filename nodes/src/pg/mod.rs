//! The packet generator: interfaces `pgN`, streams of made or recorded packets, and captures of what is sent.
//!
//! [`Pg`] is the control side, which commands call. A stream is described by a [`stream::StreamSpec`] or by VPP's text
//! ([`parse`]); the node `pg-input` of one worker sends it. What arrives at an interface `pgN` is discarded, after it
//! was written to a file if a capture is on.

mod capture;
mod commands;
mod control;
mod data;
pub mod fields;
mod input;
mod interface;
pub mod parse;
pub mod pcap;
pub mod show;
pub mod stream;
pub mod template;
mod trace;
mod words;

pub(crate) use commands::register as register_commands;
pub use control::{Pg, PgError, interface_number};
pub use words::SyntaxError;

/// Registers the node `pg-input` and the state [`Pg`].
pub fn register(builder: &mut vnet::Builder) {
    builder.node(input::node());
    builder.state(Pg::default());
}
