//! AF_XDP interfaces between real kernels.

use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use cli::client::Client;

use crate::bed::{Net, Setup, number_after};
use crate::daemon::Daemon;
use crate::demos::lab::{Echo, Lab, tell};
use crate::testing::eventually;

/// A kernel, a router, and another kernel: `left` 10.0.1.2, `right` 10.0.2.2. The router's devices are `r0` and `r1`.
struct Way {
    /// Dropped first.
    router: Daemon,
    lab: Lab,
}

/// What an interface is made by; its name does not depend on what else there is.
fn create(device: &str, words: &str) -> String {
    format!("create interface af_xdp host-if {device} name x-{device} {words}\n")
}

fn set_up(device: &str, address: &str) -> String {
    format!("set interface ip address x-{device} {address}\nset interface state x-{device} up\n")
}

impl Way {
    /// `None`, after a loud word, without the privileges that this takes.
    fn new(purpose: &str, workers: usize, words: &str) -> Option<Way> {
        let lab = lay_out(purpose)?;
        let router = lab.daemon("router", workers, "");
        let way = Way { router, lab };
        if !way.is_permitted(purpose) {
            return None;
        }
        way.build(words);
        Some(way)
    }

    /// Programs take rights that root in a user namespace does not have; says so loudly where they are missing.
    fn is_permitted(&self, purpose: &str) -> bool {
        let (ok, text) = self.try_line(&create("r0", ""));
        if ok {
            self.router.vppctl("delete interface af_xdp x-r0");
        } else if text.contains("not permitted") {
            // Not `eprintln': the test harness would keep that to itself when the test passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED {purpose}: {text}");
            return false;
        }
        true
    }

    fn build(&self, words: &str) {
        tell(&self.router, &(create("r0", words) + &set_up("r0", "10.0.1.1/24")));
        tell(&self.router, &(create("r1", words) + &set_up("r1", "10.0.2.1/24")));
    }

    /// What the command says, whether it succeeds or not.
    fn try_line(&self, line: &str) -> (bool, String) {
        let answer = Client::connect(&self.router.socket()).unwrap().run(line).unwrap();
        (answer.ok, answer.text)
    }

