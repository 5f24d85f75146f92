//! Namespaces by name, links between them, daemons and servers in them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nodes::sys::in_namespace;

use crate::bed::Dir;
use crate::daemon::Daemon;
use crate::http::Connection;
use crate::testing::Namespaces;

/// Everything but the daemons and servers, which are to be dropped first.
pub struct Lab {
    names: Vec<&'static str>,
    namespaces: Namespaces,
    pub dir: Dir,
}

impl Lab {
    /// Namespaces of these names, in which nothing is filtered and no IPv6 address comes by itself; `None`, after a loud
    /// word, without the privileges that this takes.
    pub fn new(purpose: &str, names: &[&'static str]) -> Option<Lab> {
        let (dir, namespaces) = (Dir::new(purpose), Namespaces::new(purpose, names.len())?);
        let lab = Lab { names: names.into(), namespaces, dir };
        for name in names {
            // Answers come in by another way than requests go out: that is what direct return means.
            for key in
                ["ipv4.conf.all.rp_filter=0", "ipv4.conf.default.rp_filter=0", "ipv6.conf.default.disable_ipv6=1"]
            {
                lab.set(name, key);
            }
            lab.set(name, "ipv6.conf.default.accept_dad=0");
            lab.set(name, "ipv6.conf.default.accept_ra=0");
        }
        Some(lab)
    }

    /// The namespace.
    pub fn ns(&self, name: &str) -> &str {
        let index = self.names.iter().position(|known| *known == name);
        self.namespaces.name(index.unwrap_or_else(|| panic!("no namespace {name}")))
    }

    /// A setting of the kernel.
    pub fn set(&self, name: &str, setting: &str) {
        assert!(self.exec(name, &format!("sysctl -qw net.{setting}")), "{name}: {setting}");
    }

    /// Runs a command there and says whether it succeeded.
    pub fn exec(&self, name: &str, command: &str) -> bool {
        self.namespaces.exec(self.ns(name), command)
    }

    /// Runs `ip` there; it must succeed.
    pub fn ip(&self, name: &str, words: &str) {
        self.namespaces.ip(&format!("-n {} {words}", self.ns(name)));
    }

    /// Runs something there.
    pub fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(Some(self.ns(name)), work).unwrap()
    }

    /// A link that is up.
    pub fn link(&self, a: &str, device: &str, b: &str, other: &str) {
        let (to, from) = (self.ns(b), self.ns(a));
        self.namespaces.ip(&format!("link add {device} netns {from} type veth peer name {other} netns {to}"));
        self.ip(a, &format!("link set {device} up"));
        self.ip(b, &format!("link set {other} up"));
    }

    /// Addresses of a kernel's device.
    pub fn address(&self, name: &str, device: &str, addresses: &[&str]) {
        for address in addresses {
            let six = address.contains(':');
            if six {
                self.set(name, &format!("ipv6.conf.{device}.disable_ipv6=0"));
            }
            self.ip(name, &format!("address add {address} dev {device}{}", if six { " nodad" } else { "" }));
        }
    }

    /// A switch between devices of a namespace.
    pub fn switch(&self, name: &str, devices: &[&str]) {
        self.ip(name, "link add br0 type bridge");
        self.ip(name, "link set br0 up");
        for device in devices {
            self.ip(name, &format!("link set {device} master br0"));
        }
    }

    /// A daemon that has been told these lines.
    pub fn daemon(&self, name: &str, workers: usize, lines: &str) -> Daemon {
        let daemon = Daemon::start(name, self.ns(name), self.dir.path(), workers, None);
        tell(&daemon, lines);
        daemon
    }

