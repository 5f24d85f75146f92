//! `handoff-input`: takes out of the rings what other workers put in.
//!
//! Sets: all that the packet had over there, but for its trace, which begins anew. Next: the node that the sender named.

use trace::{Record, Text};

use super::{HEAD, Reader};
use crate::graph::{Dispatch, ErrorCodes, Frame, Locals, NodeKind, Parts, Poll, VECTOR};
use crate::ids::{IfIndex, NodeId};
use crate::registry::NodeSpec;

crate::node_errors! {
    /// What `handoff-input` counts.
    enum ArrivalError {
        /// The packet is lost.
        NoBuffers => error "no buffer free",
    }
}

/// A worker's copy of the node.
pub(super) struct Arrivals {
    from: Vec<(usize, Reader)>,
    /// Who is first the next time.
    first: usize,
}

pub(super) fn spec(make: impl Fn(usize) -> Arrivals + Send + 'static) -> NodeSpec {
    NodeSpec {
        name: "handoff-input".into(),
        kind: NodeKind::Input,
        nexts: &[],
        errors: ArrivalError::LIST,
        make: Box::new(move |worker, _, _, _| Ok(Box::new(make(worker)))),
    }
}

impl Arrivals {
    pub(super) fn new(from: Vec<(usize, Reader)>) -> Arrivals {
        Arrivals { from, first: 0 }
    }
}

impl Dispatch for Arrivals {
    fn dispatch(&mut self, parts: &mut Parts<'_>, _: &mut Locals, frame: &mut Box<Frame>) {
        // As with every input node.
        parts.pool.free_all(&mut frame.buffers);
    }

    fn poll(&mut self, parts: &mut Parts<'_>, _: &mut Locals) -> Poll {
        let (mut packets, mut again) = (0, false);
        let (before, after) = self.from.split_at_mut(self.first);
        for (from, reader) in after.iter_mut().chain(before) {
            while packets < VECTOR {
                let Some(head) = reader.peek::<HEAD>() else { break };
                // Our tables must not be older than the sender's: then they have what it found there. The next pass has them.
                if head[0] > parts.tables.version {
                    again = true;
                    break;
                }
                arrive(parts, *from, reader, &head);
                packets += 1;
            }
            reader.give_back();
        }
        self.first = (self.first + 1) % self.from.len().max(1);
        if packets > 0 || again { Poll::Busy(packets) } else { Poll::Idle }
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

fn arrive(parts: &mut Parts<'_>, from: usize, reader: &mut Reader, head: &[u64; HEAD]) {
    let [_, place, words @ ..] = head;
    let (trace, node) = ((place >> 32) as u32, NodeId(*place as u16));
    let made = reader.take::<HEAD, _>(|len, bytes| parts.pool.put(words, len, |out| bytes.read(out)));
    let Some(mut buffer) = made else {
        parts.stats.errors[usize::from(ArrivalError::NoBuffers.code())].add(1);
        parts.interface(IfIndex(words[2] as u32)).no_buffers.add(1);
        return;
    };
    let traced = trace != 0 || parts.trace.wanted[parts.node.index()] > 0;
    let handle = if traced { begin_trace(parts, from, trace) } else { 0 };
    parts.memory.packet(&mut buffer).meta_mut().trace = handle;
    // A node that the sender has already and we have not yet is for `null-node` to count.
    let node = if node.index() < parts.all_stats.len() { node } else { NodeId(0) };
    parts.queues.push(node, buffer, handle != 0);
}

/// A packet that was traced where it came from is traced here too, whether or not one was asked for.
#[cold]
fn begin_trace(parts: &mut Parts<'_>, from: usize, trace: u32) -> u32 {
    let node = parts.node;
    // What nobody asked for here is no place to give back if the filter discards it.
    let origin = if trace == 0 { node } else { NodeId(0) };
    let Some(handle) = parts.trace.store.begin(origin.0) else { return 0 };
    if trace == 0 {
        parts.trace.wanted[node.index()] -= 1;
    }
    let record = Arrived { from, trace: trace.checked_sub(1).map(|trace| trace & 0x00ff_ffff) };
    let (stamp, name) = (parts.stamp(), parts.stats.name.clone());
    parts.trace.store.add(handle, stamp, &name, record);
    handle
}

/// `HANDED-OFF: from thread 0 trace index 3`, as VPP's `handoff_trace` says it.
#[derive(serde::Serialize)]
struct Arrived {
    from: usize,
    trace: Option<u32>,
}

impl Record for Arrived {
    fn text(&self, text: &mut Text) {
        match self.trace {
            Some(trace) => text.line(format_args!("HANDED-OFF: from thread {} trace index {trace}", self.from)),
            None => text.line(format_args!("HANDED-OFF: from thread {}", self.from)),
        }
    }
}
