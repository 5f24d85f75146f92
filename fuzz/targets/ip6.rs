//! IPv6 frames into the whole graph, and into the parsers beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vnet::wire::frag::Plan;
use vnet::wire::icmp6::{self, Problem};
use vnet::wire::ip4::protocol;
use vnet::wire::{FlowKey6, HeaderBytes, Ip6Header, Start, checksum, ip6, ip6_ext, nd, print};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let mut packet = bytes.to_vec();
    if kind & 1 != 0 {
        set_right(&mut packet);
    }
    // To us, to a group, to all.
    let destination = match kind >> 1 & 3 {
        0 | 1 => maglane_fuzz::MAC,
        2 => [0x33, 0x33, 0xff, 0, 0, 1],
        _ => [0xff; 6],
    };
    let frame = [&destination[..], &maglane_fuzz::NEIGHBOUR, &[0x86, 0xdd], &packet].concat();
    match u16::from(kind >> 3) {
        0 => maglane_fuzz::run_frame(&frame),
        // As a large segment, in pieces of so many bytes.
        size => maglane_fuzz::run_large(&frame, size * 40),
    }

    let mut text = trace::Text::new();
    print::ethernet_frame(&mut text, &frame);
    for start in [Start::Ethernet, Start::Ip6] {
        let kept = HeaderBytes::new(start, &packet);
        kept.text(&mut text);
        serde_json::to_string(&kept).expect("headers are plain values");
    }
    let _ = nd::check(&packet);
    if let Ok(upper) = ip6_ext::walk(&packet) {
        assert!(upper.offset <= packet.len() && upper.named_at < upper.offset);
        assert!(FlowKey6::read(&packet).is_err() || upper.begins_here());
    }
    report(&packet);
    if kind & 1 != 0 {
        let pieces = cut(&packet);
        // The last first, as often as not.
        let order = if packet.len() % 2 == 0 { [0, 1, 2, 3] } else { [3, 1, 2, 0] };
        for piece in order.into_iter().filter_map(|at| pieces.get(at)) {
            maglane_fuzz::run_frame(&[&destination[..], &maglane_fuzz::NEIGHBOUR, &[0x86, 0xdd], piece].concat());
        }
    }
});

/// What `ip6-frag` does, on bytes: a packet in a few pieces, each of them sound, which are the packet together.
fn cut(packet: &[u8]) -> Vec<Vec<u8>> {
    if ip6::check(packet, packet.len()).is_err() {
        return Vec::new();
    }
    let (mtu, id) = (packet.len() / 2 + 64, packet.len() as u32);
    let Ok(plan) = Plan::of_ip6(packet, packet.len(), mtu, id) else { return Vec::new() };
    let (mut pieces, mut whole) = (Vec::new(), 0);
    for fragment in plan.fragments() {
        let mut bytes = vec![0; plan.header_len(fragment)];
        plan.write_header(fragment, &mut bytes).expect("room for the header");
        let at = plan.payload_at() + fragment.at;
        bytes.extend_from_slice(&packet[at..at + fragment.len]);
        assert!(bytes.len() <= mtu && ip6::check(&bytes, bytes.len()).is_ok());
        // With the fragment header there may be one more than are gone through.
        let Ok(upper) = ip6_ext::walk(&bytes) else { return Vec::new() };
        let piece = upper.piece.expect("it is one");
        assert_eq!((piece.offset, piece.more, piece.id), (whole, !fragment.last, id));
        whole += fragment.len;
        pieces.push(bytes);
    }
    assert_eq!(plan.payload_at() + whole, packet.len());
    pieces
}

/// Version, length and the checksum of ICMPv6, so that more than the first check is reached.
fn set_right(packet: &mut [u8]) {
    let len = packet.len().saturating_sub(Ip6Header::LEN);
    let Ok((header, _)) = Ip6Header::mut_from_prefix(packet) else { return };
    header.version_class_flow.set(6 << 28 | header.version_class_flow.get() & 0xfff_ffff);
    header.payload_len.set(len as u16);
    let Ok(upper) = ip6_ext::walk(packet) else { return };
    let Some((front, message)) = packet.split_at_mut_checked(upper.offset) else { return };
    let Ok((header, _)) = Ip6Header::ref_from_prefix(front) else { return };
    if upper.protocol == protocol::ICMP6 && message.len() >= 4 {
        message[2..4].fill(0);
        let sum = checksum::sum(message, header.pseudo_sum(protocol::ICMP6, message.len() as u32));
        message[2..4].copy_from_slice(&checksum::finish(sum).to_be_bytes());
    }
}

/// What `ip6-icmp-error` does, on bytes: a message about a packet is sound, and about it none is sent.
fn report(packet: &[u8]) {
    if ip6::check(packet, packet.len()).is_err() {
        return;
    }
    for problem in [Problem::TimeExceeded, Problem::TooBig { mtu: 1280 }, Problem::Unreachable(3)] {
        if icmp6::may_report(problem, packet) {
            let (from, to) = ("2001:db8::1".parse().expect("it is one"), [0x20; 16].into());
            let mut message = [0; icmp6::MIN_MTU];
            let len = problem.emit(from, to, 255, packet, &mut message).expect("room for any message");
            assert!(ip6::check(&message[..len], len).is_ok());
            assert!(!icmp6::may_report(problem, &message[..len]));
        }
    }
}
