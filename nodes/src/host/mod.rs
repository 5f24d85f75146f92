//! Interfaces on the kernel's devices, whatever moves their frames: what the operator sets, and what the kernel tells.
//!
//! A driver makes a [`HostDevice`] with its own part as [`Rings`].

mod looks;
mod watch;

use std::any::Any;

use cli::columns::left;
use vnet::interface::{Device, Hardware};
use vnet::{IfIndex, Router};

use crate::af_packet::{Control, DeviceError};
use crate::sys::LinkFacts;

pub(crate) use looks::{Looks, RETRY};
pub(crate) use watch::{HostLinks, look_again, watch_links};

/// The control side of an interface on a kernel's device.
pub(crate) struct HostDevice {
    /// The interface's name.
    pub(crate) name: String,
    /// The kernel's device, as the operator named it.
    pub(crate) kernel: String,
    control: Control,
    threads: Vec<String>,
    /// The worker of each receive queue.
    pub(crate) placed: Vec<usize>,
    loopback: bool,
    /// The kernel's own address.
    mac: [u8; 6],
    mtu: u32,
    gone: bool,
    rings: Box<dyn Rings>,
}

/// A driver's part of a [`HostDevice`].
pub(crate) trait Rings: Send + 'static {
    /// The driver's name in the log.
    fn class(&self) -> &'static str;
    /// What removes the interface.
    fn delete_command(&self, kernel: &str, name: &str) -> String;
    /// The longest packet that the driver takes, in bytes; 0 for any.
    fn max_mtu(&self) -> u32 {
        0
    }
    /// The workers that use each transmit queue, of so many workers.
    fn tx_users(&self, workers: usize) -> Vec<Vec<usize>>;
    /// Lines for `show hardware-interfaces`: those in front of the offloads, and those behind them.
    fn describe(&self) -> (Vec<String>, Vec<String>);
    /// What the device did by itself when the interface was made.
    fn offloads(&self) -> &[&'static str];
    /// The kernel's device is gone: closes everything. What is left to do needs the router.
    fn close(&mut self, index: IfIndex) -> Box<dyn FnOnce(&mut Router)>;
    /// The driver's own type.
    fn as_any(&mut self) -> &mut dyn Any;
}

impl HostDevice {
    pub(crate) fn new(
        router: &Router,
        name: String,
        kernel: String,
        control: Control,
        link: &LinkFacts,
        rings: Box<dyn Rings>,
    ) -> HostDevice {
        HostDevice {
            name,
            kernel,
            control,
            threads: (0..router.workers()).map(|worker| router.thread_name(worker).replace("vpp_", "")).collect(),
            placed: Vec::new(),
            loopback: link.loopback,
            mac: link.mac,
            mtu: link.mtu,
            gone: false,
            rings,
        }
    }

    /// The driver's part, if it is this driver's.
    pub(crate) fn rings<R: Rings>(&mut self) -> Option<&mut R> {
        self.rings.as_any().downcast_mut()
    }

    /// Whether the kernel's device is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// What to say of a device that is gone.
    pub(crate) fn gone_words(&self) -> String {
        let command = self.rings.delete_command(&self.kernel, &self.name);
        format!("the kernel's device {} is gone; {command} first", self.kernel)
    }

    /// The kernel's MTU as far as the driver takes it.
    fn usable_mtu(&self, kernel: u32) -> u32 {
        match self.rings.max_mtu() {
            0 => kernel,
            most => kernel.min(most),
        }
    }
}

/// An IPv4 packet is no longer than 65535 bytes, whatever `lo` says.
pub(crate) fn clamp_mtu(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

impl Device for HostDevice {
    fn set_admin(&mut self, up: bool) -> Result<(), String> {
        // As VPP: up means the kernel's device, too; down leaves it to its other users.
        match up {
            true if self.gone => Err(self.gone_words()),
            true if !self.loopback => self.control.set_kernel_up(true).map_err(|error| match error {
                // The monitor has not told yet.
                DeviceError::NoSuchDevice { .. } => self.gone_words(),
                error => error.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), String> {
        if u32::from(mtu) > self.mtu {
            return Err(format!("the MTU of the kernel's device is {}, got {mtu}", self.mtu));
        }
        let usable = self.usable_mtu(self.mtu);
        if u32::from(mtu) > usable {
            return Err(format!("{} takes packets up to {usable} bytes, got {mtu}", self.rings.class()));
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
        for (number, users) in self.rings.tx_users(self.threads.len()).into_iter().enumerate() {
            let users: Vec<_> = users.iter().map(ToString::to_string).collect();
            let shared = if users.len() > 1 { "yes" } else { "no" };
            lines.push(format!("  {}{}{}", left(number, 6), left(shared, 7), users.join(",")));
        }
        lines
    }

    fn hardware(&self) -> Hardware {
        let (mut lines, behind) = self.rings.describe();
        if self.gone {
            lines.insert(1, "the kernel's device is gone".into());
        }
        lines.push("Host Interface Offload:".into());
        let now = self.control.offloads();
        for (when, offloads) in [("creation time", self.rings.offloads()), ("now", &now)] {
            lines.push(format!("  {when}:"));
            lines.extend(offloads.iter().map(|offload| format!("   {offload}")));
        }
        lines.extend(behind);
        Hardware { name: self.name.clone(), lines }
    }

    fn kernel_index(&self) -> Option<u32> {
        (!self.gone).then(|| self.control.device())
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
