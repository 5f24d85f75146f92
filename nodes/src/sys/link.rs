//! What the kernel says about a device: index, name, MAC, MTU, flags.

use std::io;

use serde::Serialize;

use super::netlink::{self, Message, Request, Route};

/// Facts about one kernel device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkFacts {
    /// The kernel's number for the device, in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; zeros where it has none of six bytes.
    pub mac: [u8; 6],
    /// Largest layer-3 packet, in bytes.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Up and with a carrier (`IFF_LOWER_UP`).
    pub running: bool,
    /// A loopback device: it needs no ARP.
    pub loopback: bool,
    /// Someone put it into promiscuous mode.
    pub promiscuous: bool,
    /// The device that it is tied to, in the same namespace: the other end of a veth, the device below a VLAN.
    pub tied_to: Option<u32>,
}

/// The kernel device behind an interface name: an alias such as `lo:1` is a name of `lo`.
pub fn device_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(device, _)| device)
}

/// Asks the kernel about the device `name` in the thread's namespace; `None` if there is none.
///
/// # Errors
/// Those of the netlink socket.
pub fn link_by_name(name: &str) -> io::Result<Option<LinkFacts>> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.bytes().any(|byte| byte == 0) {
        return Ok(None);
    }
    let mut name = name.as_bytes().to_vec();
    name.push(0);
    let request = Request::new(libc::RTM_GETLINK, libc::NLM_F_ACK, &[0; IFINFO]).attribute(libc::IFLA_IFNAME, &name);
    let mut found = None;
    match Route::open(0, false)?.call(request, |message| found = found.take().or_else(|| parse(&message))) {
        Ok(()) => Ok(found),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the kernel about the device with this number in the thread's namespace; `None` if there is none.
///
/// # Errors
/// Those of the netlink socket.
pub fn link_by_index(index: u32) -> io::Result<Option<LinkFacts>> {
    let mut info = [0; IFINFO];
    info[4..8].copy_from_slice(&index.to_ne_bytes());
    let request = Request::new(libc::RTM_GETLINK, libc::NLM_F_ACK, &info);
    let mut found = None;
    match Route::open(0, false)?.call(request, |message| found = found.take().or_else(|| parse(&message))) {
        Ok(()) => Ok(found),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The MAC of the other end of a veth, where that is in the thread's namespace, too; `None` for all other devices.
pub fn veth_peer_mac(index: u32) -> Option<[u8; 6]> {
    let of = |index| link_by_index(index).ok().flatten();
    let peer = of(of(index)?.tied_to?)?;
    // Only the two ends of a pair name each other.
    (peer.tied_to == Some(index) && peer.mac != [0; 6]).then_some(peer.mac)
}

/// Reads `RTM_NEWLINK` and `RTM_DELLINK`; `None` for other messages, and for what bridges say about their ports (a
/// `RTM_DELLINK` of family `AF_BRIDGE` means that a device left a bridge, not that it is gone).
pub(crate) fn parse(message: &Message<'_>) -> Option<LinkFacts> {
    if message.kind != libc::RTM_NEWLINK && message.kind != libc::RTM_DELLINK {
        return None;
    }
    let (info, rest) = message.body.split_at_checked(IFINFO)?;
    if i32::from(info[0]) != libc::AF_UNSPEC {
        return None;
    }
    let flags = netlink::u32_at(info, 8)? as i32;
    let mut link = LinkFacts {
        index: netlink::u32_at(info, 4)?,
        name: String::new(),
        mac: [0; 6],
        mtu: 0,
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_UP != 0 && flags & libc::IFF_LOWER_UP != 0,
        loopback: flags & libc::IFF_LOOPBACK != 0,
        promiscuous: flags & libc::IFF_PROMISC != 0,
        tied_to: None,
    };
    let mut elsewhere = false;
    for (kind, value) in netlink::attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                link.name = String::from_utf8_lossy(name).into_owned();
            }
            libc::IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            libc::IFLA_LINK => link.tied_to = netlink::u32_at(value, 0).filter(|index| *index != 0),
            libc::IFLA_LINK_NETNSID => elsewhere = true,
            libc::IFLA_MTU => link.mtu = netlink::u32_at(value, 0).unwrap_or_default(),
            _ => {}
        }
    }
    // Of a device in another namespace the number says nothing here.
    link.tied_to = link.tied_to.filter(|_| !elsewhere);
    Some(link)
}

/// Length of `struct ifinfomsg`.
pub(crate) const IFINFO: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_is_known_to_everyone() {
        let link = link_by_name("lo").unwrap().unwrap();
        assert!(link.loopback && link.index == 1 && link.mtu >= 1500);
        assert_eq!(link_by_index(link.index).unwrap(), Some(link));
        assert_eq!(link_by_index(0x7fff_fff0).unwrap(), None);
        assert_eq!(link_by_name("nosuchdevice0").unwrap(), None);
        assert_eq!(link_by_name("a-name-that-is-far-too-long").unwrap(), None);
    }

    #[test]
    fn aliases_lose_their_suffix() {
        assert_eq!((device_of("lo:1"), device_of("eth0"), device_of(":")), ("lo", "eth0", ""));
    }

    proptest! {
        #[test]
        fn any_body_parses_or_not(body in proptest::collection::vec(any::<u8>(), 0..200), gone in any::<bool>()) {
            let kind = if gone { libc::RTM_DELLINK } else { libc::RTM_NEWLINK };
            let _ = parse(&Message { kind, sequence: 0, body: &body });
        }
    }
}
