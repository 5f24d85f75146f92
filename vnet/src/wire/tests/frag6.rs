use super::*;
use etherparse::SlicedPacket;
use etherparse::defrag::IpDefragPool;
use proptest::prelude::*;

const ID: u32 = 0x89ab_cdef;

/// A packet whose extension headers are these, each with its number in front, before UDP.
fn packet(extensions: &[(u8, Vec<u8>)], payload: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    let builder = etherparse::PacketBuilder::ipv6([0x20; 16], [0x21; 16], 61);
    builder.udp(1, 2).write(&mut whole, payload).unwrap();
    let rest = whole.split_off(40);
    let mut named_at = 6;
    for (number, bytes) in extensions {
        whole[named_at] = *number;
        named_at = whole.len();
        whole.extend(bytes);
    }
    whole[named_at] = 17;
    whole.extend(rest);
    let len = whole.len() as u16 - 40;
    whole[4..6].copy_from_slice(&len.to_be_bytes());
    whole
}

fn hop_by_hop() -> (u8, Vec<u8>) {
    (0, vec![0, 0, 5, 2, 0, 0, 1, 0])
}

/// Destination options of so many times eight bytes.
fn options(units: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; usize::from(units) * 8];
    bytes[..4].copy_from_slice(&[0, units - 1, 1, (usize::from(units) * 8 - 4).min(255) as u8]);
    (60, bytes)
}

fn routing() -> (u8, Vec<u8>) {
    (43, vec![0, 0, 4, 0, 0, 0, 0, 0])
}

