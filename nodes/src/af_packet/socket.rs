//! One packet socket and its options.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use serde::Serialize;
use socket2::{Domain, SockFilter, Socket, Type};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::error::{DeviceError, DeviceEvent};
use super::ring::{RingLayout, Version};
use crate::sys::link::{LinkFacts, device_of, link_by_name};
use crate::sys::raw::{self, PacketOption};

/// A non-blocking packet socket for one device. It receives nothing until [`PacketSocket::bind`].
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
    name: String,
    device: u32,
    /// `PACKET_STATISTICS` clears what it reads, so the sum is kept here.
    counts: KernelCounts,
}

/// A group of sockets among which the kernel spreads the frames of a device by flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fanout {
    id: u16,
    ignore_outgoing: bool,
}

/// What the kernel counted for a socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KernelCounts {
    /// Frames that the kernel had for the socket, those dropped included.
    pub packets: u64,
    /// Frames dropped because the ring was full.
    pub drops: u64,
    /// How often a ring of version 3 ran full.
    pub freezes: u64,
}

impl PacketSocket {
    /// Opens a socket for the device `name` of the thread's namespace. An alias such as `lo:1` means the device `lo`,
    /// but keeps its name.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDevice`], [`DeviceError::NotPermitted`] without CAP_NET_RAW.
    pub fn open(name: &str) -> Result<(Self, LinkFacts), DeviceError> {
        let fail = |doing| move |source| DeviceError::new(name, doing, source);
        let link = link_by_name(device_of(name)).map_err(fail("ask for the device"))?;
        let link = link.ok_or_else(|| DeviceError::NoSuchDevice { name: name.into() })?;
        Ok((Self::for_device(name, link.index)?, link))
    }

    /// Opens another socket for a device whose index is known.
    ///
    /// # Errors
    /// As [`PacketSocket::open`].
    pub fn for_device(name: &str, device: u32) -> Result<Self, DeviceError> {
        // Protocol 0: a socket opened with ETH_P_ALL would collect frames of every device until it is bound.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)
            .map_err(|source| DeviceError::new(name, "open a packet socket", source))?;
        Ok(Self { socket, name: name.into(), device, counts: KernelCounts::default() })
    }

