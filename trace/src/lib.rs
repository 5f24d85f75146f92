//! Per-packet traces: what each node recorded about a packet, printable as text in VPP's layout or as JSON.
//!
//! This crate depends on nothing else of Maglane. A node hands over an owned [`Record`]; the [`Store`] keeps records
//! per packet up to a bound and prints them later, when the tables the packet met may be long gone.
#![forbid(unsafe_code)]

mod store;
mod text;

pub use store::{Entry, Filter, PacketTrace, Stamp, Store};
pub use text::{Record, Text};
