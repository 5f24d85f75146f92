//! Changes the kernel's side of a device: up, MTU, MAC, address, default route, bridge. All through rtnetlink.

use std::io;
use std::net::Ipv4Addr;

use super::link::IFINFO;
use super::netlink::{Request, Route};

/// Sets a device up or down.
///
/// # Errors
/// What the kernel says: EPERM without CAP_NET_ADMIN, ENODEV.
pub fn set_up(index: u32, up: bool) -> io::Result<()> {
    let flag = libc::IFF_UP as u32;
    change(index, if up { flag } else { 0 }, flag, |request| request)
}

/// Sets a device's MTU, in bytes.
///
/// # Errors
/// As for [`set_up`]; EINVAL for an MTU that the device cannot have.
pub fn set_mtu(index: u32, mtu: u32) -> io::Result<()> {
    change(index, 0, 0, |request| request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes()))
}

/// Sets a device's hardware address.
///
/// # Errors
/// As for [`set_up`]; EADDRNOTAVAIL for a multicast address.
pub fn set_mac(index: u32, mac: [u8; 6]) -> io::Result<()> {
    change(index, 0, 0, |request| request.attribute(libc::IFLA_ADDRESS, &mac))
}

/// Makes a device a port of the bridge with that index.
///
/// # Errors
/// As for [`set_up`].
pub fn set_bridge(index: u32, bridge: u32) -> io::Result<()> {
    change(index, 0, 0, |request| request.attribute(libc::IFLA_MASTER, &bridge.to_ne_bytes()))
}

/// Adds an IPv4 address to a device.
///
/// # Errors
/// As for [`set_up`]; EEXIST if it is there.
pub fn add_address(index: u32, address: Ipv4Addr, prefix_len: u8) -> io::Result<()> {
    let mut family = [0; 8];
    family[0] = libc::AF_INET as u8;
    family[1] = prefix_len;
    family[4..8].copy_from_slice(&index.to_ne_bytes());
    let request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL, &family)
        .attribute(libc::IFA_LOCAL, &address.octets())
        .attribute(libc::IFA_ADDRESS, &address.octets());
    Route::open(0, false)?.call(request, |_| ())
}

/// Adds a default IPv4 route through `gateway`.
///
/// # Errors
/// As for [`set_up`]; ENETUNREACH if the gateway is in no prefix of a device that is up.
pub fn add_default_route(index: u32, gateway: Ipv4Addr) -> io::Result<()> {
    let family = [
        libc::AF_INET as u8,
        0,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let request = Request::new(libc::RTM_NEWROUTE, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL, &family)
        .attribute(libc::RTA_GATEWAY, &gateway.octets())
        .attribute(libc::RTA_OIF, &index.to_ne_bytes());
    Route::open(0, false)?.call(request, |_| ())
}

fn change(index: u32, flags: u32, mask: u32, attributes: impl FnOnce(Request) -> Request) -> io::Result<()> {
    let mut family = [0; IFINFO];
    family[4..8].copy_from_slice(&index.to_ne_bytes());
    family[8..12].copy_from_slice(&flags.to_ne_bytes());
    family[12..16].copy_from_slice(&mask.to_ne_bytes());
    let request = attributes(Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &family));
    Route::open(0, false)?.call(request, |_| ())
}
