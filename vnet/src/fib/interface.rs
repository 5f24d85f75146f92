//! What routing is told about interfaces and about the nodes it sends packets to.

use std::sync::Arc;

use crate::ids::{IfIndex, NodeId};

/// How an interface finds its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub enum LinkKind {
    /// Link addresses have to be asked for.
    Ethernet,
    /// Ethernet headers with addresses of zeros, as Linux has on `lo`: nothing to ask for.
    Loopback,
    /// One neighbour, no link header: a tunnel.
    PointToPoint,
}

/// An interface, as routing needs to know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceFacts {
    /// Its number.
    pub index: IfIndex,
    /// Its name, for texts and errors.
    pub name: Arc<str>,
    /// The node that packets to it go to.
    pub output_node: NodeId,
    /// The longest IP packet it takes, in bytes.
    pub mtu: u32,
    /// Its link address; zeros on links that have none.
    pub mac: [u8; 6],
    /// How it finds its neighbours.
    pub link: LinkKind,
    /// Both told to be up and having a carrier. What leaves by an interface that is down is dropped.
    pub up: bool,
}

/// The nodes that forwarding entries name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FibNodes {
    /// No route, and routes that drop: `ip4-drop`.
    pub drop: NodeId,
    /// Own addresses: `ip4-receive`.
    pub receive: NodeId,
    /// Connected prefixes: `ip4-glean`.
    pub glean: NodeId,
    /// Incomplete neighbours: `ip4-arp`.
    pub arp: NodeId,
    /// Complete neighbours and tunnels: `ip4-rewrite`.
    pub rewrite: NodeId,
    /// Several next hops: `ip4-load-balance`.
    pub load_balance: NodeId,
}
