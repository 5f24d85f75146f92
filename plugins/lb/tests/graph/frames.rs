//! Frames, made and judged by a library that is not ours.

use std::net::Ipv4Addr;

use etherparse::{
    Ethernet2Header, IpHeaders, IpNumber, Ipv4Header, NetSlice, PacketBuilder, SlicedPacket, TransportSlice,
};

use crate::bed::{CLIENT_MAC, MAC0, MAC1, SERVER_MAC};

/// The VIP of most tests.
pub const VIP: [u8; 4] = [90, 0, 0, 1];

/// The IPv4 header of a packet from a client to a VIP.
pub fn ip(source: [u8; 4], vip: [u8; 4]) -> Ipv4Header {
    let mut ip = Ipv4Header::new(0, 64, IpNumber::TCP, source, vip).unwrap();
    ip.dont_fragment = true;
    ip.identification = 0x1234;
    ip
}

/// A TCP frame with `payload` bytes.
pub fn tcp(ip: Ipv4Header, sport: u16, dport: u16, payload: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ip(IpHeaders::Ipv4(ip, Default::default()));
    let mut frame = Vec::new();
    builder.tcp(sport, dport, 1000, 64240).ack(7).write(&mut frame, &bytes(payload)).unwrap();
    frame
}

/// A UDP frame with `payload` bytes.
pub fn udp(ip: Ipv4Header, sport: u16, dport: u16, payload: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ip(IpHeaders::Ipv4(ip, Default::default()));
    let mut frame = Vec::new();
    builder.udp(sport, dport).write(&mut frame, &bytes(payload)).unwrap();
    frame
}

/// A frame whose IPv4 payload is `payload`, whatever the header says that it is.
pub fn raw(mut ip: Ipv4Header, payload: &[u8]) -> Vec<u8> {
    ip.set_payload_len(payload.len()).unwrap();
    let mut frame = Vec::new();
    let ethernet = Ethernet2Header { source: CLIENT_MAC, destination: MAC0, ether_type: etherparse::EtherType::IPV4 };
    ethernet.write(&mut frame).unwrap();
    ip.write(&mut frame).unwrap();
    frame.extend_from_slice(payload);
    frame
}

/// A TCP frame of a flow with this number.
pub fn flow(number: u32) -> Vec<u8> {
    let source = (0x0a09_0000 + (number >> 8)).to_be_bytes();
    tcp(ip(source, VIP), 1024 + (number & 0xff) as u16, 80, 10)
}

/// Bytes that differ.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Judges a frame to a server: link, IPv4 and GRE headers must be what they ought to be. Gives the server and the
/// inner packet.
#[track_caller]
pub fn opened(frame: &[u8]) -> (Ipv4Addr, &[u8]) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Ipv4(outer)) = &sliced.net else { panic!("not IPv4: {frame:x?}") };
    let header = outer.header().to_header();
    let (ethernet, _) = Ethernet2Header::from_slice(frame).unwrap();
    assert_eq!((ethernet.destination, ethernet.source), (SERVER_MAC, MAC1));
    assert_eq!((header.source, header.protocol), ([10, 0, 2, 1], IpNumber::GRE));
    assert_eq!((header.time_to_live, header.identification, header.dscp.value()), (127, 0, 0));
    assert!(!header.dont_fragment && !header.more_fragments && header.fragment_offset.value() == 0);
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(usize::from(header.total_len), frame.len() - 14);
    assert_eq!(frame[34..38], [0, 0, 8, 0]);
    (header.destination.into(), &frame[38..])
}

/// The server alone.
#[track_caller]
pub fn server(frame: &[u8]) -> Ipv4Addr {
    opened(frame).0
}

/// Judges the checksums of an IPv4 packet with TCP or UDP; gives the payload.
#[track_caller]
pub fn checked(packet: &[u8]) -> Vec<u8> {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4: {packet:x?}") };
    let ip = ip.header().to_header();
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    match sliced.transport.unwrap() {
        TransportSlice::Tcp(tcp) => {
            assert_eq!(tcp.checksum(), tcp.to_header().calc_checksum_ipv4(&ip, tcp.payload()).unwrap());
            tcp.payload().to_vec()
        }
        TransportSlice::Udp(udp) => {
            assert_eq!(udp.checksum(), udp.to_header().calc_checksum_ipv4(&ip, udp.payload()).unwrap());
            udp.payload().to_vec()
        }
        other => panic!("neither TCP nor UDP: {other:?}"),
    }
}

/// The SYN of a connection with this number, none of which [`flow`] has.
pub fn syn(number: u32) -> Vec<u8> {
    let source = (0x0b00_0000 + (number >> 8)).to_be_bytes();
    let ip = IpHeaders::Ipv4(ip(source, VIP), Default::default());
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ip(ip);
    let mut frame = Vec::new();
    builder.tcp(1024 + (number & 0xff) as u16, 80, number, 64240).syn().write(&mut frame, &[]).unwrap();
    frame
}
