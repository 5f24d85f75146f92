//! The text between the braces of `data { … }`: headers, then payload.
//!
//! A header is `NAME: FROM -> TO`, where `NAME` is that of what follows it, as in VPP; whether it is an Ethernet, an
//! IPv4, an IPv6 or a transport header shows in its addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use vnet::wire::ethernet::{ARP, IP4, IP6, Mac};
use vnet::wire::ip4::protocol;

use super::fields::Span;
use super::pcap::MAX_PACKET;
use super::template::{Edit, IpLayer, IpVersion, Template, TransportLayer};
use super::words::{Parsed, Words, number, refuse};

/// Understands a description; `size` is what the operator asked for.
pub(super) fn template(words: &mut Words<'_>, size: Option<Span>) -> Parsed<Template> {
    let empty = Template { bytes: Vec::new(), edits: Vec::new(), size: Span::fixed(0), ip: None, transport: None };
    let mut reader = Reader { made: empty, inside: None };
    while let Some(word) = words.next() {
        match word.strip_suffix(':') {
            Some(name) => reader.header(name, words)?,
            None => return reader.payload(word, words, size),
        }
    }
    reader.payload("", words, size)
}

/// What the last header says that follows.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Ip4,
    Ip6,
    Protocol(u8),
    Nothing,
}

struct Reader {
    made: Template,
    inside: Option<Inside>,
}

impl Reader {
    fn header(&mut self, name: &str, words: &mut Words<'_>) -> Parsed<()> {
        let address = words.peek().unwrap_or_default();
        let first = address.split(['-', '+']).next().unwrap_or_default();
        match self.inside {
            None if address.parse::<Mac>().is_ok() => self.ethernet(name, words),
            None | Some(Inside::Ip4) if first.parse::<Ipv4Addr>().is_ok() => self.ip4(name, words),
            None | Some(Inside::Ip6) if first.parse::<Ipv6Addr>().is_ok() => self.ip6(name, words),
            Some(Inside::Protocol(number @ (protocol::TCP | protocol::UDP))) => {
                if protocol_number(name) != Some(number) {
                    return refuse(format_args!("`{name}:' does not follow the header before it"));
                }
                self.transport(number, words)
            }
            None => refuse(format_args!("expected a MAC or IP address, got `{address}'")),
            Some(Inside::Ip6) => refuse(format_args!("expected an IPv6 address, got `{address}'")),
            Some(Inside::Ip4) => refuse(format_args!("expected an IPv4 address, got `{address}'")),
            _ => refuse(format_args!("`{name}:' does not follow the header before it")),
        }
    }

    fn ethernet(&mut self, name: &str, words: &mut Words<'_>) -> Parsed<()> {
        let (source, destination) = pair(words, "a MAC address", mac)?;
        let Some(ethertype) = ethertype(name) else {
            return refuse(format_args!("expected the name of what is in the frame, such as IP4, got `{name}'"));
        };
        self.field(destination, 6);
        self.field(source, 6);
        self.field(Span::fixed(ethertype.into()), 2);
        self.inside = Some(match ethertype {
            IP4 => Inside::Ip4,
            IP6 => Inside::Ip6,
            _ => Inside::Nothing,
        });
        Ok(())
    }

    fn ip4(&mut self, name: &str, words: &mut Words<'_>) -> Parsed<()> {
        let Some(number) = protocol_number(name) else {
            return refuse(format_args!("expected the name of what is in the packet, such as UDP, got `{name}'"));
        };
        let (source, destination) = pair(words, "an IPv4 address", ip4)?;
        let (mut tos, mut ttl, mut id) = (Span::fixed(0), Span::fixed(64), Span::fixed(0));
        let (mut length, mut checksum, mut fragment) = (None, None, Span::fixed(0));
        loop {
            match words.peek() {
                Some("tos") => tos = after(words, "a TOS", 0xff)?,
                Some("ttl") => ttl = after(words, "a TTL", 0xff)?,
                Some("length") => length = Some(after(words, "a length", 0xffff)?),
                Some("checksum") => checksum = Some(after(words, "a checksum", 0xffff)?),
                Some("df") => {
                    words.next();
                    fragment = Span::fixed(0x4000);
                }
                Some("fragment") => {
                    words.next();
                    if words.peek() != Some("id") {
                        return refuse("expected `id' after `fragment'");
                    }
                    id = after(words, "a fragment id", 0xffff)?;
                }
                _ => break,
            }
        }
        let offset = self.made.bytes.len();
        let (length_too, checksum_too) = (length.is_none(), checksum.is_none());
        self.made.ip = Some(IpLayer { offset, version: IpVersion::V4, length: length_too, checksum: checksum_too });
        self.field(Span::fixed(0x45), 1);
        self.field(tos, 1);
        self.field(length.unwrap_or(Span::fixed(0)), 2);
        self.field(id, 2);
        self.field(fragment, 2);
        self.field(ttl, 1);
        self.field(Span::fixed(number.into()), 1);
        self.field(checksum.unwrap_or(Span::fixed(0)), 2);
        self.field(source, 4);
        self.field(destination, 4);
        self.inside = Some(Inside::Protocol(number));
        Ok(())
    }

