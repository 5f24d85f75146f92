//! A kernel device opened for use: its rings and its control part.

use std::os::fd::{AsFd, BorrowedFd};

use super::error::DeviceError;
use super::ring::{RingLayout, RxRing, TxRing, Version};
use super::socket::PacketSocket;
use crate::sys::link::{LinkFacts, device_of};
use crate::sys::link_set;
use crate::sys::raw::{Offload, does_offload};

/// How to open a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// The device, or an alias of it such as `lo:1`.
    pub name: String,
    /// The format of the rings.
    pub version: Version,
    /// Receive queues, 1 to 64. With more than one, flows are spread over them.
    pub rx_queues: u32,
    /// Transmit queues, 1 to 64.
    pub tx_queues: u32,
    /// Frames carry a virtio-net header, unfinished checksums and up to 64 KB.
    pub offload: bool,
    /// Send past the queueing discipline.
    pub qdisc_bypass: bool,
    /// Frames per transmit queue; rounded up to fill blocks. A frame holds a packet of the device's MTU; what is longer
    /// (large segments) goes past the ring.
    pub tx_frames: u32,
    /// Blocks of 128 KiB per receive queue (version 3), or an eighth of the frames of 68 KiB (version 2: 64 makes 510).
    pub rx_blocks: u32,
    /// The interface's own address, if it is not the kernel's: the device is asked to let frames for it in.
    pub mac: Option<[u8; 6]>,
}

/// A device with its rings. Take it apart: each ring goes to its worker.
#[derive(Debug)]
pub struct PacketDevice {
    /// What the kernel said about the device when it was opened.
    pub link: LinkFacts,
    /// One ring per receive queue.
    pub rx: Vec<RxRing>,
    /// One ring per transmit queue.
    pub tx: Vec<TxRing>,
    /// What concerns the device and no queue.
    pub control: Control,
}

/// The part of a device that the control thread keeps. What it asks of the kernel ends when it is dropped.
#[derive(Debug)]
pub struct Control {
    socket: PacketSocket,
    device: u32,
    promiscuous: bool,
    mac: Option<[u8; 6]>,
}

impl DeviceOptions {
    /// The defaults for a device: version 3, one queue each way, offload, past the queueing discipline.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            version: Version::V3,
            rx_queues: 1,
            tx_queues: 1,
            offload: true,
            qdisc_bypass: true,
            tx_frames: 256,
            rx_blocks: 64,
            mac: None,
        }
    }

    fn rx_layout(&self, mtu: u32) -> RingLayout {
        match (self.version, self.offload) {
            (Version::V3, _) => RingLayout::receive_blocks(self.rx_blocks.clamp(2, 4096)),
            (Version::V2, true) => RingLayout::large_frames(self.rx_blocks.clamp(1, 512) * 8),
            (Version::V2, false) => RingLayout::mtu_frames(mtu, self.rx_blocks.clamp(1, 512) * 64),
        }
    }
}

impl PacketDevice {
    /// Opens the device in the thread's namespace. It may be down; frames come when it is up.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDevice`], [`DeviceError::NotPermitted`], or what the kernel says.
    pub fn open(options: &DeviceOptions) -> Result<Self, DeviceError> {
        let name = options.name.as_str();
        let (control, link) = Control::open(name, options.mac)?;
        let rx = open_rx(options, &link)?;
        let tx = (0..options.tx_queues.clamp(1, MAX_QUEUES)).map(|_| open_tx(options, &link));
        Ok(Self { rx, tx: tx.collect::<Result<_, _>>()?, control, link })
    }
}

impl Control {
    /// Opens the device in the thread's namespace: frames for `mac`, if that is not its own address, and for groups are let
    /// in from now on.
    ///
    /// # Errors
    /// As for [`PacketDevice::open`].
    pub fn open(name: &str, mac: Option<[u8; 6]>) -> Result<(Self, LinkFacts), DeviceError> {
        let (socket, link) = PacketSocket::open(name)?;
        let mut control = Control { socket, device: link.index, promiscuous: false, mac: None };
        if !link.loopback {
            control.set_mac(mac.filter(|mac| *mac != link.mac))?;
            control.socket.accept_groups()?;
        }
        Ok((control, link))
    }

