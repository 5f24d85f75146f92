//! Frames into the whole graph, and into the parsers beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vnet::wire::{FlowKey4, HeaderBytes, Start, frag, ip4, print, tcp, udp};

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
            maglane_fuzz::run_frame(&frame);
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
    if let Ok(facts) = ip4::check(&packet, packet.len()) {
        let payload = facts.total_len.saturating_sub(facts.header_len);
        if let Ok(plan) = frag::Plan::new(&packet, payload, 68 + usize::from(*kind)) {
            let lengths: usize = plan.fragments().map(|fragment| fragment.len).sum();
            assert_eq!(lengths, payload, "fragments cover the payload");
        }
    }
});
