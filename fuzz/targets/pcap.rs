//! Capture files: read, and written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nodes::pg::pcap::{MAX_PACKET, Packets, Writer};

fuzz_target!(|data: &[u8]| {
    let Ok(packets) = Packets::parse(data.to_vec(), "fuzz") else { return };
    let mut copy = Vec::new();
    let mut writer = Writer::new(&mut copy, "fuzz").expect("memory takes everything");
    for at in 0..packets.len() {
        assert!(packets.get(at).len() <= MAX_PACKET);
        writer.write(packets.stamp(at), packets.get(at)).expect("memory takes everything");
    }
    let again = Packets::parse(copy, "copy").expect("what was written can be read");
    assert_eq!(again.len(), packets.len());
    for at in 0..packets.len() {
        assert_eq!(again.get(at), packets.get(at));
    }
});
