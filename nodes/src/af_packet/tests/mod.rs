//! Tests against a real kernel, in network namespaces of their own.

mod bridge;
mod events;
mod fanout;
mod frames;
mod offload;

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{DeviceOptions, PacketDevice, RxRing, TxRing, Version};
use crate::sys::testing::{Namespaces, eventually};
use crate::sys::{VnetHdr, in_namespace};

const BOTH: [Version; 2] = [Version::V2, Version::V3];
const PATIENCE: Duration = Duration::from_secs(5);
/// An address that belongs to none of the kernel's devices.
const OWN_MAC: [u8; 6] = [2, 0xfe, 1, 2, 3, 4];

fn open(net: &Namespaces, ns: usize, options: &DeviceOptions) -> PacketDevice {
    in_namespace(Some(net.name(ns)), || PacketDevice::open(options)).unwrap().unwrap()
}

fn options(name: &str, version: Version) -> DeviceOptions {
    DeviceOptions { version, ..DeviceOptions::new(name) }
}

/// A frame of an EtherType for experiments (IEEE Std 802), numbered.
fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = OWN_MAC.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (at as u32 ^ number) as u8));
    frame
}

fn is_ours(data: &[u8]) -> bool {
    data.get(12..14) == Some(&[0x88, 0xb5])
}

fn queue(tx: &mut TxRing, bytes: &[u8], vnet: &VnetHdr) -> bool {
    let Some(mut slot) = tx.reserve() else { return false };
    slot.data()[..bytes.len()].copy_from_slice(bytes);
    slot.commit(bytes.len(), &vnet.in_one_piece(bytes.len()))
}

/// Waits until `wanted` frames of ours came, and returns them all.
fn receive(rx: &mut RxRing, wanted: usize) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    eventually(PATIENCE, "frames", || {
        while let Some(frame) = rx.next_frame() {
            assert!(!frame.is_truncated());
            if is_ours(frame.data) {
                got.push(frame.data.to_vec());
            }
        }
        got.len() >= wanted
    });
    got
}

/// What `poll` says about a descriptor within a time in milliseconds.
fn ready(fd: impl AsFd, milliseconds: u16) -> PollFlags {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(milliseconds)).unwrap();
    fds[0].revents().unwrap_or(PollFlags::empty())
}
