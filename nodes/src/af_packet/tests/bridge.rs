//! A bridge of two devices made of rings: what the kernels at both ends send must arrive, checksums, large segments and all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

#[test]
fn tcp_crosses_a_bridge_of_rings_uncut() {
    let Some(net) = Namespaces::new("bridge", 3) else { return };
    lay_out(&net);
    for version in BOTH {
        let left = open(&net, 1, &options("left", version));
        let right = open(&net, 1, &options("right", version));
        let stop = AtomicBool::new(false);
        let large = thread::scope(|scope| {
            let bridge = scope.spawn(|| bridge(left, right, &stop));
            transfer(&net, 16 << 20);
            stop.store(true, Ordering::Relaxed);
            bridge.join().unwrap()
        });
        assert!(large > 20, "{version:?}: only {large} large segments crossed");
    }
}

/// Passes frames on both ways; returns how many were longer than the MTU.
fn bridge(mut left: PacketDevice, mut right: PacketDevice, stop: &AtomicBool) -> u32 {
    let mut large = 0;
    while !stop.load(Ordering::Relaxed) {
        let moved = pass_on(&mut left.rx[0], &mut right.tx[0], &mut large)
            + pass_on(&mut right.rx[0], &mut left.tx[0], &mut large);
        if moved == 0 {
            thread::sleep(Duration::from_micros(50));
        }
    }
    large
}

fn pass_on(rx: &mut RxRing, tx: &mut TxRing, large: &mut u32) -> u32 {
    let mut moved = 0;
    while moved < 64 {
        let Some(frame) = rx.next_frame() else { break };
        assert!(!frame.is_truncated());
        *large += u32::from(frame.data.len() > 1514);
        if frame.data.len() <= tx.capacity() {
            assert!(queue(tx, frame.data, &frame.vnet));
        } else {
            // In two pieces, as a chain would be.
            let kick = tx.send_long(frame.data.chunks(40_000), &frame.vnet);
            assert_eq!((kick.rejected, kick.waiting, kick.event), (0, 0, None), "{kick:?}");
        }
        moved += 1;
    }
    let kick = tx.kick();
    assert_eq!((kick.rejected, kick.waiting, kick.event), (0, 0, None), "{kick:?}");
    moved
}

/// The first namespace talks to the third; the second has devices but no address.
fn lay_out(net: &Namespaces) {
    let (a, b, c) = (net.name(0), net.name(1), net.name(2));
    for ns in [a, b, c] {
        net.exec(ns, "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1");
    }
    net.ip(&format!("link add end netns {a} type veth peer name left netns {b}"));
    net.ip(&format!("link add end netns {c} type veth peer name right netns {b}"));
    net.ip(&format!("-n {a} addr add 10.98.0.1/24 dev end"));
    net.ip(&format!("-n {c} addr add 10.98.0.3/24 dev end"));
    for (ns, device) in [(a, "end"), (b, "left"), (b, "right"), (c, "end")] {
        net.ip(&format!("-n {ns} link set {device} up"));
    }
}

fn transfer(net: &Namespaces, bytes: usize) {
    let listener = in_namespace(Some(net.name(2)), || TcpListener::bind("10.98.0.3:0")).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let mut stream = in_namespace(Some(net.name(0)), || TcpStream::connect(address)).unwrap().unwrap();
    let data = (0..bytes).map(|at| (at ^ (at >> 9)) as u8).collect::<Vec<_>>();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            stream.write_all(&data).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
        assert!(got == data, "what arrived is not what was sent ({} of {bytes} bytes)", got.len());
        sender.join().unwrap();
    });
}
