use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::wire::checksum;

type Addresses<A> = (A, A, u16, u16);

/// What a quoted packet is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Tcp,
    Udp,
    /// Without a checksum.
    BareUdp,
    Echo,
    /// Nothing with ports.
    Other,
}

const ALL: [What; 5] = [What::Tcp, What::Udp, What::BareUdp, What::Echo, What::Other];

impl What {
    fn protocol(self, six: bool) -> u8 {
        match self {
            What::Tcp => 6,
            What::Udp | What::BareUdp => 17,
            What::Echo if six => 58,
            What::Echo => 1,
            What::Other => 47,
        }
    }
}

/// A packet made by etherparse, with `words` words of options.
fn packet4(what: What, (src, dst, sport, dport): Addresses<[u8; 4]>, words: usize, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(src, dst, 9);
    let mut all = Vec::new();
    match what {
        What::Tcp => builder.tcp(sport, dport, 1, 2).write(&mut all, payload).unwrap(),
        What::Udp | What::BareUdp => builder.udp(sport, dport).write(&mut all, payload).unwrap(),
        What::Echo => builder.icmpv4_echo_request(sport, 7).write(&mut all, payload).unwrap(),
        What::Other => builder.write(&mut all, etherparse::IpNumber::GRE, payload).unwrap(),
    }
    if what == What::BareUdp {
        all[26..28].fill(0);
    }
    let (mut header, rest) = etherparse::Ipv4Header::from_slice(&all).unwrap();
    header.options = etherparse::Ipv4Options::try_from(&vec![1; words * 4][..]).unwrap();
    header.total_len = (all.len() + words * 4) as u16;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], rest].concat()
}

/// The same for IPv6, with `count` extension headers in front of what it carries.
fn packet6(what: What, (src, dst, sport, dport): Addresses<[u8; 16]>, count: usize, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(src, dst, 9);
    let mut all = Vec::new();
    match what {
        What::Tcp => builder.tcp(sport, dport, 1, 2).write(&mut all, payload).unwrap(),
        What::Udp | What::BareUdp => builder.udp(sport, dport).write(&mut all, payload).unwrap(),
        What::Echo => builder.icmpv6_echo_request(sport, 7).write(&mut all, payload).unwrap(),
        What::Other => builder.write(&mut all, etherparse::IpNumber::GRE, payload).unwrap(),
    }
    if what == What::BareUdp {
        all[46..48].fill(0);
    }
    let upper = std::mem::replace(&mut all[6], if count > 0 { ip6_ext::DESTINATION } else { what.protocol(true) });
    let mut extensions = Vec::new();
    for number in 0..count {
        extensions.extend([if number + 1 == count { upper } else { ip6_ext::DESTINATION }, 0, 1, 4, 0, 0, 0, 0]);
    }
    let len = (all.len() - 40 + extensions.len()) as u16;
    all[4..6].copy_from_slice(&len.to_be_bytes());
    all.splice(40..40, extensions);
    all
}

/// An error from `from` to `to` about the first `cut` bytes of `quoted`, with six bytes of padding in its frame.
fn error4(from: [u8; 4], to: [u8; 4], quoted: &[u8], cut: usize) -> Vec<u8> {
    let mut out = vec![0; 576];
    let problem = icmp4::Problem::FragmentationNeeded { mtu: 1400 };
    let quote = &quoted[..cut.min(quoted.len())];
    let len = problem.emit(Ipv4Addr::from(from), to.into(), 64, quote, &mut out).unwrap();
    out.truncate(len);
    out.extend([0xee; 6]);
    out
}

fn error6(from: [u8; 16], to: [u8; 16], quoted: &[u8], cut: usize) -> Vec<u8> {
    let mut out = vec![0; 1280];
    let quote = &quoted[..cut.min(quoted.len())];
    let problem = icmp6::Problem::TooBig { mtu: 1400 };
    let len = problem.emit(Ipv6Addr::from(from), to.into(), 64, quote, &mut out).unwrap();
    out.truncate(len);
    out.extend([0xee; 6]);
    out
}

/// A choice between leaving and changing: the value to write, and the one to be found afterwards.
fn choose<T: Copy>(change: bool, old: T, new: T) -> (Option<T>, T) {
    if change { (Some(new), new) } else { (None, old) }
}

