use super::*;
use etherparse::{IpNumber, Ipv4Header as Theirs, Ipv4Options};
use proptest::prelude::*;

fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut header = Theirs::new(payload.len() as u16, 7, IpNumber::UDP, [10, 0, 1, 2], [90, 0, 0, 1]).unwrap();
    header.options = Ipv4Options::try_from(options).unwrap();
    header.total_len = (header.header_len() + payload.len()) as u16;
    header.header_checksum = header.calc_header_checksum();
    let mut packet = Vec::new();
    header.write(&mut packet).unwrap();
    packet.extend(payload);
    packet
}

proptest! {
    #[test]
    fn what_etherparse_builds_passes(
        words in 0usize..=10, payload in prop::collection::vec(any::<u8>(), 0..50), padding in 0usize..20,
    ) {
        let mut bytes = packet(&vec![NO_OPERATION; words * 4], &payload);
        let facts = check(&bytes, bytes.len() + padding).unwrap();
        prop_assert_eq!(facts.header_len, 20 + words * 4);
        prop_assert_eq!(facts.total_len, bytes.len());
        prop_assert_eq!((facts.source, facts.destination), (0x0a00_0102, 0x5a00_0001));
        prop_assert_eq!((facts.ttl, facts.protocol), (7, 17));
        let right = bytes.clone();
        bytes[10] ^= 0x5a;
        prop_assert_eq!(check(&bytes, bytes.len()), Err(Ip4Error::BadChecksum));
        write_checksum(&mut bytes).unwrap();
        prop_assert_eq!(bytes, right);
    }

    #[test]
    fn what_we_build_satisfies_others(source: u32, destination: u32, protocol: u8, len in 0usize..65516, ttl: u8) {
        let header = Ip4Header::new(source.into(), destination.into(), protocol, len, ttl);
        let (theirs, _) = Theirs::from_slice(header.as_bytes()).unwrap();
        prop_assert_eq!(theirs.header_checksum, theirs.calc_header_checksum());
        prop_assert_eq!(theirs.source, source.to_be_bytes());
        prop_assert_eq!(theirs.destination, destination.to_be_bytes());
        prop_assert_eq!(usize::from(theirs.total_len), len + 20);
        prop_assert_eq!((theirs.time_to_live, theirs.protocol.0), (ttl, protocol));
        let pnet = pnet_packet::ipv4::Ipv4Packet::new(header.as_bytes()).unwrap();
        prop_assert_eq!(pnet_packet::ipv4::checksum(&pnet), header.checksum.get());
        prop_assert!(check(header.as_bytes(), len + 20).is_ok());
        prop_assert_eq!(Ip4Header::ref_from_prefix(header.as_bytes()).unwrap().0, &header);
    }

    #[test]
    fn amended_checksums_are_computed_ones(
        source: u32, destination: u32, ttl in 1u8.., protocol: u8, len: u16, to: u32,
    ) {
        let header = Ip4Header::new(source.into(), destination.into(), protocol, 9, ttl);
        let same = |amended: Ip4Header| {
            let mut computed = amended;
            computed.set_checksum();
            prop_assert_eq!(amended, computed);
            Ok(())
        };
        let mut amended = header;
        amended.decrement_ttl();
        prop_assert_eq!(amended.ttl, ttl - 1);
        same(amended)?;
        amended.update_total_len(len);
        same(amended)?;
        amended.update_destination(to);
        same(amended)?;
    }

    #[test]
    fn check_never_panics_and_agrees_with_etherparse(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80), sane: bool, frame_len in 0usize..100,
    ) {
        if sane && bytes.len() >= 20 {
            bytes[0] = 0x40 | bytes[0] & 0xf;
            bytes[2] = 0;
            // The reserved flag, which etherparse forgets.
            bytes[6] &= 0x7f;
            let _ = write_checksum(&mut bytes);
        }
        let frame_len = frame_len.max(bytes.len());
        if let Ok(facts) = check(&bytes, frame_len) {
            let (theirs, _) = Theirs::from_slice(&bytes).unwrap();
            prop_assert_eq!(theirs.header_len(), facts.header_len);
            prop_assert_eq!(theirs.header_checksum, theirs.calc_header_checksum());
            prop_assert!(facts.total_len >= facts.header_len && facts.total_len <= frame_len);
        }
        let _ = options(&bytes).count();
    }
}

