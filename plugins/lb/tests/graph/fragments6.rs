//! Fragments of IPv6: those of our outer packets that do not fit, and those of questions that a VIP answers itself.

use std::net::Ipv6Addr;

use etherparse::PacketBuilder;
use vnet::Offload;

use crate::bed::{Bed, CLIENT_MAC, Frame, MAC0};
use crate::families::{SERVER6, VIP4, VIP6, one, outer};

const ENCAPS: [&str; 4] = ["gre6", "ipip6", "gue6", "gue6 variant 1"];

/// A UDP packet of so many bytes to a VIP, which may be cut where it is IPv4.
fn packet(vip: &str, len: usize) -> Vec<u8> {
    let (mut frame, ethernet) = (Vec::new(), PacketBuilder::ethernet2(CLIENT_MAC, MAC0));
    let payload = |headers: usize| (0..len - headers).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    if vip == VIP4 {
        let mut ip = crate::frames::ip([10, 0, 1, 2], [90, 0, 0, 1]);
        (ip.dont_fragment, ip.identification) = (false, 9);
        let ip = ethernet.ip(etherparse::IpHeaders::Ipv4(ip, Default::default()));
        ip.udp(7, 53).write(&mut frame, &payload(28)).unwrap();
    } else {
        let [client, vip] = ["2001::2", VIP6].map(|address| address.parse::<Ipv6Addr>().unwrap().octets());
        ethernet.ipv6(client, vip, 61).udp(7, 53).write(&mut frame, &payload(48)).unwrap();
    }
    frame
}

/// The frame that left, or that its fragments make together, each compared byte for byte with what it must be.
#[track_caller]
fn whole(frames: &[Vec<u8>], mtu: usize) -> Vec<u8> {
    let [first, ..] = frames else { panic!("nothing left") };
    if first[20] != 44 {
        assert_eq!(frames.len(), 1);
        return first.clone();
    }
    let mut whole = first[..54].to_vec();
    whole[20] = first[54];
    for (number, frame) in frames.iter().enumerate() {
        let last = number + 1 == frames.len();
        let at = whole.len() - 54;
        let mut expected = first[..62].to_vec();
        expected[18..20].copy_from_slice(&(frame.len() as u16 - 54).to_be_bytes());
        expected[56..58].copy_from_slice(&(at as u16 | u16::from(!last)).to_be_bytes());
        assert_eq!(frame[..62], expected, "fragment {number}");
        // All but the last are as long as eights allow.
        assert!(frame.len() <= 14 + mtu && (last || frame.len() > 14 + mtu - 8));
        whole.extend(&frame[62..]);
    }
    let len = whole.len() as u16 - 54;
    whole[18..20].copy_from_slice(&len.to_be_bytes());
    whole
}

#[track_caller]
fn judge(encap: &str, vip: &str, sent: &[u8], left: &[u8]) {
    let outer = outer(encap, vip, sent.len() - 14, 0);
    assert_eq!(left.len(), outer.len() + sent.len() - 14, "{vip} {encap}");
    assert!(outer.iter().zip(left).all(|(expected, byte)| expected.is_none_or(|expected| expected == *byte)));
    assert_eq!(left[outer.len()..], sent[14..], "{vip} {encap}: the inner packet is not touched");
}

#[test]
fn outer_packets_that_do_not_fit_are_cut() {
    for encap in ENCAPS {
        for (vip, mtu, lengths) in [
            (VIP6, 1300, &[1280, 1279][..]),
            (VIP6, 1280, &[1241, 1280]),
            (VIP4, 1300, &[1261, 1300, 3000]),
            (VIP4, 1500, &[1461, 1500, 8900]),
        ] {
            let mut bed = one(vip, encap, SERVER6.into());
            bed.vppctl(&format!("set interface mtu packet {mtu} toy1"));
            let mut ids = Vec::new();
            for len in lengths {
                let sent = packet(vip, *len);
                let left = bed.reaching_servers([sent.clone()]);
                let body = len + outer(encap, vip, 0, 0).len() - 54;
                assert_eq!(left.len(), body.div_ceil((mtu - 48) & !7), "{encap} {vip} {len}");
                judge(encap, vip, &sent, &whole(&left, mtu));
                ids.push(left[0][58..62].to_vec());
            }
            ids.dedup();
            assert_eq!(ids.len(), lengths.len(), "each has its own identification");
            // In a vector with others; those that fit are not touched.
            let short = packet(vip, 100);
            let left = bed.reaching_servers([short.clone(), packet(vip, lengths[0]), short.clone()]);
            assert_eq!(left.len(), 4);
            let is_whole = |frame: &&Vec<u8>| frame[20] != 44;
            left.iter().filter(is_whole).for_each(|frame| judge(encap, vip, &short, frame));
            assert_eq!(left.iter().filter(is_whole).count(), 2);
            assert_eq!(bed.counted("ip6-frag", "packets fragmented"), lengths.len() as u64 + 1);
        }
    }
}

