//! Looking at the packets that come to a node, without a trace in the node itself: nothing is paid where nobody looks.

use super::frame::Frame;
use super::parts::{Locals, Parts};
use super::{Dispatch, Poll};
use crate::mem::Packet;

/// Sees every packet that comes to a node, before the node does. It may move the packet's start to look at what stands
/// in front, and must leave everything as it was.
pub type Look = Box<dyn FnMut(&mut Packet<'_>) + Send>;

/// A node somebody looks at. It stands where the node stood.
pub(crate) struct LookedAt {
    look: Look,
    /// `None` once the node has been taken out again.
    node: Option<Box<dyn Dispatch>>,
}

impl LookedAt {
    pub(crate) fn new(look: Look, node: Box<dyn Dispatch>) -> LookedAt {
        LookedAt { look, node: Some(node) }
    }
}

impl Dispatch for LookedAt {
    fn dispatch(&mut self, parts: &mut Parts<'_>, locals: &mut Locals, frame: &mut Box<Frame>) {
        for buffer in &mut frame.buffers {
            (self.look)(&mut parts.memory.packet(buffer));
        }
        if let Some(node) = &mut self.node {
            node.dispatch(parts, locals, frame);
        }
    }

    fn poll(&mut self, parts: &mut Parts<'_>, locals: &mut Locals) -> Poll {
        self.node.as_mut().map_or(Poll::Idle, |node| node.poll(parts, locals))
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        match &mut self.node {
            Some(node) => node.as_any(),
            None => &mut self.look,
        }
    }

    fn take_looked_at(&mut self) -> Option<Box<dyn Dispatch>> {
        self.node.take()
    }
}
