//! The way back to the station that a packet came from, which is on the link: no route is needed, nor is there one for
//! link-local addresses.

use vnet::wire::{EthernetHeader, Mac};
use vnet::{IfIndex, NodeId, Offload, Packet, Tables};

use crate::ip::Ip;

/// See the head of this module.
#[derive(Clone, Copy)]
pub(crate) struct LinkBack {
    header: EthernetHeader,
    interface: IfIndex,
    output: NodeId,
}

impl LinkBack {
    /// Of a packet of the family, whose Ethernet header is still in front of it; `None`: there is none.
    pub(crate) fn new<A: Ip>(tables: &Tables, packet: &Packet<'_>) -> Option<LinkBack> {
        let station = EthernetHeader::ref_from_prefix(packet.l2_bytes()).ok()?.0.source;
        let interface = tables.interface(packet.meta().rx);
        let header = EthernetHeader::new(station, Mac(interface.mac), u16::from_be_bytes(A::ETHERTYPE));
        Some(LinkBack { header, interface: interface.index, output: interface.output })
    }

    /// Puts the link's header in front of a packet; gives the interface's output node, or `None` where there is no room.
    pub(crate) fn put(self, packet: &mut Packet<'_>) -> Option<NodeId> {
        self.header.emit(packet.push(EthernetHeader::LEN)?).ok()?;
        packet.mark_l2();
        let meta = packet.meta_mut();
        (meta.tx, meta.offload) = (self.interface, Offload::LOCAL);
        Some(self.output)
    }
}
