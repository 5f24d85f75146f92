//! Two balancers behind ECMP: one is killed and comes back, knowing no flows, and no connection breaks.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::direct::SERVERS;
use super::lab::{Lab, all_of, interface, tell};
use crate::bed::{AtEnd, number_after};
use crate::daemon::Daemon;
use crate::http::Server;

const VIP: &str = "20.0.0.1";
const CONNECTIONS: usize = 40;
const NAMES: [&str; 11] = ["a1", "a2", "t1", "t2", "t3", "lb1", "lb2", "server1", "server2", "server3", "client"];

/// One pod: racks of balancers, servers and the client, each joined to both aggregating routers.
struct Tree {
    lbs: Vec<Daemon>,
    _agents: Vec<Daemon>,
    _web: Vec<Server>,
    lab: Lab,
}

/// A host, and the address of its router.
fn rack(lab: &Lab, top: &str, host: &str, net: &str) {
    lab.link(top, host, host, "e0");
    lab.address(top, host, &[&format!("{net}.1/24")]);
    lab.set(top, &format!("ipv4.conf.{host}.ignore_routes_with_linkdown=1"));
}

fn routers(lab: &Lab) {
    for router in ["a1", "a2", "t1", "t2", "t3"] {
        lab.set(router, "ipv4.ip_forward=1");
        lab.set(router, "ipv4.fib_multipath_hash_policy=1");
    }
    for (t, top) in [(1, "t1"), (2, "t2"), (3, "t3")] {
        for (a, agg) in [(1, "a1"), (2, "a2")] {
            lab.link(top, agg, agg, top);
            lab.address(top, agg, &[&format!("10.255.{t}{a}.1/30")]);
            lab.address(agg, top, &[&format!("10.255.{t}{a}.2/30")]);
            lab.ip(agg, &format!("route add 10.{t}.0.0/16 via 10.255.{t}{a}.1"));
        }
        lab.ip(top, &format!("route add default nexthop via 10.255.{t}1.2 nexthop via 10.255.{t}2.2"));
    }
    rack(lab, "t1", "lb1", "10.1.1");
    rack(lab, "t1", "lb2", "10.1.2");
    for (server, net) in SERVERS.into_iter().zip(["10.2.1", "10.2.2", "10.2.3"]) {
        rack(lab, "t2", server, net);
    }
    rack(lab, "t3", "client", "10.3.1");
    lab.address("client", "e0", &["10.3.1.2/24"]);
    lab.ip("client", "route add default via 10.3.1.1");
    lab.ip("a1", &format!("route add {VIP}/32 via 10.255.11.1"));
    lab.ip("a2", &format!("route add {VIP}/32 via 10.255.12.1"));
    lab.ip("t1", &format!("route add {VIP}/32 nexthop via 10.1.1.2 nexthop via 10.1.2.2"));
}

/// Its interface comes up last: from then on there are packets.
fn balancer(number: u8) -> String {
    format!(
        "create host-interface name e0
        set interface ip address host-e0 10.1.{number}.2/24
        ip route add 0.0.0.0/0 via 10.1.{number}.1 host-e0
        lb conf ip4-src-address 10.1.{number}.2
        lb vip {VIP}/32 encap ipip4
        lb as {VIP}/32 10.2.1.2 10.2.2.2 10.2.3.2
        set interface state host-e0 up"
    )
}

fn lay_out() -> Option<Tree> {
    let lab = Lab::new("fat-tree", &NAMES)?;
    routers(&lab);
    let (mut agents, mut web) = (Vec::new(), Vec::new());
    for (i, server) in (1..).zip(SERVERS) {
        let agent = lab.daemon(server, 0, &interface("e0", i, &[&format!("10.2.{i}.2/24")]));
        let inner = lab.to_kernel(server, &agent);
        // Answers leave by the daemon, too: the server has one link. Who asks for its MAC does so in the link's own name.
        lab.set(server, "ipv4.conf.all.arp_announce=2");
        tell(&agent, &format!("ip route add 0.0.0.0/0 via 10.2.{i}.1 host-e0\nlb host vip {VIP}/32 via {inner}"));
        lab.address(server, "lo", &[&format!("{VIP}/32")]);
        lab.ip(server, "route add default via 172.16.0.1 dev t0");
        web.push(Server::start(lab.ns(server), format!("{VIP}:80").parse().unwrap(), server));
        agents.push(agent);
    }
    let lbs = vec![lab.daemon("lb1", 1, &balancer(1)), lab.daemon("lb2", 1, &balancer(2))];
    Some(Tree { lbs, _agents: agents, _web: web, lab })
}

/// Packets that a balancer has got for the VIP so far.
fn packets(lb: &Daemon) -> u64 {
    number_after(&lb.vppctl("show interface host-e0"), "rx packets")
}

#[test]
fn connections_survive_the_loss_and_the_return_of_a_balancer() {
    let Some(tree) = lay_out() else { return };
    let address = format!("{VIP}:80");
    all_of(&tree.lab.tally(&address, 60), &SERVERS);
    assert!(tree.lbs.iter().all(|lb| packets(lb) > 50), "one balancer has no share");

    let end = AtomicBool::new(false);
    let kept = thread::scope(|scope| {
        let _end = AtEnd(|| end.store(true, SeqCst));
        let one = || -> std::io::Result<(String, usize)> {
            let mut connection = tree.lab.connect(&address)?;
            let (server, mut answers) = (connection.get("/bytes/3000")?.server, 1);
            while !end.load(SeqCst) {
                let now = connection.get("/bytes/3000")?.server;
                assert_eq!(now, server);
                answers += 1;
                thread::sleep(Duration::from_millis(20));
            }
            Ok((server, answers))
        };
        let connections: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        thread::sleep(Duration::from_secs(1));
        tree.lbs[0].kill();
        tree.lab.ip("lb1", "link set e0 down");
        thread::sleep(Duration::from_secs(2));
        tree.lab.ip("lb1", "link set e0 up");
        tree.lbs[0].restart();
        tell(&tree.lbs[0], &balancer(1));
        thread::sleep(Duration::from_secs(2));
        end.store(true, SeqCst);
        connections.into_iter().map(|connection| connection.join().unwrap()).collect::<Vec<_>>()
    });
    for (number, kept) in kept.iter().enumerate() {
        assert!(kept.as_ref().is_ok_and(|(_, answers)| *answers > 20), "connection {number}: {kept:?}");
    }
    // The balancer that came back has its part of the flows again, which it had never seen to begin.
    assert!(packets(&tree.lbs[0]) > 100);
}
