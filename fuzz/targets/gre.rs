//! GRE packets to a tunnel's end: with any header, and with one that is taken.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{MAC, NEIGHBOUR};
use vnet::wire::{Ip4Header, gre, ip4};

fuzz_target!(|data: &[u8]| {
    let _ = gre::parse(data);
    let _ = gre::checksum_ok(data);
    let Some((kind, bytes)) = data.split_first() else { return };
    let mut message = Vec::new();
    if kind & 1 != 0 {
        message.extend([0, 0, 8, 0]);
    }
    message.extend_from_slice(bytes);
    if kind & 2 != 0 && message.len() > 4 {
        let _ = ip4::write_checksum(&mut message[4..]);
    }
    let remote = Ipv4Addr::new(10, 0, 1, if kind & 4 == 0 { 2 } else { 9 });
    let outer = Ip4Header::new(remote, Ipv4Addr::new(10, 0, 1, 1), ip4::protocol::GRE, message.len(), 64);
    let mut packet = [outer.as_bytes(), &message].concat();
    let _ = ip4::write_checksum(&mut packet);
    let mut frame = [&MAC[..], &NEIGHBOUR, &[8, 0]].concat();
    frame.extend(packet);
    maglane_fuzz::run_frame(&frame);
});
