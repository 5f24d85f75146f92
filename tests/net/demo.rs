//! What `build_lb_config` shows, as a test.

use crate::bed::{Net, VIP};

#[test]
fn a_hundred_requests_are_right_and_every_server_has_a_share() {
    let Some(net) = Net::new("demo", 3) else { return };
    // The bed checks that the client's peer is the VIP; who answered is in the answer.
    let tally = net.tally(100);
    assert_eq!(tally.values().sum::<usize>(), 100);
    assert_eq!(tally.keys().collect::<Vec<_>>(), ["server1", "server2", "server3"], "{tally:?}");

    let text = net.vppctl("show lb vip verbose");
    assert!(text.starts_with(&format!(" ip4-gre4 [1] {VIP}/32\n  new_size:1024\n")), "{text}");
    assert_eq!(net.counter("first session packet:"), 100, "{text}");
    assert_eq!(net.counter("untracked packet:"), 0, "{text}");
    assert_eq!(net.counter("no server configured:"), 0, "{text}");
    for (server, answers) in tally {
        let address = format!("10.0.1{}.2", server.trim_start_matches("server"));
        let line = text.lines().skip_while(|line| !line.contains(&address)).nth(1).unwrap();
        assert!(line.ends_with(&format!(" flows:{answers}")), "{server} answered {answers}: {text}");
    }
    // Answers never come by the balancer: it sends nothing to the client but ARP.
    let client = net.vppctl("show interface host-l0");
    assert!(crate::bed::number_after(&client, "tx packets") < 10, "{client}");
}
