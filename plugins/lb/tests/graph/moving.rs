//! What changes say about what they move, and draining.

use std::net::Ipv4Addr;

use crate::balancing::three;
use crate::bed::Bed;
use crate::frames::{flow, server};

/// 90.0.0.1/32 with 10.0.2.2 to 10.0.2.4 and 300 flows; so many buckets that none is ever full. The flows' servers.
fn busy() -> (Bed, Vec<Vec<u8>>, Vec<Ipv4Addr>) {
    let mut bed = three();
    bed.vppctl("lb conf buckets 65536");
    let flows: Vec<Vec<u8>> = (0..300).map(flow).collect();
    let servers = bed.reaching_servers(flows.clone()).iter().map(|left| server(left)).collect();
    (bed, flows, servers)
}

/// The numbers of `moved N of M slots, K flows at risk[, F flows forgotten]`.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn on(servers: &[Ipv4Addr], host: u8) -> u64 {
    servers.iter().filter(|server| server.octets()[3] == host).count() as u64
}

#[test]
fn a_trial_says_what_the_change_says_and_changes_nothing() {
    let (mut bed, flows, servers) = busy();
    for line in [
        "lb as 90.0.0.1/32 10.0.2.5",
        "lb as 90.0.0.1/32 10.0.2.3 weight 10",
        "lb as 90.0.0.1/32 10.0.2.4 weight 0",
        "lb as 90.0.0.1/32 10.0.2.2 del",
        "lb as 90.0.0.1/32 10.0.2.2 del flush",
        "lb vip 90.0.0.1/32 new_len 65537",
        "lb vip 90.0.0.1/32 scheduler hash",
        "lb vip 90.0.0.1/32 scheduler rr",
        "lb vip 90.0.0.1/32 scheduler lc",
        "lb vip 90.0.0.1/32 del",
    ] {
        let now: Vec<Ipv4Addr> = bed.reaching_servers(flows.clone()).iter().map(|left| server(left)).collect();
        assert!(now.iter().zip(&servers).all(|(now, then)| now == then || *then == Ipv4Addr::new(10, 0, 2, 2)));
        let shown = ["show lb vips verbose", "show lb", "show ip fib"].map(|show| bed.vppctl(show));
        let tried = bed.vppctl(&format!("{line} dry-run"));
        assert_eq!(["show lb vips verbose", "show lb", "show ip fib"].map(|show| bed.vppctl(show)), shown, "{line}");
        let done = bed.vppctl(line);
        assert!(tried == done || (done.is_empty() && tried == "0 flows at risk\n"), "{line}: {tried} {done}");
    }
    // One that would be refused is refused.
    for (line, sentence) in [
        ("lb vip 90.0.0.2/32 new_len 1000 dry-run", "new_len"),
        ("lb as 90.0.0.2/32 10.0.2.2 dry-run", "no VIP 90.0.0.2/32"),
        ("lb vip 90.0.0.2/24 dry-run", ""),
    ] {
        if sentence.is_empty() {
            assert_eq!(bed.vppctl(line), "0 flows at risk\n");
        } else {
            assert!(bed.refused(line).contains(sentence), "{line}");
        }
    }
    bed.vppctl("lb vip 92.0.0.1/32");
    assert_eq!(
        bed.refused("lb as 92.0.0.1/32 10.0.2.1 dry-run").trim_end(),
        bed.refused("lb as 92.0.0.1/32 10.0.2.1").trim_end()
    );
}

