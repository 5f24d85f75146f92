//! Interfaces: made by devices, configured by the operator.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Family, Router};
use crate::fib::{InterfaceFacts, LinkKind};
use crate::ids::IfIndex;
use crate::interface::{Caps, Device, Hardware, IfStats, Interface, InterfaceAddress};
use crate::registry::NodeSpec;

/// What a device must say to become an interface.
pub struct InterfaceSpec {
    /// Its name, which no other interface has.
    pub name: String,
    /// Its own MAC; zeroes where it has none.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// How neighbours are reached.
    pub link: LinkKind,
    /// Unfinished work that the device takes on.
    pub caps: Caps,
    /// Whether the link is there now.
    pub link_up: bool,
    /// The control side.
    pub device: Box<dyn Device>,
    /// The nodes `NAME-output` and `NAME-tx`, given the interface's number.
    pub nodes: Box<dyn FnOnce(IfIndex) -> [NodeSpec; 2]>,
}

/// The control side of an interface.
pub struct InterfaceRecord {
    pub(super) index: IfIndex,
    pub(super) device: Box<dyn Device>,
    pub(super) addresses: Vec<InterfaceAddress>,
    pub(super) addresses6: Vec<InterfaceAddress<Ipv6Addr>>,
    /// It takes IPv6 even without an address beyond its link-local one.
    pub(super) ip6_enabled: bool,
    pub(super) stats: Vec<Arc<IfStats>>,
}

impl InterfaceRecord {
    /// The interface's number.
    pub fn index(&self) -> IfIndex {
        self.index
    }
    /// Its IPv4 addresses, in the order in which they were set.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.addresses
    }
    /// Its IPv6 addresses but the link-local one, in the order in which they were set.
    pub fn addresses6(&self) -> &[InterfaceAddress<Ipv6Addr>] {
        &self.addresses6
    }
    /// Its counters, summed over the workers.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut sum = IfStats::default().list().to_vec();
        for stats in &self.stats {
            for (total, (_, value)) in sum.iter_mut().zip(stats.list()) {
                total.1 += value;
            }
        }
        sum
    }
    /// Its counters in each worker.
    pub fn counters_of_workers(&self) -> impl Iterator<Item = [(&'static str, u64); 12]> {
        self.stats.iter().map(|stats| stats.list())
    }
    /// What the device tells about itself.
    pub fn hardware(&self) -> Hardware {
        self.device.hardware()
    }
    /// The kernel's number of the device behind the interface, if there is one.
    pub fn kernel_index(&self) -> Option<u32> {
        self.device.kernel_index()
    }

    /// What the device tells about its queues.
    pub fn queues(&self) -> Vec<String> {
        self.device.queues()
    }
}

/// Why an interface was not changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InterfaceError {
    /// The name is taken.
    #[error("an interface named `{0}' exists already")]
    Exists(String),
    /// No such interface.
    #[error("unknown interface number {0}")]
    Unknown(IfIndex),
    /// An MTU that IPv4 cannot live with (RFC 791: 68 bytes), or beyond 16 bits.
    #[error("expected an MTU from 68 to 65535, got {0}")]
    Mtu(u32),
    /// An MTU of IPv4 beyond that of the interface, or too small.
    #[error("expected an MTU from 68 to {most}, that of the packet, or 0 for the same, got {got}")]
    Ip4Mtu {
        /// The interface's MTU.
        most: u16,
        /// What was asked for.
        got: u32,
    },
    /// The graph refused its nodes.
    #[error("{0}")]
    Graph(String),
    /// The device refused.
    #[error("{0}")]
    Device(String),
}

impl Router {
    /// `local0`, the interface of packets that have none.
    pub(super) fn install_local0(&mut self) {
        self.install_stats(0);
        self.interfaces.push(None);
    }

    fn install_stats(&mut self, index: usize) -> Vec<Arc<IfStats>> {
        let stats: Vec<Arc<IfStats>> = (0..self.threads.len()).map(|_| Arc::default()).collect();
        for (worker, own) in stats.iter().cloned().enumerate() {
            self.ask(worker, move |worker| worker.install_interface(index, own));
        }
        stats
    }

