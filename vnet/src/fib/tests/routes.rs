use super::*;

#[test]
fn a_new_table_drops() {
    let mut rib = Rib4::new(NODES);
    assert_eq!(rib.publish().lookup(ip("1.2.3.4").to_bits()), crate::ids::ForwardIndex(0));
    assert_eq!(goes(&mut rib, "1.2.3.4"), "drop");
    assert_eq!(goes(&mut rib, "224.0.0.1"), "drop route");
    assert_eq!(goes(&mut rib, "255.255.255.255"), "drop route");
    assert_eq!(rib.summary().lengths, [(0, 1), (4, 2), (32, 2)]);
}

#[test]
fn an_address_makes_its_routes_and_takes_them_along() {
    let mut rib = rib();
    assert_eq!(goes(&mut rib, "10.0.1.1"), "local 1");
    assert_eq!(goes(&mut rib, "10.0.1.77"), "glean 1 10.0.1.1");
    assert_eq!(goes(&mut rib, "10.0.1.0"), "drop route");
    assert_eq!(goes(&mut rib, "10.0.1.255"), "drop route");
    rib.add_interface_address(L0, ip("10.0.1.3"), 24).unwrap();
    rib.del_interface_address(L0, ip("10.0.1.1"), 24).unwrap();
    assert_eq!(goes(&mut rib, "10.0.1.1"), "glean 1 10.0.1.3", "the other address keeps the prefix");
    assert_eq!(goes(&mut rib, "10.0.1.255"), "drop route");
    rib.del_interface_address(L0, ip("10.0.1.3"), 24).unwrap();
    for address in ["10.0.1.0", "10.0.1.1", "10.0.1.3", "10.0.1.77", "10.0.1.255"] {
        assert_eq!(goes(&mut rib, address), "drop");
    }
}

#[test]
fn point_to_point_prefixes_have_no_ends() {
    let mut rib = rib();
    rib.add_interface_address(L0, ip("10.9.0.0"), 31).unwrap();
    assert_eq!(goes(&mut rib, "10.9.0.0"), "local 1");
    assert_eq!(goes(&mut rib, "10.9.0.1"), "glean 1 10.9.0.0");
    rib.add_interface_address(L0, ip("10.9.9.9"), 32).unwrap();
    assert_eq!(goes(&mut rib, "10.9.9.9"), "local 1");
    assert_eq!(goes(&mut rib, "10.9.9.8"), "drop");
}

#[test]
fn addresses_that_clash_are_refused_in_words() {
    let mut rib = rib();
    let say = |r: Result<(), FibError>| r.unwrap_err().to_string();
    assert_eq!(
        say(rib.add_interface_address(L0, ip("10.0.1.1"), 24)),
        "failed to add 10.0.1.1/24 on host-l0 which conflicts with 10.0.1.1/24 for interface host-l0"
    );
    assert_eq!(
        say(rib.add_interface_address(L1, ip("10.0.0.1"), 16)),
        "failed to add 10.0.0.1/16 on host-l1 which conflicts with 10.0.1.1/24 for interface host-l0"
    );
    assert_eq!(say(rib.add_interface_address(L1, ip("10.7.0.1"), 33)), "Invalid prefix len: 33");
    assert!(rib.add_interface_address(L1, ip("224.0.0.1"), 24).is_err());
    assert_eq!(say(rib.del_interface_address(L1, ip("10.7.0.1"), 24)), "address 10.7.0.1/24 not found on host-l1");
    assert_eq!(say(rib.add_interface_address(IfIndex(9), ip("10.7.0.1"), 24)), "unknown interface 9");
}

#[test]
fn a_neighbour_completes_what_waits_for_it() {
    let mut rib = rib();
    let track = rib.track(ip("10.0.2.2"));
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.2")).unwrap();
    rib.add_route(Source::Cli, net("30.0.0.0/8"), on("10.0.2.2", L1)).unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.2"), "glean 2 10.0.2.1");
    assert_eq!(goes(&mut rib, "20.1.1.1"), "arp 10.0.2.2");
    assert_eq!(goes(&mut rib, "30.1.1.1"), "arp 10.0.2.2");
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    for address in ["10.0.2.2", "20.1.1.1", "30.1.1.1"] {
        assert_eq!(goes(&mut rib, address), "via 10.0.2.2 2");
    }
    let snapshot = rib.publish();
    let adjacency = snapshot.adjacency(snapshot.tracked(track).adjacency().unwrap());
    assert_eq!(adjacency.rewrite()[..6], MAC);
    assert_eq!(adjacency.source, ip("10.0.2.1"));
    rib.remove_neighbour(L1, ip("10.0.2.2")).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "arp 10.0.2.2");
    assert_eq!(goes(&mut rib, "10.0.2.2"), "glean 2 10.0.2.1");
    assert!(rib.remove_neighbour(L1, ip("10.0.2.2")).is_err());
}

