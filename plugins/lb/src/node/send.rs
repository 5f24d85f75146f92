//! The ways to send a packet to a server.

use vnet::wire::ip4::{Ip4Header, protocol};
use vnet::wire::{GueHeader, gue};
use vnet::{IfIndex, Offload, Packet};

use super::Staged;
use super::family::{Inner, V4};
use crate::config::{Encap, Family};
use crate::l3dsr::{Readdressed, readdress};
use crate::local::Way;
use crate::nat::SessionChange;
use crate::outer::{Ip6Outer, ethertype};

/// A way to send packets of VIPs of a family to servers.
pub(super) trait SendTo<I: Inner>: Send + Sized + 'static {
    /// An encapsulation of the kind, for the names of its nodes.
    const ENCAP: Encap;
    /// Packets stay what they are, so that large segments and unfinished checksums may pass.
    const WHOLE: bool = false;
    /// Packets get an outer IP header.
    const HAS_OUTER: bool = false;

    /// Makes a packet of `inner` bytes, which fits, one for the server that `way` leads to; `false`, and nothing changes: there is no
    /// room in front of it.
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool;
}

/// What is the same for many packets, or known of their flows.
#[derive(Clone, Copy)]
pub(super) struct Common<'c> {
    /// What outer IPv6 headers have in common.
    pub ip6: &'c Ip6Outer,
    /// Bits that differ from flow to flow.
    pub entropy: u32,
    /// The packet's type of service or traffic class.
    pub class: u8,
}

impl<'c> Common<'c> {
    #[inline(always)]
    pub(super) fn of(ip6: &'c Ip6Outer, staged: Staged) -> Common<'c> {
        Common { ip6, entropy: (staged.identity >> 32) as u32, class: staged.class() }
    }
}

/// In GRE over IPv4.
pub(super) struct Gre4;

impl<I: Inner> SendTo<I> for Gre4 {
    const ENCAP: Encap = Encap::Gre4;
    const HAS_OUTER: bool = true;

    #[inline(always)]
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool {
        wrap4::<24>(way, common, packet, inner, |_| ())
    }
}

/// In IPv4.
pub(super) struct Ipip4;

impl<I: Inner> SendTo<I> for Ipip4 {
    const ENCAP: Encap = Encap::Ipip4;
    const HAS_OUTER: bool = true;

    #[inline(always)]
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool {
        wrap4::<20>(way, common, packet, inner, |_| ())
    }
}

/// In GUE over IPv4.
pub(super) struct Gue4;

impl<I: Inner> SendTo<I> for Gue4 {
    const ENCAP: Encap = Encap::Gue4 { direct: false };
    const HAS_OUTER: bool = true;

    #[inline(always)]
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool {
        if way.outer.is_direct(Family::Ip4) {
            return wrap4::<28>(way, common, packet, inner, |place| udp(&mut place[20..], inner, common));
        }
        wrap4::<32>(way, common, packet, inner, |place| {
            udp(&mut place[20..], inner + 4, common);
            place[28..].copy_from_slice(GueHeader::new(I::PROTOCOL).as_bytes());
        })
    }
}

/// Puts `N` bytes in front: those of the template, and what `rest` writes behind the IPv4 header.
#[inline(always)]
fn wrap4<const N: usize>(
    way: &Way,
    common: Common,
    packet: &mut Packet<'_>,
    inner: usize,
    rest: impl FnOnce(&mut [u8; N]),
) -> bool {
    let Some(place) = packet.push_array::<N>() else { return false };
    let total = (inner + N) as u16;
    match place.first_chunk_mut::<24>() {
        Some(place) if N == 24 => way.outer.write(total, common.class, place),
        _ => way.outer.write_ip4(total, common.class, place),
    }
    rest(place);
    true
}

/// In GRE over IPv6.
pub(super) struct Gre6;

impl<I: Inner> SendTo<I> for Gre6 {
    const ENCAP: Encap = Encap::Gre6;
    const HAS_OUTER: bool = true;

    #[inline(always)]
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool {
        // No flags, version 0, then the EtherType of what follows (RFC 7676).
        wrap6::<44>(way, common, packet, inner, protocol::GRE, |place| {
            place[40..42].fill(0);
            place[42..].copy_from_slice(&ethertype(I::FAMILY).to_be_bytes());
        })
    }
}

/// In IPv6.
pub(super) struct Ipip6;

impl<I: Inner> SendTo<I> for Ipip6 {
    const ENCAP: Encap = Encap::Ipip6;
    const HAS_OUTER: bool = true;

