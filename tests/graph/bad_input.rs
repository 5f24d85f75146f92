//! Bad input: each line is refused with an error that names the word at fault, and nothing has changed afterwards.

use std::time::Duration;

use nodes::pg::pcap::Writer;

use crate::forwarding::udp;
use crate::support::Bed;

/// Everything that an operator could see of what is configured, without the ages of neighbours.
pub(crate) fn state(bed: &mut Bed) -> String {
    let shows = [
        "show interface",
        "show interface addr",
        "show hardware-interfaces",
        "show ip fib",
        "show adj",
        "show lb",
        "show lb vips verbose",
        "show packet-generator",
        "show trace",
        "pcap trace status",
        "show node pg-input",
    ];
    let mut all: String = shows.map(|show| bed.vppctl(show)).concat();
    for line in bed.vppctl("show ip neighbors").lines() {
        all += line.get(12..).unwrap_or_default();
        all += "\n";
    }
    all
}

/// A VIP with a server, one of a port, a stream, a route, a tunnel.
pub(crate) fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(
        "lb conf ip4-src-address 10.0.2.1
         lb vip 90.0.0.0/24 encap gre4
         lb as 90.0.0.0/24 10.0.2.2
         lb vip 91.0.0.1/32 protocol tcp port 80 encap gre4
         ip route add 12.0.0.0/8 via 10.0.2.2
         packet-generator new { name s limit 1 interface pg0 data { hex 00 } }
         create gre tunnel src 10.0.2.1 dst 10.0.2.9",
    );
    bed
}

