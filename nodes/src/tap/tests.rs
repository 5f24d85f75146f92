//! Taps against a real kernel, in network namespaces of their own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::*;
use crate::af_packet::DeviceEvent;
use crate::sys::testing::{Namespaces, eventually};
use crate::sys::{LinkEvent, VnetHdr, in_namespace, link_by_name};

const MAC: [u8; 6] = [2, 0xfe, 9, 9, 9, 9];

fn options(net: &Namespaces, ns: usize, id: u32) -> TapOptions {
    TapOptions { id, host_ns: Some(net.name(ns).into()), ..TapOptions::default() }
}

#[test]
fn the_kernels_end_is_as_asked_for() {
    let Some(net) = Namespaces::new("tap", 1) else { return };
    let wanted = TapOptions {
        host_name: Some("server0".into()),
        host_mac: Some([2, 1, 2, 3, 4, 5]),
        host_mtu: Some(1400),
        host_address: Some((Ipv4Addr::new(10, 97, 0, 1), 24)),
        host_gateway: Some(Ipv4Addr::new(10, 97, 0, 2)),
        ..options(&net, 0, 3)
    };
    let (tap, mut monitor) = Tap::create(&wanted).unwrap();
    let link = tap.link();
    assert_eq!((link.name.as_str(), link.mac, link.mtu, link.up), ("server0", [2, 1, 2, 3, 4, 5], 1400, true));
    let bound = in_namespace(Some(net.name(0)), || TcpListener::bind("10.97.0.1:0")).unwrap();
    assert!(bound.is_ok(), "the address is there");
    assert_eq!(link_by_name("server0").unwrap(), None, "not in our own namespace");
    assert!(matches!(Tap::create(&wanted), Err(TapError::Exists { .. })));
    drop(tap);
    // Not at once: a process that another test is about to start may still hold what it inherited.
    eventually(
        Duration::from_secs(2),
        "news that it is gone",
        || matches!(monitor.next_event().unwrap(), Some(LinkEvent::Gone(link)) if link.name == "server0"),
    );
    assert_eq!(in_namespace(Some(net.name(0)), || link_by_name("server0")).unwrap().unwrap(), None);
    let (tap, _) = Tap::create(&options(&net, 0, 3)).unwrap();
    assert_eq!(tap.link().name, "tap3");
}

#[test]
fn what_cannot_be_is_said_in_words() {
    let bad = TapOptions { host_name: Some("much-too-long-a-name".into()), ..TapOptions::default() };
    assert!(Tap::create(&bad).unwrap_err().to_string().contains("cannot be the name of a device"));
    let nowhere = TapOptions { host_ns: Some("mgl-no-such-ns".into()), ..TapOptions::default() };
    assert_eq!(
        Tap::create(&nowhere).unwrap_err().to_string(),
        "tap: no network namespace `mgl-no-such-ns' in /var/run/netns"
    );
    let Some(net) = Namespaces::new("taperr", 1) else { return };
    let bridge = TapOptions { host_bridge: Some("nobridge".into()), ..options(&net, 0, 1) };
    assert!(matches!(Tap::create(&bridge), Err(TapError::NoBridge { .. })));
    let gateway = TapOptions { host_gateway: Some(Ipv4Addr::new(1, 2, 3, 4)), ..options(&net, 0, 1) };
    assert!(matches!(Tap::create(&gateway), Err(TapError::Os { .. })));
    assert_eq!(in_namespace(Some(net.name(0)), || link_by_name("tap1")).unwrap().unwrap(), None, "nothing is left");
}

/// Answers ARP requests and echo requests for anybody but the kernel's own end.
fn answer(frame: &TapFrame<'_>) -> Option<Vec<u8>> {
    let mut reply = frame.data.to_vec();
    reply[..6].copy_from_slice(&frame.data[6..12]);
    reply[6..12].copy_from_slice(&MAC);
    match frame.data.get(12..14)? {
        [8, 6] if frame.data.len() >= 42 && frame.data[21] == 1 => {
            reply[21] = 2;
            reply[22..28].copy_from_slice(&MAC);
            reply[28..32].copy_from_slice(&frame.data[38..42]);
            reply[32..42].copy_from_slice(&frame.data[22..32]);
        }
        [8, 0] if frame.data.get(23) == Some(&1) && frame.data.get(34) == Some(&8) => {
            reply[26..30].copy_from_slice(&frame.data[30..34]);
            reply[30..34].copy_from_slice(&frame.data[26..30]);
            // Type 8 becomes 0: the sum grows by 0x0800 in ones' complement (RFC 1624).
            reply[34] = 0;
            let sum = u32::from(u16::from_be_bytes([reply[36], reply[37]])) + 0x0800;
            reply[36..38].copy_from_slice(&((sum + (sum >> 16)) as u16).to_be_bytes());
        }
        _ => return None,
    }
    Some(reply)
}

