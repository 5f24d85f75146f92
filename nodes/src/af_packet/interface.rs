//! Host-interfaces: making and removing them.

use std::any::Any;
use std::sync::Arc;

use vnet::fib::LinkKind;
use vnet::interface::Caps;
use vnet::router::{InterfaceError, InterfaceSpec};
use vnet::{IfIndex, Router};

use super::queues::{Queues, RxQueue, RxState, TxQueue};
use super::{DeviceError, DeviceOptions, PacketDevice, RingLayout, Version, node, tx};
use crate::host::{HostDevice, Looks, Rings, clamp_mtu, look_again, watch_links};
use crate::sys::link::{device_of, link_by_name};

/// Why a host-interface was not made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel refused the device.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
    /// It is there, and not as it was to be.
    #[error("{0} is there already, with other settings: delete it first")]
    Different(String),
    /// It is there, and will never see a packet again.
    #[error("{0}")]
    Gone(String),
    /// A thread cannot be woken by the device.
    #[error("cannot watch the device: {0}")]
    Watch(#[from] std::io::Error),
}

/// The rings of a host-interface, as the control thread sees them.
struct PacketRings {
    options: DeviceOptions,
    rx: Vec<(RingLayout, Arc<RxState>)>,
    tx: Vec<Arc<TxQueue>>,
    /// What the device did by itself when the interface was made.
    offloads: Vec<&'static str>,
}

impl PacketRings {
    /// Closes the transmit rings, which the nodes that send have, too; none of them waits for the kernel meanwhile.
    fn close_tx(&self) {
        for queue in &self.tx {
            let ring = queue.ring().take();
            drop(ring);
        }
    }
}

/// The interface's name for a kernel device's.
pub fn name_of(device: &str) -> String {
    format!("host-{device}")
}

/// Whether anything is asked for, beyond what is the rule, that is not there.
fn asks_for_other(asked: &DeviceOptions, there: &DeviceOptions) -> bool {
    fn other<T: PartialEq>(asked: T, rule: T, there: T) -> bool {
        asked != rule && asked != there
    }
    let rule = DeviceOptions::new(&asked.name);
    other(asked.version, rule.version, there.version)
        || other(asked.rx_queues, rule.rx_queues, there.rx_queues)
        || other(asked.tx_queues, rule.tx_queues, there.tx_queues)
        || other(asked.offload, rule.offload, there.offload)
        || other(asked.rx_blocks, rule.rx_blocks, there.rx_blocks)
        || other(asked.tx_frames, rule.tx_frames, there.tx_frames)
        || other(asked.qdisc_bypass, rule.qdisc_bypass, there.qdisc_bypass)
        || other(asked.mac, rule.mac, there.mac)
}

/// Makes the interface `host-NAME`, or gives the one that is there, unless other options are asked for. Without an
/// address in the options it gets one that is always the same for this device; on a loopback device it is the kernel's.
///
/// # Errors
/// The kernel or the router refuses; nothing is left behind then.
pub fn create(router: &mut Router, options: &DeviceOptions) -> Result<IfIndex, HostError> {
    let name = name_of(&options.name);
    if let Some(index) = router.interface_by_name(&name) {
        // The monitor may not have told yet.
        look_again(router, index);
        if let Some(device) = router.device::<HostDevice>(index) {
            return match device {
                device if device.is_gone() => Err(HostError::Gone(device.gone_words())),
                device => match device.rings::<PacketRings>() {
                    Some(rings) if !asks_for_other(options, &rings.options) => Ok(index),
                    _ => Err(HostError::Different(name)),
                },
            };
        }
    }
    let kernel = link_by_name(device_of(&options.name)).ok().flatten().map(|link| link.mac);
    let derived = kernel.map_or_else(crate::mac::random, |kernel| crate::mac::derived(&options.name, kernel));
    let options = DeviceOptions { mac: options.mac.or(Some(derived)), ..options.clone() };
    let PacketDevice { link, rx, tx, control } = PacketDevice::open(&options)?;
    watch_links(router)?;
    let tx: Vec<_> = tx.into_iter().zip(0..).map(|(ring, number)| Arc::new(TxQueue::new(number, ring))).collect();
    let states: Vec<(RingLayout, Arc<RxState>)> = rx.iter().map(|ring| (*ring.layout(), Arc::default())).collect();
    let offloads = control.offloads();
    let rings = PacketRings { options: options.clone(), rx: states.clone(), tx: tx.clone(), offloads };
    let device = HostDevice::new(router, name.clone(), options.name.clone(), control, &link, Box::new(rings));
    let (own, queues) = (name.clone(), tx.clone());
    let index = router.add_interface(InterfaceSpec {
        name,
        mac: options.mac.filter(|_| !link.loopback).unwrap_or(link.mac),
        mtu: clamp_mtu(link.mtu),
        link: if link.loopback { LinkKind::Loopback } else { LinkKind::Ethernet },
        caps: if options.offload { Caps::CHECKSUM | Caps::GSO } else { Caps::empty() },
        link_up: link.running,
        device: Box::new(device),
        nodes: Box::new(move |index| [crate::output::spec(&own, index), tx::spec(&own, index, queues)]),
    })?;
    let placed = router.place_rx_queues(index, node::NAME, rx.len());
    if let Some(device) = router.device::<HostDevice>(index) {
        device.placed.clone_from(&placed);
    }
    for (((ring, number), (_, state)), worker) in rx.into_iter().zip(0..).zip(states).zip(placed) {
        let queue = RxQueue { interface: index, number, ring, state, looks: Looks::default() };
        let watched = router.ask(worker, move |worker| {
            worker.watch(&queue.ring)?;
            if let Some(queues) = worker.local::<Queues>() {
                queues.rx.push(queue);
            }
            Ok(())
        });
        if let Err(error) = watched {
            remove(router, index)?;
            return Err(HostError::Watch(error));
        }
    }
    for queue in tx {
        router.ask(queue.number as usize % router.workers(), move |worker| {
            if let Some(queues) = worker.local::<Queues>() {
                queues.tx.push((index, queue));
            }
        });
    }
    Ok(index)
}

