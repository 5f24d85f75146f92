//! Packets are traced, shown and forgotten, again and again, while traffic runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::bed::{AtEnd, Net, VIP};
use crate::stream::{Lost, Stream};
use crate::testing::eventually;

/// Packets per second of the stream; bulk transfers run beside it.
const RATE: u64 = 4_000;
const TIME: Duration = Duration::from_secs(4);
const SHOWN: usize = 50;

/// Whether this is a line `HH:MM:SS:uuuuuu: node`: the time in microseconds, and the node.
fn record(line: &str) -> Option<(u64, &str)> {
    let (stamp, node) = line.split_at_checked(15)?;
    let mut parts = stamp.split(':').map(|part| (part.len(), part.parse::<u64>()));
    let mut part = |digits| parts.next().filter(|(len, _)| *len == digits)?.1.ok();
    let (hours, minutes, seconds, micros) = (part(2)?, part(2)?, part(2)?, part(6)?);
    Some((((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros, node.strip_prefix(": ")?))
}

/// Checks what `show trace` prints, and gives the number of packets.
fn check(text: &str) -> Result<usize, String> {
    let note = format!("Limiting display to {SHOWN} packets. To display more specify max.");
    let mut lines = text.lines().filter(|line| *line != note).peekable();
    let head = "------------------- Start of thread 0 vpp_main -------------------";
    match lines.next() {
        Some(line) if line == head => (),
        other => return Err(format!("begins with {other:?}")),
    }
    if lines.next_if_eq(&"No packets in trace buffer").is_some() {
        return lines.next().map_or(Ok(0), |line| Err(format!("no packets, and then `{line}'")));
    }
    let mut packets = 0;
    while let Some(line) = lines.next() {
        packets += 1;
        if line != format!("Packet {packets}") || lines.next() != Some("") {
            return Err(format!("`{line}' where packet {packets} should begin"));
        }
        let (mut nodes, mut time) = (Vec::new(), 0);
        while let Some(line) = lines.next_if(|line| !line.starts_with("Packet ")) {
            match record(line) {
                Some((later, node)) if later >= time => {
                    time = later;
                    nodes.push(node);
                }
                Some(_) => return Err(format!("packet {packets}: back in time: {line}")),
                // What belongs to a record, what the load balancer says of a server, or the end.
                None if line.is_empty() || line.starts_with("  ") || line.starts_with("lb as[") => (),
                None => return Err(format!("packet {packets}: `{line}'")),
            }
        }
        let ends = ["host-l0-tx", "host-l1-tx", "host-l2-tx", "drop", "arp-input", "ip4-punt"];
        let whole = nodes.first() == Some(&"af-packet-input") && nodes.get(1) == Some(&"ethernet-input");
        if !whole || !nodes.last().is_some_and(|last| ends.contains(last)) {
            return Err(format!("packet {packets} went through {nodes:?}"));
        }
    }
    Ok(packets)
}

#[test]
fn traces_under_load_are_whole_and_cost_no_packet() {
    let Some(net) = Net::new("tracing", 2) else { return };
    assert!(net.tally(10).len() == 2);
    let stream = Stream::new(&net, &[1, 2]);
    let (stop, losses, bytes) = (AtomicBool::new(false), Lost::since_now(&net), AtomicU64::new(0));
    let (mut rounds, mut shown, mut full, mut slowest) = (0, 0, 0, Duration::ZERO);
    let passed = thread::scope(|scope| {
        let end = AtEnd(|| stop.store(true, SeqCst));
        let (net, stop, bytes) = (&net, &stop, &bytes);
        let traffic = scope.spawn(|| stream.run(RATE, stop, |_| VIP.parse().unwrap()));
        scope.spawn(move || {
            while !stop.load(SeqCst) {
                let answer = net.connect().and_then(|mut connection| connection.upload(1 << 20));
                answer.unwrap_or_else(|error| panic!("an upload, after {bytes:?} bytes: {error}"));
                bytes.fetch_add(1 << 20, SeqCst);
            }
        });
        let began = Instant::now();
        while began.elapsed() < TIME {
            rounds += 1;
            net.vppctl("trace add af-packet-input 1000");
            // Sometimes all of them are there, sometimes the first are under way.
            thread::sleep(Duration::from_millis(rounds % 4 * 40));
            let shows = Instant::now();
            let text = net.vppctl("show trace max 50");
            slowest = slowest.max(shows.elapsed());
            let packets = check(&text).unwrap_or_else(|error| panic!("round {rounds}: {error} in:\n{text}"));
            assert!(packets <= SHOWN, "{packets} packets");
            shown += packets;
            full += u64::from(packets == SHOWN && text.starts_with("Limiting display") && text.ends_with("max.\n"));
            net.vppctl("clear trace");
        }
        drop(end);
        traffic.join().unwrap()
    });

    let (lost, excused) = losses.count(passed.sent, RATE);
    let text = format!(
        "{shown} traces shown in {rounds} rounds, the slowest of which took {slowest:?}; {} packets, {:?} at the \
         servers, {} missing, of which the kernel lost {lost} (and might {excused}); {} MB uploaded meanwhile",
        passed.sent,
        passed.arrived,
        passed.missing,
        bytes.load(SeqCst) >> 20
    );
    eprintln!("{text}");
    assert!(full >= 5 && shown as u64 > 50 * full, "{full} times {SHOWN} packets were shown: {text}");
    assert!(bytes.load(SeqCst) > 0, "{text}");
    assert_eq!(passed.doubles, 0, "{text}");
    assert!(passed.missing <= lost, "{text}\n{}", net.vppctl("show errors"));
    assert!(lost <= excused, "tracing held the balancer up: {text}");
    assert_eq!(net.vppctl("show trace").lines().nth(1), Some("No packets in trace buffer"));
    eventually(Duration::from_secs(5), "the last buffer", || net.buffers_in_use() == 0);
}
