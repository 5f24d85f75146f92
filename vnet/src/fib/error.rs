//! Why a change was refused. Nothing has changed then.

use super::path::Source;

/// A change that was refused, in words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FibError {
    /// No route of that source for the prefix.
    #[error("no route to {prefix} from {origin}")]
    NoRoute {
        /// The prefix.
        prefix: String,
        /// The source that was named.
        origin: Source,
    },
    /// The route has no such path.
    #[error("the route to {0} has no such path")]
    NoPath(String),
    /// A set of paths has an end.
    #[error("the route to {0} has {MOST_PATHS} paths, more are not possible")]
    TooManyPaths(String),
    /// Another plugin has the prefix.
    #[error("{prefix} belongs to {owner}")]
    Exclusive {
        /// The prefix.
        prefix: String,
        /// The plugin that has it.
        owner: &'static str,
    },
    /// The caller named an interface that routing was not told of.
    #[error("unknown interface {0}")]
    UnknownInterface(crate::ids::IfIndex),
    /// The length is beyond the family's bits.
    #[error("Invalid prefix len: {0}")]
    PrefixLength(u8),
    /// Two interfaces, or one twice, cannot have the same or overlapping subnets.
    #[error("failed to add {new} on {on} which conflicts with {old} for interface {holder}")]
    AddressConflict {
        /// The address and length that were refused.
        new: String,
        /// For this interface.
        on: String,
        /// What is there.
        old: String,
        /// On this interface.
        holder: String,
    },
    /// The interface does not have the address.
    #[error("address {address} not found on {interface}")]
    NoAddress {
        /// The address and length.
        address: String,
        /// The interface's name.
        interface: String,
    },
    /// An address that no interface can have: unspecified, multicast, broadcast.
    #[error("{0} cannot be an address of an interface")]
    UnusableAddress(String),
    /// Interfaces make their link-local address of their MAC.
    #[error("{0} is link-local: an interface with IPv6 has the one that its MAC gives")]
    LinkLocal(String),
    /// The neighbour is not there.
    #[error("no neighbour {address} on {interface}")]
    NoNeighbour {
        /// Its address.
        address: String,
        /// The interface's name.
        interface: String,
    },
}

/// Paths of one route at most.
pub(super) const MOST_PATHS: usize = 256;