    #[inline(always)]
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool {
        wrap6::<40>(way, common, packet, inner, I::PROTOCOL, |_| ())
    }
}

/// In GUE over IPv6.
pub(super) struct Gue6;

impl<I: Inner> SendTo<I> for Gue6 {
    const ENCAP: Encap = Encap::Gue6 { direct: false };
    const HAS_OUTER: bool = true;

    #[inline(always)]
    fn send(way: &Way, common: Common, packet: &mut Packet<'_>, inner: usize) -> bool {
        if way.outer.is_direct(Family::Ip6) {
            let rest = |place: &mut [u8; 48]| udp(&mut place[40..], inner, common);
            return wrap6::<48>(way, common, packet, inner, protocol::UDP, rest);
        }
        wrap6::<52>(way, common, packet, inner, protocol::UDP, |place| {
            udp(&mut place[40..], inner + 4, common);
            place[48..].copy_from_slice(GueHeader::new(I::PROTOCOL).as_bytes());
        })
    }
}

/// Puts an IPv6 header and what `rest` writes behind it in front.
#[inline(always)]
fn wrap6<const N: usize>(
    way: &Way,
    common: Common,
    packet: &mut Packet<'_>,
    inner: usize,
    next_header: u8,
    rest: impl FnOnce(&mut [u8; N]),
) -> bool {
    let Some(place) = packet.push_array::<N>() else { return false };
    let payload = (inner + N - 40) as u16;
    common.ip6.write(way.outer.address6(), next_header, payload, common.class, place);
    rest(place);
    true
}

/// Writes a UDP header for GUE in front of so many bytes. The source port tells flows apart, for those who spread them. Without a
/// checksum, which over IPv6 tunnels may be so as well (RFC 6935): what is inside has one.
#[inline(always)]
fn udp(place: &mut [u8], payload: usize, common: Common) {
    place[..2].copy_from_slice(&gue::source_port(common.entropy).to_be_bytes());
    place[2..4].copy_from_slice(&gue::PORT.to_be_bytes());
    place[4..6].copy_from_slice(&((payload + 8) as u16).to_be_bytes());
    place[6..8].fill(0);
}

/// To the server's own address, with a DSCP.
pub(super) struct L3dsr;

impl SendTo<V4> for L3dsr {
    const ENCAP: Encap = Encap::L3dsr { dscp: 0 };

    #[inline(always)]
    fn send(way: &Way, _: Common, packet: &mut Packet<'_>, _: usize) -> bool {
        // Its sender is told first that its hops end here, of the packet as it came.
        let Some(header) = Ip4Header::ref_from_prefix(packet.data()).ok().map(|(header, _)| header) else {
            return false;
        };
        let ends = header.ttl <= 1;
        let change = way.outer.change_from(header.destination.to_bytes()).map(SessionChange::addresses);
        let (to, dscp) = (way.outer.address4(), way.outer.port() as u8);
        !ends && readdress(packet.data_mut(), Readdressed { to, change, dscp, unfinished: false })
    }
}

/// To the server's MAC.
pub(super) struct L2dsr;

impl<I: Inner> SendTo<I> for L2dsr {
    const ENCAP: Encap = Encap::L2dsr;
    const WHOLE: bool = true;

    #[inline(always)]
    fn send(way: &Way, _: Common, packet: &mut Packet<'_>, _: usize) -> bool {
        let link = *way.outer.link();
        if link == [0; 14] {
            // Its MAC is not known yet: the packet waits for it, and `LOCAL` keeps its time to live as it is.
            packet.meta_mut().offload |= Offload::LOCAL;
            return true;
        }
        let source = sender(packet, IfIndex(way.index), [link[12], link[13]]);
        let Some(place) = packet.push_array::<14>() else { return false };
        place.copy_from_slice(&link);
        if let Some(source) = source {
            place[6..12].copy_from_slice(&source);
        }
        true
    }
}

/// The MAC that the packet came from, to be kept: where it leaves by another interface. On the same one switches would learn
/// that its sender is where we are.
#[inline(always)]
fn sender(packet: &Packet<'_>, out: IfIndex, ethertype: [u8; 2]) -> Option<[u8; 6]> {
    let header = packet.l2_bytes().first_chunk::<14>()?;
    let ethernet = packet.header_offsets().0 == -14 && header[12..] == ethertype && packet.meta().rx != out;
    ethernet.then(|| header[6..12].try_into().ok()).flatten()
}
