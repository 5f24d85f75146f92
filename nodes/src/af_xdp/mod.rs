//! Frames to and from a kernel device through AF_XDP sockets (the kernel's `Documentation/networking/af_xdp.rst`): the
//! kernel reads and writes the workers' own buffers.
//!
//! A device has one socket for each queue, of the worker that the queue is placed on. Unsafe code is confined to `ring`,
//! `socket` and `queue`, and to `sys`.

mod btf;
mod commands;
mod error;
mod interface;
mod node;
mod object_file;
mod program;
mod queue;
mod ring;
mod rings;
mod socket;
mod tx;

pub use error::XdpError;
pub use interface::{Mode, XdpOptions, create, delete};
pub use program::read as read_program;
pub use socket::ZeroCopy;

/// The longest packet whose frame fits a buffer, in bytes.
pub const MAX_MTU: u32 = (vnet::mem::DATA_SIZE - vnet::wire::EthernetHeader::LEN) as u32;

/// Registers `af_xdp-input`, and what the interfaces need on either side.
pub(crate) fn register(builder: &mut vnet::Builder) {
    builder.local(|_| queue::Queues::default());
    builder.state(interface::Sockets::default());
    builder.node(node::node());
}

pub(crate) use commands::register as register_commands;