    /// The name that the device was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Chooses the ring format. Before any ring.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_version(&self, version: Version) -> Result<(), DeviceError> {
        self.set("choose the ring version", PacketOption::Version, &version.code())
    }

    /// Puts a [`crate::sys::VnetHdr`] before each frame, so that unfinished checksums and large segments pass.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_vnet_hdr(&self, on: bool) -> Result<(), DeviceError> {
        self.set("use the virtio-net header", PacketOption::VnetHdr, &i32::from(on))
    }

    /// Asks not to be shown what others send through the device. Kernels before 4.20 cannot: `false`, and the ring
    /// leaves those frames out itself.
    pub fn ignore_outgoing(&self) -> bool {
        raw::set_packet_option(self.as_fd(), PacketOption::IgnoreOutgoing, &1).is_ok()
    }

    /// Sends past the queueing discipline.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_qdisc_bypass(&self, on: bool) -> Result<(), DeviceError> {
        self.set("bypass the queueing discipline", PacketOption::QdiscBypass, &i32::from(on))
    }

    /// Lets this many bytes be on their way at once; without CAP_NET_ADMIN the system's limit applies.
    pub fn set_send_buffer(&self, bytes: usize) {
        use nix::sys::socket::{setsockopt, sockopt};
        if setsockopt(&self.socket, sockopt::SndBufForce, &bytes).is_err() {
            // The default of the system is enough to work with.
            let _ = self.socket.set_send_buffer_size(bytes);
        }
    }

    /// Makes the receive or the transmit ring; `retire_ms` is how long a block of version 3 waits for more frames.
    pub(super) fn set_ring(
        &self,
        version: Version,
        transmit: bool,
        layout: &RingLayout,
        retire_ms: u32,
    ) -> Result<(), DeviceError> {
        let option = if transmit { PacketOption::TxRing } else { PacketOption::RxRing };
        let doing = if transmit { "make the transmit ring" } else { "make the receive ring" };
        let sizes = [layout.block_size, layout.blocks, layout.frame_size, layout.frames];
        match version {
            Version::V2 => self.set(doing, option, &sizes),
            Version::V3 => {
                let [block_size, blocks, frame_size, frames] = sizes;
                self.set(doing, option, &[block_size, blocks, frame_size, frames, retire_ms, 0, 0])
            }
        }
    }

    /// Binds to the device: `receive` all its frames, or none (a socket that only sends).
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDevice`] if the device has gone meanwhile. A device that is down is no error.
    pub fn bind(&self, receive: bool) -> Result<(), DeviceError> {
        let ethertype = if receive { libc::ETH_P_ALL as u16 } else { 0 };
        match raw::bind_packet(self.as_fd(), self.device, ethertype) {
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(()),
            result => result.map_err(|source| DeviceError::new(&self.name, "bind to the device", source)),
        }
    }

    /// Joins a group, or starts one. After [`PacketSocket::bind`].
    ///
    /// Fragments are not put together first: all fragments of a datagram go to the queue that their addresses choose.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn join_fanout(&self, group: Option<Fanout>) -> Result<Fanout, DeviceError> {
        let kind = libc::PACKET_FANOUT_HASH;
        if let Some(group) = group {
            let ignore = if group.ignore_outgoing { libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING } else { 0 };
            self.set("join the fan-out group", PacketOption::Fanout, &(u32::from(group.id) | (kind | ignore) << 16))?;
            return Ok(group);
        }
        // A number of the kernel's choice: one of our own might be in use by another program.
        let unique = kind | libc::PACKET_FANOUT_FLAG_UNIQUEID;
        let ignoring = unique | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
        let ignore_outgoing = raw::set_packet_option(self.as_fd(), PacketOption::Fanout, &(ignoring << 16)).is_ok();
        if !ignore_outgoing {
            self.set("start a fan-out group", PacketOption::Fanout, &(unique << 16))?;
        }
        let id = raw::packet_option::<u32>(self.as_fd(), PacketOption::Fanout)
            .map_err(|source| DeviceError::new(&self.name, "read the fan-out group", source))?;
        Ok(Fanout { id: id as u16, ignore_outgoing })
    }

    /// Refuses all frames until [`PacketSocket::open_gate`], so that sockets which join a group one by one do not each
    /// get a copy of everything in between.
    pub(super) fn close_gate(&self) -> Result<(), DeviceError> {
        // BPF: return 0 bytes of the frame.
        let refuse = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
        self.socket.attach_filter(&[refuse]).map_err(|source| DeviceError::new(&self.name, "hold frames back", source))
    }

    pub(super) fn open_gate(&self) -> Result<(), DeviceError> {
        self.socket.detach_filter().map_err(|source| DeviceError::new(&self.name, "let frames in", source))
    }

    /// Turns promiscuous mode on or off for as long as the socket is open. Calls add up: on and off must alternate.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_promiscuous(&self, on: bool) -> Result<(), DeviceError> {
        self.membership(on, libc::PACKET_MR_PROMISC as u16, None)
    }

    /// Has the device let frames for `mac` in beside its own, for as long as the socket is open. A device without a list
    /// of addresses turns promiscuous instead (veth does, to no effect: it filters nothing anyway).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn accept_mac(&self, mac: [u8; 6], on: bool) -> Result<(), DeviceError> {
        self.membership(on, libc::PACKET_MR_UNICAST as u16, Some(mac))
    }

    /// Has the device let in the frames of all groups, for as long as the socket is open: IPv6 neighbours ask through them.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn accept_groups(&self) -> Result<(), DeviceError> {
        self.membership(true, libc::PACKET_MR_ALLMULTI as u16, None)
    }

    /// What the kernel counted since the socket was opened.
    pub fn kernel_counts(&mut self) -> KernelCounts {
        if let Ok([packets, drops, freezes]) = raw::packet_option::<[u32; 3]>(self.as_fd(), PacketOption::Statistics) {
            self.counts.packets += u64::from(packets);
            self.counts.drops += u64::from(drops);
            self.counts.freezes += u64::from(freezes);
        }
        self.counts
    }

    /// What happened to the device since the last call. Until this is called after a happening, `epoll` reports an
    /// error on the descriptor again and again.
    pub fn take_event(&self) -> Option<DeviceEvent> {
        self.socket.take_error().ok().flatten().map(|_| self.device_state().unwrap_or(DeviceEvent::Down))
    }

    /// [`DeviceEvent::Gone`] if the socket has lost its device.
    pub(super) fn device_state(&self) -> Option<DeviceEvent> {
        raw::bound_device(self.as_fd()).is_ok_and(|device| device.is_none()).then_some(DeviceEvent::Gone)
    }

    /// Asks the kernel to send what stands in the transmit ring.
    pub(super) fn send_ring(&self) -> io::Result<usize> {
        self.socket.send_with_flags(&[], libc::MSG_DONTWAIT)
    }

    /// Sends one frame that stands in pieces, the virtio-net header (if the socket has one) first. For a socket without a
    /// transmit ring.
    pub(super) fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.send_vectored_with_flags(pieces, libc::MSG_DONTWAIT)
    }

    fn membership(&self, on: bool, kind: u16, mac: Option<[u8; 6]>) -> Result<(), DeviceError> {
        let option = if on { PacketOption::AddMembership } else { PacketOption::DropMembership };
        let mut request = Membership { device: self.device as i32, kind, len: 0, address: [0; 8] };
        if let Some(mac) = mac {
            request.len = 6;
            request.address[..6].copy_from_slice(&mac);
        }
        self.set("change what the device lets in", option, &request)
    }

    fn set<T>(&self, doing: &'static str, option: PacketOption, value: &T) -> Result<(), DeviceError>
    where
        T: IntoBytes + Immutable,
    {
        raw::set_packet_option(self.as_fd(), option, value)
            .map_err(|source| DeviceError::new(&self.name, doing, source))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// `struct packet_mreq` of packet(7).
#[repr(C)]
#[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
struct Membership {
    device: i32,
    kind: u16,
    len: u16,
    address: [u8; 8],
}
