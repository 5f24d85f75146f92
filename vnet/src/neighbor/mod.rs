//! Neighbours: which link address an IP address has on an interface, where that is known from, and for how long.
//!
//! [`Neighbors`] is the control side's table and the only one that decides; it tells the [`Rib`](crate::fib::Rib),
//! which completes adjacencies. Nodes report what they saw ([`Learn`]) and what they miss ([`Neighbors::want`]).

mod bucket;
mod entry;
mod format;
mod learn;
mod table;

#[cfg(test)]
mod tests;

pub use entry::{Flags, State};
pub use format::{NeighborRow, NeighborRows};
pub use learn::{How, Learn, Learned, Refusal};
pub use table::{Action, Limits, NeighborError, Neighbors, Neighbors4, Neighbors6, Ticked};
