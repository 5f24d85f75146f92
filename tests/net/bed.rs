//! The layout of `build_lb_config`: client - lb - servers, requests through GRE tunnels, answers straight back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::daemon::Daemon;
use crate::http::{Answer, Connection, Server};
use crate::testing::Namespaces;

/// What clients ask for.
pub const VIP: &str = "90.0.0.1";

/// How the balancer is set up.
#[derive(Clone, Copy)]
pub struct Setup {
    pub servers: usize,
    pub workers: usize,
    pub queues: usize,
    /// Of the flow table.
    pub buckets: usize,
    /// The balancer's interfaces use AF_XDP.
    pub af_xdp: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { servers: 3, workers: 1, queues: 1, buckets: 1024, af_xdp: false }
    }
}

/// A client, a balancer and servers. Everything ends and is deleted when dropped; what was started last ends first.
pub struct Net {
    _web: Vec<Server>,
    /// Each ends its tunnel.
    _agents: Vec<Daemon>,
    pub lb: Daemon,
    namespaces: Namespaces,
    dir: Dir,
}

impl Net {
    /// With one packet thread; `None`, after a loud word, without the privileges that this takes.
    pub fn new(purpose: &str, servers: usize) -> Option<Net> {
        Net::with(purpose, Setup { servers, ..Setup::default() })
    }

    /// As told.
    pub fn with(purpose: &str, setup: Setup) -> Option<Net> {
        let dir = Dir::new(purpose);
        // 0 is the client, 1 the balancer, from 2 on servers.
        let namespaces = Namespaces::new(purpose, 2 + setup.servers)?;
        lay_out(&namespaces, setup.servers);
        let script = dir.0.join("lb.script");
        fs::write(&script, balancer(setup)).unwrap();
        let lb = Daemon::start("lb", namespaces.name(1), &dir.0, setup.workers, Some(&script));
        let (mut agents, mut web) = (Vec::new(), Vec::new());
        for number in 1..=setup.servers {
            let namespace = namespaces.name(1 + number);
            agents.push(agent(number, namespace, &dir.0, &namespaces));
            web.push(Server::start(namespace, format!("{VIP}:80").parse().unwrap(), &format!("server{number}")));
        }
        Some(Net { _web: web, _agents: agents, lb, namespaces, dir })
    }

    /// The namespace of the client.
    pub fn client(&self) -> &str {
        self.namespaces.name(0)
    }

    /// The namespace of a server, counted from 1.
    pub fn server(&self, number: usize) -> &str {
        self.namespaces.name(1 + number)
    }

    /// A folder for scripts and what else a test needs.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// Types a command at the balancer.
    pub fn vppctl(&self, line: &str) -> String {
        self.lb.vppctl(line)
    }

    /// A connection of the client to the VIP.
    pub fn connect(&self) -> io::Result<Connection> {
        let address: SocketAddr = format!("{VIP}:80").parse().unwrap();
        let connection = Connection::open(self.client(), address)?;
        assert_eq!(connection.peer, address);
        Ok(connection)
    }

    /// One request on a connection of its own.
    pub fn request(&self) -> io::Result<Answer> {
        self.connect()?.get("/")
    }

    /// So many requests, all of which must succeed: how many each server answered.
    pub fn tally(&self, requests: usize) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for number in 1..=requests {
            let answer = self.request().unwrap_or_else(|error| panic!("request {number}: {error}"));
            *tally.entry(answer.server).or_default() += 1;
        }
        tally
    }

    /// The number that follows a word in `show lb vip verbose`: the first such.
    pub fn counter(&self, label: &str) -> u64 {
        number_after(&self.vppctl("show lb vip verbose"), label)
    }

    /// Buffers that hold a packet, in all pools of the balancer.
    pub fn buffers_in_use(&self) -> u64 {
        let text = self.vppctl("show buffers");
        // Name, index, NUMA node, size, data size, total, available, cached, used. Below are sentences about the pools.
        let pools = text.lines().filter(|line| line.starts_with("worker-") && line.split_whitespace().count() == 9);
        let used: Vec<u64> = pools.filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
        assert!(!used.is_empty(), "no pools in:\n{text}");
        used.iter().sum()
    }
}

/// The number that stands behind a label, wherever that is for the first time.
pub fn number_after(text: &str, label: &str) -> u64 {
    let rest = text.split_once(label).unwrap_or_else(|| panic!("no `{label}' in:\n{text}")).1.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("no number behind `{label}' in:\n{text}"))
}

