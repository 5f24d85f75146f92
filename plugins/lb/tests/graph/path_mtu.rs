//! ICMP errors about the balancer's own tunnel packets: the tunnel takes shorter packets for ten minutes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, Icmpv6Type, IpHeaders, Ipv4Header, PacketBuilder};

use crate::bed::{Bed, CLIENT_MAC, MAC0, MAC1, SERVER_MAC};

const VIP4: &str = "90.0.0.1";
const VIP6: &str = "2003::1";
/// A router behind `toy1`.
const ROUTER4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0x77, 0, 0, 0, 0, 0, 9);
const LEARNED: &str = "path MTU of a tunnel learned from an error";
const NO_NEWS: &str = "error about a tunnel without news";

fn one(vip: &str, encap: &str) -> Bed {
    let mut bed = Bed::new();
    let (length, six) = (if vip == VIP6 { 128 } else { 32 }, encap.contains('6'));
    let server = if six { "2002::2" } else { "10.0.2.2" };
    bed.type_all(&[
        "set interface ip address toy0 2001::1/64",
        "set interface ip address toy1 2002::1/64",
        "set ip neighbor toy1 2002::2 2e:f8:32:92:a8:32",
        "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
        "lb conf ip6-src-address 2002::1",
        "set interface mtu 1500 toy1",
        &format!("lb vip {vip}/{length} encap {encap}"),
        &format!("lb as {vip}/{length} {server}"),
    ]);
    bed
}

/// A packet of so many bytes from a client, which nobody may cut.
fn packet(vip: &str, len: usize) -> Vec<u8> {
    let (ethernet, mut frame) = (PacketBuilder::ethernet2(CLIENT_MAC, MAC0), Vec::new());
    match vip.parse().unwrap() {
        IpAddr::V4(vip) => {
            let mut ip = Ipv4Header::new(0, 61, 17.into(), [10, 0, 1, 2], vip.octets()).unwrap();
            ip.dont_fragment = true;
            let ip = IpHeaders::Ipv4(ip, Default::default());
            ethernet.ip(ip).udp(7, 8).write(&mut frame, &vec![3; len - 28]).unwrap();
        }
        IpAddr::V6(vip) => {
            let client: Ipv6Addr = "2001::2".parse().unwrap();
            let ethernet = ethernet.ipv6(client.octets(), vip.octets(), 61);
            ethernet.udp(7, 8).write(&mut frame, &vec![3; len - 48]).unwrap();
        }
    }
    frame
}

/// What a router tells us about a packet that left by `toy1`, of which it quotes eight bytes behind the IP header.
fn too_big(about: &[u8], mtu: u32) -> Vec<u8> {
    let (ethernet, mut frame) = (PacketBuilder::ethernet2(SERVER_MAC, MAC1), Vec::new());
    if about[14] >> 4 == 4 {
        let to: [u8; 4] = about[26..30].try_into().unwrap();
        let why = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu as u16 };
        let ip = ethernet.ipv4(ROUTER4.octets(), to, 61).icmpv4(Icmpv4Type::DestinationUnreachable(why));
        ip.write(&mut frame, &about[14..14 + 20 + 8]).unwrap();
    } else {
        let to: [u8; 16] = about[22..38].try_into().unwrap();
        let ip = ethernet.ipv6(ROUTER6.octets(), to, 61).icmpv6(Icmpv6Type::PacketTooBig { mtu });
        ip.write(&mut frame, &about[14..14 + 40 + 8]).unwrap();
    }
    frame
}

/// The MTU that the one frame that left tells the client.
#[track_caller]
fn told(left: &[(String, Vec<u8>)]) -> u32 {
    let [(interface, frame)] = left else { panic!("{left:x?}") };
    assert_eq!(interface, "toy0");
    match frame[14] >> 4 {
        4 => {
            assert_eq!((frame[23], &frame[34..36]), (1, &[3, 4][..]), "fragmentation needed: {frame:x?}");
            u16::from_be_bytes([frame[40], frame[41]]).into()
        }
        _ => {
            assert_eq!((frame[20], frame[54]), (58, 2), "packet too big: {frame:x?}");
            u32::from_be_bytes(frame[58..62].try_into().unwrap())
        }
    }
}

/// The one tunnel packet that left.
#[track_caller]
fn through(bed: &mut Bed, frame: Vec<u8>) -> Vec<u8> {
    let [one] = <[_; 1]>::try_from(bed.reaching_servers([frame])).unwrap();
    one
}

fn node(encap: &str) -> &'static str {
    if encap.contains('6') { "ip6-icmp-input" } else { "ip4-icmp-input" }
}