/// Addresses and ports before and after, and which of them change.
fn names<A: Arbitrary + Copy>() -> impl Strategy<Value = (Addresses<A>, Addresses<A>, [bool; 6])> {
    (any::<Addresses<A>>(), any::<Addresses<A>>(), any::<[bool; 6]>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// An error whose quote is rewritten is the error that would have been made about the rewritten packet.
    #[test]
    fn rewriting_is_making_anew4(
        (old, new, change) in names::<[u8; 4]>(), router: [u8; 4], other: [u8; 4], what in prop::sample::select(&ALL[..]),
        words in 0usize..=10, payload in prop::collection::vec(any::<u8>(), 0..60), more in 0usize..80,
    ) {
        // Of half a checksum nobody can say what it would be.
        prop_assume!(more != 9 || what != What::Tcp);
        let quoted = packet4(what, old, words, &payload);
        let cut = 28 + words * 4 + more;
        let mut error = error4(router, old.0, &quoted, cut);
        let inner = Inner4::read(&error).unwrap();
        let echo = what == What::Echo;
        let expected = match what {
            What::Other => (0, 0),
            What::Echo => (old.2, old.2),
            _ => (old.2, old.3),
        };
        let key = FlowKey4 {
            src: u32::from_be_bytes(old.0), dst: u32::from_be_bytes(old.1), sport: expected.0, dport: expected.1,
            proto: what.protocol(false),
        };
        prop_assert_eq!((inner.key, inner.ports, inner.fragment), (key, what != What::Other, false));
        prop_assert_eq!((inner.kind, inner.icmp, inner.at), (Kind::TooBig { mtu: 1400 }, 20, 28));
        prop_assert_eq!((inner.upper, inner.end), (48 + words * 4, error.len() - 6));
        prop_assert!(inner.checksum_ok(&error));
        let (source, src) = choose(change[0], old.0, new.0);
        let (destination, dst) = choose(change[1], old.1, new.1);
        let (sport, new_sport) = choose(change[2], old.2, new.2);
        let (dport, new_dport) = choose(change[3] && !echo, old.3, new.3);
        let (from, router) = choose(change[4], router, other);
        let (to, receiver) = choose(change[5], old.0, new.1);
        let rewrite = Rewrite4 {
            outer: Ends { source: from, destination: to }, inner: Ends { source, destination }, sport, dport,
        };
        rewrite.apply(&mut error, &inner).unwrap();
        let anew = packet4(what, (src, dst, new_sport, new_dport), words, &payload);
        prop_assert_eq!(&error, &error4(router, receiver, &anew, cut));
        // Somebody else's opinion of the whole.
        let sliced = SlicedPacket::from_ip(&error).unwrap();
        let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("no ICMP") };
        prop_assert_eq!(icmp.icmp_type().calc_checksum(icmp.payload()), icmp.checksum());
        let mut broken = error.clone();
        broken[inner.end - 1] ^= 1;
        prop_assert!(!inner.checksum_ok(&broken));
    }

    #[test]
    fn rewriting_is_making_anew6(
        (old, new, change) in names::<[u8; 16]>(), router: [u8; 16], other: [u8; 16],
        what in prop::sample::select(&ALL[..]), count in 0usize..=8,
        payload in prop::collection::vec(any::<u8>(), 0..60), more in 0usize..80,
    ) {
        prop_assume!(more != 9 || what != What::Tcp);
        let quoted = packet6(what, old, count, &payload);
        let cut = 48 + count * 8 + more;
        let mut error = error6(router, old.0, &quoted, cut);
        let inner = Inner6::read(&error).unwrap();
        let echo = what == What::Echo;
        let expected = match what {
            What::Other => (0, 0),
            What::Echo => (old.2, old.2),
            _ => (old.2, old.3),
        };
        let key =
            FlowKey6 { src: old.0, dst: old.1, sport: expected.0, dport: expected.1, proto: what.protocol(true) };
        prop_assert_eq!((inner.key, inner.ports, inner.fragment), (key, what != What::Other, false));
        prop_assert_eq!((inner.kind, inner.icmp, inner.at), (Kind::TooBig { mtu: 1400 }, 40, 48));
        prop_assert_eq!((inner.upper, inner.end), (88 + count * 8, error.len() - 6));
        prop_assert!(inner.checksum_ok(&error));
        let (source, src) = choose(change[0], old.0, new.0);
        let (destination, dst) = choose(change[1], old.1, new.1);
        let (sport, new_sport) = choose(change[2], old.2, new.2);
        let (dport, new_dport) = choose(change[3] && !echo, old.3, new.3);
        let (from, router) = choose(change[4], router, other);
        let (to, receiver) = choose(change[5], old.0, new.1);
        let rewrite = Rewrite6 {
            outer: Ends { source: from, destination: to }, inner: Ends { source, destination }, sport, dport,
        };
        rewrite.apply(&mut error, &inner).unwrap();
        let anew = packet6(what, (src, dst, new_sport, new_dport), count, &payload);
        prop_assert_eq!(&error, &error6(router, receiver, &anew, cut));
        let sliced = SlicedPacket::from_ip(&error).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("no ICMPv6") };
        prop_assert!(icmp.is_checksum_valid(router, receiver));
    }

    #[test]
    fn a_quote_is_read_if_it_has_ports_and_not_otherwise(
        old: Addresses<[u8; 16]>, cut in 0usize..80, what in prop::sample::select(&ALL[..]),
    ) {
        let four = |a: [u8; 16]| *a.first_chunk::<4>().unwrap();
        let quoted = packet4(what, (four(old.0), four(old.1), old.2, old.3), 0, &[1; 40]);
        let need = match what { What::Other => 20, What::Echo => 28, _ => 24 };
        let read = Inner4::read(&error4([9; 4], four(old.0), &quoted, cut));
        prop_assert_eq!(read.is_ok(), cut >= need, "{:?}", read);
        prop_assert!(read.is_ok() || read == Err(InnerError::Short));
        let quoted = packet6(what, old, 0, &[1; 40]);
        let read = Inner6::read(&error6([9; 16], old.0, &quoted, cut));
        prop_assert_eq!(read.is_ok(), cut >= need + 20, "{:?}", read);
        prop_assert!(read.is_ok() || read == Err(InnerError::Short));
    }

    #[test]
    fn nothing_that_comes_breaks_anything(
        mut bytes in prop::collection::vec(any::<u8>(), 0..160), kind in 0u8..16, six: bool, alike: bool,
        other in prop::collection::vec(any::<u8>(), 0..160),
    ) {
        let header = if six { 40 } else { 20 };
        if alike && bytes.len() > header + 8 {
            let len = bytes.len() as u16;
            if six {
                (bytes[6], bytes[header], bytes[header + 8]) = (58, kind, 0x60);
                bytes[4..6].copy_from_slice(&(len - 40).to_be_bytes());
            } else {
                (bytes[0], bytes[9], bytes[header], bytes[header + 8]) = (0x45, 1, kind, 0x45 + (kind & 3));
                (bytes[6], bytes[7]) = (0, 0);
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
            }
        }
        if let Ok(inner) = Inner4::read(&bytes) {
            let rewrite = Rewrite4 { sport: Some(1), dport: Some(2), ..Rewrite::default() };
            let right = inner.checksum_ok(&bytes);
            prop_assert_eq!(rewrite.apply(&mut bytes.clone(), &inner), Ok(()));
            rewrite.apply(&mut bytes, &inner).unwrap();
            prop_assert_eq!(inner.checksum_ok(&bytes), right);
            let _ = rewrite.apply(&mut other.clone(), &inner);
        }
        if let Ok(inner) = Inner6::read(&bytes) {
            let ends = Ends { source: Some([7; 16]), destination: Some([8; 16]) };
            let rewrite = Rewrite6 { outer: ends, inner: ends, sport: Some(1), dport: Some(2) };
            rewrite.apply(&mut bytes, &inner).unwrap();
            let _ = rewrite.apply(&mut other.clone(), &inner);
        }
    }
}

