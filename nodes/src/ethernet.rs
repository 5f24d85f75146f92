//! `ethernet-input`: from frames to packets.
//!
//! Uses: the Ethernet header, the interface's MAC. Sets: the marks of both headers. Next: `ip4-input`, `arp-input`;
//! `error-drop` for all else.

use trace::{Record, Text};
use vnet::wire::ethernet::{self, EthernetHeader};
use vnet::{Cx, NodeSpec, Packet, PacketNode, Scope, next_nodes, node_errors};

use crate::frame_trace::HeaderOnly;

next_nodes! {
    /// Where `ethernet-input` sends packets.
    pub enum Next {
        /// Not for us, or not understood.
        Drop => "error-drop",
        /// IPv4.
        Ip4 => "ip4-input",
        /// ARP.
        Arp => "arp-input",
    }
}

node_errors! {
    /// Why `ethernet-input` drops.
    pub enum Error {
        /// Shorter than an Ethernet header.
        Short => error "frame too short",
        /// For another station, and the interface is not promiscuous.
        MacMismatch => error "l3 mac mismatch",
        /// An Ethertype that nothing here handles.
        UnknownType => error "unknown ethernet type",
        /// IEEE 802.1Q or 802.1ad.
        Vlan => error "VLAN tagged frames are not supported",
        /// IPv6, for which there are no nodes yet.
        Ip6 => error "IPv6 is not supported",
        /// The interface is not set up.
        Down => error "interface is down",
        /// An IEEE 802.3 frame with a length where the type stands.
        Llc => error "802.3 LLC frame",
    }
}

pub(crate) fn node() -> NodeSpec {
    NodeSpec::packet("ethernet-input", |_| EthernetInput)
}

struct EthernetInput;

/// `IP4: SRC -> DST`, after a line with the interface for frames of a packet generator.
#[derive(serde::Serialize)]
pub struct EthernetTrace {
    generated: Option<u32>,
    header: HeaderOnly,
}

impl Record for EthernetTrace {
    fn text(&self, text: &mut Text) {
        if let Some(interface) = self.generated {
            text.line(format_args!("frame: flags 0x1, hw-if-index {interface}, sw-if-index {interface}"));
        }
        self.header.text(text);
    }
}

impl PacketNode for EthernetInput {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = EthernetTrace;

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        packet.mark_l2();
        let interface = cx.tables.interface(packet.meta().rx);
        let Ok((header, _)) = EthernetHeader::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        let (to, kind) = (header.destination, header.ethertype.get());
        // The group bit (IEEE 802.3 section 3.2.3) covers broadcast and multicast.
        let ours = to.0 == interface.mac || to.0[0] & 1 != 0;
        if !interface.is_up() {
            return cx.drop(packet, Error::Down);
        }
        if !ours {
            return cx.drop(packet, Error::MacMismatch);
        }
        packet.pull(size_of::<EthernetHeader>());
        packet.mark_l3();
        match kind {
            ethernet::IP4 => Next::Ip4,
            ethernet::ARP => Next::Arp,
            _ => cx.drop(packet, other(kind)),
        }
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> EthernetTrace {
        let generated = packet.meta().opaque[0] == crate::GENERATED;
        EthernetTrace { generated: generated.then_some(packet.meta().rx.0), header: HeaderOnly::new(packet) }
    }
}

#[cold]
fn other(ethertype: u16) -> Error {
    match ethertype {
        ethernet::VLAN | ethernet::VLAN_AD => Error::Vlan,
        ethernet::IP6 => Error::Ip6,
        // IEEE 802.3 section 3.2.6: up to 1500 it is a length.
        0..=1500 => Error::Llc,
        _ => Error::UnknownType,
    }
}
