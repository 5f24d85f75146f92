//! Packets made from a description: fixed bytes, fields that change, lengths and checksums.

use vnet::wire::checksum::{finish, finish_nonzero, fold, sum};
use vnet::wire::ip4::protocol;

use super::fields::{Random, Span};
use super::pcap::MAX_PACKET;

/// A field that changes from packet to packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where its first byte stands in the packet.
    pub offset: usize,
    /// Its bytes, at most 8.
    pub width: usize,
    /// Its values.
    pub span: Span,
}

/// Which IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// 20 bytes, with a checksum.
    V4,
    /// 40 bytes.
    V6,
}

/// An IP header in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpLayer {
    /// Where it stands.
    pub offset: usize,
    /// Its version.
    pub version: IpVersion,
    /// Fill in the length.
    pub length: bool,
    /// Fill in the checksum of an IPv4 header.
    pub checksum: bool,
}

impl IpLayer {
    fn end(&self) -> usize {
        self.offset + if self.version == IpVersion::V4 { 20 } else { 40 }
    }

    /// Where the addresses begin, which are the last of the header.
    fn addresses(&self) -> usize {
        self.offset + if self.version == IpVersion::V4 { 12 } else { 8 }
    }

    /// Where the length stands, and what it does not count.
    fn length_at(&self) -> (usize, usize) {
        if self.version == IpVersion::V4 { (self.offset + 2, 0) } else { (self.offset + 4, 40) }
    }
}

/// A TCP, UDP or ICMP header behind the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportLayer {
    /// Where it stands.
    pub offset: usize,
    /// IP's number of it.
    pub protocol: u8,
    /// Fill in UDP's length.
    pub length: bool,
    /// Fill in the checksum.
    pub checksum: bool,
}

impl TransportLayer {
    /// Where the checksum stands in the packet.
    fn checksum_at(&self) -> usize {
        self.offset
            + match self.protocol {
                protocol::TCP => 16,
                protocol::UDP => 6,
                _ => 2,
            }
    }
}

/// What the packets of a stream look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The packet before any field is filled in, as long as the longest.
    pub bytes: Vec<u8>,
    /// Fields that change.
    pub edits: Vec<Edit>,
    /// The size of the packets, in bytes.
    pub size: Span,
    /// The IP header.
    pub ip: Option<IpLayer>,
    /// The header behind it; only with `ip`.
    pub transport: Option<TransportLayer>,
}

/// Makes the packets of a template, one after the other, without an allocation.
///
/// What does not change is summed once; a packet costs the stores of its fields and a few additions.
#[derive(Debug)]
pub struct Maker {
    template: Template,
    scratch: Vec<u8>,
    /// The sum of the IPv4 header, with zeroes where fields change.
    ip4_sum: u64,
    /// For each size, the sum of what the transport checksum covers besides the fields that change.
    transport_sums: Vec<u16>,
    /// For each edit, whether the IPv4 header's checksum and that of the transport cover it.
    covered: Vec<(bool, bool)>,
}

impl Maker {
    /// Prepares a template, whose layers and edits lie within its shortest packet.
    pub fn new(template: &Template) -> Maker {
        let mut template = template.clone();
        let longest = (template.size.high as usize).min(MAX_PACKET);
        template.bytes.resize(longest, 0);
        let mut scratch = template.bytes.clone();
        let shortest = (template.size.low as usize).min(longest);
        let fits = |end: usize| end <= shortest;
        template.edits.retain(|edit| edit.width <= 8 && fits(edit.offset + edit.width));
        template.ip = template.ip.filter(|ip| fits(ip.end()));
        template.transport =
            template.transport.filter(|transport| template.ip.is_some() && fits(transport.checksum_at() + 2));
        for edit in &template.edits {
            scratch[edit.offset..edit.offset + edit.width].fill(0);
        }
        let mut maker = Maker { covered: Vec::new(), ip4_sum: 0, transport_sums: Vec::new(), scratch, template };
        maker.sum_what_stays(shortest);
        maker
    }