    /// Makes an interface, down until the operator says otherwise.
    ///
    /// # Errors
    /// When the name is taken or the graph refuses the nodes.
    pub fn add_interface(&mut self, spec: InterfaceSpec) -> Result<IfIndex, InterfaceError> {
        if self.interface_by_name(&spec.name).is_some() {
            return Err(InterfaceError::Exists(spec.name));
        }
        let free = self.interfaces.iter().skip(1).position(Option::is_none).map(|at| at + 1);
        let number = free.unwrap_or(self.interfaces.len());
        let index = IfIndex(number as u32);
        let [output, tx] = (spec.nodes)(index);
        let tx = self.add_node(tx).map_err(InterfaceError::Graph)?;
        let output = match self.add_node(output) {
            Ok(output) => output,
            Err(error) => {
                self.remove_node(tx);
                return Err(InterfaceError::Graph(error));
            }
        };
        let interface = Interface {
            index,
            name: spec.name.into(),
            mac: spec.mac,
            admin_up: false,
            link_up: spec.link_up,
            mtu: spec.mtu,
            mtu_ip4: 0,
            mtu_path: u16::MAX,
            link: spec.link,
            caps: spec.caps,
            promiscuous: false,
            output,
            tx,
            ip4: false,
            ip6: false,
        };
        let stats = self.install_stats(number);
        let record = InterfaceRecord {
            index,
            device: spec.device,
            addresses: Vec::new(),
            addresses6: Vec::new(),
            ip6_enabled: false,
            stats,
        };
        if number < self.interfaces.len() {
            self.interfaces[number] = Some(record);
            self.tables.interfaces[number] = interface;
        } else {
            self.interfaces.push(Some(record));
            self.tables.interfaces.push(interface);
        }
        self.interface_changed(index);
        self.publish_and_settle();
        Ok(index)
    }

