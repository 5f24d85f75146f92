//! Our own packets over IPv6 that do not fit the way out, and those of others, which nobody but their sender cuts.

use etherparse::{IpHeaders, Ipv4Header, PacketBuilder};

use crate::ip6;
use crate::support::{Bed, timeless};
use crate::tunnels_matrix::{KINDS, bed, from_pg1, outer, shim, to_pg0};

/// A frame with IPv6 as fragments of at most `size` bytes behind their headers.
pub fn split(frame: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    let (head, body) = frame.split_at(54);
    let pieces = body.chunks(size).enumerate().map(|(number, piece)| {
        let mut head = head.to_vec();
        head[18..20].copy_from_slice(&(piece.len() as u16 + 8).to_be_bytes());
        head[20] = 44;
        let more = number * size + piece.len() < body.len();
        let word = ((number * size) as u16 | u16::from(more)).to_be_bytes();
        [&head[..], &[frame[20], 0], &word, &id.to_be_bytes(), piece].concat()
    });
    pieces.collect()
}

/// Frames with the fragments of a packet, in order: their identification, and the packet.
#[track_caller]
pub fn joined(frames: &[Vec<u8>]) -> (u32, Vec<u8>) {
    let id = |frame: &[u8]| u32::from_be_bytes(frame[58..62].try_into().unwrap());
    let first = frames.first().expect("frames");
    let mut packet = first[14..54].to_vec();
    for (number, frame) in frames.iter().enumerate() {
        let len = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
        assert_eq!((frame.len(), frame[20], id(frame)), (54 + len, 44, id(first)));
        // All but the length is the first's.
        assert_eq!((&frame[14..18], &frame[20..56]), (&first[14..18], &first[20..56]));
        let word = usize::from(u16::from_be_bytes([frame[56], frame[57]]));
        assert_eq!(word, (packet.len() - 40) | usize::from(number + 1 < frames.len()));
        packet.extend(&frame[62..]);
    }
    packet[6] = first[54];
    let len = packet.len() as u16 - 40;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    (id(first), packet)
}

/// A UDP packet of so many bytes from behind `pg0` to behind a tunnel, as a frame; of IPv4, it may be cut.
fn packet(v6: bool, len: usize) -> Vec<u8> {
    let (mut packet, address) = (Vec::new(), |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets());
    let payload = |headers: usize| (0..len - headers).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    if v6 {
        let ip = PacketBuilder::ipv6(address("2001:db8:1::2"), address("2001:db8:9::9"), 64);
        ip.udp(5, 6).write(&mut packet, &payload(48)).unwrap();
    } else {
        let mut ip = Ipv4Header::new(0, 64, 17.into(), [11, 0, 0, 1], [10, 9, 0, 9]).unwrap();
        (ip.dont_fragment, ip.identification) = (false, 3);
        let ip = PacketBuilder::ip(IpHeaders::Ipv4(ip, Default::default()));
        ip.udp(5, 6).write(&mut packet, &payload(28)).unwrap();
    }
    to_pg0(&packet)
}

