//! The first bytes of a packet, kept for a trace: printed as headers, or as structured JSON.

use std::net::{Ipv4Addr, Ipv6Addr};

use trace::{Record, Text};

use super::arp::ArpHeader;
use super::ethernet::{ARP, IP4, IP6, Mac};
use super::gre;
use super::icmp4::{ECHO_REPLY, ECHO_REQUEST, Icmp4Header};
use super::ip4::{Ip4Header, protocol};
use super::ip6::Ip6Header;
use super::print;
use super::tcp::{TcpHeader, TcpOptions, option_bytes};
use super::udp::UdpHeader;

/// Which header the bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// An Ethernet header, shown with what follows.
    Ethernet,
    /// An Ethernet header, shown alone.
    EthernetOnly,
    /// An IPv4 header.
    Ip4,
    /// An IPv6 header.
    Ip6,
    /// An ARP message.
    Arp,
}

/// A copy of a packet's first bytes, at most [`HeaderBytes::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBytes {
    start: Start,
    len: u8,
    bytes: [u8; Self::MAX],
}

impl HeaderBytes {
    /// Bytes kept at most: enough for Ethernet, IPv4 and TCP with the options that occur.
    pub const MAX: usize = 128;

    /// Copies the first bytes of a packet.
    pub fn new(start: Start, packet: &[u8]) -> Self {
        let kept = &packet[..packet.len().min(Self::MAX)];
        let mut bytes = [0; Self::MAX];
        bytes[..kept.len()].copy_from_slice(kept);
        Self { start, len: kept.len() as u8, bytes }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Which header they begin with.
    pub fn start(&self) -> Start {
        self.start
    }

    /// Writes the headers.
    pub fn text(&self, text: &mut Text) {
        let bytes = self.as_bytes();
        match self.start {
            Start::Ethernet => print::ethernet_frame(text, bytes),
            Start::EthernetOnly => {
                print::ethernet_header(text, bytes);
            }
            Start::Ip4 => print::ip4(text, bytes),
            Start::Ip6 => print::ip6(text, bytes),
            Start::Arp => print::arp(text, bytes),
        }
    }
}

impl Record for HeaderBytes {
    fn text(&self, text: &mut Text) {
        HeaderBytes::text(self, text);
    }
}

/// One member per header that was found: `{"ethernet": {…}, "ip4": {…}, "tcp": {…}}`, and `"truncated": true` where one
/// was cut short.
impl serde::Serialize for HeaderBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut layers = Layers::default();
        let bytes = self.as_bytes();
        let complete = match self.start {
            Start::Ethernet => layers.frame(bytes, true),
            Start::EthernetOnly => layers.frame(bytes, false),
            Start::Ip4 => layers.ip4(bytes),
            Start::Ip6 => layers.ip6(bytes),
            Start::Arp => layers.arp(bytes),
        };
        layers.truncated = complete.is_none();
        layers.serialize(serializer)
    }
}

/// The headers as values with names.
#[derive(Default, serde::Serialize)]
struct Layers {
    #[serde(skip_serializing_if = "Option::is_none")]
    ethernet: Option<Ethernet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arp: Option<Arp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<Ip4>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<Ip6>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<Udp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp: Option<Icmp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gre: Option<Gre>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(serde::Serialize)]
struct Ethernet {
    source: Mac,
    destination: Mac,
    ethertype: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vlans: Vec<u16>,
}

#[derive(serde::Serialize)]
struct Arp {
    operation: u16,
    sender_mac: Mac,
    sender: Ipv4Addr,
    target_mac: Mac,
    target: Ipv4Addr,
}

#[derive(serde::Serialize)]
struct Ip4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    tos: u8,
    ttl: u8,
    length: u16,
    checksum: u16,
    id: u16,
    dont_fragment: bool,
    more_fragments: bool,
    fragment_offset: usize,
}

#[derive(serde::Serialize)]
struct Ip6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    traffic_class: u8,
    flow_label: u32,
    hop_limit: u8,
    payload_length: u16,
}