    /// Removes an interface with its addresses, neighbours and routes. The device is closed.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn remove_interface(&mut self, index: IfIndex) -> Result<(), InterfaceError> {
        let record = self.interfaces.get_mut(index.index()).and_then(Option::take);
        let record = record.ok_or(InterfaceError::Unknown(index))?;
        self.placement.remove(index);
        self.forget_neighbors::<Ipv4Addr>(index);
        self.forget_neighbors::<Ipv6Addr>(index);
        // Routing knows every interface that has a record.
        let _ = self.ip4.rib.interface_removed(index);
        let _ = self.ip6.rib.interface_removed(index);
        let gone = Interface { index, name: "deleted".into(), ..self.tables.interfaces[0].clone() };
        let Interface { output, tx, .. } = std::mem::replace(&mut self.tables.interfaces[index.index()], gone);
        for arc in &mut self.tables.arcs {
            arc.set(index, Vec::new());
        }
        self.refresh_own_addresses();
        self.remove_node(output);
        self.remove_node(tx);
        drop(record);
        Ok(())
    }

    /// The interface of this name.
    pub fn interface_by_name(&self, name: &str) -> Option<IfIndex> {
        if name == "local0" {
            return Some(IfIndex(0));
        }
        self.records().map(|record| record.index).find(|index| &*self.tables.interface(*index).name == name)
    }

    /// All interfaces but `local0`, by number.
    pub fn records(&self) -> impl Iterator<Item = &InterfaceRecord> {
        self.interfaces.iter().flatten()
    }

    /// The control side of an interface; `local0` has none.
    pub fn record(&self, index: IfIndex) -> Option<&InterfaceRecord> {
        self.interfaces.get(index.index())?.as_ref()
    }

    /// What workers know of an interface.
    pub fn interface(&self, index: IfIndex) -> Option<&Interface> {
        (index.0 == 0 || self.record(index).is_some()).then(|| self.tables.interface(index))
    }

    /// The control side of a device, for the code that made it.
    pub fn device<D: 'static>(&mut self, index: IfIndex) -> Option<&mut D> {
        self.interfaces.get_mut(index.index())?.as_mut()?.device.as_any().downcast_mut()
    }

    /// The interface on a kernel device.
    pub fn interfaces_on(&self, kernel_index: u32) -> Vec<IfIndex> {
        let on = self.records().filter(|record| record.device.kernel_index() == Some(kernel_index));
        on.map(|record| record.index).collect()
    }

    fn change(
        &mut self,
        index: IfIndex,
        device: impl FnOnce(&mut dyn Device) -> Result<(), String>,
        change: impl FnOnce(&mut Interface),
    ) -> Result<(), InterfaceError> {
        let record = self.interfaces.get_mut(index.index()).and_then(Option::as_mut);
        let record = record.ok_or(InterfaceError::Unknown(index))?;
        device(&mut *record.device).map_err(InterfaceError::Device)?;
        let interface = &mut self.tables.interfaces[index.index()];
        let before = (interface.is_up(), interface.mac);
        change(interface);
        self.interface_changed(index);
        self.announce_if_new(index, before);
        Ok(())
    }

    /// Sets an interface up or down.
    ///
    /// # Errors
    /// When there is none of that number or the device refuses.
    pub fn set_interface_state(&mut self, index: IfIndex, up: bool) -> Result<(), InterfaceError> {
        self.change(index, |device| device.set_admin(up), |interface| interface.admin_up = up)
    }

    /// Sets the largest IP packet of an interface.
    ///
    /// # Errors
    /// As [`Router::set_interface_state`], and for impossible sizes.
    pub fn set_interface_mtu(&mut self, index: IfIndex, mtu: u32) -> Result<(), InterfaceError> {
        let mtu = u16::try_from(mtu).ok().filter(|&mtu| mtu >= 68).ok_or(InterfaceError::Mtu(mtu))?;
        self.change(index, |device| device.set_mtu(mtu), |interface| interface.mtu = mtu)
    }

    /// Sets the largest IPv4 packet of an interface, where that shall be less than its largest packet; 0: the same again.
    ///
    /// # Errors
    /// As [`Router::set_interface_state`], and for sizes beyond the interface's.
    pub fn set_interface_ip4_mtu(&mut self, index: IfIndex, mtu: u32) -> Result<(), InterfaceError> {
        let most = self.interface(index).ok_or(InterfaceError::Unknown(index))?.mtu;
        let fits = |mtu: &u16| *mtu == 0 || (68..=most).contains(mtu);
        let mtu = u16::try_from(mtu).ok().filter(fits).ok_or(InterfaceError::Ip4Mtu { most, got: mtu })?;
        self.change(index, |_| Ok(()), |interface| interface.mtu_ip4 = mtu)
    }

    /// Sets the MAC of an interface.
    ///
    /// # Errors
    /// As [`Router::set_interface_state`].
    pub fn set_interface_mac(&mut self, index: IfIndex, mac: [u8; 6]) -> Result<(), InterfaceError> {
        self.change(index, |device| device.set_mac(mac), |interface| interface.mac = mac)
    }

    /// Takes every destination MAC, or only its own.
    ///
    /// # Errors
    /// As [`Router::set_interface_state`].
    pub fn set_interface_promiscuous(&mut self, index: IfIndex, on: bool) -> Result<(), InterfaceError> {
        self.change(index, |device| device.set_promiscuous(on), |interface| interface.promiscuous = on)
    }

    /// A device tells that its link came or went, or that the kernel's MTU changed.
    pub fn link_changed(&mut self, index: IfIndex, link_up: bool, mtu: Option<u16>) {
        if self.record(index).is_none() {
            return;
        }
        let interface = &mut self.tables.interfaces[index.index()];
        let mtu = mtu.unwrap_or(interface.mtu);
        if (interface.link_up, interface.mtu) != (link_up, mtu) {
            let before = (interface.is_up(), interface.mac);
            (interface.link_up, interface.mtu) = (link_up, mtu);
            self.interface_changed(index);
            self.announce_if_new(index, before);
        }
    }

    /// Tells routing what has become of an interface.
    pub(super) fn interface_changed(&mut self, index: IfIndex) {
        self.interface_changed_of::<Ipv4Addr>(index);
        self.interface_changed_of::<Ipv6Addr>(index);
        self.touch();
    }

    fn interface_changed_of<A: Family>(&mut self, index: IfIndex) {
        let interface = &self.tables.interfaces[index.index()];
        let facts = InterfaceFacts {
            index,
            name: interface.name.clone(),
            output_node: interface.output,
            mtu: A::mtu(interface),
            mac: interface.mac,
            link: interface.link,
            up: interface.is_up(),
        };
        let down = !facts.up;
        A::control_mut(self).rib.interface_changed(facts);
        self.neighbors_of_changed::<A>(index, down);
    }
}
