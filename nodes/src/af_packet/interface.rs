//! Host-interfaces: making and removing them, and what follows from news of the kernel's device.

use std::any::Any;
use std::sync::Arc;

use cli::columns::left;
use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::{InterfaceError, InterfaceSpec, Level};
use vnet::{IfIndex, Router};

use super::queues::{Queues, RxQueue, RxState, TxQueue};
use super::{Control, DeviceError, DeviceOptions, PacketDevice, RingLayout, Version, tx};
use crate::links::{self, Watch};
use crate::sys::{
    LinkEvent, LinkFacts, LinkMonitor,
    link::{device_of, link_by_index, link_by_name},
};

/// The monitor of the links in the daemon's own namespace, once there is a host-interface.
#[derive(Default)]
pub(super) struct HostLinks(Option<Watch>);

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
    #[error("{}", gone_words(.0))]
    Gone(String),
    /// A thread cannot be woken by the device.
    #[error("cannot watch the device: {0}")]
    Watch(#[from] std::io::Error),
}

/// The control side of a host-interface.
struct HostDevice {
    name: String,
    options: DeviceOptions,
    control: Control,
    rx: Vec<(RingLayout, Arc<RxState>)>,
    tx: Vec<Arc<TxQueue>>,
    threads: Vec<String>,
    /// The worker of each receive queue.
    placed: Vec<usize>,
    /// What the device did by itself when the interface was made.
    offloads: Vec<&'static str>,
    loopback: bool,
    /// The kernel's own address.
    mac: [u8; 6],
    mtu: u32,
    gone: bool,
}

/// The interface's name for a kernel device's.
pub fn name_of(device: &str) -> String {
    format!("host-{device}")
}

