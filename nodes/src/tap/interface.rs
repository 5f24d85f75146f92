//! Taps as interfaces: making and removing them, and what follows from news of the kernel's end.

use std::any::Any;

use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::{InterfaceError, InterfaceSpec, Level};
use vnet::{IfIndex, Router};

use super::node::{self, SharedTap, Taps};
use super::{Tap, TapError, TapOptions};
use crate::links::{self, Watch};
use crate::sys::{LinkEvent, LinkFacts};

/// Why a tap interface was not made.
#[derive(Debug, thiserror::Error)]
pub enum TapInterfaceError {
    /// The number is taken.
    #[error("interface `{0}' exists already")]
    Exists(String),
    /// The kernel refused the device.
    #[error("{0}")]
    Tap(#[from] TapError),
    /// The router refused the interface.
    #[error("{0}")]
    Interface(#[from] InterfaceError),
    /// A thread cannot be woken by the device.
    #[error("cannot watch the device: {0}")]
    Watch(#[from] std::io::Error),
}

/// The control side of a tap.
struct TapDevice {
    name: String,
    kernel: LinkFacts,
    namespace: Option<String>,
    watch: Option<Watch>,
    gone: bool,
    shared: SharedTap,
}

/// The lowest number for which there is no tap.
pub fn free_id(router: &Router) -> u32 {
    (0..).find(|id| router.interface_by_name(&format!("tap{id}")).is_none()).unwrap_or(u32::MAX)
}

/// Makes the interface `tapN` and the kernel's end. Our end gets `mac`, or an address at random.
///
/// # Errors
/// The kernel or the router refuses; nothing is left behind then.
pub fn create(router: &mut Router, options: &TapOptions, mac: Option<[u8; 6]>) -> Result<IfIndex, TapInterfaceError> {
    let name = format!("tap{}", options.id);
    if router.interface_by_name(&name).is_some() {
        return Err(TapInterfaceError::Exists(name));
    }
    let (tap, monitor) = Tap::create(options)?;
    let (kernel, namespace) = (tap.link().clone(), tap.namespace().map(Into::into));
    let shared = SharedTap::new(tap);
    let device = TapDevice {
        name: name.clone(),
        namespace,
        kernel: kernel.clone(),
        watch: None,
        gone: false,
        shared: shared.clone(),
    };
    let (own, sender) = (name.clone(), shared.clone());
    let index = router.add_interface(InterfaceSpec {
        name,
        mac: mac.unwrap_or_else(crate::mac::random),
        mtu: u16::try_from(kernel.mtu).unwrap_or(u16::MAX),
        link: LinkKind::Ethernet,
        caps: Caps::CHECKSUM | Caps::GSO,
        link_up: kernel.up,
        device: Box::new(device),
        nodes: Box::new(move |index| [crate::output::spec(&own, index), node::tx(&own, index, sender)]),
    })?;
    let placed = router.place_rx_queues(index, node::NAME, 1);
    let watched = router.ask(placed.first().copied().unwrap_or_default(), move |worker| {
        if let Some(tap) = &*shared.lock() {
            worker.watch(tap)?;
        }
        if let Some(taps) = worker.local::<Taps>() {
            taps.0.push((index, shared));
        }
        Ok(())
    });
    let watch = watched.and_then(|()| links::watch(router, monitor, move |router, event| news(router, index, event)));
    match watch {
        Ok(watch) => {
            if let Some(device) = router.device::<TapDevice>(index) {
                device.watch = Some(watch);
            }
            Ok(index)
        }
        Err(error) => {
            delete(router, index)?;
            Err(TapInterfaceError::Watch(error))
        }
    }
}

/// Removes a tap with the kernel's end; `false` where the interface is none.
///
/// # Errors
/// The router's.
pub fn delete(router: &mut Router, index: IfIndex) -> Result<bool, InterfaceError> {
    let Some(device) = router.device::<TapDevice>(index) else { return Ok(false) };
    let (watch, shared) = (device.watch.take(), device.shared.clone());
    if let Some(watch) = watch {
        links::unwatch(router, watch);
    }
    router.ask_all(move |worker| {
        if let Some(taps) = worker.local::<Taps>() {
            taps.0.retain(|(interface, _)| *interface != index);
        }
    });
    // The node that sends has it, too. Closing takes the kernel a while: not in a packet thread, and not while one waits for it.
    let tap = shared.lock().take();
    drop(tap);
    router.remove_interface(index).map(|()| true)
}

/// The MAC of the kernel's end of a tap; `None` for other interfaces.
pub fn kernel_mac(router: &mut Router, index: IfIndex) -> Option<[u8; 6]> {
    router.device::<TapDevice>(index).map(|device| device.kernel.mac)
}

fn news(router: &mut Router, index: IfIndex, event: &LinkEvent) {
    let Some(device) = router.device::<TapDevice>(index) else { return };
    match event {
        LinkEvent::Changed(link) if link.index == device.kernel.index && !device.gone => {
            // A tap has a carrier as long as this process holds it. The operator's own MTU stays until the kernel's changes.
            let mtu = (device.kernel.mtu != link.mtu).then(|| u16::try_from(link.mtu).unwrap_or(u16::MAX));
            device.kernel = link.clone();
            router.link_changed(index, link.up, mtu);
        }
        LinkEvent::Gone(link) if link.index == device.kernel.index => gone(router, index),
        _ => (),
    }
}

/// The kernel's end is gone for good.
pub(super) fn gone(router: &mut Router, index: IfIndex) {
    let Some(device) = router.device::<TapDevice>(index) else { return };
    if std::mem::replace(&mut device.gone, true) {
        return;
    }
    let name = device.name.clone();
    router.link_changed(index, false, None);
    router.log().add(Level::Warn, "tap", format!("{name}: the kernel's end is gone"));
}

impl Device for TapDevice {
    fn set_mtu(&mut self, mtu: u16) -> Result<(), String> {
        if u32::from(mtu) > self.kernel.mtu {
            return Err(format!("the MTU of the kernel's end is {}, got {mtu}", self.kernel.mtu));
        }
        Ok(())
    }

    fn hardware(&self) -> Hardware {
        let place = self.namespace.as_ref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
        let LinkFacts { name, mac, mtu, up, .. } = &self.kernel;
        let state = if self.gone {
            "gone"
        } else if *up {
            "up"
        } else {
            "down"
        };
        let lines = vec![
            "Linux tap".into(),
            format!("kernel's end: {name}{place} {state}, address {}, mtu {mtu}", vnet::wire::Mac(*mac)),
            "cksum-gso-enabled".into(),
        ];
        Hardware { name: self.name.clone(), lines }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
