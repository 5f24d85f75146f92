//! `show lb rates`: how much goes to each server, as it leaves.

use crate::bed::Bed;
use crate::frames::{VIP, ip, udp};

#[test]
fn the_first_question_has_an_answer() {
    let mut bed = Bed::new();
    bed.type_all(&["lb vip 90.0.0.1/32 encap ipip4 scheduler rr", "lb as 90.0.0.1/32 10.0.2.2 10.0.2.3"]);
    std::thread::sleep(std::time::Duration::from_millis(150));
    let frames = (0..200u8).map(|n| udp(ip([10, 0, 1, n], VIP), 1000, 53, 100));
    let left = bed.reaching_servers(frames);
    let bytes: usize = left.iter().map(|frame| frame.len() - 14).sum();
    let text = bed.vppctl("show lb rates");
    let (head, _) = text.split_once(" s] ==").unwrap();
    let seconds: f64 = head.strip_prefix("== Load balancer outbound statistics [last ").unwrap().parse().unwrap();
    let number = |line: &str, unit: &str| -> f64 {
        let digits = line.split(unit).next().unwrap().trim_end().rsplit(['\t', ' ']).next().unwrap();
        digits.replace(',', "").parse().unwrap()
    };
    let lines: Vec<&str> = text.lines().skip(2).filter(|line| !line.is_empty()).collect();
    assert!(lines[0].starts_with("     1\t10.0.2.2       \t"), "{text}");
    assert!(lines[1].starts_with("     2\t10.0.2.3       \t"), "{text}");
    assert!(lines[2].starts_with("  [Totals]\t\t"), "{text}");
    // The seconds are shown with one digit behind the point.
    let near = |got: f64, wanted: f64| got * (seconds + 0.06) >= wanted && got * (seconds - 0.06) <= wanted;
    assert!(lines[..2].iter().all(|line| near(number(line, "pkts/s"), 100.0)), "{text}");
    assert!(near(number(lines[2], "pkts/s"), 200.0), "{text}");
    assert!(near(number(lines[2], "bits/s"), bytes as f64 * 8.0), "{text} for {bytes} bytes");
    assert_eq!(bed.vppctl("lb top vip 90.0.0.1/32").lines().count(), text.lines().count());
}

#[test]
fn words_that_make_no_sense_are_named() {
    let mut bed = Bed::new();
    assert_eq!(bed.vppctl("show lb rates").lines().count(), 3);
    for (line, error) in [
        ("show lb rates vip 90.0.0.1/32", "show lb rates: no VIP 90.0.0.1/32"),
        ("show lb rates interval 0", "show lb rates: expected a number of seconds from 1 to 10, got `0'"),
        ("show lb rates protocol tcp", "show lb rates: parse error: 'protocol tcp' (expected interval or vip)"),
        ("show lb rates vip 90.0.0.1/32 port 5", "show lb rates: port 5 needs a protocol, tcp or udp"),
        ("lb top foo", "lb top: parse error: 'foo' (expected interval or vip)"),
    ] {
        assert_eq!(bed.refused(line), error, "{line}");
    }
}
