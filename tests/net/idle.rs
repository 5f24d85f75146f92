//! A worker sleeps soon after the last packet, and not while there are any.

use std::io::Write;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use cli::client::Client;

use crate::daemon::Daemon;
use crate::demos::lab::{Lab, tell};

/// `left` 10.0.1.2, the router, and nobody at 10.0.2.9 behind its `r1`.
struct Way {
    /// Dropped first.
    router: Daemon,
    lab: Lab,
}

/// The kinds of interfaces: name and command.
const KINDS: [(&str, &str); 2] = [("packet", "create host-interface name"), ("xdp", "create interface af_xdp host-if")];

impl Way {
    /// `None`, after a loud word, without the privileges that this takes.
    fn new(purpose: &str, (kind, create): (&str, &str)) -> Option<Way> {
        let lab = Lab::new(&format!("{purpose}-{kind}"), &["left", "router", "right"])?;
        lab.set("router", "ipv6.conf.all.disable_ipv6=1");
        lab.link("left", "a0", "router", "r0");
        lab.link("right", "b0", "router", "r1");
        lab.address("left", "a0", &["10.0.1.2/24"]);
        lab.ip("left", "route add default via 10.0.1.1");
        let router = lab.daemon("router", 1, "");
        let answer = Client::connect(&router.socket()).unwrap().run(&format!("{create} r0")).unwrap();
        if answer.text.contains("not permitted") {
            // Not `eprintln': the test harness would keep that to itself when the test passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED {purpose}-{kind}: {}", answer.text);
            return None;
        }
        assert!(answer.ok, "{}", answer.text);
        let other = router.vppctl(&format!("{create} r1"));
        for (name, address) in [(answer.text.trim(), "10.0.1.1/24"), (other.trim(), "10.0.2.1/24")] {
            tell(&router, &format!("set interface ip address {name} {address}\nset interface state {name} up"));
        }
        tell(&router, &format!("set ip neighbor {} 10.0.2.9 02:00:00:00:02:99", other.trim()));
        Some(Way { router, lab })
    }

    /// Who sends from `left` to nobody.
    fn sender(&self) -> UdpSocket {
        let socket = self.lab.within("left", || UdpSocket::bind("10.0.1.2:0")).unwrap();
        socket.connect("10.0.2.9:9").unwrap();
        socket
    }

    /// A number of the packet thread from `show threads`, counted from behind: requests to wake, sleeps, loops.
    fn counted(&self, from_behind: usize) -> u64 {
        let text = self.router.vppctl("show threads");
        let row = text.lines().nth(1).unwrap();
        row.split_whitespace().rev().nth(from_behind).unwrap().parse().unwrap_or_else(|_| panic!("{text}"))
    }

    /// Calls of the input node and packets from it.
    fn calls(&self, kind: &str) -> (u64, u64) {
        let text = self.router.vppctl("show runtime");
        let node = if kind == "xdp" { "af_xdp-input" } else { "af-packet-input" };
        let line = text.lines().find(|line| line.starts_with(node)).unwrap_or_else(|| panic!("{text}"));
        let words: Vec<_> = line.split_whitespace().collect();
        (words[2].parse().unwrap(), words[3].parse().unwrap())
    }
}

#[test]
fn a_worker_sleeps_within_a_millisecond_after_a_packet() {
    for kind in KINDS {
        let Some(way) = Way::new("idle", kind) else { return };
        let sender = way.sender();
        // The neighbour is learned, memory is touched.
        for _ in 0..20 {
            sender.send(&[0; 100]).unwrap();
            thread::sleep(Duration::from_millis(10));
        }
        let (busy, sleeps) = (way.router.busy(), way.counted(1));
        const PACKETS: u32 = 200;
        for _ in 0..PACKETS {
            sender.send(&[0; 100]).unwrap();
            thread::sleep(Duration::from_millis(3));
        }
        let each = (way.router.busy() - busy) / PACKETS;
        let sleeps = way.counted(1) - sleeps;
        assert!(each < Duration::from_millis(1), "{kind:?}: {each:?} of the processor for each packet");
        assert!(sleeps >= u64::from(PACKETS) / 2, "{kind:?}: {sleeps} sleeps");

        // Nothing at all: the nap once a second, and whoever asks.
        let (busy, began) = (way.router.busy(), Instant::now());
        thread::sleep(Duration::from_secs(2));
        let share = (way.router.busy() - busy).as_secs_f64() / began.elapsed().as_secs_f64();
        assert!(share < 0.01, "{kind:?}: {share} of a processor for nothing");
    }
}

#[test]
fn a_worker_under_load_does_not_sleep_between_vectors() {
    for kind in KINDS {
        let Some(way) = Way::new("load", kind) else { return };
        let sender = way.sender();
        let flood = |time| {
            let end = Instant::now() + time;
            while Instant::now() < end {
                // What finds no room is lost.
                (0..100).for_each(|_| drop(sender.send(&[0; 20])));
            }
        };
        flood(Duration::from_millis(300));
        let (sleeps, (calls, packets)) = (way.counted(1), way.calls(kind.0));
        flood(Duration::from_secs(1));
        let (sleeps, (more, sent)) = (way.counted(1) - sleeps, way.calls(kind.0));
        let (calls, packets) = (more - calls, sent - packets);
        println!("{kind:?}: {packets} packets in {calls} vectors, {sleeps} sleeps");
        assert!(packets > 1000, "{packets}");
        // AF_PACKET hands over blocks, one a millisecond at least: time to sleep in between.
        let most = if kind.0 == "packet" { 2000 } else { packets / 10 };
        assert!(sleeps <= most, "{kind:?}: {packets} packets in {calls} vectors, {sleeps} sleeps");
    }
}
