//! The engine of Maglane: packets in vectors through a graph of nodes, steered by a forwarding table.
//!
//! - [`mem`]: buffers and [`Packet`], the view that node code gets.
//! - [`wire`]: headers, checksums, and how headers print.
//! - [`graph`]: what a node is ([`PacketNode`], [`InputNode`], [`SinkNode`]) and the loops around it.
//! - [`fib`], [`neighbor`]: routes and neighbours.
//! - [`tables`]: everything that is configured, as one immutable value that workers read.
//! - [`Builder`]: what crates register with; [`Router`]: the running whole.
//!
//! The engine names no plugin. There is no global state: a program may run several routers.
#![deny(unsafe_code)]

pub mod arcs;
pub mod builder;
pub mod chunked;
pub mod counters;
pub mod fib;
pub mod graph;
pub mod handoff;
mod ids;
pub mod interface;
pub mod mem;
mod nap;
pub mod neighbor;
pub mod path_mtu;
mod patience;
mod registry;
pub mod router;
pub mod simd;
pub mod tables;
pub mod wire;
mod worker;

pub use builder::{BuildError, Builder, Config};
pub use graph::{
    Cx, ErrorCodes, ErrorInfo, Held, InputCx, InputNode, Look, NextNodes, NoBuffers, NoErrors, NodeKind, Notice, Now,
    PacketNode, Poll, Reason, Scope, Severity, SinkCx, SinkNode, Tally, Target, VECTOR, Vector,
};
pub use ids::{AdjIndex, ForwardIndex, IfIndex, NodeId};
pub use mem::{Meta, Offload, Packet};
pub use registry::{NodeInfo, NodeSpec};
pub use router::Router;
pub use tables::Tables;
pub use worker::{LoopStats, Worker};
