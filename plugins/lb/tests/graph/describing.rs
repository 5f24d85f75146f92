//! Commands that describe what is there as something else, and words that go with others only.

use crate::bed::Bed;

/// A VIP of each kind that a command can mistake for another.
fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.type_all(&[
        "lb vip 90.0.0.1/32 encap ipip4",
        "lb as 90.0.0.1/32 10.0.2.2",
        "lb vip 91.0.0.1/32 protocol tcp port 80 encap nat4 target_port 8080",
        "lb as 91.0.0.1/32 protocol tcp port 80 10.0.2.2",
        "lb vip 91.0.0.1/32 protocol udp port 53 encap nat4 type nodeport target_port 5353",
        "lb vip 92.0.0.1/32 encap l3dsr dscp 7",
        "lb vip 93.0.0.1/32 encap gue4 variant 1",
    ]);
    bed
}

/// Each is refused so, and changes nothing.
#[track_caller]
fn refused(bed: &mut Bed, lines: &[(&str, &str)]) {
    for (line, error) in lines {
        let before = bed.vppctl("show lb vips verbose");
        assert_eq!(bed.refused(line), *error, "{line}");
        assert_eq!(bed.vppctl("show lb vips verbose"), before, "{line}");
    }
}

#[test]
fn a_vip_that_is_to_go_must_be_as_described() {
    let mut bed = bed();
    refused(
        &mut bed,
        &[
            ("lb vip 90.0.0.1/32 encap gre4 del", "lb vip: VIP 90.0.0.1/32 has encap ipip4, not encap gre4"),
            ("lb vip 90.0.0.1/32 encap gre4 del dry-run", "lb vip: VIP 90.0.0.1/32 has encap ipip4, not encap gre4"),
            (
                "lb vip 92.0.0.1/32 encap l3dsr dscp 8 del",
                "lb vip: VIP 92.0.0.1/32 has encap l3dsr dscp 7, not encap l3dsr dscp 8",
            ),
            ("lb vip 93.0.0.1/32 encap gue4 del", "lb vip: VIP 93.0.0.1/32 has encap gue4 variant 1, not encap gue4"),
            (
                "lb vip 90.0.0.1/32 protocol tcp port 80 del",
                "lb vip: no VIP 90.0.0.1/32 protocol tcp port 80 (there is 90.0.0.1/32)",
            ),
            (
                "lb vip 91.0.0.1/32 del",
                "lb vip: no VIP 91.0.0.1/32 (there is 91.0.0.1/32 protocol tcp port 80, 91.0.0.1/32 protocol udp port 53)",
            ),
            (
                "lb vip 91.0.0.1/32 protocol tcp port 81 encap nat4 del",
                "lb vip: no VIP 91.0.0.1/32 protocol tcp port 81 (there is 91.0.0.1/32 protocol tcp port 80, 91.0.0.1/32 \
                 protocol udp port 53)",
            ),
            (
                "lb vip 91.0.0.1/32 protocol tcp port 80 encap nat4 type nodeport del",
                "lb vip: VIP 91.0.0.1/32 protocol tcp port 80 has type clusterip, not type nodeport",
            ),
            (
                "lb vip 91.0.0.1/32 protocol tcp port 80 target_port 8081 del",
                "lb vip: VIP 91.0.0.1/32 protocol tcp port 80 has target_port 8080, not target_port 8081",
            ),
            ("lb vip 90.0.0.1/32 src_ip_sticky del", "lb vip: src_ip_sticky and del are mutually exclusive"),
            ("lb vip 90.0.0.1/32 mss-clamp auto del", "lb vip: mss-clamp and del are mutually exclusive"),
            ("lb vip 90.0.0.1/32 ping answer del", "lb vip: ping and del are mutually exclusive"),
            (
                "lb as 91.0.0.1/32 10.0.2.2 del",
                "lb as: no VIP 91.0.0.1/32 (there is 91.0.0.1/32 protocol tcp port 80, 91.0.0.1/32 protocol udp port 53)",
            ),
            ("lb flush vip 94.0.0.1/32", "lb flush vip: no VIP 94.0.0.1/32"),
        ],
    );
    // As it is, or as far as it is named.
    bed.type_all(&[
        "lb vip 90.0.0.1/32 encap ipip4 del",
        "lb vip 91.0.0.1/32 protocol tcp port 80 encap nat4 type clusterip target_port 8080 del",
        "lb vip 91.0.0.1/32 protocol udp port 53 del",
        "lb vip 92.0.0.1/32 encap l3dsr dscp 7 del",
        "lb vip 93.0.0.1/32 encap gue4 variant 1 del",
    ]);
    assert_eq!(bed.vppctl("show lb vips").trim(), "");
}

#[test]
fn flush_goes_with_what_takes_flows_away() {
    let mut bed = bed();
    let error = "lb as: flush belongs to del or to a weight: lb as <vip-prefix> <address> del flush";
    refused(
        &mut bed,
        &[
            ("lb as 90.0.0.1/32 10.0.2.3 flush", error),
            ("lb as 90.0.0.1/32 10.0.2.2 flush", error),
            ("lb as 90.0.0.1/32 10.0.2.2 flush dry-run", error),
            ("lb as 90.0.0.1/32 10.0.2.2 mac 02:00:00:00:00:01 del", "lb as: mac and del are mutually exclusive"),
        ],
    );
    bed.type_all(&["lb as 90.0.0.1/32 10.0.2.2 weight 0 flush", "lb as 90.0.0.1/32 10.0.2.2 del flush"]);
}

#[test]
fn words_that_stand_alone_are_said_once() {
    let mut bed = bed();
    for (line, words) in [
        ("lb vip 94.0.0.1/32", &["src_ip_sticky", "del", "dry-run"][..]),
        ("lb as 90.0.0.1/32 10.0.2.2", &["del", "flush", "dry-run"]),
    ] {
        for word in words {
            let path = &line[..line.find(" 9").unwrap()];
            refused(&mut bed, &[(&format!("{line} {word} {word}"), &format!("{path}: `{word}' is given twice"))]);
        }
    }
}
