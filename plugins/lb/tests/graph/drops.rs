//! What is not balanced: each for a reason of its own, counted and in the trace.

use etherparse::IpNumber;

use crate::balancing::three;
use crate::bed::Bed;
use crate::frames::{VIP, flow, ip, opened, raw, tcp};

/// Sends a frame that must be dropped at `lb4-gre4` for `reason`.
#[track_caller]
fn dropped(bed: &mut Bed, frame: Vec<u8>, reason: &str) {
    let trace = bed.swallowed(frame);
    assert!(trace.contains(": lb4-gre4") && trace.contains(&format!("lb4-gre4: {reason}")), "{trace}");
    assert_eq!(bed.counted("lb4-gre4", reason), 1);
    let errors = bed.vppctl("show errors");
    assert!(errors.contains("lb4-gre4"), "{errors}");
}

#[test]
fn a_vip_without_servers() {
    let mut bed = Bed::new();
    bed.vppctl("lb vip 90.0.0.1/32 encap gre4");
    dropped(&mut bed, flow(1), "no server configured");
    assert!(bed.vppctl("show trace").contains("  lb vip[1]: ip4-gre4 90.0.0.1/32 new_size:1024 #as:0\n"));
    // Nor one whose servers all have weight 0.
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 weight 0");
    dropped(&mut bed, flow(1), "no server configured");
    assert_eq!(bed.shown("no server configured"), 2);
    assert_eq!(bed.shown("first session packet"), 0);
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 weight 1");
    assert_eq!(bed.reaching_servers([flow(1)]).len(), 1);
}

#[test]
fn packets_that_end_before_their_ports() {
    let mut bed = three();
    for (protocol, len) in [(IpNumber::TCP, 3), (IpNumber::UDP, 0), (IpNumber::ICMP, 2)] {
        let mut header = ip([10, 9, 0, 1], VIP);
        header.protocol = protocol;
        dropped(&mut bed, raw(header, &bytes_of(protocol, len)), "transport header cut short");
    }
}

/// The first bytes of a transport header; of ICMP, of an echo, whose identifier would follow.
fn bytes_of(protocol: IpNumber, len: usize) -> Vec<u8> {
    let first = if protocol == IpNumber::ICMP { 8 } else { 1 };
    std::iter::once(first).chain(std::iter::repeat(0)).take(len).collect()
}

#[test]
fn other_protocols_are_balanced_by_their_addresses() {
    let mut bed = three();
    let mut header = ip([10, 9, 0, 1], VIP);
    header.protocol = IpNumber(97);
    // Nothing at all after the header is enough of a protocol without ports.
    for payload in [&b""[..], &[1, 2, 3]] {
        let frame = raw(header.clone(), payload);
        let left = bed.reaching_servers([frame.clone()]);
        assert_eq!(*opened(&left[0]).1, frame[14..]);
    }
    assert_eq!(bed.shown("packet from existing sessions"), 1);
}

#[test]
fn options_are_skipped() {
    let mut bed = three();
    let mut header = ip([10, 9, 0, 1], VIP);
    header.options = etherparse::Ipv4Options::try_from(&[1u8; 4][..]).unwrap();
    let frame = tcp(header, 4000, 80, 3);
    let left = bed.reaching_servers([frame.clone(), frame.clone()]);
    assert_eq!(*opened(&left[1]).1, frame[14..]);
    assert_eq!(bed.shown("packet from existing sessions"), 1);
}

#[test]
fn a_server_without_a_way() {
    let mut bed = Bed::new();
    bed.type_all(&["lb vip 90.0.0.1/32 encap gre4", "lb as 90.0.0.1/32 172.16.0.1"]);
    dropped(&mut bed, flow(1), "server unreachable");
    // The way may come later, and change.
    bed.vppctl("ip route add 172.16.0.0/12 via 10.0.2.3");
    let left = bed.reaching_servers([flow(1)]);
    assert_eq!(opened(&left[0]).0.octets(), [172, 16, 0, 1]);
    bed.vppctl("ip route del 172.16.0.0/12");
    dropped(&mut bed, flow(1), "server unreachable");
}

#[test]
fn every_cut_of_a_packet_is_survived() {
    let mut bed = three();
    let frame = flow(3);
    for len in 0..frame.len() {
        bed.send([frame[..len].to_vec()]);
    }
    // With a total length that fits, so that the load balancer sees it.
    for len in 0..40 {
        bed.send([raw(ip([10, 9, 0, 1], VIP), &frame[34..][..len.min(frame.len() - 34)])]);
    }
}