    fn ip6(&mut self, name: &str, words: &mut Words<'_>) -> Parsed<()> {
        let Some(number) = protocol_number(name) else {
            return refuse(format_args!("expected the name of what is in the packet, such as UDP, got `{name}'"));
        };
        let source = ip6(words)?;
        arrow(words)?;
        let destination = ip6(words)?;
        let (mut class, mut hops, mut label, mut length) = (0, Span::fixed(64), 0, None);
        loop {
            match words.peek() {
                Some("traffic-class") => class = fixed(words, "a traffic class", 0xff)?,
                Some("flow-label") => label = fixed(words, "a flow label", 0xf_ffff)?,
                Some("hop-limit") => hops = after(words, "a hop limit", 0xff)?,
                Some("length") => length = Some(after(words, "a length", 0xffff)?),
                _ => break,
            }
        }
        let offset = self.made.bytes.len();
        self.made.ip = Some(IpLayer { offset, version: IpVersion::V6, length: length.is_none(), checksum: false });
        self.field(Span::fixed(6 << 28 | class << 20 | label), 4);
        self.field(length.unwrap_or(Span::fixed(0)), 2);
        self.field(Span::fixed(number.into()), 1);
        self.field(hops, 1);
        for (high, low) in [source, destination] {
            self.field(Span::fixed(high), 8);
            self.field(low, 8);
        }
        self.inside = Some(Inside::Protocol(number));
        Ok(())
    }

    fn transport(&mut self, number: u8, words: &mut Words<'_>) -> Parsed<()> {
        let (source, destination) = pair(words, "a port", port)?;
        let (mut length, mut checksum, mut window) = (None, None, Span::fixed(8192));
        let (mut sequence, mut flags) = (Span::fixed(0), 0);
        let tcp = number == protocol::TCP;
        loop {
            match words.peek() {
                Some("checksum") => checksum = Some(after(words, "a checksum", 0xffff)?),
                Some("length") if !tcp => length = Some(after(words, "a length", 0xffff)?),
                Some("window") if tcp => window = after(words, "a window", 0xffff)?,
                Some("seq") if tcp => sequence = after(words, "a sequence number", 0xffff_ffff)?,
                Some(word) if tcp => match FLAGS.iter().position(|flag| *flag == word) {
                    Some(bit) => {
                        words.next();
                        flags |= 1 << bit;
                    }
                    None => break,
                },
                _ => break,
            }
        }
        let offset = self.made.bytes.len();
        self.made.transport = Some(TransportLayer {
            offset,
            protocol: number,
            length: !tcp && length.is_none(),
            checksum: checksum.is_none(),
        });
        self.field(source, 2);
        self.field(destination, 2);
        if tcp {
            self.field(sequence, 4);
            self.field(Span::fixed(0), 4);
            self.field(Span::fixed(0x5000 | flags), 2);
            self.field(window, 2);
            self.field(checksum.unwrap_or(Span::fixed(0)), 2);
            self.field(Span::fixed(0), 2);
        } else {
            self.field(length.unwrap_or(Span::fixed(0)), 2);
            self.field(checksum.unwrap_or(Span::fixed(0)), 2);
        }
        self.inside = Some(Inside::Nothing);
        Ok(())
    }

    /// `ICMP TYPE`, of either version: VPP's header of four bytes; what an echo has behind it counts as payload.
    fn icmp(&mut self, number_of: u8, words: &mut Words<'_>) -> Parsed<()> {
        let six = number_of == protocol::ICMP6;
        let kind = words.value("an ICMP type such as echo_request", |word| match word {
            "echo_request" => Some(if six { 128 } else { 8 }),
            "echo_reply" => Some(if six { 129 } else { 0 }),
            _ => number(word).filter(|&kind| kind <= 0xff),
        })?;
        let (mut code, mut checksum) = (Span::fixed(0), None);
        loop {
            match words.peek() {
                Some("code") => code = after(words, "a code", 0xff)?,
                Some("checksum") => checksum = Some(after(words, "a checksum", 0xffff)?),
                _ => break,
            }
        }
        let offset = self.made.bytes.len();
        let made = TransportLayer { offset, protocol: number_of, length: false, checksum: checksum.is_none() };
        self.made.transport = Some(made);
        self.field(Span::fixed(kind), 1);
        self.field(code, 1);
        self.field(checksum.unwrap_or(Span::fixed(0)), 2);
        self.inside = Some(Inside::Nothing);
        Ok(())
    }