fn refused(bed: &mut Bed, lines: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (line, error) in lines {
        let before = state(bed);
        let said = bed.refused(line);
        if said != *error {
            wrong += &format!("`{line}'\n  said     {said}\n  expected {error}\n");
        }
        assert_eq!(state(bed), before, "`{line}' has changed something");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn unknown_commands_words_and_interfaces() {
    refused(
        &mut bed(),
        &[
            ("nosuch", "unknown input `nosuch'"),
            ("nosuch command", "unknown input `nosuch command'"),
            ("show nosuch", "show: unknown input `nosuch'"),
            ("s", "ambiguous input `s': set, show"),
            ("show lb foo", "show lb: unknown input `foo'"),
            ("show lb vips foo", "show lb vips: unknown input `foo' (expected verbose)"),
            ("show version foo", "show version: unknown input `foo'"),
            ("show interface foo", "show interface: unknown input `foo'"),
            ("set interface state foo up", "set interface state: unknown interface `foo up'"),
            ("set interface state pg0 sideways", "set interface state: unknown input `sideways'"),
            ("set interface state pg0 up now", "set interface state: unknown input `now'"),
            ("set interface ip address foo 1.1.1.1/24", "set interface ip address: unknown interface `foo 1.1.1.1/24'"),
            ("set interface mtu 1500 foo", "set interface mtu: unknown interface `foo'"),
            (
                "set interface mac address foo 02:00:00:00:00:01",
                "set interface mac address: unknown interface `foo 02:00:00:00:00:01'",
            ),
            ("set interface promiscuous on foo", "set interface promiscuous: unknown interface `foo'"),
            (
                "set ip neighbor foo 1.1.1.1 02:00:00:00:00:01",
                "set ip neighbor: unknown interface `foo 1.1.1.1 02:00:00:00:00:01'",
            ),
            (
                "set ip neighbor local0 1.1.1.1 02:00:00:00:00:01",
                "set ip neighbor: `local0' cannot be changed: it stands for packets without an interface",
            ),
            ("show ip neighbors foo", "show ip neighbors: unknown interface `foo'"),
            (
                "ip route add 1.0.0.0/8 via foo",
                "ip route: expected a next hop, an interface or `drop' after `via', got `foo'",
            ),
            (
                "ip route add 1.0.0.0/8 via local0",
                "ip route: `local0' is no way out: it stands for packets without an interface",
            ),
            (
                "ip route add 1.0.0.0/8 via 10.0.2.2 local0",
                "ip route: `local0' is no way out: it stands for packets without an interface",
            ),
            ("ip route add 1.0.0.0/8 via 224.0.0.1", "ip route: `224.0.0.1' is not the address of one next hop"),
            ("ip route add 1.0.0.0/8 via 0.0.0.0", "ip route: `0.0.0.0' is not the address of one next hop"),
            ("ip route add 1.0.0.0/8 via 10.0.2.2 foo", "ip route: unknown input `foo'"),
            (
                "lb conf foo",
                "lb conf: parse error: 'foo' (expected ip4-src-address, ip6-src-address, buckets, timeout, half-open, established, closing, udp, snat4 or snat6)",
            ),
            (
                "lb vip 1.0.0.0/8 foo",
                "lb vip: parse error: 'foo' (expected protocol, port, encap, dscp, variant, type, target_port, new_len, src_ip_sticky, scheduler, ping, mss-clamp, quic-lb, del or dry-run)",
            ),
            (
                "lb vip 1.0.0.0/8 encap foo",
                "lb vip: unknown encap `foo' (there are: gre4, gre6, ipip4, ipip6, gue4, gue6, l3dsr, l2dsr, nat4, nat6, fullnat4, fullnat6)",
            ),
            ("lb vip 1.0.0.0/8 protocol foo port 1", "lb vip: expected protocol tcp or udp, got `foo'"),
            (
                "lb as 90.0.0.0/24 foo",
                "lb as: parse error: 'foo' (expected the address of a server, protocol, port, target_port, mac, server-id, weight, del, flush or dry-run)",
            ),
            ("lb flush vip 90.0.0.0/24 foo", "lb flush vip: parse error: 'foo' (expected protocol or port)"),
            ("trace add foo 10", "trace add: expected NODE COUNT, got `foo 10'"),
            (
                "trace add ip4-lookup 10",
                "trace add: `ip4-lookup' is no input node; packets are traced from where they come in",
            ),
            ("trace filter foo", "trace filter: expected none, include NODE COUNT or exclude NODE COUNT, got `foo'"),
            ("trace filter include foo 1", "trace filter: unknown node `foo 1'"),
            ("show node foo", "show node: unknown node `foo'"),
            ("show runtime foo", "show runtime: unknown node `foo'"),
            ("packet-generator new { name x foo }", "packet-generator new: unknown input `foo'"),
            (
                "packet-generator new { name x interface foo data { hex 00 } }",
                "packet-generator new: unknown interface `foo'",
            ),
            (
                "packet-generator capture foo pcap /tmp/x",
                "packet-generator capture: unknown interface `foo pcap /tmp/x'",
            ),
            (
                "create packet-generator interface foo",
                "create packet-generator interface: expected an interface name such as pg0, got `foo'",
            ),
            ("create host-interface foo", "create host-interface: unknown input `foo'"),
            ("pcap trace rx intfc foo", "pcap trace: unknown interface `foo'"),
        ],
    );
}

#[test]
fn missing_arguments() {
    refused(
        &mut bed(),
        &[
            ("lb", "lb: unknown input `'"),
            ("show", "show: unknown input `'"),
            ("lb vip", "lb vip: expected a VIP prefix, got nothing"),
            ("lb vip 1.0.0.0/8 encap", "lb vip: expected an encapsulation (gre4, ipip4, l3dsr, ...), got nothing"),
            ("lb vip 1.0.0.0/8 new_len", "lb vip: expected a number of slots from 1 to 33554432, got nothing"),
            ("lb vip 1.0.0.0/8 protocol tcp", "lb vip: protocol tcp needs a port"),
            ("lb vip 1.0.0.0/8 port 80", "lb vip: port 80 needs a protocol, tcp or udp"),
            ("lb as", "lb as: expected a VIP prefix, got nothing"),
            ("lb as 90.0.0.0/24", "lb as: No AS address provided"),
            ("lb as 90.0.0.0/24 10.0.2.3 weight", "lb as: weight must be between 0 and 100, got nothing"),
            ("lb flush vip", "lb flush vip: expected a VIP prefix, got nothing"),
            ("lb conf buckets", "lb conf: expected a power of two from 1 to 16777216, got nothing"),
            ("ip route", "ip route: expected an IPv4 address/length, got nothing"),
            ("ip route add 1.0.0.0/8", "expected paths."),
            (
                "ip route add 1.0.0.0/8 via",
                "ip route: expected a next hop, an interface or `drop' after `via', got nothing",
            ),
            ("set ip neighbor", "set ip neighbor: expected an interface, got nothing"),
            ("set ip neighbor pg1 10.0.2.9", "set ip neighbor: specify interface, IP address and MAC: `pg1 10.0.2.9'"),
            ("set interface state", "set interface state: expected an interface, got nothing"),
            ("set interface state pg0", "set interface state: expected up or down, got nothing"),
            ("set interface ip address pg0", "set interface ip address: expected IP4/IP6 address/length `'"),
            ("set interface mtu", "set interface mtu: expected an MTU from 68 to 65535, got nothing"),
            ("trace add", "trace add: expected NODE COUNT, got `'"),
            ("trace add pg-input", "trace add: expected NODE COUNT, got `pg-input'"),
            ("packet-generator new", "packet-generator new: expected `pcap FILE' or `data { … }'"),
            ("packet-generator delete", "packet-generator delete: expected stream name, got nothing"),
            ("packet-generator capture pg0", "packet-generator capture: expected pcap FILE, got nothing"),
            ("create host-interface", "create host-interface: expected name <ifname>"),
            ("create host-interface name", "create host-interface: expected the name of a kernel device, got nothing"),
            ("delete host-interface", "delete host-interface: expected name <ifname>"),
            ("create gre tunnel", "create gre tunnel: expected src <addr>"),
            ("exec", "exec: expected a file, got nothing"),
            ("ping", "ping: expected whom to ask, an IPv4 or IPv6 address, got nothing"),
            ("wait", "wait: expected a number of seconds from 0 to 86400, got `'"),
        ],
    );
}

#[test]
fn prefixes_and_numbers() {
    refused(
        &mut bed(),
        &[
            ("ip route add 1.1.1.0/33 via 10.0.2.2", "Invalid prefix len: 33"),
            (
                "set interface ip address pg0 1.1.1.0/24",
                "set interface ip address: 1.1.1.0/24 cannot be an address of an interface",
            ),
            (
                "set interface ip address pg0 1.1.1.3/30",
                "set interface ip address: 1.1.1.3/30 cannot be an address of an interface",
            ),
            ("set interface ip address pg0 1.1.1.1/33", "Invalid prefix len: 33"),
            (
                "set interface ip address pg0 300.0.1.1/24",
                "set interface ip address: expected IP4/IP6 address/length `300.0.1.1/24'",
            ),
            (
                "set interface ip address pg0 1.1.1.1",
                "set interface ip address: expected IP4/IP6 address/length `1.1.1.1'",
            ),
            ("lb vip 1.1.1.0/33 encap gre4", "lb vip: invalid vip prefix: '1.1.1.0/33': prefix length over 32"),
            ("lb vip 224.0.0.1/32 encap gre4", "lb vip: VIP 224.0.0.1/32: not the address of one host"),
            ("lb vip 239.0.0.0/8 protocol udp port 53", "lb vip: VIP 239.0.0.0/8: not the address of one host"),
            ("lb vip 255.255.255.255/32", "lb vip: VIP 255.255.255.255/32: not the address of one host"),
            ("lb vip 0.0.0.0/32", "lb vip: VIP 0.0.0.0/32: not the address of one host"),
            ("lb vip foo encap gre4", "lb vip: invalid vip prefix: 'foo' (expected an address/length)"),
            ("show ip fib 1.1.1.0/33", "Invalid prefix len: 33"),
            ("ip route add 1.0.0.0/x via 10.0.2.2", "ip route: expected an IPv4 address/length, got `1.0.0.0/x'"),
            ("set interface mtu many pg0", "set interface mtu: expected an MTU from 68 to 65535, got `many'"),
            ("set interface mtu 67 pg0", "set interface mtu: expected an MTU from 68 to 65535, got `67'"),
            (
                "set interface mtu ip4 9001 pg0",
                "set interface mtu: expected an MTU from 68 to 9000, that of the packet, or 0 for the same, got 9001",
            ),
            (
                "set interface mtu ip4 67 pg0",
                "set interface mtu: expected an MTU from 68 to 9000, that of the packet, or 0 for the same, got 67",
            ),
            (
                "set interface mtu ip6 1400 pg0",
                "set interface mtu: `ip6': IPv6 has no MTU of its own; set that of the packet",
            ),
            ("set interface mtu mpls 1400 pg0", "set interface mtu: `mpls': there is no MPLS"),
            ("set interface mtu 65536 pg0", "set interface mtu: expected an MTU from 68 to 65535, got `65536'"),
            (
                "set interface mac address pg0 02:00",
                "set interface mac address: expected a MAC such as 02:00:00:00:00:01, got `02:00'",
            ),
            (
                "set interface mac address pg0 ff:ff:ff:ff:ff:ff",
                "set interface mac address: `ff:ff:ff:ff:ff:ff' is not the address of one station",
            ),
            (
                "set interface state local0 up",
                "set interface state: `local0' cannot be changed: it stands for packets without an interface",
            ),
            ("trace add pg-input many", "trace add: expected NODE COUNT, got `pg-input many'"),
            ("show trace max 0", "show trace: expected a number of packets from 1 to 18446744073709551615, got `0'"),
            ("lb conf buckets 33", "lb conf: buckets must be a power of two from 1 to 16777216, not 33"),
            ("lb conf buckets 0", "lb conf: expected a power of two from 1 to 16777216, got `0'"),
            ("lb conf buckets 64 buckets 128", "lb conf: `buckets' is given twice"),
            ("lb vip 1.0.0.0/8 encap gre4 encap gre4", "lb vip: `encap' is given twice"),
            ("lb vip 1.0.0.0/8 protocol tcp port 80 protocol udp", "lb vip: `protocol' is given twice"),
            ("lb as 90.0.0.1/32 10.0.2.9 10.0.2.9", "lb as: `10.0.2.9' is given twice"),
            ("lb vip 90.0.0.1/32 del new_len 512", "lb vip: new_len and del are mutually exclusive"),
            ("lb conf timeout -1", "lb conf: expected a number of seconds from 1 to 524288, got `-1'"),
            (
                "lb conf ip4-src-address 10.0.2",
                "lb conf: expected the source of tunnels, an IPv4 address, got `10.0.2'",
            ),
            (
                "lb vip 1.0.0.0/8 new_len 1000",
                "lb vip: new_len must be a power of two or a prime, at most 33554432, not 1000",
            ),
            ("lb vip 1.0.0.0/8 protocol tcp port 65536", "lb vip: expected a port from 1 to 65535, got `65536'"),
            ("lb vip 1.0.0.0/8 protocol udp port 0", "lb vip: expected a port from 1 to 65535, got `0'"),
            ("lb as 90.0.0.0/24 10.0.2.3 weight 101", "lb as: weight must be between 0 and 100, got `101'"),
            (
                "ip route add count 0 1.0.0.0/8 drop",
                "ip route: expected a number of routes from 1 to 16777216, got `0'",
            ),
            ("ip route add 1.0.0.0/8 table 1 drop", "ip route: expected table 0, which is the only one, got `1'"),
            ("ip route add 1.0.0.0/8 via 10.0.2.2 weight 0", "ip route: expected a weight from 1 to 255, got `0'"),
            (
                "packet-generator new { name x limit many }",
                "packet-generator new: expected a number of packets, got `many'",
            ),
            ("packet-generator new { name x rate -1 }", "packet-generator new: expected packets per second, got `-1'"),
            (
                "packet-generator new { name x interface pg0 data { UDP: 1.1.1.1 -> 2.2.2.2 UDP: 1 -> 65536 } }",
                "packet-generator new: expected a port, got `65536'",
            ),
            ("ping 10.0.2.2 repeat 0", "ping: expected a number of requests from 1 to 65535, got `0'"),
            ("wait forever", "wait: expected a number of seconds from 0 to 86400, got `forever'"),
            ("show adj 77", "show adj: no adjacency 77"),
        ],
    );
}

#[test]
fn what_is_there_already_or_is_not_there() {
    refused(
        &mut bed(),
        &[
            ("lb vip 90.0.0.0/24 encap gre4", "lb vip: VIP 90.0.0.0/24 already exists"),
            ("lb vip 90.0.0.77/24 encap gre4", "lb vip: VIP 90.0.0.0/24 already exists"),
            ("lb vip 91.0.0.1/32 protocol tcp port 80", "lb vip: VIP 91.0.0.1/32 protocol tcp port 80 already exists"),
            ("lb vip 9.9.9.9/32 del", "lb vip: no VIP 9.9.9.9/32"),
            ("lb flush vip 9.9.9.9/32", "lb flush vip: no VIP 9.9.9.9/32"),
            ("lb as 9.9.9.9/32 1.1.1.1", "lb as: no VIP 9.9.9.9/32"),
            ("lb as 90.0.0.0/24 2001::1", "lb as: server 2001::1: encap gre4 needs an IPv4 address"),
            ("lb as 90.0.0.0/24 10.0.2.2", "lb as: server 10.0.2.2 is already there for VIP 90.0.0.0/24"),
            ("lb as 90.0.0.0/24 10.0.2.3 10.0.2.2", "lb as: server 10.0.2.2 is already there for VIP 90.0.0.0/24"),
            ("lb as 90.0.0.0/24 5.5.5.5 del", "lb as: no server 5.5.5.5 for VIP 90.0.0.0/24"),
            (
                "lb as 90.0.0.0/24 90.0.0.9",
                "lb as: server 90.0.0.9 lies within VIP 90.0.0.0/24: its packets would come back here",
            ),
            (
                "lb as 90.0.0.0/24 91.0.0.1",
                "lb as: server 91.0.0.1 lies within VIP 91.0.0.1/32: its packets would come back here",
            ),
            (
                "lb as 90.0.0.0/24 10.0.2.9 10.0.1.1",
                "lb as: server 10.0.1.1 is one of our own addresses: its packets would come back here",
            ),
            (
                "lb as 90.0.0.0/24 10.0.2.255",
                "lb as: server 10.0.2.255 is the network's or the broadcast address on pg1",
            ),
            ("lb as 90.0.0.0/24 10.0.1.0", "lb as: server 10.0.1.0 is the network's or the broadcast address on pg0"),
            ("lb as 90.0.0.0/24 10.0.2.2 weight 5 del", "lb as: weight and del are mutually exclusive"),
            ("ip route del 7.7.7.7/32 via 10.0.2.9", "ip route: no route to 7.7.7.7/32 from CLI"),
            ("ip route del 7.7.7.7/32", "ip route: no route to 7.7.7.7/32 from CLI"),
            ("ip route del 12.0.0.0/8 via 10.0.2.9", "ip route: the route to 12.0.0.0/8 has no such path"),
            ("show ip fib 7.7.7.0/24", "show ip fib: no route to 7.7.7.0/24"),
            (
                "set ip neighbor pg1 10.0.1.9 02:00:00:00:00:09",
                "set ip neighbor: 10.0.1.9 is in no connected prefix of pg1, and no route has it as next hop there",
            ),
            ("set ip neighbor pg1 10.0.2.1 02:00:00:00:00:09", "set ip neighbor: 10.0.2.1 is one of our own addresses"),
            (
                "set ip neighbor static pg1 10.0.2.255 02:00:00:00:00:09",
                "set ip neighbor: 10.0.2.255 is the network's or the broadcast address on pg1",
            ),
            (
                "set ip neighbor pg1 10.0.2.0 02:00:00:00:00:09",
                "set ip neighbor: 10.0.2.0 is the network's or the broadcast address on pg1",
            ),
            (
                "set ip neighbor pg1 10.0.2.9 00:00:00:00:00:00",
                "set ip neighbor: `00:00:00:00:00:00' is not the MAC of one station",
            ),
            (
                "set ip neighbor pg1 10.0.2.9 01:00:5e:00:00:01",
                "set ip neighbor: `01:00:5e:00:00:01' is not the MAC of one station",
            ),
            (
                "set ip neighbor del pg1 10.0.2.2 02:00:00:00:00:03",
                "set ip neighbor: 10.0.2.2 has the MAC 02:00:00:00:00:02, not `02:00:00:00:00:03'",
            ),
            ("set ip neighbor del pg1 10.0.2.77", "set ip neighbor: no neighbour 10.0.2.77 on pg1"),
            (
                "set interface ip address pg0 10.0.1.1/24",
                "set interface ip address: failed to add 10.0.1.1/24 on pg0 which conflicts with 10.0.1.1/24 for interface pg0",
            ),
            (
                "set interface ip address del pg0 10.0.7.1/24",
                "set interface ip address: address 10.0.7.1/24 not found on pg0",
            ),
            (
                "create packet-generator interface pg0",
                "create packet-generator interface: an interface named `pg0' exists already",
            ),
            ("delete host-interface name nosuch", "delete host-interface: there is no host-interface on `nosuch'"),
            (
                "create gre tunnel src 10.0.2.1 dst 10.0.2.9",
                "create gre tunnel: a GRE tunnel from 10.0.2.1 to 10.0.2.9 exists already",
            ),
            (
                "create gre tunnel src 10.0.2.1 dst 10.0.2.8 del",
                "create gre tunnel: no GRE tunnel from 10.0.2.1 to 10.0.2.8",
            ),
            ("packet-generator delete nosuch", "packet-generator delete: expected stream name `nosuch'"),
            ("packet-generator enable-stream nosuch", "packet-generator enable-stream: expected stream name `nosuch'"),
            ("packet-generator disable nosuch", "packet-generator disable-stream: expected stream name `nosuch'"),
            ("pcap trace off", "pcap trace: dispatch trace already disabled..."),
            ("exec /nosuch.cli", "exec: cannot read `/nosuch.cli': No such file or directory (os error 2)"),
        ],
    );
}

/// A file with these bytes that is gone after the test.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("maglane-bad-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn capture_files_that_cannot_be_used() {
    let mut whole = Vec::new();
    let mut writer = Writer::new(&mut whole, "whole").unwrap();
    writer.write(Duration::ZERO, &udp([90, 0, 0, 1], 64, b"x")).unwrap();
    let mut radio = whole.clone();
    radio[20] = 105;
    let files = [
        (File::new("cut.pcap", &whole[..whole.len() - 1]), " is truncated in packet 1"),
        (File::new("head.pcap", &whole[..10]), " is truncated in packet 0"),
        (File::new("radio.pcap", &radio), ": link type 105, expected Ethernet (1)"),
        (File::new("text.pcap", &[b'x'; 100]), ": not a pcap file"),
    ];
    let mut bed = bed();
    for (file, what) in &files {
        let path = file.0.display();
        let line = format!("packet-generator new pcap {path} source pg0 name x");
        refused(&mut bed, &[(&line, &format!("packet-generator new: `{path}'{what}"))]);
    }
    let missing = "packet-generator new pcap /nosuch.pcap source pg0 name x";
    refused(&mut bed, &[(missing, "packet-generator new: open `/nosuch.pcap': No such file or directory")]);
    let taken = format!("packet-generator capture pg0 pcap {}", files[0].0.0.display());
    let said = format!("packet-generator capture: file `{}' exists already", files[0].0.0.display());
    refused(&mut bed, &[(&taken, &said)]);
}

#[test]
fn a_script_says_the_line_and_stops() {
    let mut bed = bed();
    let inner = File::new("inner.cli", b"\n# a comment\nset interface state nosuch up\n");
    let script = format!("comment fine\n\nexec {}\nlb vip 1.0.0.0/8\n", inner.0.display());
    let outer = File::new("outer.cli", script.as_bytes());
    let error = format!(
        "{} line 3: {} line 3: set interface state: unknown interface `nosuch up'",
        outer.0.display(),
        inner.0.display()
    );
    refused(&mut bed, &[(&format!("exec {}", outer.0.display()), &error)]);
}

/// Whatever command it is: a word that has no place in it is named, and nothing happens.
#[test]
fn every_command_names_a_word_that_it_does_not_know() {
    let mut bed = bed();
    let app = maglane::app();
    let paths: Vec<&str> = app.table.commands().iter().map(|command| command.path).collect();
    assert!(paths.len() > 50, "{paths:?}");
    for path in paths {
        let before = state(&mut bed);
        let said = bed.refused(&format!("{path} out-of-place"));
        assert!(said.contains("out-of-place"), "`{path} out-of-place' said: {said}");
        assert_eq!(state(&mut bed), before, "`{path} out-of-place' has changed something");
    }
}
