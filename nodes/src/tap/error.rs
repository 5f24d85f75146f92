//! What can go wrong with a tap, in words.

use std::io;

use crate::sys::NamespaceError;

/// Why a tap could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The kernel has no such driver, or the program may not reach it.
    #[error(
        "cannot open /dev/net/tun ({source}); where it is out of reach, as in a user namespace, a veth pair with a \
         host-interface on one end does the same"
    )]
    NoDriver {
        /// What the kernel said.
        source: io::Error,
    },
    /// A privilege is missing.
    #[error("tap `{name}': not permitted to {doing} (needs CAP_NET_ADMIN)")]
    NotPermitted {
        /// The name on the kernel's side.
        name: String,
        /// What was tried.
        doing: &'static str,
    },
    /// The name cannot be a device's.
    #[error("tap: `{name}' cannot be the name of a device (1 to 15 bytes, no slash, colon or space)")]
    BadName {
        /// What was asked for.
        name: String,
    },
    /// A device of that name is there already.
    #[error("tap: the kernel has a device `{name}' already")]
    Exists {
        /// What was asked for.
        name: String,
    },
    /// No such bridge.
    #[error("tap `{name}': the kernel has no bridge `{bridge}'")]
    NoBridge {
        /// The name on the kernel's side.
        name: String,
        /// What was asked for.
        bridge: String,
    },
    /// The namespace cannot be entered.
    #[error("tap: {0}")]
    Namespace(#[from] NamespaceError),
    /// Anything else.
    #[error("tap `{name}': cannot {doing}: {source}")]
    Os {
        /// The name on the kernel's side.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl TapError {
    pub(super) fn new(name: &str, doing: &'static str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { name, doing },
            _ => Self::Os { name, doing, source },
        }
    }
}
