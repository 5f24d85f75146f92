//! `lb import csv`, `lb import packetvisor`: all of a file, or nothing.

use std::path::PathBuf;

use crate::bed::Bed;
use crate::frames::flow;

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/32_destinations.csv");
const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lb_config.xml");

/// A file for one test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> File {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("maglane-import-{}-{number}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        File(path)
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What is configured, as shown, but for the neighbours' age.
fn state(bed: &mut Bed) -> String {
    let neighbors = bed.vppctl("show ip neighbors");
    let lasting = neighbors.lines().map(|line| line.trim_start().split_once(' ').map_or("", |(_, rest)| rest));
    ["show lb", "show lb vips verbose", "show ip fib"].map(|line| bed.vppctl(line)).concat()
        + &lasting.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_list_of_destinations_behind_a_router() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 10.0.0.0/16 via 10.0.2.5");
    let text = bed.vppctl(&format!("lb import csv {LIST} encap ipip vip 90.0.0.1/32 scheduler rr"));
    assert_eq!(
        text,
        "vip[1] 90.0.0.1/32: added, 32 servers added\n\
         MACs of 10.0.89.127 and 31 others not used: they are on no connected network, their next hops' MACs are used\n"
    );
    let vips = bed.vppctl("show lb vips verbose");
    assert!(vips.contains("ip4-ipip4") && vips.contains("scheduler:rr") && vips.contains("#as:32"), "{vips}");
    let left = bed.reaching_servers((0..64).map(flow));
    let servers: std::collections::BTreeSet<&[u8]> = left.iter().map(|frame| &frame[30..34]).collect();
    assert_eq!((left.len(), servers.len()), (64, 32));
    assert_eq!(bed.vppctl("show lb rates").lines().count(), 2 + 32 + 2);
}

#[test]
fn macs_of_servers_on_a_connected_network_are_static_neighbors() {
    let mut bed = Bed::new();
    let list = File::new("10.0.2.7, 02:00:00:00:00:07\n10.0.2.8\n10.0.7.7, 02:00:00:00:00:77\n");
    let line = format!("lb import csv {list} encap gre4 vip 90.0.0.0/24");
    let before = state(&mut bed);
    let dry = bed.vppctl(&format!("{line} dry-run"));
    assert_eq!(state(&mut bed), before);
    let text = bed.vppctl(&line);
    assert_eq!(
        text,
        "vip[1] 90.0.0.0/24: added, 3 servers added\n1 static neighbor set\n\
         MAC of 10.0.7.7 not used: it is on no connected network, its next hop's MAC is used\n"
    );
    assert_eq!(dry, text);
    let neighbors = bed.vppctl("show ip neighbors");
    let line = neighbors.lines().find(|line| line.contains("10.0.2.7")).unwrap();
    assert!(line.contains("02:00:00:00:00:07") && line.contains(" S "), "{neighbors}");
    assert!(!neighbors.contains("10.0.7.7"), "{neighbors}");
}

/// Who an address is, as packets are sent to it: its MAC, and whether that stays.
fn neighbor(bed: &mut Bed, address: &str) -> Option<(String, bool)> {
    let shown = bed.vppctl("show ip neighbors");
    let line = shown.lines().find(|line| line.split_whitespace().any(|word| word == address))?;
    let mac = line.split_whitespace().find(|word| word.len() == 17 && word.contains(':'))?;
    Some((mac.to_string(), line.contains(" S ")))
}

#[test]
fn static_neighbors_stay_as_long_as_their_servers() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "set interface ip address toy1 2002::1/64",
        "lb conf ip6-src-address 2002::1",
        "set ip neighbor toy1 10.0.2.7 02:00:00:00:00:99",
    ]);
    let list = File::new("10.0.2.7, 02:00:00:00:00:07\n10.0.2.8, 02:00:00:00:00:08\n");
    let list6 = File::new("2002::9, 02:00:00:00:00:09\n");
    let line = format!("lb import csv {list} encap gre4 vip 90.0.0.1/32 scheduler rr");
    let dry = bed.vppctl(&format!("{line} dry-run"));
    let said = bed.vppctl(&line);
    assert_eq!(
        (&said, true),
        (&dry, said.contains("10.0.2.7 has MAC 02:00:00:00:00:07 now in place of 02:00:00:00:00:99"))
    );
    bed.type_all(&[&format!("lb import csv {list6} encap gre6 vip 91.0.0.1/32")]);
    let fixed = |last: u8| Some((format!("02:00:00:00:00:{last:02x}"), true));
    assert_eq!(neighbor(&mut bed, "10.0.2.7"), fixed(7));
    assert_eq!((neighbor(&mut bed, "10.0.2.8"), neighbor(&mut bed, "2002::9")), (fixed(8), fixed(9)));
    // Known flows still go there; another VIP, which had no list, does not keep it.
    let left = bed.reaching_servers([flow(0), flow(1)]);
    assert_eq!((&left[0][..6], &left[1][..6]), (&[2, 0, 0, 0, 0, 7][..], &[2, 0, 0, 0, 0, 8][..]));
    bed.type_all(&[
        "lb vip 92.0.0.1/32 encap ipip4",
        "lb as 92.0.0.1/32 10.0.2.8",
        "lb vip 90.0.0.1/32 del",
        "lb vip 91.0.0.1/32 del",
        "show lb vips",
    ]);
    assert_eq!((neighbor(&mut bed, "10.0.2.7"), neighbor(&mut bed, "2002::9")), (fixed(7), None));
    bed.vppctl("test lb flowtable flush");
    bed.collect();
    assert_eq!((neighbor(&mut bed, "10.0.2.7"), neighbor(&mut bed, "10.0.2.8")), (None, None));
    // What is learned again stays learned.
    bed.vppctl("set ip neighbor toy1 10.0.2.7 02:00:00:00:00:99");
    bed.collect();
    assert_eq!(neighbor(&mut bed, "10.0.2.7"), Some(("02:00:00:00:00:99".into(), false)));
}

