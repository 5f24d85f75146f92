//! Packets that are long, or that their sender did not finish.

use vnet::Offload;

use crate::balancing::three;
use crate::bed::Frame;
use crate::frames::{VIP, bytes, checked, ip, opened, tcp, udp};

/// A frame whose transport checksum, `at` bytes into that header, is left to others. The kernel leaves the pseudo
/// header's sum in the field; here it is found by taking the rest off.
fn unfinished(whole: &[u8], at: usize) -> Frame {
    let mut frame = whole.to_vec();
    let field = 34 + at..34 + at + 2;
    let full = !u32::from(u16::from_be_bytes([whole[34 + at], whole[35 + at]])) & 0xffff;
    frame[field.clone()].fill(0);
    let pseudo = (full + 0xffff - sum(&frame[34..])) % 0xffff;
    frame[field].copy_from_slice(&(pseudo as u16).to_be_bytes());
    Frame { bytes: frame, offload: Offload::CHECKSUM, checksum: (34, at as u16), ..Frame::default() }
}

fn sum(bytes: &[u8]) -> u32 {
    let sum = bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0))).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}

#[test]
fn a_checksum_that_the_sender_left_is_completed() {
    let mut bed = three();
    for (whole, at) in
        [(tcp(ip([10, 9, 0, 1], VIP), 4000, 80, 333), 16), (udp(ip([10, 9, 0, 1], VIP), 4000, 80, 1201), 6)]
    {
        let left = bed.reaching_servers([unfinished(&whole, at)]);
        let inner = opened(&left[0]).1;
        checked(inner);
        assert_eq!(*inner, whole[14..]);
    }
}

#[test]
fn a_tcp_checksum_of_zero_is_sent_as_zero_and_only_that_of_udp_as_ones() {
    let mut bed = three();
    let (tcp, udp) = (tcp(ip([10, 9, 0, 1], VIP), 4000, 80, 333), udp(ip([10, 9, 0, 1], VIP), 4000, 80, 333));
    for (mut whole, at, payload, zero) in [(tcp, 16, 54, [0, 0]), (udp, 6, 42, [0xff, 0xff])] {
        let field = 34 + at..34 + at + 2;
        // What the sum lacks goes into the payload.
        let lack = sum(&[&whole[field.clone()], &whole[payload..payload + 2]].concat()) as u16;
        whole[payload..payload + 2].copy_from_slice(&lack.to_be_bytes());
        whole[field].copy_from_slice(&zero);
        let left = bed.reaching_servers([unfinished(&whole, at)]);
        let inner = opened(&left[0]).1;
        assert_eq!(*inner, whole[14..]);
        checked(inner);
    }
}

/// A segment of TCP that a device would have cut into pieces of `size`.
fn large(payload: usize, size: u16) -> Frame {
    Frame {
        bytes: tcp(ip([10, 9, 0, 1], VIP), 4000, 80, payload),
        offload: Offload::GSO_TCP4 | Offload::CHECKSUM,
        gso_size: size,
        checksum: (34, 16),
    }
}

#[test]
fn large_segments_are_cut_before_the_tunnel() {
    let mut bed = three();
    for payload in [1449, 20_000, 65_000] {
        let left = bed.reaching_servers([large(payload, 1448)]);
        assert_eq!(left.len(), payload.div_ceil(1448));
        let server = opened(&left[0]).0;
        let mut got = Vec::new();
        for frame in &left {
            let (to, inner) = opened(frame);
            assert_eq!(to, server, "all pieces go one way");
            assert!(frame.len() <= 14 + 24 + 40 + 1448);
            got.extend(checked(inner));
        }
        assert_eq!(got, bytes(payload));
    }
    assert_eq!(bed.shown("first session packet"), 1);
}

#[test]
fn large_datagrams_are_cut_into_datagrams() {
    let mut bed = three();
    let frame = udp(ip([10, 9, 0, 1], VIP), 4000, 80, 20_000);
    let offload = Offload::GSO_UDP | Offload::CHECKSUM;
    let left = bed.reaching_servers([Frame { bytes: frame, offload, gso_size: 1200, checksum: (34, 6) }]);
    let pieces = left.iter().map(|frame| checked(opened(frame).1));
    assert_eq!(pieces.clone().map(|piece| piece.len()).collect::<Vec<_>>(), [&[1200; 16][..], &[800]].concat());
    assert_eq!(pieces.flatten().collect::<Vec<_>>(), bytes(20_000));
}

