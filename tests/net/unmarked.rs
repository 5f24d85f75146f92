//! AF_PACKET interfaces without headers of their own: senders leave checksums to their devices, and only a bit says so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::demos::lab::{Lab, tell};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn checksums_that_nothing_places_are_completed() {
    let Some(lab) = Lab::new("unmarked", &["left", "router", "right"]) else { return };
    lab.set("router", "ipv6.conf.all.disable_ipv6=1");
    let mut script = String::new();
    for (side, name, device, version) in [(1, "left", "r0", ""), (2, "right", "r1", "v2 ")] {
        lab.link(name, "e0", "router", device);
        lab.address(name, "e0", &[&format!("10.0.{side}.2/24"), &format!("fd0{side}::2/64")]);
        lab.ip(name, &format!("route add default via 10.0.{side}.1"));
        lab.ip(name, &format!("-6 route add default via fd0{side}::1"));
        script += &format!(
            "create host-interface {version}name {device} cksum-gso-disable\n\
             set interface ip address host-{device} 10.0.{side}.1/24\n\
             set interface ip address host-{device} fd0{side}::1/64\n\
             set interface state host-{device} up\n"
        );
    }
    let router = lab.daemon("router", 1, "");
    tell(&router, &script);
    for (left, right) in [("10.0.1.2", "10.0.2.2"), ("[fd01::2]", "[fd02::2]")] {
        datagrams(&lab, left, right);
        connection(&lab, right);
    }
}

/// Datagrams both ways: a kernel drops those whose checksum is wrong.
fn datagrams(lab: &Lab, left: &str, right: &str) {
    let bind = |name: &str, address: &str| {
        let socket = lab.within(name, || UdpSocket::bind(format!("{address}:7777"))).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let (here, there) = (bind("left", left), bind("right", right));
    for len in [1, 10, 1400] {
        let (sent, mut got) = (vec![len as u8; len], [0; 2000]);
        here.send_to(&sent, format!("{right}:7777")).unwrap();
        let (count, from) = there.recv_from(&mut got).unwrap_or_else(|error| panic!("{len} bytes to {right}: {error}"));
        assert_eq!(got[..count], sent);
        there.send_to(&got[..count], from).unwrap();
        assert_eq!(here.recv(&mut got).unwrap_or_else(|error| panic!("{len} bytes from {right}: {error}")), len);
    }
}

fn connection(lab: &Lab, right: &str) {
    let listener = lab.within("right", || TcpListener::bind(format!("{right}:7778"))).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, mut word) = (listener.accept().unwrap().0, [0; 5]);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
    });
    let mut stream = lab.within("left", || TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    server.join().unwrap();
}
