//! The change that L3DSR makes to packets on their way to a server, and that a server's agent takes back.

use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::wire::{Change, Kept};

use crate::nat::SessionChange;

/// What goes into a packet.
#[derive(Clone, Copy)]
pub(crate) struct Readdressed {
    /// The destination, as it stands in the packet.
    pub to: [u8; 4],
    /// What that changes, where it is known beforehand.
    pub change: Option<Kept>,
    /// The DSCP.
    pub dscp: u8,
    /// The transport checksum is still only that of the pseudo-header.
    pub unfinished: bool,
}

/// Gives an IPv4 packet another destination and a DSCP, with every checksum that covers them. ECN stays as it is (RFC 3168). `false`, and
/// nothing changes: there is no header.
#[inline(always)]
pub(crate) fn readdress(packet: &mut [u8], with: Readdressed) -> bool {
    let Ok((header, _)) = Ip4Header::mut_from_prefix(packet) else { return false };
    let class = with.dscp << 2 | header.tos & 3;
    let change = match with.change {
        Some(change) => change,
        None => Change::NONE.four(header.destination.to_bytes(), with.to).keep(),
    };
    let whole = change.two([0, header.tos], [0, class]);
    header.tos = class;
    header.destination = with.to.into();
    header.checksum = whole.of_field(header.checksum.to_bytes()).into();
    // Of a datagram in pieces only the first has a transport header; in the others there is data.
    if !header.first_fragment() {
        return true;
    }
    let (transport, protocol) = (header.header_len(), header.protocol);
    if matches!(protocol, protocol::TCP | protocol::UDP) {
        // One that is cut short has no checksum to change.
        SessionChange::of_addresses(change).amend(packet, transport, protocol, with.unfinished);
    }
    true
}
