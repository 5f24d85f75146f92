//! Feature arcs: places in the graph where interfaces may have nodes put in between.

use std::sync::Arc;

use crate::ids::{IfIndex, NodeId};
use crate::mem::Packet;

/// A feature arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArcIndex(pub u8);

/// Between `ip4-input` and `ip4-lookup`, by the interface the packet came in by.
pub const IP4_UNICAST: ArcIndex = ArcIndex(0);
/// Between `NAME-output` and `NAME-tx`, by the interface the packet goes out by.
pub const INTERFACE_OUTPUT: ArcIndex = ArcIndex(1);
/// Between `ip6-input` and `ip6-lookup`, by the interface the packet came in by.
pub const IP6_UNICAST: ArcIndex = ArcIndex(2);

/// Positions in an arc fit into this many bits of a packet's metadata.
const POSITION_BITS: u16 = 12;

/// The features that each interface has in one arc.
#[derive(Clone, Debug, Default)]
pub struct ArcTable {
    chains: Vec<Option<Arc<[NodeId]>>>,
}

impl ArcTable {
    /// The features of an interface, in order.
    #[inline(always)]
    pub fn chain(&self, interface: IfIndex) -> &[NodeId] {
        match self.chains.get(interface.index()) {
            Some(Some(chain)) => chain,
            _ => &[],
        }
    }

    /// The way into the arc for packets of an interface; `None`: it has no features there.
    #[inline(always)]
    pub fn first(&self, arc: ArcIndex, interface: IfIndex) -> Option<ArcStart> {
        self.chain(interface).first().map(|&node| ArcStart { node, cursor: u16::from(arc.0) << POSITION_BITS })
    }

    /// The feature after the one at `cursor`, or `None` at the end.
    #[inline]
    pub fn after(&self, interface: IfIndex, cursor: u16) -> Option<(NodeId, u16)> {
        let position = usize::from(cursor & ((1 << POSITION_BITS) - 1)) + 1;
        self.chain(interface).get(position).map(|&node| (node, cursor + 1))
    }

    pub(crate) fn set(&mut self, interface: IfIndex, chain: Vec<NodeId>) {
        if self.chains.len() <= interface.index() {
            self.chains.resize(interface.index() + 1, None);
        }
        self.chains[interface.index()] = (!chain.is_empty()).then(|| chain.into());
    }
}

/// The way into an arc: the same for all packets of an interface, so a node may look it up once per vector.
#[derive(Clone, Copy, Debug)]
pub struct ArcStart {
    node: NodeId,
    cursor: u16,
}

impl ArcStart {
    /// For a node that has not looked yet.
    pub const NONE: ArcStart = ArcStart::none(NodeId(0));

    /// Where there are no features: straight on to `node`. The packet is then noted to be in no arc.
    #[inline(always)]
    pub const fn none(node: NodeId) -> ArcStart {
        ArcStart { node, cursor: 0 }
    }

    /// The node to send packets to.
    #[inline(always)]
    pub fn node(self) -> NodeId {
        self.node
    }

    /// Notes in the packet where it is, and gives the node to send it to.
    #[inline(always)]
    pub fn enter(self, packet: &mut Packet<'_>) -> NodeId {
        packet.meta_mut().feature = self.cursor;
        self.node
    }
}

/// The arc of a packet's cursor.
pub(crate) fn arc_of(cursor: u16) -> usize {
    usize::from(cursor >> POSITION_BITS)
}

/// Sorts the features of an arc so that each stands after what it names in `after` and before what it names in
/// `before`; otherwise in the order given.
///
/// # Errors
/// The names of features in a circle.
pub(crate) fn order(features: &[Feature]) -> Result<Vec<usize>, String> {
    let named = |name: &str| features.iter().position(|f| f.node == name);
    let mut earlier: Vec<Vec<usize>> = vec![Vec::new(); features.len()];
    for (at, feature) in features.iter().enumerate() {
        earlier[at].extend(feature.after.iter().filter_map(|name| named(name)));
        for later in feature.before.iter().filter_map(|name| named(name)) {
            earlier[later].push(at);
        }
    }
    let (mut done, mut order) = (vec![false; features.len()], Vec::new());
    while order.len() < features.len() {
        let Some(next) = (0..features.len()).find(|&at| !done[at] && earlier[at].iter().all(|&e| done[e])) else {
            let circle: Vec<_> = (0..features.len()).filter(|&at| !done[at]).map(|at| &*features[at].node).collect();
            return Err(circle.join(", "));
        };
        done[next] = true;
        order.push(next);
    }
    Ok(order)
}

/// A node that may be put into an arc.
#[derive(Clone, Debug)]
pub struct Feature {
    /// The node's name.
    pub node: String,
    /// Features that it must precede.
    pub before: Vec<String>,
    /// Features that it must follow.
    pub after: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(node: &str, after: &[&str], before: &[&str]) -> Feature {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Feature { node: node.into(), before: own(before), after: own(after) }
    }

    #[test]
    fn features_are_ordered_and_circles_named() {
        let features = [feature("a", &["b"], &[]), feature("b", &[], &[]), feature("c", &[], &["b"])];
        assert_eq!(order(&features).unwrap(), [2, 1, 0]);
        let circle = [feature("a", &["b"], &[]), feature("b", &["a"], &[]), feature("c", &[], &[])];
        assert_eq!(order(&circle).unwrap_err(), "a, b");
    }

    #[test]
    fn a_packet_walks_the_chain() {
        let mut table = ArcTable::default();
        table.set(IfIndex(2), vec![NodeId(7), NodeId(8)]);
        let ArcStart { node, cursor } = table.first(INTERFACE_OUTPUT, IfIndex(2)).unwrap();
        assert_eq!((node, arc_of(cursor)), (NodeId(7), 1));
        let (node, cursor) = table.after(IfIndex(2), cursor).unwrap();
        assert_eq!(node, NodeId(8));
        assert!(table.after(IfIndex(2), cursor).is_none());
        assert!(table.first(IP4_UNICAST, IfIndex(9)).is_none());
    }
}
