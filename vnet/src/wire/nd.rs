//! Neighbour discovery (RFC 4861): solicitations, advertisements, their options, and the frames of them that we send.

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{finish, sum};
use super::ethernet::{self, EthernetHeader, Mac};
use super::icmp6::{self, NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION};
use super::ip4::protocol;
use super::ip6::{ALL_NODES, Ip6Header, group_mac, solicited_node};

/// Flag of an advertisement: the sender is a router.
pub const ROUTER: u32 = 1 << 31;
/// Flag of an advertisement: it answers a solicitation.
pub const SOLICITED: u32 = 1 << 30;
/// Flag of an advertisement: replace the link address that is known.
pub const OVERRIDE: u32 = 1 << 29;

/// Option: the sender's link address.
pub const SOURCE_LINK: u8 = 1;
/// Option: the target's link address.
pub const TARGET_LINK: u8 = 2;

/// Hop limit of every message: one that was forwarded has less (RFC 4861 section 7.1).
pub const HOP_LIMIT: u8 = 255;

/// A neighbour solicitation or advertisement without its options: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NdHeader {
    /// [`NEIGHBOR_SOLICITATION`] or [`NEIGHBOR_ADVERTISEMENT`].
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Checksum of the pseudo-header and the whole message.
    pub checksum: U16,
    /// [`ROUTER`], [`SOLICITED`], [`OVERRIDE`] of an advertisement.
    pub flags: U32,
    /// The address that is asked for, or advertised.
    pub target: [u8; 16],
}
header!(NdHeader);

/// What a valid message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Asked for, or advertised.
    pub target: Ipv6Addr,
    /// Of the sender, in a solicitation; of the target, in an advertisement. Solicitations without a sender have none.
    pub link: Option<Mac>,
    /// Of an advertisement.
    pub flags: u32,
}

/// Why a message is not to be used (RFC 4861 sections 7.1.1 and 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NdError {
    /// It has been forwarded: a neighbour's has a hop limit of 255.
    #[error("hop limit is not 255")]
    HopLimit,
    /// Shorter than 24 bytes.
    #[error("message cut short")]
    Short,
    /// A code other than 0.
    #[error("bad code")]
    Code,
    /// The checksum is wrong.
    #[error("bad checksum")]
    Checksum,
    /// The target is a group or no address at all.
    #[error("target is no host")]
    Target,
    /// An option of length 0, or one that runs out of the message.
    #[error("bad options")]
    Options,
    /// A solicitation without a sender that is not to the target's group, or names a link address.
    #[error("solicitation without a sender")]
    Sender,
    /// An advertisement to a group that claims to be an answer.
    #[error("answer to a group")]
    Group,
}

/// Checks a message, `packet` being the IPv6 header and all behind it, without extension headers between.
///
/// # Errors
/// The first thing wrong, in the order of [`NdError`].
pub fn check(packet: &[u8]) -> Result<Message, NdError> {
    let (ip, rest) = Ip6Header::ref_from_prefix(packet).map_err(|_| NdError::Short)?;
    if ip.hop_limit != HOP_LIMIT {
        return Err(NdError::HopLimit);
    }
    let message = rest.get(..usize::from(ip.payload_len.get())).ok_or(NdError::Short)?;
    let (header, mut bytes) = NdHeader::ref_from_prefix(message).map_err(|_| NdError::Short)?;
    if header.code != 0 {
        return Err(NdError::Code);
    }
    if !icmp6::checksum_ok(ip, message) {
        return Err(NdError::Checksum);
    }
    let target = Ipv6Addr::from(header.target);
    if target.is_multicast() || target.is_unspecified() || target.is_loopback() {
        return Err(NdError::Target);
    }
    let solicitation = header.kind == NEIGHBOR_SOLICITATION;
    let wanted = if solicitation { SOURCE_LINK } else { TARGET_LINK };
    let mut link = None;
    while let [kind, units, ..] = bytes {
        let option = bytes.split_at_checked(usize::from(*units) * 8).filter(|(option, _)| !option.is_empty());
        let (option, rest) = option.ok_or(NdError::Options)?;
        if *kind == wanted && link.is_none() {
            // RFC 2464 section 6: one unit on Ethernet.
            link = option[2..].first_chunk().filter(|_| *units == 1).map(|mac| Mac(*mac));
        }
        bytes = rest;
    }
    if !bytes.is_empty() {
        return Err(NdError::Options);
    }
    let destination = ip.destination_address();
    if solicitation && ip.source_address().is_unspecified() && (link.is_some() || destination != solicited_node(target))
    {
        return Err(NdError::Sender);
    }
    let flags = header.flags.get();
    if !solicitation && destination.is_multicast() && flags & SOLICITED != 0 {
        return Err(NdError::Group);
    }
    Ok(Message { target, link, flags })
}

