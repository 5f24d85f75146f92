//! AF_XDP interfaces: making and removing them.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use vnet::fib::LinkKind;
use vnet::interface::Caps;
use vnet::mem::Loan;
use vnet::router::{InterfaceError, InterfaceSpec, Level};
use vnet::{IfIndex, Router};

use super::error::XdpError;
use super::node;
use super::program;
use super::queue::{Queues, RxQueue, Tx, TxQueue};
use super::rings::{RxFacts, XdpRings};
use super::socket::{Wanted, XdpSocket, ZeroCopy};
use super::tx::{self, TxQueues};
use crate::af_packet::Control;
use crate::host::{HostDevice, Looks, Rings, clamp_mtu, look_again, watch_links};
use crate::sys::LinkFacts;
use crate::sys::bpf::{Attach, Link, Program, SocketMap};
use crate::sys::raw::rx_channels;

/// How to open a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpOptions {
    /// The kernel's device.
    pub host_if: String,
    /// The interface's name, if not `DEVICE/NUMBER`.
    pub name: Option<String>,
    /// Receive queues; `None`: all that the device has.
    pub rx_queues: Option<u32>,
    /// Frames in a receive queue, a power of two.
    pub rx_size: u32,
    /// Frames in a transmit queue, a power of two.
    pub tx_size: u32,
    /// Whether the device reads and writes buffers itself.
    pub zero_copy: ZeroCopy,
    /// Where the program runs.
    pub mode: Mode,
    /// A program of the operator's: an object file.
    pub program: Option<PathBuf>,
    /// The kernel serves the device when the worker asks.
    pub busy_poll: bool,
}

/// Where the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, or else after it.
    #[default]
    Auto,
    /// After the driver, on packets that the kernel has made of the frames: works with every device.
    Skb,
    /// In the driver.
    Native,
    /// In the device.
    Offload,
}

impl XdpOptions {
    /// The defaults for a device.
    pub fn new(host_if: &str) -> Self {
        Self {
            host_if: host_if.into(),
            name: None,
            rx_queues: Some(1),
            rx_size: 1024,
            tx_size: 1024,
            zero_copy: ZeroCopy::Auto,
            mode: Mode::Auto,
            program: None,
            busy_poll: false,
        }
    }
}

/// Sockets by worker, to share their memory with those to come.
#[derive(Default)]
pub(super) struct Sockets(Vec<(usize, Weak<XdpSocket>)>);

impl Sockets {
    fn of(&self, worker: usize) -> impl Iterator<Item = Arc<XdpSocket>> {
        self.0.iter().filter(move |(of, _)| *of == worker).filter_map(|(_, socket)| socket.upgrade())
    }

    fn add(&mut self, worker: usize, socket: &Arc<XdpSocket>) {
        self.0.retain(|(_, socket)| socket.strong_count() > 0);
        self.0.push((worker, Arc::downgrade(socket)));
    }
}

/// Buffers that are put aside for workers without a queue of their own, for each queue that they share.
const ASIDE: usize = 1024;

