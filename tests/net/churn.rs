//! Two hundred VIPs and their servers come and go, again and again, beside one that stays.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::bed::{AtEnd, Net, VIP};
use crate::stream::Stream;
use crate::testing::eventually;

const VIPS: usize = 200;
const ROUNDS: usize = 24;
/// Packets per second to those VIPs.
const RATE: u64 = 2_000;

/// The address of one that comes and goes.
fn vip(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(91, 0, 0, number as u8)
}

/// Every other one is of a port, all have servers that are there, and one that nobody has ever seen.
fn scripts() -> (String, String) {
    let (mut add, mut delete) = (String::new(), String::new());
    for number in 0..VIPS {
        let ports = if number % 2 == 0 { "" } else { " protocol udp port 4791" };
        let key = format!("{}/32{ports}", vip(number));
        let servers = format!("10.0.11.2 10.0.12.2 10.0.1{}.{}", 1 + number % 3, 10 + number);
        writeln!(add, "lb vip {key} encap gre4\nlb as {key} {servers}").unwrap();
        // Some are told to forget their flows, some leave that to their VIP's end.
        match number % 3 {
            0 => writeln!(delete, "lb as {key} {servers} del flush\nlb vip {key} del").unwrap(),
            1 => writeln!(delete, "lb flush vip {key}\nlb as {key} {servers} del\nlb vip {key} del").unwrap(),
            _ => writeln!(delete, "lb vip {key} del").unwrap(),
        }
    }
    (add, delete)
}

#[test]
fn vips_that_come_and_go_leave_the_others_alone() {
    let Some(net) = Net::new("churn", 3) else { return };
    let before = net.vppctl("show lb vip");
    // What was removed is gone as soon as its flows are: in about a second, so that several rounds overlap.
    net.vppctl("lb conf timeout 1");
    let files = [("add", scripts().0), ("del", scripts().1)].map(|(name, text)| {
        let file = net.dir().join(name);
        fs::write(&file, text).unwrap();
        format!("exec {}", file.display())
    });
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let stream = Stream::new(&net, &[1, 2, 3]);
    let mut resident = Vec::new();
    let (mut slowest, began) = (Duration::ZERO, Instant::now());
    let passed = thread::scope(|scope| {
        let end = AtEnd(|| stop.store(true, SeqCst));
        let traffic = scope.spawn(|| stream.run(RATE, &stop, |number| vip(number as usize % VIPS)));
        for long in [true, false] {
            let (net, stop, asked) = (&net, &stop, &asked);
            scope.spawn(move || {
                let mut connection = net.connect().unwrap();
                while !stop.load(SeqCst) {
                    if !long {
                        connection = net.connect().unwrap_or_else(|error| panic!("a connection: {error}"));
                    }
                    let answer = connection.get("/bytes/2000");
                    answer.unwrap_or_else(|error| panic!("request {asked:?} at {:?}: {error}", began.elapsed()));
                    asked.fetch_add(1, SeqCst);
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        for _ in 0..ROUNDS {
            for file in &files {
                let began = Instant::now();
                net.vppctl(file);
                slowest = slowest.max(began.elapsed());
                thread::sleep(Duration::from_millis(200));
            }
            resident.push(net.lb.resident_kb());
        }
        drop(end);
        traffic.join().unwrap()
    });

    let gone = "#vips: 1\n #ass: 3\n";
    eventually(Duration::from_secs(8), "the removed VIPs to be gone", || net.vppctl("show lb").contains(gone));
    let through: u64 = passed.arrived.iter().sum();
    eprintln!(
        "{} requests; {through} of {} packets to VIPs that come and go went through; the slowest of {} scripts of \
         {VIPS} VIPs took {slowest:?}; resident memory after each round {resident:?} KB",
        asked.load(SeqCst),
        passed.sent,
        2 * ROUNDS
    );
    assert!(asked.load(SeqCst) > 100, "{asked:?} requests");
    assert!(through > 100, "{through} of {} packets went through", passed.sent);
    assert_eq!(passed.doubles, 0);
    assert_eq!(net.vppctl("show lb vip"), before);
    assert!(!net.vppctl("show ip fib").contains("91.0.0."));
    // What is kept for the next rounds fills up ever more slowly: in 60 rounds 800 KB in the first five, 500 KB in the
    // next five, 500 KB in the last forty. 430 bytes lost with each VIP are what this finds.
    let grown = resident[ROUNDS - 1].saturating_sub(resident[ROUNDS / 2 - 1]);
    assert!(grown < 1024, "resident memory has grown by {grown} KB in the last half of the rounds: {resident:?}");
    eventually(Duration::from_secs(10), "the last buffer", || net.buffers_in_use() == 0);
    let tally = net.tally(30);
    assert!(tally.len() == 3, "{VIP} afterwards: {tally:?}");
}
