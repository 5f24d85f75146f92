//! Packets for our own addresses that come in pieces.

use etherparse::PacketBuilder;

use crate::support::{Bed, MAC0, hex};

/// An echo request of so many bytes of payload from 10.0.1.2 to `pg0`.
fn echo(len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
    let mac: Vec<u8> = hex(MAC0);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], mac.try_into().unwrap())
        .ipv4([10, 0, 1, 2], [10, 0, 1, 1], 64)
        .icmpv4_echo_request(5, 1)
        .write(&mut frame, &payload)
        .unwrap();
    frame
}

/// The frame's packet in pieces of at most `size` bytes of payload.
fn cut(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (head, payload) = frame.split_at(34);
    let pieces = payload.chunks(size).enumerate().map(|(number, piece)| {
        let mut header = etherparse::Ipv4Header::from_slice(&head[14..]).unwrap().0;
        header.identification = 77;
        header.dont_fragment = false;
        header.more_fragments = number * size + piece.len() < payload.len();
        header.fragment_offset = ((number * size / 8) as u16).try_into().unwrap();
        header.set_payload_len(piece.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [&head[..14], &header.to_bytes()[..], piece].concat()
    });
    pieces.collect()
}

/// The ICMP message in frames that came out, put together again.
fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut message = Vec::new();
    for frame in frames {
        assert!(frame.len() <= 1514, "{}", frame.len());
        let (header, payload) = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.fragment_offset.value()) * 8, message.len());
        message.extend_from_slice(payload);
    }
    message
}

#[test]
fn an_echo_in_pieces_is_answered_whatever_their_order() {
    let whole = echo(3000);
    for (round, size) in [1480, 800, 8].into_iter().enumerate() {
        let mut bed = Bed::new();
        bed.vppctl("set interface mtu 1500 pg0");
        let mut pieces = cut(&whole, size);
        match round {
            0 => pieces.reverse(),
            1 => pieces.swap(0, 2),
            _ => (),
        }
        let [back, _] = bed.send("pg0", &pieces);
        let answer = joined(&back);
        assert_eq!((answer[0], answer.len()), (0, 3008), "pieces of {size}");
        assert_eq!(answer[4..], whole[38..], "pieces of {size}");
        let sum = answer.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum::<u32>();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        assert!(bed.vppctl("show errors").contains("packets reassembled"));
    }
}

/// Longer than pieces wait for each other.
const TOO_LONG: std::time::Duration = std::time::Duration::from_millis(1100);

/// A fragment from another sender, or of another datagram.
fn other(frame: &[u8], source: [u8; 4], id: u16) -> Vec<u8> {
    let mut header = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap().0;
    (header.source, header.identification) = (source, id);
    header.header_checksum = header.calc_header_checksum();
    [&frame[..14], &header.to_bytes()[..], &frame[34..]].concat()
}

