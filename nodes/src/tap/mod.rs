//! A device whose other end is the kernel's network stack: `/dev/net/tun` in its Ethernet form
//! (the kernel's `Documentation/networking/tuntap.rst`).

mod commands;
mod device;
mod error;
mod interface;
mod node;
#[cfg(test)]
mod tests;

pub use device::{Tap, TapFrame, TapOptions, TapSent};
pub use error::TapError;
pub use interface::{TapInterfaceError, create, delete, free_id, kernel_mac};

/// Registers `tap-input`, and what taps need of each worker.
pub(crate) fn register(builder: &mut vnet::Builder) {
    builder.local(|_| node::Taps::default());
    builder.node(node::input());
}

pub(crate) use commands::register as register_commands;