    /// A device between a daemon and the kernel beside it: the kernel's end is `t0`, 172.16.0.2, ours 172.16.0.1.
    pub fn to_kernel(&self, name: &str, daemon: &Daemon) -> &'static str {
        let inner = if fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok() {
            daemon.vppctl("create tap id 0 host-if-name t0 host-ip4-addr 172.16.0.2/30");
            "tap0"
        } else {
            self.ip(name, "link add t0 type veth peer name t1");
            self.ip(name, "address add 172.16.0.2/30 dev t0");
            self.ip(name, "link set t0 up");
            self.ip(name, "link set t1 up");
            daemon.vppctl("create host-interface name t1");
            "host-t1"
        };
        self.set(name, "ipv6.conf.t0.disable_ipv6=0");
        tell(daemon, &format!("set interface ip address {inner} 172.16.0.1/30\nset interface state {inner} up"));
        inner
    }

    /// So many requests of the client, each on a connection of its own, all of which must succeed: how many each server
    /// answered.
    pub fn tally(&self, address: &str, requests: usize) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for number in 1..=requests {
            let answer = self.connect(address).and_then(|mut connection| connection.get("/"));
            let answer = answer.unwrap_or_else(|error| panic!("request {number} to {address}: {error}"));
            *tally.entry(answer.server).or_default() += 1;
        }
        tally
    }

    /// A connection of the client.
    pub fn connect(&self, address: &str) -> io::Result<Connection> {
        let address: SocketAddr = address.parse().unwrap();
        let connection = Connection::open(self.ns("client"), address)?;
        assert_eq!(connection.peer, address);
        Ok(connection)
    }

    /// So many datagrams of the client, each from a port of its own, all of which must be answered from where they were
    /// sent to: how many each server answered.
    pub fn ask(&self, address: &str, questions: usize) -> BTreeMap<String, usize> {
        self.ask_at_length(address, questions, 0)
    }

    /// The same with questions, and so answers, of at least so many bytes: kernels send long ones in fragments.
    pub fn ask_at_length(&self, address: &str, questions: usize, len: usize) -> BTreeMap<String, usize> {
        let address: SocketAddr = address.parse().unwrap();
        let mut tally = BTreeMap::new();
        for number in 1..=questions {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = self.within("client", || UdpSocket::bind(any)).unwrap();
            socket.connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let (question, mut answer) = (format!("question {number} {}", "?".repeat(len)), [0; 1 << 16]);
            let len = loop {
                match socket.send(question.as_bytes()).and_then(|_| socket.recv(&mut answer)) {
                    Ok(len) => break len,
                    // The way is narrower than the kernel knew: now it does, and the next try goes in smaller pieces.
                    Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => (),
                    Err(error) => panic!("question {number} to {address}: {error}"),
                }
            };
            let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
            let (server, said) = answer.split_once(": ").unwrap();
            assert_eq!(said, question);
            *tally.entry(server.to_string()).or_default() += 1;
        }
        tally
    }

    /// How many echo requests a kernel has taken (`InEchos` of its statistics).
    pub fn echo_requests(&self, name: &str) -> u64 {
        let text = self.within(name, || fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find(|(name, _)| *name == "InEchos").unwrap().1.parse().unwrap()
    }
}

/// Types lines.
pub fn tell(daemon: &Daemon, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        daemon.vppctl(line);
    }
}

/// The lines for a device of a daemon with these addresses. Its MAC ends in this number.
pub fn interface(device: &str, number: u8, addresses: &[&str]) -> String {
    let mut lines = format!("create host-interface name {device} hw-addr 02:fe:00:00:00:{number:02x}\n");
    for address in addresses {
        lines += &format!("set interface ip address host-{device} {address}\n");
    }
    lines + &format!("set interface state host-{device} up\n")
}

/// Answers datagrams with its name and what they said; ends when dropped.
pub struct Echo {
    end: Arc<AtomicBool>,
}

impl Echo {
    /// Listens in a namespace.
    pub fn start(namespace: &str, address: &str, name: &str) -> Echo {
        let address: SocketAddr = address.parse().unwrap();
        let socket = in_namespace(Some(namespace), || UdpSocket::bind(address)).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let (ending, name) = (end.clone(), name.to_string());
        thread::spawn(move || {
            let mut datagram = [0; 1 << 16];
            while !ending.load(SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut datagram) else { continue };
                let _ = socket.send_to(&[name.as_bytes(), b": ", &datagram[..len]].concat(), from);
            }
        });
        Echo { end }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
    }
}

/// Every one of these and nobody else has answered.
#[track_caller]
pub fn all_of(tally: &BTreeMap<String, usize>, servers: &[&str]) {
    assert_eq!(tally.keys().collect::<Vec<_>>(), servers, "{tally:?}");
}