#[test]
fn a_neighbour_does_not_bypass_a_longer_route() {
    let mut rib = rib();
    rib.set_neighbour(L1, ip("10.0.2.200"), MAC, true);
    assert_eq!(goes(&mut rib, "10.0.2.200"), "via 10.0.2.200 2");
    rib.add_route(Source::Cli, net("10.0.2.128/25"), on("10.0.1.9", L0)).unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.200"), "arp 10.0.1.9");
    rib.del_prefix(Source::Cli, net("10.0.2.128/25")).unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.200"), "via 10.0.2.200 2");
    rib.set_neighbour(L0, ip("10.0.2.201"), MAC, true);
    assert_eq!(goes(&mut rib, "10.0.2.201"), "glean 2 10.0.2.1", "it is not on that link");
}

#[test]
fn loopback_and_tunnel_need_not_ask() {
    let mut rib = rib();
    let track = rib.track(ip("127.0.0.4"));
    let snapshot = rib.publish();
    assert_eq!(say(&snapshot, snapshot.tracked(track)), "via 127.0.0.4 4");
    let adjacency = snapshot.adjacency(snapshot.tracked(track).adjacency().unwrap());
    assert_eq!(adjacency.rewrite(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
    assert_eq!(goes(&mut rib, "127.0.0.9"), "via 0.0.0.0 4");
    rib.add_route(Source::Cli, net("90.0.0.1/32"), Path::new(Target::Attached(GRE))).unwrap();
    assert_eq!(goes(&mut rib, "90.0.0.1"), "via 0.0.0.0 3");
    let forward = look(&mut rib, "90.0.0.1");
    let snapshot = rib.publish();
    let adjacency = snapshot.adjacency(forward.adjacency().unwrap());
    assert_eq!((adjacency.kind, adjacency.rewrite()), (AdjacencyKind::Midchain, &[][..]));
    rib.add_route(Source::Cli, net("91.0.0.0/8"), via("90.0.0.1")).unwrap();
    assert_eq!(goes(&mut rib, "91.0.0.1"), "via 0.0.0.0 3", "behind a tunnel there is one neighbour");
}

#[test]
fn several_paths_share_by_weight_and_leave_one_by_one() {
    let mut rib = rib();
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.2")).unwrap();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), Path { weight: 3, ..via("10.0.2.3") }).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "1*via 10.0.2.2 2, 3*arp 10.0.2.3");
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.3")).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "1*via 10.0.2.2 2, 1*arp 10.0.2.3", "again: another weight");
    rib.set_neighbour(L1, ip("10.0.2.3"), MAC, true);
    assert_eq!(goes(&mut rib, "20.1.1.1"), "1*via 10.0.2.2 2, 1*via 10.0.2.3 2");
    rib.del_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.2")).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "via 10.0.2.3 2");
    let error = rib.del_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.2")).unwrap_err();
    assert_eq!(error.to_string(), "the route to 20.0.0.0/8 has no such path");
    rib.del_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.3")).unwrap();
    let error = rib.del_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.3")).unwrap_err();
    assert_eq!(error.to_string(), "no route to 20.0.0.0/8 from CLI");
    assert_eq!(goes(&mut rib, "20.1.1.1"), "drop");
}

#[test]
fn the_lowest_preference_that_works_is_used() {
    let mut rib = rib();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), on("10.0.1.2", L0)).unwrap();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), Path { preference: 5, ..on("10.0.2.2", L1) }).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "arp 10.0.1.2");
    let l0 = facts(L0, "host-l0", LinkKind::Ethernet, MAC);
    rib.interface_changed(InterfaceFacts { up: false, ..l0.clone() });
    assert_eq!(goes(&mut rib, "20.1.1.1"), "arp 10.0.2.2");
    assert_eq!(goes(&mut rib, "10.0.1.7"), "drop");
    assert_eq!(goes(&mut rib, "10.0.1.1"), "local 1", "our own address stays ours");
    rib.interface_changed(l0);
    assert_eq!(goes(&mut rib, "20.1.1.1"), "arp 10.0.1.2");
}