/// How often something was counted, by the words of `show errors`.
fn counted(bed: &mut Bed, words: &str) -> u64 {
    let errors = bed.vppctl("show errors");
    let line = errors.lines().find(|line| line.contains(words));
    line.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn after_an_overlap_nothing_of_the_datagram_is_taken_until_its_time_is_up() {
    let mut bed = Bed::new();
    bed.vppctl("set interface mtu 1500 pg0");
    let pieces = cut(&echo(2000), 1000);
    let mut liar = pieces[1].clone();
    // The same place, other bytes.
    *liar.last_mut().unwrap() ^= 1;
    let [back, _] = bed.send("pg0", &[&[pieces[1].clone(), liar][..], &pieces].concat());
    assert!(back.is_empty());
    assert_eq!((counted(&mut bed, "overlapping fragments"), counted(&mut bed, "of a dropped packet")), (1, 3));
    assert_eq!(bed.in_use(), 0, "pieces keep no buffers");
    std::thread::sleep(TOO_LONG);
    let [back, _] = bed.send("pg0", &pieces);
    assert_eq!(joined(&back).len(), 2008);
    assert_eq!(counted(&mut bed, "reassemblies timed out"), 0, "it was counted before");
}

#[test]
fn the_sender_of_a_first_piece_is_told_that_others_are_missing() {
    let mut bed = Bed::new();
    let pieces = cut(&echo(3000), 1000);
    let later = other(&pieces[1], [10, 0, 1, 2], 78);
    let [back, _] = bed.send("pg0", &[pieces[1].clone(), pieces[0].clone(), later]);
    assert!(back.is_empty());
    std::thread::sleep(TOO_LONG);
    let [back, _] = bed.send("pg0", &[echo(10)]);
    assert_eq!(back.len(), 2, "{back:x?}");
    let (ip, message) = etherparse::Ipv4Header::from_slice(&back[0][14..]).unwrap();
    assert_eq!((ip.source, ip.destination, ip.total_len), ([10, 0, 1, 1], [10, 0, 1, 2], 576));
    assert_eq!(message[..2], [11, 1], "RFC 792: time exceeded, fragment reassembly");
    assert_eq!(message[8..], pieces[0][14..14 + 548], "the piece as it came");
    assert_eq!((back[1][34], counted(&mut bed, "reassembly time exceeded")), (0, 1));
    assert_eq!(counted(&mut bed, "reassemblies timed out"), 2);
}

#[test]
fn a_piece_that_comes_once_more_when_all_is_there_is_no_reason_to_complain() {
    let mut bed = Bed::new();
    bed.vppctl("set interface mtu 1500 pg0");
    let pieces = cut(&echo(2000), 1000);
    let [back, _] = bed.send("pg0", &[&pieces[..], &pieces[..1]].concat());
    assert_eq!(joined(&back).len(), 2008);
    std::thread::sleep(TOO_LONG);
    let [back, _] = bed.send("pg0", &[echo(10)]);
    assert_eq!(back.len(), 1, "only the second echo's answer: {back:x?}");
    assert_eq!(counted(&mut bed, "reassemblies timed out"), 0);
}

#[test]
fn a_flood_of_beginnings_costs_its_sender_alone() {
    let mut bed = Bed::new();
    bed.vppctl("set interface mtu 1500 pg0");
    let whole = cut(&echo(2000), 1000);
    let flood: Vec<_> = (1000..1200).map(|id| other(&whole[0], [10, 0, 1, 77], id)).collect();
    let [back, _] = bed.send("pg0", &[&whole[..1], &flood, &whole[1..]].concat());
    assert_eq!(joined(&back).len(), 2008);
    assert_eq!(counted(&mut bed, "too many of a source"), 200 - 16);
    assert_eq!(bed.in_use(), 0, "pieces keep no buffers");
}

#[test]
fn where_many_send_beginnings_the_oldest_goes() {
    let mut bed = Bed::new();
    bed.vppctl("set interface mtu 1500 pg0");
    let whole = cut(&echo(2000), 1000);
    let flood: Vec<_> = (1..=100).map(|host| other(&whole[0], [10, 0, 1, 100 + host], 7)).collect();
    let [back, _] = bed.send("pg0", &[&flood[..], &whole].concat());
    assert_eq!(joined(&back).len(), 2008, "the newest has a place");
    assert_eq!(counted(&mut bed, "all places taken"), 101 - 64);
    assert_eq!(bed.in_use(), 0);
}

#[test]
fn a_tunnel_takes_packets_in_pieces() {
    let mut bed = Bed::new();
    bed.type_all("create gre tunnel src 10.0.1.1 dst 10.0.1.2\n set interface state gre0 up\n set interface ip address gre0 10.9.9.1/32");
    let mut inner = Vec::new();
    PacketBuilder::ipv4([7, 7, 7, 7], [10, 0, 2, 2], 64).udp(1, 2).write(&mut inner, &[9; 1400]).unwrap();
    let mut frame = Vec::new();
    let outer = etherparse::Ipv4Header::new(
        (inner.len() + 4) as u16,
        64,
        etherparse::IpNumber::GRE,
        [10, 0, 1, 2],
        [10, 0, 1, 1],
    )
    .unwrap();
    frame.extend([&hex(MAC0)[..], &[2, 0, 0, 0, 1, 2], &[8, 0]].concat());
    frame.extend(outer.to_bytes());
    frame.extend([0, 0, 8, 0]);
    frame.extend(&inner);
    let [_, out] = bed.send("pg0", &cut(&frame, 720));
    assert_eq!(out.len(), 1);
    assert_eq!(out[0][34..], inner[20..]);
}

#[test]
fn a_piece_that_reaches_too_far_is_not_cut_further() {
    let mut bed = Bed::new();
    bed.type_all("ip route add 90.0.0.0/8 via 10.0.2.2\n set interface mtu 600 pg1");
    let mut frame = cut(&echo(3000), 1480).remove(0);
    let mut header = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap().0;
    header.destination = [90, 0, 0, 1];
    header.fragment_offset = 8191.try_into().unwrap();
    header.header_checksum = header.calc_header_checksum();
    frame[14..34].copy_from_slice(&header.to_bytes());
    let [_, out] = bed.send("pg0", &[frame]);
    assert!(out.is_empty());
    assert!(bed.vppctl("show errors").contains("fragment reaches beyond 65535 b"));
}
