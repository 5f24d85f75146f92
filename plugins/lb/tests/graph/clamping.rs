//! Segment sizes that the two ends of a connection tell each other, through NAT.

use std::net::IpAddr;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use vnet::Offload;

use crate::bed::{Bed, CLIENT_MAC, Frame, MAC0, MAC1, SERVER_MAC};

/// A family's addresses: client, VIP, server.
const FAMILIES: [[&str; 3]; 2] = [["10.0.1.2", "90.0.0.1", "10.0.2.2"], ["2001::2", "2003::1", "2002::2"]];

/// Who sends to whom.
type Tuple = (IpAddr, u16, IpAddr, u16);

/// Begins a connection, or answers that.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Syn,
    SynAck,
    Ack,
}

/// A packet that tells a segment size, at an even or an odd place.
fn packet((source, sport, destination, dport): Tuple, says: Says, mss: u16, odd: bool) -> Vec<u8> {
    let (from, to) = if says == Says::SynAck { (SERVER_MAC, MAC1) } else { (CLIENT_MAC, MAC0) };
    let ethernet = PacketBuilder::ethernet2(from, to);
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 61),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 61),
        _ => panic!("families"),
    };
    let tcp = ip.tcp(sport, dport, 7, 1000);
    let tcp = match says {
        Says::Syn => tcp.syn(),
        Says::SynAck => tcp.syn().ack(9),
        Says::Ack => tcp.ack(9),
    };
    let size = TcpOptionElement::MaximumSegmentSize(mss);
    let options = if odd { vec![TcpOptionElement::Noop, size] } else { vec![size] };
    let mut frame = Vec::new();
    tcp.options(&options).unwrap().write(&mut frame, &[]).unwrap();
    frame
}

/// Who sends what to whom, if the checksum is right, and the size that it tells.
#[track_caller]
fn told(frame: &[u8]) -> (Tuple, u16) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("{frame:02x?}") };
    let header = tcp.to_header();
    let (source, destination, sum): (IpAddr, IpAddr, u16) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header().to_header();
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            (ip.source.into(), ip.destination.into(), header.calc_checksum_ipv4(&ip, tcp.payload()).unwrap())
        }
        NetSlice::Ipv6(ip) => {
            let ip = ip.header().to_header();
            (ip.source.into(), ip.destination.into(), header.calc_checksum_ipv6(&ip, tcp.payload()).unwrap())
        }
        _ => panic!("no IP: {frame:02x?}"),
    };
    assert_eq!(header.checksum, sum, "{frame:02x?}");
    let mss = header.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::MaximumSegmentSize(mss)) => Some(mss),
        _ => None,
    });
    ((source, tcp.source_port(), destination, tcp.destination_port()), mss.unwrap())
}

/// The same packet with the sum of the pseudo-header in place of the checksum, as stacks leave it to devices.
fn unfinished(mut frame: Vec<u8>) -> Frame {
    let start = if frame[12..14] == [0x86, 0xdd] { 54 } else { 34 };
    let field = start + 16..start + 18;
    let full = !u32::from(u16::from_be_bytes([frame[start + 16], frame[start + 17]])) & 0xffff;
    frame[field.clone()].fill(0);
    let words = frame[start..].chunks(2).map(|two| u64::from(two[0]) << 8 | u64::from(*two.get(1).unwrap_or(&0)));
    let pseudo = (full + 0xffff - (words.sum::<u64>() % 0xffff) as u32) % 0xffff;
    frame[field].copy_from_slice(&(pseudo as u16).to_be_bytes());
    Frame { bytes: frame, offload: Offload::CHECKSUM, checksum: (start, 16), ..Frame::default() }
}

/// A balancer whose VIPs of port 80 clamp so, with MTUs of 1400 towards clients and 1300 towards servers, and the addresses of a family.
fn bed(full: bool, six: bool, clamp: &str) -> (Bed, [IpAddr; 3]) {
    let mut bed = Bed::new();
    let [client, vip, server] = FAMILIES[usize::from(six)];
    let (digit, length) = if six { (6, 128) } else { (4, 32) };
    let encap = format!("{}nat{digit}", if full { "full" } else { "" });
    let key = format!("{vip}/{length} protocol tcp port 80");
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "lb conf ip6-src-address 2002::1",
        "set interface mtu 1400 toy0",
        "set interface mtu 1300 toy1",
        &format!("lb vip {key} encap {encap} target_port 8080 mss-clamp {clamp}"),
        &format!("lb as {key} {server}"),
        &format!("lb set interface nat{digit} in toy1"),
    ]);
    (bed, [client, vip, server].map(|address| address.parse().unwrap()))
}

#[test]
fn both_ends_are_told_what_fits() {
    for (full, six) in [(false, false), (false, true), (true, false), (true, true)] {
        for (clamp, least) in [("1200", 1200), ("auto", if six { 1240 } else { 1260 }), ("off", 9000)] {
            let (mut bed, [client, vip, server]) = bed(full, six, clamp);
            for (number, (mss, odd, whole)) in (0..).zip([
                (1460, false, true),
                (1460, true, true),
                (1460, false, false),
                (8960, true, false),
                (536, false, true),
                (least, true, true),
            ]) {
                let case = format!("full: {full}, IPv6: {six}, clamp {clamp}, {mss}, odd: {odd}, whole: {whole}");
                let frame = |bytes: Vec<u8>| if whole { Frame::from(bytes) } else { unfinished(bytes) };
                let client = (client, 1000 + number);
                let there = bed.reaching_servers([frame(packet((client.0, client.1, vip, 80), Says::Syn, mss, odd))]);
                let ((source, sport, to, dport), size) = told(&there[0]);
                assert_eq!((to, dport, size), (server, 8080, mss.min(least)), "{case}");
                let back = bed.send([frame(packet((server, 8080, source, sport), Says::SynAck, mss, odd))]);
                let (tuple, size) = told(&back[0].1);
                assert_eq!((back[0].0.as_str(), tuple), ("toy0", (vip, 80, client.0, client.1)), "{case}");
                assert_eq!(size, mss.min(least), "{case}");
                // What is no offer is left alone, wherever it stands.
                let later = bed.reaching_servers([packet((client.0, client.1, vip, 80), Says::Ack, mss, odd)]);
                assert_eq!(told(&later[0]).1, mss, "{case}");
            }
        }
    }
}

/// The segments of both ends go by both ways, and with direct return a client's by one.
#[test]
fn the_narrower_way_counts_where_both_are_ours() {
    for six in [false, true] {
        let (mut bed, [client, vip, server]) = bed(false, six, "auto");
        bed.type_all(&["set interface mtu 1290 toy0"]);
        let least = if six { 1230 } else { 1250 };
        let there = bed.reaching_servers([packet((client, 1000, vip, 80), Says::Syn, 1460, false)]);
        assert_eq!(told(&there[0]).1, least);
        let back = bed.send([packet((server, 8080, client, 1000), Says::SynAck, 1460, false)]);
        assert_eq!(told(&back[0].1).1, least);
        if !six {
            bed.type_all(&["lb vip 92.0.0.1/32 encap ipip4 mss-clamp auto", "lb as 92.0.0.1/32 10.0.2.2"]);
            let vip = "92.0.0.1".parse().unwrap();
            let mut there = bed.reaching_servers([packet((client, 1000, vip, 80), Says::Syn, 1460, false)]);
            // Without the outer header.
            there[0].drain(14..34);
            assert_eq!(told(&there[0]).1, 1300 - 20 - 40);
        }
    }
}