#[test]
fn sources_wait_for_each_other() {
    let mut rib = rib();
    let p = net("10.0.2.2/32");
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    rib.add_route(Source::Cli, p, on("10.0.1.2", L0)).unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.2"), "arp 10.0.1.2");
    rib.add_plugin_route(p, "lb", NodeId(40), 7).unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.2"), "plugin 40 7");
    assert_eq!(rib.add_plugin_route(p, "nat", NodeId(41), 7).unwrap_err().to_string(), "10.0.2.2/32 belongs to lb");
    rib.del_plugin_route(p, "lb").unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.2"), "arp 10.0.1.2");
    rib.del_prefix(Source::Cli, p).unwrap();
    assert_eq!(goes(&mut rib, "10.0.2.2"), "via 10.0.2.2 2");
}

/// The session of old: `lb vip 127.0.0.2/32`, and 127.0.0.2/8 is the interface's address.
#[test]
fn a_virtual_address_that_is_our_own_is_the_plugins() {
    let mut rib = rib();
    assert_eq!(goes(&mut rib, "127.0.0.2"), "local 4");
    rib.add_plugin_route(net("127.0.0.2/32"), "lb", NodeId(40), 7).unwrap();
    assert_eq!(goes(&mut rib, "127.0.0.2"), "plugin 40 7");
    rib.del_plugin_route(net("127.0.0.2/32"), "lb").unwrap();
    assert_eq!(goes(&mut rib, "127.0.0.2"), "local 4");
}

#[test]
fn recursion_follows_the_covering_route() {
    let mut rib = rib();
    rib.add_route(Source::Cli, net("40.0.0.0/8"), via("30.0.0.1")).unwrap();
    assert_eq!(goes(&mut rib, "40.1.1.1"), "drop");
    rib.add_route(Source::Cli, net("30.0.0.0/8"), via("20.0.0.1")).unwrap();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.2")).unwrap();
    assert_eq!(goes(&mut rib, "40.1.1.1"), "arp 10.0.2.2");
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.1.2")).unwrap();
    assert_eq!(goes(&mut rib, "40.1.1.1"), "1*arp 10.0.1.2, 1*arp 10.0.2.2");
    rib.add_route(Source::Cli, net("20.0.0.1/32"), Path::new(Target::Drop)).unwrap();
    assert_eq!(goes(&mut rib, "40.1.1.1"), "drop route");
    rib.del_prefix(Source::Cli, net("20.0.0.1/32")).unwrap();
    rib.del_prefix(Source::Cli, net("20.0.0.0/8")).unwrap();
    assert_eq!(goes(&mut rib, "40.1.1.1"), "drop");
    rib.add_route(Source::Cli, net("0.0.0.0/0"), via("10.0.2.2")).unwrap();
    assert_eq!(goes(&mut rib, "40.1.1.1"), "arp 10.0.2.2");
}

#[test]
fn sets_behind_sets_are_flat_and_keep_their_shares() {
    let mut rib = rib();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.2")).unwrap();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.3")).unwrap();
    rib.add_route(Source::Cli, net("30.0.0.0/8"), via("20.0.0.1")).unwrap();
    rib.add_route(Source::Cli, net("30.0.0.0/8"), via("10.0.1.2")).unwrap();
    assert_eq!(goes(&mut rib, "30.1.1.1"), "2*arp 10.0.1.2, 1*arp 10.0.2.2, 1*arp 10.0.2.3");
}