    fn sum_what_stays(&mut self, shortest: usize) {
        let Some(ip) = self.template.ip.clone() else {
            self.covered = vec![(false, false); self.template.edits.len()];
            return;
        };
        let header = ip.offset..ip.end();
        let addresses = ip.addresses()..ip.end();
        if ip.length {
            let (at, _) = ip.length_at();
            self.scratch[at..at + 2].fill(0);
        }
        if ip.checksum {
            self.scratch[ip.offset + 10..ip.offset + 12].fill(0);
        }
        self.ip4_sum = sum(&self.scratch[header.clone()], 0);
        let transport = self.template.transport.clone();
        // RFC 768 and RFC 9293 section 3.1: the pseudo-header; ICMP (RFC 792) has none.
        let pseudo = transport.as_ref().is_some_and(|transport| transport.protocol != protocol::ICMP);
        self.covered = (self.template.edits.iter())
            .map(|edit| {
                let address = pseudo && addresses.contains(&edit.offset);
                let behind = transport.as_ref().is_some_and(|transport| edit.offset >= transport.offset);
                (header.contains(&edit.offset), address || behind)
            })
            .collect();
        let Some(transport) = transport.filter(|transport| transport.checksum) else { return };
        if transport.length {
            self.scratch[transport.offset + 4..transport.offset + 6].fill(0);
        }
        let at = transport.checksum_at();
        self.scratch[at..at + 2].fill(0);
        let mut running = sum(&self.scratch[transport.offset..shortest], 0);
        let addresses = if pseudo { sum(&self.scratch[addresses], transport.protocol.into()) } else { 0 };
        self.transport_sums.push(fold(running + addresses));
        for end in shortest..self.scratch.len() {
            let high = (end - transport.offset).is_multiple_of(2);
            running += u64::from(self.scratch[end]) << if high { 8 } else { 0 };
            self.transport_sums.push(fold(running + addresses));
        }
    }

    /// The packet with this number (from 0).
    #[inline]
    pub fn make(&mut self, number: u64, random: &mut Random) -> &[u8] {
        let template = &self.template;
        let len = template.size.value(number, random) as usize;
        let len = len.min(self.scratch.len());
        let (mut ip4_sum, mut edits_sum) = (self.ip4_sum, 0);
        for (edit, (in_ip4, in_transport)) in template.edits.iter().zip(&self.covered) {
            let bytes = edit.span.value(number, random).to_be_bytes();
            let bytes = &bytes[8 - edit.width..];
            self.scratch[edit.offset..edit.offset + edit.width].copy_from_slice(bytes);
            if *in_ip4 || *in_transport {
                let part = aligned_sum(bytes, edit.offset, template.ip.as_ref());
                ip4_sum += if *in_ip4 { part } else { 0 };
                edits_sum += if *in_transport { part } else { 0 };
            }
        }
        if let Some(ip) = &template.ip {
            let at = ip.offset;
            if ip.length {
                let (place, less) = ip.length_at();
                let total = (len - at - less) as u16;
                self.scratch[place..place + 2].copy_from_slice(&total.to_be_bytes());
                ip4_sum += u64::from(total);
            }
            if ip.checksum {
                self.scratch[at + 10..at + 12].copy_from_slice(&finish(ip4_sum).to_be_bytes());
            }
        }
        if let Some(transport) = &template.transport {
            let at = transport.offset;
            let own = (len - at) as u16;
            if transport.length {
                self.scratch[at + 4..at + 6].copy_from_slice(&own.to_be_bytes());
            }
            if transport.checksum {
                let place = transport.checksum_at();
                let mut sum =
                    u64::from(self.transport_sums[len - (self.scratch.len() + 1 - self.transport_sums.len())]);
                sum += edits_sum;
                let field = match transport.protocol {
                    protocol::UDP => {
                        let counted = u64::from(own) + if transport.length { u64::from(own) } else { 0 };
                        finish_nonzero(sum + counted)
                    }
                    protocol::TCP | protocol::ICMP6 => finish(sum + u64::from(own)),
                    _ => finish(sum),
                };
                self.scratch[place..place + 2].copy_from_slice(&field.to_be_bytes());
            }
        }
        &self.scratch[..len]
    }
}