#[test]
fn static_neighbors_of_the_operator_are_his() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "set ip neighbor static toy1 10.0.2.7 02:00:00:00:00:77",
        "set ip neighbor static toy1 10.0.2.8 02:00:00:00:00:08",
    ]);
    let list = File::new("10.0.2.3\n10.0.2.8, 02:00:00:00:00:08\n10.0.2.7, 02:00:00:00:00:07\n");
    let line = format!("lb import csv {list} encap gre4 vip 90.0.0.1/32");
    let before = state(&mut bed);
    for line in [&line, &format!("{line} dry-run")] {
        assert_eq!(
            bed.refused(line),
            format!(
                "lb import csv: {list}, line 3: server 10.0.2.7 is to have MAC 02:00:00:00:00:07, and is a static neighbor \
                 with MAC 02:00:00:00:00:77"
            )
        );
        assert_eq!(state(&mut bed), before);
    }
    let list = File::new("10.0.2.8, 02:00:00:00:00:08\n10.0.2.9, 02:00:00:00:00:09\n");
    bed.vppctl(&format!("lb import csv {list} encap gre4 vip 90.0.0.1/32"));
    // What he changes afterwards is his, too.
    bed.vppctl("set ip neighbor static toy1 10.0.2.9 02:00:00:00:00:99");
    let other = File::new("10.0.2.9, 02:00:00:00:00:0a\n");
    let error = bed.refused(&format!("lb import csv {other} encap gre4 vip 91.0.0.1/32"));
    assert!(error.ends_with("line 1: server 10.0.2.9 is to have MAC 02:00:00:00:00:0a, and is a static neighbor with MAC 02:00:00:00:00:99"), "{error}");
    bed.type_all(&["lb vip 90.0.0.1/32 del", "show lb vips"]);
    assert_eq!(neighbor(&mut bed, "10.0.2.8"), Some(("02:00:00:00:00:08".into(), true)));
    assert_eq!(neighbor(&mut bed, "10.0.2.9"), Some(("02:00:00:00:00:99".into(), true)));
    // A later list may say otherwise than one before.
    for mac in ["02:00:00:00:00:0b", "02:00:00:00:00:0c"] {
        let list = File::new(&format!("10.0.2.11, {mac}\n"));
        let last = &mac[15..];
        bed.vppctl(&format!("lb import csv {list} encap gre4 vip 93.0.0.{}/32", u8::from_str_radix(last, 16).unwrap()));
        assert_eq!(neighbor(&mut bed, "10.0.2.11"), Some((mac.into(), true)));
    }
}

#[test]
fn a_vip_that_is_there_gets_more_servers() {
    let mut bed = Bed::new();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 protocol tcp port 80 encap gre4",
        "lb as 90.0.0.1/32 protocol tcp port 80 10.0.2.2",
    ]);
    let list = File::new("10.0.2.3\n10.0.2.4\n");
    let vip = "vip 90.0.0.1/32 protocol tcp port 80";
    assert_eq!(
        bed.vppctl(&format!("lb import csv {list} encap gre4 {vip} new_len 64")),
        "vip[1] 90.0.0.1/32 protocol tcp port 80: was there, 2 servers added\n"
    );
    assert!(bed.vppctl("show lb vips verbose").contains("new_size:64"));
    let before = state(&mut bed);
    assert_eq!(
        bed.refused(&format!("lb import csv {list} encap gre4 {vip}")),
        format!(
            "lb import csv: {list}, line 1: server 10.0.2.3 is already there for VIP 90.0.0.1/32 protocol tcp port 80"
        )
    );
    assert_eq!(
        bed.refused(&format!("lb import csv {list} encap ipip4 {vip}")),
        format!(
            "lb import csv: {list}: VIP 90.0.0.1/32 protocol tcp port 80 already exists, with encap gre4: encap cannot be \
             changed"
        )
    );
    assert_eq!(state(&mut bed), before);
}