/// Cuts as a node would.
fn cut(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, FragError> {
    let plan = Plan::of_ip6(packet, packet.len(), mtu, ID)?;
    let payload = &packet[plan.payload_at()..];
    let one = |fragment: Fragment| {
        let mut bytes = vec![0; plan.header_len(fragment)];
        assert_eq!(plan.write_header(fragment, &mut bytes), Ok(bytes.len()));
        bytes.extend(&payload[fragment.at..fragment.at + fragment.len]);
        bytes
    };
    Ok(plan.fragments().map(one).collect())
}

/// Puts fragments together by the rules of RFC 8200 section 4.5, and checks each.
fn join(fragments: &[Vec<u8>], mtu: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut body = 0;
    for (number, fragment) in fragments.iter().enumerate() {
        assert!(fragment.len() <= mtu, "{} bytes for {mtu}", fragment.len());
        assert_eq!(usize::from(u16::from_be_bytes([fragment[4], fragment[5]])) + 40, fragment.len());
        let piece = ip6_ext::walk(fragment).unwrap().piece.unwrap();
        assert_eq!((piece.id, piece.offset, piece.more), (ID, body, number + 1 < fragments.len()));
        let rest = &fragment[piece.at + 8..];
        body += rest.len();
        if number == 0 {
            whole.extend(&fragment[..piece.at]);
            whole[ip6_ext::named_at(fragment, piece.at).unwrap()] = fragment[piece.at];
        }
        assert_eq!(fragment[7], 61, "hops are kept");
        whole.extend(rest);
    }
    let len = whole.len() as u16 - 40;
    whole[4..6].copy_from_slice(&len.to_be_bytes());
    whole
}

#[test]
fn fragments_are_these_bytes() {
    let mut whole = vec![0x6a, 0xb1, 0x23, 0x45, 0, 20, 47, 64];
    whole.extend([0x20; 16]);
    whole.extend([0x21; 16]);
    whole.extend(1..=20);
    let head = |len: u8| [&[0x6a, 0xb1, 0x23, 0x45, 0, len, 44, 64][..], &[0x20; 16], &[0x21; 16]].concat();
    let fragments = cut(&whole, 64).unwrap();
    let first = [&head(24)[..], &[47, 0, 0, 1, 0x89, 0xab, 0xcd, 0xef], &(1..=16).collect::<Vec<_>>()].concat();
    let last = [&head(12)[..], &[47, 0, 0, 16, 0x89, 0xab, 0xcd, 0xef], &(17..=20).collect::<Vec<_>>()].concat();
    assert_eq!(fragments, [first, last]);
}

#[test]
fn what_routers_look_at_is_in_every_fragment_and_the_rest_in_the_first() {
    let all = [hop_by_hop(), options(1), routing(), options(2)];
    let fragments = cut(&packet(&all, &[7; 200]), 136).unwrap();
    // Hop-by-hop options, options for the router that the routing header names, the routing header, the fragment header.
    for fragment in &fragments {
        assert_eq!([fragment[6], fragment[40], fragment[48], fragment[56], fragment[64]], [0, 60, 43, 44, 60]);
    }
    assert_eq!(fragments[0][72..74], [17, 1]);
    assert_eq!(join(&fragments, 136), packet(&all, &[7; 200]));
    let options_alone = cut(&packet(&[options(1)], &[7; 200]), 136).unwrap();
    assert!(options_alone.iter().all(|fragment| fragment[6] == 44 && fragment[40] == 60));
}

#[test]
fn a_fragment_header_around_a_whole_packet_gives_way() {
    let whole = packet(&[hop_by_hop(), (44, vec![0, 0, 0, 0, 1, 2, 3, 4])], &[9; 500]);
    assert_eq!(join(&cut(&whole, 200).unwrap(), 200), packet(&[hop_by_hop()], &[9; 500]));
}

#[test]
fn refuses_what_it_may_not_or_cannot_cut() {
    let whole = packet(&[], &[1; 100]);
    assert_eq!(cut(&whole, 55), Err(FragError::TinyMtu));
    assert_eq!(cut(&whole, 56).unwrap().len(), 14);
    assert_eq!(Plan::of_ip6(&whole[..39], 148, 100, ID).err(), Some(FragError::Short));
    assert_eq!(Plan::of_ip6(&whole, 39, 100, ID).err(), Some(FragError::Short));
    assert_eq!(Plan::of_ip6(&whole, 65576, 1280, ID).err(), Some(FragError::TooLong));
    assert!(Plan::of_ip6(&whole, 65575, 1280, ID).is_ok());
    let piece = packet(&[(44, vec![0, 0, 0, 1, 1, 2, 3, 4])], &[9; 500]);
    assert_eq!(cut(&piece, 200), Err(FragError::Forbidden));
    assert_eq!(cut(&packet(&[options(4)], &[9; 500]), 72), Err(FragError::TinyMtu), "not all headers in the first");
    assert_eq!(cut(&packet(&[options(4)], &[9; 500]), 80).unwrap()[0].len(), 80);
    let long = (43, [&[0, 10, 4, 0, 0, 0, 0, 0][..], &[0; 80]].concat());
    assert_eq!(cut(&packet(&[long], &[9; 2000]), 1280), Err(FragError::LongHeaders));
}

proptest! {
    #[test]
    fn any_packet_is_itself_again(
        which in prop::collection::vec(0..3usize, 0..4), len in 0usize..4000, mtu in 200usize..1501,
    ) {
        let mut all: Vec<_> = which.iter().map(|kind| [routing(), options(1), options(3)][*kind].clone()).collect();
        if len % 2 == 0 {
            all.insert(0, hop_by_hop());
        }
        let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let whole = packet(&all, &payload);
        prop_assert_eq!(join(&cut(&whole, mtu).unwrap(), mtu), whole);
    }

    #[test]
    fn etherparse_puts_together_what_was_cut(len in 1500usize..5000, mtu in 64usize..1501) {
        let whole = packet(&[], &vec![0x5a; len]);
        let (mut pool, mut done) = (IpDefragPool::<(), ()>::new(), None);
        for fragment in cut(&whole, mtu).unwrap().iter().rev() {
            let sliced = SlicedPacket::from_ip(fragment).unwrap();
            done = done.or(pool.process_sliced_packet(&sliced, (), ()).unwrap());
        }
        prop_assert_eq!(&done.unwrap().payload[..], &whole[40..]);
    }

    #[test]
    fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), next in 0..6usize, len in 0usize..70000, mtu in 0usize..2000) {
        if let Some(number) = bytes.get_mut(6) {
            *number = [0, 43, 44, 51, 60, 17][next];
        }
        if let Ok(plan) = Plan::of_ip6(&bytes, len, mtu, ID) {
            for fragment in plan.fragments() {
                plan.write_header(fragment, &mut [0; MAX_HEADER]).unwrap();
            }
            prop_assert_eq!(plan.write_header(plan.fragments().next().unwrap(), &mut [0; 19]), Err(Short));
        }
    }
}
