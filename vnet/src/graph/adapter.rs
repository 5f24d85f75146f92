//! The loop around a [`PacketNode`]: what VPP copies into every node, once.

use super::frame::Frame;
use super::node::{Cx, NextNodes, PacketNode, Scope, Target};
use super::parts::Parts;
use super::{Dispatch, VECTOR};
use crate::ids::NodeId;

/// In `nexts`: the node keeps the packet.
const HOLD: NodeId = NodeId(u16::MAX);

/// A [`PacketNode`] and what running it needs.
pub(crate) struct PerPacket<N: PacketNode> {
    node: N,
    nexts: Box<[NodeId]>,
    shared_slot: usize,
    local_slot: usize,
    staged: Box<[N::Staged]>,
    goes: Box<[NodeId; VECTOR]>,
}

impl<N: PacketNode> PerPacket<N> {
    /// `nexts` are the numbers of `N::Next::NAMES`; the slots are those of `N::Shared` and `N::Local`.
    pub(crate) fn new(node: N, nexts: Box<[NodeId]>, shared_slot: usize, local_slot: usize) -> Self {
        let staged = vec![N::Staged::default(); VECTOR].into_boxed_slice();
        PerPacket { node, nexts, shared_slot, local_slot, staged, goes: Box::new([NodeId(0); VECTOR]) }
    }

    #[inline(always)]
    fn run<const TRACED: bool>(&mut self, parts: &mut Parts<'_>, locals: &mut super::Locals, frame: &mut Frame) {
        let (tables, memory) = (parts.tables, parts.memory);
        let shared = tables.extension_at::<N::Shared>(self.shared_slot);
        let local = locals.at::<N::Local>(self.local_slot);
        let count = frame.buffers.len().min(VECTOR);
        let stamp = if TRACED { parts.stamp() } else { trace::Stamp(0) };

        let buffers = &mut frame.buffers[..count];
        let staged = &mut self.staged[..count];
        if size_of::<N::Staged>() != 0 {
            let scope = Scope { tables, shared, local: &*local, now: parts.now };
            for (buffer, staged) in buffers.iter_mut().zip(staged.iter_mut()) {
                *staged = self.node.stage(&scope, &memory.packet(buffer));
            }
        }

        let goes = &mut self.goes[..count];
        for ((buffer, staged), goes) in buffers.iter_mut().zip(staged.iter()).zip(goes.iter_mut()) {
            let mut packet = memory.packet(buffer);
            let handle = if TRACED { packet.meta().trace } else { 0 };
            if TRACED && N::TRACE_ON_ENTRY && handle != 0 {
                let scope = Scope { tables, shared, local: &*local, now: parts.now };
                let record = self.node.trace(&scope, &packet, *staged);
                parts.trace.store.add(handle, stamp, &parts.stats.name, record);
            }
            let mut cx = Cx { tables, shared, local: &mut *local, parts: &mut *parts, nexts: &self.nexts };
            let target = self.node.finish(&mut cx, &mut packet, *staged).target();
            if TRACED && !N::TRACE_ON_ENTRY && handle != 0 {
                let scope = Scope { tables, shared, local: &*local, now: parts.now };
                let record = self.node.trace(&scope, &packet, *staged);
                parts.trace.store.add(handle, stamp, &parts.stats.name, record);
            }
            *goes = match target {
                Target::Static(slot) => self.nexts[usize::from(slot)],
                Target::To(node) => node,
                Target::Hold => HOLD,
            };
        }
        let mut cx = Cx { tables, shared, local: &mut *local, parts: &mut *parts, nexts: &self.nexts };
        self.node.end(&mut cx, count);

        // Compared after the loop: inside, the flag would tie each packet to the one before.
        let first = goes[0];
        if first != HOLD && goes.iter().fold(true, |same, next| same & (*next == first)) {
            parts.queues.push_all(first, frame);
            return;
        }
        let traced = frame.traced;
        for (buffer, &next) in frame.buffers.drain(..).zip(self.goes.iter()) {
            if next == HOLD {
                let held = parts.pool.hand_out(buffer);
                let mut cx = Cx { tables, shared, local: &mut *local, parts: &mut *parts, nexts: &self.nexts };
                self.node.held(&mut cx, held);
            } else {
                parts.queues.push(next, buffer, traced);
            }
        }
    }
}

impl<N: PacketNode> Dispatch for PerPacket<N> {
    fn dispatch(&mut self, parts: &mut Parts<'_>, frame: &mut Frame) {
        if frame.buffers.is_empty() {
            return;
        }
        // The worker's state is lent to the node beside the parts.
        let mut locals = std::mem::take(parts.locals);
        if frame.traced {
            self.run::<true>(parts, &mut locals, frame);
        } else {
            self.run::<false>(parts, &mut locals, frame);
        }
        *parts.locals = locals;
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        &mut self.node
    }
}