/// The sum of a field, as its bytes count in a checksum that begins at an IP header: all headers have even lengths.
fn aligned_sum(bytes: &[u8], offset: usize, ip: Option<&IpLayer>) -> u64 {
    let odd = ip.is_some_and(|ip| !offset.abs_diff(ip.offset).is_multiple_of(2));
    if !odd {
        return sum(bytes, 0);
    }
    bytes.iter().enumerate().map(|(at, byte)| u64::from(*byte) << if at % 2 == 0 { 0 } else { 8 }).sum()
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketHeaders, TransportHeader};
    use proptest::prelude::*;

    use super::super::fields::Course;
    use super::*;

    fn span(low: u64, more: u64, course: Course) -> Span {
        if more == 0 { Span::fixed(low) } else { Span { low, high: low + more, course } }
    }

    fn template(number: u8, addresses: [Span; 2], ports: [Span; 2], payload: Vec<u8>, size: Span) -> Template {
        let header = match number {
            protocol::TCP => 20,
            _ => 8,
        };
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend([0x45, 0, 0, 0, 0, 1, 0, 0, 64, number, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        bytes.extend(vec![0; header]);
        match number {
            protocol::TCP => bytes[34 + 12] = 0x50,
            protocol::ICMP => bytes[34] = 8,
            _ => (),
        }
        bytes.extend(payload);
        let mut edits =
            vec![Edit { offset: 26, width: 4, span: addresses[0] }, Edit { offset: 30, width: 4, span: addresses[1] }];
        if number != protocol::ICMP {
            edits.push(Edit { offset: 34, width: 2, span: ports[0] });
            edits.push(Edit { offset: 36, width: 2, span: ports[1] });
        }
        let transport =
            TransportLayer { offset: 34, protocol: number, length: number == protocol::UDP, checksum: true };
        let ip = IpLayer { offset: 14, version: IpVersion::V4, length: true, checksum: true };
        Template { bytes, edits, size, ip: Some(ip), transport: Some(transport) }
    }

    proptest! {
        #[test]
        fn every_packet_is_correct(
            number in prop::sample::select(vec![1u8, 6, 17]),
            addresses in [(any::<u32>(), 0u64..3), (any::<u32>(), 0u64..3)],
            ports in [(0u16..60000, 0u64..3), (0u16..60000, 0u64..3)],
            payload in prop::collection::vec(any::<u8>(), 0..60),
            more in 0u64..40, random: bool,
        ) {
            let course = if random { Course::Random } else { Course::Step };
            let low = 14 + 20 + if number == 6 { 20 } else { 8 };
            let size = span(low, more, course);
            let template = template(
                number,
                addresses.map(|(low, more)| span(u64::from(low), more, course)),
                ports.map(|(low, more)| span(u64::from(low), more, course)),
                payload,
                size,
            );
            let mut maker = Maker::new(&template);
            let mut drawn = Random::new(7);
            for count in 0..6 {
                let packet = maker.make(count, &mut drawn).to_vec();
                prop_assert!((size.low..=size.high).contains(&(packet.len() as u64)));
                let parsed = PacketHeaders::from_ethernet_slice(&packet).unwrap();
                let Some(etherparse::NetHeaders::Ipv4(ip, _)) = &parsed.net else { panic!("no IPv4") };
                prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                prop_assert_eq!(usize::from(ip.total_len), packet.len() - 14);
                let payload = parsed.payload.slice();
                match parsed.transport.as_ref().unwrap() {
                    TransportHeader::Udp(udp) => {
                        prop_assert_eq!(usize::from(udp.length), packet.len() - 34);
                        prop_assert_eq!(udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap());
                    }
                    TransportHeader::Tcp(tcp) => {
                        prop_assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap());
                    }
                    TransportHeader::Icmpv4(icmp) => {
                        prop_assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(payload));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_ip6_packet_is_correct(
            number in prop::sample::select(vec![6u8, 17, 58]),
            source: u64, more in 0u64..3, payload in prop::collection::vec(any::<u8>(), 0..60), longer in 0u64..40,
        ) {
            let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, number, 64];
            bytes.extend([0x20; 32]);
            bytes.extend(vec![0; if number == 6 { 20 } else { 8 }]);
            match number {
                protocol::TCP => bytes[54 + 12] = 0x50,
                protocol::ICMP6 => bytes[54] = 128,
                _ => (),
            }
            let low = bytes.len() as u64;
            bytes.extend(payload);
            let edits = vec![Edit { offset: 30, width: 8, span: span(source >> 1, more, Course::Step) }];
            let ip = IpLayer { offset: 14, version: IpVersion::V6, length: true, checksum: false };
            let transport =
                TransportLayer { offset: 54, protocol: number, length: number == protocol::UDP, checksum: true };
            let size = span(low, longer, Course::Step);
            let template = Template { bytes, edits, size, ip: Some(ip), transport: Some(transport) };
            let (mut maker, mut drawn) = (Maker::new(&template), Random::new(7));
            for count in 0..6 {
                let packet = maker.make(count, &mut drawn).to_vec();
                let parsed = PacketHeaders::from_ethernet_slice(&packet).unwrap();
                let Some(etherparse::NetHeaders::Ipv6(ip, _)) = &parsed.net else { panic!("no IPv6") };
                prop_assert_eq!(usize::from(ip.payload_length), packet.len() - 54);
                let payload = parsed.payload.slice();
                match parsed.transport.as_ref().unwrap() {
                    TransportHeader::Udp(udp) => {
                        prop_assert_eq!(usize::from(udp.length), packet.len() - 54);
                        prop_assert_eq!(udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap());
                    }
                    TransportHeader::Tcp(tcp) => {
                        prop_assert_eq!(tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap());
                    }
                    TransportHeader::Icmpv6(icmp) => {
                        let right = icmp.icmp_type.calc_checksum(ip.source, ip.destination, payload).unwrap();
                        prop_assert_eq!(icmp.checksum, right);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn an_impossible_template_is_cut_to_what_fits() {
        let size = Span::fixed(20);
        let mut maker = Maker::new(&template(17, [Span::fixed(1); 2], [Span::fixed(1); 2], vec![], size));
        assert_eq!(maker.make(0, &mut Random::new(0)).len(), 20);
    }
}