#[test]
fn a_hop_less_gives_the_computed_checksum_whatever_it_was() {
    let mut header = Ip4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::UDP, 64, 64);
    for id in 0..=u16::MAX {
        header.id.set(id);
        header.set_checksum();
        let (mut amended, mut computed) = (header, header);
        amended.decrement_ttl();
        computed.ttl -= 1;
        computed.set_checksum();
        assert_eq!(amended, computed);
    }
}

proptest! {
    #[test]
    fn the_short_test_says_what_the_sum_says(bytes: [u8; 20], flip in 0..160usize) {
        // Also where carries are most likely to be lost.
        let edges = [bytes, bytes.map(|b| if b < 200 { 0xff } else { b }), bytes.map(|b| if b < 128 { 0xff } else { 0 })];
        for mut bytes in edges {
            prop_assert_eq!(sums_up(&bytes), bytes == [0; 20] || fold(checksum::sum(&bytes, 0)) == 0xffff);
            bytes[10..12].fill(0);
            let field = checksum::finish(checksum::sum(&bytes, 0));
            bytes[10..12].copy_from_slice(&field.to_be_bytes());
            prop_assert!(sums_up(&bytes));
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(sums_up(&bytes), bytes == [0; 20] || fold(checksum::sum(&bytes, 0)) == 0xffff);
        }
    }
}

#[test]
fn every_error_has_its_name() {
    let good = packet(&[], b"payload");
    let broken = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        let _ = write_checksum(&mut bytes);
        check(&bytes, bytes.len())
    };
    assert_eq!(check(&good[..19], 27), Err(Ip4Error::TooShort));
    assert_eq!(broken(0, 0x65), Err(Ip4Error::BadVersion));
    assert_eq!(broken(0, 0x44), Err(Ip4Error::BadHeaderLength));
    assert_eq!(broken(0, 0x4f), Err(Ip4Error::TooShort));
    assert_eq!(broken(3, 28), Err(Ip4Error::BadTotalLength), "beyond the frame");
    assert_eq!(broken(3, 19), Err(Ip4Error::BadTotalLength), "below the header");
    assert!(broken(8, 0).is_ok(), "the TTL is for others to judge");
    let mut wrong = good.clone();
    wrong[11] ^= 1;
    assert_eq!(check(&wrong, wrong.len()), Err(Ip4Error::BadChecksum));
    for options in [[7, 1, 0, 0], [7, 0, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
        let bytes = packet(&options, b"");
        assert_eq!(check(&bytes, bytes.len()), Err(Ip4Error::BadOptions), "{options:?}");
    }
    for options in [[7, 4, 4, 0], [7, 3, 4, 0], [0, 7, 0, 9], [1, 1, 1, 0], [0x94, 4, 0, 0]] {
        let bytes = packet(&options, b"");
        assert!(check(&bytes, bytes.len()).is_ok(), "{options:?}");
    }
}

#[test]
fn fragment_fields() {
    let mut header = Ip4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::UDP, 64, 64);
    let mut with = |field: u16| {
        header.flags_offset.set(field);
        (header.is_fragment(), header.first_fragment(), header.more_fragments(), header.fragment_offset())
    };
    assert_eq!(with(0), (false, true, false, 0));
    assert_eq!(with(DONT_FRAGMENT), (false, true, false, 0));
    assert_eq!(with(MORE_FRAGMENTS), (true, true, true, 0));
    assert_eq!(with(MORE_FRAGMENTS | 3), (true, false, true, 24));
    assert_eq!(with(185), (true, false, false, 1480));
}