fn gone_words(device: &str) -> String {
    format!("the kernel's device {device} is gone; delete host-interface name {device} first")
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
                device if device.gone => Err(HostError::Gone(options.name.clone())),
                device if asks_for_other(options, &device.options) => Err(HostError::Different(name)),
                _ => Ok(index),
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
    let offloads = control.offloads(device_of(&options.name));
    let device = HostDevice {
        name: name.clone(),
        options: options.clone(),
        control,
        rx: states.clone(),
        tx: tx.clone(),
        threads: (0..router.workers()).map(|worker| router.thread_name(worker).replace("vpp_", "")).collect(),
        placed: Vec::new(),
        offloads,
        loopback: link.loopback,
        mac: link.mac,
        mtu: link.mtu,
        gone: false,
    };
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
    let placed = router.place_rx_queues(index, rx.len());
    if let Some(device) = router.device::<HostDevice>(index) {
        device.placed.clone_from(&placed);
    }
    for (((ring, number), (_, state)), worker) in rx.into_iter().zip(0..).zip(states).zip(placed) {
        let queue = RxQueue { interface: index, number, ring, state, next_look: 0 };
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
    if router.device::<HostDevice>(index).is_none() {
        return Ok(false);
    }
    remove(router, index).map(|()| true)
}

fn remove(router: &mut Router, index: IfIndex) -> Result<(), InterfaceError> {
    router.ask_all(move |worker| {
        if let Some(queues) = worker.local::<Queues>() {
            queues.rx.retain(|queue| queue.interface != index);
            queues.tx.retain(|(interface, _)| *interface != index);
        }
    });
    router.remove_interface(index)
}

fn watch_links(router: &mut Router) -> std::io::Result<()> {
    if router.state::<HostLinks>().is_none_or(|links| links.0.is_some()) {
        return Ok(());
    }
    let watch = links::watch(router, LinkMonitor::open()?, |router, event| match event {
        LinkEvent::Changed(link) => for_each_on(router, link, changed),
        LinkEvent::Gone(link) => for_each_on(router, link, |router, index, _| gone(router, index)),
        LinkEvent::Missed => (),
    })?;
    if let Some(links) = router.state::<HostLinks>() {
        links.0 = Some(watch);
    }
    Ok(())
}

fn for_each_on(router: &mut Router, link: &LinkFacts, change: impl Fn(&mut Router, IfIndex, &LinkFacts)) {
    for index in router.interfaces_on(link.index) {
        if router.device::<HostDevice>(index).is_some() {
            change(router, index, link);
        }
    }
}

/// A queue found something wrong with the device: asks the kernel how it is.
pub(super) fn look_again(router: &mut Router, index: IfIndex) {
    let Some(device) = router.device::<HostDevice>(index) else { return };
    match link_by_index(device.control.device()) {
        Ok(Some(link)) => changed(router, index, &link),
        Ok(None) => gone(router, index),
        // The monitor will tell.
        Err(_) => (),
    }
}

fn changed(router: &mut Router, index: IfIndex, link: &LinkFacts) {
    let was_up = router.interface(index).is_some_and(|interface| interface.link_up);
    let Some(device) = router.device::<HostDevice>(index) else { return };
    if device.gone {
        return;
    }
    // The operator's own MTU stays until the kernel's changes.
    let mtu = (device.mtu != link.mtu).then(|| clamp_mtu(link.mtu));
    (device.mtu, device.mac) = (link.mtu, link.mac);
    let name = device.name.clone();
    router.link_changed(index, link.running, mtu);
    if was_up != link.running {
        let what = if link.running { "up" } else { "down" };
        router.log().add(Level::Info, "af_packet", format!("{name}: link {what}"));
    }
}

fn gone(router: &mut Router, index: IfIndex) {
    let Some(device) = router.device::<HostDevice>(index) else { return };
    if std::mem::replace(&mut device.gone, true) {
        return;
    }
    let name = device.name.clone();
    // A device that goes down first tells its sockets nothing when it is deleted afterwards: close them.
    device.rx.iter().for_each(|(_, state)| state.set_gone());
    device.tx.iter().for_each(|queue| *queue.ring() = None);
    router.ask_all(|_| ());
    router.link_changed(index, false, None);
    router.log().add(Level::Warn, "af_packet", format!("{name}: the kernel's device is gone"));
}

/// An IPv4 packet is no longer than 65535 bytes, whatever `lo` says.
fn clamp_mtu(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

impl Device for HostDevice {
    fn set_admin(&mut self, up: bool) -> Result<(), String> {
        // As VPP: up means the kernel's device, too; down leaves it to its other users.
        match up {
            true if self.gone => Err(gone_words(&self.options.name)),
            true if !self.loopback => self.control.set_kernel_up(true).map_err(|error| match error {
                // The monitor has not told yet.
                DeviceError::NoSuchDevice { .. } => gone_words(&self.options.name),
                error => error.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), String> {
        if u32::from(mtu) > self.mtu {
            return Err(format!("the MTU of the kernel's device is {}, got {mtu}", self.mtu));
        }
        Ok(())
    }

    fn set_mac(&mut self, mac: [u8; 6]) -> Result<(), String> {
        if self.loopback {
            return Err("the address of a loopback device is the kernel's".into());
        }
        self.control.set_mac(Some(mac).filter(|mac| *mac != self.mac)).map_err(|error| error.to_string())
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), String> {
        self.control.set_promiscuous(on).map_err(|error| error.to_string())
    }

    fn queues(&self) -> Vec<String> {
        let mut lines =
            vec!["Link speed: unknown".into(), "RX Queues:".into(), "  queue thread         mode      ".into()];
        for (number, &worker) in self.placed.iter().enumerate() {
            let thread = format!("{} ({worker})", self.threads[worker]);
            lines.push(format!("  {}{}{}", left(number, 6), left(thread, 15), left("adaptive", 10)));
        }
        lines.extend(["TX Queues:".into(), "  queue shared thread(s)      ".into()]);
        for number in 0..self.tx.len() {
            let users = (0..self.threads.len()).filter(|worker| worker % self.tx.len() == number);
            let users: Vec<_> = users.map(|worker| worker.to_string()).collect();
            let shared = if users.len() > 1 { "yes" } else { "no" };
            lines.push(format!("  {}{}{}", left(number, 6), left(shared, 7), users.join(",")));
        }
        lines
    }

    fn hardware(&self) -> Hardware {
        let version = if self.options.version == Version::V2 { 2 } else { 3 };
        let mut lines = vec![format!("Linux PACKET socket interface v{version}"), "FEATURES:".into()];
        if self.gone {
            lines.insert(1, "the kernel's device is gone".into());
        }
        if self.options.qdisc_bypass {
            lines.push("  qdisc-bpass-enabled".into());
        }
        if self.options.offload {
            lines.push("  cksum-gso-enabled".into());
        }
        lines.push("Host Interface Offload:".into());
        let now = self.control.offloads(device_of(&self.options.name));
        for (when, offloads) in [("creation time", &self.offloads), ("now", &now)] {
            lines.push(format!("  {when}:"));
            lines.extend(offloads.iter().map(|offload| format!("   {offload}")));
        }
        for (number, (layout, state)) in self.rx.iter().enumerate() {
            let (position, drops, freezes) = state.get();
            let unit = if version == 3 { "block" } else { "frame" };
            lines.push(format!("RX Queue {number}:"));
            lines.push(format!("  {} next {unit}:{position}", sizes(layout)));
            lines.push(format!("  kernel drops:{drops} freezes:{freezes}"));
        }
        for (number, queue) in self.tx.iter().enumerate() {
            lines.push(format!("TX Queue {number}:"));
            let Some(ring) = &*queue.ring() else {
                lines.push("  closed".into());
                continue;
            };
            let counts = ring.counts();
            lines.push(format!("  {} next frame:{}", sizes(ring.layout()), ring.position()));
            lines.push(format!(
                "  available:{} request:{} sending:{} wrong:{} total:{}",
                counts.available, counts.request, counts.sending, counts.wrong, counts.total
            ));
        }
        Hardware { name: self.name.clone(), lines }
    }

    fn kernel_index(&self) -> Option<u32> {
        (!self.gone).then(|| self.control.device())
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