/// A large segment of short pieces, and what errors have said of the way.
#[test]
fn pieces_of_large_segments_and_narrow_ways_are_cut_too() {
    let mut bed = one(VIP6, "gre6", SERVER6.into());
    bed.vppctl("set interface mtu packet 1300 toy1");
    let frame = packet(VIP6, 48 + 3 * 1232);
    let offload = Offload::GSO_UDP | Offload::CHECKSUM;
    let left = bed.reaching_servers([Frame { bytes: frame.clone(), offload, gso_size: 1232, checksum: (54, 6) }]);
    assert_eq!(left.len(), 6);
    for (number, two) in left.chunks(2).enumerate() {
        let whole = whole(two, 1300);
        assert_eq!(whole[14 + 44 + 48..], frame[62 + number * 1232..62 + (number + 1) * 1232]);
    }

    bed.vppctl("set interface mtu packet 1500 toy1");
    let wrapped = bed.reaching_servers([packet(VIP6, 1400)]).remove(0);
    let mut error = Vec::new();
    let [source, destination] = [22, 38].map(|at| wrapped[at..at + 16].try_into().unwrap());
    let ethernet = PacketBuilder::ethernet2(crate::bed::SERVER_MAC, crate::bed::MAC1);
    let too_big = etherparse::Icmpv6Type::PacketTooBig { mtu: 1290 };
    ethernet.ipv6(destination, source, 64).icmpv6(too_big).write(&mut error, &wrapped[14..80]).unwrap();
    assert!(bed.send([error]).is_empty());
    let sent = packet(VIP6, 1280);
    let left = bed.reaching_servers([sent.clone()]);
    assert_eq!(left.len(), 2);
    judge("gre6", VIP6, &sent, &whole(&left, 1290));
}

#[test]
fn packets_that_are_not_wrapped_are_not_cut() {
    for encap in ["l2dsr", "nat6 target_port 53"] {
        let mut bed = Bed::new();
        bed.type_all(&[
            "set interface ip address toy0 2001::1/64",
            "set interface ip address toy1 2002::1/64",
            "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
            "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
            &format!("lb vip {VIP6}/128 protocol udp port 53 encap {encap}"),
            &format!("lb as {VIP6}/128 protocol udp port 53 {SERVER6}"),
            "set interface mtu packet 1300 toy1",
        ]);
        let left = bed.send([packet(VIP6, 1400)]);
        let [(interface, error)] = &left[..] else { panic!("{encap}: {left:02x?}") };
        assert_eq!((interface.as_str(), error[20], error[54]), ("toy0", 58, 2), "{encap}");
        assert_eq!(error[58..62], 1300u32.to_be_bytes(), "{encap}");
    }
}

/// A long ping of a VIP that we answer for is answered, whole, and cut where it must be.
#[test]
fn long_pings_are_answered() {
    let mut bed = one(VIP6, "gre6", SERVER6.into());
    bed.type_all(&["lb vip 2003::1/128 ping answer", "set interface mtu packet 1500 toy0"]);
    let [client, vip] = ["2001::2", VIP6].map(|address| address.parse::<Ipv6Addr>().unwrap().octets());
    let payload: Vec<u8> = (0..4000u32).map(|at| (at % 249) as u8).collect();
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, MAC0);
    ethernet.ipv6(client, vip, 61).icmpv6_echo_request(7, 1).write(&mut request, &payload).unwrap();
    let ethernet = PacketBuilder::ethernet2(MAC0, CLIENT_MAC);
    ethernet.ipv6(vip, client, 64).icmpv6_echo_reply(7, 1).write(&mut reply, &payload).unwrap();
    let pieces = [54..1502, 1502..2950, 2950..request.len()].map(|range| {
        let mut head = request[..54].to_vec();
        head[18..20].copy_from_slice(&(range.len() as u16 + 8).to_be_bytes());
        head[20] = 44;
        let word = ((range.start - 54) as u16 | u16::from(range.end < request.len())).to_be_bytes();
        [&head[..], &[58, 0], &word, &[0, 0, 0, 5], &request[range]].concat()
    });
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let left: Vec<_> = order.into_iter().flat_map(|at| bed.send_and_hold([pieces[at].clone()])).collect();
        assert!(left.iter().all(|(interface, _)| interface == "toy0"));
        let frames: Vec<_> = left.into_iter().map(|(_, frame)| frame).collect();
        assert_eq!(whole(&frames, 1280), reply);
    }
    assert_eq!(bed.counted("ip6-full-reassembly", "packets reassembled"), 3);
}
