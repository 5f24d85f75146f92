//! VIPs and servers of both families, each with every encapsulation: what leaves, byte for byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{Ethernet2Header, PacketBuilder};

use crate::bed::{Bed, CLIENT_MAC, MAC0, MAC1, SERVER_MAC};

pub const VIP4: &str = "90.0.0.1";
pub const VIP6: &str = "2003::1";
const SERVER4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 2);
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 1);

/// A router with both families on both sides, and a VIP with one server.
pub fn one(vip: &str, encap: &str, server: IpAddr) -> Bed {
    let mut bed = Bed::new();
    let length = if vip.contains(':') { 128 } else { 32 };
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "lb conf ip6-src-address 2002::1",
        &format!("lb vip {vip}/{length} encap {encap}"),
        &format!("lb as {vip}/{length} {server}"),
    ]);
    bed
}

/// What a client sends to a VIP: UDP, with this type of service or traffic class.
fn sent(vip: &str, port: u16, class: u8) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, MAC0);
    let (mut frame, payload) = (Vec::new(), b"maglane");
    match vip.parse().unwrap() {
        IpAddr::V4(vip) => {
            ethernet.ipv4([10, 0, 1, 2], vip.octets(), 61).udp(port, 53).write(&mut frame, payload).unwrap();
            let mut ip = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap().0;
            (ip.dscp, ip.ecn) =
                (etherparse::IpDscp::try_new(class >> 2).unwrap(), etherparse::IpEcn::try_new(class & 3).unwrap());
            ip.header_checksum = ip.calc_header_checksum();
            frame[14..34].copy_from_slice(&ip.to_bytes());
        }
        IpAddr::V6(vip) => {
            let client = "2001::2".parse::<Ipv6Addr>().unwrap().octets();
            ethernet.ipv6(client, vip.octets(), 61).udp(port, 53).write(&mut frame, payload).unwrap();
            frame[14] = 0x60 | class >> 4;
            frame[15] = class << 4;
        }
    }
    frame
}

/// The outer headers that are expected in front of a packet of so many bytes, as they leave the router; `None` in the place
/// of UDP's source port, which is any of the dynamic ones.
pub fn outer(encap: &str, vip: &str, inner: usize, class: u8) -> Vec<Option<u8>> {
    let (number, ethertype) = if vip.contains(':') { (41, 0x86ddu16) } else { (4, 0x0800) };
    let udp = |shim: &[u8]| {
        let len = (8 + shim.len() + inner) as u16;
        let fixed = [6080u16.to_be_bytes(), len.to_be_bytes(), [0, 0]].concat();
        [vec![None, None], fixed.iter().chain(shim).copied().map(Some).collect()].concat()
    };
    let known = |bytes: &[u8]| bytes.iter().copied().map(Some).collect::<Vec<_>>();
    let (protocol, shim) = match &encap[..encap.len()] {
        "gre4" | "gre6" => (47, known(&[[0, 0], ethertype.to_be_bytes()].concat())),
        "ipip4" | "ipip6" => (number, Vec::new()),
        "gue4" | "gue6" => (17, udp(&[0, number, 0, 0])),
        "gue4 variant 1" | "gue6 variant 1" => (17, udp(&[])),
        other => panic!("{other}"),
    };
    let payload = shim.len() + inner;
    let header = if encap.contains('4') {
        let mut ip =
            etherparse::Ipv4Header::new(payload as u16, 127, protocol.into(), [10, 0, 2, 1], SERVER4.octets()).unwrap();
        (ip.identification, ip.dont_fragment) = (0, false);
        (ip.dscp, ip.ecn) =
            (etherparse::IpDscp::try_new(class >> 2).unwrap(), etherparse::IpEcn::try_new(class & 3).unwrap());
        ip.header_checksum = ip.calc_header_checksum();
        ip.to_bytes().to_vec()
    } else {
        let first = (6u32 << 28 | u32::from(class) << 20).to_be_bytes();
        let rest = [(payload as u16).to_be_bytes(), [protocol, 127]].concat();
        [&first[..], &rest, &SOURCE6.octets(), &SERVER6.octets()].concat()
    };
    let link = Ethernet2Header {
        source: MAC1,
        destination: SERVER_MAC,
        ether_type: if encap.contains('4') { 0x0800 } else { 0x86dd }.into(),
    };
    [known(&link.to_bytes()), known(&header), shim].concat()
}

