//! The few calls of bpf(2) that AF_XDP needs: a map of sockets, a program, and the link that ties it to a device.
//!
//! Invariant of the module: the kernel is handed `union bpf_attr` as the C structure of the command lays it out, and
//! pointers in it only to memory that outlives the call, with its true length.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use zerocopy::{Immutable, IntoBytes};

/// A map that leads from a number to an AF_XDP socket. Sockets leave it by themselves when they are closed.
#[derive(Debug)]
pub(crate) struct SocketMap(OwnedFd);

/// A program that the kernel has checked.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

/// Ties a program to a device, until it is dropped or the process ends, however that happens.
#[derive(Debug)]
pub(crate) struct Link {
    _descriptor: OwnedFd,
}

/// What became of a program that the kernel does not take.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) source: io::Error,
    /// What the kernel's verifier said last.
    pub(crate) verifier: String,
}

/// How a program is run for a device; the values are `XDP_FLAGS_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Attach {
    /// After the kernel has made a packet of its own of the frame: every device can.
    Generic = 1 << 1,
    /// In the device's driver.
    Native = 1 << 2,
    /// In the device.
    Offload = 1 << 3,
}

/// The commands, in the kernel's numbers.
const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const PROG_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

impl SocketMap {
    /// A map for numbers below `entries`.
    ///
    /// # Errors
    /// What the kernel says: EPERM without CAP_BPF (or CAP_SYS_ADMIN) and CAP_NET_ADMIN.
    pub(crate) fn new(entries: u32) -> io::Result<SocketMap> {
        /// The head of `struct { … } /* BPF_MAP_CREATE */`.
        #[derive(IntoBytes, Immutable)]
        #[repr(C)]
        struct Attr {
            map_type: u32,
            key_size: u32,
            value_size: u32,
            max_entries: u32,
        }
        let attr = Attr { map_type: MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, max_entries: entries };
        // SAFETY: no pointers; the answer is a descriptor of our own.
        unsafe { descriptor(call(MAP_CREATE, &attr)?) }.map(SocketMap)
    }

    /// Has frames of queue `number` go to a socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn set(&self, number: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        #[derive(IntoBytes, Immutable)]
        #[repr(C)]
        struct Attr {
            map: u32,
            pad: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let value = socket.as_raw_fd();
        let (key, value) = ((&raw const number) as u64, (&raw const value) as u64);
        let attr = Attr { map: self.0.as_raw_fd() as u32, pad: 0, key, value, flags: 0 };
        // SAFETY: key and value are of the four bytes that the map was made for, and on this function's stack.
        unsafe { call(MAP_UPDATE_ELEM, &attr) }.map(drop)
    }

    /// The descriptor, for instructions that name the map.
    pub(crate) fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl Program {
    /// Loads an XDP program of these instructions, of eight bytes each.
    ///
    /// # Errors
    /// With the verifier's words, if it had any.
    pub(crate) fn load(instructions: &[u64], license: &CStr) -> Result<Program, Refused> {
        #[derive(IntoBytes, Immutable)]
        #[repr(C)]
        struct Attr {
            kind: u32,
            count: u32,
            instructions: u64,
            license: u64,
            log_level: u32,
            log_size: u32,
            log: u64,
            version: u32,
            flags: u32,
            name: [u8; 16],
            device: u32,
            expected_attach: u32,
        }
        let mut attr = Attr {
            kind: PROG_TYPE_XDP,
            count: instructions.len() as u32,
            instructions: instructions.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            version: 0,
            flags: 0,
            name: *b"maglane\0\0\0\0\0\0\0\0\0",
            device: 0,
            expected_attach: ATTACH_XDP,
        };
        // SAFETY: instructions and licence outlive the call; the answer is a descriptor of our own.
        let loaded = unsafe { call(PROG_LOAD, &attr).and_then(|answer| descriptor(answer)) };
        let source = match loaded {
            Ok(descriptor) => return Ok(Program(descriptor)),
            Err(source) => source,
        };
        // Once more, for the words. Of a log that is too long some kernels keep the beginning only.
        let mut log = vec![0_u8; 1 << 24];
        (attr.log_level, attr.log_size, attr.log) = (1, log.len() as u32, log.as_mut_ptr() as u64);
        // SAFETY: as above; the log is as long as said, and nobody looks at it meanwhile.
        match unsafe { call(PROG_LOAD, &attr).and_then(|answer| descriptor(answer)) } {
            Ok(descriptor) => Ok(Program(descriptor)),
            Err(_) => {
                let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
                Err(Refused { source, verifier: reason(&String::from_utf8_lossy(text)).into() })
            }
        }
    }

    /// Has the device run the program.
    ///
    /// # Errors
    /// What the kernel says: EBUSY where the device runs a program already, and those of the driver.
    pub(crate) fn attach(&self, device: u32, attach: Attach) -> io::Result<Link> {
        #[derive(IntoBytes, Immutable)]
        #[repr(C)]
        struct Attr {
            program: u32,
            device: u32,
            kind: u32,
            flags: u32,
        }
        let program = self.0.as_raw_fd() as u32;
        let attr = Attr { program, device, kind: ATTACH_XDP, flags: attach as u32 };
        // SAFETY: no pointers; the answer is a descriptor of our own.
        unsafe { descriptor(call(LINK_CREATE, &attr)?) }.map(|descriptor| Link { _descriptor: descriptor })
    }
}

/// The line of the verifier's log that says what is wrong: the last one that is no instruction and no state of it.
fn reason(log: &str) -> &str {
    let says = |line: &&str| {
        let is_step = line.starts_with(|first: char| first.is_ascii_digit() || first == ';');
        let is_count =
            ["processed ", "from ", "verification time ", "stack depth "].iter().any(|word| line.starts_with(word));
        !line.is_empty() && !is_step && !is_count
    };
    log.lines().map(str::trim_end).rfind(says).unwrap_or_default()
}

/// Calls bpf(2).
///
/// # Safety
/// `attr` is that of the command, and what its pointers point to is there until the call returns.
unsafe fn call<T: IntoBytes + Immutable>(command: i32, attr: &T) -> io::Result<libc::c_long> {
    let bytes = attr.as_bytes();
    // SAFETY: initialised memory of the stated length; the rest is the caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, bytes.as_ptr(), bytes.len()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The descriptor that a call answered with.
///
/// # Safety
/// It is one, and nobody else's.
unsafe fn descriptor(answer: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(answer).map_err(io::Error::other)?;
    // SAFETY: the caller's promise. bpf(2) opens all of them close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_in_the_log() {
        let log = "0: R1=ctx() R10=fp0\n; int f() @ x.c:3\n0: (bf) r0 = r5\nR5 !read_ok\n\
                   processed 1 insns (limit 1000000) max_states_per_insn 0\n";
        assert_eq!(reason(log), "R5 !read_ok");
        let log = "R1 offset is outside of the packet\n7: (95) exit\nfrom 3 to 9: R0=0\nverification time 9 usec\n\n";
        assert_eq!(reason(log), "R1 offset is outside of the packet");
        assert_eq!(reason(""), "");
    }
}
