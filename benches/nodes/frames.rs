//! The frames that cases send.

use std::net::IpAddr;

use etherparse::{IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder};

/// Frames to play again and again.
pub type Frames = Vec<Vec<u8>>;

/// Frames of a recording, each with another sender.
pub const SENDERS: u16 = 1000;

/// The link address of `pg0` or `pg1`.
pub fn mac(port: u8) -> [u8; 6] {
    [2, 0xfe, 0, 0, 0, port]
}

/// An IP header without a length.
fn ip(from: &str, to: &str, protocol: u8) -> IpHeaders {
    match (address(from), address(to)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (source, destination) = (from.octets(), to.octets());
            // Whoever is to cut them may.
            let (protocol, dont_fragment) = (IpNumber(protocol), false);
            IpHeaders::Ipv4(
                Ipv4Header { protocol, source, destination, time_to_live: 64, dont_fragment, ..Default::default() },
                Default::default(),
            )
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (source, destination) = (from.octets(), to.octets());
            let header = Ipv6Header {
                flow_label: Ipv6FlowLabel::ZERO,
                next_header: IpNumber(protocol),
                hop_limit: 64,
                source,
                destination,
                ..Default::default()
            };
            IpHeaders::Ipv6(header, Default::default())
        }
        _ => panic!("{from} and {to} are of different families"),
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

/// A UDP packet without a link header.
pub fn udp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let made = PacketBuilder::ip(ip(from.0, to.0, 17)).udp(from.1, to.1).write(&mut packet, payload);
    made.unwrap_or_else(|error| panic!("{error}"));
    packet
}

/// UDP packets of all senders to an address, as frames to a port.
pub fn udps(port: u8, from: fn(u16) -> String, to: &str, payload: &[u8]) -> Frames {
    (0..SENDERS).map(|n| frame(port, &udp((&from(n), 1000), (to, 80), payload))).collect()
}

/// A packet as a frame to a port.
pub fn frame(port: u8, packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&mac(port)[..], &[2, 0, 0, 0, 1, 2], &kind, packet].concat()
}

/// Packets of all senders in a tunnel of a kind between these ends, as frames to `pg0`.
pub fn wrapped(kind: &str, ends: [&str; 2], to: &str) -> Frames {
    let wrap = |n: u16| {
        let packet = udp((&format!("10.7.{}.{}", n >> 8, n & 0xff), 1000), (to, 80), &[0; 8]);
        let (protocol, shim): (u8, &[u8]) = match kind {
            "gre" => (47, &[0, 0, 8, 0]),
            "ipip" => (4, &[]),
            _ => (17, &[0, 4, 0, 0]),
        };
        let payload = [shim, &packet].concat();
        if protocol == 17 {
            // The port of GUE (draft-ietf-intarea-gue, section 4).
            return frame(0, &udp((ends[0], 0xc123), (ends[1], 6080), &payload));
        }
        let outer = match ip(ends[0], ends[1], protocol) {
            IpHeaders::Ipv4(mut header, _) => {
                header.set_payload_len(payload.len()).unwrap_or_else(|error| panic!("{error}"));
                header.header_checksum = header.calc_header_checksum();
                header.to_bytes().to_vec()
            }
            IpHeaders::Ipv6(mut header, _) => {
                header.payload_length = payload.len() as u16;
                header.to_bytes().to_vec()
            }
        };
        frame(0, &[outer, payload].concat())
    };
    (0..SENDERS).map(wrap).collect()
}

/// Echo requests of one sender to `pg0`'s own address.
pub fn echoes(from: &str, to: &str, payload: &[u8]) -> Frames {
    (0..SENDERS)
        .map(|n| {
            let mut packet = Vec::new();
            let made = match address(to).is_ipv4() {
                true => PacketBuilder::ip(ip(from, to, 1)).icmpv4_echo_request(1, n).write(&mut packet, payload),
                false => PacketBuilder::ip(ip(from, to, 58)).icmpv6_echo_request(1, n).write(&mut packet, payload),
            };
            made.unwrap_or_else(|error| panic!("{error}"));
            frame(0, &packet)
        })
        .collect()
}

/// IPv4 packets in two pieces each.
pub fn in_two(frames: Frames) -> Frames {
    let pieces = |(n, frame): (u16, Vec<u8>)| {
        let (whole, rest) = Ipv4Header::from_slice(&frame[14..]).unwrap_or_else(|error| panic!("{error}"));
        let half = (rest.len() / 2).next_multiple_of(8);
        [(0, &rest[..half], true), (half, &rest[half..], false)].map(|(offset, data, more)| {
            let mut header = whole.clone();
            (header.identification, header.more_fragments, header.dont_fragment) = (n, more, false);
            header.fragment_offset = IpFragOffset::try_new((offset / 8) as u16).unwrap_or_default();
            header.set_payload_len(data.len()).unwrap_or_else(|error| panic!("{error}"));
            header.header_checksum = header.calc_header_checksum();
            [&frame[..14], &header.to_bytes(), data].concat()
        })
    };
    (0..).zip(frames).flat_map(pieces).collect()
}
