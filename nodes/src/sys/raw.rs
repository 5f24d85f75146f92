//! The system calls that have no safe wrapper elsewhere. Every function here is safe to call.
//!
//! Invariant of the module: the kernel is handed only memory that outlives the call, with its true length, and only
//! options whose argument holds no pointers (that is why the options are enums: `PACKET_FANOUT_DATA` and
//! `SO_ATTACH_FILTER` carry pointers and are not among them).
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_short, sockaddr_ll, socklen_t};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Options at the level `SOL_PACKET` (packet(7)).
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum PacketOption {
    AddMembership = libc::PACKET_ADD_MEMBERSHIP,
    DropMembership = libc::PACKET_DROP_MEMBERSHIP,
    RxRing = libc::PACKET_RX_RING,
    TxRing = libc::PACKET_TX_RING,
    Statistics = libc::PACKET_STATISTICS,
    Version = libc::PACKET_VERSION,
    VnetHdr = libc::PACKET_VNET_HDR,
    Fanout = libc::PACKET_FANOUT,
    QdiscBypass = libc::PACKET_QDISC_BYPASS,
    IgnoreOutgoing = libc::PACKET_IGNORE_OUTGOING,
}

/// Sets an option of a packet socket.
pub(crate) fn set_packet_option<T>(fd: BorrowedFd<'_>, option: PacketOption, value: &T) -> io::Result<()>
where
    T: IntoBytes + Immutable,
{
    let bytes = value.as_bytes();
    // SAFETY: `bytes` is initialised memory of the stated length; see the module's invariant.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option as c_int,
            bytes.as_ptr().cast(),
            bytes.len() as socklen_t,
        )
    };
    check(result).map(drop)
}

/// Reads an option of a packet socket. Bytes that an older kernel does not fill stay zero.
pub(crate) fn packet_option<T>(fd: BorrowedFd<'_>, option: PacketOption) -> io::Result<T>
where
    T: FromBytes + IntoBytes + FromZeros,
{
    let mut value = T::new_zeroed();
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `value`, every bit pattern of which is valid (`FromBytes`).
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, option as c_int, (&raw mut value).cast(), &raw mut len)
    };
    check(result).map(|_| value)
}

/// Binds a packet socket to a device and an EtherType (host byte order; 0 receives nothing).
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, device: u32, ethertype: u16) -> io::Result<()> {
    // SAFETY: `sockaddr_ll` is plain old data; all zero is valid.
    let mut address: sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = i32::try_from(device).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the address is initialised and its length true.
    let result =
        unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<sockaddr_ll>() as socklen_t) };
    check(result).map(drop)
}

/// The device that a packet socket is bound to; `None` once the device has gone.
pub(crate) fn bound_device(fd: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    // SAFETY: `sockaddr_ll` is plain old data; all zero is valid.
    let mut address: sockaddr_ll = unsafe { zeroed() };
    let mut len = size_of::<sockaddr_ll>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `address`.
    let result = unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
    check(result)?;
    Ok(u32::try_from(address.sll_ifindex).ok().filter(|index| *index != 0))
}

/// Makes an open `/dev/net/tun` the device `name` (at most 15 bytes; the caller has checked) and returns its name.
pub(crate) fn tun_set_interface(fd: BorrowedFd<'_>, name: &str, flags: c_short) -> io::Result<String> {
    let mut request = request_about(name)?;
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let name = request.ifr_name.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect::<Vec<_>>();
    Ok(String::from_utf8_lossy(&name).into_owned())
}

fn request_about(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain old data; all zero is valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() || name.bytes().any(|byte| byte == 0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Work that a kernel's device, or the kernel for it, does instead of who sends and receives: the commands that ask for it
/// (linux/ethtool.h), each of which answers with one number.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Offload {
    /// `ETHTOOL_GRXCSUM`
    RxChecksum = 0x14,
    /// `ETHTOOL_GTXCSUM`
    TxChecksum = 0x16,
    /// `ETHTOOL_GTSO`
    TcpSegmentation = 0x1e,
    /// `ETHTOOL_GGSO`
    GenericSegmentation = 0x23,
}

/// Whether the device `name` in the socket's namespace does this work.
pub(crate) fn does_offload(socket: BorrowedFd<'_>, name: &str, offload: Offload) -> io::Result<bool> {
    /// `struct ethtool_value`
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value { command: offload as u32, data: 0 };
    let mut request = request_about(name)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads one `ifreq`, which `request` is, and with these commands reads and writes the eight bytes
    // that it points to, which `value` is; both outlive the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) })?;
    Ok(value.data != 0)
}

/// Queues that the device `name` in the socket's namespace receives on (`ETHTOOL_GCHANNELS`); 1 where it does not say.
pub(crate) fn rx_channels(socket: BorrowedFd<'_>, name: &str) -> u32 {
    /// `struct ethtool_channels`: the most there can be, then those that are, of kinds rx, tx, other, combined.
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        most: [u32; 4],
        now: [u32; 4],
    }
    /// `ETHTOOL_GCHANNELS`
    const GET: u32 = 0x3c;
    let mut channels = Channels { command: GET, ..Channels::default() };
    let Ok(mut request) = request_about(name) else { return 1 };
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // SAFETY: SIOCETHTOOL reads one `ifreq`, and with this command reads and writes the 36 bytes that it points to, which
    // `channels` is; both outlive the call.
    match check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) }) {
        Ok(_) => (channels.now[0] + channels.now[3]).max(1),
        Err(_) => 1,
    }
}

/// Sets the length of the header before each frame of a tap, in bytes.
pub(crate) fn tun_set_vnet_hdr_len(fd: BorrowedFd<'_>, len: c_int) -> io::Result<()> {
    // SAFETY: TUNSETVNETHDRSZ reads one int, which `len` is.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) }).map(drop)
}

/// Tells the kernel what a tap's reader can finish itself (`TUN_F_…`).
pub(crate) fn tun_set_offload(fd: BorrowedFd<'_>, features: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes the flags by value.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) }).map(drop)
}

/// Bytes of the C library's heap that are free; 0 where it does not say.
pub(crate) fn heap_free() -> usize {
    #[cfg(target_env = "gnu")]
    // SAFETY: only counts, under the heap's own locks.
    return unsafe { libc::mallinfo2() }.fordblks;
    #[cfg(not(target_env = "gnu"))]
    0
}

/// Hands free memory of the C library's heap back to the kernel.
pub(crate) fn heap_trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches memory that nobody has, under the heap's own locks. Whether there was any does not matter.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
