//! `worker-handoff`: puts packets into the rings to other workers.
//!
//! Uses: the worker and node that [`Packet::hand_over`](crate::Packet::hand_over) noted. Next: that node, over there.

use std::sync::Arc;

use trace::{Record, Text};

use super::{Exchange, HEAD, Writer};
use crate::graph::{Dispatch, ErrorCodes, Frame, Locals, NodeKind, Parts};
use crate::ids::NodeId;
use crate::mem::Packet;
use crate::registry::NodeSpec;

pub(super) const NAME: &str = "worker-handoff";

crate::node_errors! {
    /// What `worker-handoff` counts.
    pub(super) enum HandOffError {
        /// It is in the ring.
        HandedOver => info "packets handed over",
        /// The ring is full.
        Congested => error "congestion drop",
        /// It went on where it was.
        SameWorker => info "same worker",
        /// A mistake of the node that sent it.
        Nobody => error "no such worker or node",
    }
}

/// A worker's copy of the node.
pub(super) struct HandOff {
    exchange: Arc<Exchange>,
    to: Vec<Option<Writer>>,
}

pub(super) fn spec(make: impl Fn(usize) -> HandOff + Send + 'static) -> NodeSpec {
    NodeSpec {
        name: NAME.into(),
        kind: NodeKind::Internal,
        nexts: &[],
        errors: HandOffError::LIST,
        make: Box::new(move |worker, _, _, _| Ok(Box::new(make(worker)))),
    }
}

impl HandOff {
    pub(super) fn new(exchange: Arc<Exchange>, worker: usize) -> HandOff {
        let to = exchange.writers(worker);
        HandOff { exchange, to }
    }

    /// Puts the packet into the ring to `worker`.
    fn send(&mut self, parts: &Parts<'_>, packet: &Packet<'_>, worker: usize, node: NodeId) -> HandOffError {
        let Some(writer) = self.to.get_mut(worker).and_then(Option::as_mut) else { return HandOffError::Nobody };
        let place = u64::from(packet.meta().trace) << 32 | u64::from(node.0);
        let [a, b, c, d, e, f] = packet.carried();
        let head: [u64; HEAD] = [parts.tables.version, place, a, b, c, d, e, f];
        if writer.write(&head, packet.carried_len(), packet.carried_bytes()) {
            writer.ring.written.packets.add(1);
            writer.ring.written.bytes.add(packet.len() as u64);
            HandOffError::HandedOver
        } else {
            writer.ring.written.congested.add(1);
            HandOffError::Congested
        }
    }
}

impl Dispatch for HandOff {
    fn dispatch(&mut self, parts: &mut Parts<'_>, _: &mut Locals, frame: &mut Box<Frame>) {
        let memory = parts.memory;
        for mut buffer in frame.buffers.drain(..) {
            let mut packet = memory.packet(&mut buffer);
            let (worker, node) = packet.take_addressee();
            // A packet for this very node would go in circles.
            let outcome = if node.index() >= parts.all_stats.len() || node == parts.node {
                HandOffError::Nobody
            } else if worker == parts.worker {
                HandOffError::SameWorker
            } else {
                self.send(parts, &packet, worker, node)
            };
            parts.stats.errors[usize::from(outcome.code())].add(1);
            let traced = packet.is_traced();
            if traced {
                remember(parts, &packet, worker, node, outcome);
            }
            if outcome == HandOffError::SameWorker {
                parts.queues.push(node, buffer, traced);
                continue;
            }
            if outcome != HandOffError::HandedOver {
                parts.interface(packet.meta().rx).drops.add(1);
            }
            parts.pool.free(buffer);
        }
        for (worker, writer) in self.to.iter_mut().enumerate() {
            if writer.as_mut().is_some_and(Writer::publish) {
                self.exchange.wake(worker);
            }
        }
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

#[cold]
fn remember(parts: &mut Parts<'_>, packet: &Packet<'_>, worker: usize, node: NodeId, outcome: HandOffError) {
    let name = parts.all_stats.get(node.index()).map_or("?".into(), |stats| stats.name.clone());
    let lost = match outcome {
        HandOffError::HandedOver | HandOffError::SameWorker => None,
        HandOffError::Congested | HandOffError::Nobody => Some(HandOffError::LIST[usize::from(outcome.code())].text),
    };
    let record = Sent { worker, node: name, lost };
    let (stamp, own) = (parts.stamp(), parts.stats.name.clone());
    parts.trace.store.add(packet.meta().trace, stamp, &own, record);
}

/// `handed over to worker 1 at ip4-lookup`, and why where it was not.
#[derive(serde::Serialize)]
struct Sent {
    worker: usize,
    node: Arc<str>,
    lost: Option<&'static str>,
}

impl Record for Sent {
    fn text(&self, text: &mut Text) {
        let Sent { worker, node, lost } = self;
        match lost {
            None => text.line(format_args!("handed over to worker {worker} at {node}")),
            Some(why) => text.line(format_args!("not handed over to worker {worker} at {node}: {why}")),
        }
    }
}
