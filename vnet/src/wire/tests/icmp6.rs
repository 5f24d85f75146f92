use super::*;
use etherparse::{Icmpv6Slice, Icmpv6Type, SlicedPacket, TransportSlice};
use proptest::prelude::*;

const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THEM: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn judge(packet: &[u8]) -> Icmpv6Slice<'_> {
    let (ip, message) = Ip6Header::ref_from_prefix(packet).unwrap();
    assert!(super::super::ip6::check(packet, packet.len()).is_ok());
    assert!(checksum_ok(ip, message));
    match SlicedPacket::from_ip(packet).unwrap().transport {
        Some(TransportSlice::Icmpv6(icmp)) => {
            assert!(icmp.is_checksum_valid(US.octets(), THEM.octets()));
            icmp
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn echo_agrees_with_etherparse(id: u16, sequence: u16, payload in prop::collection::vec(any::<u8>(), 0..99)) {
        let mut out = [0; 200];
        let len = Echo { request: true, id, sequence }.emit(US, THEM, 64, &payload, &mut out).unwrap();
        let theirs = judge(&out[..len]);
        let echo = etherparse::IcmpEchoHeader { id, seq: sequence };
        prop_assert_eq!(theirs.icmp_type(), Icmpv6Type::EchoRequest(echo));
        prop_assert_eq!(theirs.payload(), &payload[..]);
        // The reply made in place is the reply made from nothing.
        let mut reply = [0; 200];
        Echo { request: false, id, sequence }.emit(THEM, US, 64, &payload, &mut reply).unwrap();
        Icmp6Header::mut_from_prefix(&mut out[40..]).unwrap().0.into_reply();
        prop_assert_eq!(&out[40..len], &reply[40..len]);
    }

    #[test]
    fn errors_agree_with_etherparse(
        original in prop::collection::vec(any::<u8>(), 40..1400), mtu: u32, pointer: u32, code in 0u8..3,
    ) {
        for problem in [
            Problem::TimeExceeded, Problem::ReassemblyTimeExceeded, Problem::Unreachable(code), Problem::TooBig { mtu },
            Problem::Parameter { code, pointer },
        ] {
            let mut out = [0; MIN_MTU];
            let len = problem.emit(US, THEM, 255, &original, &mut out).unwrap();
            prop_assert_eq!(len, (original.len() + 48).min(MIN_MTU));
            let theirs = judge(&out[..len]);
            let name = format!("{:?}", theirs.icmp_type());
            match problem {
                Problem::TimeExceeded => prop_assert!(name.contains("HopLimitExceeded"), "{}", name),
                Problem::ReassemblyTimeExceeded => prop_assert!(name.contains("FragmentReassembly"), "{}", name),
                Problem::Unreachable(_) => prop_assert!(name.contains("Unreachable"), "{}", name),
                Problem::TooBig { mtu } => prop_assert!(name.contains(&format!("mtu: {mtu}")), "{}", name),
                Problem::Parameter { pointer, .. } =>
                    prop_assert!(name.contains(&format!("pointer: {pointer}")), "{}", name),
            }
            prop_assert!(original.starts_with(theirs.payload()));
            prop_assert!(!may_report(problem, &out[..len]), "about an error");
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = may_report(Problem::TimeExceeded, &bytes);
        let mut out = [0; 60];
        let _ = Problem::TimeExceeded.emit(US, THEM, 1, &bytes, &mut out);
    }
}

#[test]
fn reports_only_what_it_may() {
    let about = |problem: Problem, source: &str, destination: &str, next: u8, rest: &[u8]| {
        let ip = Ip6Header::new(source.parse().unwrap(), destination.parse().unwrap(), next, rest.len(), 1);
        may_report(problem, &[ip.as_bytes(), rest].concat())
    };
    let (hops, big) = (Problem::TimeExceeded, Problem::TooBig { mtu: 1280 });
    assert!(about(hops, "a::1", "b::1", protocol::UDP, &[0; 8]));
    assert!(!about(hops, "::", "b::1", protocol::UDP, &[0; 8]));
    assert!(!about(hops, "::1", "b::1", protocol::UDP, &[0; 8]));
    assert!(!about(hops, "ff02::1", "b::1", protocol::UDP, &[0; 8]));
    assert!(!about(hops, "a::1", "ff05::1", protocol::UDP, &[0; 8]));
    assert!(about(big, "a::1", "ff05::1", protocol::UDP, &[0; 8]), "groups are told of sizes");
    assert!(!about(hops, "a::1", "b::1", protocol::ICMP6, &[]), "no type byte");
    assert!(!about(hops, "a::1", "b::1", protocol::ICMP6, &[REDIRECT, 0, 0, 0]));
    assert!(about(hops, "a::1", "b::1", protocol::ICMP6, &[ECHO_REQUEST, 0, 0, 0]));
    let piece = |offset: u8| [protocol::UDP, 0, 0, offset, 0, 0, 0, 1];
    assert!(about(hops, "a::1", "b::1", ip6_ext::FRAGMENT, &piece(1)), "the first fragment");
    assert!(!about(hops, "a::1", "b::1", ip6_ext::FRAGMENT, &piece(8)), "a later fragment");
}
