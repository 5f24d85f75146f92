//! ARP and ICMP: we answer for ourselves, and packets wait for those who have to be asked.

use etherparse::PacketBuilder;

use crate::forwarding::udp;
use crate::support::{Bed, hex};

const WHO_HAS: &str = "ffffffffffff 020000000102 0806 0001080006040001 020000000102 0a000102 000000000000 ";

fn request(target: [u8; 4]) -> Vec<u8> {
    let mut frame = hex(WHO_HAS);
    frame.extend(target);
    frame
}

#[test]
fn requests_for_own_addresses_are_answered_and_others_are_not() {
    let mut bed = Bed::new();
    let [back, _] = bed.send("pg0", &[request([10, 0, 1, 1]), request([10, 0, 1, 9]), request([10, 0, 2, 1])]);
    let expected = hex("020000000102 02fe97769349 0806 0001080006040002 02fe97769349 0a000101 020000000102 0a000102");
    assert_eq!(back, [expected]);
}

#[test]
fn requests_for_a_vip_are_answered_where_the_connected_prefix_covers_it() {
    let mut bed = Bed::new();
    bed.type_all("lb conf ip4-src-address 10.0.2.1\n lb vip 10.0.1.80/32 encap gre4\n lb as 10.0.1.80/32 10.0.2.2");
    let [back, _] = bed.send("pg0", &[request([10, 0, 1, 80])]);
    assert_eq!(back.len(), 1);
    assert_eq!(back[0][28..32], [10, 0, 1, 80]);
}

#[test]
fn the_first_packet_of_a_flow_waits_for_the_neighbour() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.77");
    let frame = udp([90, 0, 0, 1], 64, b"patience");
    let [_, out] = bed.send("pg0", std::slice::from_ref(&frame));
    let expected = hex("ffffffffffff 02fea56d4cb3 0806 0001080006040001 02fea56d4cb3 0a000201 000000000000 0a00024d");
    assert_eq!(out, [expected], "a request and nothing else");
    assert_eq!(bed.in_use(), 1, "the packet waits");
    let reply = hex("02fea56d4cb3 02000000004d 0806 0001080006040002 02000000004d 0a00024d 02fea56d4cb3 0a000201");
    let [_, out] = bed.send("pg1", &[reply]);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0][..6].to_vec(), &out[0][42..]), (hex("02000000004d"), &b"patience"[..]));
    assert!(bed.vppctl("show ip neighbors").contains("10.0.2.77"));
}

#[test]
fn spoofed_arp_changes_nothing_and_is_counted() {
    let mut bed = Bed::new();
    bed.vppctl("set ip neighbor static pg1 10.0.2.50 02:00:00:00:00:50");
    let liar = hex("02fea56d4cb3 020000000666 0806 0001080006040002 020000000666 0a000232 02fea56d4cb3 0a000201");
    let ours = hex("02fea56d4cb3 020000000666 0806 0001080006040001 020000000666 0a000201 000000000000 0a000201");
    let mirror = hex("02fea56d4cb3 02fea56d4cb3 0806 0001080006040002 02fea56d4cb3 0a000237 02fea56d4cb3 0a000201");
    let [_, out] = bed.send("pg1", &[liar, ours, mirror]);
    assert!(out.is_empty());
    assert!(!bed.vppctl("show ip neighbors").contains("10.0.2.55"));
    let neighbors = bed.vppctl("show ip neighbors");
    assert!(neighbors.contains("02:00:00:00:00:50") && !neighbors.contains("02:00:00:00:06:66"), "{neighbors}");
    assert!(bed.vppctl("show errors").contains("IP4 source address matches local in"));
}

#[test]
fn echo_requests_to_us_are_answered() {
    let mut bed = Bed::new();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], [2, 0xfe, 0x97, 0x76, 0x93, 0x49])
        .ipv4([10, 0, 1, 2], [10, 0, 1, 1], 64)
        .icmpv4_echo_request(7, 9)
        .write(&mut frame, b"ping")
        .unwrap();
    let [back, _] = bed.send("pg0", &[frame]);
    let sliced = etherparse::SlicedPacket::from_ethernet(&back[0]).unwrap();
    let Some(etherparse::TransportSlice::Icmpv4(icmp)) = &sliced.transport else { panic!() };
    assert_eq!((icmp.type_u8(), &icmp.bytes5to8(), icmp.payload()), (0, &[0, 7, 0, 9], &b"ping"[..]));
    assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
    assert_eq!(back[0][..6], [2, 0, 0, 0, 1, 2]);
}