    /// What the device does by itself, in VPP's words; nothing where the kernel does not say.
    pub fn offloads(&self) -> Vec<&'static str> {
        let name = device_of(self.socket.name());
        let all = [
            (Offload::RxChecksum, "rx checksum"),
            (Offload::TxChecksum, "tx checksum"),
            (Offload::TcpSegmentation, "tcp segmentation offload"),
            (Offload::GenericSegmentation, "generic segmentation offload"),
        ];
        let done = |offload| does_offload(self.socket.as_fd(), name, offload).unwrap_or(false);
        all.into_iter().filter(|(offload, _)| done(*offload)).map(|(_, words)| words).collect()
    }

    /// Turns promiscuous mode on or off; saying the same twice does nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_promiscuous(&mut self, on: bool) -> Result<(), DeviceError> {
        if self.promiscuous != on {
            self.socket.set_promiscuous(on)?;
            self.promiscuous = on;
        }
        Ok(())
    }

    /// Has the device let frames for `mac` in, and no longer those for the address before.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_mac(&mut self, mac: Option<[u8; 6]>) -> Result<(), DeviceError> {
        if self.mac == mac {
            return Ok(());
        }
        if let Some(mac) = mac {
            self.socket.accept_mac(mac, true)?;
        }
        if let Some(old) = std::mem::replace(&mut self.mac, mac) {
            self.socket.accept_mac(old, false)?;
        }
        Ok(())
    }

    /// Sets the kernel's device up or down.
    ///
    /// # Errors
    /// What the kernel says; needs CAP_NET_ADMIN.
    pub fn set_kernel_up(&self, up: bool) -> Result<(), DeviceError> {
        link_set::set_up(self.device, up).map_err(|source| {
            DeviceError::with("set the device up or down", "CAP_NET_ADMIN", self.socket.name(), source)
        })
    }

    /// The kernel's number of the device.
    pub fn device(&self) -> u32 {
        self.device
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open_rx(options: &DeviceOptions, link: &LinkFacts) -> Result<Vec<RxRing>, DeviceError> {
    let count = options.rx_queues.clamp(1, MAX_QUEUES);
    let layout = options.rx_layout(link.mtu);
    let mut rings = Vec::new();
    for _ in 0..count {
        let socket = PacketSocket::for_device(&options.name, link.index)?;
        socket.ignore_outgoing();
        rings.push(RxRing::new(socket, options.version, layout, options.offload)?);
    }
    if let [only] = rings.as_slice() {
        only.socket().bind(true)?;
        return Ok(rings);
    }
    let mut group = None;
    for ring in &rings {
        ring.socket().close_gate()?;
        ring.socket().bind(true)?;
        group = Some(ring.socket().join_fanout(group)?);
    }
    for ring in &rings {
        ring.socket().open_gate()?;
    }
    Ok(rings)
}

fn open_tx(options: &DeviceOptions, link: &LinkFacts) -> Result<TxRing, DeviceError> {
    let open = || {
        let socket = PacketSocket::for_device(&options.name, link.index)?;
        if options.qdisc_bypass {
            socket.set_qdisc_bypass(true)?;
        }
        socket.set_send_buffer(SEND_BUFFER);
        Ok(socket)
    };
    let layout = RingLayout::transmit(link.mtu, options.tx_frames);
    TxRing::new(open()?, open()?, options.version, layout)
}

const MAX_QUEUES: u32 = 64;

/// Bytes on their way at once per transmit queue, and as much past its ring: a vector of full-size GSO frames.
const SEND_BUFFER: usize = 16 << 20;
