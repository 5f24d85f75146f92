//! QUIC's connection IDs name servers: packets reach them whatever address and port they come from.

use std::net::IpAddr;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket};
use lb::quic_lb::{Config, QuicLb, ServerId};
use vnet::Offload;

use crate::bed::{Bed, CLIENT_MAC, Frame, MAC0, MAC1, SERVER_MAC};

const KEY: &str = "8f95f09245765f80256934e50c66207f";
/// What the VIP of most tests is typed with, and its servers.
const PLAIN: &str = "quic-lb 0 server-id-len 3 nonce-len 4";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A packet with a short header.
fn short(cid: &[u8]) -> Vec<u8> {
    [&[0x40], cid, &[7; 30]].concat()
}

/// A packet with a long header.
fn long(cid: &[u8]) -> Vec<u8> {
    [&[0xc0, 0, 0, 0, 1, cid.len() as u8], cid, &[4, 1, 2, 3, 4, 7, 7]].concat()
}

/// What a client sends when it begins a connection: it has made up the connection ID, and here no configuration has its number.
fn initial() -> Vec<u8> {
    long(&[0xff; 8])
}

/// A connection ID as servers make it: `length` bytes of name.
fn cid(id: u8, name: &str, nonce: u8, key: Option<&str>) -> Vec<u8> {
    let name = ServerId::new(&hex(name)).unwrap();
    let key = key.map(|key| hex(key).try_into().unwrap());
    let server_id_len = name.as_slice().len() as u8;
    let coder = QuicLb::new(Config { id, server_id_len, nonce_len: 4, key, encodes_len: false }).unwrap();
    coder.connection_id(&name, &[nonce; 4], nonce).unwrap()
}

/// A datagram to port 443, from a client or, with the other MACs, from a server.
fn datagram((source, sport): (IpAddr, u16), (to, dport): (IpAddr, u16), payload: &[u8], from_server: bool) -> Vec<u8> {
    let macs = if from_server { (SERVER_MAC, MAC1) } else { (CLIENT_MAC, MAC0) };
    let ethernet = PacketBuilder::ethernet2(macs.0, macs.1);
    let mut frame = Vec::new();
    match (source, to) {
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            let builder = ethernet.ipv4(source.octets(), to.octets(), 61);
            builder.udp(sport, dport).write(&mut frame, payload).unwrap();
        }
        (IpAddr::V6(source), IpAddr::V6(to)) => {
            let builder = ethernet.ipv6(source.octets(), to.octets(), 61);
            builder.udp(sport, dport).write(&mut frame, payload).unwrap();
        }
        _ => panic!("families"),
    }
    frame
}

/// Where a frame goes: the destination of its outer header.
#[track_caller]
fn server(frame: &[u8]) -> IpAddr {
    match SlicedPacket::from_ethernet(frame).unwrap().net.unwrap() {
        NetSlice::Ipv4(ip) => ip.header().destination_addr().into(),
        NetSlice::Ipv6(ip) => ip.header().destination_addr().into(),
        _ => panic!("no IP: {frame:02x?}"),
    }
}

/// A router with both families on both sides, and a VIP at port 443 with four servers of these names.
struct Quic {
    bed: Bed,
    /// As commands name the VIP.
    vip: String,
    to: IpAddr,
    client: &'static str,
    servers: Vec<IpAddr>,
}

impl Quic {
    fn new(vip: &str, encap: &str, options: &str, names: [&str; 4]) -> Quic {
        Quic::of_workers(1, vip, encap, options, names)
    }

    fn of_workers(workers: usize, vip: &str, encap: &str, options: &str, names: [&str; 4]) -> Quic {
        let mut bed = Bed::of_workers(workers);
        bed.type_all(&[
            "set interface ip address toy0 2001::1/64",
            "set interface ip address toy1 2002::1/64",
            "set ip neighbor toy0 2001::2 92:02:72:a1:a7:e0",
            "ip route add 2009::/16 via 2001::2",
            "lb conf ip6-src-address 2002::1",
            "lb set interface nat4 in toy1",
            "lb set interface nat6 in toy1",
        ]);
        let six = vip.contains(':');
        let to = ip(vip);
        let vip = format!("{vip}/{} protocol udp port 443", if six { 128 } else { 32 });
        let nat = if encap.contains("nat") { " type clusterip target_port 4433" } else { "" };
        bed.vppctl(&format!("lb vip {vip} encap {encap}{nat} scheduler rr {options}"));
        let mut servers = Vec::new();
        for (host, name) in (2..).zip(names) {
            let address = if encap.ends_with('6') { format!("2002::{host}") } else { format!("10.0.2.{host}") };
            bed.vppctl(&format!("set ip neighbor toy1 {address} 2e:f8:32:92:a8:32"));
            bed.vppctl(&format!("lb as {vip} {address} server-id {name}"));
            servers.push(ip(&address));
        }
        Quic { bed, vip, to, client: if six { "2009::" } else { "10.9.0." }, servers }
    }

