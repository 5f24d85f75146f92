//! Nodes that come and go while the router runs.

use std::any::TypeId;

use super::Router;
use crate::fib::FibNodes;
use crate::graph::{Dispatch, NoErrors, NodeKind, Sink, SinkCx, SinkNode, Vector};
use crate::ids::NodeId;
use crate::mem::Packet;
use crate::registry::{NodeInfo, NodeSpec, Registry};
use crate::tables::Tables;

impl Router {
    /// The nodes that forwarding entries of IPv4 and IPv6 name; those that nobody registered are `null-node`.
    pub(crate) fn fib_nodes(registry: &Registry) -> (FibNodes, FibNodes) {
        let find = |name| registry.find(name).unwrap_or_default();
        let ip4 = FibNodes {
            drop: find("ip4-drop"),
            receive: find("ip4-receive"),
            glean: find("ip4-glean"),
            arp: find("ip4-arp"),
            rewrite: find("ip4-rewrite"),
            load_balance: find("ip4-load-balance"),
        };
        let ip6 = FibNodes {
            drop: find("ip6-drop"),
            receive: find("ip6-receive"),
            glean: find("ip6-glean"),
            arp: find("ip6-discover-neighbor"),
            rewrite: find("ip6-rewrite"),
            load_balance: find("ip6-load-balance"),
        };
        (ip4, ip6)
    }

    /// Makes a worker's copy of a node.
    pub(crate) fn make_node(
        registry: &Registry,
        tables: &Tables,
        node: NodeId,
        worker: usize,
    ) -> Result<Box<dyn Dispatch>, String> {
        let info = &registry.nodes[node.index()];
        let shared = |id: TypeId| tables.extensions.iter().position(|(other, _)| *other == id);
        let local = |id: TypeId| registry.locals.iter().position(|other| *other == id);
        (info.make)(worker, registry.resolve(node)?, &shared, &local)
            .map_err(|what| format!("node `{}` needs {what}", info.name))
    }

    /// Adds a node to the running graph of every worker.
    ///
    /// # Errors
    /// In words: the name is taken, a next node does not exist, or state is missing.
    pub fn add_node(&mut self, spec: NodeSpec) -> Result<NodeId, String> {
        let node = self.registry.add(spec, self.threads.len())?;
        let input = self.registry.nodes[node.index()].kind == NodeKind::Input;
        for worker in 0..self.threads.len() {
            let made = Self::make_node(&self.registry, &self.tables, node, worker);
            let dispatch = made.inspect_err(|_| self.registry.delete(node))?;
            let stats = self.registry.nodes[node.index()].stats[worker].clone();
            self.ask(worker, move |worker| worker.install(node, dispatch, stats, input));
        }
        Ok(node)
    }

    /// Takes a node out of the graph. Packets that a worker still sends there are dropped. Take it out of all tables
    /// first.
    pub fn remove_node(&mut self, node: NodeId) {
        self.publish_and_settle();
        for worker in 0..self.threads.len() {
            let stats = self.registry.nodes[node.index()].stats[worker].clone();
            self.ask(worker, move |worker| worker.install(node, Box::new(Sink(Deleted)), stats, false));
        }
        self.registry.delete(node);
    }

    /// The number of a node.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.registry.find(name)
    }

    /// A node's description and counters.
    pub fn node_info(&self, node: NodeId) -> Option<&NodeInfo> {
        self.registry.nodes.get(node.index()).filter(|info| !info.deleted)
    }

    /// All nodes with their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeInfo)> {
        let numbered = self.registry.nodes.iter().enumerate().map(|(number, info)| (NodeId(number as u16), info));
        numbered.filter(|(_, info)| !info.deleted)
    }
}

/// Where a deleted node was.
struct Deleted;

impl SinkNode for Deleted {
    type Error = NoErrors;
    type Trace = ();
    fn consume(&mut self, _: &mut SinkCx<'_, '_, Self>, _: &mut Vector<'_>) {}
    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
}
