//! NAT: the servers know nothing of the VIP, and what they answer comes back by the balancer.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::sockopt::{ReuseAddr, SendTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket};
use nix::sys::time::TimeVal;

use super::direct::{SERVERS, VIP, VIP6};
use super::lab::{Echo, Lab, all_of, interface};
use crate::daemon::Daemon;
use crate::http::Server;

/// client - lb - servers, whose way to everywhere is the balancer.
pub struct Net {
    pub lb: Daemon,
    _web: Vec<Server>,
    _echo: Vec<Echo>,
    pub lab: Lab,
}

pub fn lay_out(purpose: &str, workers: usize) -> Option<Net> {
    let lab = Lab::new(purpose, &["client", "lb", "server1", "server2", "server3"])?;
    lab.link("client", "c0", "lb", "l0");
    lab.address("client", "c0", &["10.0.1.2/24", "fd01::2/64"]);
    lab.ip("client", &format!("route add {VIP}/32 via 10.0.1.1"));
    lab.ip("client", &format!("route add {VIP6}/128 via fd01::1"));
    let mut lines = interface("l0", 0, &["10.0.1.1/24", "fd01::1/64"]);
    let (mut web, mut echo) = (Vec::new(), Vec::new());
    for (i, server) in (1..).zip(SERVERS) {
        lab.link("lb", &format!("l{i}"), server, "s0");
        lab.address(server, "s0", &[&format!("10.0.1{i}.2/24"), &format!("fd1{i}::2/64")]);
        lab.ip(server, &format!("route add default via 10.0.1{i}.1"));
        lab.ip(server, &format!("-6 route add default via fd1{i}::1"));
        lines += &interface(&format!("l{i}"), i, &[&format!("10.0.1{i}.1/24"), &format!("fd1{i}::1/64")]);
        lines += &format!("lb set interface nat4 in host-l{i}\nlb set interface nat6 in host-l{i}\n");
        web.push(Server::start(lab.ns(server), "[::]:8080".parse().unwrap(), server));
        echo.push(Echo::start(lab.ns(server), "[::]:7007", server));
    }
    web.push(Server::start(lab.ns("server1"), "[::]:8081".parse().unwrap(), "server1-8081"));
    for (vip, encap, net) in [(format!("{VIP}/32"), "nat4", "10.0.1N.2"), (format!("{VIP6}/128"), "nat6", "fd1N::2")] {
        let server = |i: usize| net.replace('N', &i.to_string());
        let all = [1, 2, 3].map(server).join(" ");
        let (tcp, udp) = (format!("{vip} protocol tcp port 80"), format!("{vip} protocol udp port 7"));
        lines += &format!("lb vip {tcp} encap {encap} type clusterip target_port 8080\nlb as {tcp} {all}\n");
        lines += &format!("lb as {tcp} {} target_port 8081\n", server(1));
        lines += &format!("lb vip {udp} encap {encap} type clusterip target_port 7007\nlb as {udp} {all}\n");
    }
    let lb = lab.daemon("lb", workers, &lines);
    Some(Net { lb, _web: web, _echo: echo, lab })
}

#[test]
fn a_file_of_packetvisors_shares_datagrams_among_ports_of_one_server() {
    let Some(net) = lay_out("nat-xml", 1) else { return };
    net.lab.ip("client", "route add 90.0.0.2/32 via 10.0.1.1");
    let ports = [8080, 8081, 8082];
    let _echo = ports.map(|port| Echo::start(net.lab.ns("server1"), &format!("10.0.11.2:{port}"), &port.to_string()));
    let servers =
        ports.map(|port| format!("<server><address>10.0.11.2</address><port>{port}</port><mode>nat</mode></server>\n"));
    let service = "<address>90.0.0.2</address><protocol>udp</protocol><port>7</port><schedule>rr</schedule>";
    let text =
        format!("<loadbalancer><service>{service}<servers>{}</servers></service></loadbalancer>", servers.concat());
    let file = net.lab.dir.path().join("lb_config.xml");
    std::fs::write(&file, text).unwrap();
    net.lb.vppctl(&format!("lb import packetvisor {}", file.display()));
    let tally = net.lab.ask("90.0.0.2:7", 60);
    assert_eq!(tally.into_iter().collect::<Vec<_>>(), ports.map(|port| (port.to_string(), 20)));
}

#[test]
fn answers_find_the_worker_that_knows_their_flow() {
    let Some(net) = lay_out("nat-workers", 2) else { return };
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        all_of(&net.lab.tally(&format!("{vip}:80"), 80), &["server1", "server1-8081", "server2", "server3"]);
        all_of(&net.lab.ask(&format!("{vip}:7"), 60), &SERVERS);
        net.lab.connect(&format!("{vip}:80")).unwrap().get("/bytes/20000000").unwrap();
    }
}

#[test]
fn two_vips_share_a_server_and_a_port() {
    let Some(net) = lay_out("nat-shared", 1) else { return };
    net.lab.ip("client", "route add 90.0.0.2/32 via 10.0.1.1");
    let key = "90.0.0.2/32 protocol tcp port 80";
    net.lb.vppctl(&format!("lb vip {key} encap nat4 type clusterip target_port 8080"));
    net.lb.vppctl(&format!("lb as {key} 10.0.11.2 10.0.12.2 10.0.13.2"));
    for _ in 0..30 {
        // `tally' checks that the peer is whom the client called.
        net.lab.tally(&format!("{VIP}:80"), 1);
        net.lab.tally("90.0.0.2:80", 1);
    }
    // From one port of the client to both at once, and to the same server: answers must not be taken for the other's.
    net.lb.vppctl(&format!("lb as {VIP}/32 protocol tcp port 80 10.0.12.2 10.0.13.2 del flush"));
    net.lb.vppctl(&format!("lb as {VIP}/32 protocol tcp port 80 10.0.11.2 target_port 8081 del flush"));
    net.lb.vppctl(&format!("lb as {key} 10.0.12.2 10.0.13.2 del flush"));
    let mut pairs = Vec::new();
    for port in 30_000..30_010u16 {
        for vip in [VIP, "90.0.0.2"] {
            pairs.push(net.lab.within("client", || call(port, vip)));
        }
    }
    for stream in &mut pairs {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    }
    for stream in &mut pairs {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

/// A connection from a given port.
fn call(port: u16, to: &str) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, ReuseAddr, &true).unwrap();
    // For the connection, too.
    setsockopt(&socket, SendTimeout, &TimeVal::new(10, 0)).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(10, 0, 1, 2, port)).unwrap();
    let to: SocketAddrV4 = format!("{to}:80").parse().unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

#[test]
fn answers_come_from_the_vip_over_both_families_and_protocols() {
    let Some(net) = lay_out("nat", 1) else { return };
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        all_of(&net.lab.tally(&format!("{vip}:80"), 80), &["server1", "server1-8081", "server2", "server3"]);
        all_of(&net.lab.ask(&format!("{vip}:7"), 60), &SERVERS);
        let mut connection = net.lab.connect(&format!("{vip}:80")).unwrap();
        connection.upload(20_000_000).unwrap();
        connection.get("/bytes/20000000").unwrap();
    }
    // One port of an address may go, and the other stays.
    net.lb.vppctl(&format!("lb as {VIP}/32 protocol tcp port 80 10.0.11.2 target_port 8081 del"));
    all_of(&net.lab.tally(&format!("{VIP}:80"), 60), &SERVERS);
}
