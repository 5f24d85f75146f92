//! TCP, UDP and ICMP.

use std::fmt::Write;
use std::net::Ipv6Addr;

use trace::Text;

use super::super::icmp4::{ECHO_REPLY, ECHO_REQUEST};
use super::super::icmp6;
use super::super::nd::NdHeader;
use super::super::tcp::{TcpFlags, TcpHeader, TcpOptions, option_bytes};
use super::super::udp::UdpHeader;
use super::names::{icmp4_code, icmp4_type, icmp6_type};

/// A TCP header with its options.
pub fn tcp(text: &mut Text, segment: &[u8]) {
    let Ok((header, _)) = TcpHeader::ref_from_prefix(segment) else {
        return text.line("TCP header truncated");
    };
    text.line(format_args!("TCP: {} -> {}", header.source, header.destination));
    text.nest(2, |text| {
        text.line(format_args!("seq. 0x{:08x} ack 0x{:08x}", header.seq.get(), header.ack.get()));
        let flags = tcp_flags(header.flags());
        text.line(format_args!("flags 0x{:02x}{flags}, tcp header: {} bytes", header.flags, header.header_len()));
        text.line(format_args!("window {}, checksum 0x{:04x}", header.window, header.checksum.get()));
        let options = tcp_options(&TcpOptions::parse(option_bytes(segment)));
        if options.is_empty() {
            // VPP ends a header without options with a line of nothing but its indent.
            text.line("");
        } else {
            text.line("options:");
            text.nest(2, |text| text.line(options));
        }
    });
}

/// The names of the flags, each after a space.
fn tcp_flags(flags: TcpFlags) -> String {
    flags.iter_names().fold(String::new(), |names, (name, _)| names + " " + name)
}

fn tcp_options(options: &TcpOptions) -> String {
    let mut parts = Vec::new();
    if let Some(mss) = options.mss {
        parts.push(format!("mss {mss}"));
    }
    if let Some(scale) = options.window_scale {
        parts.push(format!("window scale {scale}"));
    }
    if let Some((sent, echoed)) = options.timestamp {
        parts.push(format!("timestamp {sent}, echo/reflected timestamp {echoed}"));
    }
    if options.sack_permitted {
        parts.push("sack permitted".into());
    }
    if options.sacks > 0 {
        let mut blocks = String::from("sack");
        for (from, to) in &options.sack[..options.sacks] {
            let _ = write!(blocks, " {from}-{to}");
        }
        parts.push(blocks);
    }
    parts.join(", ")
}

/// A UDP header.
pub fn udp(text: &mut Text, datagram: &[u8]) {
    let Ok((header, _)) = UdpHeader::ref_from_prefix(datagram) else {
        return text.line("UDP header truncated");
    };
    text.line(format_args!("UDP: {} -> {}", header.source, header.destination));
    text.nest(2, |text| text.line(format_args!("length {}, checksum 0x{:04x}", header.len, header.checksum.get())));
}

/// An ICMP message: one line, with the identifier of an echo.
pub fn icmp4(text: &mut Text, message: &[u8]) {
    let Some([kind, code, high, low]) = message.first_chunk() else {
        return text.line("ICMP header truncated");
    };
    let mut line = match icmp4_type(*kind) {
        Some(name) => format!("ICMP {name}"),
        None => format!("ICMP unknown 0x{kind:x}"),
    };
    if let Some(name) = icmp4_code(*kind, *code) {
        line = line + " " + name;
    }
    let _ = write!(line, " checksum 0x{:x}", u16::from_be_bytes([*high, *low]));
    if let (ECHO_REQUEST | ECHO_REPLY, Some([.., high, low])) = (*kind, message.first_chunk::<6>()) {
        let _ = write!(line, " id {}", u16::from_be_bytes([*high, *low]));
    }
    text.line(line);
}

/// An ICMPv6 message: one line, with the identifier of an echo; of neighbour discovery the target on a second.
pub fn icmp6(text: &mut Text, message: &[u8]) {
    let Some([kind, _, high, low]) = message.first_chunk() else {
        return text.line("ICMP header truncated");
    };
    let mut line = match icmp6_type(*kind) {
        Some(name) => format!("ICMP {name}"),
        None => format!("ICMP unknown 0x{kind:x}"),
    };
    let _ = write!(line, " checksum 0x{:x}", u16::from_be_bytes([*high, *low]));
    if let (icmp6::ECHO_REQUEST | icmp6::ECHO_REPLY, Some([.., high, low])) = (*kind, message.first_chunk::<6>()) {
        let _ = write!(line, " id {}", u16::from_be_bytes([*high, *low]));
    }
    text.line(line);
    let discovery = matches!(*kind, icmp6::NEIGHBOR_SOLICITATION | icmp6::NEIGHBOR_ADVERTISEMENT);
    if let (true, Ok((header, _))) = (discovery, NdHeader::ref_from_prefix(message)) {
        text.nest(2, |text| text.line(format_args!("target address {}", Ipv6Addr::from(header.target))));
    }
}