fn lay_out(net: &Namespaces, servers: usize) {
    let (client, lb) = (net.name(0), net.name(1));
    for index in 0..2 + servers {
        // Answers come in by another way than requests go out: that is what direct return means.
        let settings = ["ipv4.conf.all.rp_filter=0", "ipv4.conf.default.rp_filter=0", "ipv6.conf.all.disable_ipv6=1"];
        let settings = settings.map(|setting| format!("net.{setting}")).join(" ");
        assert!(net.exec(net.name(index), &format!("sysctl -qw {settings} net.ipv6.conf.default.disable_ipv6=1")));
    }
    let link = |a: &str, device: &str, b: &str, other: &str| {
        net.ip(&format!("link add {device} netns {a} type veth peer name {other} netns {b}"));
        net.ip(&format!("-n {a} link set {device} up"));
        net.ip(&format!("-n {b} link set {other} up"));
    };
    link(client, "c0", lb, "l0");
    net.ip(&format!("-n {client} address add 10.0.1.2/24 dev c0"));
    net.ip(&format!("-n {client} route add {VIP}/32 via 10.0.1.1"));
    for i in 1..=servers {
        let server = net.name(1 + i);
        link(lb, &format!("l{i}"), server, "s0");
        link(client, &format!("d{i}"), server, "d0");
        net.ip(&format!("-n {client} address add 10.9.{i}.1/30 dev d{i}"));
        net.ip(&format!("-n {server} address add 10.9.{i}.2/30 dev d0"));
        net.ip(&format!("-n {server} route add 10.0.1.0/24 via 10.9.{i}.1"));
        net.ip(&format!("-n {server} address add {VIP}/32 dev lo"));
    }
}

/// What the balancer is told when it starts.
fn balancer(setup: Setup) -> String {
    let Setup { servers, queues, buckets, af_xdp, .. } = setup;
    let addresses: Vec<_> = (1..=servers).map(|i| format!("10.0.1{i}.2")).collect();
    let mut script = format!("lb conf ip4-src-address 10.0.11.1 buckets {buckets}\nlb vip {VIP}/32 encap gre4\n");
    script += &format!("lb as {VIP}/32 {}\n", addresses.join(" "));
    for i in 0..=servers {
        let address = if i == 0 { "10.0.1.1/24".to_string() } else { format!("10.0.1{i}.1/24") };
        // An address that stays: the client's kernel remembers it when the daemon is started again.
        script += &if af_xdp {
            format!("create interface af_xdp host-if l{i} name host-l{i} num-rx-queues {queues}\n")
        } else {
            format!("create host-interface name l{i} num-rx-queues {queues} hw-addr 02:fe:00:00:00:0{i}\n")
        };
        script += &format!("set interface ip address host-l{i} {address}\nset interface state host-l{i} up\n");
    }
    script
}

/// A server's own daemon, which ends the tunnel and hands the inner packets to the kernel.
fn agent(number: usize, namespace: &str, dir: &Path, net: &Namespaces) -> Daemon {
    let daemon = Daemon::start(&format!("server{number}"), namespace, dir, 0, None);
    daemon.vppctl("create host-interface name s0");
    daemon.vppctl(&format!("set interface ip address host-s0 10.0.1{number}.2/24"));
    daemon.vppctl("set interface state host-s0 up");
    daemon.vppctl(&format!("create gre tunnel src 10.0.1{number}.2 multipoint"));
    daemon.vppctl("set interface state gre0 up");
    let inner = if fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok() {
        daemon.vppctl("create tap id 0 host-if-name t0 host-ip4-addr 172.16.0.2/30");
        "tap0"
    } else {
        net.ip(&format!("-n {namespace} link add t0 type veth peer name t1"));
        net.ip(&format!("-n {namespace} address add 172.16.0.2/30 dev t0"));
        net.ip(&format!("-n {namespace} link set t0 up"));
        net.ip(&format!("-n {namespace} link set t1 up"));
        daemon.vppctl("create host-interface name t1");
        "host-t1"
    };
    daemon.vppctl(&format!("set interface ip address {inner} 172.16.0.1/30"));
    daemon.vppctl(&format!("set interface state {inner} up"));
    daemon.vppctl(&format!("ip route add {VIP}/32 via 172.16.0.2 {inner}"));
    daemon
}

/// A folder for sockets, scripts and logs, removed when dropped.
pub struct Dir(PathBuf);

impl Dir {
    /// An empty one.
    pub fn new(purpose: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("maglane-net-{}-{purpose}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Does something when dropped, also when a test panics: tells the threads beside it to end.
pub struct AtEnd<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
