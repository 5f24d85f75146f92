//! Files are read as they are meant, and mistakes are named with their lines.

use proptest::prelude::*;

use super::{ImportError, PlannedServer, csv, packetvisor};

const LIST: &str = include_str!("../../tests/data/32_destinations.csv");
const SERVICES: &str = include_str!("../../tests/data/lb_config.xml");

fn error<T: std::fmt::Debug>(result: Result<T, ImportError>) -> String {
    result.unwrap_err().in_file("f")
}

#[test]
fn the_list_of_32_destinations() {
    let servers = csv::parse(LIST).unwrap();
    assert_eq!(servers.len(), 32);
    let first = PlannedServer {
        line: 1,
        address: [10, 0, 89, 127].into(),
        port: None,
        weight: None,
        mac: Some("00:15:4d:59:7f:ad".parse().unwrap()),
    };
    assert_eq!((servers[0], servers[31].line), (first, 32));
}

#[test]
fn lists_with_comments_and_without_macs() {
    let text = "\u{feff}# destinations\r\n\r\n10.0.0.1\r\n  10.0.0.2 ,02:00:00:00:00:02 # the second\n2001:db8::1\n";
    let servers = csv::parse(text).unwrap();
    let lines: Vec<_> = servers.iter().map(|s| (s.line, s.address.to_string(), s.mac.is_some())).collect();
    let expected = [(3, "10.0.0.1", false), (4, "10.0.0.2", true), (5, "2001:db8::1", false)];
    assert_eq!(lines, expected.map(|(line, address, mac)| (line, address.into(), mac)));
}

#[test]
fn mistakes_in_lists() {
    let fails = |text: &str| error(csv::parse(text));
    let address = "expected an IPv4 or IPv6 address, got";
    let mac = "expected the MAC of one host, such as 02:00:00:00:00:01, got";
    assert_eq!(fails("10.0.0.1\n\n10.0.0.256\n"), format!("f, line 3: {address} `10.0.0.256'"));
    assert_eq!(fails("# a\n,02:00:00:00:00:02"), format!("f, line 2: {address} nothing"));
    assert_eq!(fails("10.0.0.1 02:00:00:00:00:02"), format!("f, line 1: {address} `10.0.0.1 02:00:00:00:00:02'"));
    assert_eq!(fails("10.0.0.1,"), format!("f, line 1: {mac} nothing"));
    for word in ["02:00:00:00:00", "01:00:00:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "x"] {
        assert_eq!(fails(&format!("10.0.0.1, {word}")), format!("f, line 1: {mac} `{word}'"));
    }
    let end = "expected the end of the line after ADDRESS, MAC, got";
    assert_eq!(fails("10.0.0.1, 02:00:00:00:00:02, 80"), format!("f, line 1: {end} `,80'"));
    assert_eq!(fails("::1\n10.0.0.1\n0::1"), "f, line 3: `::1' is in the list twice, first in line 1");
    assert_eq!(fails("# nothing\n"), "f: expected lines `ADDRESS' or `ADDRESS, MAC', got none");
}

#[test]
fn the_services_of_the_original() {
    let plan = packetvisor::parse(SERVICES).unwrap();
    let [vip] = plan.vips.as_slice() else { panic!("{plan:?}") };
    assert_eq!(vip.key.to_string(), "192.168.0.200/32 protocol udp port 7");
    assert_eq!((vip.line, vip.encap, vip.scheduler.map(|s| s.name())), (2, "nat4", Some("rr")));
    let servers: Vec<_> = vip.servers.iter().map(|s| (s.line, s.address.to_string(), s.port, s.weight)).collect();
    let expected = [(8, Some(8080)), (13, Some(8081)), (18, Some(8082))];
    assert_eq!(servers, expected.map(|(line, port)| (line, "10.0.0.200".into(), port, None)));
}

/// A file with one service, whose servers these are; they stand in line 6.
fn service(address: &str, schedule: &str, servers: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<loadbalancer><service>\n<address>{address}</address><protocol>TCP</protocol>\n\
         <port> 80 </port>{schedule}\n<servers>\n{servers}\n</servers></service></loadbalancer>\n"
    )
}

#[test]
fn modes_and_families_decide_how_packets_travel() {
    let encap = |vip: &str, mode: &str| {
        let server = format!("<server><address>2001:db8::2</address>{mode}</server>");
        packetvisor::parse(&service(vip, "", &server)).unwrap().vips[0].encap
    };
    assert_eq!(encap("10.0.0.1", ""), "nat4");
    assert_eq!(encap("::1", "<mode>NAT</mode>"), "nat6");
    assert_eq!(encap("10.0.0.1", "<mode>snat</mode>"), "fullnat4");
    assert_eq!(encap("::1", "<mode>fullnat</mode>"), "fullnat6");
    assert_eq!(encap("::1", "<mode>dr</mode><port>80</port>"), "l2dsr");
    let plan = packetvisor::parse(&service(
        "10.0.0.1",
        "<schedule>WLC</schedule>",
        "<server><address>10.1.<!-- -->1.1</address><port>80</port><weight>7</weight></server>",
    ));
    let vip = &plan.unwrap().vips[0];
    assert_eq!((vip.scheduler.map(|s| s.name()), vip.servers[0].weight), (Some("wlc"), Some(7)));
    // The service's own port is no other.
    assert_eq!((vip.servers[0].address.to_string(), vip.servers[0].port), ("10.1.1.1".into(), None));
}

