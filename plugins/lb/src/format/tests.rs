use cli::Report;

use super::*;
use crate::config::{ConfUpdate, Protocol, ServerSpec, VipKey, VipOptions};
use crate::quic_lb::Config;
use crate::tables::LbTables;

fn key(text: &str, service: Service) -> VipKey {
    VipKey { prefix: text.parse().unwrap(), service }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The session of VPP's transcripts: a VIP with three servers.
fn session() -> (LbConfig, VipKey) {
    let mut config = LbConfig::default();
    let source = ConfUpdate { ip4_src: Some(Ipv4Addr::new(10, 0, 2, 1)), buckets: Some(32), ..Default::default() };
    let _ = config.set_conf(source).unwrap();
    let key = key("90.0.0.1/32", Service::All);
    let _ = config.add_vip(key, VipOptions::default()).unwrap();
    let _ = config.add_servers(&key, &ips(&["10.0.2.2"]), None, false).unwrap();
    let _ = config.add_servers(&key, &ips(&["10.0.2.3", "10.0.2.4"]), None, false).unwrap();
    (config, key)
}

fn verbose(config: &LbConfig) -> String {
    let counts = LbTables::of(config, &|_| 0).slot_counts();
    let counters = |_| VipCounters { new: 3, ..Default::default() };
    let facts = |slot| ServerFacts {
        buckets: counts[slot as usize],
        flows: u64::from(slot % 2),
        dpo: 16 + slot,
        packets: 2 * u64::from(slot),
        bytes: 120 * u64::from(slot),
        total_flows: u64::from(slot),
        room: 1476,
    };
    vip_reports(config, counters, facts).iter().map(VipReport::to_string).collect()
}

#[test]
fn show_lb() {
    let empty = LbReport::new(&LbConfig::default(), Vec::new()).to_string();
    assert!(empty.ends_with(" #vips: 0\n #ass: 0\n"), "{empty}");
    let (config, _) = session();
    let (timeouts, pressed) = (Timeouts::all(40), Pressed::default());
    let cores = vec![CoreReport { core: 0, timeout: 40, timeouts, pressed, used: 3, size: 128 }];
    assert_eq!(
        LbReport::new(&config, cores).to_string(),
        "lb_main ip4-src-address: 10.0.2.1 \n \
         ip6-src-address: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \n \
         #vips: 1\n \
         #ass: 3\n\
         core 0\n  \
         timeout: 40s\n  \
         usage: 3 / 128\n"
    );
}

#[test]
fn show_lb_vips_verbose() {
    let (mut config, key) = session();
    assert_eq!(
        verbose(&config),
        " ip4-gre4 [1] 90.0.0.1/32
  new_size:1024
  scheduler:maglev
  overhead:24 mtu:1476 ping:balance
  counters:
    packet from existing sessions: 0
    first session packet: 3
    untracked packet: 0
    no server configured: 0
  #as:3
    10.0.2.2 weight:100 buckets:342 flows:1 dpo:17 used
      packets:2 bytes:120 flows:1
    10.0.2.3 weight:100 buckets:341 flows:0 dpo:18 used
      packets:4 bytes:240 flows:2
    10.0.2.4 weight:100 buckets:341 flows:1 dpo:19 used
      packets:6 bytes:360 flows:3

"
    );
    let _ = config.add_servers(&key, &ips(&["10.0.2.4"]), Some(50), false).unwrap();
    let _ = config.del_servers(&key, &ips(&["10.0.2.3"]), false).unwrap();
    let text = verbose(&config);
    assert!(text.contains("\n    10.0.2.2 weight:100 buckets:674 flows:1 dpo:17 used\n"), "{text}");
    assert!(text.contains("\n    10.0.2.3 weight:100 buckets:0 flows:0 dpo:18  removed\n"), "{text}");
    assert!(text.contains("\n    10.0.2.4 weight:50 buckets:350 flows:1 dpo:19 used\n"), "{text}");
    let _ = config.set_weight(&key, &ips(&["10.0.2.2"]), 0, true).unwrap();
    let text = verbose(&config);
    assert!(text.contains("\n    10.0.2.2 weight:0 buckets:0 flows:1 dpo:17 used\n"), "{text}");
    assert!(text.contains("\n    10.0.2.4 weight:50 buckets:1024 flows:1 dpo:19 used\n"), "{text}");
    let _ = config.del_vip(&key).unwrap();
    let text = verbose(&config);
    assert!(
        text.starts_with(" ip4-gre4 [1] 90.0.0.1/32 removed\n  new_size:1024\n  scheduler:maglev\n  overhead:24 mtu:1476 ping:balance\n  counters:\n"),
        "{text}"
    );
    assert!(text.contains("\n    10.0.2.4 weight:50 buckets:0 flows:1 dpo:19  removed\n"), "{text}");
}

#[test]
fn show_lb_vips() {
    let (mut config, removed) = session();
    let _ = config.del_vip(&removed).unwrap();
    let port = key("91.0.0.1/32", Service::Port { protocol: Protocol::Tcp, port: 3306 });
    let options = VipOptions { src_ip_sticky: true, ..Default::default() };
    let _ = config.add_vip(port, options).unwrap();
    let _ = config.add_servers(&port, &ips(&["10.0.2.2"]), None, false).unwrap();
    let lines: Vec<String> = config.vips().map(|(_, vip)| VipLine::new(vip).to_string()).collect();
    assert_eq!(
        lines,
        [
            "ip4-gre4 90.0.0.1/32 new_size:1024 #as:3 removed",
            "ip4-gre4 91.0.0.1/32 new_size:1024 #as:1  protocol:6 port:3306 "
        ]
    );
    let text = verbose(&config);
    let second = " ip4-gre4 [2] 91.0.0.1/32 src_ip_sticky\n  new_size:1024\n  protocol:6 port:3306\n  scheduler:maglev\n  overhead:24 mtu:1476 ping:answer\n  counters:\n";
    assert!(text.contains(&format!("\n\n{second}")), "{text}");
}

#[test]
fn names_in_connection_ids_are_shown_and_keys_are_not() {
    let mut quic_lb = Configs::default();
    let config = Config { id: 2, server_id_len: 3, nonce_len: 5, key: Some([0xab; 16]), encodes_len: true };
    quic_lb.set(config).unwrap();
    let key = key("91.0.0.1/32", Service::Port { protocol: Protocol::Udp, port: 443 });
    let mut config = LbConfig::default();
    let _ = config.add_vip(key, VipOptions { quic_lb, ..Default::default() }).unwrap();
    let named = ServerSpec { server_id: Some("c4605e".parse().unwrap()), ..ips(&["10.0.2.2"])[0].into() };
    let _ = config.add_servers(&key, &[named], None, false).unwrap();
    let text = verbose(&config);
    assert!(text.contains("\n  quic-lb:2 server-id-len:3 nonce-len:5 encrypted encodes-len\n"), "{text}");
    assert!(text.contains("\n    10.0.2.2 server-id:c4605e weight:100 "), "{text}");
    let json = vip_reports(&config, |_| VipCounters::default(), |_| ServerFacts::default())[0].json().to_string();
    let configs = r#""quic_lb":[{"encodes_len":true,"encrypted":true,"id":2,"nonce_len":5,"server_id_len":3}]"#;
    assert!(json.contains(r#""server_id":"c4605e""#) && json.contains(configs), "{json}");
    assert!(!json.contains("171") && !json.contains("abab"), "{json}");
}
