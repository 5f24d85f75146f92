//! Follows the kernel's devices as they come, change and go.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::link::{self, LinkFacts};
use super::netlink::{Request, Route};

/// News of the kernel's devices in one namespace: the one of the thread that opened it.
///
/// Its descriptor becomes readable when there is news. Read until [`LinkMonitor::next_event`] gives `None`.
#[derive(Debug)]
pub struct LinkMonitor {
    route: Route,
    waiting: VecDeque<LinkEvent>,
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The device is new, or something about it changed (its name included: know it by its index).
    Changed(LinkFacts),
    /// The device was deleted or moved to another namespace.
    Gone(LinkFacts),
    /// The kernel had more news than fitted; call [`LinkMonitor::request_all`].
    Missed,
}

impl LinkMonitor {
    /// Subscribes to the links of the thread's network namespace.
    ///
    /// # Errors
    /// Those of the netlink socket.
    pub fn open() -> io::Result<Self> {
        let route = Route::open(libc::RTMGRP_LINK as u32, true)?;
        Ok(Self { route, waiting: VecDeque::new() })
    }

    /// Asks the kernel to list all devices; they arrive as [`LinkEvent::Changed`].
    ///
    /// # Errors
    /// Those of the netlink socket.
    pub fn request_all(&mut self) -> io::Result<()> {
        self.route.send(Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &[0; link::IFINFO])).map(drop)
    }

    /// The next piece of news; `None` if there is none now.
    ///
    /// # Errors
    /// Those of the netlink socket, except that a lack of buffers is [`LinkEvent::Missed`].
    pub fn next_event(&mut self) -> io::Result<Option<LinkEvent>> {
        while self.waiting.is_empty() {
            match self.route.receive() {
                Ok(messages) => self.waiting.extend(messages.filter_map(|message| {
                    let link = link::parse(&message)?;
                    let gone = message.kind == libc::RTM_DELLINK;
                    Some(if gone { LinkEvent::Gone(link) } else { LinkEvent::Changed(link) })
                })),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Some(LinkEvent::Missed)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.waiting.pop_front())
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.route.as_fd()
    }
}

impl AsRawFd for LinkMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::in_namespace;
    use crate::sys::testing::{Namespaces, eventually};

    #[test]
    fn a_device_comes_changes_and_goes() {
        let Some(net) = Namespaces::new("mon", 1) else { return };
        let ns = net.name(0);
        let mut monitor = in_namespace(Some(ns), LinkMonitor::open).unwrap().unwrap();
        net.ip(&format!("-n {ns} link add veth-m type veth peer name veth-p"));
        let mut seen = Vec::new();
        let mut wait_for = |what: &str, wanted: &dyn Fn(&LinkEvent) -> bool| {
            eventually(Duration::from_secs(2), what, || {
                while let Some(event) = monitor.next_event().unwrap() {
                    seen.push(event);
                }
                seen.iter().any(wanted)
            });
            seen.clear();
        };
        wait_for("new, down", &|e| matches!(e, LinkEvent::Changed(l) if l.name == "veth-m" && !l.up && l.mtu == 1500));
        net.ip(&format!("-n {ns} link set veth-p up"));
        net.ip(&format!("-n {ns} link set veth-m mtu 1400 up"));
        wait_for(
            "running",
            &|e| matches!(e, LinkEvent::Changed(l) if l.name == "veth-m" && l.running && l.mtu == 1400),
        );
        net.ip(&format!("-n {ns} link set veth-p down"));
        wait_for("no carrier", &|e| matches!(e, LinkEvent::Changed(l) if l.name == "veth-m" && l.up && !l.running));
        net.ip(&format!("-n {ns} link del veth-m"));
        wait_for("gone", &|e| matches!(e, LinkEvent::Gone(l) if l.name == "veth-m"));
    }

    #[test]
    fn all_devices_on_request() {
        let mut monitor = LinkMonitor::open().unwrap();
        monitor.request_all().unwrap();
        let mut found = false;
        eventually(Duration::from_secs(2), "lo", || {
            while let Some(event) = monitor.next_event().unwrap() {
                found |= matches!(&event, LinkEvent::Changed(link) if link.loopback && link.name == "lo");
            }
            found
        });
    }
}