#[test]
fn mistakes_in_services() {
    let with = |servers: &str| error(packetvisor::parse(&service("10.0.0.1", "", servers)));
    let server = |inner: &str| with(&format!("<server><address>10.1.1.1</address>\n{inner}</server>"));
    assert_eq!(server("<mode>tunnel</mode>"), "f, line 7: expected a mode (nat, snat, fullnat or dr), got `tunnel'");
    assert_eq!(server("<port>0</port>"), "f, line 7: expected a port from 1 to 65535, got `0'");
    assert_eq!(server("<port>65536</port>"), "f, line 7: expected a port from 1 to 65535, got `65536'");
    assert_eq!(server("<port/>"), "f, line 7: expected a port from 1 to 65535, got nothing");
    assert_eq!(server("<weight>+1</weight>"), "f, line 7: expected a weight from 0 to 100, got `+1'");
    assert_eq!(server("<address>::1</address>"), "f, line 7: <address> is there twice, first in line 6");
    assert_eq!(server("<port><b>8</b></port>"), "f, line 7: expected a word in <port>, got `<b>'");
    assert_eq!(server("<port unit=\"x\">8</port>"), "f, line 7: expected no attribute of <port>, got `unit'");
    assert_eq!(
        server("<ports>8</ports>"),
        "f, line 7: expected <address>, <port>, <mode>, <weight> in <server>, got `<ports>'"
    );
    assert_eq!(server("\n8080"), "f, line 8: expected <address>, <port>, <mode>, <weight> in <server>, got `8080'");
    assert_eq!(
        server("<mode>dr</mode>\n<port>8080</port>"),
        "f, line 8: expected the service's port 80, which mode `dr' keeps, got `8080'"
    );
    assert_eq!(with(""), "f, line 5: expected a <server> in <servers>, got nothing");
    assert_eq!(with("<server/>"), "f, line 6: expected <address> in <server>, got nothing");
    let two = |first: &str, second: &str| {
        with(&format!(
            "<server><address>10.1.1.1</address>{first}</server>\n<server><address>10.1.1.1</address>{second}</server>"
        ))
    };
    assert_eq!(
        two("<mode>nat</mode>", "<mode>dr</mode>"),
        "f, line 7: mode `dr', but the server in line 6 has mode `nat': servers of one service must have the same"
    );
    assert_eq!(two("", "<port>80</port>"), "f, line 7: server 10.1.1.1 port 80 is there twice, first in line 6");
}

#[test]
fn mistakes_around_services() {
    let fails = |text: &str| error(packetvisor::parse(text));
    assert_eq!(fails("<lb/>"), "f, line 1: expected <loadbalancer>, got `<lb>'");
    assert_eq!(
        fails("<loadbalancer>\n</loadbalancer>"),
        "f, line 1: expected a <service> in <loadbalancer>, got nothing"
    );
    assert!(fails("<loadbalancer>\n<service>\n</loadbalancer>").starts_with("f, line 3: no XML: "));
    assert!(fails("").starts_with("f, line 1: no XML: "), "{}", fails(""));
    let server = "<server><address>10.1.1.1</address></server>";
    let text = service("10.0.0.1", "<schedule>fair</schedule>", server);
    let known = "(there are: maglev, rr, wrr, lc, wlc, sh, hash)";
    assert_eq!(fails(&text), format!("f, line 4: unknown scheduler `fair' {known}"));
    assert_eq!(fails(&text.replace("TCP", "sctp")), "f, line 3: expected protocol tcp or udp, got `sctp'");
    assert_eq!(
        fails(&service("10.0.0.0/8", "", server)),
        "f, line 3: expected an IPv4 or IPv6 address, got `10.0.0.0/8'"
    );
    let once = service("10.0.0.1", "", server);
    let (head, body) = once.split_once("<service>").unwrap();
    let (body, tail) = body.split_once("</service>").unwrap();
    let twice = format!("{head}<service>{body}</service>\n<service>{body}</service>{tail}");
    assert_eq!(fails(&twice), "f, line 8: service 10.0.0.1/32 protocol tcp port 80 is there twice, first in line 2");
}

#[test]
fn files_that_grow_when_they_are_read_are_refused() {
    let bomb =
        "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n<loadbalancer>&b;</loadbalancer>";
    assert!(error(packetvisor::parse(bomb)).contains("no XML: "));
    let deep = format!("{}{}", "<loadbalancer>".repeat(500_000), "</loadbalancer>".repeat(500_000));
    assert!(packetvisor::parse(&deep).is_err());
    let many = format!("<loadbalancer>{}</loadbalancer>", "<a/>".repeat(super::LONGEST as usize / 5));
    assert!(packetvisor::parse(&many).is_err());
}

proptest! {
    /// A list with a line that is damaged somewhere is read, or the line is named.
    #[test]
    fn damage_is_found_where_it_is(at in 0..LIST.len(), byte in 0x20..0x7fu8) {
        let mut text = LIST.as_bytes().to_vec();
        let line = 1 + LIST[..at].matches('\n').count();
        prop_assume!(text[at] != b'\n');
        text[at] = byte;
        if let Err(error) = csv::parse(std::str::from_utf8(&text).unwrap()) {
            // A second line of the same address is the one that is wrong.
            prop_assert!(error.line == line || error.reason.contains("twice"), "{error:?}");
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC*", at in 0..SERVICES.len(), new in "[<>&;/a-z0-9\"= !-]{0,8}") {
        let _ = csv::parse(&text);
        let _ = packetvisor::parse(&text);
        let mut damaged = SERVICES.to_string();
        damaged.replace_range(at..(at + new.len()).min(SERVICES.len()), &new);
        if let Err(error) = packetvisor::parse(&damaged) {
            // What is missing at the end is missing behind the last line's end.
            prop_assert!(error.line <= damaged.lines().count() + 1, "{error:?}");
        }
    }
}
