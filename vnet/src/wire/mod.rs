//! Wire formats: one protocol per file, and how headers print.
//!
//! A header of fixed size is a `#[repr(C)]` struct whose fields are in network order, so that node code reads and
//! writes it in place: `Ip4Header::ref_from_prefix(bytes)`, `Ip4Header::mut_from_prefix(bytes)`. Fields read with
//! `.get()` and are set with `.set(value)`. What varies (IPv4's header length, options) is checked once, by
//! [`ip4::check`], then trusted.
//!
//! Nothing here allocates per packet, and nothing panics on what a packet holds. Only [`capture`] and [`mod@print`] serve
//! people; the rest serves nodes.

/// Gives a header struct its views, the same ones for every protocol.
macro_rules! header {
    ($name:ident) => {
        impl $name {
            /// Bytes of the header.
            pub const LEN: usize = size_of::<Self>();

            /// The header at the start of `bytes`, and the bytes after it.
            ///
            /// # Errors
            /// [`Short`](super::Short) if there are fewer than [`Self::LEN`] bytes.
            #[inline(always)]
            pub fn ref_from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), super::Short> {
                zerocopy::FromBytes::ref_from_prefix(bytes).map_err(|_| super::Short)
            }

            /// The header at the start of `bytes`, to be changed in place, and the bytes after it.
            ///
            /// # Errors
            /// [`Short`](super::Short) if there are fewer than [`Self::LEN`] bytes.
            #[inline(always)]
            pub fn mut_from_prefix(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), super::Short> {
                zerocopy::FromBytes::mut_from_prefix(bytes).map_err(|_| super::Short)
            }

            /// The header as it goes on the wire.
            #[inline(always)]
            pub fn as_bytes(&self) -> &[u8] {
                zerocopy::IntoBytes::as_bytes(self)
            }

            /// Writes the header over the start of `out` and returns the bytes after it.
            ///
            /// # Errors
            /// [`Short`](super::Short) if there are fewer than [`Self::LEN`] bytes.
            #[inline(always)]
            pub fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], super::Short> {
                let (head, rest) = out.split_at_mut_checked(Self::LEN).ok_or(super::Short)?;
                head.copy_from_slice(self.as_bytes());
                Ok(rest)
            }
        }
    };
}

pub mod arp;
pub mod capture;
mod change;
pub mod checksum;
pub mod ethernet;
pub mod flow;
pub mod flow6;
pub mod frag;
pub mod gre;
pub mod gso;
pub mod gue;
pub mod icmp4;
pub mod icmp6;
pub mod icmp_inner;
pub mod ip4;
pub mod ip6;
pub mod ip6_ext;
pub mod nd;
pub mod print;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vnet_hdr;

pub use arp::ArpHeader;
pub use capture::{HeaderBytes, Start};
pub use change::{Change, Kept};
pub use ethernet::{EthernetHeader, Mac};
pub use flow::FlowKey4;
pub use flow6::FlowKey6;
pub use gre::GreHeader;
pub use gue::GueHeader;
pub use icmp4::Icmp4Header;
pub use icmp6::Icmp6Header;
pub use ip4::Ip4Header;
pub use ip6::Ip6Header;
pub use tcp::TcpHeader;
pub use udp::UdpHeader;
pub use vlan::VlanTag;
pub use vnet_hdr::VnetHdr;

/// Fewer bytes than the header needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header truncated")]
pub struct Short;
