//! Large segments that pass uncut: what they are on the wire.

use vnet::{Offload, Packet};

use crate::local::ServerLocal;

/// What is counted besides one packet of its length: the other pieces, and the headers that they will have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct More {
    packets: u64,
    bytes: u64,
}

impl More {
    /// Of a packet that begins with its IP header; nothing, unless a device is to cut it.
    #[inline]
    pub(super) fn of(packet: &Packet<'_>) -> More {
        if packet.meta().offload.intersects(Offload::GSO) { More::of_large(packet) } else { More::default() }
    }

    #[cold]
    fn of_large(packet: &Packet<'_>) -> More {
        let pieces = nodes::ip4::gso_pieces(packet).filter(|pieces| pieces.count > 1);
        pieces.map_or(More::default(), |pieces| {
            let packets = pieces.count as u64 - 1;
            More { packets, bytes: packets * pieces.headers as u64 }
        })
    }

    /// Counts it for a server.
    #[inline]
    pub(super) fn count(self, server: &mut ServerLocal) {
        server.packets += self.packets;
        server.bytes += self.bytes;
    }
}
