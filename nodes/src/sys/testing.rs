//! Network namespaces for the tests of the drivers. What they need is installed where that can be done, and otherwise said loudly.

use std::io::{self, Write};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Namespaces with names of their own, deleted with everything in them when dropped.
pub(crate) struct Namespaces {
    names: Vec<String>,
}

impl Namespaces {
    /// Creates `count` namespaces with their loopback devices up; `None`, with a word on standard error, without the
    /// privileges that this takes.
    pub(crate) fn new(purpose: &str, count: usize) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        need("ip");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("mgl-dev-{}-{purpose}{number}", std::process::id());
        let mut made = Self { names: Vec::new() };
        for index in 0..count {
            let name = format!("{prefix}-{index}");
            if !run(&format!("netns add {name}")) {
                let what = "needs root (CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN) and `ip netns'";
                // Not `eprintln': the test harness would keep that to itself when the test passes.
                let _ = writeln!(io::stderr(), "SKIPPED {purpose}: {what}");
                return None;
            }
            made.names.push(name);
            made.ip(&format!("-n {} link set lo up", made.names[index]));
        }
        Some(made)
    }

    /// Two namespaces joined by veth devices `veth-a` (10.99.0.1/24, in the first) and `veth-b` (10.99.0.2/24), both up,
    /// without IPv6 (whose chatter would disturb the counts).
    pub(crate) fn pair(purpose: &str) -> Option<Self> {
        let made = Self::new(purpose, 2)?;
        let (a, b) = (made.name(0), made.name(1));
        for ns in [a, b] {
            made.exec(ns, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1");
        }
        made.ip(&format!("link add veth-a netns {a} type veth peer name veth-b netns {b}"));
        made.ip(&format!("-n {a} addr add 10.99.0.1/24 dev veth-a"));
        made.ip(&format!("-n {b} addr add 10.99.0.2/24 dev veth-b"));
        made.ip(&format!("-n {a} link set veth-a up"));
        made.ip(&format!("-n {b} link set veth-b up"));
        Some(made)
    }

    /// The name of a namespace.
    pub(crate) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// Runs `ip` with these words; it must succeed.
    pub(crate) fn ip(&self, words: &str) {
        assert!(run(words), "ip {words}");
    }

    /// Runs a command in a namespace and says whether it succeeded.
    pub(crate) fn exec(&self, ns: &str, command: &str) -> bool {
        need(command.split_whitespace().next().unwrap_or_default());
        run(&format!("netns exec {ns} {command}"))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            run(&format!("netns del {name}"));
        }
    }
}

/// Waits until `done` says so; panics with `what` after `limit`.
pub(crate) fn eventually(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Programs that tests run, and Debian's packages that they are in.
const PACKAGES: [(&str, &str); 3] = [("ip", "iproute2"), ("ping", "iputils-ping"), ("sysctl", "procps")];

/// Installs the package of a program that is missing, as root on Debian; says how to get it where that fails. Of other programs
/// nothing is known.
fn need(program: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Some((_, package)) = PACKAGES.iter().find(|(known, _)| *known == program) else { return };
    let path = std::env::var("PATH").unwrap_or_default();
    let there = || std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if there() {
        return;
    }
    let one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !there() && nix::unistd::geteuid().is_root() {
        // Other tests may be at it, too: wait for them.
        let get = "apt-get -o DPkg::Lock::Timeout=120";
        let script = format!("{get} update -qq; {get} install -y -qq {package} >/dev/null");
        let _ = Command::new("sh").args(["-c", &script]).env("DEBIAN_FRONTEND", "noninteractive").status();
    }
    drop(one);
    assert!(there(), "`{program}' is missing; on Debian: apt-get install {package}");
}

fn run(words: &str) -> bool {
    let output = Command::new("ip").args(words.split_whitespace()).output();
    match output {
        Ok(output) => {
            if !output.status.success() {
                eprintln!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            output.status.success()
        }
        Err(error) => {
            eprintln!("ip: {error}");
            false
        }
    }
}
