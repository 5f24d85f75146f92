use super::*;
use crate::config::{ConfUpdate, Protocol, VipKey, VipOptions};

fn key(text: &str, service: Service) -> VipKey {
    VipKey { prefix: text.parse().unwrap(), service }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn two_vips() -> (LbConfig, VipKey, VipKey) {
    let (one, other) = (key("90.0.0.1/32", Service::All), key("91.0.0.1/32", Service::All));
    let mut config = LbConfig::default();
    for key in [one, other] {
        let _ = config.add_vip(key, VipOptions::default()).unwrap();
        let _ = config.add_servers(&key, &[ip("10.0.2.2"), ip("10.0.2.3")], None, false).unwrap();
    }
    (config, one, other)
}

fn build(config: &mut LbConfig, before: &LbTables) -> LbTables {
    let tables = before.next(config, &config.touched(), &|address| u32::from(address == ip("10.0.2.3")) + 7);
    config.settle();
    tables
}

#[test]
fn unchanged_slots_are_shared() {
    let (mut config, one, _) = two_vips();
    let before = build(&mut config, &LbTables::default());
    let _ = config.add_servers(&one, &[ip("10.0.2.4")], None, false).unwrap();
    let after = build(&mut config, &before);
    let slots = |tables: &LbTables, vip| tables.vip(vip).unwrap().slots.clone();
    assert!(!Arc::ptr_eq(&slots(&before, 1), &slots(&after, 1)));
    assert!(Arc::ptr_eq(&slots(&before, 2), &slots(&after, 2)));
    // A flush changes handles, not slots.
    let _ = config.flush_vip(&one).unwrap();
    let flushed = build(&mut config, &after);
    assert!(Arc::ptr_eq(&slots(&after, 1), &slots(&flushed, 1)));
    let old = after.choose(after.vip(1).unwrap(), [1u64, 2]).unwrap();
    assert!(after.live().holds(old) && !flushed.live().holds(old) && flushed.server(old).is_none());
    let new = flushed.choose(flushed.vip(1).unwrap(), [1u64, 2]).unwrap();
    assert_eq!((new.slot(), new.generation()), (old.slot(), 1));
}

#[test]
fn servers_carry_what_a_packet_needs() {
    let (mut config, ..) = two_vips();
    let tables = build(&mut config, &LbTables::default());
    let server = tables.server(ServerHandle::first(2)).unwrap();
    assert_eq!((server.track, server.address), (8, ip("10.0.2.3")));
    assert_eq!(server.line().to_string(), "10.0.2.3 weight:100 used");
    assert_eq!(tables.slot_counts(), [0, 512, 512, 512, 512]);
    assert!(tables.vip(0).is_none() && tables.vip(3).is_none() && tables.server(ServerHandle::NONE).is_none());
}

#[test]
fn removed_servers_get_no_new_flows_and_keep_their_old() {
    let (mut config, one, _) = two_vips();
    let before = build(&mut config, &LbTables::default());
    let _ = config.del_servers(&one, &[ip("10.0.2.2")], false).unwrap();
    let tables = build(&mut config, &before);
    assert!(tables.vip(1).unwrap().slots.iter().all(|&slot| slot == 2));
    assert_eq!(tables.server(ServerHandle::first(1)).unwrap().state, State::Removed);
    let _ = config.del_servers(&one, &[ip("10.0.2.3")], true).unwrap();
    let tables = build(&mut config, &tables);
    assert_eq!(tables.choose(tables.vip(1).unwrap(), [1u64, 2]), None);
}

#[test]
fn ports_lead_to_their_vips() {
    let mut config = LbConfig::default();
    for port in [80, 443] {
        let service = Service::Port { protocol: Protocol::Tcp, port };
        let _ = config.add_vip(key("90.0.0.1/32", service), VipOptions::default()).unwrap();
    }
    let tables = build(&mut config, &LbTables::default());
    assert_eq!((tables.port_vip(0, 6, 80), tables.port_vip(0, 6, 443)), (Some(1), Some(2)));
    assert_eq!((tables.port_vip(0, 17, 80), tables.port_vip(1, 6, 80)), (None, None));
    let service = Service::Port { protocol: Protocol::Tcp, port: 80 };
    let _ = config.del_vip(&key("90.0.0.1/32", service)).unwrap();
    assert_eq!(build(&mut config, &tables).port_vip(0, 6, 80), None);
}

#[test]
fn ways_are_others_where_what_leads_to_servers_is() {
    let (mut config, one, _) = two_vips();
    let first = build(&mut config, &LbTables::default());
    let _ = config.set_weight(&one, &[ip("10.0.2.2")], 50, false).unwrap();
    let second = build(&mut config, &first);
    let _ = config.add_servers(&one, &[ip("10.0.2.4")], None, false).unwrap();
    let third = build(&mut config, &second);
    assert_eq!((second.ways(), third.ways()), (first.ways(), first.ways()), "weights, and others, are not of the way");
    let _ = config.flush_vip(&one).unwrap();
    let flushed = build(&mut config, &third);
    assert!(flushed.ways() > third.ways(), "known ways stand for present handles");
    let source = ConfUpdate { ip4_src: Some([10, 0, 2, 9].into()), ..ConfUpdate::default() };
    let _ = config.set_conf(source).unwrap();
    assert!(build(&mut config, &flushed).ways() > flushed.ways());
}
