//! What offers frames, and the minimal loop over AF_PACKET, which uses the rings of this project and nothing else of it.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nodes::af_packet::{DeviceOptions, PacketDevice};
use nodes::sys::VnetHdr;

/// Frames between two system calls.
const VECTOR: usize = 256;

/// Bytes of each datagram: a frame of 60, the least that Ethernet has.
const PAYLOAD: usize = 18;
/// Datagrams that the kernel cuts one system call's bytes into.
const AT_ONCE: usize = 64;

/// Sends UDP datagrams to a thousand ports of 10.0.2.2 by `a0`, as fast as they go. The kernel makes many of one system call
/// and hands them to the device together: whoever carries them must be slower than what offers them.
pub fn offer() {
    let socket = UdpSocket::bind((Ipv4Addr::new(10, 0, 1, 2), 0)).unwrap();
    setsockopt(&socket, sockopt::UdpGsoSegment, &(PAYLOAD as i32)).unwrap();
    let mut sent = Ok(0);
    for port in (1024..2024).cycle() {
        let result = socket.send_to(&[0; PAYLOAD * AT_ONCE], (Ipv4Addr::new(10, 0, 2, 2), port));
        // A full queue is nothing to end for; what fails twice in a row is something else.
        assert!(result.is_ok() || sent.is_ok(), "{result:?}");
        sent = result;
    }
}

/// From `r0` to `r1`, with Maglane's own rings of the default sizes; `ask` gives the virtio-net header of what is sent, from
/// that of what came and the length.
pub fn packet(ask: impl Fn(VnetHdr, usize) -> VnetHdr) {
    let mut rx = PacketDevice::open(&DeviceOptions::new("r0")).unwrap().rx.remove(0);
    let mut tx = PacketDevice::open(&DeviceOptions::new("r1")).unwrap().tx.remove(0);
    loop {
        let mut taken = 0;
        while taken < VECTOR
            && let Some(frame) = rx.next_frame()
        {
            taken += 1;
            reserve(&mut tx, frame.data, &ask(frame.vnet, frame.data.len()), readdress);
        }
        if taken > 0 {
            tx.kick();
        } else {
            let mut wait = [PollFd::new(rx.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut wait, PollTimeout::from(100_u16));
        }
    }
}

/// Writes a frame into the ring; `false` where it is full.
fn reserve(tx: &mut nodes::af_packet::TxRing, frame: &[u8], vnet: &VnetHdr, change: impl Fn(&mut [u8])) -> bool {
    let Some(mut slot) = tx.reserve() else { return false };
    let Some(room) = slot.data().get_mut(..frame.len()) else { return true };
    room.copy_from_slice(frame);
    change(room);
    slot.commit(frame.len(), vnet)
}

/// The addresses of the next hop, as Maglane writes them.
pub fn readdress(frame: &mut [u8]) {
    if let Some(link) = frame.get_mut(..12) {
        link.copy_from_slice(&[2, 0, 0, 0, 2, 0x99, 2, 0, 0, 0, 2, 1]);
    }
}
