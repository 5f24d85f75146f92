//! Headers as VPP's traces show them: the line with the addresses at the indent at hand, the fields two columns in, the
//! next header back at the indent.
//!
//! Each function takes the bytes from its header on, as many as were kept; one that is cut short says so and ends.

mod names;
mod transport;

use std::fmt::Write;

use trace::Text;

use super::arp::ArpHeader;
use super::checksum::{finish, sum};
use super::ethernet::{ARP, EthernetHeader, IP4, IP6, VLAN};
use super::ip4::{DONT_FRAGMENT, Ip4Header, MORE_FRAGMENTS, protocol};
use super::ip6::Ip6Header;
use super::vlan::{self, VlanTag};

pub use names::{dscp, ecn, ethertype, icmp4_code, icmp4_type, icmp6_type, protocol_name};
pub use transport::{icmp4, icmp6, tcp, udp};

/// VPP looks through two tags and no more.
const MAX_TAGS: usize = 2;

/// A frame: the Ethernet line, then the packet at the same indent.
pub fn ethernet_frame(text: &mut Text, frame: &[u8]) {
    let Some((kind, packet)) = ethernet_line(text, frame) else {
        return;
    };
    if packet.is_empty() {
        return;
    }
    match kind {
        IP4 => ip4(text, packet),
        IP6 => ip6(text, packet),
        ARP => arp(text, packet),
        _ => (),
    }
}

/// The Ethernet line alone: `IP4: SOURCE -> DESTINATION`, VLAN tags at its end. Returns the bytes after the header
/// and its tags; `None` if they are cut short.
pub fn ethernet_header<'a>(text: &mut Text, frame: &'a [u8]) -> Option<&'a [u8]> {
    ethernet_line(text, frame).map(|(_, packet)| packet)
}

fn ethernet_line<'a>(text: &mut Text, frame: &'a [u8]) -> Option<(u16, &'a [u8])> {
    let mut tags = String::new();
    let Some((header, kind, packet)) = through_tags(frame, |kind, tag| {
        let name = if kind == VLAN { "802.1q" } else { "802.1ad" };
        let _ = write!(tags, " {name} vlan {}", tag.id());
        if tag.priority() != 0 {
            let _ = write!(tags, " priority {}", tag.priority());
        }
        if tag.drop_eligible() {
            tags.push_str(" cfi");
        }
    }) else {
        text.line("ethernet header truncated");
        return None;
    };
    text.line(format_args!("{}: {} -> {}{tags}", ethertype(kind), header.source, header.destination));
    Some((kind, packet))
}

/// Reads an Ethernet header and the tags after it: header, Ethertype behind the tags, what follows.
pub(super) fn through_tags(frame: &[u8], mut each: impl FnMut(u16, &VlanTag)) -> Option<(&EthernetHeader, u16, &[u8])> {
    let (header, mut rest) = EthernetHeader::ref_from_prefix(frame).ok()?;
    let mut kind = header.ethertype.get();
    for _ in 0..MAX_TAGS {
        if !vlan::is_tag(kind) {
            break;
        }
        let (tag, after) = VlanTag::ref_from_prefix(rest).ok()?;
        each(kind, tag);
        (kind, rest) = (tag.ethertype.get(), after);
    }
    Some((header, kind, rest))
}

/// An ARP message: two lines.
pub fn arp(text: &mut Text, message: &[u8]) {
    let Ok((header, _)) = ArpHeader::ref_from_prefix(message) else {
        return text.line("ARP header truncated");
    };
    text.line(format_args!(
        "{}, type {}/{}, address size {}/{}",
        names::arp_operation(header.operation.get()),
        names::arp_hardware(header.hardware.get()),
        ethertype(header.protocol.get()),
        header.hardware_len,
        header.protocol_len
    ));
    if header.is_ip4_over_ethernet() {
        text.line(format_args!(
            "{}/{} -> {}/{}",
            header.sender_mac,
            header.sender_address(),
            header.target_mac,
            header.target_address()
        ));
    }
}

