//! The graph: nodes, the frames between them, and the loop that runs a node over a frame.

mod adapter;
mod frame;
mod input;
mod look;
mod macros;
mod node;
mod parts;
mod sink;
mod stats;
mod tally;

pub(crate) use adapter::PerPacket;
pub use frame::Held;
pub use frame::VECTOR;
pub(crate) use frame::{Frame, Queues};
pub(crate) use input::Input;
pub use input::{InputCx, InputNode, Poll};
pub use look::Look;
pub(crate) use look::LookedAt;
pub use node::{
    Cx, ErrorCodes, ErrorInfo, NextNodes, NoBuffers, NoErrors, PacketNode, Reason, Scope, Severity, Target,
};
pub use parts::{Locals, Notice, Now};
pub(crate) use parts::{Outbox, Parts, TraceState};
pub(crate) use sink::Sink;
pub use sink::{SinkCx, SinkNode, Vector};
pub use stats::NodeStats;
pub use tally::Tally;

/// Whether packets can be traced. They always can; what that costs while nothing is traced is the difference to a build
/// with `RUSTFLAGS='--cfg maglane_no_trace'`, which is for measuring only.
pub(crate) const TRACING: bool = !cfg!(maglane_no_trace);

/// What a worker calls to run a node; implemented by the three adapters.
pub(crate) trait Dispatch: Send {
    /// Runs the node over the frame and leaves it empty.
    fn dispatch(&mut self, parts: &mut Parts<'_>, locals: &mut Locals, frame: &mut Box<Frame>);
    /// Input nodes: brings packets into the graph.
    fn poll(&mut self, _: &mut Parts<'_>, _: &mut Locals) -> Poll {
        Poll::Idle
    }
    /// The node itself, for mail.
    fn as_any(&mut self) -> &mut dyn std::any::Any;
    /// The node below, where this only looks at its packets.
    fn take_looked_at(&mut self) -> Option<Box<dyn Dispatch>> {
        None
    }
}

/// The kinds of node, as `show node` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum NodeKind {
    /// Gets frames from other nodes.
    Internal,
    /// Brings packets in.
    Input,
}

impl std::fmt::Display for NodeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NodeKind::Internal => "internal",
            NodeKind::Input => "input",
        })
    }
}