    /// With plain names of three bytes.
    fn plain(encap: &str) -> Quic {
        Quic::new("90.0.0.1", encap, PLAIN, ["000002", "000003", "000004", "000005"])
    }

    /// The address of a client.
    fn client(&self, host: u8) -> IpAddr {
        ip(&format!("{}{host}", self.client))
    }

    /// Where a packet of a client goes.
    #[track_caller]
    fn goes(&mut self, host: u8, port: u16, payload: &[u8]) -> IpAddr {
        let frame = datagram((self.client(host), port), (self.to, 443), payload, false);
        let [frame] = <[_; 1]>::try_from(self.bed.reaching_servers([frame])).unwrap();
        server(&frame)
    }

    fn type_all(&mut self, lines: &[&str]) {
        for line in lines {
            self.bed.vppctl(&line.replace("VIP", &self.vip));
        }
    }

    #[track_caller]
    fn refused(&mut self, line: &str) -> String {
        self.bed.refused(&line.replace("VIP", &self.vip))
    }
}

/// VIPs and encapsulations of both families, and NAT of both.
const WAYS: [(&str, &str); 8] = [
    ("90.0.0.1", "gre4"),
    ("90.0.0.1", "ipip6"),
    ("90.0.0.1", "nat4"),
    ("90.0.0.1", "fullnat4"),
    ("90.0.0.1", "l2dsr"),
    ("2003::1", "gre4"),
    ("2003::1", "gue6"),
    ("2003::1", "nat6"),
];

/// The vectors of the draft's appendix B and section 5.4.2.4 (see the module's own tests for what is wrong with some of them):
/// number, server ID, bytes of the nonce, key, connection ID.
const VECTORS: [(u8, &str, u8, Option<&str>, &str); 7] = [
    (0, "c4605e", 4, None, "07c4605e4504cc4f"),
    (1, "a350d28b42", 5, None, "2aa350d28b4203487d970b"),
    (0, "ed793a", 4, Some(KEY), "0720b1d07b359d3c"),
    (1, "ed793a51d49b8f5fab65", 5, Some(KEY), "2fcc381bc74cb4fbad2823a3d1f8fed2"),
    (2, "ed793a51d49b8f5f", 8, Some(KEY), "504dd2d05a7b0de9b2b9907afb5ecf8cc3"),
    (0, "ed793a51d49b8f5fab", 9, Some(KEY), "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"),
    (0, "31441a", 4, Some("fdf726a9893ec05c0632d3956680baf0"), "0767947d29be054a"),
];

#[test]
fn the_vectors_of_the_draft_reach_their_server_with_every_way_to_send() {
    for (vip, encap) in WAYS {
        for (id, name, nonce_len, key, cid) in VECTORS {
            let len = name.len() / 2;
            let key = key.map_or(String::new(), |key| format!(" key {key}"));
            let options = format!("quic-lb {id} server-id-len {len} nonce-len {nonce_len}{key} encodes-len");
            let others = ["00", "01", "02"].map(|first| format!("{first}{}", &name[2..]));
            let mut quic = Quic::new(vip, encap, &options, [&others[0], &others[1], name, &others[2]]);
            // L2DSR leaves the destination: there the servers are one host, and their counters tell.
            let mut packets = 0;
            for client in 1..=10 {
                for payload in [short(&hex(cid)), long(&hex(cid))] {
                    let to = quic.goes(client, 1000 + u16::from(client), &payload);
                    assert_eq!(to, if encap == "l2dsr" { quic.to } else { quic.servers[2] }, "{vip} {encap} {cid}");
                    packets += 1;
                }
            }
            let shown = quic.bed.vppctl("show lb vips verbose");
            let (_, of_server) = shown.split_once(&format!(" server-id:{name} ")).unwrap();
            let counted = of_server.split_once("packets:").unwrap().1.split_once(' ').unwrap().0;
            assert_eq!(counted, packets.to_string(), "{shown}");
            let known = "packet from existing sessions: 10\n    first session packet: 10\n";
            assert!(shown.contains(known), "{shown}");
        }
    }
}