#[test]
fn pieces_that_would_not_fit_are_reported_once() {
    let mut bed = three();
    bed.vppctl("set interface mtu 1500 toy1");
    let left = bed.send([large(20_000, 1448)]);
    // 40 bytes of headers, 1448 of payload and 24 of tunnel are 12 too many.
    assert_eq!(left.len(), 1);
    told(&left[0], 1476);
    assert_eq!(bed.reaching_servers([large(20_000, 1436)]).len(), 14);
}

/// Judges an ICMP message to the client: fragmentation needed, with this MTU.
#[track_caller]
fn told((interface, frame): &(String, Vec<u8>), mtu: u16) {
    assert_eq!((interface.as_str(), &frame[26..34]), ("toy0", &[10, 0, 1, 1, 10, 9, 0, 1][..]));
    let sliced = etherparse::SlicedPacket::from_ethernet(frame).unwrap();
    let Some(etherparse::TransportSlice::Icmpv4(icmp)) = &sliced.transport else { panic!("not ICMP: {frame:x?}") };
    let etherparse::Icmpv4Type::DestinationUnreachable(why) = icmp.icmp_type() else { panic!("{frame:x?}") };
    assert_eq!(why, etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu });
    // The sender finds its packet as it sent it, but for hops.
    assert_eq!(icmp.payload()[12..16], [10, 9, 0, 1]);
}

#[test]
fn a_packet_that_may_not_be_cut_is_reported_with_the_mtu_that_is_left() {
    let mut bed = three();
    bed.vppctl("set interface mtu 1500 toy1");
    let fits = tcp(ip([10, 9, 0, 1], VIP), 4000, 80, 1476 - 40);
    assert_eq!(bed.reaching_servers([fits])[0].len(), 1514);
    let left = bed.send([tcp(ip([10, 9, 0, 1], VIP), 4000, 80, 1476 - 39)]);
    assert_eq!(left.len(), 1);
    told(&left[0], 1476);
    assert_eq!(bed.counted("lb4-gre4", "packet too long for the tunnel and DF set"), 1);
}

#[test]
fn a_packet_that_may_be_cut_travels_in_fragments_of_the_outer_packet() {
    let mut bed = three();
    bed.vppctl("set interface mtu 1500 toy1");
    let mut header = ip([10, 9, 0, 1], VIP);
    header.dont_fragment = false;
    let frame = udp(header, 4000, 80, 1472);
    let left = bed.reaching_servers([frame.clone(), frame.clone()]);
    assert_eq!(left.len(), 4);
    let ids = [0, 1, 2, 3].map(|at: usize| u16::from_be_bytes([left[at][18], left[at][19]]));
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2] && !ids.contains(&0), "{ids:x?}");
    let mut whole = Vec::new();
    for (number, piece) in left[..2].iter().enumerate() {
        let (outer, rest) = etherparse::Ipv4Header::from_slice(&piece[14..]).unwrap();
        assert_eq!(outer.header_checksum, outer.calc_header_checksum());
        assert_eq!((usize::from(outer.fragment_offset.value()) * 8, outer.more_fragments), (whole.len(), number == 0));
        assert!(piece.len() <= 1514);
        whole.extend_from_slice(rest);
    }
    assert_eq!(whole[..4], [0, 0, 8, 0]);
    assert_eq!(whole[4..], frame[14..]);
}

#[test]
fn chains_keep_their_bytes() {
    let mut bed = three();
    for payload in [2000, 2048, 4096, 8900] {
        let frame = tcp(ip([10, 9, 0, 1], VIP), 4000, 80, payload);
        let left = bed.reaching_servers([frame.clone()]);
        assert_eq!(*opened(&left[0]).1, frame[14..]);
    }
}

#[test]
fn of_several_ways_to_a_server_the_narrowest_counts() {
    let mut bed = three();
    bed.type_all(&[
        "lb vip 91.0.0.1/32 encap gre4",
        "lb as 91.0.0.1/32 172.16.0.1",
        "ip route add 172.16.0.1/32 via 10.0.2.2",
        "ip route add 172.16.0.1/32 via 10.0.2.3",
        "set interface mtu 1500 toy1",
    ]);
    let of = |payload| tcp(ip([10, 9, 0, 1], [91, 0, 0, 1]), 4000, 80, payload);
    assert_eq!(bed.reaching_servers([of(1436)])[0].len(), 1514);
    told(&bed.send([of(1437)])[0], 1476);
}