/// Makes the interface, or gives the one that is on the device already in the same way. Its address is the kernel's.
///
/// # Errors
/// The kernel or the router refuses; nothing is left behind then.
pub fn create(router: &mut Router, options: &XdpOptions) -> Result<IfIndex, XdpError> {
    let device = options.host_if.as_str();
    let (control, link) = Control::open(device, None)?;
    if let Some(index) = there(router, options, &link)? {
        return Ok(index);
    }
    let channels = rx_channels(control.as_fd(), device);
    let queues = options.rx_queues.unwrap_or(channels);
    if queues > channels {
        return Err(XdpError::Words(format!(
            "{device}: too many receive queues: {queues}, and the device has {channels}"
        )));
    }
    let map = SocketMap::new(queues).map_err(|source| XdpError::new(device, "make a map of sockets", source))?;
    let (instructions, license) = match &options.program {
        Some(file) => program::from_file(file, &map).map_err(XdpError::Words)?,
        None => (program::to_sockets(&map), c"Apache-2.0".into()),
    };
    let program = Program::load(&instructions, &license);
    let program = program.map_err(|refused| XdpError::program(options.program.as_deref(), refused))?;
    let (attached, tie) = attach(options, &program, link.index)?;
    let (rings, index) = add(router, options, control, &link, attached, tie)?;
    let mut sending = Vec::new();
    let opened = open(router, options, &link, &map, index, queues, &mut sending);
    // Nobody else sets it. Those of a half-made interface are closed like others.
    let _ = rings.set(sending);
    if let Err(error) = opened {
        // The device's own error says more than what removing could.
        let _ = remove(router, index);
        return Err(error);
    }
    if attached == Attach::Generic {
        let text = format!(
            "{device}: the program runs behind the driver: large segments come in one piece, fit no buffer and are dropped; \
             have senders cut them (ethtool -K ... tso off gso off; gro off here)"
        );
        router.log().add(Level::Warn, "af_xdp", text);
    }
    if link.mtu > super::MAX_MTU {
        let text = format!(
            "{device}: packets longer than {} bytes do not fit a buffer and are dropped, and the device's MTU is {}",
            super::MAX_MTU,
            link.mtu
        );
        router.log().add(Level::Warn, "af_xdp", text);
    }
    Ok(index)
}

/// The interface that is on the device already.
fn there(router: &mut Router, options: &XdpOptions, link: &LinkFacts) -> Result<Option<IfIndex>, XdpError> {
    for index in router.interfaces_on(link.index) {
        // The monitor may not have told yet.
        look_again(router, index);
        let Some(device) = router.device::<HostDevice>(index) else { continue };
        let (name, words) = (device.name.clone(), device.is_gone().then(|| device.gone_words()));
        let Some(rings) = device.rings::<XdpRings>() else { continue };
        return match words {
            Some(words) => Err(XdpError::Words(words)),
            None if rings.options == *options => Ok(Some(index)),
            None => Err(XdpError::Words(format!("{name} is there already, with other settings: delete it first"))),
        };
    }
    Ok(None)
}

/// Has the device run the program.
fn attach(options: &XdpOptions, program: &Program, device: u32) -> Result<(Attach, Link), XdpError> {
    let first = match options.mode {
        Mode::Auto | Mode::Native => Attach::Native,
        Mode::Skb => Attach::Generic,
        Mode::Offload => Attach::Offload,
    };
    match program.attach(device, first) {
        Ok(link) => Ok((first, link)),
        Err(error) if options.mode == Mode::Auto && error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let link = program.attach(device, Attach::Generic);
            let link = link.map_err(|source| XdpError::attach(&options.host_if, Attach::Generic, source))?;
            Ok((Attach::Generic, link))
        }
        Err(source) => Err(XdpError::attach(&options.host_if, first, source)),
    }
}

/// Adds the interface, which has no queues yet.
fn add(
    router: &mut Router,
    options: &XdpOptions,
    control: Control,
    link: &LinkFacts,
    attached: Attach,
    tie: Link,
) -> Result<(TxQueues, IfIndex), XdpError> {
    watch_links(router).map_err(|source| XdpError::new(&options.host_if, "watch the device", source))?;
    let instance = free_instance(router);
    let name = options.name.clone().unwrap_or_else(|| format!("{}/{instance}", options.host_if));
    let queues = TxQueues::default();
    let rings = XdpRings {
        options: options.clone(),
        instance,
        attached,
        link: Some(tie),
        offloads: control.offloads(),
        rx: Vec::new(),
        tx: queues.clone(),
    };
    let mtu = link.mtu.min(rings.max_mtu());
    let device = HostDevice::new(router, name.clone(), options.host_if.clone(), control, link, Box::new(rings));
    let (own, of_node) = (name.clone(), queues.clone());
    let index = router.add_interface(InterfaceSpec {
        name,
        mac: link.mac,
        mtu: clamp_mtu(mtu),
        link: if link.loopback { LinkKind::Loopback } else { LinkKind::Ethernet },
        caps: Caps::empty(),
        link_up: link.running,
        device: Box::new(device),
        nodes: Box::new(move |index| [crate::output::spec(&own, index), tx::spec(&own, index, of_node)]),
    })?;
    Ok((queues, index))
}