#[test]
fn every_tunnel_carries_both_families() {
    for vip in [VIP4, VIP6] {
        for encap in ["gre4", "gre6", "ipip4", "ipip6", "gue4", "gue6", "gue4 variant 1", "gue6 variant 1"] {
            let server = if encap.contains('4') { SERVER4.into() } else { SERVER6.into() };
            let mut bed = one(vip, encap, server);
            // A vector of one flow after another, so that both ways through the node are taken.
            let frames: Vec<_> = (0..60u16).map(|n| sent(vip, 1000 + n % 20, (n * 7) as u8)).collect();
            let left = bed.reaching_servers(frames.clone());
            assert_eq!(left.len(), frames.len(), "{vip} {encap}");
            let mut ports = std::collections::HashMap::new();
            for (number, (sent, left)) in frames.iter().zip(&left).enumerate() {
                let outer = outer(encap, vip, sent.len() - 14, (number * 7) as u8);
                assert_eq!(left.len(), outer.len() + sent.len() - 14, "{vip} {encap}");
                for (at, (expected, byte)) in outer.iter().zip(left).enumerate() {
                    assert!(expected.is_none_or(|expected| expected == *byte), "{vip} {encap} at {at}: {left:02x?}");
                }
                assert_eq!(left[outer.len()..], sent[14..], "{vip} {encap}: the inner packet is not touched");
                if let Some(at) = outer.iter().position(Option::is_none) {
                    assert!(left[at] >= 0xc0, "a dynamic port");
                    let of_flow = *ports.entry(number % 20).or_insert([left[at], left[at + 1]]);
                    assert_eq!(of_flow, left[at..at + 2], "one port for a flow");
                }
            }
            let shown = bed.vppctl("show lb vips verbose");
            let name = encap.split(' ').next().unwrap();
            let kind = format!(" ip{}-{name}", if vip == VIP4 { 4 } else { 6 });
            assert!(shown.starts_with(&kind), "{shown}");
            assert!(shown.contains("packet from existing sessions: 40\n    first session packet: 20\n"), "{shown}");
        }
    }
}

#[test]
fn l2dsr_changes_the_destination_mac_alone() {
    for (vip, server) in [(VIP4, IpAddr::V4(SERVER4)), (VIP6, IpAddr::V6(SERVER6))] {
        for told in ["", " mac 02:01:01:01:01:01"] {
            let mut bed = one(vip, "l2dsr", server);
            let length = if vip.contains(':') { 128 } else { 32 };
            if !told.is_empty() {
                bed.type_all(&[&format!("lb as {vip}/{length} {server} weight 100{told}")]);
            }
            let frames: Vec<_> = (0..10).map(|n| sent(vip, 1000 + n % 3, 3)).collect();
            let left = bed.reaching_servers(frames.clone());
            let mac = if told.is_empty() { SERVER_MAC } else { [2, 1, 1, 1, 1, 1] };
            assert_eq!(left.len(), frames.len());
            for (sent, left) in frames.iter().zip(&left) {
                assert_eq!((&left[..6], &left[6..]), (&mac[..], &sent[6..]), "{vip}{told}");
            }
        }
    }
}

#[test]
fn l2dsr_asks_for_a_mac_and_keeps_the_time_to_live() {
    let mut bed = one(VIP4, "l2dsr", Ipv4Addr::new(10, 0, 2, 77).into());
    let left = bed.send_and_hold([sent(VIP4, 7, 0)]);
    let [(interface, request)] = &left[..] else { panic!("{left:?}") };
    assert_eq!((interface.as_str(), &request[12..14], &request[38..42]), ("toy1", &[8, 6][..], &[10, 0, 2, 77][..]));
    bed.type_all(&["set ip neighbor toy1 10.0.2.77 02:00:00:00:00:4d"]);
    let left = bed.send([sent(VIP4, 7, 0)]);
    assert!(!left.is_empty());
    for (interface, frame) in &left {
        assert_eq!((interface.as_str(), &frame[..6]), ("toy1", &[2, 0, 0, 0, 0, 0x4d][..]));
        assert_eq!(frame[14..], sent(VIP4, 7, 0)[14..]);
    }
}

#[test]
fn packets_of_ip6_that_do_not_fit_are_told_the_room_that_is_left() {
    let mut bed = one(VIP6, "gre6", SERVER6.into());
    bed.vppctl("set interface mtu packet 1500 toy1");
    let client: Ipv6Addr = "2001::2".parse().unwrap();
    let vip: Ipv6Addr = VIP6.parse().unwrap();
    let of = |len: usize| {
        let mut frame = Vec::new();
        let payload = vec![0; len - 48];
        let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ipv6(client.octets(), vip.octets(), 61);
        builder.udp(7, 8).write(&mut frame, &payload).unwrap();
        frame
    };
    assert_eq!(bed.reaching_servers([of(1456)]).len(), 1);
    let left = bed.send([of(1457)]);
    let [(interface, error)] = &left[..] else { panic!("{left:?}") };
    // ICMPv6 packet too big, with the MTU that is left.
    assert_eq!((interface.as_str(), error[20], error[54]), ("toy0", 58, 2));
    assert_eq!(error[58..62], 1456u32.to_be_bytes());
}

