//! The VIP of a run of packets: looked up once, because packets come in runs.

use crate::flow_bytes::FlowBytes;
use crate::flow_table::{FlowHash, VipKeys};
use crate::format::VipCounters;
use crate::local::LbLocal;
use crate::slot_hash::KeyMask;
use crate::tables::LbTables;

/// The VIP of the last packet of a vector, and how often that changed.
pub(super) struct Run<B> {
    /// What it was looked up by: see [`Run::flow`].
    key: u64,
    number: u32,
    keys: VipKeys<B>,
    /// Whether all of a flow's key counts.
    whole: bool,
    runs: u32,
}

impl<B: FlowBytes> Run<B> {
    /// Before the first packet: none has this key.
    pub(super) const NONE: Self = Run { key: u64::MAX, number: u32::MAX, keys: VipKeys::NONE, whole: false, runs: 0 };

    /// The VIP of a packet with this number, or, where ports decide (`PORT`), with protocol and port as in the flow's key, too; and
    /// the flow's hash. `None`: there is none, or there is more to look at than the flow.
    #[inline(always)]
    pub(super) fn flow<const PORT: bool>(
        &mut self,
        (shared, local): (&LbTables, &LbLocal),
        number: u32,
        bytes: B,
    ) -> Option<(u32, FlowHash)> {
        let decides = if PORT { bytes.service() } else { 0 };
        let key = u64::from(number) | decides << 32;
        if key == self.key {
            return Some((self.number, local.flows.hash_by(&self.keys, bytes)));
        }
        let (protocol, port) = bytes.protocol_and_port();
        let number = if PORT { shared.port_vip(number, protocol, port)? } else { number };
        let mask = shared.mask(number)?;
        let keys = local.flows.keys_of(mask, number);
        *self = Run { key, number, keys, whole: mask == KeyMask::Flow, runs: self.runs + 1 };
        // Not from where they were just put, for which it would have to wait: in a vector of many VIPs each packet comes this way.
        Some((number, local.flows.hash_by(&keys, bytes)))
    }

    /// Whether all of a flow's key counts for the last packet's VIP.
    #[inline(always)]
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Counts so many packets of a vector as ones of known flows: of these VIPs.
    #[inline(always)]
    pub(super) fn count(&self, counters: &mut [VipCounters], packets: usize, vips: impl Iterator<Item = u32>) {
        if self.runs == 1 {
            count(counters, self.number, packets as u64);
        } else {
            vips.for_each(|vip| count(counters, vip, 1));
        }
    }
}

#[inline(always)]
fn count(counters: &mut [VipCounters], vip: u32, packets: u64) {
    if let Some(counters) = counters.get_mut(vip as usize) {
        counters.known += packets;
    }
}
