//! Large segments with unfinished checksums: through every tunnel and out of it again.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::{IpHeaders, Ipv4Header, PacketBuilder, SlicedPacket, TransportSlice};
use vnet::Offload;

use crate::bed::{Bed, CLIENT_MAC, Frame, MAC0};
use crate::frames::bytes;

const VIP4: &str = "90.0.0.1";
const VIP6: &str = "2003::1";
/// Bytes of payload in a piece.
const SIZE: u16 = 1200;

/// The balancer, whose servers are behind 10.0.2.2 and 2002::2.
fn balancer(vip: &str, encap: &str) -> Bed {
    let mut bed = Bed::new();
    let length = if vip == VIP6 { 128 } else { 32 };
    let server = if encap.contains('6') { "2007::2" } else { "10.7.0.2" };
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
        "ip route add 10.7.0.0/24 via 10.0.2.2",
        "ip route add 2007::/64 via 2002::2",
        "lb conf ip4-src-address 10.66.0.1",
        "lb conf ip6-src-address 2066::1",
        &format!("lb vip {vip}/{length} encap {encap}"),
        &format!("lb as {vip}/{length} {server}"),
    ]);
    bed
}

/// The tunnel's other end, which sends what comes out to `toy1`.
fn end(encap: &str) -> Bed {
    let mut bed = Bed::new();
    let kind = &encap[..encap.find(['4', '6']).unwrap()];
    let ends = if encap.contains('6') { "src 2007::2 dst 2066::1" } else { "src 10.7.0.2 dst 10.66.0.1" };
    bed.type_all(&[
        "set interface ip address toy1 10.7.0.2/24",
        "set interface ip address toy1 2007::2/64",
        "set interface ip address toy0 2001::1/64",
        "set ip neighbor toy1 2007::9 2e:f8:32:92:a8:32",
        "ip route add 90.0.0.1/32 via 10.0.2.2",
        "ip route add 2003::1/128 via 2007::9",
        &format!("create {kind} tunnel {ends}"),
        &format!("set interface state {kind}0 up"),
    ]);
    bed
}

/// What a client's kernel leaves to its device: a segment to be cut, with the sum of the pseudo-header in place of the
/// checksum. `udp`: datagrams.
fn large(vip: &str, payload: usize, udp: bool) -> Frame {
    let (ethernet, mut whole) = (PacketBuilder::ethernet2(CLIENT_MAC, MAC0), Vec::new());
    let ip = match vip.parse().unwrap() {
        IpAddr::V4(vip) => {
            let mut ip = Ipv4Header::new(0, 61, 6.into(), [10, 0, 1, 2], vip.octets()).unwrap();
            (ip.dont_fragment, ip.identification) = (true, 0x4321);
            ethernet.ip(IpHeaders::Ipv4(ip, Default::default()))
        }
        IpAddr::V6(vip) => {
            let client: Ipv6Addr = "2001::2".parse().unwrap();
            ethernet.ipv6(client.octets(), vip.octets(), 61)
        }
    };
    let (start, at) = (if vip == VIP6 { 54 } else { 34 }, if udp { 6 } else { 16 });
    if udp {
        ip.udp(4000, 80).write(&mut whole, &bytes(payload)).unwrap();
    } else {
        ip.tcp(4000, 80, 1000, 64240).ack(7).psh().write(&mut whole, &bytes(payload)).unwrap();
    }
    let field = start + at..start + at + 2;
    let full = !u32::from(u16::from_be_bytes([whole[field.start], whole[field.start + 1]])) & 0xffff;
    whole[field.clone()].fill(0);
    let pseudo = (full + 0xffff - sum(&whole[start..])) % 0xffff;
    whole[field].copy_from_slice(&(pseudo as u16).to_be_bytes());
    let kind = match (udp, vip) {
        (true, _) => Offload::GSO_UDP,
        (false, VIP4) => Offload::GSO_TCP4,
        (false, _) => Offload::GSO_TCP6,
    };
    Frame { bytes: whole, offload: kind | Offload::CHECKSUM, gso_size: SIZE, checksum: (start, at as u16) }
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|two| u64::from(two[0]) << 8 | u64::from(*two.get(1).unwrap_or(&0)));
    (words.sum::<u64>() % 0xffff) as u32
}