#[test]
fn loops_drop_and_come_apart_again() {
    let mut rib = rib();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), via("20.0.0.1")).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "drop", "a route through itself");
    rib.add_route(Source::Cli, net("30.0.0.0/8"), via("40.0.0.1")).unwrap();
    rib.add_route(Source::Cli, net("40.0.0.0/8"), via("30.0.0.1")).unwrap();
    rib.add_route(Source::Cli, net("50.0.0.0/8"), via("40.0.0.2")).unwrap();
    for address in ["30.1.1.1", "40.1.1.1", "50.1.1.1"] {
        assert_eq!(goes(&mut rib, address), "drop");
    }
    let view = rib.route(net("30.0.0.0/8")).unwrap();
    assert!(view.sources[0].paths[0].looped && !view.sources[0].paths[0].resolved);
    rib.add_route(Source::Cli, net("40.0.0.0/8"), via("10.0.2.2")).unwrap();
    for address in ["20.0.0.1", "30.1.1.1", "40.1.1.1", "50.1.1.1"] {
        let want = if address == "20.0.0.1" { "drop" } else { "arp 10.0.2.2" };
        assert_eq!(goes(&mut rib, address), want, "{address}: the other path of 40/8 leads out");
    }
    for (prefix, path) in [("20.0.0.0/8", "20.0.0.1"), ("30.0.0.0/8", "40.0.0.1"), ("40.0.0.0/8", "30.0.0.1")] {
        rib.del_route(Source::Cli, net(prefix), via(path)).unwrap();
    }
    assert_eq!(goes(&mut rib, "50.1.1.1"), "arp 10.0.2.2");
    rib.del_prefix(Source::Cli, net("40.0.0.0/8")).unwrap();
    rib.del_prefix(Source::Cli, net("50.0.0.0/8")).unwrap();
    assert_eq!(rib.followed.len(), 0, "nothing is left behind");
}

#[test]
fn a_deep_row_of_routes_ends() {
    let mut rib = rib();
    for i in 1..=40u8 {
        let next = if i == 1 { "10.0.2.2".into() } else { format!("60.0.{}.1", i - 1) };
        rib.add_route(Source::Cli, net(&format!("60.0.{i}.0/24")), via(&next)).unwrap();
    }
    assert_eq!(goes(&mut rib, "60.0.10.1"), "arp 10.0.2.2");
    assert_eq!(goes(&mut rib, "60.0.40.1"), "drop");
}

#[test]
fn an_interface_that_goes_takes_its_paths_along() {
    let mut rib = rib();
    rib.set_neighbour(L1, ip("10.0.2.2"), MAC, true);
    rib.add_route(Source::Cli, net("20.0.0.0/8"), on("10.0.2.2", L1)).unwrap();
    rib.add_route(Source::Cli, net("20.0.0.0/8"), on("10.0.1.2", L0)).unwrap();
    rib.add_route(Source::Cli, net("30.0.0.0/8"), on("10.0.2.2", L1)).unwrap();
    let track = rib.track(ip("10.0.2.2"));
    let before = rib.publish();
    rib.interface_removed(L1).unwrap();
    assert_eq!(goes(&mut rib, "20.1.1.1"), "arp 10.0.1.2");
    assert_eq!(goes(&mut rib, "30.1.1.1"), "drop");
    assert_eq!(rib.route(net("30.0.0.0/8")).map(|r| r.prefix), None);
    assert_eq!(goes(&mut rib, "10.0.2.1"), "drop");
    let after = rib.publish();
    assert_eq!(say(&after, after.tracked(track)), "drop");
    assert_eq!(say(&before, before.tracked(track)), "via 10.0.2.2 2", "an old snapshot stays as it was");
    let error = rib.add_route(Source::Cli, net("30.0.0.0/8"), on("10.0.2.2", L1)).unwrap_err();
    assert_eq!(error, FibError::UnknownInterface(L1));
    assert!(rib.interface_removed(L1).is_err());
    rib.untrack(track);
    rib.untrack(track);
    rib.untrack(TrackIndex(9999));
}

#[test]
fn numbers_are_used_again() {
    let mut rib = rib();
    let used = |rib: &Rib4| (rib.slots.iter().count(), rib.adjacency_rows().len(), rib.route_count());
    let before = used(&rib);
    let mut most = 0;
    for round in 0..50u8 {
        let t = rib.track(ip("10.0.2.77"));
        rib.add_route(Source::Cli, net("20.0.0.0/8"), via("10.0.2.77")).unwrap();
        rib.add_route(Source::Cli, net("20.0.0.0/8"), Path { weight: 1 + u32::from(round), ..via("10.0.1.77") })
            .unwrap();
        rib.set_neighbour(L1, ip("10.0.2.77"), MAC, true);
        let highest = rib.slots.iter().map(|(i, _)| i.0).max().unwrap();
        most = if round == 0 { highest } else { most };
        assert!(highest <= most, "round {round}: {highest}");
        rib.remove_neighbour(L1, ip("10.0.2.77")).unwrap();
        rib.del_prefix(Source::Cli, net("20.0.0.0/8")).unwrap();
        rib.untrack(t);
        assert_eq!(used(&rib), before);
    }
}
