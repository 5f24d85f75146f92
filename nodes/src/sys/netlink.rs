//! Just enough rtnetlink (RFC 3549): requests with an acknowledgement, and a parser that trusts no length.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom};

/// A route socket of the thread's network namespace.
#[derive(Debug)]
pub(crate) struct Route {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

/// One message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// `RTM_…` or `NLMSG_…`.
    pub(crate) kind: u16,
    /// Number of the request that it answers.
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// A request under construction.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Route {
    /// Opens a socket that joins `groups` (a mask of `RTMGRP_…`).
    pub(crate) fn open(groups: u32, nonblocking: bool) -> io::Result<Self> {
        let mut flags = SockFlag::SOCK_CLOEXEC;
        flags.set(SockFlag::SOCK_NONBLOCK, nonblocking);
        let fd = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        socket::bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { fd, buffer: vec![0; 64 * 1024], sequence: 0 })
    }

    /// Sends a request without waiting for what comes back; returns its number.
    pub(crate) fn send(&mut self, mut request: Request) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        request.finish(self.sequence);
        socket::sendto(self.fd.as_raw_fd(), &request.bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        Ok(self.sequence)
    }

    /// Sends a request and hands every answer to `each` until the acknowledgement or the error.
    pub(crate) fn call(&mut self, request: Request, mut each: impl FnMut(Message<'_>)) -> io::Result<()> {
        let sequence = self.send(request)?;
        loop {
            for message in self.receive()?.filter(|message| message.sequence == sequence) {
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return acknowledgement(message.body),
                    _ => each(message),
                }
            }
        }
    }

    /// The messages of the next datagram. Datagrams of other processes are passed over.
    pub(crate) fn receive(&mut self) -> io::Result<impl Iterator<Item = Message<'_>>> {
        loop {
            let (len, from) = recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut self.buffer)?;
            if from.is_some_and(|from| from.pid() == 0) {
                return Ok(messages(&self.buffer[..len.min(self.buffer.len())]));
            }
        }
    }
}

impl AsFd for Route {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Request {
    /// A message of `kind` with `NLM_F_REQUEST` and `flags`; `family` is the body of the family (`ifinfomsg`, …).
    pub(crate) fn new(kind: u16, flags: i32, family: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(family);
        bytes.resize(align(bytes.len()), 0);
        Self { bytes }
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend_from_slice(&((value.len() + ATTRIBUTE_HEADER) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(align(self.bytes.len()), 0);
        self
    }

    fn finish(&mut self, sequence: u32) {
        let len = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

/// The messages of a datagram; ends at the first whose length is not possible.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = u32_at(bytes, 0)? as usize;
        let body = bytes.get(HEADER..len)?;
        let message = Message { kind: u16_at(bytes, 4)?, sequence: u32_at(bytes, 8)?, body };
        bytes = bytes.get(align(len)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `bytes`, kind (without the flags in its top bits) and value; ends at the first impossible length.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(ATTRIBUTE_HEADER..len)?;
        let kind = u16_at(bytes, 2)? & 0x3fff;
        bytes = bytes.get(align(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn acknowledgement(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).map(|code| code as i32) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.wrapping_neg()).into()),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_parses_back() {
        let mut request = Request::new(18, 0, &[1, 2, 3, 4]).attribute(3, b"eth0\0").attribute(4, &[9, 9]);
        request.finish(7);
        let found = messages(&request.bytes).collect::<Vec<_>>();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].sequence), (18, 7));
        let values = attributes(&found[0].body[4..]).collect::<Vec<_>>();
        assert_eq!(values, [(3, &b"eth0\0"[..]), (4, &[9, 9][..])]);
    }

    proptest! {
        #[test]
        fn any_bytes_end_and_stay_within(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut total = 0;
            for message in messages(&bytes) {
                total += message.body.len() + HEADER;
                let inner: usize = attributes(message.body).map(|(_, value)| value.len() + ATTRIBUTE_HEADER).sum();
                prop_assert!(inner <= message.body.len());
            }
            prop_assert!(total <= bytes.len());
        }

        #[test]
        fn small_lengths_end_too(words in proptest::collection::vec(0u32..40, 0..100)) {
            let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / ATTRIBUTE_HEADER);
        }
    }
}