/// The payload of a packet with right checksums, and the number of its first byte in the stream (0 for datagrams).
#[track_caller]
fn checked(frame: &[u8]) -> (u32, Vec<u8>) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let (v4, v6) = match sliced.net.as_ref().unwrap() {
        etherparse::NetSlice::Ipv4(ip) => (Some(ip.header().to_header()), None),
        etherparse::NetSlice::Ipv6(ip) => (None, Some(ip.header().to_header())),
        other => panic!("{other:?}"),
    };
    assert!(v4.as_ref().is_none_or(|ip| ip.header_checksum == ip.calc_header_checksum()));
    match sliced.transport.unwrap() {
        TransportSlice::Tcp(tcp) => {
            let header = tcp.to_header();
            let sum = match (&v4, &v6) {
                (Some(ip), _) => header.calc_checksum_ipv4(ip, tcp.payload()).unwrap(),
                (_, ip) => header.calc_checksum_ipv6(ip.as_ref().unwrap(), tcp.payload()).unwrap(),
            };
            assert_eq!(tcp.checksum(), sum);
            (header.sequence_number - 1000, tcp.payload().to_vec())
        }
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            let sum = match (&v4, &v6) {
                (Some(ip), _) => header.calc_checksum_ipv4(ip, udp.payload()).unwrap(),
                (_, ip) => header.calc_checksum_ipv6(ip.as_ref().unwrap(), udp.payload()).unwrap(),
            };
            assert_eq!(udp.checksum(), sum);
            (0, udp.payload().to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn large_segments_come_out_of_every_tunnel_whole() {
    for encap in ["gre4", "gre6", "ipip4", "ipip6", "gue4", "gue6", "gue4 variant 1", "gue6 variant 1"] {
        let overhead = [("gre", 4), ("ipip", 0), ("gue4 v", 8), ("gue6 v", 8), ("gue", 12)];
        let overhead = overhead.iter().find(|(start, _)| encap.starts_with(start)).unwrap().1;
        let outer = overhead + if encap.contains('6') { 40 } else { 20 };
        for vip in [VIP4, VIP6] {
            let (mut balancer, mut end) = (balancer(vip, encap), end(encap));
            for udp in [false, true] {
                for payload in [1201, 20_000, 64_000] {
                    let case = format!("{vip} {encap}, UDP: {udp}, {payload} bytes");
                    let left = balancer.reaching_servers([large(vip, payload, udp)]);
                    assert_eq!(left.len(), payload.div_ceil(SIZE.into()), "{case}");
                    let inner = if vip == VIP6 { 40 } else { 20 } + if udp { 8 } else { 20 } + usize::from(SIZE);
                    assert!(left.iter().rev().skip(1).all(|frame| frame.len() == 14 + outer + inner), "{case}");
                    let arriving = left.into_iter().map(|mut frame| {
                        frame[..6].copy_from_slice(&MAC0);
                        frame
                    });
                    let out = end.reaching_servers(arriving.collect::<Vec<_>>());
                    let mut got = Vec::new();
                    for frame in &out {
                        let (at, part) = checked(frame);
                        assert!(udp || at as usize == got.len(), "{case}");
                        got.extend(part);
                    }
                    assert_eq!(got, bytes(payload), "{case}");
                }
            }
        }
    }
}

/// A segment that passes uncut counts as what a device makes of it.
#[test]
fn large_segments_count_as_their_pieces() {
    for (vip, encap) in [
        (VIP4, "l2dsr"),
        (VIP6, "l2dsr"),
        (VIP4, "nat4"),
        (VIP6, "nat6"),
        (VIP4, "fullnat4"),
        (VIP6, "fullnat6"),
        (VIP4, "gre4"),
    ] {
        for udp in [false, true] {
            let mut bed = Bed::new();
            let (length, server) = if vip == VIP6 { (128, "2002::2") } else { (32, "10.0.2.2") };
            let protocol = if udp { "udp" } else { "tcp" };
            let key = format!("{vip}/{length} protocol {protocol} port 80");
            let target = if encap.contains("nat") { " target_port 8080" } else { "" };
            bed.type_all(&[
                "set interface ip address toy0 2001::1/64",
                "set interface ip address toy1 2002::1/64",
                "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
                "lb conf ip6-src-address 2002::1",
                &format!("lb vip {key} encap {encap}{target}"),
                &format!("lb as {key} {server}"),
            ]);
            let headers = if vip == VIP6 { 40 } else { 20 } + if udp { 8 } else { 20 };
            let (mut packets, mut bytes) = (0, 0);
            // The second fits a buffer, and the way.
            for payload in [20_000, 1201, 1200, 64_000] {
                let left = bed.reaching_servers([large(vip, payload, udp)]);
                packets += payload.div_ceil(SIZE.into());
                bytes += payload + payload.div_ceil(SIZE.into()) * headers;
                let case = format!("{vip} {encap}, UDP: {udp}, {payload} bytes");
                assert_eq!(left.len(), payload.div_ceil(SIZE.into()), "{case}");
                assert_eq!(bed.shown("      packets"), packets as u64, "{case}");
                assert_eq!(bed.shown(" bytes"), bytes as u64, "{case}");
            }
        }
    }
}