#[test]
fn a_connection_keeps_its_server_when_the_client_moves() {
    for (vip, encap) in WAYS.into_iter().filter(|(_, encap)| *encap != "l2dsr") {
        for key in [None, Some(KEY)] {
            let options = format!("{PLAIN}{}", key.map_or(String::new(), |key| format!(" key {key}")));
            let mut quic = Quic::new(vip, encap, &options, ["000002", "000003", "000004", "000005"]);
            // It begins as any flow, by turns.
            let first = quic.goes(1, 1000, &initial());
            assert_eq!(quic.goes(1, 1000, &initial()), first, "the flow is known");
            assert_ne!(quic.goes(2, 1000, &initial()), first);
            let at = quic.servers.iter().position(|server| *server == first).unwrap();
            let name = format!("{:06x}", at + 2);
            for (host, port, nonce) in [(1, 1000, 1), (1, 2000, 2), (3, 1000, 3), (4, 999, 4), (2, 1000, 5)] {
                let packet = short(&cid(0, &name, nonce, key));
                assert_eq!(quic.goes(host, port, &packet), first, "{vip} {encap} {key:?} from {host}:{port}");
                // What names nobody follows the flow, and that is this server's now, whosever it was before.
                assert_eq!(quic.goes(host, port, &initial()), first);
            }
            let flows = quic.bed.vppctl("show lb flows");
            assert_eq!(flows.matches(&format!("{first}")).count(), 5, "{flows}");
        }
    }
}

#[test]
fn a_connection_id_moves_a_flow_and_is_counted_once() {
    let mut quic = Quic::plain("gre4");
    let first = quic.goes(1, 1000, &initial());
    let other = quic.servers.iter().position(|server| *server != first).unwrap();
    let packet = short(&cid(0, &format!("{:06x}", other + 2), 1, None));
    for _ in 0..3 {
        assert_eq!(quic.goes(1, 1000, &packet), quic.servers[other]);
    }
    let shown = quic.bed.vppctl("show lb vips verbose");
    assert!(shown.contains("sessions: 2\n    first session packet: 2\n    untracked packet: 0\n"), "{shown}");
    // The flow is one, the second server's.
    assert_eq!(shown.matches(" flows:1 dpo").count(), 1, "{shown}");
    let of_other = shown.split_once(&format!("    {} ", quic.servers[other])).unwrap().1;
    assert!(of_other.split_once('\n').unwrap().0.contains(" flows:1 dpo"), "{shown}");
    // Nobody's names are balanced as ever: by turns.
    for packet in [initial(), short(&cid(0, "0000aa", 1, None)), short(&cid(3, "000002", 1, None)), vec![0x40], vec![]]
    {
        let servers: std::collections::BTreeSet<_> = (1..=8).map(|host| quic.goes(host, 5000, &packet)).collect();
        assert_eq!(servers.len(), 4);
        quic.type_all(&["lb flush vip VIP"]);
    }
}

#[test]
fn answers_of_nat_come_from_the_vip_wherever_the_client_moved() {
    for (vip, encap) in [("90.0.0.1", "nat4"), ("2003::1", "nat6")] {
        let mut quic = Quic::new(vip, encap, PLAIN, ["000002", "000003", "000004", "000005"]);
        let server = quic.servers[3];
        for (host, port) in [(1, 1000), (1, 1001), (2, 1000)] {
            assert_eq!(quic.goes(host, port, &short(&cid(0, "000005", 1, None))), server);
            let client = quic.client(host);
            let left = quic.bed.send([datagram((server, 4433), (client, port), b"answer", true)]);
            let [(interface, frame)] = &left[..] else { panic!("{left:02x?}") };
            let expected = datagram((quic.to, 443), (client, port), b"answer", false);
            let at = frame.len() - 14;
            // Addresses, ports, payload; and the sums, which other tests look at.
            assert_eq!((interface.as_str(), &frame[at..]), ("toy0", &expected[at..]), "{encap}");
            assert_eq!(
                frame[if vip.contains(':') { 22 } else { 26 }..],
                expected[if vip.contains(':') { 22 } else { 26 }..]
            );
        }
    }
}

