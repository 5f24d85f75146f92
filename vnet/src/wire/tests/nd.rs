use super::*;
use proptest::prelude::*;

const US: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEM: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The packet of a frame, changed, with its checksum put right unless told otherwise.
fn changed(frame: &[u8], right: bool, change: impl FnOnce(&mut Vec<u8>)) -> Result<Message, NdError> {
    let mut packet = frame[14..].to_vec();
    change(&mut packet);
    if right {
        let len = packet.len() - 40;
        packet[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        packet[42..44].fill(0);
        let (ip, message) = Ip6Header::ref_from_prefix(&packet).unwrap();
        let field = finish(sum(message, ip.pseudo_sum(protocol::ICMP6, len as u32)));
        packet[42..44].copy_from_slice(&field.to_be_bytes());
    }
    check(&packet)
}

proptest! {
    #[test]
    fn what_we_send_we_understand_and_etherparse_too(ours: [u8; 6], theirs: [u8; 6], us: [u8; 16], them: [u8; 16]) {
        let (mut us, mut them) = (us, them);
        (us[0], them[0]) = (0x20, 0x20);
        let (us, them) = (Ipv6Addr::from(us), Ipv6Addr::from(them));
        let asked = solicitation(Mac(ours), us, them);
        prop_assert_eq!(check(&asked[14..]), Ok(Message { target: them, link: Some(Mac(ours)), flags: 0 }));
        let told = advertisement(Mac(theirs), them, (Mac(ours), us));
        let flags = ROUTER | SOLICITED | OVERRIDE;
        prop_assert_eq!(check(&told[14..]), Ok(Message { target: them, link: Some(Mac(theirs)), flags }));
        let all = advertisement(Mac(theirs), them, (Mac(ours), Ipv6Addr::UNSPECIFIED));
        prop_assert_eq!(check(&all[14..]).map(|m| m.flags), Ok(ROUTER | OVERRIDE));
        prop_assert_eq!(check(&probe(Mac(ours), us)[14..]), Ok(Message { target: us, link: None, flags: 0 }));
        for frame in [&asked[..], &told, &all, &probe(Mac(ours), us)] {
            let judged = etherparse::SlicedPacket::from_ethernet(frame).unwrap();
            let Some(etherparse::TransportSlice::Icmpv6(icmp)) = judged.transport else { panic!("not ICMPv6") };
            let (source, destination) = (frame[22..38].try_into().unwrap(), frame[38..54].try_into().unwrap());
            prop_assert!(icmp.is_checksum_valid(source, destination));
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), right: bool) {
        let frame = solicitation(US, address("fe80::1"), address("fe80::2"));
        let _ = changed(&frame, right, |packet| packet.extend(&bytes));
        let _ = check(&bytes);
    }
}

#[test]
fn what_rfc_4861_forbids_is_refused() {
    let asked = solicitation(US, address("fe80::1"), address("fe80::2"));
    assert_eq!(changed(&asked, true, |p| p[7] = 254), Err(NdError::HopLimit));
    assert_eq!(changed(&asked, true, |p| p.truncate(40 + 23)), Err(NdError::Short));
    assert_eq!(changed(&asked, false, |p| p.truncate(40 + 30)), Err(NdError::Short), "payload beyond the frame");
    assert_eq!(changed(&asked, true, |p| p[41] = 1), Err(NdError::Code));
    assert_eq!(changed(&asked, false, |p| p[43] ^= 1), Err(NdError::Checksum));
    assert_eq!(changed(&asked, true, |p| p[48] = 0xff), Err(NdError::Target));
    assert_eq!(changed(&asked, true, |p| p[65] = 0), Err(NdError::Options), "an option of no length");
    assert_eq!(changed(&asked, true, |p| p[65] = 2), Err(NdError::Options), "an option beyond the end");
    assert_eq!(changed(&asked, true, |p| p.push(1)), Err(NdError::Options), "half an option");
    assert_eq!(changed(&asked, true, |p| p[8..24].fill(0)), Err(NdError::Sender), "a probe with a link address");
    let probe = probe(US, address("fe80::1"));
    assert_eq!(changed(&probe, true, |p| p[24..40].copy_from_slice(&ALL_NODES.octets())), Err(NdError::Sender));
    let told = announcement(US, address("fe80::1"));
    assert_eq!(changed(&told, true, |p| p[44] |= 0x40), Err(NdError::Group));
}

#[test]
fn unknown_options_are_passed_over() {
    let told = advertisement(US, address("fe80::1"), (THEM, address("fe80::2")));
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let first = |p: &mut Vec<u8>| {
        p.splice(64..64, nonce);
    };
    assert_eq!(changed(&told, true, first).unwrap().link, Some(US));
    assert_eq!(changed(&told, true, |p| p[64] = SOURCE_LINK).unwrap().link, None, "not the target's");
}
