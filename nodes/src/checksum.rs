//! Transport checksums that a device left unfinished.

use vnet::wire::checksum;
use vnet::{Offload, Packet};

/// Completes the transport checksum, if it is unfinished: sums the packet from the start of the range to its end, the
/// field itself included, which holds the sum of the pseudo-header.
pub fn complete(packet: &mut Packet<'_>) {
    if !packet.meta().offload.contains(Offload::CHECKSUM) {
        return;
    }
    packet.meta_mut().offload.remove(Offload::CHECKSUM);
    let Some(start) = packet.csum_start() else { return };
    let offset = usize::from(packet.meta().csum_offset);
    let field = checksum::complete(packet.segments(), start, offset);
    let at = start + offset;
    if let Some(place) = packet.data_mut().get_mut(at..at + 2) {
        place.copy_from_slice(&field.to_be_bytes());
    }
}