/// A client's connections by one port, with different servers, have their answers each, and do not end each other.
#[test]
fn connections_of_one_client_port_do_not_take_each_others_sessions() {
    for (workers, vip, encap, options) in [
        (1, "90.0.0.1", "nat4", PLAIN.to_string()),
        (3, "90.0.0.1", "nat4", PLAIN.to_string()),
        (1, "90.0.0.1", "nat4", format!("{PLAIN} src_ip_sticky")),
        (1, "90.0.0.1", "fullnat4", PLAIN.to_string()),
        (1, "2003::1", "nat6", PLAIN.to_string()),
    ] {
        {
            let mut quic = Quic::of_workers(workers, vip, encap, &options, ["000002", "000003", "000004", "000005"]);
            quic.type_all(&["lb conf timeout 1 udp 1"]);
            let client = (quic.client(1), 1000);
            let seen = |frame: &[u8]| if frame[14] >> 4 == 4 { (26..30, 34..36) } else { (22..38, 54..56) };
            let mut sources = [None; 2];
            for round in 0..4 {
                for (n, server) in [(0, 1), (1, 3)] {
                    let packet = short(&cid(0, &format!("{:06x}", server + 2), round * 2 + n as u8, None));
                    assert_eq!(quic.goes(1, 1000, &packet), quic.servers[server], "{encap}");
                    let frame = datagram(client, (quic.to, 443), &packet, false);
                    let there = quic.bed.reaching_servers([frame]).remove(0);
                    let (address, port) = seen(&there);
                    let port = u16::from_be_bytes(there[port].try_into().unwrap());
                    let address = match <[u8; 4]>::try_from(&there[address.clone()]) {
                        Ok(four) => IpAddr::from(four),
                        Err(_) => IpAddr::from(<[u8; 16]>::try_from(&there[address]).unwrap()),
                    };
                    assert_eq!(*sources[n].get_or_insert((address, port)), (address, port), "{encap}: one session");
                }
                // Longer than the sessions would live without packets, together.
                std::thread::sleep(std::time::Duration::from_millis(450));
                quic.bed.send([] as [Vec<u8>; 0]);
                for (n, server) in [(0, 1), (1, 3)] {
                    let answer = datagram((quic.servers[server], 4433), sources[n].unwrap(), b"answer", true);
                    let left = quic.bed.send([answer]);
                    let [(interface, frame)] = &left[..] else { panic!("{left:02x?}") };
                    let expected = datagram((quic.to, 443), client, b"answer", false);
                    let from = seen(frame).0.start;
                    assert_eq!((interface.as_str(), &frame[from..]), ("toy0", &expected[from..]), "{encap}");
                }
            }
            let shown = quic.bed.vppctl("show lb vips verbose");
            let begun = quic.bed.shown("first session packet");
            assert!(begun <= 3, "{begun} of two connections: {shown}");
        }
    }
}

#[test]
fn leaving_servers_keep_their_connections_until_the_last_flow_is_gone() {
    let mut quic = Quic::plain("gre4");
    let packet = short(&cid(0, "000003", 1, None));
    let (gone, address) = (quic.servers[1], quic.servers[1].to_string());
    assert_eq!(quic.goes(1, 1000, &packet), gone);
    quic.type_all(&[&format!("lb as VIP {address} weight 0")]);
    assert_eq!(quic.goes(2, 1000, &packet), gone, "draining");
    quic.type_all(&[&format!("lb as VIP {address} del")]);
    quic.bed.collect();
    assert_eq!(quic.goes(3, 1000, &packet), gone, "its connections are not over");
    // A new server may have the name at once.
    quic.type_all(&["set ip neighbor toy1 10.0.2.6 2e:f8:32:92:a8:32", "lb as VIP 10.0.2.6 server-id 000003"]);
    assert_eq!(quic.goes(4, 1000, &packet), ip("10.0.2.6"));
    assert_eq!(
        quic.refused(&format!("lb as VIP {address}")),
        "lb as: server-id 000003 is that of server 10.0.2.6 already, for VIP 90.0.0.1/32 protocol udp port 443"
    );
    quic.type_all(&["lb as VIP 10.0.2.6 del flush", &format!("lb as VIP {address}")]);
    assert_eq!(quic.goes(4, 1000, &packet), gone, "taken back, with its name");
    // Flushed, it has none: its clients are balanced, and known flows with them.
    quic.type_all(&[&format!("lb as VIP {address} del flush")]);
    for host in 1..=8 {
        assert_ne!(quic.goes(host, 1000, &packet), gone);
    }
    quic.bed.collect();
    assert!(!quic.bed.vppctl("show lb vips verbose").contains("server-id:000003"));
    // No server at all, and one that is named though it takes nothing new.
    quic.type_all(&["lb as VIP 10.0.2.2 10.0.2.4 10.0.2.5 weight 0 flush"]);
    let frame = datagram((quic.client(9), 9), (quic.to, 443), &initial(), false);
    assert_eq!(quic.bed.send([frame]), []);
    assert_eq!(quic.goes(9, 9, &short(&cid(0, "000005", 1, None))), quic.servers[3]);
}

