//! The loop around a [`PacketNode`]: what VPP copies into every node, once.

use super::frame::Frame;
use super::node::{Cx, NextNodes, PacketNode, Scope, Target};
use super::parts::Parts;
use super::sink::Vector;
use super::{Dispatch, Locals, TRACING, VECTOR};
use crate::ids::NodeId;
use crate::mem::{Buffer, Memory, Packet};

/// In `nexts`: the node keeps the packet.
const HOLD: NodeId = NodeId(u16::MAX);

/// Next nodes with a name that a node may have: a power of two, so that a number's lower bits are always in range.
const MAX_NEXTS: usize = 16;

/// `at_once` is called again as long as it settles this many packets on average: beginning a run costs something, too.
const RUN: usize = 4;

/// A [`PacketNode`] and what running it needs.
pub(crate) struct PerPacket<N: PacketNode> {
    node: N,
    nexts: [NodeId; MAX_NEXTS],
    shared_slot: usize,
    local_slot: usize,
    staged: Box<[N::Staged]>,
    goes: Box<[NodeId; VECTOR]>,
}

impl<N: PacketNode> PerPacket<N> {
    /// `names` are the numbers of `N::Next::NAMES`; the slots are those of `N::Shared` and `N::Local`.
    pub(crate) fn new(node: N, names: &[NodeId], shared_slot: usize, local_slot: usize) -> Self {
        const { assert!(N::Next::NAMES.len() <= MAX_NEXTS) }
        let mut nexts = [NodeId(0); MAX_NEXTS];
        nexts[..names.len()].copy_from_slice(names);
        let staged = vec![N::Staged::default(); VECTOR].into_boxed_slice();
        PerPacket { node, nexts, shared_slot, local_slot, staged, goes: Box::new([NodeId(0); VECTOR]) }
    }

    #[inline(always)]
    fn run<const TRACED: bool>(&mut self, parts: &mut Parts<'_>, locals: &mut Locals, frame: &mut Box<Frame>) {
        let (tables, memory) = (parts.tables, parts.memory);
        let shared = tables.extension_at::<N::Shared>(self.shared_slot);
        let local = locals.at::<N::Local>(self.local_slot);
        let count = frame.buffers.len().min(VECTOR);
        let known = frame.tally();
        frame.tally.0 = 0;
        let stamp = if TRACED { parts.stamp() } else { trace::Stamp(0) };

        let staged = &mut self.staged[..count];
        if size_of::<N::Staged>() != 0 {
            let scope = Scope { tables, shared, local: &*local, now: parts.now, worker: parts.worker };
            stage(&mut self.node, &scope, memory, (&mut frame.buffers[..count], staged));
        }

        let mut cx = Cx { tables, shared, local, parts: &mut *parts, nexts: &self.nexts };
        self.node.begin(&mut cx, staged);
        let buffers = &mut frame.buffers[..count];
        let goes = &mut self.goes[..count];
        let (mut at, mut worth) = (0, 0);
        while at < count {
            if !TRACED && at >= worth {
                let tally = if at == 0 { known } else { None };
                let mut vector = Vector { memory, buffers: &mut buffers[at..], tally };
                let (done, next) = self.node.at_once(&mut cx, &mut vector, &staged[at..]);
                let next = cx.number_of(next);
                let told = cx.parts.told.take();
                if done == count {
                    if let Some(told) = told {
                        frame.tally = (count, told);
                    }
                    self.node.end(&mut cx, count);
                    parts.queues.push_all(next, frame);
                    return;
                }
                goes[at..][..done].fill(next);
                at += done;
                worth += RUN;
                if at == count {
                    break;
                }
            }
            let (buffer, staged, goes) = (&mut buffers[at], &staged[at], &mut goes[at]);
            at += 1;
            let mut packet = memory.packet(buffer);
            let handle = if TRACED { packet.meta().trace } else { 0 };
            if TRACED && N::TRACE_ON_ENTRY && handle != 0 {
                remember(&self.node, &mut cx, &packet, *staged, (stamp, handle));
            }
            let target = self.node.finish(&mut cx, &mut packet, *staged).target();
            if TRACED && !N::TRACE_ON_ENTRY && handle != 0 {
                remember(&self.node, &mut cx, &packet, *staged, (stamp, handle));
            }
            *goes = match target {
                Target::Static(slot) => self.nexts[usize::from(slot) % MAX_NEXTS],
                Target::To(node) => node,
                Target::Hold => HOLD,
            };
        }
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
                let local = locals.at::<N::Local>(self.local_slot);
                let mut cx = Cx { tables, shared, local, parts: &mut *parts, nexts: &self.nexts };
                self.node.held(&mut cx, held);
            } else {
                parts.queues.push(next, buffer, traced);
            }
        }
    }
}

/// The first pass: a function of its own, so that its loop has the registers to itself.
#[inline(never)]
fn stage<N: PacketNode>(
    node: &mut N,
    scope: &Scope<'_, N::Shared, N::Local>,
    memory: &Memory,
    (buffers, staged): (&mut [Buffer], &mut [N::Staged]),
) {
    for (buffer, staged) in buffers.iter_mut().zip(staged) {
        *staged = node.stage(scope, &memory.packet(buffer));
    }
}

/// Adds a node's record to a packet's trace.
#[cold]
fn remember<N: PacketNode>(
    node: &N,
    cx: &mut Cx<'_, '_, N>,
    packet: &Packet<'_>,
    staged: N::Staged,
    (stamp, handle): (trace::Stamp, u32),
) {
    let Parts { now, worker, .. } = *cx.parts;
    let scope = Scope { tables: cx.tables, shared: cx.shared, local: &*cx.local, now, worker };
    let record = node.trace(&scope, packet, staged);
    cx.parts.trace.store.add(handle, stamp, &cx.parts.stats.name, record);
}

impl<N: PacketNode> Dispatch for PerPacket<N> {
    fn dispatch(&mut self, parts: &mut Parts<'_>, locals: &mut Locals, frame: &mut Box<Frame>) {
        if frame.buffers.is_empty() {
            return;
        }
        if TRACING && frame.traced {
            self.run::<true>(parts, locals, frame);
        } else {
            self.run::<false>(parts, locals, frame);
        }
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        &mut self.node
    }
}