#[derive(serde::Serialize)]
struct Tcp {
    source_port: u16,
    destination_port: u16,
    seq: u32,
    ack: u32,
    flags: Vec<&'static str>,
    window: u16,
    checksum: u16,
    options: TcpOptions,
}

#[derive(serde::Serialize)]
struct Udp {
    source_port: u16,
    destination_port: u16,
    length: u16,
    checksum: u16,
}

#[derive(serde::Serialize)]
struct Icmp {
    #[serde(rename = "type")]
    kind: u8,
    code: u8,
    checksum: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u16>,
}

#[derive(serde::Serialize)]
struct Gre {
    protocol: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u32>,
}

/// Each of these takes the bytes from its header on; `None` where a header is cut short.
impl Layers {
    fn frame(&mut self, bytes: &[u8], beyond: bool) -> Option<()> {
        let mut vlans = Vec::new();
        let (header, ethertype, packet) = print::through_tags(bytes, |_, tag| vlans.push(tag.id()))?;
        let (source, destination) = (header.source, header.destination);
        self.ethernet = Some(Ethernet { source, destination, ethertype, vlans });
        match ethertype {
            IP4 if beyond => self.ip4(packet),
            IP6 if beyond => self.ip6(packet),
            ARP if beyond => self.arp(packet),
            _ => Some(()),
        }
    }

    fn arp(&mut self, bytes: &[u8]) -> Option<()> {
        let (header, _) = ArpHeader::ref_from_prefix(bytes).ok()?;
        self.arp = Some(Arp {
            operation: header.operation.get(),
            sender_mac: header.sender_mac,
            sender: header.sender_address(),
            target_mac: header.target_mac,
            target: header.target_address(),
        });
        Some(())
    }

    fn ip4(&mut self, bytes: &[u8]) -> Option<()> {
        let (header, _) = Ip4Header::ref_from_prefix(bytes).ok()?;
        self.ip4 = Some(Ip4 {
            source: header.source_address(),
            destination: header.destination_address(),
            protocol: header.protocol,
            tos: header.tos,
            ttl: header.ttl,
            length: header.total_len.get(),
            checksum: header.checksum.get(),
            id: header.id.get(),
            dont_fragment: header.dont_fragment(),
            more_fragments: header.more_fragments(),
            fragment_offset: header.fragment_offset(),
        });
        if !header.first_fragment() {
            return Some(());
        }
        self.next(header.protocol, bytes.get(header.header_len().max(Ip4Header::LEN)..)?)
    }

    fn ip6(&mut self, bytes: &[u8]) -> Option<()> {
        let (header, rest) = Ip6Header::ref_from_prefix(bytes).ok()?;
        self.ip6 = Some(Ip6 {
            source: header.source_address(),
            destination: header.destination_address(),
            next_header: header.next_header,
            traffic_class: header.traffic_class(),
            flow_label: header.flow_label(),
            hop_limit: header.hop_limit,
            payload_length: header.payload_len.get(),
        });
        self.next(header.next_header, rest)
    }