#[test]
fn configurations_change_while_packets_flow() {
    let mut quic = Quic::plain("ipip4");
    let (old, new) = (short(&cid(0, "000004", 1, None)), short(&cid(1, "000004", 2, Some(KEY))));
    let server = quic.servers[2];
    let lost = |quic: &mut Quic, packet: &[u8]| {
        quic.type_all(&["lb flush vip VIP"]);
        (1..=8).any(|host| quic.goes(host, 1, packet) != server)
    };
    assert!(!lost(&mut quic, &old) && lost(&mut quic, &new));
    quic.type_all(&[&format!("lb vip VIP quic-lb 1 server-id-len 3 nonce-len 4 key {KEY}")]);
    assert!(!lost(&mut quic, &old) && !lost(&mut quic, &new));
    let shown = quic.bed.vppctl("show lb vips verbose");
    let lines =
        "  quic-lb:0 server-id-len:3 nonce-len:4\n  quic-lb:1 server-id-len:3 nonce-len:4 encrypted\n  counters:";
    assert!(shown.contains(lines) && !shown.contains(&KEY[..8]), "{shown}");
    quic.type_all(&["lb vip VIP quic-lb 0 off"]);
    assert!(lost(&mut quic, &old) && !lost(&mut quic, &new));
    // A wrong key names nobody, but by chance.
    quic.type_all(&[&format!("lb vip VIP quic-lb 1 server-id-len 3 nonce-len 4 key {}", &KEY.replace('8', "9"))]);
    assert!(lost(&mut quic, &new));
    quic.type_all(&[
        "lb vip VIP quic-lb off quic-lb 0 server-id-len 3 nonce-len 4",
        "lb as VIP 10.0.2.4 server-id aabbcc",
    ]);
    assert!(lost(&mut quic, &old) && !lost(&mut quic, &short(&cid(0, "aabbcc", 9, None))));
    quic.type_all(&["lb as VIP 10.0.2.4 weight 50"]);
    assert!(!lost(&mut quic, &short(&cid(0, "aabbcc", 9, None))), "the name stays");
    assert!(quic.bed.vppctl("show lb vips verbose").contains("    10.0.2.4 server-id:aabbcc weight:50 "));
    quic.type_all(&["lb vip VIP quic-lb off"]);
    assert!(lost(&mut quic, &short(&cid(0, "aabbcc", 9, None))));
    // A name of another length: by a second configuration.
    quic.type_all(&[
        "lb vip VIP quic-lb 0 server-id-len 3 nonce-len 4 quic-lb 2 server-id-len 4 nonce-len 4",
        "lb as VIP 10.0.2.4 server-id 01020304",
    ]);
    assert!(!lost(&mut quic, &short(&cid(2, "01020304", 9, None))));
}

