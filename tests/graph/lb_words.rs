//! Every word of every command of the load balancer: wrong, missing, twice or with something behind it, the command is
//! refused with an error that shows the word at fault and says what was expected, and nothing has changed.

use crate::bad_input::{bed, state};

/// Commands that would be understood. A value stands in braces, and the words that it belongs to before it.
const LINES: [&str; 14] = [
    "lb conf | ip4-src-address {10.0.2.1} | ip6-src-address {2001::1} | buckets {64} | timeout {40} | half-open {3} | \
     established {300} | closing {4} | udp {30} | snat4 {10.0.2.9-10.0.2.10} | snat6 {2001::7}",
    "lb vip {94.0.0.1/32} | protocol {udp} | port {443} | encap {gue4} | variant {1} | new_len {64} | src_ip_sticky | \
     scheduler {rr} | ping {answer} | mss-clamp {1200} | quic-lb {1} server-id-len {2} nonce-len {4} | dry-run",
    "lb vip {94.0.0.1/32} | encap {l3dsr} | dscp {7} | mss-clamp {auto} | dry-run",
    "lb vip {94.0.0.1/32} | protocol {tcp} | port {80} | encap {nat4} | type {nodeport} | target_port {8080} | dry-run",
    "lb vip {90.0.0.0/24} | encap {gre4} | del | dry-run",
    "lb as {90.0.0.0/24} | {10.0.2.3} | weight {5} | dry-run",
    "lb as {90.0.0.0/24} | {10.0.2.2} | del | flush | dry-run",
    "lb flush vip {91.0.0.1/32} | protocol {tcp} | port {80}",
    "lb set interface nat4 in {pg0} | del",
    "lb host vip {93.0.0.1/32} | via {pg1} | dscp {7}",
    "lb import csv {/nosuch.csv} | encap {gre4} | vip {94.0.0.1/32} | protocol {tcp} | port {80} | dscp {7} | \
     new_len {64} | scheduler {rr} | dry-run",
    "show lb rates | interval {1} | vip {91.0.0.1/32} | protocol {tcp} | port {80}",
    "show lb flows | vip {91.0.0.1/32} | protocol {tcp} | port {80} | as {10.0.2.2} | max {5}",
    "show lb flow {10.0.1.2:4000} | {90.0.0.1:80} | {tcp}",
];

/// What says what was expected, in the words of one error or another.
const EXPECTED: [&str; 8] = [
    "expected ",
    "there are: ",
    "must be ",
    "needs ",
    " is given twice",
    "unknown interface",
    "unknown input",
    "No AS address",
];

/// The words of a line, of which some are values.
fn words(line: &str) -> Vec<(String, bool)> {
    let words = line.split_whitespace().filter(|word| *word != "|");
    words.map(|word| (word.trim_matches(['{', '}']).to_string(), word.starts_with('{'))).collect()
}

/// The line of these words.
fn line(words: &[(String, bool)]) -> String {
    words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_word_at_fault_is_shown() {
    let mut bed = bed();
    let mut wrong = String::new();
    for text in LINES {
        let (all, before) = (words(text), state(&mut bed));
        let path = text.split([' ', '|', '{']).take_while(|word| !word.is_empty()).collect::<Vec<_>>();
        let mut refuse = |typed: String, shown: &[&str]| {
            let said = bed.refused(&typed);
            let says = shown.iter().any(|word| said.contains(word)) && EXPECTED.iter().any(|word| said.contains(word));
            if !says || !said.starts_with(path[0]) {
                wrong += &format!("`{typed}'\n  said {said}\n");
            }
        };
        for (at, (word, is_value)) in all.iter().enumerate().skip(path.len()) {
            let mut other = all.clone();
            for junk in ["zzz", "99999999999999999999", "\"\"", "-1"] {
                if *is_value && word != "/nosuch.csv" {
                    other[at].0 = junk.into();
                    refuse(line(&other), &[junk, "`'", "''"]);
                }
            }
            other[at].0 = "zzz".into();
            if word != "/nosuch.csv" {
                refuse(line(&other), &["zzz"]);
            }
            if *is_value {
                refuse(line(&all[..at]), &["nothing", "No AS", "needs"]);
            }
        }
        refuse(line(&all) + " zzz", &["zzz"]);
        // What a command takes once, twice.
        for part in text.split(" | ").skip(1).filter(|part| !part.starts_with('{')) {
            let twice = line(&all) + " " + &line(&words(part));
            let first = part.split_whitespace().next().unwrap_or_default();
            refuse(twice, &[&format!("`{first}"), &format!("`{}", words(part)[0].0)]);
        }
        assert_eq!(state(&mut bed), before, "`{text}' has changed something");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
