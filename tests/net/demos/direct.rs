//! client - lb - servers with host agents, answers straight back; for both families.

use crate::daemon::Daemon;
use crate::http::Server;

use super::lab::{Echo, Lab, interface, tell};

pub const VIP: &str = "90.0.0.1";
pub const VIP6: &str = "fd90::1";
pub const SERVERS: [&str; 3] = ["server1", "server2", "server3"];

/// Servers behind a balancer that has addresses and no VIP yet.
pub struct Direct {
    _web: Vec<Server>,
    _echo: Vec<Echo>,
    pub agents: Vec<Daemon>,
    pub lb: Daemon,
    pub lab: Lab,
}

impl Direct {
    /// Three servers; their agents are told more after `lb host vip 90.0.0.1/32 via IF`.
    pub fn new(purpose: &str, more: &str) -> Option<Direct> {
        Direct::with(purpose, 3, more)
    }

    /// Up to three servers.
    pub fn with(purpose: &str, servers: usize, more: &str) -> Option<Direct> {
        let names = ["client", "lb", "server1", "server2", "server3"];
        let lab = Lab::new(purpose, &names[..2 + servers])?;
        let servers = &SERVERS[..servers];
        lab.link("client", "c0", "lb", "l0");
        lab.address("client", "c0", &["10.0.1.2/24", "fd01::2/64"]);
        lab.ip("client", &format!("route add {VIP}/32 via 10.0.1.1"));
        lab.ip("client", &format!("route add {VIP6}/128 via fd01::1"));
        let mut lines = interface("l0", 0, &["10.0.1.1/24", "fd01::1/64"]);
        for (i, server) in (1..).zip(servers.iter().copied()) {
            lab.link("lb", &format!("l{i}"), server, "s0");
            way_back(&lab, i);
            lab.address(server, "lo", &[&format!("{VIP}/32"), &format!("{VIP6}/128")]);
            lines += &interface(&format!("l{i}"), i, &[&format!("10.0.1{i}.1/24"), &format!("fd1{i}::1/64")]);
        }
        lines += "lb conf ip4-src-address 10.0.11.1 ip6-src-address fd11::1\n";
        let lb = lab.daemon("lb", 1, &lines);
        let (mut agents, mut web, mut echo) = (Vec::new(), Vec::new(), Vec::new());
        for (i, server) in (1..).zip(servers.iter().copied()) {
            let addresses = [format!("10.0.1{i}.2/24"), format!("fd1{i}::2/64")];
            let agent = lab.daemon(server, 0, &interface("s0", 16 + i, &addresses.each_ref().map(String::as_str)));
            let inner = lab.to_kernel(server, &agent);
            tell(&agent, &format!("lb host vip {VIP}/32 via {inner}{more}\nlb host vip {VIP6}/128 via {inner}"));
            agents.push(agent);
            for vip in [VIP.to_string(), format!("[{VIP6}]")] {
                web.push(Server::start(lab.ns(server), format!("{vip}:80").parse().unwrap(), server));
                echo.push(Echo::start(lab.ns(server), &format!("{vip}:7"), server));
            }
        }
        Some(Direct { _web: web, _echo: echo, agents, lb, lab })
    }
}

/// A link from a server to the client, for answers.
pub fn way_back(lab: &Lab, i: u8) {
    let (device, server) = (format!("d{i}"), SERVERS[usize::from(i) - 1]);
    lab.link("client", &device, server, "d0");
    lab.address("client", &device, &[&format!("10.9.{i}.1/30"), &format!("fd09:{i}::1/64")]);
    lab.address(server, "d0", &[&format!("10.9.{i}.2/30"), &format!("fd09:{i}::2/64")]);
    lab.ip(server, &format!("route add 10.0.1.2/32 via 10.9.{i}.1"));
    lab.ip(server, &format!("route add fd01::2/128 via fd09:{i}::1"));
}