#[test]
fn fragments_follow_the_connection_id_of_their_first() {
    for (vip, encap) in WAYS.into_iter().filter(|(_, encap)| *encap != "l2dsr") {
        let mut quic = Quic::new(vip, encap, PLAIN, ["000002", "000003", "000004", "000005"]);
        let payload = [short(&cid(0, "000004", 1, None)), vec![9; 100]].concat();
        for host in 1..=6 {
            let whole = datagram((quic.client(host), 1000), (quic.to, 443), &payload, false);
            let head = if vip.contains(':') { 54 } else { 34 };
            let pieces = [(0, &whole[head..head + 64]), (8u16, &whole[head + 64..])].map(|(at, piece)| {
                let mut frame = whole[..head].to_vec();
                let more = at == 0;
                if vip.contains(':') {
                    frame[18..20].copy_from_slice(&(piece.len() as u16 + 8).to_be_bytes());
                    frame[20] = 44;
                    frame.extend([17, 0]);
                    frame.extend((at << 3 | u16::from(more)).to_be_bytes());
                    frame.extend([0, 0, 0, host]);
                } else {
                    let mut ip = etherparse::Ipv4Header::from_slice(&frame[14..]).unwrap().0;
                    ip.set_payload_len(piece.len()).unwrap();
                    (ip.identification, ip.dont_fragment, ip.more_fragments) = (host.into(), false, more);
                    ip.fragment_offset = at.try_into().unwrap();
                    ip.header_checksum = ip.calc_header_checksum();
                    frame[14..].copy_from_slice(&ip.to_bytes());
                }
                frame.extend(piece);
                frame
            });
            // In either order.
            let pieces = if host % 2 == 0 {
                pieces
            } else {
                let [one, two] = pieces;
                [two, one]
            };
            let left = quic.bed.reaching_servers(pieces);
            let to: Vec<IpAddr> = left.iter().map(|frame| server(frame)).collect();
            assert_eq!(to, [quic.servers[2]; 2], "{vip} {encap}");
        }
    }
}

#[test]
fn large_segments_are_named_as_their_pieces_are() {
    for encap in ["gre4", "ipip4", "nat4"] {
        let mut quic = Quic::plain(encap);
        // Weights of 0: nobody but a name has a server.
        quic.type_all(&["lb as VIP 10.0.2.2 10.0.2.3 10.0.2.4 10.0.2.5 weight 0"]);
        let piece = |nonce| {
            let mut piece = short(&cid(0, "000004", nonce, None));
            piece.resize(100, nonce);
            piece
        };
        let payload: Vec<u8> = (1..=3).flat_map(piece).collect();
        let bytes = datagram((quic.client(1), 1000), (quic.to, 443), &payload, false);
        let offload = Offload::GSO_UDP | Offload::CHECKSUM;
        let frame = Frame { bytes, offload, gso_size: 100, checksum: (34, 6) };
        let left = quic.bed.reaching_servers([frame]);
        let to: Vec<IpAddr> = left.iter().map(|frame| server(frame)).collect();
        assert_eq!(to, [quic.servers[2]; 3], "{encap}");
        for (frame, nonce) in left.iter().zip(1..) {
            assert_eq!(frame[frame.len() - 100..], piece(nonce), "{encap}");
        }
    }
}

#[test]
fn every_worker_knows_the_names() {
    let mut quic = Quic::of_workers(3, "90.0.0.1", "gre4", PLAIN, ["000002", "000003", "000004", "000005"]);
    for worker in 0..3 {
        let packet = datagram((quic.client(1), 1000), (quic.to, 443), &short(&cid(0, "000004", 1, None)), false);
        let left = quic.bed.send_on(worker, [packet]);
        assert_eq!(left.iter().map(|(_, frame)| server(frame)).collect::<Vec<_>>(), [quic.servers[2]]);
    }
}

