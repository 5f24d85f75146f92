//! The nodes that exist: names, numbers, and how to make one for a worker.

use std::any::TypeId;
use std::sync::Arc;

use ahash::AHashMap;

use crate::graph::{
    Dispatch, ErrorCodes, ErrorInfo, Input, InputNode, NextNodes, NodeKind, NodeStats, PacketNode, PerPacket, Sink,
    SinkNode,
};
use crate::ids::NodeId;

/// Makes a worker's copy of a node: given the worker's number, the numbers of the next nodes, and where shared and
/// local state stand.
type Make = Box<dyn Fn(usize, Box<[NodeId]>, Slot<'_>, Slot<'_>) -> Result<Box<dyn Dispatch>, String> + Send>;

/// Where the state of a type stands.
type Slot<'s> = &'s dyn Fn(TypeId) -> Option<usize>;

/// A node's description, before it has a number.
pub struct NodeSpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: NodeKind,
    pub(crate) nexts: &'static [&'static str],
    pub(crate) errors: &'static [ErrorInfo],
    pub(crate) make: Make,
}

impl NodeSpec {
    /// A node that takes packets one at a time; `make` is called with the number of each worker.
    pub fn packet<N: PacketNode>(name: impl Into<Arc<str>>, make: impl Fn(usize) -> N + Send + 'static) -> NodeSpec {
        NodeSpec {
            name: name.into(),
            kind: NodeKind::Internal,
            nexts: N::Next::NAMES,
            errors: N::Error::LIST,
            make: Box::new(move |worker, nexts, shared, local| {
                let shared = shared(TypeId::of::<N::Shared>()).ok_or_else(missing::<N::Shared>)?;
                let local = local(TypeId::of::<N::Local>()).ok_or_else(missing::<N::Local>)?;
                Ok(Box::new(PerPacket::new(make(worker), &nexts, shared, local)))
            }),
        }
    }

    /// A node that brings packets in.
    pub fn input<N: InputNode>(name: impl Into<Arc<str>>, make: impl Fn(usize) -> N + Send + 'static) -> NodeSpec {
        NodeSpec {
            name: name.into(),
            kind: NodeKind::Input,
            nexts: N::Next::NAMES,
            errors: N::Error::LIST,
            make: Box::new(move |worker, nexts, _, local| {
                let local = local(TypeId::of::<N::Local>()).ok_or_else(missing::<N::Local>)?;
                Ok(Box::new(Input::new(make(worker), nexts, local)))
            }),
        }
    }

    /// A node that ends the life of packets.
    pub fn sink<N: SinkNode>(name: impl Into<Arc<str>>, make: impl Fn(usize) -> N + Send + 'static) -> NodeSpec {
        NodeSpec {
            name: name.into(),
            kind: NodeKind::Internal,
            nexts: &[],
            errors: N::Error::LIST,
            make: Box::new(move |worker, _, _, _| Ok(Box::new(Sink(make(worker))))),
        }
    }
}

fn missing<T>() -> String {
    format!("state of type `{}` that nobody registered", std::any::type_name::<T>())
}

/// A node that exists.
pub struct NodeInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Input or internal.
    pub kind: NodeKind,
    /// The names of its next nodes.
    pub nexts: &'static [&'static str],
    /// Its errors.
    pub errors: &'static [ErrorInfo],
    /// Its counters in each worker.
    pub stats: Vec<Arc<NodeStats>>,
    pub(crate) make: Make,
    pub(crate) deleted: bool,
}

/// All nodes, by number.
pub(crate) struct Registry {
    /// Types of the state that each worker owns, by slot.
    pub(crate) locals: Vec<TypeId>,
    pub(crate) nodes: Vec<NodeInfo>,
    by_name: AHashMap<Arc<str>, NodeId>,
}

impl Registry {
    /// An empty graph whose workers own state of these types.
    pub(crate) fn new(locals: Vec<TypeId>) -> Registry {
        Registry { locals, nodes: Vec::new(), by_name: AHashMap::new() }
    }

    /// Gives the node a number; refuses a name that is taken.
    pub(crate) fn add(&mut self, spec: NodeSpec, workers: usize) -> Result<NodeId, String> {
        if self.by_name.contains_key(&spec.name) {
            return Err(format!("a node named `{}` exists already", spec.name));
        }
        let stats = (0..workers).map(|_| Arc::new(NodeStats::new(spec.name.clone(), spec.errors))).collect();
        let NodeSpec { name, kind, nexts, errors, make } = spec;
        let info = NodeInfo { name: name.clone(), kind, nexts, errors, stats, make, deleted: false };
        // The number of a deleted node is used again: the control thread frees it once no packet can be on its way.
        let number = match self.nodes.iter().position(|node| node.deleted) {
            Some(free) => {
                self.nodes[free] = info;
                free
            }
            None if self.nodes.len() < usize::from(u16::MAX) - 1 => {
                self.nodes.push(info);
                self.nodes.len() - 1
            }
            None => return Err("the graph has no room for another node".into()),
        };
        let id = NodeId(number as u16);
        self.by_name.insert(name, id);
        Ok(id)
    }

    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// The numbers of a node's next nodes.
    pub(crate) fn resolve(&self, node: NodeId) -> Result<Box<[NodeId]>, String> {
        let info = &self.nodes[node.index()];
        info.nexts
            .iter()
            .map(|next| {
                self.find(next)
                    .ok_or_else(|| format!("node `{}` names the next node `{next}`, which does not exist", info.name))
            })
            .collect()
    }

    /// Takes a node's name away and marks its number as free.
    pub(crate) fn delete(&mut self, node: NodeId) {
        let info = &mut self.nodes[node.index()];
        self.by_name.remove(&info.name);
        // What made its copies may hold a device.
        info.make = Box::new(|_, _, _, _| Err("to be there".into()));
        info.deleted = true;
    }
}
