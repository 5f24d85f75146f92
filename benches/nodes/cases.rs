//! What is measured.

use super::frames::{self, Frames};

/// The ports, whose numbers as interfaces are 1 and 2.
const PORTS: [&str; 2] = ["pg0", "pg1"];

/// One measurement.
pub struct Case {
    pub name: String,
    /// Beyond what [`ports`] configures.
    pub lines: Vec<String>,
    /// Sent once beforehand, and by which port.
    pub before: Option<(&'static str, Frames)>,
    /// What is sent, and by which port.
    pub stream: (&'static str, Frames),
    /// Packets a second; 0: as many as can be.
    pub rate: f64,
    /// The number of the interface that packets leave by.
    pub out: u32,
    /// So many packets make so many.
    pub makes: (u64, u64),
    pub workers: usize,
    /// Nodes that must have had something to do.
    pub nodes: &'static [&'static str],
}

/// Lines that make both ports, with a host behind `pg1`'s side for either family.
pub fn ports() -> Vec<String> {
    let mut lines = Vec::new();
    for (n, port) in PORTS.iter().enumerate() {
        let own = n + 1;
        lines.push(format!("create packet-generator interface {port} hw-addr 02:fe:00:00:00:{n:02x}"));
        lines.push(format!("set interface state {port} up"));
        lines.push(format!("set interface ip address {port} 10.0.{own}.1/24"));
        lines.push(format!("set interface ip address {port} 2001:db8:{own}::1/64"));
        lines.push(format!("set ip neighbor {port} 10.0.{own}.2 02:00:00:00:0{own}:02"));
        lines.push(format!("set ip neighbor {port} 2001:db8:{own}::2 02:00:00:00:0{own}:02"));
    }
    lines.push("ip route add 10.9.0.0/16 via 10.0.2.2 pg1".into());
    lines.push("ip route add 2001:db8:9::/48 via 2001:db8:2::2 pg1".into());
    lines.push("ip route add 10.7.0.0/16 via 10.0.1.2 pg0".into());
    lines
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = vec![
        through("ip4 forwarding", &[], frames::udps(0, host4, "10.9.0.9", &[0; 22]), &["ip4-rewrite"]),
        through("ip6 forwarding", &[], frames::udps(0, host6, "2001:db8:9::9", &[0; 22]), &["ip6-rewrite"]),
    ];
    cases.extend(tunnels());
    cases.extend([nat("nat4", "90.0.0.1", "10.0.2.2", host4), nat("nat6", "2001:db8:90::1", "2001:db8:2::2", host6)]);
    cases.extend([fragments(), echo("ip4"), echo("ip6"), echo_in_pieces(), hand_over()]);
    cases
}

fn host4(n: u16) -> String {
    format!("10.7.{}.{}", n >> 8, n & 0xff)
}

fn host6(n: u16) -> String {
    format!("2001:db8:7::{n:x}")
}

/// From `pg0` to `pg1`, packet for packet.
fn through(name: &str, lines: &[&str], stream: Frames, nodes: &'static [&'static str]) -> Case {
    Case {
        name: name.into(),
        lines: lines.iter().map(ToString::to_string).collect(),
        before: None,
        stream: ("pg0", stream),
        rate: 0.0,
        out: 2,
        makes: (1, 1),
        workers: 1,
        nodes,
    }
}

