//! What becomes of a packet after its look-up.

use crate::ids::{AdjIndex, NodeId};

/// What a forwarding entry is; tells what [`Forward::index`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[repr(u8)]
pub enum ForwardKind {
    /// There is no route, or none that can be used now. The index is 0.
    Drop,
    /// A route says to drop. The index is 0.
    DropRoute,
    /// One of our own addresses. The index is the interface's (`IfIndex`).
    Local,
    /// A connected prefix, the host not yet asked for. The index is a glean adjacency's.
    Glean,
    /// A next hop whose link address is not known. The index is an incomplete adjacency's.
    Arp,
    /// A next hop that is ready. The index is a complete adjacency's.
    Rewrite,
    /// Several next hops. The index is that of a [`LoadBalance`](super::LoadBalance).
    LoadBalance,
    /// A plugin's prefix. Node and index are the plugin's.
    Plugin,
}

/// What a look-up puts into a packet: the node that goes on with it, and that node's index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
pub struct Forward {
    /// What the next node looks up with; see [`ForwardKind`].
    pub index: u32,
    /// The node that goes on.
    pub node: NodeId,
    /// What this is.
    pub kind: ForwardKind,
}

const _: () = assert!(size_of::<Forward>() == 8);

impl Forward {
    /// No route.
    pub const fn drop(node: NodeId) -> Self {
        Forward { index: 0, node, kind: ForwardKind::Drop }
    }

    /// True if the packet goes nowhere, be it for want of a route or by a route's word.
    #[inline]
    pub fn is_drop(self) -> bool {
        matches!(self.kind, ForwardKind::Drop | ForwardKind::DropRoute)
    }

    /// The adjacency, if the next node works with one.
    #[inline]
    pub fn adjacency(self) -> Option<AdjIndex> {
        matches!(self.kind, ForwardKind::Glean | ForwardKind::Arp | ForwardKind::Rewrite)
            .then_some(AdjIndex(self.index))
    }
}
