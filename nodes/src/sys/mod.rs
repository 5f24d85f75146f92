//! What the device drivers ask of Linux: kernel links, namespaces, typed socket options.
//!
//! Unsafe code is confined to `raw`, `bpf` and `xdp`, whose functions are safe to call.

pub mod heap;
pub mod link;
pub mod link_set;
pub mod monitor;
pub mod netns;
pub mod vnet_hdr;

pub(crate) mod bpf;
pub(crate) mod netlink;
pub(crate) mod raw;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod xdp;

pub use heap::Heap;
pub use link::{LinkFacts, link_by_name, veth_peer_mac};
pub use monitor::{LinkEvent, LinkMonitor};
pub use netns::{NamespaceError, in_namespace};
pub use vnet_hdr::VnetHdr;
