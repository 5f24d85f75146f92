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

#[test]
fn pieces_that_overlap_or_never_end_come_to_nothing() {
    let mut bed = Bed::new();
    bed.vppctl("set interface mtu 1500 pg0");
    let pieces = cut(&echo(2000), 1000);
    let mut liar = pieces[1].clone();
    // The same place, other bytes.
    *liar.last_mut().unwrap() ^= 1;
    let [back, _] = bed.send("pg0", &[pieces[1].clone(), liar, pieces[0].clone()]);
    assert!(back.is_empty());
    assert!(bed.vppctl("show errors").contains("overlapping fragments"));
    assert_eq!(bed.in_use(), 0, "pieces keep no buffers");
    // The rest of the first try waits in vain; the next is whole.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let [back, _] = bed.send("pg0", &pieces);
    assert_eq!(joined(&back).len(), 2008);
    assert!(bed.vppctl("show errors").contains("reassemblies timed out"));
}

#[test]
fn many_beginnings_leave_no_place_and_cost_no_buffers() {
    let mut bed = Bed::new();
    let first = cut(&echo(2000), 1000).remove(0);
    let begun: Vec<Vec<u8>> = (0..100u16)
        .map(|id| {
            let mut frame = first.clone();
            let mut header = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap().0;
            header.identification = id;
            header.header_checksum = header.calc_header_checksum();
            frame[14..34].copy_from_slice(&header.to_bytes());
            frame
        })
        .collect();
    bed.send("pg0", &begun);
    let errors = bed.vppctl("show errors");
    let full = errors.lines().find(|line| line.contains("no place for another")).expect(&errors);
    assert!(full.trim_start().starts_with("36 "), "{full}");
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
