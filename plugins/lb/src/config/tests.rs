use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::nat::PoolRange;

fn vip(text: &str) -> VipKey {
    VipKey { prefix: text.parse().unwrap(), service: Service::All }
}

fn port(text: &str, port: u16) -> VipKey {
    VipKey { prefix: text.parse().unwrap(), service: Service::Port { protocol: Protocol::Tcp, port } }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

/// One VIP, 90.0.0.1/32, with three servers.
fn three() -> LbConfig {
    let mut config = LbConfig::default();
    assert_eq!(config.add_vip(vip("90.0.0.1/32"), VipOptions::default()).unwrap().0, 1);
    let servers = ips(&["10.0.2.2", "10.0.2.3", "10.0.2.4"]);
    let change = config.add_servers(&vip("90.0.0.1/32"), &servers, None, false).unwrap();
    assert_eq!(change.steps.len(), 3);
    assert_eq!(change.steps[0], Step::Track { server: 1, address: ip("10.0.2.2") });
    config
}

/// Runs what must be refused: the sentence, and that nothing has changed.
#[track_caller]
fn refused<T>(config: &mut LbConfig, sentence: &str, run: impl FnOnce(&mut LbConfig) -> Result<T, LbError>) {
    let before = format!("{config:?}");
    match run(config) {
        Ok(_) => panic!("was not refused: {sentence}"),
        Err(error) => assert_eq!(error.to_string(), sentence),
    }
    assert_eq!(format!("{config:?}"), before, "something has changed");
}

#[test]
fn defaults_are_vpps() {
    let conf = *LbConfig::default().conf();
    assert_eq!(conf.ip4_src.to_string(), "255.255.255.255");
    assert_eq!(conf.ip6_src.to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!((conf.buckets, conf.timeout, VipOptions::default().new_len), (1024, 40, 1024));
}

#[test]
fn sources_are_nobody_else_s() {
    let mut config = three();
    let pool = |first: [u8; 4], last: [u8; 4]| ConfUpdate {
        snat4: Some(PoolRange { first: first.into(), last: last.into() }),
        ..Default::default()
    };
    let source = |address: [u8; 4]| ConfUpdate { ip4_src: Some(address.into()), ..Default::default() };
    let itself = "source 10.0.2.3 is a server of VIP 90.0.0.1/32: it would get packets from itself";
    let inside = "source 90.0.0.1 lies within VIP 90.0.0.1/32: answers to it would not come back to it";
    for (update, sentence) in [
        (pool([10, 0, 2, 3], [10, 0, 2, 30]), itself),
        (source([10, 0, 2, 3]), itself),
        (source([90, 0, 0, 1]), inside),
        (pool([89, 255, 255, 250], [90, 0, 0, 5]), inside),
        (pool([127, 0, 0, 1], [127, 0, 0, 1]), "source 127.0.0.1: not the address of one host"),
    ] {
        refused(&mut config, sentence, |config| config.set_conf(update));
    }
    assert_eq!(config.set_conf(source([10, 0, 2, 9])).unwrap().steps, []);
    let sentence = "server 10.0.2.9 is one of our own addresses: its packets would come back here";
    refused(&mut config, sentence, |config| config.add_servers(&vip("90.0.0.1/32"), &ips(&["10.0.2.9"]), None, false));
}

#[test]
fn a_server_by_the_vips_own_port_is_one_without_a_port() {
    let mut config = LbConfig::default();
    let key = port("90.0.0.1/32", 80);
    let options = VipOptions { encap: Encap::Nat4, target_port: Some(8080), ..VipOptions::default() };
    assert_eq!(config.add_vip(key, options).unwrap().0, 1);
    let server = |port| ServerSpec { address: ip("10.0.2.2"), port, mac: None, server_id: None };
    let added = config.add_servers(&key, &[server(None), server(Some(8080)), server(Some(8081))], None, false);
    assert_eq!(added.unwrap().steps.len(), 2);
    assert_eq!(config.servers().map(|(_, server)| server.port).collect::<Vec<_>>(), [None, Some(8081)]);
    assert!(config.del_servers(&key, &[server(Some(8080))], true).is_ok());
}

#[test]
fn conf_changes_what_is_named() {
    let mut config = LbConfig::default();
    let update = ConfUpdate { ip4_src: Some(Ipv4Addr::new(10, 0, 2, 1)), buckets: Some(32), ..Default::default() };
    assert_eq!(config.set_conf(update).unwrap().steps, [Step::Buckets(32)]);
    assert_eq!((config.conf().ip4_src, config.conf().timeout), (Ipv4Addr::new(10, 0, 2, 1), 40));
    assert_eq!(config.set_conf(update).unwrap().steps, []);
    let bad = ConfUpdate { buckets: Some(33), timeout: Some(7), ..Default::default() };
    refused(&mut config, "buckets must be a power of two from 1 to 16777216, not 33", |c| c.set_conf(bad));
    for (source, sentence) in [
        (Ipv4Addr::UNSPECIFIED, "source 0.0.0.0: not the address of one host"),
        // What stands where none was set.
        (Ipv4Addr::BROADCAST, "source 255.255.255.255: not the address of one host"),
        (Ipv4Addr::new(224, 0, 0, 5), "source 224.0.0.5: not the address of one host"),
    ] {
        let update = ConfUpdate { ip4_src: Some(source), timeout: Some(7), ..Default::default() };
        refused(&mut config, sentence, |c| c.set_conf(update));
    }
}

#[test]
fn vips_that_cannot_be() {
    let config = &mut three();
    let options = VipOptions::default();
    refused(config, "VIP 90.0.0.1/32 already exists", |c| c.add_vip(vip("90.0.0.1/32"), options));
    refused(config, "VIP 90.0.0.1/32 protocol tcp port 80: there is a VIP for all ports of this prefix", |c| {
        c.add_vip(port("90.0.0.1/32", 80), options)
    });
    refused(config, "new_len must be a power of two or a prime, at most 33554432, not 1000", |c| {
        c.add_vip(vip("91.0.0.1/32"), VipOptions { new_len: 1000, ..options })
    });
    let nat = |encap| VipOptions { encap, target_port: Some(80), ..options };
    for (prefix, encap, sentence) in [
        ("2001::/16", Encap::Nat4, "VIP 2001::/16: encap nat4 is for IPv4 VIPs"),
        ("2001::/16", Encap::Fullnat4, "VIP 2001::/16: encap fullnat4 is for IPv4 VIPs"),
        ("2001::/16", Encap::L3dsr { dscp: 1 }, "VIP 2001::/16: encap l3dsr is for IPv4 VIPs"),
        ("91.0.0.0/16", Encap::Nat6, "VIP 91.0.0.0/16: encap nat6 is for IPv6 VIPs"),
        ("91.0.0.0/16", Encap::Nat4, "VIP 91.0.0.0/16: encap nat4 needs a protocol and a port"),
        ("ff02::1/128", Encap::Gre6, "VIP ff02::1/128: not the address of one host"),
        ("fe80::/64", Encap::Gre6, "VIP fe80::/64: not the address of one host"),
        ("::1/128", Encap::Gre6, "VIP ::1/128: not the address of one host"),
    ] {
        let options = if encap.is_nat() { nat(encap) } else { VipOptions { encap, ..options } };
        refused(config, sentence, |c| c.add_vip(vip(prefix), options));
    }
    refused(config, "target_port is for encap nat4, nat6, fullnat4 and fullnat6 only, not gre4", |c| {
        c.add_vip(port("91.0.0.1/32", 80), nat(Encap::Gre4))
    });
    refused(config, "server 10.0.2.2 lies within VIP 10.0.0.0/8: its packets would come back here", |c| {
        c.add_vip(vip("10.1.2.3/8"), options)
    });
    for prefix in ["224.0.0.1/32", "224.0.0.0/4", "239.1.0.0/16", "255.255.255.255/32", "0.0.0.0/32", "0.1.0.0/16"] {
        refused(config, &format!("VIP {prefix}: not the address of one host"), |c| c.add_vip(vip(prefix), options));
    }
    // Not all of these is multicast, and nothing is wrong with a loopback address on a loopback device.
    for prefix in ["192.0.0.0/2", "240.0.0.0/4", "127.0.0.2/32"] {
        assert!(config.clone().add_vip(vip(prefix), options).is_ok(), "{prefix}");
    }
    refused(config, "no VIP 9.9.9.9/32", |c| c.del_vip(&vip("9.9.9.9/32")));
    refused(config, "no VIP 9.9.9.9/32", |c| c.flush_vip(&vip("9.9.9.9/32")));
    for encap in Encap::ALL {
        let words = EncapWords { dscp: encap.dscp().map(u32::from), variant: None };
        assert_eq!(Encap::new(encap.name(), words), Ok(encap));
    }
    let refused = |word, dscp| Encap::new(word, EncapWords { dscp, variant: None }).unwrap_err().to_string();
    let variant = |word| Encap::new(word, EncapWords { dscp: None, variant: Some(1) });
    assert_eq!(variant("gue6"), Ok(Encap::Gue6 { direct: true }));
    let sentence = "encap ipip4 has no variant 1 (only gue4 and gue6 have variants, 0 and 1)";
    assert_eq!(variant("ipip4").unwrap_err().to_string(), sentence);
    assert_eq!(
        refused("bogus", None),
        "unknown encap `bogus' (there are: gre4, gre6, ipip4, ipip6, gue4, gue6, l3dsr, l2dsr, nat4, nat6, fullnat4, fullnat6)"
    );
    assert_eq!(refused("l3dsr", None), "encap l3dsr needs a dscp from 0 to 63");
    assert_eq!(refused("l3dsr", Some(64)), "encap l3dsr needs a dscp from 0 to 63, got 64");
}

#[test]
fn servers_that_cannot_be() {
    let config = &mut three();
    let key = vip("90.0.0.1/32");
    let _ = config.add_vip(vip("91.0.0.0/24"), VipOptions::default()).unwrap();
    for (servers, sentence) in [
        (["10.0.2.9", "10.0.2.2"], "server 10.0.2.2 is already there for VIP 90.0.0.1/32"),
        (["10.0.2.9", "2001::1"], "server 2001::1: encap gre4 needs an IPv4 address"),
        (["10.0.2.9", "90.0.0.1"], "server 90.0.0.1 lies within VIP 90.0.0.1/32: its packets would come back here"),
        (["10.0.2.9", "91.0.0.7"], "server 91.0.0.7 lies within VIP 91.0.0.0/24: its packets would come back here"),
        (["10.0.2.9", "224.0.0.1"], "server 224.0.0.1: not the address of one host"),
    ] {
        refused(config, sentence, |c| c.add_servers(&key, &ips(&servers), None, false));
    }
    refused(config, "No AS address provided", |c| c.add_servers(&key, &[] as &[IpAddr], None, false));
    refused(config, "weight must be between 0 and 100", |c| c.add_servers(&key, &[ip("1.1.1.1")], Some(101), false));
    refused(config, "weight must be between 0 and 100", |c| c.add_servers(&key, &[ip("1.1.1.1")], Some(356), false));
    refused(config, "no VIP 9.9.9.9/32", |c| c.add_servers(&vip("9.9.9.9/32"), &[ip("1.1.1.1")], None, false));
    let ported = [ServerSpec { port: Some(80), ..ip("10.0.2.9").into() }];
    refused(config, "target_port is for encap nat4, nat6, fullnat4 and fullnat6 only, not gre4", |c| {
        c.add_servers(&key, &ported, None, false)
    });
    let told = [ServerSpec { mac: Some([2; 6]), ..ip("10.0.2.9").into() }];
    refused(config, "mac is for encap l2dsr only, not gre4", |c| c.add_servers(&key, &told, None, false));
    let six = port("2001:db8::/64", 80);
    let options = VipOptions { encap: Encap::Nat6, ..Default::default() };
    let _ = config.add_vip(six, options).unwrap();
    let sentence = "nat64 is not supported: VIP 2001:db8::/64 is IPv6, server 10.0.0.1 is IPv4";
    refused(config, sentence, |c| c.add_servers(&six, &ips(&["10.0.0.1"]), None, false));
    let sentence =
        "VIP 2001:db8::/64 protocol tcp port 80: encap nat6 needs a target_port, the VIP's or each server's own";
    refused(config, sentence, |c| c.add_servers(&six, &ips(&["2002::1"]), None, false));
    // One address serves on several ports, and each is a server.
    let at = |port| ServerSpec { port: Some(port), ..ip("2002::1").into() };
    let _ = config.add_servers(&six, &[at(80), at(81)], None, false).unwrap();
    let sentence = "server 2002::1 target_port 81 is already there for VIP 2001:db8::/64 protocol tcp port 80";
    refused(config, sentence, |c| c.add_servers(&six, &[at(81)], None, false));
    let _ = config.del_servers(&six, &[at(80)], false).unwrap();
    let members = config.members(config.vip(config.find(&six).unwrap()).unwrap());
    assert_eq!(members.iter().map(|member| member.port).collect::<Vec<_>>(), [81]);
    let sentence = "no server 5.5.5.5 for VIP 90.0.0.1/32";
    refused(config, sentence, |c| c.del_servers(&key, &ips(&["10.0.2.2", "5.5.5.5"]), false));
    refused(config, sentence, |c| c.set_weight(&key, &ips(&["10.0.2.2", "5.5.5.5"]), 7, false));
}

#[test]
fn a_server_without_a_slot_is_refused_with_the_new_len_that_would_do() {
    let config = &mut LbConfig::default();
    let key = vip("90.0.0.1/32");
    let _ = config.add_vip(key, VipOptions { new_len: 2, ..Default::default() }).unwrap();
    let servers = ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let sentence = "VIP 90.0.0.1/32: new_len 2 has no slot for every server, new_len 4 would do";
    refused(config, sentence, |c| c.add_servers(&key, &servers, None, false));
    let _ = config.add_servers(&key, &servers, Some(0), false).unwrap();
    let _ = config.set_weight(&key, &servers[..2], 100, false).unwrap();
    refused(config, sentence, |c| c.set_weight(&key, &servers, 1, false));
}

#[test]
fn a_weight_for_a_server_that_is_there_changes_it() {
    let mut config = three();
    let key = vip("90.0.0.1/32");
    let change = config.add_servers(&key, &ips(&["10.0.2.3", "10.0.2.5", "10.0.2.5"]), Some(50), false).unwrap();
    assert_eq!(change.steps, [Step::Track { server: 4, address: ip("10.0.2.5") }]);
    let weights: Vec<u8> = config.servers().map(|(_, server)| server.weight).collect();
    assert_eq!(weights, [100, 50, 100, 50]);
    assert_eq!(config.handles()[2], ServerHandle::first(2));
    let _ = config.add_servers(&key, &[ip("10.0.2.3")], Some(0), true).unwrap();
    assert_eq!(config.handles()[2], ServerHandle::first(2).next());
}

#[test]
fn a_removed_server_stays_until_its_flows_are_gone() {
    let mut config = three();
    let key = vip("90.0.0.1/32");
    assert_eq!(config.del_servers(&key, &[ip("10.0.2.3")], false).unwrap(), Change::default());
    refused(&mut config, "no server 10.0.2.3 for VIP 90.0.0.1/32", |c| c.del_servers(&key, &[ip("10.0.2.3")], false));
    let removed = config.handles()[2];
    assert_eq!(config.members(config.vip(1).unwrap()).len(), 2);
    assert_eq!(config.collect(|handle| u64::from(handle == removed)), Change::default());
    assert_eq!(config.server(2).unwrap().state, State::Removed);
    // Taken back: the same slot, and the flows it still had.
    assert_eq!(config.add_servers(&key, &[ip("10.0.2.3")], None, false).unwrap(), Change::default());
    assert_eq!((config.server(2).unwrap().state, config.handles()[2]), (State::Used, removed));
    let _ = config.del_servers(&key, &[ip("10.0.2.3")], false).unwrap();
    let _ = config.del_servers(&key, &[ip("10.0.2.3")], true).unwrap();
    assert_ne!(config.handles()[2], removed);
    assert_eq!(config.collect(|_| 0).steps, [Step::Untrack { server: 2, address: ip("10.0.2.3") }]);
    assert_eq!(config.vip(1).unwrap().servers, [1, 3]);
    // The slot goes to another server, under a handle that was never used.
    let _ = config.add_servers(&key, &[ip("10.0.2.9")], None, false).unwrap();
    assert_eq!(config.vip(1).unwrap().servers, [1, 3, 2]);
    assert_eq!(config.handles()[2].generation(), 2);
}

#[test]
fn a_removed_vip_stays_until_its_servers_are_gone() {
    let mut config = three();
    let key = vip("90.0.0.1/32");
    let route = Step::DelRoute { prefix: key.prefix, target: RouteTarget::Vip(Encap::Gre4, 1) };
    assert_eq!(config.del_vip(&key).unwrap().steps, [route]);
    refused(&mut config, "no VIP 90.0.0.1/32", |c| c.del_vip(&key));
    assert!(config.servers().all(|(_, server)| server.state == State::Removed));
    // Another of the same key may stand beside it.
    assert_eq!(config.add_vip(key, VipOptions::default()).unwrap().0, 2);
    let busy = config.handles()[3];
    assert_eq!(config.collect(|handle| u64::from(handle == busy)).steps.len(), 2);
    assert_eq!(config.vip(1).unwrap().state, State::Removed);
    let _ = config.collect(|_| 0);
    assert!(config.vip(1).is_none());
    assert_eq!(config.add_vip(vip("92.0.0.0/24"), VipOptions::default()).unwrap().0, 1);
}

#[test]
fn flushing_a_vip_changes_the_handles_of_its_servers() {
    let mut config = three();
    let _ = config.add_vip(vip("91.0.0.1/32"), VipOptions::default()).unwrap();
    let _ = config.add_servers(&vip("91.0.0.1/32"), &[ip("10.0.2.2")], None, false).unwrap();
    assert_eq!(config.flush_vip(&vip("90.0.0.1/32")).unwrap().0, 1);
    let generations: Vec<u32> = config.handles().iter().map(|handle| handle.generation()).collect();
    assert_eq!(generations, [0, 1, 1, 1, 0]);
}

#[test]
fn vips_of_single_ports_share_a_route() {
    let mut config = LbConfig::default();
    let options = VipOptions::default();
    let prefix = "90.0.0.1/32".parse().unwrap();
    let target = RouteTarget::Ports(Encap::Gre4, 0);
    assert_eq!(
        config.add_vip(port("90.0.0.1/32", 80), options).unwrap(),
        (1, Change { steps: vec![Step::AddRoute { prefix, target }] })
    );
    assert_eq!(config.add_vip(port("90.0.0.1/32", 443), options).unwrap(), (2, Change::default()));
    refused(&mut config, "VIP 90.0.0.1/32: there is a VIP for a single port of this prefix", |c| {
        c.add_vip(vip("90.0.0.1/32"), options)
    });
    let there = "(there is 90.0.0.1/32 protocol tcp port 80, 90.0.0.1/32 protocol tcp port 443)";
    refused(&mut config, &format!("no VIP 90.0.0.1/32 {there}"), |c| c.del_vip(&vip("90.0.0.1/32")));
    let more = [81, 82, 83].map(|other| port("90.0.0.1/32", other));
    more.iter().for_each(|key| drop(config.add_vip(*key, options).unwrap()));
    let there = there.replace(')', ", 90.0.0.1/32 protocol tcp port 81 and 2 more)");
    refused(&mut config, &format!("no VIP 90.0.0.1/32 {there}"), |c| c.find(&vip("90.0.0.1/32")));
    more.iter().for_each(|key| drop(config.del_vip(key).unwrap()));
    assert_eq!(config.del_vip(&port("90.0.0.1/32", 80)).unwrap(), Change::default());
    assert_eq!(config.del_vip(&port("90.0.0.1/32", 443)).unwrap().steps, [Step::DelRoute { prefix, target }]);
    let _ = config.add_vip(vip("90.0.0.1/32"), options).unwrap();
}