    /// The rest, beginning with `word`; nothing more may follow it.
    fn payload(mut self, word: &str, words: &mut Words<'_>, size: Option<Span>) -> Parsed<Template> {
        let mut word = Some(word).filter(|word| !word.is_empty());
        if let (Some("ICMP"), Some(Inside::Protocol(number @ (protocol::ICMP | protocol::ICMP6)))) = (word, self.inside)
        {
            self.icmp(number, words)?;
            word = words.next();
        }
        let headers = self.made.bytes.len();
        let bytes = &mut self.made.bytes;
        while let Some(kind) = word {
            match kind {
                "incrementing" => {
                    let count = words.number("a number of bytes", MAX_PACKET as u64)?;
                    bytes.extend((0..count).map(|at| at as u8));
                }
                "hex" => bytes.extend(words.value("hexadecimal digits", hex)?),
                _ => return refuse(format_args!("unknown input `{kind}'")),
            }
            if bytes.len() > MAX_PACKET {
                return refuse(format_args!(
                    "a packet of {} bytes is too long, expected at most {MAX_PACKET}",
                    bytes.len()
                ));
            }
            word = words.next();
        }
        if bytes.is_empty() {
            return refuse("expected headers or payload in `data'");
        }
        self.made.size = size.unwrap_or(Span::fixed(bytes.len() as u64));
        if self.made.size.low < headers as u64 {
            return refuse(format_args!("size {} is below that of the headers, {headers}", self.made.size.low));
        }
        Ok(self.made)
    }

    /// Adds a field behind what is there.
    fn field(&mut self, span: Span, width: usize) {
        if !span.is_fixed() {
            self.made.edits.push(Edit { offset: self.made.bytes.len(), width, span });
        }
        self.made.bytes.extend(&span.low.to_be_bytes()[8 - width..]);
    }
}

/// TCP's flags by bit, from the lowest (RFC 9293 section 3.1).
const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/// `FROM -> TO`.
fn pair(words: &mut Words<'_>, what: &str, parse: impl Fn(&str) -> Option<u64>) -> Parsed<(Span, Span)> {
    let from = words.span(what, &parse)?;
    arrow(words)?;
    Ok((from, words.span(what, &parse)?))
}

fn arrow(words: &mut Words<'_>) -> Parsed<()> {
    if words.take("->") {
        return Ok(());
    }
    let got = words.peek().map_or("the end".into(), |word| format!("`{word}'"));
    refuse(format_args!("expected `->', got {got}"))
}

/// An IPv6 address, or a span of such that differ in their last 64 bits: the first 64, and the last.
fn ip6(words: &mut Words<'_>) -> Parsed<(u64, Span)> {
    let halves = |word: &str| word.parse::<Ipv6Addr>().ok().map(|a| ((a.to_bits() >> 64) as u64, a.to_bits() as u64));
    let first = words.peek().unwrap_or_default().split(['-', '+']).next().unwrap_or_default();
    let high = halves(first).map_or(0, |(high, _)| high);
    let low = words.span("an IPv6 address", |word| halves(word).filter(|(h, _)| *h == high).map(|(_, low)| low))?;
    Ok((high, low))
}

/// The value after the word at hand, the same for all packets.
fn fixed(words: &mut Words<'_>, what: &str, max: u64) -> Parsed<u64> {
    words.next();
    words.number(what, max)
}

/// The values after the word at hand.
fn after(words: &mut Words<'_>, what: &str, max: u64) -> Parsed<Span> {
    words.next();
    words.span(what, |word| number(word).filter(|&value| value <= max))
}

fn mac(word: &str) -> Option<u64> {
    let Mac([a, b, c, d, e, f]) = word.parse().ok()?;
    Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

fn ip4(word: &str) -> Option<u64> {
    word.parse::<Ipv4Addr>().ok().map(|address| u32::from(address).into())
}

fn port(word: &str) -> Option<u64> {
    number(word).filter(|&port| port <= 0xffff)
}

fn ethertype(name: &str) -> Option<u16> {
    match name {
        "IP4" => Some(IP4),
        "IP6" => Some(IP6),
        "ARP" => Some(ARP),
        _ => number(name)?.try_into().ok(),
    }
}

fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "UDP" => Some(protocol::UDP),
        "TCP" => Some(protocol::TCP),
        "ICMP" => Some(protocol::ICMP),
        "ICMP6" => Some(protocol::ICMP6),
        "GRE" => Some(protocol::GRE),
        _ => number(name)?.try_into().ok(),
    }
}

fn hex(word: &str) -> Option<Vec<u8>> {
    let digits = word.strip_prefix("0x").unwrap_or(word).as_bytes();
    let value = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() || pairs.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}
