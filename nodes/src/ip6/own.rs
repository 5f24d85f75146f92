//! What this router sends itself and does not fit the way out: it is cut, unless it is a tunnel's packet around one whose sender
//! can make it shorter, and is told so.

use vnet::wire::icmp6::{self, MIN_MTU};
use vnet::wire::ip4::protocol;
use vnet::wire::{Ip4Header, Ip6Header, UdpHeader, gue, icmp4, ip6_ext};
use vnet::{Packet, Tables};

use crate::gre::Gre;
use crate::gue::Gue;
use crate::ipip::Ipip;
use crate::tunnel::{Inner, Kind};
use crate::{frag, ip4};

/// What becomes of a packet that is too long. The packet says more.
pub(super) enum TooLong {
    /// It is cut.
    Cut,
    /// It is the packet that was inside, whose sender is told.
    Told(Inner),
}

/// Judges a packet of our own that leaves by an interface that takes `mtu` bytes; `None`: it fits.
pub(super) fn too_long(tables: &Tables, packet: &mut Packet<'_>, mtu: u32) -> Option<TooLong> {
    let (header, _) = Ip6Header::ref_from_prefix(packet.data()).ok()?;
    // What errors have said of the ways of tunnels.
    let path = tables.path_mtus.get(header.destination_address().into());
    let mtu = path.map_or(mtu, |path| mtu.min(path.into()));
    if packet.len() <= mtu as usize {
        return None;
    }
    if let Some((at, inner)) = inside(packet)
        && tell(packet, at, inner, mtu.saturating_sub(at as u32))
    {
        return Some(TooLong::Told(inner));
    }
    // What errors say of the ways of answers is not kept: every link takes fragments of so many bytes (RFC 8200 section 5).
    let answer = matches!(ip6_ext::walk(packet.data()), Ok(upper) if upper.protocol == protocol::ICMP6);
    frag::request(packet, if answer { mtu.min(MIN_MTU as u32) } else { mtu });
    Some(TooLong::Cut)
}

/// Where the packet in a tunnel's begins, and what it is.
fn inside(packet: &Packet<'_>) -> Option<(usize, Inner)> {
    let upper = ip6_ext::walk(packet.data()).ok()?;
    let (at, number) = (upper.offset, upper.protocol);
    match number {
        protocol::GRE => Gre::read(packet, at, number).ok(),
        protocol::IP_IN_IP | protocol::IPV6 => Ipip::read(packet, at, number).ok(),
        protocol::UDP => {
            let (header, _) = UdpHeader::ref_from_prefix(packet.data().get(at..)?).ok()?;
            if header.destination.get() == gue::PORT { Gue::read(packet, at, number).ok() } else { None }
        }
        _ => None,
    }
}

/// Takes the packet inside out, and leaves word for its sender that `room` bytes fit; `false`, and nothing changes: it may be as
/// long as it is (RFC 2473 section 7).
fn tell(packet: &mut Packet<'_>, at: usize, inner: Inner, room: u32) -> bool {
    let refused = match inner {
        Inner::Ip4 => packet
            .data()
            .get(at..)
            .is_some_and(|bytes| Ip4Header::ref_from_prefix(bytes).is_ok_and(|(header, _)| header.dont_fragment())),
        Inner::Ip6 => packet.len() - at > MIN_MTU,
    };
    if !refused || !packet.pull(at) {
        return false;
    }
    packet.mark_l3();
    match inner {
        Inner::Ip4 => ip4::icmp_error::request(packet, icmp4::Problem::FragmentationNeeded { mtu: room as u16 }),
        Inner::Ip6 => {
            super::icmp_error::request(packet, icmp6::Problem::TooBig { mtu: room.max(MIN_MTU as u32) });
        }
    }
    true
}
