//! Checksums that a sender left to its device, where nothing says where they belong: a veth carries frames as the kernel of the other
//! end made them, with the sum of the pseudo-header where the checksum belongs. XDP has no word for that, and AF_PACKET, where it was
//! asked for frames without headers of their own, only a bit.

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
pub(crate) fn find_unfinished(packet: &mut Packet<'_>) -> bool {
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

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use vnet::wire::checksum::{complete, pseudo4_of, pseudo6};

    use super::*;

    /// A frame with its checksums right, and where the transport header begins.
    fn frame(six: bool, tcp: bool, payload: &[u8]) -> (Vec<u8>, usize) {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let builder =
            if six { builder.ipv6([7; 16], [9; 16], 64) } else { builder.ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64) };
        let mut bytes = Vec::new();
        if tcp {
            builder.tcp(1000, 80, 7, 9).write(&mut bytes, payload).unwrap();
        } else {
            builder.udp(1000, 80).write(&mut bytes, payload).unwrap();
        }
        (bytes, if six { 54 } else { 34 })
    }

    #[test]
    fn a_field_with_the_sum_of_the_pseudo_header_is_completed_and_others_are_left() {
        for (six, tcp) in [(false, false), (false, true), (true, false), (true, true)] {
            let (right, start) = frame(six, tcp, b"some payload that is odd.");
            assert_eq!(unfinished(&right), None);
            let (offset, protocol) = if tcp { (16, protocol::TCP) } else { (6, protocol::UDP) };
            let len = right.len() - start;
            let pseudo = if six {
                pseudo6(&[7; 16].into(), &[9; 16].into(), protocol, len as u32)
            } else {
                pseudo4_of([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), protocol, len as u16)
            };
            let mut left = right.clone();
            left[start + offset..start + offset + 2].copy_from_slice(&fold(pseudo).to_be_bytes());
            assert_eq!(unfinished(&left), Some((start, offset as u16)), "six {six} tcp {tcp}");
            let field = complete([&left[..]], start, offset);
            left[start + offset..start + offset + 2].copy_from_slice(&field.to_be_bytes());
            assert_eq!(left, right);
        }
    }

    #[test]
    fn fragments_and_what_is_cut_off_are_left_alone() {
        let (mut bytes, _) = frame(false, false, &[0; 100]);
        for len in 0..bytes.len() {
            assert_eq!(unfinished(&bytes[..len]), None);
        }
        let pseudo = pseudo4_of([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), protocol::UDP, 108);
        bytes[40..42].copy_from_slice(&fold(pseudo).to_be_bytes());
        assert!(unfinished(&bytes).is_some());
        bytes[20] |= 0x20;
        assert_eq!(unfinished(&bytes), None, "more fragments follow");
        bytes[20] &= !0x20;
        bytes[14] = 0x41;
        assert_eq!(unfinished(&bytes), None, "a header of four bytes");
    }

    #[test]
    fn a_right_checksum_that_is_that_number_stays() {
        // The payload is chosen so that what the sum lacks is just the sum of the pseudo-header.
        let (mut bytes, start) = frame(false, false, &[0; 2]);
        let pseudo = fold(pseudo4_of([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), protocol::UDP, 10));
        bytes[start + 6..start + 8].copy_from_slice(&pseudo.to_be_bytes());
        let rest = complete([&bytes[..]], start, 6);
        // One's complement: the payload takes up the difference.
        let payload = fold(u64::from(rest) + u64::from(!pseudo));
        bytes[start + 8..start + 10].copy_from_slice(&payload.to_be_bytes());
        assert_eq!(unfinished(&bytes), Some((start, 6)));
        assert_eq!(complete([&bytes[..]], start, 6), pseudo);
    }
}
