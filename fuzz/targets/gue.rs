//! UDP datagrams to GUE's port: with any header, and with one that is taken; with checksums that a sender left undone, and
//! several in one packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::outer;
use vnet::wire::ip4::{self, protocol};
use vnet::wire::{GueHeader, UdpHeader, gue};

fuzz_target!(|data: &[u8]| {
    if let Ok(header) = gue::parse(data) {
        assert!(header.header_len <= data.len());
    }
    let Some((&[kind, more], bytes)) = data.split_first_chunk::<2>() else { return };
    let mut message = Vec::new();
    if more & 1 != 0 {
        let number = if more & 2 == 0 { protocol::IP_IN_IP } else { protocol::IPV6 };
        message.extend_from_slice(GueHeader::new(number).as_bytes());
    }
    message.extend_from_slice(bytes);
    if more & 4 != 0 && message.len() > 4 {
        let _ = ip4::write_checksum(&mut message[4..]);
    }
    let mut header = UdpHeader::new(50000, gue::PORT, message.len());
    if more & 8 != 0 {
        // Any length and checksum.
        let word = bytes.first_chunk::<2>().copied().unwrap_or_default();
        header.len.set(u16::from_be_bytes(word));
        header.checksum.set(u16::from_be_bytes(word));
    }
    let frame = outer(kind, protocol::UDP, &[header.as_bytes(), &message].concat());
    match u16::from(more >> 4) {
        0 => maglane_fuzz::run_frame(&frame),
        size => maglane_fuzz::run_large(&frame, size * 80),
    }
});
