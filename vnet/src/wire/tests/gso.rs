use super::*;
use etherparse::{PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;

const SOURCE: [u8; 4] = [10, 0, 1, 2];
const DESTINATION: [u8; 4] = [90, 0, 0, 1];

/// A large segment with every flag that matters, with an Ethernet header or without.
fn large(kind: Kind, link: bool, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let ip = match link {
        true => PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(SOURCE, DESTINATION, 64),
        false => PacketBuilder::ipv4(SOURCE, DESTINATION, 64),
    };
    match kind {
        Kind::Udp4 | Kind::Udp6 => ip.udp(1000, 80).write(&mut packet, payload).unwrap(),
        Kind::Tcp4 | Kind::Tcp6 => {
            let tcp = ip.tcp(1000, 80, seq, 8192).ack(7).psh().fin().cwr();
            tcp.options(&[TcpOptionElement::Timestamp(1, 2)]).unwrap().write(&mut packet, payload).unwrap();
        }
    }
    packet
}

/// Cuts as a node would.
fn cut(packet: &[u8], plan: &Plan) -> Vec<Vec<u8>> {
    let payload = &packet[plan.headers_len()..];
    let one = |piece: Piece| {
        let payload = &payload[piece.at..piece.at + piece.len];
        let mut bytes = packet[..plan.headers_len()].to_vec();
        plan.complete(&mut bytes, piece, checksum::sum(payload, 0)).unwrap();
        bytes.extend(payload);
        bytes
    };
    plan.pieces().map(one).collect()
}

proptest! {
    #[test]
    fn pieces_are_right_packets_and_make_the_whole(
        payload in prop::collection::vec(any::<u8>(), 1..5000), size in 1u16..1500,
        link: bool, udp: bool, seq: u32, id: u16,
    ) {
        // A few hundred pieces are enough.
        let size = size.max(payload.len() as u16 / 200 + 1);
        let kind = if udp { Kind::Udp4 } else { Kind::Tcp4 };
        let mut packet = large(kind, link, seq, &payload);
        let ip = if link { 14 } else { 0 };
        packet[ip + 4..ip + 6].copy_from_slice(&id.to_be_bytes());
        let plan = Plan::new(&packet, ip, kind, size, packet.len()).unwrap();
        let pieces = cut(&packet, &plan);
        prop_assert_eq!(pieces.len(), plan.count());
        let mut whole: Vec<u8> = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let (first, last) = (number == 0, number + 1 == pieces.len());
            prop_assert_eq!(&piece[..ip], &packet[..ip]);
            let sliced = SlicedPacket::from_ip(&piece[ip..]).unwrap();
            let Some(etherparse::NetSlice::Ipv4(net)) = &sliced.net else { panic!("not IPv4") };
            let header = net.header().to_header();
            prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
            prop_assert_eq!(usize::from(header.total_len), piece.len() - ip);
            prop_assert!(piece.len() - ip <= plan.longest());
            prop_assert_eq!(header.identification, id.wrapping_add(number as u16));
            match sliced.transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    prop_assert_eq!(tcp.calc_checksum_ipv4(SOURCE, DESTINATION).unwrap(), tcp.checksum());
                    prop_assert_eq!(tcp.sequence_number(), seq.wrapping_add(whole.len() as u32));
                    prop_assert_eq!((tcp.fin(), tcp.psh(), tcp.cwr(), tcp.ack()), (last, last, first, true));
                    whole.extend(tcp.payload());
                }
                Some(TransportSlice::Udp(udp)) => {
                    prop_assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
                    let expected = udp.to_header().calc_checksum_ipv4_raw(SOURCE, DESTINATION, udp.payload()).unwrap();
                    prop_assert_eq!(expected, udp.checksum());
                    whole.extend(udp.payload());
                }
                other => panic!("{other:?}"),
            }
            let len = piece.len() - plan.headers_len();
            prop_assert!(len == usize::from(size) || last && len > 0 && len < usize::from(size));
        }
        prop_assert_eq!(whole, payload);
    }

    #[test]
    fn never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120), ip in 0usize..20, size: u16,
        more in 0usize..70000, udp: bool,
    ) {
        if bytes.len() > ip + 9 {
            (bytes[ip], bytes[ip + 6], bytes[ip + 7]) = (0x40 | bytes[ip] & 0xf, 0, 0);
            bytes[ip + 9] = if udp { 17 } else { 6 };
        }
        let kind = if udp { Kind::Udp4 } else { Kind::Tcp4 };
        if let Ok(plan) = Plan::new(&bytes, ip, kind, size, bytes.len() + more) {
            for piece in plan.pieces().take(3).chain(plan.pieces().last()) {
                plan.complete(&mut bytes.clone(), piece, 9).unwrap();
                prop_assert_eq!(plan.complete(&mut [0; 27], piece, 9), Err(Short));
            }
        }
    }
}

#[test]
fn sixty_four_kilobytes_are_cut_though_no_length_field_holds_them() {
    let headers = large(Kind::Tcp4, true, 0, &[]);
    let plan = Plan::new(&headers, 14, Kind::Tcp4, 1448, headers.len() + 65536).unwrap();
    assert_eq!((plan.count(), plan.longest()), (46, 1500));
    assert_eq!(plan.pieces().last(), Some(Piece { number: 45, at: 65160, len: 376 }));
    assert_eq!(plan.pieces().map(|piece| piece.len).sum::<usize>(), 65536);
}

#[test]
fn of_sums_that_come_to_zero_only_udp_makes_ones() {
    for (kind, at, zero) in [(Kind::Udp4, 26, [0xff, 0xff]), (Kind::Tcp4, 36, [0, 0])] {
        let mut packet = large(kind, false, 0, &[0; 20]);
        let plan = Plan::new(&packet, 0, kind, 10, packet.len()).unwrap();
        // What the sum lacks goes into the first piece's payload.
        let field = [cut(&packet, &plan)[0][at], cut(&packet, &plan)[0][at + 1]];
        packet[plan.headers_len()..][..2].copy_from_slice(&field);
        assert_eq!(cut(&packet, &plan)[0][at..at + 2], zero, "{kind:?}");
    }
}

#[test]
fn refuses_what_it_cannot_cut() {
    let packet = large(Kind::Tcp4, false, 0, &[0; 100]);
    let plan = |packet: &[u8], kind, size| Plan::new(packet, 0, kind, size, packet.len());
    assert_eq!(plan(&packet, Kind::Udp4, 10), Err(GsoError::WrongHeaders));
    assert_eq!(plan(&packet, Kind::Tcp4, 0), Err(GsoError::PieceSize));
    assert_eq!(plan(&packet[..51], Kind::Tcp4, 10), Err(GsoError::Short));
    assert_eq!(plan(&packet[..52], Kind::Tcp4, 10), Err(GsoError::Short), "no payload");
    assert_eq!(Plan::new(&packet, 0, Kind::Tcp4, u16::MAX, 70000), Err(GsoError::PieceSize));
    for (at, value) in [(0, 0x65), (0, 0x44), (6, 0x20), (32, 0x40)] {
        let mut broken = packet.clone();
        broken[at] = value;
        assert_eq!(plan(&broken, Kind::Tcp4, 10), Err(GsoError::WrongHeaders), "byte {at}");
    }
}
