//! `NAME-output`: the last node before a device.
//!
//! Uses: the work left to do. Sets: `tx` counters; `meta.tx`, where features follow that look at it. Next: features of the
//! interface, then `NAME-tx`; `ip4-gso-cut` or `ip6-gso-cut` where the device does not take large segments; `error-drop` where the interface is down.

use std::sync::Arc;

use trace::{Record, Text};
use vnet::arcs::{ArcStart, INTERFACE_OUTPUT};
use vnet::interface::{Caps, Interface};
use vnet::{Cx, IfIndex, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, Tally, Vector, next_nodes, node_errors};

use crate::frame_trace::FrameTrace;

next_nodes! {
    /// Where `NAME-output` sends packets.
    pub enum Next {
        /// The interface is down.
        Drop => "error-drop",
        /// The device takes no large segments.
        Cut4 => "ip4-gso-cut",
        /// The same of IPv6.
        Cut6 => "ip6-gso-cut",
        ; To
    }
}

node_errors! {
    /// Why `NAME-output` drops.
    pub enum Error {
        /// Not set up, or without a link.
        Down => error "interface is down",
    }
}

/// The node `NAME-output` of an interface.
pub fn spec(name: &str, interface: IfIndex) -> NodeSpec {
    NodeSpec::packet(format!("{name}-output"), move |_| {
        let way =
            Way { up: false, caps: Caps::empty(), todo: Offload::empty(), mixed: false, tx: NodeId(0), features: None };
        Output { interface, way, bytes: 0, others: 0 }
    })
}

struct Output {
    interface: IfIndex,
    /// Looked up once per vector.
    way: Way,
    bytes: u64,
    /// Packets of the vector that do not go out.
    others: u64,
}

/// What is the same for all packets of a vector.
struct Way {
    up: bool,
    caps: Caps,
    /// Work that the device leaves to us.
    todo: Offload,
    /// Some of the packets need that.
    mixed: bool,
    tx: NodeId,
    features: Option<ArcStart>,
}

impl Way {
    fn new(interface: &Interface, features: Option<ArcStart>) -> Way {
        let (caps, tx) = (interface.caps, interface.tx);
        Way { up: interface.is_up(), caps, todo: left_to_us(caps), mixed: false, tx, features }
    }
}

/// What `NAME-output` shows: the interface, the packet's flags, the frame.
#[derive(serde::Serialize)]
pub struct OutputTrace {
    interface: Arc<str>,
    flags: u32,
    frame: FrameTrace,
}

impl Record for OutputTrace {
    fn text(&self, text: &mut Text) {
        text.line(format_args!("{} flags 0x{:08x}", self.interface, self.flags));
        self.frame.text(text);
    }
}

impl PacketNode for Output {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = OutputTrace;

    #[inline(always)]
    fn begin(&mut self, cx: &mut Cx<'_, '_, Self>, _: &mut [()]) {
        let features = cx.arc(INTERFACE_OUTPUT, self.interface);
        self.way = Way::new(cx.tables.interface(self.interface), features);
    }

    #[inline(always)]
    fn at_once(&mut self, _: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next) {
        let to = Next::To(self.way.tx);
        if !self.way.up || self.way.features.is_some() || self.way.mixed {
            return (0, to);
        }
        let tally = vector.tally().unwrap_or_else(|| {
            let mut tally = Tally::NONE;
            vector.packets().for_each(|packet| tally.add(packet.len(), packet.meta().offload));
            tally
        });
        if tally.offload.intersects(self.way.todo) {
            // Looked through once, and not again from each place on.
            self.way.mixed = true;
            return (0, to);
        }
        self.bytes += tally.bytes;
        (vector.len(), to)
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        if !self.way.up {
            self.others += 1;
            return cx.drop(packet, Error::Down);
        }
        if packet.meta().offload.intersects(self.way.todo)
            && let Some(next) = unfinished(&mut packet.again(), self.way.caps, cx.this_node())
        {
            self.others += 1;
            return next;
        }
        packet.meta_mut().tx = self.interface;
        self.bytes += packet.len() as u64;
        Next::To(self.way.features.map_or(self.way.tx, |features| features.enter(packet)))
    }

    #[inline(always)]
    fn end(&mut self, cx: &mut Cx<'_, '_, Self>, packets: usize) {
        let (bytes, others) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.others));
        cx.interface(self.interface).tx.add(packets as u64 - others, bytes);
    }

    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> OutputTrace {
        OutputTrace {
            interface: scope.tables.interface(self.interface).name.clone(),
            flags: crate::buffer_trace::flags(packet),
            frame: FrameTrace::new(packet),
        }
    }
}

/// What a device with these abilities does not do.
fn left_to_us(caps: Caps) -> Offload {
    let mut todo = Offload::UNFINISHED;
    todo.set(Offload::GSO, !caps.contains(Caps::GSO));
    todo.set(Offload::CHECKSUM, !caps.contains(Caps::CHECKSUM));
    todo
}

/// Does what the device will not do, or sends the packet where it is done.
#[cold]
fn unfinished(packet: &mut Packet<'_>, caps: Caps, this: NodeId) -> Option<Next> {
    if packet.meta().offload.intersects(Offload::GSO) && !caps.contains(Caps::GSO) {
        crate::ip4::gso::come_back_to(packet, this);
        let ip6 = packet.l3_bytes().first().is_some_and(|first| first >> 4 == 6);
        return Some(if ip6 { Next::Cut6 } else { Next::Cut4 });
    }
    if !caps.contains(Caps::CHECKSUM) {
        crate::checksum::complete(packet);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_left_what_it_can() {
        assert_eq!(left_to_us(Caps::empty()), Offload::UNFINISHED);
        assert_eq!(left_to_us(Caps::CHECKSUM), Offload::UNFINISHED - Offload::CHECKSUM);
        assert!(left_to_us(Caps::CHECKSUM | Caps::GSO).is_empty());
    }
}
