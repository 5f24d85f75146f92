//! News of the kernel's devices under interfaces.

use vnet::router::Level;
use vnet::{IfIndex, Router};

use super::{HostDevice, clamp_mtu};
use crate::links::{self, Watch};
use crate::sys::link::link_by_index;
use crate::sys::{LinkEvent, LinkFacts, LinkMonitor};

/// The monitor of the links in the daemon's own namespace, once there is an interface on one.
#[derive(Default)]
pub(crate) struct HostLinks(Option<Watch>);

/// Follows the links from now on.
///
/// # Errors
/// The kernel's.
pub(crate) fn watch_links(router: &mut Router) -> std::io::Result<()> {
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
pub(crate) fn look_again(router: &mut Router, index: IfIndex) {
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
    let mtu = (device.mtu != link.mtu).then(|| clamp_mtu(device.usable_mtu(link.mtu)));
    (device.mtu, device.mac) = (link.mtu, link.mac);
    let (name, class) = (device.name.clone(), device.rings.class());
    router.link_changed(index, link.running, mtu);
    if was_up != link.running {
        let what = if link.running { "up" } else { "down" };
        router.log().add(Level::Info, class, format!("{name}: link {what}"));
    }
}

fn gone(router: &mut Router, index: IfIndex) {
    let Some(device) = router.device::<HostDevice>(index) else { return };
    if std::mem::replace(&mut device.gone, true) {
        return;
    }
    let (name, class) = (device.name.clone(), device.rings.class());
    let rest = device.rings.close(index);
    rest(router);
    router.link_changed(index, false, None);
    router.log().add(Level::Warn, class, format!("{name}: the kernel's device is gone"));
}