    /// Sends bytes over TCP; all must come, and an answer must come back.
    fn upload(&self, from: &str, to: &str, address: &str, bytes: usize) {
        let limit = Duration::from_secs(20);
        let listener = self.lab.within(to, || TcpListener::bind(address)).unwrap();
        let reader = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(limit)).unwrap();
            let (mut hasher, mut total, mut piece) = (DefaultHasher::new(), 0, vec![0; 1 << 16]);
            loop {
                let len = stream.read(&mut piece).unwrap();
                if len == 0 {
                    break;
                }
                hasher.write(&piece[..len]);
                total += len;
            }
            stream.write_all(&hasher.finish().to_ne_bytes()).unwrap();
            total
        });
        let mut stream =
            self.lab.within(from, || TcpStream::connect_timeout(&address.parse().unwrap(), limit)).unwrap();
        stream.set_write_timeout(Some(limit)).unwrap();
        stream.set_read_timeout(Some(limit)).unwrap();
        // A sum that is the same wherever the stream is cut: byte for byte.
        let mut state = 1_u64;
        let data: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .take(bytes)
        .collect();
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        let mut hasher = DefaultHasher::new();
        hasher.write(&data);
        assert_eq!((reader.join().unwrap(), u64::from_ne_bytes(answer)), (bytes, hasher.finish()));
    }

    /// Buffers that are not free, of all workers.
    fn buffers_in_use(&self) -> u64 {
        let text = self.router.vppctl("show buffers");
        let pools = text.lines().filter(|line| line.starts_with("worker-") && line.split_whitespace().count() == 9);
        pools.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Whether the kernel runs a program for one of the router's devices.
    fn has_program(&self) -> bool {
        self.lab.within("router", || {
            let output = std::process::Command::new("ip").args(["link", "show"]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains("prog/xdp")
        })
    }
}

fn lay_out(purpose: &str) -> Option<Lab> {
    let lab = Lab::new(purpose, &["left", "router", "right"])?;
    lab.set("router", "ipv6.conf.all.disable_ipv6=1");
    lab.link("left", "a0", "router", "r0");
    lab.link("right", "b0", "router", "r1");
    lab.address("left", "a0", &["10.0.1.2/24"]);
    lab.address("right", "b0", &["10.0.2.2/24"]);
    lab.ip("left", "route add default via 10.0.1.1");
    lab.ip("right", "route add default via 10.0.2.1");
    Some(lab)
}

/// Buffers that wait for frames in one queue of the default size.
const QUEUE: u64 = 1024;

#[test]
fn packets_are_routed_between_two_interfaces_in_the_kernels_own_buffers() {
    let Some(way) = Way::new("xdp-route", 0, "") else { return };
    tell(&way.router, "trace add af_xdp-input 1");
    assert!(way.lab.exec("left", "ping -q -c 3 -i 0.2 -W 5 10.0.2.2"));
    let trace = way.router.vppctl("show trace");
    let words = [": af_xdp-input\n", "af_xdp: x-r", " next-node ethernet-input\n", "rx-queue 0 length "];
    assert!(words.iter().all(|words| trace.contains(words)), "{trace}");
    // The senders leave checksums to their devices, and nothing says so.
    way.upload("left", "right", "10.0.2.2:5000", 20_000_000);
    way.upload("right", "left", "10.0.1.2:5001", 20_000_000);
    assert!(number_after_line(&way.router.vppctl("show errors"), "checksum to be completed") > 100);
    let _echo = Echo::start(way.lab.ns("right"), "10.0.2.2:7", "right");
    let socket = way.lab.within("left", || std::net::UdpSocket::bind("0.0.0.0:0")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(b"hello", "10.0.2.2:7").unwrap();
    let mut answer = [0; 100];
    let len = socket.recv(&mut answer).unwrap();
    assert_eq!(&answer[..len], b"right: hello");

    // The second interface shares what the first one registered.
    let hardware = way.router.vppctl("show hardware-interfaces");
    assert!(
        hardware.contains("flags: native copy\n") && hardware.contains("flags: native copy shared-umem\n"),
        "{hardware}"
    );
    eventually(Duration::from_secs(5), "all buffers but those that wait for frames", || {
        way.buffers_in_use() == 2 * QUEUE
    });
    for wrong in ["descriptor", "frame longer", "no free tx"] {
        let errors = way.router.vppctl("show errors");
        assert!(!errors.contains(wrong), "{errors}");
    }
}

/// The count at the start of the line that ends with these words.
fn number_after_line(text: &str, words: &str) -> u64 {
    let line = text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no `{words}' in:\n{text}"));
    number_after(line, "")
}

#[test]
fn a_worker_without_a_queue_of_its_own_sends_copies() {
    // One worker receives on `r0`, the other on `r1`: each sends by a queue of the other.
    let Some(way) = Way::new("xdp-two", 2, "rx-queue-size 512 tx-queue-size 512") else { return };
    way.upload("left", "right", "10.0.2.2:5000", 10_000_000);
    way.upload("right", "left", "10.0.1.2:5001", 10_000_000);
    let errors = way.router.vppctl("show errors");
    assert!(!errors.contains("descriptor"), "{errors}");
    tell(&way.router, "delete interface af_xdp x-r0\ndelete interface af_xdp x-r1");
    eventually(Duration::from_secs(5), "all buffers", || way.buffers_in_use() == 0);
}

#[test]
fn every_device_takes_the_program_behind_its_driver_and_busy_polling() {
    let Some(way) = Way::new("xdp-skb", 0, "mode skb no-zero-copy busy-poll") else { return };
    // Behind the driver, large segments come as one frame that fits no buffer: their senders have to cut them.
    for (name, device) in [("left", "a0"), ("right", "b0")] {
        way.lab.ip(name, &format!("link set dev {device} gso_max_segs 1"));
    }
    assert!(way.lab.exec("left", "ping -q -c 3 -i 0.2 -W 5 10.0.2.2"));
    way.upload("left", "right", "10.0.2.2:5000", 1_000_000);
    assert!(way.router.vppctl("show hardware-interfaces").contains("flags: skb copy"));
}

#[test]
fn queues_of_a_device_go_to_the_workers() {
    let Some(lab) = Lab::new("xdp-queues", &["left", "router", "right"]) else { return };
    lab.set("router", "ipv6.conf.all.disable_ipv6=1");
    for (name, device, other) in [("left", "a0", "r0"), ("right", "b0", "r1")] {
        let (to, queues) = (lab.ns("router"), "numrxqueues 2 numtxqueues 2");
        lab.ip(name, &format!("link add {device} {queues} type veth peer name {other} {queues} netns {to}"));
        lab.ip(name, &format!("link set {device} up"));
        lab.ip("router", &format!("link set {other} up"));
    }
    lab.address("left", "a0", &["10.0.1.2/24"]);
    lab.address("right", "b0", &["10.0.2.2/24"]);
    lab.ip("left", "route add default via 10.0.1.1");
    lab.ip("right", "route add default via 10.0.2.1");
    let router = lab.daemon("router", 2, "");
    let way = Way { router, lab };
    if !way.is_permitted("xdp-queues") {
        return;
    }
    way.build("num-rx-queues all");
    for port in 5000..5008 {
        way.upload("left", "right", &format!("10.0.2.2:{port}"), 1_000_000);
    }
    let hardware = way.router.vppctl("show hardware-interfaces");
    assert_eq!(hardware.matches("RX Queue 1:").count(), 2, "{hardware}");
    assert_eq!(way.buffers_in_use(), 4 * QUEUE);
}

#[test]
fn the_operators_own_program_runs_from_a_file() {
    let Some(way) = Way::new("xdp-prog", 0, "") else { return };
    let file = way.lab.dir.path().join("program.o");
    std::fs::write(&file, TO_SOCKETS).unwrap();
    tell(&way.router, "delete interface af_xdp x-r0");
    let prog = format!("prog {}", file.display());
    tell(&way.router, &(create("r0", &prog) + &set_up("r0", "10.0.1.1/24")));
    way.upload("left", "right", "10.0.2.2:5000", 1_000_000);
    // The same under another licence: the kernel's verifier refuses a function that is for the GPL only.
    let at = TO_SOCKETS.windows(4).position(|bytes| bytes == b"GPL\0").unwrap();
    let other = [&TO_SOCKETS[..at], b"MIT", &TO_SOCKETS[at + 3..]].concat();
    std::fs::write(&file, other).unwrap();
    tell(&way.router, "delete interface af_xdp x-r0");
    let (ok, text) = way.try_line(&create("r0", &prog));
    assert!(!ok && text.contains("does not take the program") && text.contains("GPL"), "{text}");
}

/// A program as a compiler writes it, with its source beside it.
const TO_SOCKETS: &[u8] = include_bytes!("../../nodes/tests/data/xdp/sockets.o");

#[test]
fn a_killed_daemon_leaves_no_program_and_starts_again() {
    let Some(way) = Way::new("xdp-kill", 0, "") else { return };
    assert!(way.has_program());
    for round in 0..3 {
        way.router.kill();
        eventually(Duration::from_secs(5), "the kernel to clean up", || !way.has_program());
        way.router.restart();
        way.build("");
        way.upload("left", "right", &format!("10.0.2.2:{}", 5000 + round), 1_000_000);
    }
}

#[test]
fn interfaces_come_and_go_under_traffic_and_leave_no_buffers_behind() {
    let Some(way) = Way::new("xdp-churn", 0, "") else { return };
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let end = crate::bed::AtEnd(|| stop.store(true, std::sync::atomic::Ordering::SeqCst));
        scope.spawn(|| {
            let socket = way.lab.within("left", || std::net::UdpSocket::bind("0.0.0.0:0")).unwrap();
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                for _ in 0..100 {
                    let _ = socket.send_to(&[0; 200], "10.0.2.2:9");
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..20 {
            tell(&way.router, "delete interface af_xdp x-r0\n");
            tell(&way.router, &(create("r0", "") + &set_up("r0", "10.0.1.1/24")));
            tell(&way.router, "delete interface af_xdp x-r1\n");
            tell(&way.router, &(create("r1", "") + &set_up("r1", "10.0.2.1/24")));
        }
        drop(end);
    });
    way.upload("left", "right", "10.0.2.2:5000", 1_000_000);
    tell(&way.router, "delete interface af_xdp x-r0\ndelete interface af_xdp x-r1");
    eventually(Duration::from_secs(5), "all buffers", || way.buffers_in_use() == 0);
    assert!(!way.has_program());
    assert!(way.lab.exec("router", "ip link show dev r0"), "the kernel's device stays");
}

#[test]
fn a_device_that_goes_takes_its_buffers_along_to_the_pool() {
    let Some(way) = Way::new("xdp-gone", 0, "") else { return };
    way.upload("left", "right", "10.0.2.2:5000", 100_000);
    way.lab.ip("router", "link delete r0");
    eventually(Duration::from_secs(5), "the buffers of r0", || way.buffers_in_use() == QUEUE);
    let (ok, text) = way.try_line("set interface state x-r0 up");
    assert!(!ok && text.contains("delete interface af_xdp x-r0 first"), "{text}");
    tell(&way.router, "delete interface af_xdp x-r0");
    way.lab.link("left", "a0", "router", "r0");
    way.lab.address("left", "a0", &["10.0.1.2/24"]);
    way.lab.ip("left", "route add default via 10.0.1.1");
    tell(&way.router, &(create("r0", "") + &set_up("r0", "10.0.1.1/24")));
    way.upload("left", "right", "10.0.2.2:5001", 100_000);
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let Some(way) = Way::new("xdp-words", 0, "") else { return };
    let refused = |line: &str, words: &str| {
        let (ok, text) = way.try_line(line);
        assert!(!ok && text.contains(words), "{line}: {text}");
    };
    refused("create interface af_xdp host-if r0 mode skb", "x-r0 is there already, with other settings");
    refused("create interface af_xdp host-if nothing", "the kernel has no such device");
    refused("delete interface af_xdp local0", "is no af_xdp interface");
    way.lab.link("left", "a2", "router", "r2");
    refused("create interface af_xdp host-if r2 num-rx-queues 9", "the device has 1");
    refused("create interface af_xdp host-if r2 zero-copy", "page-size 2M");
    refused("create interface af_xdp host-if r2 mode offload", "cannot attach the program");
    refused("create interface af_xdp host-if r2 prog /dev/null", "it is not an ordinary file");
    // A second daemon on the same device.
    let second = Daemon::start("second", way.lab.ns("router"), way.lab.dir.path(), 0, None);
    let answer = Client::connect(&second.socket()).unwrap().run("create interface af_xdp host-if r0").unwrap();
    assert!(!answer.ok && answer.text.contains("another XDP program is there"), "{}", answer.text);
    // The far end sends longer frames than a page holds.
    way.lab.ip("left", "link set a2 mtu 9000");
    way.lab.ip("router", "link set r2 mtu 9000");
    refused("create interface af_xdp host-if r2", "2034 is the largest");
    assert_eq!(way.buffers_in_use(), 2 * QUEUE, "what was refused keeps nothing");
    way.lab.ip("left", "link set a2 mtu 2034");
    way.lab.ip("router", "link set r2 mtu 2034");
    tell(&way.router, "create interface af_xdp host-if r2");
    assert!(way.router.vppctl("show interface").contains("r2/2"));
    refused("set interface mtu packet 2040 r2/2", "the MTU of the kernel's device is 2034");
}

#[test]
fn the_balancer_of_the_demo_runs_on_them() {
    let Some(way) = Way::new("xdp-may", 0, "") else { return };
    drop(way);
    let setup = Setup { af_xdp: true, ..Setup::default() };
    let Some(net) = Net::with("xdp-demo", setup) else { return };
    let tally = net.tally(100);
    assert_eq!(tally.keys().collect::<Vec<_>>(), ["server1", "server2", "server3"], "{tally:?}");
    assert_eq!(net.counter("first session packet:"), 100);
    assert!(net.vppctl("show hardware-interfaces").contains("flags: native copy"));
}
