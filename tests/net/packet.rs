//! Raw frames on a device of a namespace.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use nodes::sys::in_namespace;

/// A packet socket that is bound to a device: what comes in and goes out there.
pub struct PacketSocket {
    socket: OwnedFd,
    /// The kernel's address of the device.
    pub mac: [u8; 6],
}

impl PacketSocket {
    /// Opens it.
    pub fn open(namespace: &str, device: &str) -> PacketSocket {
        let open = || -> nix::Result<PacketSocket> {
            let link = |address: &nix::ifaddrs::InterfaceAddress| -> Option<LinkAddr> {
                address.address?.as_link_addr().filter(|_| address.interface_name == device).copied()
            };
            let address = getifaddrs()?.find_map(|address| link(&address)).expect("the device is there");
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::EthAll))?;
            // Root in a user namespace gets no more than the machine's limit.
            setsockopt(&socket, RcvBufForce, &(64 << 20)).or_else(|_| setsockopt(&socket, RcvBuf, &(64 << 20)))?;
            setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, 50_000))?;
            bind(socket.as_raw_fd(), &address)?;
            Ok(PacketSocket { socket, mac: address.addr().expect("an Ethernet device") })
        };
        in_namespace(Some(namespace), open).unwrap().unwrap()
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// The next frame; `None` when none has come for 50 ms.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        match recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(len) => Some(&buffer[..len]),
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => None,
            Err(error) => panic!("packet socket: {error}"),
        }
    }
}
