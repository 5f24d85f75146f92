//! What is cut is put together again, whatever the order.

use proptest::prelude::*;
use vnet::IfIndex;
use vnet::wire::frag::Plan;

use super::datagram::Datagram;
use super::*;

/// Cuts a packet, puts its pieces together in an order, and gives what comes of it.
fn through<A: Pieces>(plan: &Plan, packet: &[u8], order: &[prop::sample::Index]) -> Vec<u8> {
    let payload = &packet[plan.payload_at()..];
    let mut pieces: Vec<Vec<u8>> = plan
        .fragments()
        .map(|fragment| {
            let mut bytes = vec![0; plan.header_len(fragment)];
            plan.write_header(fragment, &mut bytes).unwrap();
            bytes.extend(&payload[fragment.at..fragment.at + fragment.len]);
            bytes
        })
        .collect();
    for (at, other) in order.iter().enumerate() {
        let (at, other) = (at % pieces.len(), other.index(pieces.len()));
        pieces.swap(at, other);
    }
    let mut datagram = Datagram::<A>::new();
    for (number, bytes) in pieces.iter().enumerate() {
        let Piece { key, header_len, offset, more } = A::piece(bytes).unwrap();
        if number == 0 {
            datagram.begin(key, IfIndex(1), 1);
        }
        assert!(datagram.key == key, "all are of one datagram");
        let (header, rest) = bytes.split_at(header_len);
        let added = datagram.add(header, offset, more, rest.len(), [rest].into_iter());
        assert_eq!(added, if number + 1 == pieces.len() { Added::Complete } else { Added::Kept });
    }
    [&A::whole(datagram.header(), datagram.payload(), false).unwrap()[..], datagram.payload()].concat()
}

/// An IPv6 packet with hop-by-hop options, a routing header and options, or without.
fn packet6(extensions: [bool; 3], payload: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = [0, 43, 60].into_iter().zip(extensions).filter(|(_, there)| *there).map(|of| of.0).collect();
    let mut rest = Vec::new();
    for at in 0..numbers.len() {
        rest.extend([numbers.get(at + 1).copied().unwrap_or(protocol::GRE), 0, 1, 0, 0, 0, 0, 0]);
    }
    rest.extend(payload);
    let first = numbers.first().copied().unwrap_or(protocol::GRE);
    let header = Ip6Header::new([0x20; 16].into(), [0x21; 16].into(), first, rest.len(), 61);
    [header.as_bytes(), &rest].concat()
}

proptest! {
    #[test]
    fn ip6_comes_back_as_it_was(
        extensions: [bool; 3], len in 1..9000usize, mtu in 104..2000usize, id: u32,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..100),
    ) {
        let packet = packet6(extensions, &(0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>());
        let plan = Plan::of_ip6(&packet, packet.len(), mtu, id).unwrap();
        prop_assert_eq!(through::<Ipv6Addr>(&plan, &packet, &order), packet);
    }

    #[test]
    fn ip4_comes_back_as_it_was(
        len in 1..9000usize, mtu in 68..2000usize, order in prop::collection::vec(any::<prop::sample::Index>(), 0..100),
    ) {
        let mut header = Ip4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::GRE, len, 61);
        header.id.set(7);
        header.set_checksum();
        let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let packet = [header.as_bytes(), &payload].concat();
        let plan = Plan::new(&packet, packet.len(), mtu).unwrap();
        prop_assert_eq!(through::<Ipv4Addr>(&plan, &packet, &order), packet);
    }

    #[test]
    fn any_headers_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..200), next in 0..6usize) {
        if let Some(number) = bytes.get_mut(6) {
            *number = [0, 43, 44, 51, 60, 44][next];
        }
        if let Some(piece) = Ipv6Addr::piece(&bytes) {
            prop_assert!(piece.header_len <= bytes.len() && piece.header_len >= 48);
            let _ = Ipv6Addr::whole(&bytes[..piece.header_len], &bytes[piece.header_len..], true);
        }
    }
}
