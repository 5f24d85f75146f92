//! Three namespaces in a row, and who carries frames through the middle one.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use nodes::sys::in_namespace;

use crate::{Router, xdp};

/// Addresses of the devices, and of somebody who is not there: the far end drops frames for others at once.
pub const MACS: [(&str, &str, &str); 4] = [
    ("a", "a0", "02:00:00:00:01:02"),
    ("r", "r0", "02:00:00:00:01:01"),
    ("r", "r1", "02:00:00:00:02:01"),
    ("b", "b0", "02:00:00:00:02:02"),
];
const OTHER: &str = "02:00:00:00:01:91";
const NOBODY: &str = "02:00:00:00:02:99";

/// Who does not carry frames after this time never will.
const READY: Duration = Duration::from_secs(5);

/// What came of one turn.
pub struct Turn {
    pub offered: u64,
    pub delivered: u64,
    pub seconds: f64,
    /// Processor time of whoever carries, what the kernel does in its name included.
    pub busy: Duration,
}

/// The namespaces; deleted when dropped.
pub struct Bed {
    prefix: String,
    dir: PathBuf,
}

/// A process, ended when dropped.
struct Running(Child);

impl Running {
    /// Processor time of all its threads (`schedstat` of the kernel, first number).
    fn busy(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let times = tasks.flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bed {
    pub fn new() -> Option<Bed> {
        let prefix = format!("mgl-bench-{}", std::process::id());
        let bed = Bed { dir: std::env::temp_dir().join(&prefix), prefix };
        fs::create_dir_all(&bed.dir).ok()?;
        for name in ["a", "r", "b"] {
            let namespace = bed.namespace(name);
            if !ip(&format!("netns add {namespace}")) {
                return None;
            }
            let settings = "net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";
            ip(&format!("netns exec {namespace} sysctl -qw {settings}"));
        }
        Some(bed)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Lays fresh links, has `router` carry what is offered for a while, and counts in the middle of that.
    pub fn turn(&self, router: Router, time: Duration) -> Turn {
        self.link(router);
        let carrier = self.start(router);
        let sender = self.spawn("a", 1, Command::new(std::env::current_exe().unwrap()).arg("offer"));
        // Until it carries (Maglane reads a script first), and then until it does so evenly.
        let began = Instant::now();
        while self.arrived() < 1000 && began.elapsed() < READY {
            sleep(Duration::from_millis(10));
        }
        if self.arrived() < 1000 {
            eprintln!(
                "{router:?} is not ready after {READY:?}: {}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
        }
        sleep(Duration::from_millis(400));
        let (from, offered, delivered, busy) = (Instant::now(), self.sent(), self.arrived(), carrier.busy());
        sleep(time);
        let turn = Turn {
            offered: self.sent() - offered,
            delivered: self.arrived() - delivered,
            busy: carrier.busy() - busy,
            seconds: from.elapsed().as_secs_f64(),
        };
        drop(sender);
        drop(carrier);
        ip(&format!("-n {} link delete a0", self.namespace("a")));
        ip(&format!("-n {} link delete b0", self.namespace("b")));
        turn
    }

    fn link(&self, router: Router) {
        let [a, r, b] = ["a", "r", "b"].map(|name| self.namespace(name));
        ip(&format!("link add a0 netns {a} type veth peer name r0 netns {r}"));
        ip(&format!("link add b0 netns {b} type veth peer name r1 netns {r}"));
        for (name, device, mac) in MACS {
            // With AF_PACKET the kernel sees the frames, too. They are none of its business, as by the rule, where
            // host-interfaces have addresses of their own.
            let others = device == "r0" && matches!(router, Router::PacketLoop | Router::CopiedLoop | Router::Packet);
            let mac = if others { OTHER } else { mac };
            ip(&format!("-n {} link set {device} address {mac} up", self.namespace(name)));
        }
        // The sender's kernel cuts what it sends, and finishes checksums: the frames are the same for all.
        ip(&format!("-n {a} link set a0 gso_max_segs 1"));
        in_namespace(Some(&a), || xdp::finish_checksums("a0")).unwrap();
        ip(&format!("-n {a} address add 10.0.1.2/24 dev a0"));
        ip(&format!("-n {a} neighbor add 10.0.1.1 lladdr {} dev a0", MACS[1].2));
        ip(&format!("-n {a} route add default via 10.0.1.1"));
    }

    fn start(&self, router: Router) -> Running {
        let own = std::env::current_exe().unwrap();
        match router {
            Router::PacketLoop => self.spawn("r", 0, Command::new(own).arg("packet-loop")),
            Router::CopiedLoop => self.spawn("r", 0, Command::new(own).arg("copied-loop")),
            Router::XdpLoop => self.spawn("r", 0, Command::new(own).arg("xdp-loop")),
            Router::Packet | Router::Xdp => {
                let script = self.dir.join("script");
                let mut lines = String::new();
                for (number, device) in ["r0", "r1"].into_iter().enumerate() {
                    lines += &if router == Router::Xdp {
                        format!("create interface af_xdp host-if {device} name host-{device}\n")
                    } else {
                        format!("create host-interface name {device} hw-addr {}\n", MACS[1 + number].2)
                    };
                    lines += &format!("set interface ip address host-{device} 10.0.{}.1/24\n", number + 1);
                    lines += &format!("set interface state host-{device} up\n");
                }
                lines += &format!("set ip neighbor host-r1 10.0.2.2 {NOBODY}\n");
                fs::write(&script, lines).unwrap();
                let socket = self.dir.join("cli.sock");
                let words = format!("unix {{ nodaemon cli-listen {} exec {} }}", socket.display(), script.display());
                self.spawn("r", 0, Command::new(env!("CARGO_BIN_EXE_maglane")).args(words.split(' ')))
            }
        }
    }

    /// Starts a program in a namespace, on one processor.
    fn spawn(&self, name: &str, processor: usize, command: &mut Command) -> Running {
        let namespace = self.namespace(name);
        // Maglane logs what it does; a loop only fails.
        let own = command.get_program() == env!("CARGO_BIN_EXE_maglane");
        let log = if own { File::create(self.log()).unwrap().into() } else { Stdio::inherit() };
        let child = in_namespace(Some(&namespace), || {
            let mut set = CpuSet::new();
            // A machine of one processor has them share it.
            if set.set(processor).is_ok() {
                let _ = sched_setaffinity(Pid::from_raw(0), &set);
            }
            command.stdout(Stdio::null()).stderr(log).spawn()
        });
        Running(child.unwrap().unwrap())
    }

    /// What Maglane says.
    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn sent(&self) -> u64 {
        self.counter("a", "a0", 9)
    }

    fn arrived(&self) -> u64 {
        self.counter("b", "b0", 1)
    }

    /// A column of the kernel's table of devices.
    fn counter(&self, name: &str, device: &str, column: usize) -> u64 {
        let text = in_namespace(Some(&self.namespace(name)), || fs::read_to_string("/proc/thread-self/net/dev"));
        let text = text.unwrap().unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':')).unwrap();
        line.split_whitespace().nth(column).unwrap().parse().unwrap()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for name in ["a", "r", "b"] {
            ip(&format!("netns delete {}", self.namespace(name)));
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split_whitespace()).status().is_ok_and(|status| status.success())
}
