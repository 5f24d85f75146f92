//! Making a tap, and frames through it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use zerocopy::IntoBytes;

use super::error::TapError;
use crate::af_packet::DeviceEvent;
use crate::sys::link::{LinkFacts, link_by_name};
use crate::sys::{LinkMonitor, VnetHdr, in_namespace, link_set, raw};

/// How to make a tap. The `host_…` fields are about the kernel's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOptions {
    /// The number in our interface's name; the kernel's end is called `tapN` after it, unless named.
    pub id: u32,
    /// The name of the kernel's end.
    pub host_name: Option<String>,
    /// The namespace of the kernel's end, as `ip netns` names it. Needs CAP_SYS_ADMIN.
    pub host_ns: Option<String>,
    /// Its hardware address; the kernel chooses one if there is none.
    pub host_mac: Option<[u8; 6]>,
    /// Its address and prefix length.
    pub host_address: Option<(Ipv4Addr, u8)>,
    /// A gateway for a default route over it.
    pub host_gateway: Option<Ipv4Addr>,
    /// A bridge that it becomes a port of.
    pub host_bridge: Option<String>,
    /// Its MTU, in bytes.
    pub host_mtu: Option<u32>,
}

/// One end of a tap; the other is a device of the kernel, which is deleted with this value.
///
/// Its descriptor is readable while frames wait. When it reports an error, [`Tap::receive`] tells why.
#[derive(Debug)]
pub struct Tap {
    file: File,
    link: LinkFacts,
    namespace: Option<String>,
    buffer: Box<[u8]>,
}

/// One received frame, until the next.
#[derive(Clone, Copy, Debug)]
pub struct TapFrame<'a> {
    /// The frame from its Ethernet header on.
    pub data: &'a [u8],
    /// What is left to do about it.
    pub vnet: VnetHdr,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapSent {
    /// The kernel took it.
    Sent,
    /// The kernel has no room for it now.
    Full,
    /// The kernel refuses it: too short, too long, or its virtio-net header is impossible.
    Rejected,
    /// The kernel's end is down or gone.
    Lost(DeviceEvent),
}

impl Tap {
    /// Makes the device, in its namespace, and sets its kernel's end up. Also gives a monitor of that namespace's links.
    ///
    /// # Errors
    /// [`TapError`]; then nothing is left behind.
    pub fn create(options: &TapOptions) -> Result<(Self, LinkMonitor), TapError> {
        let name = options.host_name.clone().unwrap_or_else(|| format!("tap{}", options.id));
        if !is_device_name(&name) {
            return Err(TapError::BadName { name });
        }
        in_namespace(options.host_ns.as_deref(), || create_here(&name, options))?
    }

    /// The next frame; `Ok(None)` if there is none now.
    ///
    /// # Errors
    /// The kernel's end is gone (watch the descriptor no longer: it reports an error for ever).
    pub fn receive(&mut self) -> Result<Option<TapFrame<'_>>, DeviceEvent> {
        let mut header = VnetHdr::default();
        let len = loop {
            let mut parts = [IoSliceMut::new(header.as_mut_bytes()), IoSliceMut::new(&mut self.buffer)];
            match self.file.read_vectored(&mut parts) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => return Err(DeviceEvent::Gone),
                // EAGAIN, or a frame that the kernel could not describe and has dropped.
                Err(_) => return Ok(None),
            }
        };
        let data = len.checked_sub(VnetHdr::LEN).and_then(|len| self.buffer.get(..len));
        Ok(data.map(|data| TapFrame { data, vnet: header }))
    }

    /// Sends one frame, given in pieces. No copy is made of it here. At most [`Tap::MAX_PIECES`] pieces.
    pub fn send<'a>(&mut self, vnet: &'a VnetHdr, pieces: impl IntoIterator<Item = &'a [u8]>) -> TapSent {
        let mut count = 1;
        let mut parts = [IoSlice::new(&[]); Self::MAX_PIECES + 1];
        parts[0] = IoSlice::new(vnet.as_bytes());
        for piece in pieces {
            let Some(part) = parts.get_mut(count) else { return TapSent::Rejected };
            *part = IoSlice::new(piece);
            count += 1;
        }
        loop {
            let Err(error) = self.file.write_vectored(&parts[..count]) else { return TapSent::Sent };
            return match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => TapSent::Full,
                Some(libc::EIO) => TapSent::Lost(DeviceEvent::Down),
                Some(libc::EBADFD) => TapSent::Lost(DeviceEvent::Gone),
                _ => TapSent::Rejected,
            };
        }
    }

    /// The most pieces of one frame: 64 KB in buffers of 2 KB, and some.
    pub const MAX_PIECES: usize = 64;

    /// What the kernel said about its end when it was made.
    pub fn link(&self) -> &LinkFacts {
        &self.link
    }

    /// The namespace of the kernel's end, if it is another.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

