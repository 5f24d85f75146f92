//! What is believed, what ages, what is printed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::*;
use crate::fib::{FibNodes, ForwardKind, InterfaceFacts, LinkKind, Rib4};
use crate::ids::{IfIndex, NodeId};

const IF: IfIndex = IfIndex(1);
const MAC: [u8; 6] = [0x92, 2, 0x72, 0xa1, 0xa7, 0xe0];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

struct Net {
    rib: Rib4,
    table: Neighbors<Ipv4Addr>,
    start: Instant,
}

fn net_with(limits: Limits) -> Net {
    let node = NodeId;
    let nodes = FibNodes {
        drop: node(1),
        receive: node(2),
        glean: node(3),
        arp: node(4),
        rewrite: node(5),
        load_balance: node(6),
    };
    let mut rib = Rib4::new(nodes);
    rib.interface_changed(InterfaceFacts {
        index: IF,
        name: "host-l0".into(),
        output_node: node(9),
        mtu: 1500,
        mac: [2, 0xfe, 0, 0, 0, 1],
        link: LinkKind::Ethernet,
        up: true,
    });
    rib.add_interface_address(IF, ip("10.0.1.1"), 16).unwrap();
    Net { rib, table: Neighbors::new(limits), start: Instant::now() }
}

fn net() -> Net {
    net_with(Limits::default())
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

impl Net {
    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn learn(&mut self, seconds: f64, address: &str, mac: [u8; 6], how: How) -> Learned {
        let (now, address) = (self.at(seconds), ip(address));
        self.table.learn(&mut self.rib, now, Learn { interface: IF, address, mac, how })
    }

    fn tick(&mut self, seconds: f64) -> (Vec<String>, bool) {
        let now = self.at(seconds);
        let ticked = self.table.tick(&mut self.rib, now);
        let asked = ticked.actions.iter().map(|Action::SendRequest { target, .. }| target.to_string());
        (asked.collect(), ticked.changed)
    }

    fn kind(&self, address: &str) -> ForwardKind {
        self.rib.lookup(ip(address)).kind
    }

    fn refused(&self) -> Vec<(Refusal, u64)> {
        self.table.refused().filter(|(_, n)| *n > 0).collect()
    }
}

#[test]
fn an_answer_completes_who_was_asked_for() {
    let mut net = net();
    let want = |net: &mut Net, s| net.table.want(&net.rib, net.start + Duration::from_secs_f64(s), IF, ip("10.0.1.2"));
    assert!(want(&mut net, 0.0).is_some());
    assert_eq!(want(&mut net, 0.5), None, "one request a second for one neighbour");
    assert_eq!(net.tick(1.0).0, ["10.0.1.2"], "it is asked again without being wanted again");
    assert_eq!(net.table.mac(IF, ip("10.0.1.2")), None);
    assert_eq!(net.learn(1.1, "10.0.1.2", MAC, How::Reply), Learned::New);
    assert_eq!(net.kind("10.0.1.2"), ForwardKind::Rewrite);
    assert_eq!(want(&mut net, 9.0), None, "it is known");
    assert_eq!(net.learn(9.0, "10.0.1.2", MAC, How::Announcement), Learned::Confirmed);
    assert_eq!(net.refused(), []);
}

#[test]
fn who_does_not_answer_is_forgotten() {
    let mut net = net();
    let now = net.start;
    assert!(net.table.want(&net.rib, now, IF, ip("10.0.1.2")).is_some());
    assert_eq!(net.tick(0.9), (vec![], false));
    assert_eq!(net.tick(1.0).0.len(), 1);
    assert_eq!(net.tick(2.0).0.len(), 1);
    assert_eq!(net.tick(3.0), (vec![], false), "nothing to publish: it never was complete");
    assert!(net.table.is_empty() && net.table.next_tick().is_none());
}

#[test]
fn who_is_silent_for_long_is_asked_and_removed() {
    let mut net = net();
    net.learn(0.0, "10.0.1.2", MAC, How::Request);
    net.learn(100.0, "10.0.1.2", MAC, How::Request);
    assert_eq!(net.table.next_tick(), Some(net.at(400.0)));
    assert_eq!(net.tick(399.0).0.len(), 0);
    assert_eq!(net.tick(400.0).0, ["10.0.1.2"]);
    assert_eq!(net.kind("10.0.1.2"), ForwardKind::Rewrite, "it is used while it is asked");
    assert_eq!(net.learn(400.5, "10.0.1.2", MAC, How::Reply), Learned::Confirmed);
    assert_eq!(net.tick(700.5).0.len(), 1);
    assert_eq!(net.tick(701.5).0.len(), 1);
    assert_eq!(net.tick(702.5).0.len(), 1);
    assert_eq!(net.tick(703.5), (vec![], true));
    assert_eq!(net.kind("10.0.1.2"), ForwardKind::Glean);
}

#[test]
fn what_cannot_be_true_is_counted_and_ignored() {
    let mut net = net();
    let refused = Learned::Refused;
    assert_eq!(net.learn(0.0, "10.9.9.9", MAC, How::Request), refused(Refusal::NotOnLink));
    assert_eq!(net.learn(0.0, "0.0.0.0", MAC, How::Request), refused(Refusal::NotOnLink));
    assert_eq!(net.learn(0.0, "10.0.255.255", MAC, How::Request), refused(Refusal::Reserved));
    assert_eq!(net.learn(0.0, "10.0.1.1", MAC, How::Request), refused(Refusal::OwnAddress));
    assert_eq!(net.learn(0.0, "10.0.1.2", [0xff; 6], How::Request), refused(Refusal::BadMac));
    assert_eq!(net.learn(0.0, "10.0.1.2", [0; 6], How::Reply), refused(Refusal::BadMac));
    assert_eq!(net.learn(0.0, "10.0.1.2", MAC, How::Announcement), refused(Refusal::Unasked));
    assert_eq!(net.refused().iter().map(|(_, n)| n).sum::<u64>(), 7);
    assert!(net.table.is_empty());
    assert_eq!(net.kind("10.0.1.2"), ForwardKind::Glean);
}

#[test]
fn a_static_neighbour_is_not_talked_over() {
    let mut net = net();
    let now = net.start;
    net.table.set(&mut net.rib, now, IF, ip("10.0.1.2"), MAC, true, false).unwrap();
    for how in [How::Request, How::Reply, How::Announcement] {
        assert_eq!(net.learn(1000.0, "10.0.1.2", OTHER, how), Learned::Refused(Refusal::Static));
    }
    assert_eq!(net.refused(), [(Refusal::Static, 3)]);
    assert_eq!(net.table.mac(IF, ip("10.0.1.2")), Some(MAC));
    assert_eq!(net.table.next_tick(), None, "and it does not age");
    assert!(!net.table.flush(&mut net.rib));
    net.table.remove(&mut net.rib, IF, ip("10.0.1.2")).unwrap();
    let error = net.table.remove(&mut net.rib, IF, ip("10.0.1.2")).unwrap_err();
    assert_eq!(error.to_string(), "no neighbour 10.0.1.2 on host-l0");
}

#[test]
fn a_link_address_may_change_but_not_flap() {
    let mut net = net();
    net.learn(0.0, "10.0.1.2", MAC, How::Request);
    assert_eq!(net.learn(0.5, "10.0.1.2", OTHER, How::Reply), Learned::Refused(Refusal::TooSoon));
    assert_eq!(net.learn(1.5, "10.0.1.2", OTHER, How::Reply), Learned::Changed);
    let snapshot = net.rib.publish();
    let adjacency = snapshot.forward(snapshot.lookup(ip("10.0.1.2").to_bits())).adjacency().unwrap();
    assert_eq!(snapshot.adjacency(adjacency).rewrite()[..6], OTHER);
}

#[test]
fn floods_meet_limits() {
    let mut net = net_with(Limits { most: 10, changes_per_second: 4, ..Limits::default() });
    let learned = |net: &mut Net, s: f64, from: u8| {
        (from..from + 10).filter(|i| net.learn(s, &format!("10.0.7.{i}"), MAC, How::Request) == Learned::New).count()
    };
    assert_eq!(learned(&mut net, 0.0, 10), 4);
    assert_eq!(learned(&mut net, 0.5, 30), 2);
    assert_eq!(learned(&mut net, 60.0, 50), 4);
    assert_eq!(learned(&mut net, 120.0, 70), 0);
    assert_eq!(net.table.len(), 10);
    assert_eq!(net.refused(), [(Refusal::RateLimited, 6 + 8), (Refusal::Full, 6 + 10)]);
}

#[test]
fn a_flood_of_unasked_senders_does_not_keep_answers_out() {
    let mut net = net_with(Limits { changes_per_second: 4, ..Limits::default() });
    assert!(net.table.want(&net.rib, net.start, IF, ip("10.0.1.2")).is_some());
    let flood = (0..50).map(|i| net.learn(0.1, &format!("10.0.7.{i}"), MAC, How::Request));
    assert_eq!(flood.filter(|learned| *learned == Learned::New).count(), 4);
    assert_eq!(net.learn(0.1, "10.0.1.2", OTHER, How::Reply), Learned::New);
    assert_eq!(net.refused(), [(Refusal::RateLimited, 46)]);
}

#[test]
fn scanning_leaves_room_for_hosts() {
    let mut net = net_with(Limits { most: 10, ..Limits::default() });
    let now = net.start;
    let asked = (0..50).filter(|i| net.table.want(&net.rib, now, IF, ip(&format!("10.0.8.{i}"))).is_some()).count();
    assert_eq!(asked, 5);
    assert_eq!(net.learn(0.0, "10.0.1.2", MAC, How::Request), Learned::New);
}

#[test]
fn a_next_hop_off_the_link_may_answer() {
    let mut net = net();
    let path = crate::fib::Path::via(ip("172.16.0.1"), Some(IF));
    net.rib.add_route(crate::fib::Source::Cli, "20.0.0.0/8".parse().unwrap(), path).unwrap();
    assert!(net.table.want(&net.rib, net.start, IF, ip("172.16.0.1")).is_some());
    assert_eq!(net.learn(0.1, "172.16.0.1", MAC, How::Reply), Learned::New);
    assert_eq!(net.kind("20.1.1.1"), ForwardKind::Rewrite);
    assert_eq!(net.kind("172.16.0.1"), ForwardKind::Drop, "but it has no route of its own");
}

#[test]
fn an_interface_that_goes_down_forgets_who_was_learned() {
    let mut net = net();
    let now = net.start;
    net.learn(0.0, "10.0.1.2", MAC, How::Request);
    net.table.set(&mut net.rib, now, IF, ip("10.0.1.3"), OTHER, true, true).unwrap();
    assert_eq!(net.kind("10.0.1.3"), ForwardKind::Glean, "no-fib: no route of its own");
    assert!(net.table.interface_changed(&mut net.rib, IF, true));
    assert_eq!(net.table.len(), 1);
    assert!(net.table.interface_removed(&mut net.rib, IF));
    net.rib.interface_removed(IF).unwrap();
    assert!(net.table.is_empty());
    let error = net.table.set(&mut net.rib, now, IF, ip("10.0.1.3"), OTHER, true, true).unwrap_err();
    assert_eq!(error, NeighborError::UnknownInterface(IF));
}

#[test]
fn an_address_that_goes_takes_its_neighbours_along() {
    let mut net = net();
    net.learn(0.0, "10.0.1.2", MAC, How::Request);
    net.rib.del_interface_address(IF, ip("10.0.1.1"), 16).unwrap();
    assert_eq!(net.kind("10.0.1.2"), ForwardKind::Drop);
    assert!(net.table.interface_changed(&mut net.rib, IF, false));
    assert!(net.table.is_empty());
}

#[test]
fn the_listing() {
    let mut net = net();
    let now = net.start;
    net.learn(0.0, "10.0.1.2", MAC, How::Request);
    net.table.set(&mut net.rib, net.start + Duration::from_secs(3), IF, ip("10.0.2.9"), OTHER, true, true).unwrap();
    net.table.want(&net.rib, now, IF, ip("10.0.3.9"));
    let text = net.table.rows(&net.rib, net.at(3.0082), None).to_string();
    assert_eq!(
        text,
        "     Age                       IP                    Flags      Ethernet              Interface       \n      \
               3.0082                10.0.1.2                   D    92:02:72:a1:a7:e0 host-l0\n       \
                .0082                10.0.2.9                  SN    02:00:00:00:00:09 host-l0\n      \
               3.0082                10.0.3.9                  DP    00:00:00:00:00:00 host-l0\n"
    );
    assert_eq!(net.table.rows(&net.rib, now, Some(IfIndex(7))).0, []);
}

#[test]
fn an_operators_neighbour_is_a_host_on_the_link_or_a_next_hop() {
    let mut net = net();
    let set = |net: &mut Net, address, mac| net.table.set(&mut net.rib, net.start, IF, ip(address), mac, true, false);
    let words = |result: Result<(), NeighborError>| result.unwrap_err().to_string();
    let off = "172.16.0.1 is in no connected prefix of host-l0, and no route has it as next hop there";
    assert_eq!(words(set(&mut net, "172.16.0.1", MAC)), off);
    assert_eq!(words(set(&mut net, "10.0.1.1", MAC)), "10.0.1.1 is one of our own addresses");
    let end = "is the network's or the broadcast address on host-l0";
    assert_eq!(words(set(&mut net, "10.0.0.0", MAC)), format!("10.0.0.0 {end}"));
    assert_eq!(words(set(&mut net, "10.0.255.255", MAC)), format!("10.0.255.255 {end}"));
    assert_eq!(words(set(&mut net, "10.0.1.2", [0; 6])), "`00:00:00:00:00:00' is not the MAC of one station");
    assert!(net.table.is_empty());
    let path = crate::fib::Path::via(ip("172.16.0.1"), Some(IF));
    net.rib.add_route(crate::fib::Source::Cli, "20.0.0.0/8".parse().unwrap(), path).unwrap();
    set(&mut net, "172.16.0.1", MAC).unwrap();
    assert_eq!(net.kind("20.1.1.1"), ForwardKind::Rewrite);
}