#[test]
fn changes_tell_slots_and_flows() {
    let (mut bed, _, servers) = busy();
    // Three more servers take half of the slots; with them, half of the flows are at risk.
    let text = bed.vppctl("lb as 90.0.0.1/32 10.0.2.5 10.0.2.6 10.0.2.7");
    let [moved, of, at_risk] = numbers(&text)[..] else { panic!("{text}") };
    assert!(of == 1024 && (512..540).contains(&moved), "{text}");
    assert!(at_risk.abs_diff(150) < 10, "{text}");
    assert_eq!(text, format!("moved {moved} of 1024 slots, {at_risk} flows at risk\n"));
    // The first servers of a VIP take nothing from anybody.
    bed.vppctl("lb vip 91.0.0.1/32");
    assert_eq!(bed.vppctl("lb as 91.0.0.1/32 10.0.2.2"), "");
    assert_eq!(numbers(&bed.vppctl("lb as 91.0.0.1/32 10.0.2.3"))[1..], [1024, 0]);
    // A server that is drained: all its flows are at risk; flushed, they are forgotten.
    let text = bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 weight 0");
    let [moved, 1024, at_risk] = numbers(&text)[..] else { panic!("{text}") };
    assert!((170..200).contains(&moved) && (on(&servers, 2)..on(&servers, 2) + 15).contains(&at_risk), "{text}");
    let text = bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 weight 0 flush");
    assert_eq!(text, format!("moved 0 of 1024 slots, 0 flows at risk, {} flows forgotten\n", on(&servers, 2)));
    let text = bed.vppctl("lb flush vip 90.0.0.1/32");
    let rest = 300 - on(&servers, 2);
    assert_eq!(text, format!("lb_flush_vip ok 1\nmoved 0 of 1024 slots, 0 flows at risk, {rest} flows forgotten\n"));
}

#[test]
fn other_schedulers_tell_what_they_know() {
    let (mut bed, _, servers) = busy();
    assert_eq!(bed.vppctl("lb vip 90.0.0.1/32 scheduler rr"), "300 flows at risk\n");
    assert_eq!(bed.vppctl("lb vip 90.0.0.1/32 scheduler lc"), "");
    assert_eq!(bed.vppctl("lb as 90.0.0.1/32 10.0.2.5"), "");
    let text = bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 del");
    assert_eq!(text, format!("{} flows at risk\n", on(&servers, 3)));
    assert_eq!(bed.vppctl("lb vip 90.0.0.1/32 scheduler hash"), "300 flows at risk\n");
    // 10.0.2.2, .4 and .5, of which the first goes: a third of the hashes was its own, and a sixth moves between the others.
    let text = bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 del");
    assert!(numbers(&text)[0].abs_diff(32768) < 4 && text.contains(" of 65536 hashes, "), "{text}");
}

/// A server that leaves keeps its flows, shows how many there are, and goes by itself when they have ended.
#[test]
fn leaving_servers_are_drained() {
    let (mut bed, flows, servers) = busy();
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.2 weight 0");
    assert_eq!(bed.shown("leaving"), on(&servers, 2));
    bed.vppctl("lb as 90.0.0.1/32 10.0.2.3 del");
    let now: Vec<Ipv4Addr> = bed.reaching_servers(flows.clone()).iter().map(|left| server(left)).collect();
    assert_eq!(now, servers);
    let shown = bed.vppctl("show lb vips verbose");
    assert!(shown.contains(&format!(" leaving:{}\n", on(&servers, 3))), "{shown}");
    // Flows of others go on, those of the server that left end.
    let others: Vec<Vec<u8>> = flows
        .iter()
        .zip(&servers)
        .filter(|(_, server)| server.octets()[3] != 3)
        .map(|(flow, _)| flow.clone())
        .collect();
    bed.vppctl("lb conf timeout 2");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while bed.vppctl("show lb vips verbose").contains("    10.0.2.3 ") {
        assert!(std::time::Instant::now() < end, "10.0.2.3 does not go");
        std::thread::sleep(std::time::Duration::from_millis(300));
        for _ in 0..65536 / 256 {
            bed.send(Vec::<Vec<u8>>::new());
        }
        assert_eq!(bed.reaching_servers(others.clone()).len(), others.len());
        bed.collect();
    }
    assert_eq!(bed.shown("leaving"), on(&servers, 2));
}