/// Out of a tunnel that ends here, and into one that begins here.
fn tunnels() -> Vec<Case> {
    let mut cases = Vec::new();
    for (version, own, other) in [(4, "10.0.1.1", "10.0.1.2"), (6, "2001:db8:1::1", "2001:db8:1::2")] {
        for kind in ["gre", "ipip", "gue"] {
            let lines =
                [format!("create {kind} tunnel src {own} dst {other}"), format!("set interface state {kind}0 up")];
            let stream = frames::wrapped(kind, [other, own], "10.9.0.9");
            let name = format!("out of {kind}{version}");
            let mut case = through(&name, &[&lines[0], &lines[1]], stream, &[]);
            case.nodes = match (kind, version) {
                ("gre", 4) => &["gre4-input"],
                ("gre", _) => &["gre6-input"],
                ("ipip", 4) => &["ipip4-input"],
                ("ipip", _) => &["ipip6-input"],
                (_, 4) => &["gue4-input"],
                _ => &["gue6-input"],
            };
            cases.push(case);
        }
    }
    for (version, own, other) in [(4, "10.0.2.1", "10.0.2.2"), (6, "2001:db8:2::1", "2001:db8:2::2")] {
        for kind in ["gre", "ipip", "gue"] {
            let lines = [
                format!("create {kind} tunnel src {own} dst {other}"),
                format!("set interface state {kind}0 up"),
                format!("ip route add 10.8.0.0/16 via {kind}0"),
            ];
            let stream = frames::udps(0, host4, "10.8.0.9", &[0; 22]);
            let name = format!("into {kind}{version}");
            cases.push(through(&name, &[&lines[0], &lines[1], &lines[2]], stream, &[]));
        }
    }
    cases
}

/// Answers of a server behind NAT.
fn nat(family: &'static str, vip: &str, server: &str, host: fn(u16) -> String) -> Case {
    let length = if family == "nat4" { 32 } else { 128 };
    let named = format!("{vip}/{length} protocol udp port 80");
    let answers = (0..frames::SENDERS)
        .map(|n| frames::frame(1, &frames::udp((server, 8080), (&host(n), 1000), &[0; 22])))
        .collect();
    Case {
        name: format!("{family}, way back"),
        lines: vec![
            "ip route add 2001:db8:7::/48 via 2001:db8:1::2 pg0".into(),
            format!("lb vip {named} encap {family} type clusterip target_port 8080"),
            format!("lb as {named} {server}"),
            format!("lb set interface {family} in pg1"),
        ],
        before: Some(("pg0", frames::udps(0, host, vip, &[0; 22]))),
        stream: ("pg1", answers),
        out: 1,
        nodes: if family == "nat4" { &["lb-nat4-in2out"] } else { &["lb-nat6-in2out"] },
        ..through("", &[], Vec::new(), &[])
    }
}

/// Packets of 1,448 bytes where 576 pass.
fn fragments() -> Case {
    let stream = frames::udps(0, host4, "10.9.0.9", &[0; 1420]);
    Case { makes: (1, 3), ..through("ip4 fragments", &["set interface mtu 576 pg1"], stream, &["ip4-frag"]) }
}

/// Echo requests to ourselves.
fn echo(family: &str) -> Case {
    let (from, to) = if family == "ip4" { ("10.0.1.2", "10.0.1.1") } else { ("2001:db8:1::2", "2001:db8:1::1") };
    let nodes: &[&str] = if family == "ip4" { &["ip4-icmp-echo-request"] } else { &["ip6-icmp-echo-request"] };
    Case { out: 1, ..through(&format!("{family} echo"), &[], frames::echoes(from, to, &[0; 22]), nodes) }
}

/// Echo requests in two pieces, which are put together before they are answered.
fn echo_in_pieces() -> Case {
    let stream = frames::in_two(frames::echoes("10.0.1.2", "10.0.1.1", &[0; 600]));
    Case { out: 1, makes: (2, 1), ..through("ip4 echo in pieces", &[], stream, &["ip4-full-reassembly"]) }
}

/// NAT on two workers: half of the flows belong to the one that does not get the packets.
fn hand_over() -> Case {
    let named = "90.0.0.1/32 protocol udp port 80";
    Case {
        workers: 2,
        // As fast as can be, the room between workers fills while one of them does not run.
        rate: 500_000.0,
        ..through(
            "hand-over",
            &[
                &format!("lb vip {named} encap nat4 type clusterip target_port 8080"),
                &format!("lb as {named} 10.0.2.2"),
                "lb set interface nat4 in pg1",
            ],
            frames::udps(0, host4, "90.0.0.1", &[0; 22]),
            &["worker-handoff", "handoff-input"],
        )
    }
}
