//! What kernels and routers say about translated packets reaches the client in words that it understands: about the VIP.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::direct::{VIP, VIP6};
use super::lab::{all_of, tell};
use super::nat;
use crate::bed::number_after;

#[test]
fn a_port_without_a_listener_refuses() {
    let Some(net) = nat::lay_out("nat-refused", 1) else { return };
    for (vip, encap, server) in [(format!("{VIP}/32"), "nat4", "10.0.11.2"), (format!("{VIP6}/128"), "nat6", "fd11::2")]
    {
        let key = format!("{vip} protocol udp port 9");
        tell(&net.lb, &format!("lb vip {key} encap {encap} type clusterip target_port 9999\nlb as {key} {server}"));
    }
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        let address: SocketAddr = format!("{vip}:9").parse().unwrap();
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = net.lab.within("client", || UdpSocket::bind(any)).unwrap();
        // The kernel gives this socket errors about datagrams to the VIP only.
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send(b"anybody?").unwrap();
        let error = socket.recv(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{vip}: {error}");
    }
}

#[test]
fn clients_learn_the_size_of_the_way_behind_us() {
    let Some(net) = nat::lay_out("nat-size", 1) else { return };
    for i in 1..=3 {
        net.lb.vppctl(&format!("set interface mtu 1300 host-l{i}"));
    }
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        let mut connection = net.lab.connect(&format!("{vip}:80")).unwrap();
        connection.upload(3_000_000).unwrap_or_else(|error| panic!("{vip}: {error}\n{}", net.lb.vppctl("show errors")));
    }
}

#[test]
fn servers_learn_the_size_of_the_way_to_the_client() {
    let Some(net) = nat::lay_out("nat-size-back", 1) else { return };
    net.lb.vppctl("set interface mtu 1300 host-l0");
    for vip in [VIP.to_string(), format!("[{VIP6}]")] {
        let mut connection = net.lab.connect(&format!("{vip}:80")).unwrap();
        let answer = connection.get("/bytes/3000000");
        answer.unwrap_or_else(|error| panic!("{vip}: {error}\n{}", net.lb.vppctl("show errors")));
    }
}

#[test]
fn a_client_may_ask_a_vip_for_an_echo() {
    let Some(net) = nat::lay_out("nat-ping", 1) else { return };
    assert!(net.lab.exec("client", &format!("ping -q -c 3 -i 0.2 -W 5 {VIP}")), "IPv4");
    assert!(net.lab.exec("client", &format!("ping -6 -q -c 3 -i 0.2 -W 5 {VIP6}")), "IPv6");
    all_of(&net.lab.ask(&format!("{VIP}:7"), 30), &super::direct::SERVERS);
    assert!(number_after(&net.lb.vppctl("show interface host-l0"), "tx packets") > 6);
}
