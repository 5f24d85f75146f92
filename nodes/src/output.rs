//! `NAME-output`: the last node before a device.
//!
//! Uses: `meta.tx`, the work left to do. Sets: `tx` counters. Next: features of the interface, then `NAME-tx`;
//! `ip4-gso-cut` where the device does not take large segments; `error-drop` where the interface is down.

use std::sync::Arc;

use trace::{Record, Text};
use vnet::arcs::INTERFACE_OUTPUT;
use vnet::interface::Caps;
use vnet::{Cx, IfIndex, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use crate::frame_trace::FrameTrace;

next_nodes! {
    /// Where `NAME-output` sends packets.
    pub enum Next {
        /// The interface is down.
        Drop => "error-drop",
        /// The device takes no large segments.
        Cut => "ip4-gso-cut",
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
    NodeSpec::packet(format!("{name}-output"), move |_| Output { interface })
}

struct Output {
    interface: IfIndex,
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
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let interface = cx.tables.interface(self.interface);
        if !interface.is_up() {
            return cx.drop(packet, Error::Down);
        }
        if packet.meta().offload.intersects(Offload::UNFINISHED) {
            if packet.meta().offload.intersects(Offload::GSO) && !interface.caps.contains(Caps::GSO) {
                crate::ip4::gso::come_back_to(packet, cx.this_node());
                return Next::Cut;
            }
            if !interface.caps.contains(Caps::CHECKSUM) {
                crate::checksum::complete(packet);
            }
        }
        packet.meta_mut().tx = self.interface;
        cx.interface(self.interface).tx.add(1, packet.len() as u64);
        Next::To(cx.start_arc(packet, INTERFACE_OUTPUT, self.interface).unwrap_or(interface.tx))
    }

    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> OutputTrace {
        OutputTrace {
            interface: scope.tables.interface(self.interface).name.clone(),
            flags: u32::from(packet.meta().offload.bits()),
            frame: FrameTrace::new(packet),
        }
    }
}
