//! The text after `packet-generator new`.

use std::path::PathBuf;

use super::fields::Span;
use super::pcap::MAX_PACKET;
use super::stream::{ENDLESS, Source, StreamSpec};
use super::words::{Parsed, SyntaxError, Words, number, refuse};

/// Understands `{ name S limit N rate R size A-B interface IF node NODE worker N data { … } }`, and the same with
/// `pcap FILE` instead of `data`, in any order, with or without the outer braces.
///
/// # Errors
/// In words, with the word at fault.
pub fn stream(text: &str) -> Result<StreamSpec, SyntaxError> {
    let mut words = Words::new(text);
    let mut inner = if words.take("{") { words.block()? } else { std::mem::replace(&mut words, Words::new("")) };
    if let Some(word) = words.peek() {
        return refuse(format_args!("unknown input `{word}'"));
    }
    let options = Options::read(&mut inner)?;
    options.finish()
}

/// The text as it comes: what the packets look like depends on options that may follow.
struct Options<'t> {
    stream: StreamSpec,
    size: Option<Span>,
    data: Option<Words<'t>>,
    pcap: Option<&'t str>,
}

impl<'t> Options<'t> {
    fn read(words: &mut Words<'t>) -> Parsed<Options<'t>> {
        let stream = StreamSpec {
            name: None,
            limit: 0,
            rate: 0.0,
            source: None,
            tx: None,
            node: "ethernet-input".into(),
            worker: 0,
            max_frame: vnet::VECTOR,
            packets: Source::Pcap(PathBuf::new()),
        };
        let mut options = Options { stream, size: None, data: None, pcap: None };
        while let Some(word) = words.next() {
            options.option(word, words)?;
        }
        Ok(options)
    }

    fn option(&mut self, word: &str, words: &mut Words<'t>) -> Parsed<()> {
        let stream = &mut self.stream;
        match word {
            "name" => stream.name = Some(words.expect("a name")?.into()),
            "limit" => stream.limit = words.value("a number of packets", limit)?,
            "rate" => stream.rate = words.value("packets per second", rate)?,
            "size" => self.size = Some(words.span("sizes such as 64-1500", size)?),
            "interface" | "source" => stream.source = Some(words.expect("an interface")?.into()),
            "tx-interface" => stream.tx = Some(words.expect("an interface")?.into()),
            "node" => stream.node = words.expect("a node")?.into(),
            "worker" => stream.worker = words.number("the number of a packet thread", 65_535)? as usize,
            "maxframe" => stream.max_frame = words.value("packets per frame", number)?.clamp(1, 256) as usize,
            // In VPP whether buffers are used again; here they always return to their pool.
            "no-recycle" => (),
            "pcap" => self.pcap = Some(words.expect("a file")?),
            "data" if words.take("{") => self.data = Some(words.block()?),
            "data" => return refuse("expected `{' after `data'"),
            _ => return refuse(format_args!("unknown input `{word}'")),
        }
        Ok(())
    }

    fn finish(mut self) -> Parsed<StreamSpec> {
        self.stream.packets = match (self.pcap, self.data) {
            (Some(_), None) if self.size.is_some() => return refuse("`size' is of no use with `pcap'"),
            (Some(file), None) => Source::Pcap(file.into()),
            (None, Some(mut data)) => Source::Template(super::data::template(&mut data, self.size)?),
            (Some(_), Some(_)) => return refuse("expected `pcap' or `data', got both"),
            (None, None) => return refuse("expected `pcap FILE' or `data { … }'"),
        };
        Ok(self.stream)
    }
}

fn limit(word: &str) -> Option<u64> {
    if word == "-1" { Some(ENDLESS) } else { number(word) }
}

fn rate(word: &str) -> Option<f64> {
    word.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
}

fn size(word: &str) -> Option<u64> {
    number(word).filter(|size| (1..=MAX_PACKET as u64).contains(size))
}

#[cfg(test)]
mod tests {
    use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
    use proptest::prelude::*;

    use super::super::fields::{Course, Random};
    use super::super::template::{Maker, Template};
    use super::*;

    fn template(text: &str) -> Template {
        match stream(text).unwrap().packets {
            Source::Template(template) => template,
            Source::Pcap(file) => panic!("{file:?}"),
        }
    }

    fn refused(text: &str) -> String {
        stream(text).unwrap_err().to_string()
    }

