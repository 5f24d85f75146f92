//! What can go wrong with a packet socket, in words.

use std::io;

/// Why a device could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel has no such device (in the namespace of the thread that asks).
    #[error("Invalid interface name `{name}': the kernel has no such device")]
    NoSuchDevice {
        /// What was asked for.
        name: String,
    },
    /// A privilege is missing.
    #[error("{name}: not permitted to {doing} (needs {capability})")]
    NotPermitted {
        /// The device.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// The capability that would do.
        capability: &'static str,
    },
    /// The sizes of a ring make no ring.
    #[error("{name}: {what}")]
    BadRing {
        /// The device.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Anything else.
    #[error("{name}: cannot {doing}: {source}")]
    Os {
        /// The device.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl DeviceError {
    pub(crate) fn new(name: &str, doing: &'static str, source: io::Error) -> Self {
        Self::with(doing, "CAP_NET_RAW", name, source)
    }

    pub(crate) fn with(doing: &'static str, capability: &'static str, name: &str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { name, doing, capability },
            Some(libc::ENODEV | libc::ENXIO) => Self::NoSuchDevice { name },
            _ => Self::Os { name, doing, source },
        }
    }
}

/// What happened to the device under a ring. Reported once per happening, not once per poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// The device was set down (or is down). It may come up again, and the ring then goes on.
    Down,
    /// The device was deleted or moved to another namespace. The ring will never see another frame.
    Gone,
}