const ENCAPS: [(&str, usize); 8] = [
    ("gre4", 24),
    ("gre6", 44),
    ("ipip4", 20),
    ("ipip6", 40),
    ("gue4", 32),
    ("gue6", 52),
    ("gue4 variant 1", 28),
    ("gue6 variant 1", 48),
];

#[test]
fn an_error_about_a_tunnel_makes_it_narrower_for_ten_minutes() {
    for vip in [VIP4, VIP6] {
        for (encap, overhead) in ENCAPS {
            let mut bed = one(vip, encap);
            let long = packet(vip, 1420);
            let wrapped = through(&mut bed, long.clone());
            assert_eq!(wrapped.len(), long.len() + overhead, "{vip} {encap}");
            assert_eq!(bed.send([too_big(&wrapped, 1400)]), [], "{vip} {encap}");
            assert_eq!(bed.counted(node(encap), LEARNED), 1, "{vip} {encap}");
            let room = 1400 - overhead;
            assert_eq!(told(&bed.send([long.clone()])), room as u32, "{vip} {encap}");
            assert_eq!(told(&bed.send([packet(vip, room + 1)])), room as u32, "{vip} {encap}");
            let fits = packet(vip, room);
            let wrapped = through(&mut bed, fits.clone());
            assert_eq!((wrapped.len(), &wrapped[14 + overhead..]), (14 + 1400, &fits[14..]), "{vip} {encap}");
            let shown = bed.vppctl("show lb vips verbose");
            assert!(shown.contains(&format!("overhead:{overhead} mtu:{room} ")), "{shown}");
            // Nearly over, and over.
            bed.later(595);
            assert_eq!(told(&bed.send([long.clone()])), room as u32, "{vip} {encap}");
            bed.later(601);
            assert_eq!(through(&mut bed, long.clone())[14 + overhead..], long[14..], "{vip} {encap}");
        }
    }
}

#[test]
fn what_was_learned_is_shown_logged_and_cleared() {
    let mut bed = one(VIP4, "gre4");
    let wrapped = through(&mut bed, packet(VIP4, 1420));
    bed.send([too_big(&wrapped, 1300)]);
    let shown = bed.vppctl("show ip path-mtu");
    let seconds = shown.strip_prefix("10.0.2.2 mtu:1300 seconds left:").unwrap().trim_end();
    assert!((590..=600).contains(&seconds.parse::<u32>().unwrap()), "{shown}");
    assert_eq!(bed.vppctl("show ip6 path-mtu"), "");
    let log = bed.vppctl("show logging");
    assert!(log.contains("tunnels to 10.0.2.2 take 1300 bytes"), "{log}");
    bed.vppctl("clear ip path-mtu");
    assert_eq!(bed.vppctl("show ip path-mtu"), "");
    through(&mut bed, packet(VIP4, 1420));
    // Without a server there is no tunnel.
    bed.send([too_big(&wrapped, 1300)]);
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.2 del", "lb as 90.0.0.1/32 10.0.2.3"]);
    bed.vppctl("lb flush vip 90.0.0.1/32");
    bed.collect();
    assert_eq!(bed.vppctl("show ip path-mtu"), "");
}

/// An error may only make a tunnel narrower, down to what every host or link takes.
#[test]
fn sizes_that_cannot_be_change_nothing() {
    let mut bed = one(VIP4, "gre4");
    let wrapped = through(&mut bed, packet(VIP4, 1420));
    for (said, mtu, learned) in [
        (1444, None, 0),
        (65535, None, 0),
        (1443, Some(1443), 1),
        (1400, Some(1400), 2),
        (1443, Some(1400), 2),
        (1400, Some(1400), 2),
        // By a router older than RFC 1191: the next lower of its table.
        (0, Some(1006), 3),
        (68, Some(576), 4),
        (0, Some(576), 4),
    ] {
        bed.send([too_big(&wrapped, said)]);
        let shown = bed.vppctl("show ip path-mtu");
        assert_eq!(shown.is_empty(), mtu.is_none(), "{said}: {shown}");
        assert!(mtu.is_none_or(|mtu| shown.contains(&format!("mtu:{mtu} "))), "{said}: {shown}");
        assert_eq!(bed.counted("ip4-icmp-input", LEARNED), learned, "{said}");
    }
    assert_eq!(bed.counted("ip4-icmp-input", NO_NEWS), 5);
    let mut bed = one(VIP4, "gre6");
    let wrapped = through(&mut bed, packet(VIP4, 1420));
    for (said, mtu) in [(1279, None), (0, None), (u32::MAX, None), (1464, None), (1463, Some(1463)), (1280, Some(1280))]
    {
        bed.send([too_big(&wrapped, said)]);
        let shown = bed.vppctl("show ip6 path-mtu");
        assert_eq!(shown.is_empty(), mtu.is_none(), "{said}: {shown}");
        assert!(mtu.is_none_or(|mtu| shown.contains(&format!("2002::2 mtu:{mtu} "))), "{said}: {shown}");
    }
}

