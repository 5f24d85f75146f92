//! The same for IPv6, with extension headers or without.

use super::*;
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

const SOURCE: [u8; 16] = [0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const DESTINATION: [u8; 16] = [0x20, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A large segment behind Ethernet.
fn large(kind: Kind, seq: u32, options: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6(SOURCE, DESTINATION, 64);
    match kind {
        Kind::Udp4 | Kind::Udp6 => ip.udp(1000, 80).write(&mut packet, payload).unwrap(),
        Kind::Tcp4 | Kind::Tcp6 => ip.tcp(1000, 80, seq, 8192).ack(7).psh().write(&mut packet, payload).unwrap(),
    }
    if options {
        packet.splice(54..54, [packet[20], 0, 1, 4, 0, 0, 0, 0]);
        packet[20] = ip6_ext::DESTINATION;
    }
    packet
}

proptest! {
    #[test]
    fn pieces_are_right_packets_and_make_the_whole(
        payload in prop::collection::vec(any::<u8>(), 1..5000), size in 1u16..1500, options: bool, udp: bool, seq: u32,
    ) {
        // A few hundred pieces are enough.
        let size = size.max(payload.len() as u16 / 200 + 1);
        let kind = if udp { Kind::Udp6 } else { Kind::Tcp6 };
        let packet = large(kind, seq, options, &payload);
        let plan = Plan::new(&packet, 14, kind, size, packet.len()).unwrap();
        let mut whole: Vec<u8> = Vec::new();
        for piece in plan.pieces() {
            let body = &packet[plan.headers_len()..][piece.at..piece.at + piece.len];
            let mut bytes = packet[..plan.headers_len()].to_vec();
            plan.complete(&mut bytes, piece, checksum::sum(body, 0)).unwrap();
            bytes.extend(body);
            prop_assert!(bytes.len() - 14 <= plan.longest());
            let sliced = SlicedPacket::from_ethernet(&bytes).unwrap();
            let Some(etherparse::NetSlice::Ipv6(net)) = &sliced.net else { panic!("not IPv6") };
            prop_assert_eq!(usize::from(net.header().payload_length()), bytes.len() - 54);
            match sliced.transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    prop_assert_eq!(tcp.calc_checksum_ipv6(SOURCE, DESTINATION).unwrap(), tcp.checksum());
                    prop_assert_eq!(tcp.sequence_number(), seq.wrapping_add(whole.len() as u32));
                    prop_assert_eq!(tcp.psh(), piece.at + piece.len == payload.len());
                    whole.extend(tcp.payload());
                }
                Some(TransportSlice::Udp(udp)) => {
                    let right = udp.to_header().calc_checksum_ipv6_raw(SOURCE, DESTINATION, udp.payload()).unwrap();
                    prop_assert_eq!(right, udp.checksum());
                    whole.extend(udp.payload());
                }
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(whole, payload);
    }

    #[test]
    fn never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), size: u16, more in 0usize..70000, udp: bool,
    ) {
        if bytes.len() > 6 {
            (bytes[0], bytes[6]) = (0x60, [6, 17, 60, 43][usize::from(bytes[6] % 4)]);
        }
        let kind = if udp { Kind::Udp6 } else { Kind::Tcp6 };
        if let Ok(plan) = Plan::new(&bytes, 0, kind, size, bytes.len() + more) {
            for piece in plan.pieces().take(3).chain(plan.pieces().last()) {
                let _ = plan.complete(&mut bytes.clone(), piece, 9);
            }
        }
    }
}

#[test]
fn refuses_what_it_cannot_cut() {
    let packet = large(Kind::Tcp6, 0, false, &[0; 100]);
    let plan = |packet: &[u8], kind| Plan::new(packet, 14, kind, 10, packet.len());
    assert!(plan(&packet, Kind::Tcp6).is_ok());
    for kind in [Kind::Udp6, Kind::Tcp4, Kind::Udp4] {
        assert_eq!(plan(&packet, kind), Err(GsoError::WrongHeaders), "{kind:?}");
    }
    let mut fragment = packet.clone();
    fragment.splice(54..54, [6, 0, 0, 1, 0, 0, 0, 1]);
    fragment[20] = ip6_ext::FRAGMENT;
    assert_eq!(plan(&fragment, Kind::Tcp6), Err(GsoError::WrongHeaders));
    assert_eq!(plan(&packet[..60], Kind::Tcp6), Err(GsoError::Short));
}
