//! Congestion that a router notes on the outer header reaches the inner packet where the tunnel ends (RFC 6040).

use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::direct::{VIP, VIP6, way_back};
use super::lab::{Lab, interface, tell};
use crate::bed::number_after;
use crate::http::Server;
use crate::packet::PacketSocket;

/// What a router marks: nothing, what is capable of it (RFC 3168), or, as none should, everything.
const NOTHING: u8 = 0;
const CAPABLE: u8 = 1;
const ALL: u8 = 2;

/// A wire between two devices on which packets meet congestion; ends when dropped.
struct Wire {
    marks: Arc<AtomicU8>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Wire {
    fn new(namespace: &str, devices: [&str; 2]) -> Wire {
        let (marks, end) = (Arc::new(AtomicU8::new(NOTHING)), Arc::new(AtomicBool::new(false)));
        let [a, b] = devices.map(|device| Arc::new(PacketSocket::open(namespace, device)));
        let threads = [(a.clone(), b.clone()), (b, a)].map(|(from, to)| {
            let (marks, end) = (marks.clone(), end.clone());
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while !end.load(SeqCst) {
                    let Some(len) = from.receive(&mut buffer).map(<[u8]>::len) else { continue };
                    mark(&mut buffer[..len], marks.load(SeqCst));
                    // What does not fit a queue is lost, as on any wire.
                    let _ = to.send(&buffer[..len]);
                }
            })
        });
        Wire { marks, end, threads: threads.into() }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Sets "congestion experienced" in a frame's IP header.
fn mark(frame: &mut [u8], marks: u8) {
    let (at, shift) = match frame.get(12..14) {
        Some([8, 0]) => (15, 0),
        // Neighbour discovery is not what this is about.
        Some([0x86, 0xdd]) if frame.get(20) != Some(&58) => (15, 4),
        _ => return,
    };
    let Some(byte) = frame.get_mut(at) else { return };
    let capable = matches!(*byte >> shift & 3, 1 | 2);
    if marks == ALL || (marks == CAPABLE && capable) {
        *byte |= 3 << shift;
        if shift == 0
            && let Some(header) = frame.get_mut(14..34)
        {
            header[10..12].fill(0);
            let sum: u32 = header.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// How many packets with this mark a kernel has taken, by the words of its statistics of IPv4 and of IPv6.
fn taken(lab: &Lab, mark: &str) -> u64 {
    lab.within("server1", || {
        let netstat = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
        let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let mut pairs = names.split(' ').zip(values.split(' '));
        let ip4: u64 = pairs.find(|(name, _)| *name == mark).unwrap().1.parse().unwrap();
        let snmp6 = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
        ip4 + number_after(&snmp6, &format!("Ip6{mark}"))
    })
}

#[test]
fn congestion_on_the_way_is_told_to_the_receiver() {
    let Some(lab) = Lab::new("ecn", &["client", "lb", "wire", "server1"]) else { return };
    lab.link("client", "c0", "lb", "l0");
    lab.address("client", "c0", &["10.0.1.2/24", "fd01::2/64"]);
    lab.ip("client", &format!("route add {VIP}/32 via 10.0.1.1"));
    lab.ip("client", &format!("route add {VIP6}/128 via fd01::1"));
    lab.link("lb", "l1", "wire", "w0");
    lab.link("wire", "w1", "server1", "s0");
    way_back(&lab, 1);
    lab.address("server1", "lo", &[&format!("{VIP}/32"), &format!("{VIP6}/128")]);
    for name in ["client", "server1"] {
        lab.set(name, "ipv4.tcp_ecn=1");
    }
    let mut lines = interface("l0", 0, &["10.0.1.1/24", "fd01::1/64"]);
    lines += &interface("l1", 1, &["10.0.11.1/24", "fd11::1/64"]);
    let lb = lab.daemon("lb", 1, &(lines + "lb conf ip4-src-address 10.0.11.1 ip6-src-address fd11::1"));
    let agent = lab.daemon("server1", 0, &interface("s0", 17, &["10.0.11.2/24", "fd11::2/64"]));
    let inner = lab.to_kernel("server1", &agent);
    tell(&agent, &format!("lb host vip {VIP}/32 via {inner}\nlb host vip {VIP6}/128 via {inner}"));
    let vips = [(format!("{VIP}/32"), VIP.to_string()), (format!("{VIP6}/128"), format!("[{VIP6}]"))];
    let web = |(_, vip): &(String, String)| Server::start(lab.ns("server1"), format!("{vip}:80").parse().unwrap(), "s");
    let _web = vips.each_ref().map(web);
    let wire = Wire::new(lab.ns("wire"), ["w0", "w1"]);
    for encap in ["gre4", "gre6", "ipip4", "ipip6", "gue4", "gue6", "gue4 variant 1", "gue6 variant 1"] {
        let server = if encap.contains('6') { "fd11::2" } else { "10.0.11.2" };
        for (prefix, vip) in &vips {
            let case = format!("{vip} by {encap}");
            tell(&lb, &format!("lb vip {prefix} encap {encap}\nlb as {prefix} {server}"));
            let mut connection = lab.connect(&format!("{vip}:80")).unwrap();
            let upload = |marks: u8, connection: &mut crate::http::Connection| {
                wire.marks.store(marks, SeqCst);
                let before = taken(&lab, "InCEPkts");
                connection.upload(200_000).unwrap_or_else(|error| panic!("{case}: {error}"));
                wire.marks.store(NOTHING, SeqCst);
                taken(&lab, "InCEPkts") - before
            };
            let capable = taken(&lab, "InECT0Pkts");
            assert_eq!(upload(NOTHING, &mut connection), 0, "{case}");
            assert!(taken(&lab, "InECT0Pkts") > capable, "{case}: what is capable stays so");
            assert!(upload(CAPABLE, &mut connection) > 0, "{case}");
            tell(&lb, &format!("lb as {prefix} {server} del flush\nlb vip {prefix} del"));
        }
    }
    // A packet that says that nobody listens to marks, and has one on its outside, is lost, as its sender must learn.
    let (prefix, vip) = &vips[0];
    tell(&lb, &format!("lb vip {prefix} encap ipip4\nlb as {prefix} 10.0.11.2"));
    let server = lab.within("server1", || UdpSocket::bind(format!("{vip}:7"))).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let client = lab.within("client", || UdpSocket::bind("10.0.1.2:0")).unwrap();
    let arrives = |marks: u8| {
        wire.marks.store(marks, SeqCst);
        client.send_to(b"hello", format!("{vip}:7")).unwrap();
        server.recv(&mut [0; 16]).is_ok()
    };
    assert!(arrives(CAPABLE), "nothing to mark");
    assert!(!arrives(ALL), "it is marked, and says that it cannot be");
    assert!(arrives(NOTHING));
}
