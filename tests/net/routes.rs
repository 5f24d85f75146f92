//! Routes come and go by the hundred thousand under a stream of packets, which has a way at any time.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::bed::{AtEnd, Net};
use crate::stream::{Lost, Stream};
use crate::testing::eventually;

/// Routes of one command.
const COUNT: u32 = 300_000;
/// Routes of a script with one command for each.
const LINES: u32 = 10_000;
/// Packets per second.
const RATE: u64 = 4_000;
/// The first address that a route is added for.
const FIRST: u32 = u32::from_be_bytes([100, 64, 0, 0]);

/// Resident memory, once the versions of the tables that nobody uses any more are gone.
fn resident(net: &Net) -> u64 {
    thread::sleep(Duration::from_millis(300));
    net.lb.resident_kb()
}

#[test]
fn routes_come_and_go_by_the_hundred_thousand_and_no_packet_is_lost() {
    let Some(net) = Net::new("routes", 2) else { return };
    // The way of all, which is of no use while there are better ones.
    net.vppctl("ip route add 100.64.0.0/10 via 10.0.11.2");
    // The servers answer ARP before the first packet that is counted.
    net.vppctl("ip route add 100.127.0.0/32 via 10.0.12.2");
    let table = |net: &Net| net.vppctl("show ip fib summary");
    let script = |word: &str| {
        let mut text = String::new();
        for number in 0..LINES {
            // Behind those of the other command, and not in a row.
            let to = Ipv4Addr::from(FIRST + COUNT + number * 7);
            writeln!(text, "ip route {word} {to}/32 via 10.0.12.2").unwrap();
        }
        let file = net.dir().join(word);
        fs::write(&file, text).unwrap();
        format!("exec {}", file.display())
    };
    let (many, scripts) = (format!("count {COUNT} 100.64.0.0/32 via 10.0.12.2"), ["add", "del"].map(script));
    let stream = Stream::new(&net, &[1, 2]);
    let warm = stream.run(100, &once_after(Duration::from_millis(100)), |number| {
        Ipv4Addr::from(u32::from_be_bytes([100, 127, 0, 0]) + number as u32 % 2)
    });
    assert!(warm.arrived.iter().all(|&arrived| arrived > 0), "{:?}", warm.arrived);

    let (stop, losses) = (AtomicBool::new(false), Lost::since_now(&net));
    let (before, mut times, mut memory) = (table(&net), Vec::new(), vec![resident(&net)]);
    // All over the addresses that have routes of their own at times.
    let to = |number: u64| Ipv4Addr::from(FIRST + (number as u32).wrapping_mul(0x9e37_79b1) % (COUNT + 7 * LINES));
    let passed = thread::scope(|scope| {
        let end = AtEnd(|| stop.store(true, SeqCst));
        let (stream, stop) = (&stream, &stop);
        let traffic = scope.spawn(move || stream.run(RATE, stop, to));
        let mut timed = |command: &str| {
            let began = Instant::now();
            net.vppctl(command);
            times.push(began.elapsed());
        };
        for _ in 0..3 {
            timed(&format!("ip route add {many}"));
            timed(&scripts[0]);
            thread::sleep(Duration::from_millis(300));
            memory.push(net.lb.resident_kb());
            timed(&format!("ip route del {many}"));
            timed(&scripts[1]);
            memory.push(resident(&net));
        }
        drop(end);
        traffic.join().unwrap()
    });

    let (lost, excused) = losses.count(passed.sent, RATE);
    let text = format!(
        "{} packets, {:?} at the servers, {} missing, of which the kernel lost {lost} (and might {excused}); added and \
         deleted by one command and by a script, by turns, in {times:?}; resident memory before, with and \
         without them {memory:?} KB",
        passed.sent, passed.arrived, passed.missing
    );
    eprintln!("{text}");
    assert!(passed.arrived.iter().all(|&arrived| arrived > passed.sent / 10), "both ways were used: {text}");
    assert!(passed.doubles == 0, "{} packets twice: {text}", passed.doubles);
    assert!(passed.missing <= lost, "{text}\n{}", net.vppctl("show errors"));
    assert!(lost <= excused, "the balancer did not keep up: {text}");
    assert_eq!(table(&net), before);
    let [before, .., second, full, third] = memory[..] else { panic!("{memory:?}") };
    assert!(third < second + 4096, "memory is lost each time: {text}");
    assert!(third < before + (full - before) * 3 / 4, "memory was not given back: {text}");
    eventually(Duration::from_secs(5), "the last buffer", || net.buffers_in_use() == 0);
}

/// Is set after a while.
fn once_after(time: Duration) -> std::sync::Arc<AtomicBool> {
    let flag = std::sync::Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    thread::spawn(move || {
        thread::sleep(time);
        set.store(true, SeqCst);
    });
    flag
}
