use super::*;
use etherparse::defrag::IpDefragPool;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, SlicedPacket};
use proptest::prelude::*;

/// Record route (not copied), no operation, router alert (copied), end.
const OPTIONS: [u8; 16] = [7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0, 0, 0, 0, 0];
/// What of it later fragments have.
const COPIED_OPTIONS: [u8; 4] = [0x94, 4, 0, 0];

fn packet(options: &[u8], payload: &[u8], number: IpNumber) -> Vec<u8> {
    let mut header = Ipv4Header::new(payload.len() as u16, 64, number, [10, 0, 1, 2], [90, 0, 0, 1]).unwrap();
    header.dont_fragment = false;
    header.identification = 0x1234;
    header.options = Ipv4Options::try_from(options).unwrap();
    header.total_len = (header.header_len() + payload.len()) as u16;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

/// Cuts as a node would.
fn cut(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, FragError> {
    let header_len = usize::from(packet[0] & 0xf) * 4;
    let payload = &packet[header_len..];
    let plan = Plan::new(packet, packet.len(), mtu)?;
    assert_eq!(plan.payload_at(), header_len);
    let one = |fragment: Fragment| {
        let mut bytes = vec![0; plan.header_len(fragment)];
        assert_eq!(plan.write_header(fragment, &mut bytes), Ok(bytes.len()));
        bytes.extend(&payload[fragment.at..fragment.at + fragment.len]);
        bytes
    };
    Ok(plan.fragments().map(one).collect())
}

/// Puts fragments in order together, and checks each.
fn join(fragments: &[Vec<u8>], mtu: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    for (number, fragment) in fragments.iter().enumerate() {
        assert!(fragment.len() <= mtu, "{} bytes for {mtu}", fragment.len());
        let facts = ip4::check(fragment, fragment.len()).unwrap();
        assert_eq!(facts.total_len, fragment.len());
        let (header, payload) = Ipv4Header::from_slice(fragment).unwrap();
        assert_eq!(header.identification, 0x1234);
        assert_eq!(usize::from(header.fragment_offset.byte_offset()), whole.len());
        assert_eq!(header.more_fragments, number + 1 < fragments.len());
        whole.extend(payload);
    }
    whole
}

#[test]
fn every_mtu_gives_fragments_that_make_the_whole() {
    let payload: Vec<u8> = (0..3000u32).map(|number| (number * 7 % 251) as u8).collect();
    for mtu in 68..=1500 {
        for options in [&[][..], &OPTIONS] {
            let fragments = cut(&packet(options, &payload, IpNumber(89)), mtu).unwrap();
            assert_eq!(join(&fragments, mtu), payload, "MTU {mtu}");
            assert_eq!(&fragments[0][20..20 + options.len()], options);
            let later = &fragments[1];
            let expected = if options.is_empty() { &[][..] } else { &COPIED_OPTIONS };
            assert_eq!(&later[20..usize::from(later[0] & 0xf) * 4], expected, "MTU {mtu}");
        }
    }
}

#[test]
fn etherparse_reassembles_what_was_cut() {
    let mut datagram = Vec::new();
    let payload = [0x5a; 2000];
    etherparse::PacketBuilder::ipv4([10, 0, 1, 2], [90, 0, 0, 1], 64).udp(1, 2).write(&mut datagram, &payload).unwrap();
    let original = packet(&[], &datagram[20..], IpNumber::UDP);
    for mtu in 68..=1500 {
        let mut pool = IpDefragPool::<(), ()>::new();
        let mut done = None;
        for fragment in cut(&original, mtu).unwrap().iter().rev() {
            let sliced = SlicedPacket::from_ip(fragment).unwrap();
            done = done.or(pool.process_sliced_packet(&sliced, (), ()).unwrap());
        }
        assert_eq!(done.unwrap().payload, datagram[20..], "MTU {mtu}");
    }
}

#[test]
fn a_packet_that_fits_stays_whole() {
    let original = packet(&OPTIONS, &[1; 100], IpNumber::UDP);
    assert_eq!(cut(&original, original.len()).unwrap(), std::slice::from_ref(&original));
    assert_eq!(cut(&original, original.len() - 1).unwrap().len(), 2);
    let empty = packet(&[], &[], IpNumber::UDP);
    assert_eq!(cut(&empty, 68).unwrap(), std::slice::from_ref(&empty));
}

#[test]
fn fragments_are_cut_further() {
    let payload: Vec<u8> = (0..=255).cycle().take(2960).collect();
    let fragments = cut(&packet(&OPTIONS, &payload, IpNumber::UDP), 1500).unwrap();
    assert_eq!(fragments.len(), 3);
    let smaller: Vec<_> = fragments.iter().flat_map(|fragment| cut(fragment, 576).unwrap()).collect();
    assert_eq!(join(&smaller, 576), payload);
}

#[test]
fn refuses_what_it_may_not_or_cannot_cut() {
    let original = packet(&[], &[1; 100], IpNumber::UDP);
    assert_eq!(cut(&original, 27), Err(FragError::TinyMtu));
    let mut forbidden = original.clone();
    forbidden[6] |= 0x40;
    assert_eq!(cut(&forbidden, 68), Err(FragError::Forbidden));
    assert_eq!(Plan::new(&original[..19], 120, 68).err(), Some(FragError::Short));
    assert_eq!(Plan::new(&original, 19, 68).err(), Some(FragError::Short));
    assert_eq!(Plan::new(&original, 65536, 68).err(), Some(FragError::TooLong));
    let mut far = Ipv4Header::from_slice(&original).unwrap().0;
    far.fragment_offset = IpFragOffset::try_new(0x1fff).unwrap();
    assert_eq!(Plan::new(&far.to_bytes(), 120, 68).err(), Some(FragError::TooLong));
}

proptest! {
    #[test]
    fn any_options_survive(words in 0usize..=10, random: [u8; 40], len in 0usize..2000, mtu in 68usize..1501) {
        let original = packet(&random[..words * 4], &vec![7; len], IpNumber::UDP);
        let plan = Plan::new(&original, original.len(), mtu).unwrap();
        let mut end = 0;
        for fragment in plan.fragments() {
            prop_assert_eq!(fragment.at, end);
            prop_assert!(fragment.last || fragment.len % 8 == 0 && fragment.len > 0);
            let mut out = [0; 60];
            let header_len = plan.write_header(fragment, &mut out).unwrap();
            prop_assert!(header_len + fragment.len <= mtu);
            let theirs = Ipv4Header::from_slice(&out).unwrap().0;
            prop_assert_eq!(theirs.header_checksum, theirs.calc_header_checksum());
            end += fragment.len;
        }
        prop_assert_eq!(end, len);
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), len in 0usize..70000, mtu in 0usize..2000) {
        if let Ok(plan) = Plan::new(&bytes, len, mtu) {
            for fragment in plan.fragments() {
                plan.write_header(fragment, &mut [0; 60]).unwrap();
            }
            prop_assert_eq!(plan.write_header(plan.fragments().next().unwrap(), &mut [0; 19]), Err(Short));
        }
    }
}
