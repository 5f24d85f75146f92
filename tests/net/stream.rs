//! A steady stream of numbered packets through the balancer: which of them arrived, and who lost the others.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use nodes::sys::in_namespace;

use crate::bed::{Net, number_after};
use crate::packet::PacketSocket;

/// By its UDP ports a packet of a stream is known.
const PORT: u16 = 4791;
const LEN: usize = 14 + 20 + 8 + 8;

/// Sends packets and counts those that arrive at servers.
pub struct Stream {
    from: PacketSocket,
    router: [u8; 6],
    to: Vec<PacketSocket>,
}

/// What became of a stream.
pub struct Passed {
    pub sent: u64,
    /// By server.
    pub arrived: Vec<u64>,
    /// Those that arrived twice.
    pub doubles: u64,
    /// Those that did not arrive.
    pub missing: u64,
}

impl Stream {
    /// From the client to these servers, counted from 1.
    pub fn new(net: &Net, servers: &[usize]) -> Stream {
        let to = servers.iter().map(|&server| PacketSocket::open(net.server(server), "s0")).collect();
        Stream { from: PacketSocket::open(net.client(), "c0"), router: router_mac(net), to }
    }

    /// Sends `rate` packets a second, the packet of each number to the address that `to` gives, until `stop` is set;
    /// then waits until no more arrive.
    pub fn run(&self, rate: u64, stop: &AtomicBool, to: impl Fn(u64) -> Ipv4Addr) -> Passed {
        let sent_all = AtomicBool::new(false);
        thread::scope(|scope| {
            let receivers: Vec<_> = self.to.iter().map(|socket| scope.spawn(|| receive(socket, &sent_all))).collect();
            let (began, mut sent) = (Instant::now(), 0);
            while !stop.load(SeqCst) {
                let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
                // A sender that was not let run does not make up for it at once: that would be another kind of load.
                let until = due.min(sent + 100);
                while sent < until {
                    self.from.send(&self.packet(sent, to(sent))).unwrap();
                    sent += 1;
                }
                thread::sleep(Duration::from_millis(1));
            }
            sent_all.store(true, SeqCst);
            let arrived: Vec<_> = receivers.into_iter().map(|receiver| receiver.join().unwrap()).collect();
            passed(sent, &arrived)
        })
    }

    fn packet(&self, number: u64, to: Ipv4Addr) -> [u8; LEN] {
        let mut frame = [0; LEN];
        frame[..6].copy_from_slice(&self.router);
        frame[6..12].copy_from_slice(&self.from.mac);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..26].copy_from_slice(&[0x45, 0, 0, LEN as u8 - 14, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame[26..30].copy_from_slice(&[10, 0, 1, 2]);
        frame[30..34].copy_from_slice(&to.octets());
        let sum = checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum);
        // Without a UDP checksum (RFC 768).
        let ports = [number as u16 | 1 << 15, PORT, LEN as u16 - 34].map(u16::to_be_bytes);
        frame[34..40].copy_from_slice(ports.as_flattened());
        frame[42..].copy_from_slice(&number.to_be_bytes());
        frame
    }
}

/// The numbers that arrive, in a tunnel or not, until none has come for a while after the last was sent.
fn receive(socket: &PacketSocket, sent_all: &AtomicBool) -> Vec<u64> {
    let (mut numbers, mut buffer, mut silence) = (Vec::new(), [0; 1 << 16], 0);
    while silence < 8 {
        match socket.receive(&mut buffer) {
            Some(frame) => numbers.extend(number_of(frame)),
            None => silence = if sent_all.load(SeqCst) { silence + 1 } else { 0 },
        }
    }
    numbers
}

fn number_of(frame: &[u8]) -> Option<u64> {
    let inner = if *frame.get(23)? == 47 { frame.get(38..)? } else { frame.get(14..)? };
    let ours = frame[12..14] == [8, 0] && inner.get(9) == Some(&17) && inner.get(22..24)? == PORT.to_be_bytes();
    ours.then(|| Some(u64::from_be_bytes(inner.get(28..36)?.try_into().ok()?)))?
}

fn passed(sent: u64, arrived: &[Vec<u64>]) -> Passed {
    let mut seen = vec![false; sent as usize];
    let mut doubles = 0;
    for &number in arrived.iter().flatten() {
        doubles += u64::from(std::mem::replace(&mut seen[number as usize], true));
    }
    let missing = seen.iter().filter(|seen| !**seen).count() as u64;
    Passed { sent, arrived: arrived.iter().map(|numbers| numbers.len() as u64).collect(), doubles, missing }
}

/// What the kernel has lost of the client's packets so far: on the link (column 12 of `/proc/net/dev`), and where the
/// balancer's receive ring was full, which happens to a daemon that is not let run for some 60 ms.
pub fn lost_by_the_kernel(net: &Net) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let text = in_namespace(Some(net.client()), read).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("c0:")).unwrap();
    let link: u64 = line.split_whitespace().nth(11).unwrap().parse().unwrap();
    link + number_after(&net.vppctl("show hardware-interfaces host-l0"), "kernel drops:")
}

/// What the kernel loses of the client's packets while something happens, and what excuse it has.
pub struct Lost<'n> {
    net: &'n Net,
    before: u64,
    starved: Duration,
}

impl Lost<'_> {
    /// From now on.
    pub fn since_now(net: &Net) -> Lost<'_> {
        Lost { net, before: lost_by_the_kernel(net), starved: net.lb.starved() }
    }

    /// Packets that it has lost, and how many of a stream that may be: a few, and those that came while others had the
    /// processors.
    pub fn count(&self, sent: u64, rate: u64) -> (u64, u64) {
        let starved = self.net.lb.starved() - self.starved;
        (lost_by_the_kernel(self.net) - self.before, sent / 50 + (starved.as_secs_f64() * rate as f64) as u64)
    }
}

/// The Ethernet address that the client's packets go to.
pub fn router_mac(net: &Net) -> [u8; 6] {
    let text = net.vppctl("show hardware-interfaces host-l0");
    let mac = text.split_once("Ethernet address ").unwrap().1;
    let bytes: Vec<_> = mac[..17].split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// The Internet checksum (RFC 1071) of parts of even length.
pub fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
