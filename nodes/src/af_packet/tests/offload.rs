//! Unfinished checksums and large segments of a real kernel's sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::*;

#[test]
fn a_udp_datagram_comes_with_its_checksum_unfinished() {
    let Some(net) = Namespaces::pair("csum") else { return };
    net.ip(&format!("-n {} neigh add 10.99.0.77 lladdr 02:fe:01:02:03:04 dev veth-b", net.name(1)));
    for version in BOTH {
        let mut here = open(&net, 0, &options("veth-a", version));
        in_namespace(Some(net.name(1)), || {
            UdpSocket::bind("10.99.0.2:0").unwrap().send_to(b"hello", "10.99.0.77:9").unwrap();
        })
        .unwrap();
        eventually(PATIENCE, "the datagram", || {
            let Some(frame) = here.rx[0].next_frame() else { return false };
            if frame.data.len() != 47 {
                return false;
            }
            assert!(frame.vnet.needs_checksum());
            assert_eq!((frame.vnet.csum_start, frame.vnet.csum_offset, frame.vnet.gso_type), (34, 6, 0));
            assert_eq!(frame.data[..6], OWN_MAC);
            true
        });
    }
}

#[test]
fn segments_of_64_kb_come_whole() {
    let Some(net) = Namespaces::pair("gso") else { return };
    for version in BOTH {
        let mut here = open(&net, 0, &options("veth-a", version));
        let (mut longest, mut large) = (0, 0);
        kernel_transfer(&net, 8 << 20, || {
            while let Some(frame) = here.rx[0].next_frame() {
                assert!(!frame.is_truncated());
                if frame.data.len() > 1514 {
                    large += 1;
                    assert_eq!(frame.vnet.gso(), VnetHdr::GSO_TCPV4);
                    assert!(frame.vnet.needs_checksum() && frame.vnet.gso_size > 1000 && frame.vnet.csum_start == 34);
                }
                longest = longest.max(frame.data.len());
            }
        });
        assert!(large > 10 && longest > 40_000, "{version:?}: {large} large segments, the longest {longest} bytes");
    }
}

#[test]
fn a_ring_without_offload_marks_what_it_had_to_cut() {
    let Some(net) = Namespaces::pair("cut") else { return };
    let mut here = open(&net, 0, &DeviceOptions { offload: false, ..options("veth-a", Version::V2) });
    let mut cut = 0;
    kernel_transfer(&net, 4 << 20, || {
        while let Some(frame) = here.rx[0].next_frame() {
            assert_eq!(frame.vnet, VnetHdr::default());
            assert_eq!(frame.is_truncated(), frame.data.len() < frame.len as usize);
            cut += u32::from(frame.is_truncated());
        }
    });
    assert!(cut > 0);
}

/// Has the second namespace's kernel send `bytes` to the first's, calling `look` all the while.
fn kernel_transfer(net: &Namespaces, bytes: usize, mut look: impl FnMut()) {
    let listener = in_namespace(Some(net.name(0)), || TcpListener::bind("10.99.0.1:0")).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let mut stream = in_namespace(Some(net.name(1)), || TcpStream::connect(address)).unwrap().unwrap();
    let sender = thread::spawn(move || {
        let chunk = vec![7; 1 << 20];
        for _ in 0..bytes / chunk.len() {
            stream.write_all(&chunk).unwrap();
        }
    });
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return total,
                len => total += len,
            }
        }
    });
    while !receiver.is_finished() {
        look();
        thread::sleep(Duration::from_micros(100));
    }
    look();
    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), bytes);
}
