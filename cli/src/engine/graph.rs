//! `show node`, `show vlib graph`: the nodes, and where each sends packets.

use std::fmt;

use serde::Serialize;
use vnet::arcs::{INTERFACE_OUTPUT, IP4_UNICAST};
use vnet::{NodeId, Router};

use crate::app::App;
use crate::args::Args;
use crate::columns::{centred, left};
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show node", "show node <node-name>", show_node).command(
        "show vlib graph",
        "show vlib graph [<node-name>]",
        show_graph,
    );
}

/// All ways from node to node: those that a node names itself, and those that tables name.
struct Ways(Vec<(NodeId, NodeId)>);

/// Nodes that send packets where the forwarding table says.
const FORWARDING: [&str; 2] = ["ip4-lookup", "ip4-load-balance"];
/// Where it may say.
const FORWARDED: [&str; 5] = ["ip4-arp", "ip4-glean", "ip4-rewrite", "ip4-receive", "ip4-load-balance"];
/// Nodes that send packets to interfaces.
const SENDING: [&str; 2] = ["ip4-rewrite", "arp-reply"];

impl Ways {
    fn new(router: &Router) -> Ways {
        let mut ways = Ways(Vec::new());
        for (node, info) in router.nodes() {
            info.nexts.iter().filter_map(|name| router.node(name)).for_each(|next| ways.add(node, next));
        }
        let named = |names: &[&str]| -> Vec<NodeId> { names.iter().filter_map(|name| router.node(name)).collect() };
        let plugins: Vec<_> = router.nodes().map(|(node, _)| node).filter(|node| router.describes(*node)).collect();
        let forwarded = named(&FORWARDED);
        for from in named(&FORWARDING) {
            forwarded.iter().chain(&plugins).filter(|to| **to != from).for_each(|to| ways.add(from, *to));
        }
        // A plugin that takes part in forwarding hands over to it again.
        for to in named(&["ip4-rewrite", "ip4-load-balance"]) {
            plugins.iter().for_each(|from| ways.add(*from, to));
        }
        let tables = router.tables();
        for index in router.records().map(vnet::router::InterfaceRecord::index) {
            let interface = tables.interface(index);
            named(&SENDING).into_iter().for_each(|from| ways.add(from, interface.output));
            ways.chain(interface.output, tables.arc(INTERFACE_OUTPUT).chain(index), Some(interface.tx));
            if let Some(input) = router.node("ip4-input") {
                ways.chain(input, tables.arc(IP4_UNICAST).chain(index), router.node("ip4-lookup"));
            }
        }
        ways
    }

    fn add(&mut self, from: NodeId, to: NodeId) {
        if !self.0.contains(&(from, to)) {
            self.0.push((from, to));
        }
    }

    /// An interface's features of an arc, from where the arc begins to where it ends.
    fn chain(&mut self, mut from: NodeId, features: &[NodeId], end: Option<NodeId>) {
        for &to in features.iter().chain(&end) {
            self.add(from, to);
            from = to;
        }
    }
}

/// One node.
#[derive(Serialize)]
struct Node {
    name: String,
    kind: vnet::NodeKind,
    index: u16,
    nexts: Vec<(usize, u16, String)>,
    previous: Vec<(String, u16)>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node {}, type {}, state active, index {}", self.name, self.kind, self.index)?;
        writeln!(f, "  node function variants:\n    default only")?;
        if !self.nexts.is_empty() {
            writeln!(f, "\n  next nodes:")?;
            writeln!(f, "    next-index  node-index  {}", centred("Node", 30))?;
            for (slot, index, name) in &self.nexts {
                writeln!(f, "    {}  {}  {}", centred(slot, 10), centred(index, 10), centred(name, 30))?;
            }
        }
        if !self.previous.is_empty() {
            writeln!(f, "\n  known previous nodes:")?;
            for row in self.previous.chunks(3) {
                let names = row.iter().map(|(name, index)| left(format!("{name} ({index})"), 35)).collect::<String>();
                writeln!(f, "    {names}")?;
            }
        }
        Ok(())
    }
}

fn describe(router: &Router, ways: &Ways, node: NodeId) -> Option<Node> {
    let info = router.node_info(node)?;
    let name = |id: NodeId| Some((id.0, router.node_info(id)?.name.to_string()));
    let nexts = ways.0.iter().filter(|(from, _)| *from == node).filter_map(|(_, to)| name(*to));
    let previous = ways.0.iter().filter(|(_, to)| *to == node).filter_map(|(from, _)| name(*from));
    Some(Node {
        name: info.name.to_string(),
        kind: info.kind,
        index: node.0,
        nexts: nexts.enumerate().map(|(slot, (index, name))| (slot, index, name)).collect(),
        previous: previous.map(|(index, name)| (name, index)).collect(),
    })
}

fn show_node(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let node = args.node(router)?;
    args.end()?;
    describe(router, &Ways::new(router), node).map(Reply::new).ok_or_else(|| CliError::at("the node is gone"))
}

/// The graph: each node with its next and previous nodes.
#[derive(Serialize)]
struct Graph(Vec<Node>);

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}{}", centred("Name", 26), centred("Next", 34), centred("Previous", 34))?;
        for node in &self.0 {
            let rows = node.nexts.len().max(node.previous.len()).max(1);
            for row in 0..rows {
                let name = if row == 0 { node.name.as_str() } else { "" };
                let next = node.nexts.get(row).map(|(slot, _, name)| format!("{name} [{slot}]")).unwrap_or_default();
                let previous = node.previous.get(row).map(|(name, _)| name.as_str()).unwrap_or_default();
                let line = format!("{}{:>34}{:>34}", left(name, 26), next, previous);
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

fn show_graph(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let only = if args.is_empty() { None } else { Some(args.node(router)?) };
    args.end()?;
    let wanted = router.nodes().map(|(id, _)| id).filter(|id| only.is_none_or(|only| only == *id));
    let ways = Ways::new(router);
    let mut nodes: Vec<_> = wanted.filter_map(|id| describe(router, &ways, id)).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Reply::new(Graph(nodes)))
}