    fn next(&mut self, number: u8, bytes: &[u8]) -> Option<()> {
        match number {
            protocol::TCP => {
                let (header, _) = TcpHeader::ref_from_prefix(bytes).ok()?;
                self.tcp = Some(Tcp {
                    source_port: header.source.get(),
                    destination_port: header.destination.get(),
                    seq: header.seq.get(),
                    ack: header.ack.get(),
                    flags: header.flags().iter_names().map(|(name, _)| name).collect(),
                    window: header.window.get(),
                    checksum: header.checksum.get(),
                    options: TcpOptions::parse(option_bytes(bytes)),
                });
            }
            protocol::UDP => {
                let (header, _) = UdpHeader::ref_from_prefix(bytes).ok()?;
                self.udp = Some(Udp {
                    source_port: header.source.get(),
                    destination_port: header.destination.get(),
                    length: header.len.get(),
                    checksum: header.checksum.get(),
                });
            }
            protocol::ICMP => {
                let (header, _) = Icmp4Header::ref_from_prefix(bytes).ok()?;
                let echo = matches!(header.kind, ECHO_REQUEST | ECHO_REPLY);
                self.icmp = Some(Icmp {
                    kind: header.kind,
                    code: header.code,
                    checksum: header.checksum.get(),
                    id: echo.then_some(header.id.get()),
                    sequence: echo.then_some(header.sequence.get()),
                });
            }
            protocol::GRE => {
                let header = gre::parse(bytes).ok()?;
                self.gre = Some(Gre { protocol: header.protocol, key: header.key, sequence: header.sequence });
            }
            _ => (),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, TcpOptionElement};
    use proptest::prelude::*;
    use serde_json::json;

    fn frame() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], [2, 0xfe, 0, 0, 0, 1])
            .ipv4([10, 0, 1, 2], [90, 0, 0, 1], 64)
            .tcp(1000, 80, 1, 8192)
            .syn()
            .options(&[TcpOptionElement::MaximumSegmentSize(1460)])
            .unwrap()
            .write(&mut frame, &[0; 200])
            .unwrap();
        frame
    }

    #[test]
    fn json_names_every_field() {
        let frame = frame();
        let kept = HeaderBytes::new(Start::Ethernet, &frame);
        assert_eq!(kept.as_bytes(), &frame[..128]);
        let value = serde_json::to_value(kept).unwrap();
        assert_eq!(
            value["ethernet"],
            json!({
                "source": "02:00:00:00:01:02", "destination": "02:fe:00:00:00:01", "ethertype": 0x800,
            })
        );
        assert_eq!((&value["ip4"]["source"], &value["ip4"]["ttl"]), (&json!("10.0.1.2"), &json!(64)));
        assert_eq!(value["tcp"]["destination_port"], 80);
        assert_eq!(value["tcp"]["flags"], json!(["SYN"]));
        assert_eq!(value["tcp"]["options"], json!({"mss": 1460}));
        assert!(value.get("udp").is_none() && value.get("truncated").is_none());
        let value = serde_json::to_value(HeaderBytes::new(Start::EthernetOnly, &frame)).unwrap();
        assert!(value.get("ip4").is_none());
        let mut later = frame[14..].to_vec();
        (later[6], later[7]) = (0x20, 3);
        let value = serde_json::to_value(HeaderBytes::new(Start::Ip4, &later)).unwrap();
        assert_eq!((&value["ip4"]["fragment_offset"], value.get("tcp")), (&json!(24), None));
        let value = serde_json::to_value(HeaderBytes::new(Start::Ip4, &frame[14..40])).unwrap();
        assert_eq!((&value["truncated"], value.get("tcp")), (&json!(true), None));
    }

    #[test]
    fn text_is_that_of_the_printer() {
        let frame = frame();
        let mut text = Text::new();
        HeaderBytes::new(Start::Ethernet, &frame).text(&mut text);
        HeaderBytes::new(Start::EthernetOnly, &frame).text(&mut text);
        let text = text.into_string();
        assert!(text.starts_with("IP4: 02:00:00:00:01:02 -> 02:fe:00:00:00:01\nTCP: 10.0.1.2 -> 90.0.0.1\n"), "{text}");
        assert!(text.ends_with("    mss 1460\nIP4: 02:00:00:00:01:02 -> 02:fe:00:00:00:01\n"), "{text}");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), number in 0usize..4) {
            let mut bytes = bytes;
            if bytes.len() > 24 {
                (bytes[12], bytes[13], bytes[14]) = (8, 0, 0x45);
                (bytes[20], bytes[21], bytes[23]) = (0, 0, [1, 6, 17, 47][number]);
            }
            for start in [Start::Ethernet, Start::EthernetOnly, Start::Ip4, Start::Ip6, Start::Arp] {
                let kept = HeaderBytes::new(start, &bytes);
                prop_assert!(serde_json::to_value(kept).unwrap().is_object());
                kept.text(&mut Text::new());
            }
        }
    }
}