/// Removes a host-interface; `false` where there is none of that name.
///
/// # Errors
/// The router's.
pub fn delete(router: &mut Router, device: &str) -> Result<bool, InterfaceError> {
    let Some(index) = router.interface_by_name(&name_of(device)) else { return Ok(false) };
    if router.device::<HostDevice>(index).is_none_or(|device| device.rings::<PacketRings>().is_none()) {
        return Ok(false);
    }
    remove(router, index).map(|()| true)
}

fn remove(router: &mut Router, index: IfIndex) -> Result<(), InterfaceError> {
    let taken = router.ask_all(move |worker| {
        let queues = worker.local::<Queues>()?;
        queues.tx.retain(|(interface, _)| *interface != index);
        Some(queues.rx.extract_if(.., |queue| queue.interface == index).collect::<Vec<_>>())
    });
    // Here and not there: closing takes the kernel a while.
    drop(taken);
    if let Some(rings) = router.device::<HostDevice>(index).and_then(|device| device.rings::<PacketRings>()) {
        rings.close_tx();
    }
    router.remove_interface(index)
}

impl Rings for PacketRings {
    fn class(&self) -> &'static str {
        "af_packet"
    }

    fn delete_command(&self, kernel: &str, _: &str) -> String {
        format!("delete host-interface name {kernel}")
    }

    fn tx_users(&self, workers: usize) -> Vec<Vec<usize>> {
        let users = |number| (0..workers).filter(|worker| worker % self.tx.len() == number).collect();
        (0..self.tx.len()).map(users).collect()
    }

    fn describe(&self) -> (Vec<String>, Vec<String>) {
        let version = if self.options.version == Version::V2 { 2 } else { 3 };
        let mut lines = vec![format!("Linux PACKET socket interface v{version}"), "FEATURES:".into()];
        if self.options.qdisc_bypass {
            lines.push("  qdisc-bpass-enabled".into());
        }
        if self.options.offload {
            lines.push("  cksum-gso-enabled".into());
        }
        let mut behind = Vec::new();
        for (number, (layout, state)) in self.rx.iter().enumerate() {
            let (position, drops, freezes) = state.get();
            let unit = if version == 3 { "block" } else { "frame" };
            behind.push(format!("RX Queue {number}:"));
            behind.push(format!("  {} next {unit}:{position}", sizes(layout)));
            behind.push(format!("  kernel drops:{drops} freezes:{freezes}"));
        }
        for (number, queue) in self.tx.iter().enumerate() {
            behind.push(format!("TX Queue {number}:"));
            let Some(ring) = &*queue.ring() else {
                behind.push("  closed".into());
                continue;
            };
            let counts = ring.counts();
            behind.push(format!("  {} next frame:{}", sizes(ring.layout()), ring.position()));
            behind.push(format!(
                "  available:{} request:{} sending:{} wrong:{} total:{}",
                counts.available, counts.request, counts.sending, counts.wrong, counts.total
            ));
        }
        (lines, behind)
    }

    fn offloads(&self) -> &[&'static str] {
        &self.offloads
    }

    fn close(&mut self, _: IfIndex) -> Box<dyn FnOnce(&mut Router)> {
        // A device that goes down first tells its sockets nothing when it is deleted afterwards: close them.
        self.rx.iter().for_each(|(_, state)| state.set_gone());
        self.close_tx();
        Box::new(|router| {
            router.ask_all(|_| ());
        })
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn sizes(layout: &RingLayout) -> String {
    format!(
        "block size:{} nr:{}  frame size:{} nr:{}",
        layout.block_size, layout.blocks, layout.frame_size, layout.frames
    )
}
