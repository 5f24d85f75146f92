//! Interfaces: what workers know of them, what they count, and what a device must be able to do.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::counters::{Combined, Counter};
use crate::fib::Address;
pub use crate::fib::LinkKind;
use crate::ids::{IfIndex, NodeId};

/// Counters of one interface in one worker, in cache lines that no other worker writes to.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct IfStats {
    /// Packets received.
    pub rx: Combined,
    /// Packets transmitted.
    pub tx: Combined,
    /// Packets dropped that had come in here.
    pub drops: Counter,
    /// Packets given up because nobody here handles them.
    pub punt: Counter,
    /// IPv4 packets received.
    pub ip4: Counter,
    /// IPv6 packets received.
    pub ip6: Counter,
    /// Packets lost because no buffer was free.
    pub no_buffers: Counter,
    /// Packets that the kernel dropped before we saw them.
    pub rx_miss: Counter,
    /// Frames that could not be used.
    pub rx_error: Counter,
    /// Packets that could not be transmitted.
    pub tx_error: Counter,
}

impl IfStats {
    /// Names and values in the order in which `show interface` lists them.
    pub fn list(&self) -> [(&'static str, u64); 12] {
        let ((rx, rx_bytes), (tx, tx_bytes)) = (self.rx.get(), self.tx.get());
        [
            ("rx packets", rx),
            ("rx bytes", rx_bytes),
            ("tx packets", tx),
            ("tx bytes", tx_bytes),
            ("drops", self.drops.get()),
            ("punt", self.punt.get()),
            ("ip4", self.ip4.get()),
            ("ip6", self.ip6.get()),
            ("rx-no-buf", self.no_buffers.get()),
            ("rx-miss", self.rx_miss.get()),
            ("rx-error", self.rx_error.get()),
            ("tx-error", self.tx_error.get()),
        ]
    }

    /// Sets all to 0; only the owning worker may call this.
    pub(crate) fn clear(&self) {
        for combined in [&self.rx, &self.tx] {
            combined.packets.set(0);
            combined.bytes.set(0);
        }
        for counter in [&self.drops, &self.punt, &self.ip4, &self.ip6] {
            counter.set(0);
        }
        for counter in [&self.no_buffers, &self.rx_miss, &self.rx_error, &self.tx_error] {
            counter.set(0);
        }
    }
}

bitflags::bitflags! {
    /// Unfinished work that a device takes on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Caps: u8 {
        /// Completes transport checksums.
        const CHECKSUM = 1 << 0;
        /// Takes large segments.
        const GSO = 1 << 1;
    }
}

/// An interface as workers see it.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its number.
    pub index: IfIndex,
    /// Its name.
    pub name: Arc<str>,
    /// Its own MAC.
    pub mac: [u8; 6],
    /// Set up by the operator.
    pub admin_up: bool,
    /// The link is there.
    pub link_up: bool,
    /// Largest packet, in bytes.
    pub mtu: u16,
    /// Largest IPv4 packet where the operator wants it smaller than `mtu`; 0: the same.
    pub mtu_ip4: u16,
    /// What the way of a tunnel takes for now ([`crate::path_mtu`]), without its headers.
    pub mtu_path: u16,
    /// How neighbours are reached.
    pub link: LinkKind,
    /// Unfinished work that the device takes on.
    pub caps: Caps,
    /// Takes every destination MAC, so that somebody must look at it.
    pub promiscuous: bool,
    /// The node that sends packets out, `NAME-output`.
    pub output: NodeId,
    /// The device's node, `NAME-tx`.
    pub tx: NodeId,
    /// Whether it has an IPv4 address (or borrows one), so that IPv4 is accepted.
    pub ip4: bool,
    /// Whether it has an IPv6 address, or was told to take IPv6 without one, so that it is accepted.
    pub ip6: bool,
}

impl Interface {
    /// The IPv6 address that it has on its link alone, if it takes IPv6.
    pub fn link_local(&self) -> Ipv6Addr {
        crate::wire::ip6::link_local(crate::wire::Mac(self.mac))
    }

    /// The largest IPv4 packet that may go out in one piece.
    pub fn ip4_mtu(&self) -> u16 {
        let own = if self.mtu_ip4 == 0 { self.mtu } else { self.mtu.min(self.mtu_ip4) };
        own.min(self.mtu_path)
    }

    /// The largest IPv6 packet that may go out in one piece. Errors do not make a tunnel too narrow for IPv6 (RFC 2473
    /// section 7.1).
    pub fn ip6_mtu(&self) -> u16 {
        self.mtu.min(self.mtu_path.max(crate::path_mtu::MIN6))
    }

    /// Whether packets may pass.
    #[inline(always)]
    pub fn is_up(&self) -> bool {
        self.admin_up && self.link_up
    }
}

/// What a device tells about itself for `show hardware-interfaces`.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Hardware {
    /// The name of the hardware, at the end of the first line.
    pub name: String,
    /// The device's own lines, without indent.
    pub lines: Vec<String>,
}

/// The control side of a device. Calls come from the control thread only.
pub trait Device: Send {
    /// The operator set the interface up or down.
    ///
    /// # Errors
    /// In words, when the device cannot.
    fn set_admin(&mut self, up: bool) -> Result<(), String> {
        let _ = up;
        Ok(())
    }
    /// The operator changed the MTU.
    ///
    /// # Errors
    /// In words, when the device cannot.
    fn set_mtu(&mut self, mtu: u16) -> Result<(), String> {
        let _ = mtu;
        Ok(())
    }
    /// The operator changed the MAC.
    ///
    /// # Errors
    /// In words, when the device cannot.
    fn set_mac(&mut self, mac: [u8; 6]) -> Result<(), String> {
        let _ = mac;
        Ok(())
    }
    /// The operator switched promiscuous reception.
    ///
    /// # Errors
    /// In words, when the device cannot.
    fn set_promiscuous(&mut self, on: bool) -> Result<(), String> {
        let _ = on;
        Ok(())
    }
    /// What the device tells about itself.
    fn hardware(&self) -> Hardware;
    /// What the device tells about its queues and workers: lines without indent, shown before the address.
    fn queues(&self) -> Vec<String> {
        Vec::new()
    }
    /// The kernel's number of the device behind the interface, for link events.
    fn kernel_index(&self) -> Option<u32> {
        None
    }
    /// The device itself, for the code that made it.
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct InterfaceAddress<A = Ipv4Addr> {
    /// The address.
    pub address: A,
    /// Length of the connected prefix.
    pub length: u8,
}

impl<A: std::fmt::Display> std::fmt::Display for InterfaceAddress<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl<A: Address> InterfaceAddress<A> {
    /// Whether the address is the network's or the broadcast address of its prefix, which no host can have (RFC 1122,
    /// section 3.2.1.3; prefixes of 31 bits have neither, RFC 3021; nor has IPv6).
    pub fn is_end(&self) -> bool {
        let ends = [self.address.masked(self.length), self.address.last(self.length)];
        A::reserves_ends(self.length) && ends.contains(&self.address)
    }

    /// Whether the address is in the connected prefix.
    pub fn covers(&self, address: A) -> bool {
        self.address.masked(self.length) == address.masked(self.length)
    }
}
