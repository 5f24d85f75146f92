use super::super::ip4::protocol::{TCP, UDP};
use super::*;
use proptest::prelude::*;
use std::net::Ipv6Addr;

/// A packet whose first extension header is `first`, with these bytes behind the IPv6 header.
fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
    let header = Ip6Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, first, rest.len(), 64);
    [header.as_bytes(), rest].concat()
}

fn options(next: u8, units: u8) -> Vec<u8> {
    let mut bytes = vec![0; (usize::from(units) + 1) * 8];
    (bytes[0], bytes[1]) = (next, units);
    bytes
}

#[test]
fn each_kind_is_passed() {
    let fragment = FragmentHeader { next_header: DESTINATION, reserved: 0, offset_more: U16::new(1), id: U32::new(7) };
    let mut routing = options(FRAGMENT, 2);
    routing[3] = 1;
    let mut authentication = vec![0; 24];
    (authentication[0], authentication[1]) = (TCP, 4);
    let chain = [&options(ROUTING, 0)[..], &routing, fragment.as_bytes(), &options(AUTHENTICATION, 1), &authentication];
    let upper = walk(&packet(HOP_BY_HOP, &chain.concat())).unwrap();
    assert_eq!(upper.protocol, TCP);
    assert_eq!(upper.offset, 40 + 8 + 24 + 8 + 16 + 24);
    assert_eq!(upper.named_at, upper.offset - 24);
    assert_eq!(upper.piece, Some(Piece { at: 72, offset: 0, more: true, id: 7 }));
    assert_eq!(upper.routing, Some(48));
    assert!(upper.begins_here());
}

#[test]
fn a_later_piece_ends_the_walk() {
    // The bytes behind would be read as options of 2 KB.
    let fragment = FragmentHeader { next_header: DESTINATION, reserved: 0, offset_more: U16::new(16), id: U32::new(1) };
    let upper = walk(&packet(FRAGMENT, &[fragment.as_bytes(), &[0xff; 8]].concat())).unwrap();
    assert_eq!((upper.protocol, upper.offset), (DESTINATION, 48));
    assert!(!upper.begins_here());
    assert!(!upper.piece.unwrap().is_atomic());
}

#[test]
fn a_routing_header_that_is_done_is_no_hindrance() {
    let upper = walk(&packet(ROUTING, &options(UDP, 2))).unwrap();
    assert_eq!((upper.protocol, upper.routing), (UDP, None));
}

#[test]
fn broken_chains_have_their_errors() {
    assert_eq!(walk(&packet(HOP_BY_HOP, &[])), Err(ChainError::Short));
    assert_eq!(walk(&packet(HOP_BY_HOP, &options(TCP, 1)[..15])), Err(ChainError::Short));
    assert_eq!(walk(&packet(DESTINATION, &options(DESTINATION, 0))), Err(ChainError::Short), "names itself");
    assert_eq!(walk(&packet(DESTINATION, &options(DESTINATION, 0).repeat(100))), Err(ChainError::TooMany));
    assert_eq!(walk(&packet(DESTINATION, &options(HOP_BY_HOP, 0).repeat(2))), Err(ChainError::Misplaced));
    assert_eq!(walk(&[0x60; 39]), Err(ChainError::Short));
    let eight = [options(DESTINATION, 0).repeat(7), options(NO_NEXT, 0)].concat();
    assert_eq!(walk(&packet(DESTINATION, &eight)).map(|upper| upper.offset), Ok(40 + 64));
}

proptest! {
    #[test]
    fn agrees_with_etherparse_and_stays_inside(
        kinds in prop::collection::vec((0usize..3, 0u8..3), 0..6), payload in prop::collection::vec(any::<u8>(), 8..40),
    ) {
        // In the order of RFC 8200 section 4.1, which the judge insists on.
        let mut chain: Vec<(u8, u8)> = Vec::new();
        for (at, number) in [DESTINATION, ROUTING, DESTINATION].into_iter().enumerate() {
            if let Some((_, units)) = kinds.iter().find(|(kind, _)| *kind == at) {
                chain.push((number, *units));
            }
        }
        let mut bytes = Vec::new();
        for (at, (_, units)) in chain.iter().enumerate() {
            bytes.extend(options(chain.get(at + 1).map_or(UDP, |next| next.0), *units));
        }
        let first = chain.first().map_or(UDP, |first| first.0);
        let upper = walk(&packet(first, &[&bytes[..], &payload].concat())).unwrap();
        let whole = [&bytes[..], &payload].concat();
        let (_, number, rest, broken) = etherparse::Ipv6Extensions::from_slice_lax(etherparse::IpNumber(first), &whole);
        prop_assert!(broken.is_none());
        prop_assert_eq!((upper.protocol, upper.offset), (UDP, 40 + bytes.len()));
        if number.0 == UDP {
            prop_assert_eq!(rest, &payload[..]);
        }
    }

    #[test]
    fn never_panics(first: u8, bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(60), Just(44)], 0..300)) {
        let packet = packet(first, &bytes);
        if let Ok(upper) = walk(&packet) {
            prop_assert!(upper.offset <= packet.len());
            prop_assert!(upper.named_at < upper.offset);
        }
    }

    #[test]
    fn fragment_header_round_trip(next: u8, field: u16, id: u32) {
        let header = FragmentHeader { next_header: next, reserved: 0, offset_more: U16::new(field), id: U32::new(id) };
        let (theirs, _) = etherparse::Ipv6FragmentHeader::from_slice(header.as_bytes()).unwrap();
        prop_assert_eq!(usize::from(theirs.fragment_offset.value()) * 8, header.offset());
        prop_assert_eq!((theirs.more_fragments, theirs.identification), (header.more(), id));
        prop_assert_eq!(FragmentHeader::ref_from_prefix(header.as_bytes()).unwrap().0, &header);
    }
}

#[test]
fn what_every_fragment_has_ends_behind_what_routers_look_at() {
    let eight = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    // Hop-by-hop options, options, a routing header, options, UDP.
    let all = packet(HOP_BY_HOP, &[eight(60), eight(43), eight(60), eight(17), eight(0)].concat());
    assert_eq!(per_fragment_len(&all), 64);
    assert_eq!(
        [40, 48, 56, 64, 72, 80, 41].map(|at| named_at(&all, at)),
        [Some(6), Some(40), Some(48), Some(56), Some(64), None, None]
    );
    assert_eq!(per_fragment_len(&packet(HOP_BY_HOP, &[eight(60), eight(17)].concat())), 48);
    assert_eq!(per_fragment_len(&packet(DESTINATION, &eight(17))), 40);
    assert_eq!(per_fragment_len(&packet(17, &eight(0))), 40);
}