const OLD: Addresses<[u8; 4]> = ([10, 0, 0, 1], [90, 0, 0, 1], 1000, 80);

#[test]
fn fragments_have_ports_only_if_they_are_the_first() {
    let change = Rewrite4 {
        inner: Ends { source: Some([1; 4]), destination: Some([2; 4]) },
        sport: Some(3),
        dport: Some(4),
        ..Rewrite::default()
    };
    for (field, ports) in [(0x2000u16, true), (0x2005, false), (0x0005, false)] {
        let mut quoted = packet4(What::Udp, OLD, 0, &[5; 20]);
        quoted[6..8].copy_from_slice(&field.to_be_bytes());
        crate::wire::ip4::write_checksum(&mut quoted).unwrap();
        let mut error = error4([9; 4], OLD.0, &quoted, 48);
        let inner = Inner4::read(&error).unwrap();
        assert_eq!((inner.ports, inner.fragment), (ports, true));
        assert_eq!((inner.key.sport, inner.key.dport), if ports { (1000, 80) } else { (0, 0) });
        change.apply(&mut error, &inner).unwrap();
        assert!(inner.checksum_ok(&error));
        assert_eq!(error[48..76] == quoted[20..48], !ports, "what has no ports is left alone");
    }
    let (src, dst) = ([1; 16], [2; 16]);
    for (offset_more, ports, fragment) in [(0u8, true, false), (1, true, true), (8, false, true)] {
        let mut quoted = packet6(What::Tcp, (src, dst, 1000, 80), 0, &[5; 20]);
        quoted[6] = ip6_ext::FRAGMENT;
        quoted.splice(40..40, [6, 0, 0, offset_more, 0, 0, 0, 9]);
        let mut error = error6([9; 16], src, &quoted, 200);
        let inner = Inner6::read(&error).unwrap();
        assert_eq!((inner.ports, inner.fragment, inner.upper), (ports, fragment, 96));
        let before = error.clone();
        Rewrite6 { dport: Some(4), ..Rewrite::default() }.apply(&mut error, &inner).unwrap();
        assert!(inner.checksum_ok(&error));
        assert_eq!(before == error, !ports);
    }
}