#[test]
fn ports_of_ip6_are_read_behind_extension_headers() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "lb vip 2003::1/128 protocol udp port 53 encap gre4",
        "lb as 2003::1/128 protocol udp port 53 10.0.2.2",
    ]);
    let plain = sent(VIP6, 7, 0);
    let mut options = plain[..54].to_vec();
    options[18..20].copy_from_slice(&(15u16 + 8).to_be_bytes());
    options[20] = 60;
    options.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    options.extend(&plain[54..]);
    let mut looping = plain[..54].to_vec();
    looping[18..20].copy_from_slice(&(8u16 * 12).to_be_bytes());
    looping[20] = 60;
    looping.extend([60, 0, 1, 4, 0, 0, 0, 0].repeat(12));
    assert_eq!(bed.reaching_servers([plain, options]).len(), 2);
    assert_eq!(bed.send([looping]).iter().filter(|(interface, _)| interface == "toy1").count(), 0);
    let shown = bed.vppctl("show lb vips verbose");
    assert!(shown.contains("packet from existing sessions: 1\n    first session packet: 1\n"), "{shown}");
    let errors = bed.vppctl("show errors");
    assert!(errors.contains("extension headers"), "{errors}");
}

#[test]
fn echo_requests_are_answered_or_balanced() {
    let echo = |vip: &str| {
        let mut frame = Vec::new();
        let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, MAC0);
        match vip.parse().unwrap() {
            IpAddr::V4(vip) => {
                ethernet
                    .ipv4([10, 0, 1, 2], vip.octets(), 61)
                    .icmpv4_echo_request(7, 1)
                    .write(&mut frame, b"x")
                    .unwrap();
            }
            IpAddr::V6(vip) => {
                let client = "2001::2".parse::<Ipv6Addr>().unwrap().octets();
                ethernet.ipv6(client, vip.octets(), 61).icmpv6_echo_request(7, 1).write(&mut frame, b"x").unwrap();
            }
        }
        frame
    };
    for (vip, server) in [(VIP4, IpAddr::V4(SERVER4)), (VIP6, IpAddr::V6(SERVER6))] {
        let encap = if vip == VIP4 { "gre4" } else { "gre6" };
        let length = if vip == VIP4 { 32 } else { 128 };
        let mut bed = one(vip, encap, server);
        let to = |left: &[(String, Vec<u8>)]| left.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(to(&bed.send([echo(vip)])), ["toy1"], "a VIP of all ports balances");
        bed.type_all(&[&format!("lb vip {vip}/{length} ping answer")]);
        let left = bed.send([echo(vip)]);
        assert_eq!(to(&left), ["toy0"]);
        let at = if vip == VIP4 { 34 } else { 54 };
        assert_eq!(left[0].1[at], if vip == VIP4 { 0 } else { 129 }, "a reply");
        bed.type_all(&[
            &format!("lb vip {vip}/{length} del"),
            &format!("lb vip {vip}/{length} protocol tcp port 80 encap {encap}"),
            &format!("lb as {vip}/{length} protocol tcp port 80 {server}"),
        ]);
        assert_eq!(to(&bed.send([echo(vip)])), ["toy0"], "a VIP of one port answers");
        bed.type_all(&[&format!("lb vip {vip}/{length} protocol tcp port 80 ping balance")]);
        assert_eq!(to(&bed.send([echo(vip)])), ["toy1"]);
    }
}

/// A VIP may be an address of our own interface: then it takes its port and nothing else.
#[test]
fn an_own_address_keeps_what_is_not_the_vips() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "lb vip 10.0.1.1/32 protocol tcp port 80 encap gre4",
        "lb as 10.0.1.1/32 protocol tcp port 80 10.0.2.2",
    ]);
    let tcp = |port| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ipv4([10, 0, 1, 2], [10, 0, 1, 1], 61);
        builder.tcp(9, port, 1, 2).write(&mut frame, &[]).unwrap();
        frame
    };
    let said = bed.vppctl("lb vip 10.0.2.1/32 encap gre4");
    assert_eq!(said, "lb_vip_add ok 2\n10.0.2.1/32 is also an address of toy1\n");
    assert_eq!(bed.reaching_servers([tcp(80)]).len(), 1);
    assert!(bed.send([tcp(81)]).is_empty());
    let errors = bed.vppctl("show errors");
    assert!(errors.contains("no listener for port") && !errors.contains("no VIP for the protocol"), "{errors}");
    let mut ping = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, MAC0).ipv4([10, 0, 1, 2], [10, 0, 1, 1], 61);
    builder.icmpv4_echo_request(7, 1).write(&mut ping, &[]).unwrap();
    assert_eq!(bed.send([ping])[0].0, "toy0");
}
