//! What offers frames, and the minimal loop over AF_PACKET. Both use the rings of this project and nothing else of it.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nodes::af_packet::{DeviceOptions, PacketDevice};
use nodes::sys::VnetHdr;

/// Frames between two system calls.
const VECTOR: usize = 256;

/// Sends UDP datagrams of a thousand ports from `a0` to 10.0.2.2 by `r0`, as fast as they go.
pub fn offer() {
    let options = DeviceOptions { offload: false, tx_frames: 1024, ..DeviceOptions::new("a0") };
    let mut tx = PacketDevice::open(&options).unwrap().tx.remove(0);
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 1, 2], [2, 0, 0, 0, 1, 1])
        .ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64)
        .udp(0, 9)
        .write(&mut frame, &[0; 18])
        .unwrap();
    // No checksum: the port changes.
    frame[40..42].fill(0);
    for number in 0_u64.. {
        let port = 1024 + (number % 1000) as u16;
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        while !reserve(&mut tx, &frame, &VnetHdr::default(), |_| ()) {
            tx.kick();
        }
        if number % VECTOR as u64 == 0 {
            tx.kick();
        }
    }
}

/// From `r0` to `r1`, with Maglane's own rings of the default sizes.
pub fn packet() {
    let mut rx = PacketDevice::open(&DeviceOptions::new("r0")).unwrap().rx.remove(0);
    let mut tx = PacketDevice::open(&DeviceOptions::new("r1")).unwrap().tx.remove(0);
    loop {
        let mut taken = 0;
        while taken < VECTOR
            && let Some(frame) = rx.next_frame()
        {
            taken += 1;
            reserve(&mut tx, frame.data, &frame.vnet, readdress);
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