#[test]
fn the_kernel_pings_across_a_tap() {
    let Some(net) = Namespaces::new("ping", 1) else { return };
    let address = Some((Ipv4Addr::new(10, 97, 0, 1), 24));
    let (mut tap, _monitor) = Tap::create(&TapOptions { host_address: address, ..options(&net, 0, 0) }).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let Some(reply) = tap.receive().unwrap().map(|frame| answer(&frame)) else {
                    thread::sleep(Duration::from_micros(200));
                    continue;
                };
                if let Some(reply) = reply {
                    // In pieces of 7 bytes at first, to see that pieces make one frame.
                    let (head, tail) = reply.split_at(42.min(reply.len()));
                    let pieces = head.chunks(7).chain([tail]);
                    assert_eq!(tap.send(&VnetHdr::default(), pieces), TapSent::Sent);
                }
            }
        });
        let answered = in_namespace(Some(net.name(0)), || (1..=3).map(ping).collect::<std::io::Result<Vec<_>>>());
        stop.store(true, Ordering::Relaxed);
        answered.unwrap().unwrap();
    });
}

/// One echo request of 1000 bytes through the kernel, and its reply.
fn ping(sequence: u8) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = vec![0; 1000];
    (request[0], request[7]) = (8, sequence);
    let sum = !(0x0800 + u16::from(sequence));
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    let peer = SocketAddr::from(([10, 97, 0, 2], 0));
    socket.send_to(&request, &peer.into())?;
    let mut reply = [0; 2000];
    loop {
        let len = (&socket).read(&mut reply)?;
        if reply[20..len].first() == Some(&0) && reply[27] == sequence {
            assert_eq!(len, 1020);
            return Ok(());
        }
    }
}

#[test]
fn tcp_crosses_two_taps_uncut() {
    let Some(net) = Namespaces::new("taptcp", 2) else { return };
    let end = |ns, last| {
        let host_address = Some((Ipv4Addr::new(10, 96, 0, last), 24));
        Tap::create(&TapOptions { host_address, ..options(&net, ns, 0) }).unwrap().0
    };
    let (mut left, mut right) = (end(0, 1), end(1, 2));
    let listener = in_namespace(Some(net.name(1)), || TcpListener::bind("10.96.0.2:0")).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let stop = AtomicBool::new(false);
    let bytes = 8 << 20;
    let data = (0..bytes).map(|at| (at ^ (at >> 9)) as u8).collect::<Vec<_>>();
    let large = thread::scope(|scope| {
        let bridge = scope.spawn(|| {
            let mut large = 0;
            while !stop.load(Ordering::Relaxed) {
                if !pass_on(&mut left, &mut right, &mut large) & !pass_on(&mut right, &mut left, &mut large) {
                    thread::sleep(Duration::from_micros(50));
                }
            }
            large
        });
        let sender = scope.spawn(|| {
            let mut stream = in_namespace(Some(net.name(0)), || TcpStream::connect(address)).unwrap().unwrap();
            stream.write_all(&data).unwrap();
        });
        let mut got = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
        sender.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(got == data);
        bridge.join().unwrap()
    });
    assert!(large > 20, "only {large} large segments crossed");
}

fn pass_on(from: &mut Tap, to: &mut Tap, large: &mut u32) -> bool {
    let Some(frame) = from.receive().unwrap() else { return false };
    if frame.data.len() > 1514 {
        *large += 1;
        assert!(frame.vnet.needs_checksum() && frame.vnet.gso() == VnetHdr::GSO_TCPV4);
    }
    assert_eq!(to.send(&frame.vnet, frame.data.chunks(2048)), TapSent::Sent);
    true
}

#[test]
fn down_and_gone_are_told_apart_and_do_not_spin() {
    let Some(net) = Namespaces::new("tapgone", 1) else { return };
    let (mut tap, _monitor) = Tap::create(&options(&net, 0, 0)).unwrap();
    let frame = [0xff; 60];
    assert_eq!(tap.send(&VnetHdr::default(), [&frame[..]]), TapSent::Sent);
    assert_eq!(tap.send(&VnetHdr::default(), [&frame[..5]]), TapSent::Rejected);
    let nonsense = VnetHdr { gso_type: 0x55, ..VnetHdr::default() };
    assert_eq!(tap.send(&nonsense, [&frame[..]]), TapSent::Rejected);
    assert_eq!(tap.send(&VnetHdr::default(), vec![&frame[..1]; Tap::MAX_PIECES + 1]), TapSent::Rejected);
    net.ip(&format!("-n {} link set tap0 down", net.name(0)));
    assert_eq!(tap.send(&VnetHdr::default(), [&frame[..]]), TapSent::Lost(DeviceEvent::Down));
    while tap.receive().unwrap().is_some() {}
    net.ip(&format!("-n {} link del tap0", net.name(0)));
    let mut fds = [PollFd::new(tap.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(1000u16)).unwrap();
    assert!(fds[0].revents().unwrap().contains(PollFlags::POLLERR));
    assert!(matches!(tap.receive(), Err(DeviceEvent::Gone)));
    assert_eq!(tap.send(&VnetHdr::default(), [&frame[..]]), TapSent::Lost(DeviceEvent::Gone));
}
