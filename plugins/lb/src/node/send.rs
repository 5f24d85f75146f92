//! The ways to send a packet to a server.

use vnet::Packet;
use vnet::wire::checksum::{update16, update32};
use vnet::wire::ip4::{Ip4Header, protocol};

use crate::config::Encap;
use crate::outer::Outer4;

/// A way to send packets of IPv4 VIPs to servers.
pub(super) trait Send4: Send + Sized + 'static {
    /// An encapsulation of the kind, for the names of its nodes.
    const ENCAP: Encap;
    /// Bytes by which packets grow.
    const OVERHEAD: usize;

    /// Makes a packet of `inner` bytes, which is finished and fits, one for the server that `outer` is made for; `false`, and
    /// nothing changes: there is no room in front of it.
    fn send(outer: &Outer4, packet: &mut Packet<'_>, inner: usize) -> bool;
}

/// In GRE over IPv4.
pub(super) struct Gre4;

impl Send4 for Gre4 {
    const ENCAP: Encap = Encap::Gre4;
    const OVERHEAD: usize = 24;

    #[inline(always)]
    fn send(outer: &Outer4, packet: &mut Packet<'_>, inner: usize) -> bool {
        wrap::<24>(outer, packet, inner)
    }
}

/// In IPv4.
pub(super) struct Ipip4;

impl Send4 for Ipip4 {
    const ENCAP: Encap = Encap::Ipip4;
    const OVERHEAD: usize = 20;

    #[inline(always)]
    fn send(outer: &Outer4, packet: &mut Packet<'_>, inner: usize) -> bool {
        wrap::<20>(outer, packet, inner)
    }
}

#[inline(always)]
fn wrap<const N: usize>(outer: &Outer4, packet: &mut Packet<'_>, inner: usize) -> bool {
    let Some(place) = packet.push_array::<N>() else { return false };
    outer.write((inner + N) as u16, place);
    true
}

/// To the server's own address, with a DSCP.
pub(super) struct L3dsr;

impl Send4 for L3dsr {
    const ENCAP: Encap = Encap::L3dsr { dscp: 0 };
    const OVERHEAD: usize = 0;

    #[inline(always)]
    fn send(outer: &Outer4, packet: &mut Packet<'_>, _: usize) -> bool {
        let Ok((header, rest)) = Ip4Header::mut_from_prefix(packet.data_mut()) else { return false };
        let (old, new) = (header.destination.get(), outer.destination().to_bits());
        // Version, header length and type of service are one word of the sum. ECN stays as it is (RFC 3168).
        let [version, class] = [header.version_ihl, header.tos];
        header.tos = outer.traffic_class() | class & 3;
        header.destination.set(new);
        let checksum = update32(header.checksum.get(), old, new);
        header.checksum.set(update16(
            checksum,
            u16::from_be_bytes([version, class]),
            u16::from_be_bytes([version, header.tos]),
        ));
        let options = header.header_len().saturating_sub(Ip4Header::LEN);
        let at = match header.protocol {
            protocol::TCP => 16,
            protocol::UDP => 6,
            _ => return true,
        };
        // RFC 768: a checksum of 0 is none, and one that comes to 0 is sent as all ones.
        if let Some(field) = rest.get_mut(options + at..).and_then(|rest| rest.first_chunk_mut::<2>())
            && (at == 16 || *field != [0, 0])
        {
            let sum = update32(u16::from_be_bytes(*field), old, new);
            *field = if at == 6 && sum == 0 { [0xff, 0xff] } else { sum.to_be_bytes() };
        }
        true
    }
}
