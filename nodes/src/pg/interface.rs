//! Interfaces `pgN`: what is sent there is counted, captured if somebody wants it, and forgotten.

use std::any::Any;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vnet::fib::LinkKind;
use vnet::interface::{Caps, Device, Hardware};
use vnet::router::InterfaceSpec;
use vnet::wire::Mac;
use vnet::{NodeSpec, Notice, Packet, Router, SinkCx, SinkNode, Vector, node_errors};

use super::Pg;
use super::trace::TxTrace;

/// The largest IP packet of a `pgN`, in bytes: that of VPP's.
const MTU: u16 = 9000;
/// What a worker keeps of captured packets until the control thread fetches them, in bytes.
const KEPT: usize = 32 << 20;

/// What the router needs for `pgN`.
pub(super) fn spec(name: String, mac: Mac) -> InterfaceSpec {
    let own = name.clone();
    InterfaceSpec {
        name,
        mac: mac.0,
        mtu: MTU,
        link: LinkKind::Ethernet,
        // Checksums and segments are finished before: a capture shows what would be on the wire.
        caps: Caps::empty(),
        link_up: true,
        device: Box::new(PgDevice(own.clone())),
        nodes: Box::new(move |index| {
            [crate::output::spec(&own, index), NodeSpec::sink(format!("{own}-tx"), |_| PgTx::default())]
        }),
    }
}

/// The control side, with the interface's name: there is no device behind it.
pub(super) struct PgDevice(String);

impl Device for PgDevice {
    fn hardware(&self) -> Hardware {
        Hardware { name: self.0.clone(), lines: vec!["Packet generator".into()] }
    }
    fn queues(&self) -> Vec<String> {
        vec!["Link speed: unknown".into()]
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

node_errors! {
    /// What `pgN-tx` counts.
    pub enum TxError {
        /// The control thread was too slow for the capture.
        NotCaptured => error "packets not captured for want of memory",
    }
}

/// The node `pgN-tx`.
#[derive(Default)]
pub(super) struct PgTx {
    capture: Option<Captured>,
}

/// Packets that wait to be written to a capture file.
#[derive(Default)]
pub(super) struct Captured {
    bytes: Vec<u8>,
    /// When (since 1970), and how many bytes.
    index: Vec<(Duration, usize)>,
    /// The control thread knows that there is something to fetch.
    told: bool,
}

impl Captured {
    fn keep(&mut self, stamp: Duration, packet: &Packet<'_>) -> bool {
        if self.bytes.len() + packet.len() > KEPT {
            return false;
        }
        packet.segments().for_each(|segment| self.bytes.extend_from_slice(segment));
        self.index.push((stamp, packet.len()));
        true
    }

    /// The packets with their stamps, in the order in which they were sent.
    pub(super) fn packets(&self) -> impl Iterator<Item = (Duration, &[u8])> {
        self.index.iter().scan(&self.bytes[..], |rest, &(stamp, len)| {
            let (packet, after) = rest.split_at(len);
            *rest = after;
            Some((stamp, packet))
        })
    }
}

impl PgTx {
    /// Begins or ends a capture; gives what was captured and not fetched yet.
    pub(super) fn set_capture(&mut self, on: bool) -> Option<Captured> {
        std::mem::replace(&mut self.capture, on.then(Captured::default))
    }

    /// Fetches what was captured.
    pub(super) fn fetch(&mut self) -> Option<Captured> {
        let captured = self.capture.as_mut().filter(|captured| !captured.index.is_empty() || captured.told)?;
        Some(std::mem::take(captured))
    }
}

impl SinkNode for PgTx {
    type Error = TxError;
    type Trace = TxTrace;

    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        let Some(captured) = &mut self.capture else { return };
        // A clock before 1970 is as good as none.
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut lost = 0;
        for at in 0..vector.len() {
            lost += u64::from(!captured.keep(stamp, &vector.packet(at)));
        }
        if lost > 0 {
            cx.count(TxError::NotCaptured, lost);
        }
        if !captured.told {
            captured.told = cx.notify(Notice::Call(Box::new(|router: &mut Router| {
                router.with_state::<Pg, _>(|pg, router| pg.collect(router));
            })));
        }
    }

    fn trace(&self, _: &SinkCx<'_, '_, Self>, packet: &Packet<'_>) -> TxTrace {
        TxTrace::new(packet)
    }
}
