//! The VIP of a run of packets: looked up once, because packets come in runs.

use crate::flow_table::VipKeys;
use crate::format::VipCounters;
use crate::local::LbLocal;
use crate::slot_hash::FlowWords;
use crate::tables::LbTables;

/// The VIP of the last packet of a vector, and how often that changed.
pub(super) struct Run {
    /// What it was looked up by: see [`Run::vip`].
    key: u64,
    number: u32,
    keys: VipKeys,
    runs: u32,
}

impl Run {
    /// Before the first packet: none has this key.
    pub(super) const NONE: Run = Run { key: u64::MAX, number: u32::MAX, keys: VipKeys::NONE, runs: 0 };

    /// The VIP of a packet with this number, or, where ports decide (`PORT`), with protocol and port as in the flow's words, too;
    /// and how its flows are hashed. `None`: there is none, or there is more to look at than the flow.
    #[inline(always)]
    pub(super) fn vip<const PORT: bool>(
        &mut self,
        (shared, local): (&LbTables, &LbLocal),
        number: u32,
        words: impl FlowWords,
    ) -> Option<(u32, VipKeys)> {
        let decides = if PORT { words.service() } else { 0 };
        let key = u64::from(number) | decides << 32;
        if key != self.key {
            let (protocol, port) = ((words.ports() >> 32) as u8, words.ports() as u16);
            let number = if PORT { shared.port_vip(number, protocol, port)? } else { number };
            let keys = local.flows.keys_of(shared.mask(number)?, number);
            *self = Run { key, number, keys, runs: self.runs + 1 };
        }
        Some((self.number, self.keys))
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