#[test]
fn what_kind_it_is_and_what_is_none() {
    let quoted = packet4(What::Tcp, OLD, 0, &[]);
    let read = |kind: u8, code: u8| {
        let mut error = error4([9; 4], OLD.0, &quoted, 40);
        (error[20], error[21], error[24]) = (kind, code, 33);
        Inner4::read(&error).map(|inner| inner.kind)
    };
    assert_eq!(read(3, 3), Ok(Kind::Unreachable(3)));
    assert_eq!(read(3, 4), Ok(Kind::TooBig { mtu: 1400 }));
    assert_eq!(read(11, 1), Ok(Kind::TimeExceeded(1)));
    assert_eq!(read(12, 0), Ok(Kind::ParameterProblem { code: 0, pointer: 33 }));
    for kind in [icmp4::SOURCE_QUENCH, icmp4::REDIRECT, icmp4::ECHO_REQUEST, icmp4::ECHO_REPLY, 13] {
        assert_eq!(read(kind, 0), Err(InnerError::NoError));
    }
    let quoted = packet6(What::Tcp, ([1; 16], [2; 16], 3, 4), 0, &[]);
    let read = |kind: u8, code: u8| {
        let mut error = error6([9; 16], [1; 16], &quoted, 60);
        (error[40], error[41]) = (kind, code);
        Inner6::read(&error).map(|inner| inner.kind)
    };
    assert_eq!(read(1, 4), Ok(Kind::Unreachable(4)));
    assert_eq!(read(2, 0), Ok(Kind::TooBig { mtu: 1400 }));
    assert_eq!(read(3, 0), Ok(Kind::TimeExceeded(0)));
    assert_eq!(read(4, 1), Ok(Kind::ParameterProblem { code: 1, pointer: 1400 }));
    for kind in [icmp6::REDIRECT, icmp6::ECHO_REQUEST, icmp6::NEIGHBOR_ADVERTISEMENT, 100] {
        assert_eq!(read(kind, 0), Err(InnerError::NoError));
    }
}

#[test]
fn what_is_quoted_must_be_a_packet() {
    let quoted = packet4(What::Tcp, OLD, 0, &[]);
    let read = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut error = error4([9; 4], OLD.0, &quoted, 40);
        change(&mut error);
        Inner4::read(&error)
    };
    assert_eq!(read(&|error| error[28] = 0x65), Err(InnerError::Broken));
    assert_eq!(read(&|error| error[28] = 0x44), Err(InnerError::Broken));
    assert_eq!(read(&|error| error[28] = 0x4f), Err(InnerError::Short));
    assert_eq!(read(&|error| error[6] = 0x20), Err(InnerError::Fragment));
    assert_eq!(read(&|error| error[9] = 17), Err(InnerError::NoError));
    assert_eq!(read(&|error| error[0] = 0x44), Err(InnerError::Broken));
    let looping = [&packet6(What::Tcp, ([1; 16], [2; 16], 3, 4), 0, &[])[..40], &[60, 0, 0, 0, 0, 0, 0, 0].repeat(20)];
    let mut looping = looping.concat();
    looping[6] = 60;
    let error = error6([9; 16], [1; 16], &looping, 300);
    assert_eq!(Inner6::read(&error), Err(InnerError::Chain(ChainError::TooMany)));
}

#[test]
fn a_udp_checksum_never_becomes_none() {
    // The one source port for which the sum is 0 after it is written.
    let mut seen = false;
    let quoted = packet4(What::Udp, OLD, 0, &[1, 2]);
    for port in 0..=u16::MAX {
        let mut error = error4([9; 4], OLD.0, &quoted, 28);
        let inner = Inner4::read(&error).unwrap();
        Rewrite4 { sport: Some(port), ..Rewrite::default() }.apply(&mut error, &inner).unwrap();
        seen |= error[54..56] == [0xff, 0xff];
        assert!(error[54..56] != [0, 0] && checksum::fold(checksum::sum(&error[20..56], 0)) == 0xffff);
    }
    assert!(seen);
}
