//! GUE without a header of its own ("variant 1"), from a balancer to host agents.

use super::direct::{Direct, VIP, VIP6};
use super::lab::{all_of, tell};

#[test]
fn variant_1_of_gue_carries_both_families_over_both() {
    let Some(net) = Direct::with("gue1", 2, "") else { return };
    for (encap, servers, overhead) in
        [("gue4 variant 1", "10.0.11.2 10.0.12.2", 28), ("gue6 variant 1", "fd11::2 fd12::2", 48)]
    {
        for (prefix, address) in [(format!("{VIP}/32"), VIP.to_string()), (format!("{VIP6}/128"), format!("[{VIP6}]"))]
        {
            tell(&net.lb, &format!("lb vip {prefix} encap {encap} new_len 4096\nlb as {prefix} {servers}"));
            let shown = net.lb.vppctl("show lb vips verbose");
            assert!(shown.contains(&format!("overhead:{overhead} ")), "{shown}");
            all_of(&net.lab.tally(&format!("{address}:80"), 40), &["server1", "server2"]);
            all_of(&net.lab.ask(&format!("{address}:7"), 40), &["server1", "server2"]);
            // Long datagrams come in fragments, and large segments are cut before the tunnel.
            all_of(&net.lab.ask_at_length(&format!("{address}:7"), 20, 4000), &["server1", "server2"]);
            net.lab.connect(&format!("{address}:80")).unwrap().upload(3_000_000).unwrap();
            tell(&net.lb, &format!("lb as {prefix} {servers} del flush\nlb vip {prefix} encap {encap} del"));
        }
    }
    for agent in &net.agents {
        let errors = agent.vppctl("show errors");
        assert!(errors.contains("GUE packets decapsulated"), "{errors}");
    }
}
