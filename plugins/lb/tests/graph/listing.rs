//! Flows, listed and looked up.

use crate::balancing::three;
use crate::bed::Bed;
use crate::frames::{flow, server};

/// The words of the lines below the head.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .skip_while(|line| !line.starts_with("Thread"))
        .skip(1)
        .map(|line| line.split_whitespace().map(String::from).collect())
        .collect()
}

fn busy() -> Bed {
    let mut bed = three();
    bed.type_all(&[
        "lb conf buckets 65536",
        "lb vip 91.0.0.1/32 protocol tcp port 80",
        "lb as 91.0.0.1/32 protocol tcp port 80 10.0.2.2",
    ]);
    assert_eq!(bed.reaching_servers((0..120).map(flow)).len(), 120);
    bed
}

#[test]
fn flows_are_listed() {
    let mut bed = busy();
    let text = bed.vppctl("show lb flows");
    let head = "Limiting display to 50 flows. To display more specify max.\n\
                Thread VIP                                         Server           AS       State          Idle  Identity\n";
    assert!(text.starts_with(head), "{text}");
    assert_eq!(rows(&text).len(), 50);
    let all = rows(&bed.vppctl("show lb flows max 120"));
    assert_eq!(all.len(), 120);
    let mut identities: Vec<&String> = all.iter().map(|row| &row[6]).collect();
    identities.sort();
    identities.dedup();
    assert!(identities.len() == 120 && identities.iter().all(|identity| identity.len() == 16));
    assert!(all.iter().all(|row| row[..2] == ["0", "90.0.0.1/32"] && row[3..5] == ["active", "half-open"]), "{all:?}");
    assert!(all.iter().all(|row| row[5].strip_suffix('s').is_some_and(|idle| idle.parse::<u32>().unwrap() < 60)));
    // Those of one server, and of one VIP.
    let of = |server: &str| all.iter().filter(|row| row[2] == server).count();
    let own = rows(&bed.vppctl("show lb flows as 10.0.2.3 max 1000"));
    assert!(own.len() == of("10.0.2.3") && own.iter().all(|row| row[2] == "10.0.2.3"));
    assert_eq!(rows(&bed.vppctl("show lb flows max 1000 vip 90.0.0.1/32")).len(), 120);
    assert_eq!(bed.vppctl("show lb flows vip 91.0.0.1/32 protocol tcp port 80"), "No flows\n");
    assert_eq!(bed.vppctl("show lb flows as 10.0.2.9"), "No flows\n");
    // A server that takes no new flows, and one whose flows are forgotten.
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 del");
    let own = rows(&bed.vppctl("show lb flows as 10.0.2.3 max 1000"));
    assert!(own.len() == of("10.0.2.3") && own.iter().all(|row| row[3] == "leaving"));
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 del flush");
    assert_eq!(bed.vppctl("show lb flows as 10.0.2.3"), "No flows\n");
    assert_eq!(rows(&bed.vppctl("show lb flows max 1000")).len(), 120 - of("10.0.2.3"));
}