/// An IPv4 packet: its header, then TCP, UDP or ICMP if they begin here. Of GRE, VPP 26.10 shows the outer header only.
pub fn ip4(text: &mut Text, packet: &[u8]) {
    let Ok((header, _)) = Ip4Header::ref_from_prefix(packet) else {
        return text.line("IP header truncated");
    };
    text.line(format_args!(
        "{}: {} -> {}",
        protocol_name(header.protocol),
        header.source_address(),
        header.destination_address()
    ));
    text.nest(2, |text| ip4_fields(text, header, packet));
    if header.first_fragment() && header.header_len() >= Ip4Header::LEN {
        next(text, header.protocol, packet.get(header.header_len()..).unwrap_or_default());
    }
}

fn ip4_fields(text: &mut Text, header: &Ip4Header, packet: &[u8]) {
    if header.version_ihl != 0x45 {
        text.line(format_args!("version {}, header length {}", header.version(), header.header_len()));
    }
    let mut should_be = String::new();
    if let Some(expected) = expected_checksum(header, packet).filter(|right| *right != header.checksum.get()) {
        should_be = format!(" (should be 0x{expected:04x})");
    }
    text.line(format_args!(
        "tos 0x{:02x}, ttl {}, length {}, checksum 0x{:04x}{should_be} dscp {} ecn {}",
        header.tos,
        header.ttl,
        header.total_len,
        header.checksum.get(),
        dscp(header.dscp()),
        ecn(header.ecn())
    ));
    let mut line = format!("fragment id 0x{:04x}", header.id.get());
    if !header.first_fragment() {
        let _ = write!(line, " offset {}", header.fragment_offset());
    }
    let bits = header.flags_offset.get();
    // The reserved bit, which VPP calls so.
    let flags = [(MORE_FRAGMENTS, "MORE_FRAGMENTS"), (DONT_FRAGMENT, "DONT_FRAGMENT"), (0x8000, "CONGESTION")];
    let names: Vec<&str> = flags.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if !names.is_empty() {
        let _ = write!(line, ", flags {}", names.join(" "));
    }
    text.line(line);
}

/// What the checksum field should hold; `None` if the header was not kept whole.
fn expected_checksum(header: &Ip4Header, packet: &[u8]) -> Option<u16> {
    let whole = packet.get(..header.header_len())?;
    let (before, after) = (whole.get(..10)?, whole.get(12..)?);
    Some(finish(sum(after, sum(before, 0))))
}

/// An IPv6 packet: its header, then TCP, UDP or ICMP if no extension header stands between.
pub fn ip6(text: &mut Text, packet: &[u8]) {
    let Ok((header, rest)) = Ip6Header::ref_from_prefix(packet) else {
        return text.line("IP header truncated");
    };
    text.line(format_args!(
        "{}: {} -> {}",
        protocol_name(header.next_header),
        header.source_address(),
        header.destination_address()
    ));
    text.nest(2, |text| {
        if header.version() != 6 {
            text.line(format_args!("version {}", header.version()));
        }
        text.line(format_args!(
            "tos 0x{:02x}, flow label 0x{:x}, hop limit {}, payload length {}",
            header.traffic_class(),
            header.flow_label(),
            header.hop_limit,
            header.payload_len
        ));
    });
    next(text, header.next_header, rest);
}

/// The header behind an IP header; nothing if none was kept.
fn next(text: &mut Text, number: u8, bytes: &[u8]) {
    match number {
        _ if bytes.is_empty() => (),
        protocol::TCP => tcp(text, bytes),
        protocol::UDP => udp(text, bytes),
        protocol::ICMP => icmp4(text, bytes),
        protocol::ICMP6 => icmp6(text, bytes),
        _ => (),
    }
}

#[cfg(test)]
mod tests;