/// The same with a hop less, as it is in the tunnel.
fn routed(mut frame: Vec<u8>) -> Vec<u8> {
    let mut packet = frame.split_off(14);
    if packet[0] >> 4 == 6 {
        packet[7] -= 1;
    } else {
        packet[8] -= 1;
        let header = Ipv4Header::from_slice(&packet).unwrap().0;
        packet[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    }
    packet
}

const OWN: [&str; 2] = ["2001:db8:2::1", "2001:db8:2::9"];

/// A tunnel of a kind over IPv6 out of `pg1`, with what lies behind.
fn tunnel(kind: &str) -> Bed {
    let mut bed = bed();
    let [own, other] = OWN;
    bed.type_all(&format!(
        "create {kind} tunnel src {own} dst {other}
         set interface state {kind}0 up
         ip route del 10.9.0.0/16 via 10.0.2.9 pg1
         ip route del 2001:db8:9::/48 via 2001:db8:2::9 pg1
         ip route add 10.9.0.0/16 via {kind}0
         ip route add 2001:db8:9::/48 via {kind}0"
    ));
    bed
}

#[test]
fn what_may_not_be_shorter_leaves_a_tunnel_in_fragments() {
    for kind in KINDS {
        let mut bed = tunnel(kind);
        bed.vppctl("set interface mtu 1300 pg1");
        for (v6, len) in [(true, 1280), (false, 1290), (false, 1400)] {
            let [back, out] = bed.send("pg0", &[packet(v6, len)]);
            assert!(back.is_empty() && out.len() == 2, "{kind} {len}: {back:x?} {out:x?}");
            let (id, whole) = joined(&out);
            let sent = routed(packet(v6, len));
            let (number, mut shim) = shim(kind, v6, len);
            if kind == "gue" {
                shim[..2].copy_from_slice(&whole[40..42]);
            }
            let expected = outer(OWN, number, 0, &[&shim[..], &sent].concat());
            // As many eights as fit 1300 bytes, then the rest: byte for byte.
            let head = |len: usize| {
                let mut head = expected[..40].to_vec();
                head[4..6].copy_from_slice(&(len as u16 + 8).to_be_bytes());
                head[6] = 44;
                head
            };
            let (first, rest) = expected[40..].split_at(1248);
            let id = id.to_be_bytes();
            let one = [&head(first.len())[..], &[number, 0, 0, 1], &id, first].concat();
            let other = [&head(rest.len())[..], &[number, 0, 4, 0xe0], &id, rest].concat();
            assert_eq!(out, [from_pg1(&one), from_pg1(&other)], "{kind} {len}");
            assert_eq!(whole, expected);
        }
        // Whoever can send less is told: IPv6 down to what every link takes, IPv4 that may not be cut.
        let overhead = 40 + shim(kind, true, 0).1.len();
        let [back, out] = bed.send("pg0", &[packet(true, 1281)]);
        assert!(out.is_empty());
        assert_eq!((back.len(), back[0][54], &back[0][58..62]), (1, 2, &1280u32.to_be_bytes()[..]), "{kind}");
        assert_eq!(back[0][62..], routed(packet(true, 1281))[..1232]);
        let mut whole = packet(false, 1290);
        whole[20] |= 0x40;
        let checksum = Ipv4Header::from_slice(&whole[14..]).unwrap().0.calc_header_checksum();
        whole[24..26].copy_from_slice(&checksum.to_be_bytes());
        let [back, out] = bed.send("pg0", &[whole]);
        assert!(out.is_empty());
        assert_eq!((back.len(), &back[0][34..36]), (1, &[3, 4][..]), "{kind}");
        assert_eq!(back[0][40..42], (1300 - overhead as u16).to_be_bytes());
        // What fits stays whole.
        let [_, out] = bed.send("pg0", &[packet(true, 1300 - overhead)]);
        assert_eq!((out.len(), out[0].len()), (1, 1314));
    }
}

#[test]
fn what_leaves_a_tunnel_in_fragments_comes_out_whole_in_any_order() {
    for kind in KINDS {
        let mut from = tunnel(kind);
        from.vppctl("set interface mtu 1280 pg1");
        // The other end, which has the addresses the other way round.
        let mut to = Bed::new();
        to.type_all(&format!(
            "set interface ip address pg0 {}/64
             set ip neighbor pg0 {} 02:00:00:00:01:02
             set interface ip address pg1 2001:db8:9::1/64
             set interface ip address pg1 10.9.0.1/16
             set ip neighbor pg1 2001:db8:9::9 02:00:00:00:02:09
             set ip neighbor pg1 10.9.0.9 02:00:00:00:02:09
             create {kind} tunnel src {} dst {}
             set interface state {kind}0 up",
            OWN[1], OWN[0], OWN[1], OWN[0]
        ));
        for (number, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
            for (v6, len) in [(true, 1280), (false, 1400 + number)] {
                let [_, out] = from.send("pg0", &[packet(v6, len)]);
                let frames: Vec<_> = order.map(|at| to_pg0(&out[at][14..])).into();
                let [_, out] = to.send("pg0", &frames);
                let arrived = routed(to_pg0(&routed(packet(v6, len))));
                assert_eq!(out, [from_pg1(&arrived)], "{kind} {len} {order:?}");
            }
        }
        let errors = to.vppctl("show errors");
        assert!(errors.contains("packets reassembled"), "{errors}");
    }
}

/// A mark on any fragment is one on the whole (RFC 3168 section 5.3), and on what is in it (RFC 6040).
#[test]
fn congestion_on_the_way_of_a_fragment_is_told() {
    let [own, other] = ["2001:db8:1::1", "2001:db8:1::2"];
    for kind in KINDS {
        let mut bed = bed();
        bed.type_all(&format!("create {kind} tunnel src {own} dst {other}\n set interface state {kind}0 up"));
        let inner = |ecn: u8| crate::tunnels_matrix::inner(true, 0xb8 | ecn, 33);
        let (number, shim) = shim(kind, true, inner(0).len());
        let pieces = |ecn: u8, id: u32| {
            let payload = [&shim[..], &inner(ecn)].concat();
            split(&to_pg0(&outer([other, own], number, ecn, &payload)), 48, id)
        };
        for (id, ecn) in [(1, 2), (2, 1)] {
            let mut pieces = pieces(ecn, id);
            pieces.last_mut().unwrap()[15] |= 0x30;
            let [_, out] = bed.send("pg0", &pieces);
            let mut arrived = inner(3);
            arrived[7] -= 1;
            assert_eq!(out, [from_pg1(&arrived)], "{kind} {ecn}");
        }
        let mut pieces = pieces(0, 3);
        pieces[0][15] |= 0x30;
        let [_, out] = bed.send("pg0", &pieces);
        assert!(out.is_empty());
        let errors = bed.vppctl("show errors");
        assert!(errors.contains("congested fragments, but not"), "{errors}");
    }
}

#[test]
fn packets_of_others_are_not_cut() {
    let mut bed = ip6::bed();
    bed.vppctl("set interface mtu 1300 pg1");
    let [back, out] = bed.send("pg0", &[ip6::udp("fd00::1", "2001::1", 64, &[7; 1300])]);
    assert!(out.is_empty());
    let [error] = &back[..] else { panic!("{back:x?}") };
    assert_eq!((error[54], &error[58..62]), (2, &1300u32.to_be_bytes()[..]));
    // Nor are their fragments.
    let whole = ip6::udp("fd00::1", "2001::1", 64, &[7; 2000]);
    let [back, out] = bed.send("pg0", &split(&whole, 1400, 1));
    assert_eq!((back.len(), out.len()), (1, 1));
    assert!(!bed.vppctl("show errors").contains("ip6-frag"));
}

/// An error has said that less gets to the other end than our own link takes.
#[test]
fn fragments_fit_what_errors_have_said() {
    for kind in KINDS {
        let mut bed = tunnel(kind);
        bed.vppctl("set interface mtu 1500 pg1");
        let [_, out] = bed.send("pg0", &[packet(true, 1400)]);
        let mut error = Vec::new();
        let address = |at: usize| out[0][at..at + 16].try_into().unwrap();
        let mac = crate::support::hex(crate::support::MAC1).try_into().unwrap();
        let ip = PacketBuilder::ethernet2([2, 0, 0, 0, 2, 9], mac).ipv6(address(38), address(22), 64);
        let too_big = etherparse::Icmpv6Type::PacketTooBig { mtu: 1290 };
        ip.icmpv6(too_big).write(&mut error, &out[0][14..14 + 1000]).unwrap();
        bed.send("pg1", &[error]);
        let [back, _] = bed.send("pg0", &[packet(true, 1281)]);
        assert_eq!((back.len(), back[0][54], &back[0][58..62]), (1, 2, &1280u32.to_be_bytes()[..]), "{kind}");
        let [_, out] = bed.send("pg0", &[packet(true, 1280)]);
        let lengths: Vec<_> = out.iter().map(|frame| frame.len() - 14).collect();
        assert_eq!((lengths.len(), lengths[0]), (2, 1288), "{kind}");
        assert!(joined(&out).1.ends_with(&routed(packet(true, 1280))), "{kind}");
    }
}

#[test]
fn the_trace_says_how_an_answer_was_cut() {
    let mut bed = ip6::bed();
    bed.type_all("set interface mtu 1500 pg0\n trace add pg-input 5");
    let whole = ip6::echo(ip6::TO0, "fd00::1", "fd01::1", &[9; 3000]);
    bed.send("pg0", &split(&whole, 1448, 1));
    let trace = timeless(&bed.vppctl("show trace"));
    let expected = "\nip6-frag\n  IPv6 mtu: 1280 fragments: 3\n  ICMP6: fd01::1 -> fd00::1\n";
    assert!(trace.contains(expected), "{trace}");
    for line in ["\nip6-receive\n", "\nip6-full-reassembly\n", "\nip6-icmp-echo-request\n", "\nip6-rewrite\n"] {
        assert!(trace.contains(line), "{trace}");
    }
}
