//! Why a device could not be used through AF_XDP, in words.

use std::io;
use std::path::Path;

use vnet::router::InterfaceError;

use crate::af_packet::DeviceError;
use crate::sys::bpf::{Attach, Refused};

/// Why an AF_XDP interface was not made.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// The device itself.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
    /// What was asked for cannot be.
    #[error("{0}")]
    Words(String),
    /// The kernel's verifier refused the program.
    #[error("{file}the kernel does not take the program: {source}{}", .verifier.as_str().prefixed())]
    Program {
        /// `prog FILE: ` for an operator's; may be empty.
        file: String,
        /// What the kernel said.
        source: io::Error,
        /// What its verifier said last; may be empty.
        verifier: String,
    },
    /// The kernel refused.
    #[error("{device}: cannot {doing}: {source}{hint}")]
    Os {
        /// The device.
        device: String,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
        /// What helps; may be empty.
        hint: String,
    },
}

trait Prefixed {
    /// `: text`, or nothing.
    fn prefixed(&self) -> String;
}

impl Prefixed for str {
    fn prefixed(&self) -> String {
        if self.is_empty() { String::new() } else { format!(": {self}") }
    }
}

impl XdpError {
    /// Of the program in this file, or of our own.
    pub(super) fn program(file: Option<&Path>, refused: Refused) -> XdpError {
        let file = file.map(|file| format!("prog {}: ", file.display())).unwrap_or_default();
        XdpError::Program { file, source: refused.source, verifier: refused.verifier }
    }

    pub(super) fn new(device: &str, doing: &'static str, source: io::Error) -> XdpError {
        let hint = match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                " (needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and not only those of a user namespace)"
            }
            _ => "",
        };
        XdpError::Os { device: device.into(), doing, source, hint: hint.into() }
    }

    /// The kernel does not let the buffers be a device's.
    pub(super) fn memory(device: &str, bytes: usize, source: io::Error) -> XdpError {
        let hint = match source.raw_os_error() {
            Some(libc::ENOBUFS | libc::ENOMEM) => format!(
                " (the {} MB of this worker's buffers must stay in memory: raise the limit of locked memory, `ulimit -l', \
                 or give CAP_IPC_LOCK, or take fewer buffers)",
                bytes.div_ceil(1 << 20)
            ),
            _ => String::new(),
        };
        XdpError::Os { device: device.into(), doing: "share the buffers with the kernel", source, hint }
    }

    /// The device does not run the program.
    pub(super) fn attach(device: &str, how: Attach, source: io::Error) -> XdpError {
        let hint = match source.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => {
                format!(" (another XDP program is there already; `ip link show dev {device}' names it)")
            }
            Some(libc::ERANGE | libc::EINVAL | libc::EMSGSIZE) if how == Attach::Native => format!(
                " (the device's MTU, or that of a veth's far end, may be too large for native mode: a veth allows 3506, and \
                 {} is the largest that fits a buffer; or use `mode skb')",
                super::MAX_MTU
            ),
            Some(libc::ENOSPC) => {
                " (the far end of the veth has more transmit queues than this one receive queues)".into()
            }
            Some(libc::ENOTCONN) => " (the veth has no far end)".into(),
            Some(libc::EINVAL | libc::EOPNOTSUPP) if how == Attach::Offload => {
                " (the device runs no programs itself; `mode native' has its driver run them)".into()
            }
            Some(libc::EOPNOTSUPP) => " (the device cannot; `mode skb' works with all)".into(),
            Some(libc::EPERM) => " (needs CAP_NET_ADMIN)".into(),
            _ => String::new(),
        };
        XdpError::Os { device: device.into(), doing: "attach the program", source, hint }
    }
}