#[test]
fn one_flow_is_looked_up() {
    let mut bed = busy();
    // Flow 7 of the frames.
    let line = "show lb flow 10.9.0.0:1031 90.0.0.1:80 tcp";
    let known = server(&bed.reaching_servers([flow(7)])[0]);
    let text = bed.vppctl(line);
    assert!(text.starts_with("vip[1] 90.0.0.1/32 scheduler:maglev slot:"), "{text}");
    assert!(text.contains("  thread 0: identity ") && text.contains("/65536 entry:"), "{text}");
    // That was its second packet.
    assert!(text.contains(" established idle:") && text.ends_with(&format!(", known: {known}\n")), "{text}");
    // It is in the list.
    let identity = text.split("identity ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    assert!(bed.vppctl("show lb flows max 1000").contains(&identity));
    // One that was never seen; then it goes where it was said to go, whatever the scheduler is.
    for (port, scheduler) in [(5u16, "maglev"), (6, "rr"), (7, "rr"), (8, "lc"), (9, "hash"), (10, "sh"), (11, "wrr")] {
        bed.vppctl(&format!("lb vip 90.0.0.1/32 scheduler {scheduler}"));
        let line = format!("show lb flow 10.9.3.0:{} 90.0.0.1:80 tcp", 1024 + port);
        let text = bed.vppctl(&line);
        let (_, promised) = text.trim_end().split_once("not known: a new flow would get ").expect(&text);
        assert_eq!(bed.vppctl(&line), text, "looking changes nothing");
        let frame = flow(3 << 8 | u32::from(port));
        let source = [10, 9, 0, 3];
        assert_eq!(frame[26..30], source);
        // The frames count sources in the last octet.
        let text = bed.vppctl(&format!("show lb flow 10.9.0.3:{} 90.0.0.1:80 tcp", 1024 + port));
        let (_, own) = text.trim_end().split_once("not known: a new flow would get ").expect(&text);
        assert_eq!(server(&bed.reaching_servers([frame])[0]).to_string(), own, "{scheduler}");
        assert!(promised.starts_with("10.0.2."));
    }
}

#[test]
fn what_is_no_flow_is_said() {
    let mut bed = busy();
    for (line, sentence) in [
        ("show lb flow", "show lb flow: expected a source ADDRESS:PORT, got nothing"),
        ("show lb flow 10.0.0.1:x 90.0.0.1:80 tcp", "show lb flow: expected a source ADDRESS:PORT, got `10.0.0.1:x'"),
        (
            "show lb flow 10.0.0.1:1 90.0.0.1:80",
            "show lb flow: expected a protocol: tcp, udp, icmp or its number, got nothing",
        ),
        (
            "show lb flow 10.0.0.1:1 90.0.0.1:80 foo",
            "show lb flow: expected a protocol: tcp, udp, icmp or its number, got `foo'",
        ),
        ("show lb flow 10.0.0.1:1 92.0.0.1:80 tcp", "show lb flow: 92.0.0.1 is in no VIP's prefix"),
        ("show lb flow 10.0.0.1:1 91.0.0.1:81 tcp", "show lb flow: no VIP of 91.0.0.1 is for this protocol and port"),
        ("show lb flow [::1]:1 90.0.0.1:80 tcp", "show lb flow: 90.0.0.1 and ::1 are not of one family"),
        ("show lb flows vip 99.0.0.1/32", "show lb flows: no VIP 99.0.0.1/32"),
        ("show lb flows max 0", "show lb flows: expected a number of flows from 1 to 10000000, got `0'"),
        ("show lb flows foo", "show lb flows: parse error: 'foo' (expected vip, as or max)"),
        ("show lb flows port 80", "show lb flows: parse error: 'port 80' (expected vip, as or max)"),
    ] {
        assert_eq!(bed.refused(line).trim_end(), sentence);
    }
    bed.vppctl("lb vip 93.0.0.1/32");
    let text = bed.vppctl("show lb flow 10.0.0.1:1 93.0.0.1:80 udp");
    assert!(text.ends_with(", not known: no server for a new flow\n"), "{text}");
}

/// What was set can be read back, whether anything uses it yet or not, and typed again.
#[test]
fn what_lb_conf_sets_is_shown_as_it_is_typed() {
    let mut bed = Bed::new();
    bed.type_all(&["lb conf ip4-src-address 10.0.2.1 buckets 2048"]);
    assert_eq!(bed.vppctl("show lb conf"), "lb conf ip4-src-address 10.0.2.1 buckets 2048 timeout 40\n");
    let line = "lb conf ip4-src-address 10.0.2.1 ip6-src-address 2002::1 buckets 4096 timeout 60 half-open 2 established 1000 \
                closing 3 udp 10 snat4 10.0.2.100-10.0.2.105 snat6 2002::100-2002::100";
    bed.vppctl(line);
    assert_eq!(bed.vppctl("show lb conf"), format!("{line}\n"));
    bed.type_all(&["lb conf buckets 1024 timeout 40 udp 7 snat6 2002::200", line]);
    assert_eq!(bed.vppctl("show lb conf"), format!("{line}\n"));
}
