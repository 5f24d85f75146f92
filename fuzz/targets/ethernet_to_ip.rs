//! Frames into the whole graph, and into the parsers beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vnet::wire::{FlowKey4, HeaderBytes, Start, checksum, frag, gso, ip4, print, tcp, udp};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let packet = match kind & 3 {
        // A frame as it comes.
        0 => {
            maglane_fuzz::run_frame(bytes);
            bytes.get(14..).unwrap_or_default().to_vec()
        }
        // An IPv4 packet whose checksum is right, so that more than the first check is reached; with the lengths
        // right as well in every second case.
        more => {
            let mut packet = bytes.to_vec();
            if let Some(length) = packet.get_mut(2..4).filter(|_| more == 2) {
                length.copy_from_slice(&(bytes.len() as u16).to_be_bytes());
            }
            let _ = ip4::write_checksum(&mut packet);
            let mut frame = [&maglane_fuzz::MAC[..], &maglane_fuzz::NEIGHBOUR, &[8, 0]].concat();
            frame.extend_from_slice(&packet);
            match usize::from(kind >> 2) {
                0 => maglane_fuzz::run_frame(&frame),
                // As a large segment, in pieces of so many bytes.
                size => maglane_fuzz::run_large(&frame, size as u16 * 25),
            }
            packet
        }
    };
    let mut text = trace::Text::new();
    print::ethernet_frame(&mut text, bytes);
    print::ip4(&mut text, &packet);
    print::ip6(&mut text, &packet);
    for start in [Start::Ethernet, Start::EthernetOnly, Start::Ip4, Start::Ip6, Start::Arp] {
        let kept = HeaderBytes::new(start, bytes);
        kept.text(&mut text);
        serde_json::to_string(&kept).expect("headers are plain values");
    }
    let _ = FlowKey4::read(&packet);
    let _ = ip4::options(&packet).count();
    let _ = udp::checksum_ok(0, &packet);
    let _ = tcp::TcpOptions::parse(tcp::option_bytes(&packet));
    if ip4::check(&packet, packet.len()).is_ok() {
        cut_into_fragments(&packet, 68 + usize::from(*kind));
        cut_into_segments(&packet, 1 + u16::from(*kind));
    }
});

/// What `ip4-frag` does, on bytes: the fragments fit, their headers are right, and they make the whole.
fn cut_into_fragments(packet: &[u8], mtu: usize) {
    let Ok(plan) = frag::Plan::new(packet, packet.len(), mtu) else { return };
    let payload = &packet[plan.payload_at()..];
    let mut end = 0;
    for piece in plan.fragments() {
        let mut fragment = vec![0; plan.header_len(piece)];
        plan.write_header(piece, &mut fragment).expect("room for the header");
        fragment.extend_from_slice(&payload[piece.at..piece.at + piece.len]);
        assert_eq!(piece.at, end, "fragments follow each other");
        assert!(fragment.len() <= mtu);
        assert_eq!(ip4::check(&fragment, fragment.len()).map(|facts| facts.total_len), Ok(fragment.len()));
        end += piece.len;
    }
    assert_eq!(end, payload.len());
}

/// What `ip4-gso-cut` does, on bytes: the same for the pieces of a large segment, whose transport checksums are right.
fn cut_into_segments(packet: &[u8], size: u16) {
    let kind = if packet[9] == ip4::protocol::UDP { gso::Kind::Udp4 } else { gso::Kind::Tcp4 };
    let Ok(plan) = gso::Plan::new(packet, 0, kind, size, packet.len()) else { return };
    let (headers, payload) = packet.split_at(plan.headers_len());
    let mut end = 0;
    for piece in plan.pieces() {
        let (mut segment, body) = (headers.to_vec(), &payload[piece.at..piece.at + piece.len]);
        plan.complete(&mut segment, piece, checksum::sum(body, 0)).expect("room for the headers");
        segment.extend_from_slice(body);
        assert_eq!(piece.at, end, "pieces follow each other");
        assert!(segment.len() <= plan.longest());
        let facts = ip4::check(&segment, segment.len()).expect("a sound header");
        let (ip, _) = ip4::Ip4Header::ref_from_prefix(&segment).expect("it is checked");
        let transport = &segment[facts.header_len..];
        let sum = checksum::sum(transport, ip.pseudo_sum(transport.len() as u16));
        assert_eq!((facts.total_len, checksum::fold(sum)), (segment.len(), 0xffff));
        end += piece.len;
    }
    assert_eq!(end, payload.len());
}
