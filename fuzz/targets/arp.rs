//! ARP messages: as they come, and with the fields in front right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{MAC, NEIGHBOUR};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let destination = if kind & 1 == 0 { MAC } else { [0xff; 6] };
    let mut frame = [&destination[..], &NEIGHBOUR, &[8, 6]].concat();
    if kind & 2 != 0 {
        // Ethernet and IPv4, address sizes 6 and 4 (RFC 826); request or reply.
        frame.extend([0, 1, 8, 0, 6, 4, 0, if kind & 4 == 0 { 1 } else { 2 }]);
    }
    if kind & 8 != 0 {
        frame.extend(NEIGHBOUR);
    }
    frame.extend_from_slice(bytes);
    maglane_fuzz::run_frame(&frame);
});