#[test]
fn connections_of_one_source_part_though_the_rest_sticks() {
    let mut quic =
        Quic::new("90.0.0.1", "gre4", &format!("src_ip_sticky {PLAIN}"), ["000002", "000003", "000004", "000005"]);
    let home = quic.goes(1, 1, &initial());
    for (name, port) in [("000002", 1), ("000003", 2), ("000005", 3)] {
        let to = quic.servers[usize::from(name.as_bytes()[5] - b'2')];
        assert_eq!(quic.goes(1, port, &short(&cid(0, name, 1, None))), to);
        // A handshake that began here goes on here.
        assert_eq!(quic.goes(1, 100 + port, &initial()), home);
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    let mut quic = Quic::plain("gre4");
    let vip = quic.vip.clone();
    let before = quic.bed.vppctl("show lb vips verbose");
    for (line, error) in [
        (
            "lb as VIP 10.0.2.9 server-id abc",
            "lb as: expected a server ID of 1 to 15 bytes, two hexadecimal digits each, got `abc'",
        ),
        (
            "lb as VIP 10.0.2.9 server-id xy",
            "lb as: expected a server ID of 1 to 15 bytes, two hexadecimal digits each, got `xy'",
        ),
        ("lb as VIP 10.0.2.9 server-id", "lb as: expected a server-id, got nothing"),
        (
            "lb as VIP 10.0.2.9 server-id abcd",
            "lb as: server-id abcd of server 10.0.2.9 has 2 bytes, and quic-lb of VIP VIP says 3",
        ),
        (
            "lb as VIP 10.0.2.9 server-id 000003",
            "lb as: server-id 000003 is that of server 10.0.2.3 already, for VIP VIP",
        ),
        (
            "lb as VIP 10.0.2.2 server-id 000003",
            "lb as: server-id 000003 is that of server 10.0.2.3 already, for VIP VIP",
        ),
        ("lb as VIP 10.0.2.9 server-id 010203 server-id 010203", "lb as: `server-id' is given twice"),
        ("lb as VIP 10.0.2.9 10.0.2.8 server-id 010203", "lb as: server-id is for one server, and several are named"),
        ("lb as VIP 10.0.2.2 server-id 010203 del", "lb as: server-id and del are mutually exclusive"),
        ("lb vip VIP quic-lb", "lb vip: expected off, or the number of a quic-lb config from 0 to 6, got nothing"),
        (
            "lb vip VIP quic-lb 7 server-id-len 3 nonce-len 4",
            "lb vip: expected off, or the number of a quic-lb config from 0 to 6, got `7'",
        ),
        (
            "lb vip VIP quic-lb 1",
            "lb vip: quic-lb 1 needs server-id-len and then nonce-len: expected server-id-len, got nothing",
        ),
        (
            "lb vip VIP quic-lb 1 server-id-len 3",
            "lb vip: quic-lb 1 needs server-id-len and then nonce-len: expected nonce-len, got nothing",
        ),
        (
            "lb vip VIP quic-lb 1 server-id-len 16 nonce-len 4",
            "lb vip: expected a number of bytes from 1 to 15, got `16'",
        ),
        (
            "lb vip VIP quic-lb 1 server-id-len 3 nonce-len 3",
            "lb vip: expected a number of bytes from 4 to 18, got `3'",
        ),
        (
            "lb vip VIP quic-lb 1 server-id-len 15 nonce-len 5",
            "lb vip: quic-lb: server ID and nonce must have 19 bytes at most, not 20",
        ),
        (
            "lb vip VIP quic-lb 1 server-id-len 3 nonce-len 4 key 1234",
            "lb vip: expected a key of 16 bytes, 32 hexadecimal digits",
        ),
        ("lb vip VIP quic-lb 1 off", "lb vip: VIP VIP has no quic-lb 1"),
        ("lb vip VIP quic-lb 0 off quic-lb 0 off", "lb vip: `quic-lb 0' is given twice"),
        ("lb vip VIP quic-lb off quic-lb off", "lb vip: `quic-lb off' is given twice"),
        ("lb vip VIP quic-lb off del", "lb vip: quic-lb and del are mutually exclusive"),
        (
            "lb vip VIP quic-lb 0 server-id-len 4 nonce-len 4",
            "lb vip: server-id 000002 of server 10.0.2.2 has 3 bytes, and quic-lb of VIP VIP says 4",
        ),
        (
            "lb vip 91.0.0.1/32 protocol tcp port 443 quic-lb 0 server-id-len 3 nonce-len 4",
            "lb vip: VIP 91.0.0.1/32 protocol tcp port 443: quic-lb is for VIPs of a UDP port",
        ),
        (
            "lb vip 91.0.0.1/32 quic-lb 0 server-id-len 3 nonce-len 4",
            "lb vip: VIP 91.0.0.1/32: quic-lb is for VIPs of a UDP port",
        ),
    ] {
        assert_eq!(quic.refused(line), error.replace("VIP VIP", &format!("VIP {vip}")), "{line}");
    }
    assert_eq!(quic.bed.vppctl("show lb vips verbose"), before);
    quic.type_all(&["lb vip 91.0.0.1/32"]);
    assert_eq!(
        quic.refused("lb as 91.0.0.1/32 10.0.2.9 server-id 01"),
        "lb as: server-id 01: VIP 91.0.0.1/32 has no quic-lb"
    );
    let error = "lb vip: VIP 91.0.0.1/32: quic-lb is for VIPs of a UDP port";
    assert_eq!(quic.refused("lb vip 91.0.0.1/32 quic-lb 0 server-id-len 3 nonce-len 4"), error);
    quic.type_all(&["lb vip 91.0.0.1/32 quic-lb off", "lb vip VIP dry-run quic-lb off"]);
    assert!(quic.bed.vppctl("show lb vips verbose").contains("  quic-lb:0 "), "a trial changes nothing");
}
