//! Frames to and from a kernel device through packet sockets with rings in shared memory (packet(7); the kernel's
//! `Documentation/networking/packet_mmap.rst`).
//!
//! [`PacketDevice::open`] gives one receive ring per queue, one transmit ring per queue, and a control part. A ring
//! belongs to one worker; the control part stays with the control thread. Unsafe code is confined to [`ring`].

mod commands;
mod device;
mod error;
mod interface;
mod node;
mod queues;
mod socket;
mod tx;

pub mod ring;
#[cfg(test)]
mod tests;

pub use device::{Control, DeviceOptions, PacketDevice};
pub use error::{DeviceError, DeviceEvent};
pub use interface::{HostError, create, delete, name_of};
pub use ring::{
    BlockCounts, BlockFacts, HeaderFacts, Kick, RingLayout, RxFrame, RxRing, TxCounts, TxRing, TxSlot, Version,
};
pub use socket::{Fanout, KernelCounts, PacketSocket};

/// Registers `af-packet-input`, and what host-interfaces need on either side.
pub(crate) fn register(builder: &mut vnet::Builder) {
    builder.local(|_| queues::Queues::default());
    builder.node(node::node());
}

pub(crate) use commands::register as register_commands;