#[test]
fn nothing_of_a_list_with_a_mistake_is_applied() {
    let mut bed = Bed::new();
    let before = state(&mut bed);
    for (text, error) in [
        ("10.0.2.3\n10.0.2.x\n", ", line 2: expected an IPv4 or IPv6 address, got `10.0.2.x'"),
        (
            "10.0.2.3\n\n10.0.2.1\n10.0.2.4",
            ", line 3: server 10.0.2.1 is one of our own addresses: its packets would come back here",
        ),
        ("10.0.2.3\n10.0.2.255", ", line 2: server 10.0.2.255 is the network's or the broadcast address on toy1"),
        (
            "10.0.2.3\n10.0.2.4\n90.0.0.77",
            ", line 3: server 90.0.0.77 lies within VIP 90.0.0.0/24: its packets would come back here",
        ),
        ("10.0.2.3\n2001:db8::1", ", line 2: server 2001:db8::1: encap gre4 needs an IPv4 address"),
        ("10.0.2.3\n224.0.0.1\n", ", line 2: server 224.0.0.1: not the address of one host"),
        ("", ": expected lines `ADDRESS' or `ADDRESS, MAC', got none"),
    ] {
        let list = File::new(text);
        let line = format!("lb import csv {list} encap gre4 vip 90.0.0.0/24");
        assert_eq!(bed.refused(&line), format!("lb import csv: {list}{error}"));
        assert_eq!(bed.refused(&format!("{line} dry-run")), format!("lb import csv: {list}{error}"));
        assert_eq!(state(&mut bed), before, "{text}");
    }
    // Among several hundred, the first that has no slot.
    let many: String = (0..600).map(|n| format!("10.0.{}.{}\n", 3 + n / 200, 1 + n % 200)).collect();
    let list = File::new(&many);
    let error = bed.refused(&format!("lb import csv {list} encap gre4 vip 90.0.0.0/24 new_len 512"));
    let expected =
        format!("lb import csv: {list}, line 513: VIP 90.0.0.0/24: new_len 512 has no slot for every server");
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(state(&mut bed), before);
}

#[test]
fn words_that_make_no_sense_are_named() {
    let mut bed = Bed::new();
    let list = File::new("10.0.2.3\n");
    for (line, error) in [
        ("lb import csv".into(), "lb import csv: expected a file, got nothing".to_string()),
        (
            format!("lb import csv {list} vip 90.0.0.1/32"),
            format!("lb import csv: expected `encap' and an encapsulation for the servers in `{list}', got nothing"),
        ),
        (
            format!("lb import csv {list} encap gre4"),
            format!("lb import csv: expected `vip' and a prefix for the servers in `{list}', got nothing"),
        ),
        (format!("lb import csv {list} encap gre4 vip 90.0.0.1/32 foo"), "lb import csv: parse error: 'foo' (expected encap, vip, protocol, port, dscp, new_len, scheduler or dry-run)".into()),
        (
            format!("lb import csv {list} encap gre4 vip 90.0.0.1/32 port 80"),
            "lb import csv: port 80 needs a protocol, tcp or udp".into(),
        ),
        (
            "lb import csv /nowhere encap gre4 vip 90.0.0.1/32".into(),
            "lb import csv: cannot read `/nowhere': No such file or directory (os error 2)".into(),
        ),
        (
            "lb import packetvisor /dev/zero".into(),
            "lb import packetvisor: cannot read `/dev/zero': it is not an ordinary file".into(),
        ),
    ] {
        assert_eq!(bed.refused(&line), error, "{line}");
    }
    let error = bed.refused(&format!("lb import csv {list} encap foo vip 90.0.0.1/32"));
    assert!(error.starts_with("lb import csv: unknown encap `foo' (there are: "), "{error}");
    let long = File::new(&"10.0.0.1\n".repeat((16 << 20) / 9 + 1));
    let error = bed.refused(&format!("lb import csv {long} encap gre4 vip 90.0.0.1/32"));
    assert_eq!(error, format!("lb import csv: cannot read `{long}': it is longer than 16 MB"));
}

#[test]
fn services_of_packetvisor() {
    let mut bed = Bed::new();
    let line = format!("lb import packetvisor {SERVICES}");
    assert_eq!(bed.vppctl(&line), "vip[1] 192.168.0.200/32 protocol udp port 7: added, 3 servers added\n");
    // One address, three ports.
    let vips = bed.vppctl("show lb vips verbose");
    assert!(["ip4-nat4", "scheduler:rr", "#as:3", "8080", "8081", "8082"].iter().all(|w| vips.contains(w)), "{vips}");
    let before = state(&mut bed);
    let error = bed.refused(&line);
    assert!(error.starts_with(&format!("{line}, line 8: server 10.0.0.200").replace("visor /", "visor: /")), "{error}");
    assert_eq!(state(&mut bed), before);
}
