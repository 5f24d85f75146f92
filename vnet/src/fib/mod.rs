//! IP forwarding: the routes on the control side ([`Rib`]), and the immutable value that workers read ([`Snapshot`]).
//!
//! A packet's way through a snapshot: [`Snapshot::lookup`] gives a [`ForwardIndex`](crate::ids::ForwardIndex),
//! [`Snapshot::forward`] what it stands for: the next node and that node's index (an adjacency, a set of buckets, a
//! plugin's own number). Leaves refer to shared entries instead of holding them, so that a neighbour that appears
//! behind a million routes changes one entry.
//!
//! On the control side a route's paths are interned; each set of paths owns one forwarding entry. An entry may depend
//! on others: a recursive next hop mirrors the entry of the route that covers it, a balanced set spreads over the
//! entries of its paths. A change walks these dependents and nothing else.

mod address;
mod address6;
mod adjacency;
mod attach;
mod balance;
mod counts;
mod error;
mod format;
mod forward;
mod interface;
mod paged;
mod path;
mod resolve;
mod rib;
mod slots;
mod snapshot;
mod trie4;
mod trie6;
mod view;

#[cfg(test)]
mod tests;

pub use address::{Address, ParsePrefixError, Prefix, PrefixTrie};
pub use adjacency::{Adjacency, AdjacencyKind, AdjacencyText};
pub use balance::LoadBalance;
pub use counts::Sent;
pub use error::FibError;
pub use forward::{Forward, ForwardKind};
pub use interface::{FibNodes, InterfaceFacts, LinkKind};
pub use path::{Path, Source, Target};
pub use rib::{Rib, Rib4, Rib6};
pub use snapshot::{Fib4Snapshot, Fib6Snapshot, Snapshot, TrackIndex};
pub use trie4::{Fib4, Trie4};
pub use trie6::{Fib6, Trie6};
pub use view::{AdjacencyRow, PathView, RouteView, SourceView, Summary};
