//! Packets for our own IPv6 addresses that come in pieces.

use std::time::Duration;

use crate::ip6::{CLIENT, TO0, bed, discovery, echo, icmp, ip, raw};
use crate::ip6_fragments::{joined, split};
use crate::support::Bed;

/// Longer than pieces wait for each other.
const TOO_LONG: Duration = Duration::from_millis(1100);

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 % 251) as u8).collect()
}

/// What is answered to an echo request, as one packet: ends, and hops.
fn reply(request: &[u8], [from, to]: [&str; 2]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv6(ip(from), ip(to), 64).icmpv6_echo_reply(7, 9);
    let mut packet = Vec::new();
    builder.write(&mut packet, &request[62..]).unwrap();
    packet
}

/// How often something was counted, by the words of `show errors`.
fn counted(bed: &mut Bed, node: &str, words: &str) -> u64 {
    let errors = bed.vppctl("show errors");
    let line = errors.lines().find(|line| line.contains(node) && line.contains(words));
    line.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn an_echo_in_pieces_is_answered_whatever_their_order() {
    let whole = echo(TO0, "fd00::1", "fd01::1", &payload(4000));
    for (round, size) in [1448, 800, 64].into_iter().enumerate() {
        let mut bed = bed();
        bed.vppctl("set interface mtu 1500 pg0");
        let mut pieces = split(&whole, size, 77);
        match round {
            0 => pieces.reverse(),
            1 => pieces.swap(0, 2),
            _ => pieces.sort(),
        }
        let [back, _] = bed.send("pg0", &pieces);
        // Pieces that pass every link, since nobody hears errors about them.
        assert_eq!(
            back.iter().map(Vec::len).collect::<Vec<_>>(),
            [1294, 1294, 1294, 14 + 48 + 312],
            "pieces of {size}"
        );
        assert_eq!(joined(&back).1, reply(&whole, ["fd01::1", "fd00::1"]), "pieces of {size}");
        assert_eq!(counted(&mut bed, "ip6-full-reassembly", "packets reassembled"), 1);
        assert_eq!(counted(&mut bed, "ip6-frag", "fragments made"), 4);
    }
}

#[test]
fn answers_differ_in_their_identification() {
    let mut bed = bed();
    bed.vppctl("set interface mtu 1500 pg0");
    let whole = echo(TO0, "fd00::1", "fd01::1", &payload(2000));
    let mut id = || joined(&bed.send("pg0", &split(&whole, 1400, 1))[0]).0;
    let (one, other) = (id(), id());
    assert_ne!(one, other);
}

#[test]
fn an_echo_on_the_link_alone_is_answered_there() {
    let own = "fe80::fe:97ff:fe76:9349";
    for (mac, to) in [(TO0, own), ([0x33, 0x33, 0, 0, 0, 1], "ff02::1")] {
        let mut bed = bed();
        bed.vppctl("set interface mtu 1500 pg0");
        let whole = echo(mac, "fe80::2", to, &payload(3000));
        let [back, _] = bed.send("pg0", &split(&whole, 1448, 3));
        assert_eq!(back.iter().map(Vec::len).collect::<Vec<_>>(), [1510, 1510, 14 + 48 + 112]);
        assert!(back.iter().all(|frame| frame[..6] == CLIENT && frame[6..12] == TO0 && frame[12..14] == [0x86, 0xdd]));
        assert_eq!(joined(&back).1, reply(&whole, [own, "fe80::2"]));
    }
}

#[test]
fn a_fragment_header_around_a_whole_packet_is_none() {
    let mut bed = bed();
    let whole = echo(TO0, "fd00::1", "fd01::1", b"one piece");
    let [atomic] = &split(&whole, 1000, 5)[..] else { panic!() };
    // Beside the beginning of a packet of the same name (RFC 6946 section 4).
    let beginning = &split(&echo(TO0, "fd00::1", "fd01::1", &payload(3000)), 1000, 5)[0];
    let [back, _] = bed.send("pg0", &[beginning.clone(), atomic.clone()]);
    let [answer] = &back[..] else { panic!("{back:x?}") };
    assert_eq!(answer[14..], reply(&whole, ["fd01::1", "fd00::1"]));
}

#[test]
fn after_an_overlap_nothing_of_the_packet_is_taken_until_its_time_is_up() {
    let mut bed = bed();
    bed.vppctl("set interface mtu 1500 pg0");
    let pieces = split(&echo(TO0, "fd00::1", "fd01::1", &payload(2000)), 1000, 6);
    // Eight bytes more than the place between its neighbours (RFC 5722).
    let whole = echo(TO0, "fd00::1", "fd01::1", &payload(2000));
    let mut liar = pieces[0].clone();
    liar.extend(&whole[1054..1062]);
    liar[18..20].copy_from_slice(&1016u16.to_be_bytes());
    let [back, _] = bed.send("pg0", &[&[pieces[1].clone(), liar][..], &pieces].concat());
    assert!(back.is_empty());
    let of = "ip6-full-reassembly";
    assert_eq!((counted(&mut bed, of, "overlapping fragments"), counted(&mut bed, of, "of a dropped packet")), (1, 3));
    assert_eq!(bed.in_use(), 0, "pieces keep no buffers");
    std::thread::sleep(TOO_LONG);
    let [back, _] = bed.send("pg0", &pieces);
    assert_eq!(joined(&back).1.len(), 2048);
    assert_eq!(counted(&mut bed, of, "reassemblies timed out"), 0, "it was counted before");
}

#[test]
fn the_sender_of_a_first_piece_is_told_that_others_are_missing() {
    let mut bed = bed();
    let pieces = split(&echo(TO0, "fd01::2", "fd01::1", &payload(4000)), 1400, 7);
    let mut later = pieces[1].clone();
    later[61] = 8;
    let [back, _] = bed.send("pg0", &[pieces[1].clone(), pieces[0].clone(), later]);
    assert!(back.is_empty());
    std::thread::sleep(TOO_LONG);
    let [back, _] = bed.send("pg0", &[echo(TO0, "fd01::2", "fd01::1", b"")]);
    let mut message = vec![3, 1, 0, 0, 0, 0, 0, 0];
    // The piece as it came, as much of it as fits.
    message.extend(&pieces[0][14..14 + 1232]);
    let told = icmp((TO0, CLIENT), ("fd01::1", "fd01::2"), 255, &message);
    assert!(back.contains(&told), "{back:x?}");
    assert_eq!(back.len(), 2);
    assert_eq!(counted(&mut bed, "ip6-full-reassembly", "reassemblies timed out"), 2);
}

#[test]
fn pieces_that_cannot_be_are_reported() {
    let mut bed = bed();
    let first = &split(&echo(TO0, "fd01::2", "fd01::1", &payload(2000)), 1000, 8)[0];
    let mut odd = first[..14 + 40 + 8 + 999].to_vec();
    odd[18..20].copy_from_slice(&1007u16.to_be_bytes());
    let [back, _] = bed.send("pg0", std::slice::from_ref(&odd));
    // Parameter problem, at the payload length.
    let message = [&[4, 0, 0, 0, 0, 0, 0, 4][..], &odd[14..]].concat();
    assert_eq!(back, [icmp((TO0, CLIENT), ("fd01::1", "fd01::2"), 255, &message)]);
    // Beyond 65535 bytes: the last of a packet, which nobody is told about since it might be an error's.
    let far = raw("fd01::2", "fd01::1", 44, &[&[58, 0, 0xff, 0xf8, 0, 0, 0, 9][..], &[0; 16]].concat());
    let empty = raw("fd01::2", "fd01::1", 44, &[58, 0, 0, 1, 0, 0, 0, 10]);
    let [back, _] = bed.send("pg0", &[far, empty]);
    assert!(back.is_empty(), "{back:x?}");
    assert_eq!(counted(&mut bed, "ip6-full-reassembly", "malformed fragments"), 3);
}

#[test]
fn floods_of_beginnings_are_bounded() {
    let mut bed = bed();
    bed.vppctl("set interface mtu 1500 pg0");
    let whole = split(&echo(TO0, "fd01::2", "fd01::1", &payload(2000)), 1000, 1);
    let from = |source: &str, id: u8| {
        let mut piece = whole[0].clone();
        piece[22..38].copy_from_slice(&ip(source));
        piece[61] = id;
        piece
    };
    let one: Vec<_> = (0..100).map(|id| from("fd01::99", id)).collect();
    let [back, _] = bed.send("pg0", &[&whole[..1], &one, &whole[1..]].concat());
    assert_eq!(joined(&back).1.len(), 2048);
    let of = "ip6-full-reassembly";
    assert_eq!(counted(&mut bed, of, "too many of a source"), 100 - 16);
    let many: Vec<_> = (0..100).map(|host| from(&format!("fd01::1:{host}"), 1)).collect();
    let [back, _] = bed.send("pg0", &[&many[..], &whole].concat());
    assert_eq!(joined(&back).1.len(), 2048, "the newest has a place");
    assert_eq!(counted(&mut bed, of, "all places taken"), 16 + 101 - 64);
    assert_eq!(bed.in_use(), 0);
}

/// RFC 6980 section 5.
#[test]
fn neighbours_do_not_speak_in_pieces() {
    let mut bed = bed();
    let ask = icmp((CLIENT, TO0), ("fd01::77", "fd01::1"), 255, &discovery(135, 0, "fd01::1", Some((1, CLIENT))));
    let (pieces, atomic) = (split(&ask, 16, 1), split(&ask, 64, 2));
    let [back, _] = bed.send("pg0", &[pieces, atomic].concat());
    assert!(back.is_empty(), "{back:x?}");
    assert!(!bed.vppctl("show ip6 neighbors").contains("fd01::77"));
    assert_eq!(counted(&mut bed, "ip6-full-reassembly", "neighbor discovery in fragments"), 1);
}

#[test]
fn an_answer_to_pieces_has_none_of_their_extension_headers() {
    let mut bed = bed();
    let message = &echo(TO0, "fd00::1", "fd01::1", &payload(1500))[54..];
    // Hop-by-hop options in every piece; options for us in the first.
    let body = [&[58, 0, 1, 4, 0, 0, 0, 0][..], message].concat();
    let pieces = [0..800, 800..body.len()].map(|range| {
        let word = (range.start as u16 | u16::from(range.start == 0)).to_be_bytes();
        let front = [&[44, 0, 1, 4, 0, 0, 0, 0, 60, 0][..], &word, &[0, 0, 0, 4]].concat();
        raw("fd00::1", "fd01::1", 0, &[&front[..], &body[range]].concat())
    });
    let [back, _] = bed.send("pg0", &pieces);
    let [answer] = &back[..] else { panic!("{back:x?}") };
    assert_eq!((answer[20], answer[54], answer.len()), (58, 129, 54 + message.len()));
    assert_eq!(answer[58..], message[4..]);
}