/// Bytes of a frame made here that has an option with a link address.
pub const FRAME_LEN: usize = EthernetHeader::LEN + Ip6Header::LEN + NdHeader::LEN + LINK_OPTION;
const LINK_OPTION: usize = 8;
/// Bytes of a frame without an option.
const BARE_LEN: usize = FRAME_LEN - LINK_OPTION;

/// The frame that asks the group of `target` who has it.
pub fn solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> [u8; FRAME_LEN] {
    let group = solicited_node(target);
    frame((group_mac(group), mac), (source, group), (NEIGHBOR_SOLICITATION, 0, target), Some((SOURCE_LINK, mac)))
}

/// The frame that asks whether another has `target`, which we would like to have (RFC 4862 section 5.4.2).
pub fn probe(mac: Mac, target: Ipv6Addr) -> [u8; BARE_LEN] {
    let group = solicited_node(target);
    let ends = (Ipv6Addr::UNSPECIFIED, group);
    frame((group_mac(group), mac), ends, (NEIGHBOR_SOLICITATION, 0, target), None)
}

/// The frame that tells `asker` that `target` is at `mac`, in answer to a solicitation; an asker without an address is
/// told through the group of all nodes (RFC 4861 section 7.2.4).
pub fn advertisement(mac: Mac, target: Ipv6Addr, asker: (Mac, Ipv6Addr)) -> [u8; FRAME_LEN] {
    if asker.1.is_unspecified() {
        return announcement(mac, target);
    }
    let flags = ROUTER | SOLICITED | OVERRIDE;
    frame((asker.0, mac), (target, asker.1), (NEIGHBOR_ADVERTISEMENT, flags, target), Some((TARGET_LINK, mac)))
}

/// The frame that tells all nodes that `target` is at `mac`, without being asked (RFC 4861 section 7.2.6).
pub fn announcement(mac: Mac, target: Ipv6Addr) -> [u8; FRAME_LEN] {
    let message = (NEIGHBOR_ADVERTISEMENT, ROUTER | OVERRIDE, target);
    frame((group_mac(ALL_NODES), mac), (target, ALL_NODES), message, Some((TARGET_LINK, mac)))
}

fn frame<const N: usize>(
    link: (Mac, Mac),
    ip: (Ipv6Addr, Ipv6Addr),
    (kind, flags, target): (u8, u32, Ipv6Addr),
    option: Option<(u8, Mac)>,
) -> [u8; N] {
    let mut bytes = [0; N];
    let (front, option_place) = bytes.split_at_mut(BARE_LEN);
    let (front, message) = front.split_at_mut(EthernetHeader::LEN + Ip6Header::LEN);
    let (link_place, ip_place) = front.split_at_mut(EthernetHeader::LEN);
    if let (Some((kind, mac)), [k, units, place @ ..]) = (option, &mut *option_place) {
        (*k, *units) = (kind, 1);
        place.copy_from_slice(&mac.0);
    }
    let len = NdHeader::LEN + option_place.len();
    link_place.copy_from_slice(EthernetHeader::new(link.0, link.1, ethernet::IP6).as_bytes());
    let ip = Ip6Header::new(ip.0, ip.1, protocol::ICMP6, len, HOP_LIMIT);
    ip_place.copy_from_slice(ip.as_bytes());
    let mut header = NdHeader { kind, code: 0, checksum: U16::new(0), flags: U32::new(flags), target: target.octets() };
    let start = ip.pseudo_sum(protocol::ICMP6, len as u32);
    header.checksum.set(finish(sum(option_place, sum(header.as_bytes(), start))));
    message.copy_from_slice(header.as_bytes());
    bytes
}

#[cfg(test)]
#[path = "tests/nd.rs"]
mod tests;