fn create_here(name: &str, options: &TapOptions) -> Result<(Tap, LinkMonitor), TapError> {
    let fail = |doing| move |source| TapError::new(name, doing, source);
    let existing = link_by_name(name).map_err(fail("ask for the device"))?;
    if existing.is_some() {
        return Err(TapError::Exists { name: name.into() });
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(|source| TapError::NoDriver { source })?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let made = raw::tun_set_interface(file.as_fd(), name, flags as i16).map_err(fail("make the device"))?;
    raw::tun_set_vnet_hdr_len(file.as_fd(), VnetHdr::LEN as i32).map_err(fail("set the header's length"))?;
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    // UDP segmentation came with Linux 6.2.
    raw::tun_set_offload(file.as_fd(), tcp | udp)
        .or_else(|_| raw::tun_set_offload(file.as_fd(), tcp))
        .map_err(fail("set the offloads"))?;
    configure(&made, options)?;
    let monitor = LinkMonitor::open().map_err(fail("watch the links"))?;
    let link = find(&made)?;
    let buffer = vec![0; BUFFER].into_boxed_slice();
    Ok((Tap { file, link, namespace: options.host_ns.clone(), buffer }, monitor))
}

fn configure(name: &str, options: &TapOptions) -> Result<(), TapError> {
    let fail = |doing| move |source| TapError::new(name, doing, source);
    let index = find(name)?.index;
    if let Some(mac) = options.host_mac {
        link_set::set_mac(index, mac).map_err(fail("set the address of the kernel's end"))?;
    }
    if let Some(mtu) = options.host_mtu {
        link_set::set_mtu(index, mtu).map_err(fail("set the MTU of the kernel's end"))?;
    }
    if let Some(bridge) = &options.host_bridge {
        let found = link_by_name(bridge).map_err(fail("ask for the bridge"))?;
        let found = found.ok_or_else(|| TapError::NoBridge { name: name.into(), bridge: bridge.clone() })?;
        link_set::set_bridge(index, found.index).map_err(fail("join the bridge"))?;
    }
    if let Some((address, len)) = options.host_address {
        link_set::add_address(index, address, len).map_err(fail("give the kernel's end its IPv4 address"))?;
    }
    link_set::set_up(index, true).map_err(fail("set the kernel's end up"))?;
    if let Some(gateway) = options.host_gateway {
        link_set::add_default_route(index, gateway).map_err(fail("add the default route"))?;
    }
    Ok(())
}

fn find(name: &str) -> Result<LinkFacts, TapError> {
    let gone = || io::Error::from_raw_os_error(libc::ENODEV);
    let found = link_by_name(name).and_then(|link| link.ok_or_else(gone));
    found.map_err(|source| TapError::new(name, "find the device", source))
}

/// The kernel's rules (`dev_valid_name`), and no `%`, which it would replace by a number.
fn is_device_name(name: &str) -> bool {
    let fits = (1..libc::IFNAMSIZ).contains(&name.len()) && name != "." && name != "..";
    fits && !name.bytes().any(|byte| matches!(byte, b'/' | b':' | b'%' | 0) || byte.is_ascii_whitespace())
}

/// More than the longest frame: the rest of a longer one would be lost without a word.
const BUFFER: usize = 68 * 1024;
