//! Packets of either family in IPv4 and IPv6 to a tunnel's end and to the host agent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::outer;
use vnet::wire::ip4::{self, protocol};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let mut inner = bytes.to_vec();
    if kind & 1 != 0 {
        let _ = ip4::write_checksum(&mut inner);
    }
    let number = if kind & 2 == 0 { protocol::IP_IN_IP } else { protocol::IPV6 };
    maglane_fuzz::run_frame(&outer(kind >> 2, number, &inner));
});
