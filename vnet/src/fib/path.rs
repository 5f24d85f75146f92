//! Where a route's packets may go, and who says so.

use std::fmt;

use super::address::{Address, Prefix};
use crate::ids::{IfIndex, NodeId};

/// Who a route is from. Where several have one for the same prefix, the first in this order is used, the others wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Source {
    /// A plugin, by name; its prefixes are exclusive. It comes before interfaces: a virtual address that is also an
    /// address of ours is the plugin's.
    Plugin(&'static str),
    /// An address of an interface: the connected prefix, the address itself.
    Interface,
    /// A program.
    Api,
    /// An operator.
    Cli,
    /// A neighbour that is known.
    Adjacency,
    /// What is dropped until a route says otherwise.
    DefaultRoute,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Interface => "interface",
            Source::Plugin(name) => name,
            Source::Api => "API",
            Source::Cli => "CLI",
            Source::Adjacency => "adjacency",
            Source::DefaultRoute => "default-route",
        })
    }
}

/// Where one path leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Target<A> {
    /// To a neighbour on an interface.
    NextHop {
        /// The neighbour.
        address: A,
        /// Its interface.
        interface: IfIndex,
    },
    /// To an address, the way the route that covers it leads (a recursive route).
    Recursive(A),
    /// To hosts on an interface: each destination is its own next hop.
    Attached(IfIndex),
    /// As `Attached`, made by an address of the interface.
    Connected {
        /// The interface.
        interface: IfIndex,
        /// Our address.
        source: A,
        /// Bits of the connected prefix.
        len: u8,
    },
    /// To ourselves.
    Local(IfIndex),
    /// Nowhere.
    Drop,
    /// To a node of a plugin, with the plugin's index.
    Plugin {
        /// The node.
        node: NodeId,
        /// What the node looks up with.
        index: u32,
    },
}

impl<A: Address> Target<A> {
    /// The interface that the path names.
    pub fn interface(self) -> Option<IfIndex> {
        match self {
            Target::NextHop { interface, .. }
            | Target::Attached(interface)
            | Target::Connected { interface, .. }
            | Target::Local(interface) => Some(interface),
            Target::Recursive(_) | Target::Drop | Target::Plugin { .. } => None,
        }
    }

    /// The connected prefix that the path is for.
    pub(super) fn connected(self) -> Option<(IfIndex, Prefix<A>)> {
        match self {
            Target::Connected { interface, source, len } => Some((interface, Prefix::new(source, len)?)),
            _ => None,
        }
    }
}

/// One way for a route's packets. Several paths of the same preference share the flows by their weights.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct Path<A> {
    /// Where it leads.
    pub target: Target<A>,
    /// Its share; 0 counts as 1.
    pub weight: u32,
    /// The paths of the lowest preference that can be used are used; 0 unless told.
    pub preference: u8,
}

impl<A: Address> Path<A> {
    /// A path of weight 1 and preference 0.
    pub fn new(target: Target<A>) -> Self {
        Path { target, weight: 1, preference: 0 }
    }

    /// Via a next hop, on an interface or as the route to it leads.
    pub fn via(address: A, interface: Option<IfIndex>) -> Self {
        Path::new(interface.map_or(Target::Recursive(address), |interface| Target::NextHop { address, interface }))
    }
}
