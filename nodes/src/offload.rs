//! Between the virtio-net header of the kernel's devices and the work that a packet's metadata says is left.

use vnet::wire::TcpHeader;
use vnet::{Offload, Packet};

use crate::sys::VnetHdr;

/// Notes in a fresh packet what the device left undone. What does not fit the frame is left out: the packet is then
/// taken as it stands, and its checksum is wrong for whoever looks.
#[inline]
pub fn take_over(packet: &mut Packet<'_>, vnet: &VnetHdr) {
    let mut offload = Offload::empty();
    if vnet.needs_checksum() {
        let (start, at) = (usize::from(vnet.csum_start), usize::from(vnet.csum_offset));
        if start + at + 2 <= packet.data().len() {
            offload |= Offload::CHECKSUM;
            packet.set_csum_start(start);
            packet.meta_mut().csum_offset = vnet.csum_offset;
        }
    } else if vnet.flags & VnetHdr::DATA_VALID != 0 {
        offload |= Offload::CHECKSUM_GOOD;
    }
    if vnet.gso_size > 0 {
        // A datagram to be fragmented by IP (`GSO_UDP`) needs no note: it is longer than the MTU, and `ip4-frag` cuts it.
        offload |= match vnet.gso() {
            VnetHdr::GSO_TCPV4 => Offload::GSO_TCP4,
            VnetHdr::GSO_TCPV6 => Offload::GSO_TCP6,
            VnetHdr::GSO_UDP_L4 => Offload::GSO_UDP,
            _ => Offload::empty(),
        };
        if vnet.gso_type & VnetHdr::GSO_ECN != 0 {
            offload |= Offload::GSO_ECN;
        }
        packet.meta_mut().gso_size = vnet.gso_size;
    }
    packet.meta_mut().offload = offload;
}

/// What the device is asked to do about a packet that begins with its Ethernet header.
#[inline]
pub fn hand_over(packet: &Packet<'_>) -> VnetHdr {
    let (offload, mut vnet) = (packet.meta().offload, VnetHdr::default());
    if !offload.intersects(Offload::UNFINISHED) {
        return vnet;
    }
    let start = packet.csum_start().and_then(|start| u16::try_from(start).ok());
    if let Some(start) = start.filter(|_| offload.contains(Offload::CHECKSUM)) {
        vnet.flags = VnetHdr::NEEDS_CSUM;
        (vnet.csum_start, vnet.csum_offset) = (start, packet.meta().csum_offset);
        let transport = packet.data().get(usize::from(start)..).unwrap_or_default();
        let tcp = usize::from(vnet.csum_offset) == TcpHeader::CHECKSUM_OFFSET;
        let tcp = tcp.then(|| TcpHeader::ref_from_prefix(transport).map_or(0, |(tcp, _)| tcp.header_len()));
        vnet.hdr_len = start + tcp.unwrap_or(usize::from(vnet.csum_offset) + 2) as u16;
    }
    if offload.intersects(Offload::GSO) {
        vnet.gso_type = match offload & Offload::GSO {
            Offload::GSO_TCP4 => VnetHdr::GSO_TCPV4,
            Offload::GSO_TCP6 => VnetHdr::GSO_TCPV6,
            _ => VnetHdr::GSO_UDP_L4,
        };
        if offload.contains(Offload::GSO_ECN) {
            vnet.gso_type |= VnetHdr::GSO_ECN;
        }
        vnet.gso_size = packet.meta().gso_size;
    }
    vnet
}
