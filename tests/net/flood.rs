//! A million SYNs, each of another flow, against a flow table of 32 buckets.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::bed::{AtEnd, Net, Setup, number_after};
use crate::packet::PacketSocket;
use crate::stream::{checksum, lost_by_the_kernel, router_mac};
use crate::testing::eventually;

const SYNS: u64 = 1_000_000;
const BATCH: u64 = 10_000;
/// What may be on its way when the next batch goes out: with that far less than the receive ring holds. It still
/// overflows at times, on a busy machine: the kernel closes its blocks half empty while the daemon does not run.
const AHEAD: u64 = 5_000;
/// The target: a VIP of its own, so that its counters are those of the flood alone; the flow table is everybody's.
const TARGET: &str = "90.0.0.2";

/// A SYN of a flow that differs for every number below 2^40, in no order.
struct Syn([u8; 54]);

impl Syn {
    fn new(from: [u8; 6], to: [u8; 6]) -> Syn {
        let mut frame = [0; 54];
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&from);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..26].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame[30..34].copy_from_slice(&[90, 0, 0, 2]);
        frame[36..38].copy_from_slice(&80u16.to_be_bytes());
        frame[46..50].copy_from_slice(&[0x50, 2, 0xff, 0xff]);
        Syn(frame)
    }

    fn number(&mut self, number: u64) -> &[u8] {
        // An odd factor permutes the numbers.
        let [_, _, _, flow @ ..] = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & 0xff_ffff_ffff).to_be_bytes();
        let frame = &mut self.0;
        frame[26..30].copy_from_slice(&[20, flow[0], flow[1], flow[2]]);
        frame[34..36].copy_from_slice(&flow[3..]);
        frame[24..26].fill(0);
        let header = checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&header);
        frame[50..52].fill(0);
        let tcp = checksum(&[&frame[26..34], &[0, 6, 0, 20], &frame[34..54]]);
        frame[50..52].copy_from_slice(&tcp);
        frame
    }
}

/// What became of the flood so far.
#[derive(Debug)]
struct Counters {
    known: u64,
    new: u64,
    untracked: u64,
    /// By the kernel: where the receive ring was full, or earlier on the link.
    dropped: u64,
}

impl Counters {
    fn sum(&self) -> u64 {
        self.known + self.new + self.untracked + self.dropped
    }
}

fn counters(net: &Net) -> Counters {
    let text = net.vppctl("show lb vip verbose");
    let of_target = text.split_once(TARGET).unwrap().1;
    let number = |label| number_after(of_target, label);
    Counters {
        known: number("packet from existing sessions:"),
        new: number("first session packet:"),
        untracked: number("untracked packet:"),
        dropped: lost_by_the_kernel(net),
    }
}

#[test]
fn a_million_syns_leave_room_for_everybody_else() {
    let Some(net) = Net::with("flood", Setup { servers: 2, buckets: 32, ..Setup::default() }) else { return };
    net.vppctl(&format!("lb vip {TARGET}/32 encap gre4"));
    net.vppctl(&format!("lb as {TARGET}/32 10.0.11.2 10.0.12.2"));
    assert_eq!(net.tally(10).values().sum::<usize>(), 10);
    let before = net.lb.resident_kb();

    let socket = PacketSocket::open(net.client(), "c0");
    let mut syn = Syn::new(socket.mac, router_mac(&net));
    let stop = AtomicBool::new(false);
    let during = thread::scope(|scope| {
        let end = AtEnd(|| stop.store(true, SeqCst));
        let asker = scope.spawn(|| {
            let mut answers = 0;
            while !stop.load(SeqCst) {
                net.request().unwrap_or_else(|error| panic!("during the flood, after {answers} requests: {error}"));
                answers += 1;
                thread::sleep(Duration::from_millis(10));
            }
            answers
        });
        for batch in 1..=SYNS / BATCH {
            for number in (batch - 1) * BATCH..batch * BATCH {
                socket.send(syn.number(number)).unwrap();
            }
            eventually(Duration::from_secs(20), "the balancer to keep up", || {
                counters(&net).sum() + AHEAD >= batch * BATCH
            });
        }
        drop(end);
        asker.join().unwrap()
    });
    assert!(during > 10, "{during} requests during the flood");
    eventually(Duration::from_secs(5), "the last SYN", || counters(&net).sum() >= SYNS);
    eventually(Duration::from_secs(5), "the last buffer", || net.buffers_in_use() == 0);

    let Counters { known, new, untracked, dropped } = counters(&net);
    let text = format!("known {known}, new {new}, untracked {untracked}, dropped by the kernel {dropped}");
    assert_eq!(known, 0, "every SYN was of another flow: {text}");
    // The kernel's drops are those of all frames on the device, of which all but a few are the flood's.
    assert!(new + untracked <= SYNS && new + untracked + dropped >= SYNS, "{text}");
    assert!(dropped < SYNS / 2, "{text}\n{}", net.vppctl("show hardware-interfaces host-l0"));
    assert!(new > 0 && untracked > SYNS / 2 - 1000, "{text}");
    let grown = net.lb.resident_kb().saturating_sub(before);
    eprintln!("{text}; {during} requests meanwhile; resident memory {before} KB, then {grown} KB more");
    assert!(grown < 4096, "resident memory has grown by {grown} KB");
    assert_eq!(net.tally(20).values().sum::<usize>(), 20, "afterwards");
}