/// The lowest number that no interface's name has.
fn free_instance(router: &mut Router) -> usize {
    let all: Vec<IfIndex> = router.records().map(|record| record.index()).collect();
    let mut taken = Vec::new();
    for index in all {
        let rings = router.device::<HostDevice>(index).and_then(|device| device.rings::<XdpRings>());
        taken.extend(rings.map(|rings| rings.instance));
    }
    (0..).find(|number| !taken.contains(number)).unwrap_or_default()
}

/// Opens the sockets and gives them to the workers.
fn open(
    router: &mut Router,
    options: &XdpOptions,
    link: &LinkFacts,
    map: &SocketMap,
    index: IfIndex,
    queues: u32,
    sending: &mut Vec<Arc<TxQueue>>,
) -> Result<(), XdpError> {
    let placed = router.place_rx_queues(index, node::NAME, queues as usize);
    let idle = (0..router.workers()).any(|worker| !placed.contains(&worker));
    let mut facts = Vec::new();
    for (queue, &worker) in (0..queues).zip(&placed) {
        let wanted = Wanted {
            name: options.host_if.clone(),
            device: link.index,
            queue,
            rx_size: options.rx_size,
            tx_size: options.tx_size,
            zero_copy: options.zero_copy,
            busy_poll: options.busy_poll,
        };
        let region = router.ask(worker, |worker| worker.lending().region());
        let share = router.state::<Sockets>().and_then(|sockets| sockets.of(worker).next());
        let (socket, rings) = XdpSocket::open(&wanted, &region, share.as_deref())?;
        drop(share);
        let socket = Arc::new(socket);
        if let Some(sockets) = router.state::<Sockets>() {
            sockets.add(worker, &socket);
        }
        let state = Arc::default();
        facts.push(RxFacts {
            size: options.rx_size,
            zero_copy: socket.zero_copy,
            shared: socket.shared,
            state: Arc::clone(&state),
        });
        let mut sends = Tx::new(socket.clone(), rings.tx, rings.completion);
        let receives = RxQueue {
            interface: index,
            number: queue,
            loan: Loan::new(&region),
            rx: rings.rx,
            fill: rings.fill,
            socket: socket.clone(),
            state,
            busy_poll: options.busy_poll,
            looks: Looks::default(),
        };
        let (sends, watched) = router.ask(worker, move |worker| {
            let mut receives = receives;
            receives.refill(&mut worker.lending());
            if idle {
                sends.put_aside(&mut worker.lending(), ASIDE);
            }
            let watched = worker.watch(&*receives.socket);
            if let Some(queues) = worker.local::<Queues>() {
                queues.rx.push(receives);
            }
            (sends, watched)
        });
        let sends = Arc::new(TxQueue::new(queue, worker, sends));
        let own = sends.clone();
        router.ask(worker, move |worker| {
            if let Some(queues) = worker.local::<Queues>() {
                queues.tx.push((index, own));
            }
        });
        sending.push(sends);
        watched.map_err(|source| XdpError::new(&options.host_if, "watch the device", source))?;
        map.set(queue, socket.as_fd()).map_err(|source| XdpError::new(&options.host_if, "name the socket", source))?;
    }
    if let Some(device) = router.device::<HostDevice>(index) {
        device.placed = placed;
        if let Some(rings) = device.rings::<XdpRings>() {
            rings.rx = facts;
        }
    }
    Ok(())
}

/// Removes the interface; `false` where it is none of AF_XDP.
///
/// # Errors
/// The router's.
pub fn delete(router: &mut Router, index: IfIndex) -> Result<bool, InterfaceError> {
    if router.device::<HostDevice>(index).is_none_or(|device| device.rings::<XdpRings>().is_none()) {
        return Ok(false);
    }
    remove(router, index).map(|()| true)
}

fn remove(router: &mut Router, index: IfIndex) -> Result<(), InterfaceError> {
    let rings = router.device::<HostDevice>(index).and_then(|device| device.rings::<XdpRings>());
    if let Some(rings) = rings {
        let rest = rings.close(index);
        rest(router);
    }
    router.remove_interface(index)
}
