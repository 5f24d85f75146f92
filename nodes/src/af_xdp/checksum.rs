//! Checksums that a sender left to its device, where nothing says so: a veth carries frames as the kernel of the other end
//! made them, with the sum of the pseudo-header where the checksum belongs, and XDP has no word for that.

use vnet::wire::checksum::fold;
use vnet::wire::ethernet::EthernetHeader;
use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::wire::{Ip6Header, TcpHeader, UdpHeader, ethernet};
use vnet::{Offload, Packet};

/// Notes that the transport checksum is unfinished where its field is the sum of the pseudo-header alone. A checksum that is
/// right and happens to be that number is the same when it is computed again.
///
/// Not for fragments, nor behind IPv6 extension headers: the kernel completes those of fragments itself.
#[inline(always)]
pub(super) fn find_unfinished(packet: &mut Packet<'_>) -> bool {
    let Some((start, offset)) = unfinished(packet.data()) else { return false };
    packet.set_csum_start(start);
    packet.meta_mut().csum_offset = offset;
    packet.meta_mut().offload |= Offload::CHECKSUM;
    true
}

/// Where the sum begins, and where it belongs after that.
#[inline(always)]
fn unfinished(frame: &[u8]) -> Option<(usize, u16)> {
    let (link, packet) = EthernetHeader::ref_from_prefix(frame).ok()?;
    match link.ethertype.get() {
        ethernet::IP4 => {
            let (ip, _) = Ip4Header::ref_from_prefix(packet).ok()?;
            let offset = offset_of(ip.protocol)?;
            let (header, total) = (ip.header_len(), usize::from(ip.total_len.get()));
            let len = total.checked_sub(header)?;
            if header < Ip4Header::LEN || ip.is_fragment() || total > packet.len() {
                return None;
            }
            matches(packet, header, offset, ip.pseudo_sum(len as u16))
        }
        ethernet::IP6 => {
            let (ip, rest) = Ip6Header::ref_from_prefix(packet).ok()?;
            let offset = offset_of(ip.next_header)?;
            let len = ip.payload_len.get();
            if usize::from(len) > rest.len() {
                return None;
            }
            matches(packet, Ip6Header::LEN, offset, ip.pseudo_sum(ip.next_header, u32::from(len)))
        }
        _ => None,
    }
}

#[inline(always)]
fn offset_of(next: u8) -> Option<u16> {
    match next {
        protocol::TCP => Some(TcpHeader::CHECKSUM_OFFSET as u16),
        protocol::UDP => Some(UdpHeader::CHECKSUM_OFFSET as u16),
        _ => None,
    }
}

#[inline(always)]
fn matches(packet: &[u8], header: usize, offset: u16, pseudo: u64) -> Option<(usize, u16)> {
    let at = header + usize::from(offset);
    let field = packet.get(at..at + 2)?;
    (u16::from_be_bytes([field[0], field[1]]) == fold(pseudo)).then_some((EthernetHeader::LEN + header, offset))
}