#[test]
fn forged_errors_change_nothing() {
    for (encap, addresses) in [("gre4", 26..34), ("gue4", 26..34), ("gre6", 22..54), ("gue6", 22..54)] {
        let mut bed = one(VIP4, encap);
        let wrapped = through(&mut bed, packet(VIP4, 1420));
        let forged = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut about = wrapped.clone();
            change(&mut about);
            let mut error = too_big(&about, 1300);
            // It is sent to us, whatever it quotes.
            let (at, len) = if encap.contains('6') { (38, 16) } else { (30, 4) };
            error[at..at + len].copy_from_slice(&wrapped[addresses.start..addresses.start + len]);
            finish(&mut error);
            error
        };
        let protocol = if encap.contains('6') { 20 } else { 23 };
        let behind = if encap.contains('6') { 54 } else { 34 };
        let mut frames = vec![
            // Another host that we never tunnel to; not our packet; another protocol.
            forged(&|about| about[addresses.end - 1] = 5),
            forged(&|about| about[addresses.start + addresses.len() / 2 - 1] = 77),
            forged(&|about| about[protocol] = 6),
            forged(&|about| about[protocol] = if encap.contains("ipip") { 47 } else { 4 }),
        ];
        if encap.starts_with("gue") {
            frames.push(forged(&|about| about[behind + 3] = 53));
        } else {
            frames.push(forged(&|about| about[protocol] = 17));
        }
        // A wrong checksum; a quote cut short; a piece.
        let mut wrong = too_big(&wrapped, 1300);
        *wrong.last_mut().unwrap() ^= 1;
        frames.push(wrong);
        for frame in frames {
            assert_eq!(bed.send([frame.clone()]), [], "{encap}");
            let shown = bed.vppctl("show ip path-mtu") + &bed.vppctl("show ip6 path-mtu");
            assert_eq!((shown.as_str(), bed.counted(node(encap), LEARNED)), ("", 0), "{encap}: {frame:x?}");
        }
        assert_eq!(bed.counted(node(encap), NO_NEWS), 0, "{encap}");
        through(&mut bed, packet(VIP4, 1420));
    }
}

/// The checksums of an error whose addresses were changed.
fn finish(frame: &mut [u8]) {
    if frame[14] >> 4 == 4 {
        let mut ip = Ipv4Header::from_slice(&frame[14..]).unwrap().0;
        ip.header_checksum = ip.calc_header_checksum();
        frame[14..34].copy_from_slice(&ip.to_bytes());
    } else {
        let ends = |at: usize| <[u8; 16]>::try_from(&frame[at..at + 16]).unwrap();
        let kind = Icmpv6Type::PacketTooBig { mtu: u32::from_be_bytes(frame[58..62].try_into().unwrap()) };
        let sum = kind.calc_checksum(ends(22), ends(38), &frame[62..]).unwrap();
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
    }
}

#[test]
fn many_errors_keep_nobody_busy() {
    let mut bed = one(VIP4, "gre4");
    let wrapped = through(&mut bed, packet(VIP4, 1420));
    let frames: Vec<_> = (700..1400).rev().map(|mtu| too_big(&wrapped, mtu)).collect();
    assert_eq!(bed.send(frames), []);
    let learned = bed.counted("ip4-icmp-input", LEARNED);
    let many = bed.counted("ip4-icmp-input", "error about a tunnel not used: too many");
    let no_news = bed.counted("ip4-icmp-input", NO_NEWS);
    assert_eq!(learned + many + no_news, 700);
    // In two seconds at most.
    assert!((100..=200).contains(&learned) && many >= 500, "{learned} {many} {no_news}");
    let log = bed.vppctl("show logging");
    assert_eq!(log.matches("tunnels to 10.0.2.2 take").count(), 1, "{log}");
}

/// Also where tunnels begin at an address that no interface has.
#[test]
fn errors_come_to_any_source_of_tunnels() {
    for (encap, source) in [("gre4", "ip4-src-address 10.66.0.1"), ("gre6", "ip6-src-address 2066::1")] {
        let mut bed = one(VIP4, encap);
        bed.vppctl(&format!("lb conf {source}"));
        let wrapped = through(&mut bed, packet(VIP4, 1420));
        assert_eq!(bed.send([too_big(&wrapped, 1300)]), []);
        let room = if encap == "gre4" { 1276 } else { 1256 };
        assert_eq!(told(&bed.send([packet(VIP4, 1420)])), room, "{encap}");
    }
}