    #[test]
    fn a_stream_as_benchmarks_write_it() {
        let text = "{ name s limit 100 rate 1e6 size 64-64 interface pg0 node ethernet-input worker 1 no-recycle
            data { IP4: 00:00:00:00:01:02 -> 02fe.0000.0001
                   UDP: 10.0.0.1 - 10.0.3.231 -> 90.0.0.1
                   UDP: 1024 - 2047 -> 80 length 30 checksum 0 incrementing 30 } }";
        let spec = stream(text).unwrap();
        assert_eq!((spec.name.as_deref(), spec.limit, spec.rate, spec.worker), (Some("s"), 100, 1e6, 1));
        assert_eq!((spec.source.as_deref(), spec.tx, spec.node.as_str()), (Some("pg0"), None, "ethernet-input"));
        let mut maker = Maker::new(&template(text));
        // 10.0.0.1 to 10.0.3.231 are 999 addresses.
        for (number, source, port) in
            [(0, [10, 0, 0, 1], 1024), (998, [10, 0, 3, 231], 2022), (999, [10, 0, 0, 1], 2023)]
        {
            let packet = maker.make(number, &mut Random::new(0)).to_vec();
            let parsed = PacketHeaders::from_ethernet_slice(&packet).unwrap();
            assert_eq!((packet.len(), parsed.link.unwrap().ethernet2().unwrap().source), (64, [0, 0, 0, 0, 1, 2]));
            let Some(NetHeaders::Ipv4(ip, _)) = parsed.net else { panic!() };
            assert_eq!((ip.source, ip.destination, ip.total_len), (source, [90, 0, 0, 1], 50));
            let Some(TransportHeader::Udp(udp)) = parsed.transport else { panic!() };
            assert_eq!((udp.source_port, udp.destination_port, udp.length, udp.checksum), (port, 80, 30, 0));
            assert_eq!(&packet[42..], (0..22).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn a_stream_from_a_file() {
        let spec = stream("pcap /tmp/in.pcap source pg0 name four limit -1 rate 10").unwrap();
        assert_eq!((spec.packets, spec.limit), (Source::Pcap("/tmp/in.pcap".into()), ENDLESS));
        assert_eq!((spec.source.as_deref(), spec.name.as_deref(), spec.rate), (Some("pg0"), Some("four"), 10.0));
    }

    #[test]
    fn other_headers() {
        let tcp =
            template("data { TCP: 1.1.1.1 -> 2.2.2.2 ttl 5 tos 4 df TCP: 1 -> 2 syn ack seq 7 window 9 hex 0xabcd }");
        assert_eq!((tcp.bytes.len(), tcp.size), (42, Span::fixed(42)));
        let packet = Maker::new(&tcp).make(0, &mut Random::new(0)).to_vec();
        let parsed = PacketHeaders::from_ip_slice(&packet).unwrap();
        let Some(NetHeaders::Ipv4(ip, _)) = parsed.net else { panic!() };
        assert_eq!((ip.time_to_live, ip.dont_fragment, ip.dscp.value()), (5, true, 1));
        let Some(TransportHeader::Tcp(tcp)) = parsed.transport else { panic!() };
        assert_eq!((tcp.syn, tcp.ack, tcp.fin, tcp.sequence_number, tcp.window_size), (true, true, false, 7, 9));
        assert_eq!(parsed.payload.slice(), [0xab, 0xcd]);
        let icmp = template("data { ICMP: 1.1.1.1 -> 2.2.2.2 ICMP echo_request incrementing 4 }");
        let packet = Maker::new(&icmp).make(0, &mut Random::new(0)).to_vec();
        let parsed = PacketHeaders::from_ip_slice(&packet).unwrap();
        let Some(TransportHeader::Icmpv4(header)) = parsed.transport else { panic!() };
        assert_eq!(header.checksum, header.icmp_type.calc_checksum(parsed.payload.slice()));
        assert_eq!(template("data { hex 0x0102 }").bytes, [1, 2]);
        let arp = template("data { ARP: 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff incrementing 28 } size 60+64");
        assert_eq!((arp.size.course, &arp.bytes[12..14]), (Course::Random, &[8, 6][..]));
    }

    #[test]
    fn errors_name_the_word_at_fault() {
        assert_eq!(refused("name"), "expected a name at the end");
        assert_eq!(refused("{ name x"), "expected `}' at the end");
        assert_eq!(refused("{ name x } y"), "unknown input `y'");
        assert_eq!(refused("limit many"), "expected a number of packets, got `many'");
        assert_eq!(refused("rate -1"), "expected packets per second, got `-1'");
        assert_eq!(refused("size 0-64"), "expected sizes such as 64-1500, got `0-64'");
        assert_eq!(refused("name x"), "expected `pcap FILE' or `data { … }'");
        assert_eq!(refused("pcap f data { hex 00 }"), "expected `pcap' or `data', got both");
        assert_eq!(refused("data x"), "expected `{' after `data'");
        assert_eq!(refused("data { }"), "expected headers or payload in `data'");
        assert_eq!(refused("data { hex 0x123 }"), "expected hexadecimal digits, got `0x123'");
        assert_eq!(refused("data { UDP: 1.1.1.1 2.2.2.2 }"), "expected `->', got `2.2.2.2'");
        assert_eq!(refused("data { UDP: 1.1.1 -> 2.2.2.2 }"), "expected a MAC address, got `2.2.2.2'");
        assert_eq!(refused("data { UDP: x -> y }"), "expected a MAC or IP address, got `x'");
        assert_eq!(refused("data { UDP: fd00::1 -> fd0:2 }"), "expected an IPv6 address, got `fd0:2'");
        assert_eq!(refused("data { UDP: fd00::1 - fd01::2 -> fd00::2 }"), "expected an IPv6 address, got `fd01::2'");
        assert_eq!(
            refused("data { UDP: 1.1.1.1 -> 2.2.2.2 TCP: 1 -> 2 }"),
            "`TCP:' does not follow the header before it"
        );
        assert_eq!(refused("data { UDP: 1.1.1.1 -> 2.2.2.2 UDP: 1 -> 99999 }"), "expected a port, got `99999'");
        assert_eq!(
            refused("size 20 data { UDP: 1.1.1.1 -> 2.2.2.2 UDP: 1 -> 2 }"),
            "size 20 is below that of the headers, 28"
        );
        assert_eq!(refused("data { hex 00 junk }"), "unknown input `junk'");
    }

    const VOCABULARY: [&str; 26] = [
        "{",
        "}",
        "name",
        "limit",
        "size",
        "data",
        "pcap",
        "UDP:",
        "IP4:",
        "TCP:",
        "ICMP",
        "->",
        "-",
        "+",
        "1.2.3.4",
        "02:00:00:00:00:01",
        "80",
        "64-128",
        "length",
        "checksum",
        "incrementing",
        "hex",
        "0x00",
        "fragment",
        "id",
        "-1",
    ];

    proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = stream(&text);
        }

        #[test]
        fn never_panics_on_known_words(words in prop::collection::vec(prop::sample::select(&VOCABULARY[..]), 0..30)) {
            let text = words.join(" ");
            for text in [format!("data {{ {text} }}"), text] {
                if let Ok(StreamSpec { packets: Source::Template(template), .. }) = stream(&text) {
                    let mut maker = Maker::new(&template);
                    let len = maker.make(3, &mut Random::new(0)).len() as u64;
                    prop_assert!((template.size.low..=template.size.high).contains(&len));
                }
            }
        }

        #[test]
        fn ranges_are_kept(low: u32, more in 0u32..1000, port in 0u16..60000, random: bool, bytes in 0u64..100) {
            let high = low.saturating_add(more);
            let (from, to) = (std::net::Ipv4Addr::from(low), std::net::Ipv4Addr::from(high));
            let sign = if random { '+' } else { '-' };
            let text = format!(
                "limit {more} data {{ UDP: {from} {sign} {to} -> 90.0.0.1 UDP: {port}{sign}60000 -> 80 incrementing {bytes} }}"
            );
            let made = template(&text);
            prop_assert_eq!(made.size, Span::fixed(28 + bytes));
            let spans: Vec<_> = made.edits.iter().map(|edit| (edit.offset, edit.span.low, edit.span.high)).collect();
            let mut expected = vec![(12, u64::from(low), u64::from(high)), (20, u64::from(port), 60000)];
            expected.retain(|(_, low, high)| low != high);
            prop_assert_eq!(spans, expected);
            let course = if random { Course::Random } else { Course::Step };
            prop_assert!(made.edits.iter().all(|edit| edit.span.course == course));
        }
    }
}
