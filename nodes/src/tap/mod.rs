//! A device whose other end is the kernel's network stack: `/dev/net/tun` in its Ethernet form
//! (the kernel's `Documentation/networking/tuntap.rst`).

mod device;
mod error;
#[cfg(test)]
mod tests;

pub use device::{Tap, TapFrame, TapOptions, TapSent};
pub use error::TapError;
