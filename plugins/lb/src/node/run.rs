//! The VIP of a run of packets: looked up once, because packets come in runs.

use crate::flow_bytes::FlowBytes;
use crate::flow_table::{FlowHash, RunKeys, VipKeys};
use crate::local::LbLocal;
use crate::slot_hash::KeyMask;
use crate::tables::LbTables;

/// A VIP of a vector, and whether there are others. Where ports decide, of a run of packets that all have one destination.
pub(super) struct Run<B> {
    /// What it was looked up by: a number and, where ports decide, protocol and port as in the flow's key. To make one word of them
    /// would take longer than to compare two.
    by: u32,
    service: u64,
    number: u32,
    keys: VipKeys<B>,
    /// Of flows with the destination of the first packet.
    towards: RunKeys<B>,
    /// The flow of its first packet.
    first: B,
    /// Whether all of a flow's key counts, and it is to the VIP's own address where that has only one.
    whole: bool,
    /// Other packets have other VIPs.
    many: bool,
}

/// A packet's VIP and flow.
pub(super) struct Flow {
    pub(super) vip: u32,
    pub(super) hash: FlowHash,
    /// Whether all of a flow's key counts for the VIP, and the packet is to its own address where it has only one.
    pub(super) whole: bool,
}

impl<B: FlowBytes> Run<B> {
    /// Before the first packet: none has this number.
    pub(super) const NONE: Self = Run {
        by: u32::MAX,
        service: 0,
        number: u32::MAX,
        keys: VipKeys::NONE,
        towards: RunKeys::NONE,
        first: B::NONE,
        whole: false,
        many: false,
    };

    /// The VIP of a packet with this number, or, where ports decide (`PORT`), with protocol and port as in the flow's key, too; and
    /// the flow's hash. `None`: there is none, or there is more to look at than the flow.
    #[inline(always)]
    pub(super) fn flow<const PORT: bool>(
        &mut self,
        (shared, local): (&LbTables, &LbLocal),
        number: u32,
        bytes: B,
    ) -> Option<Flow> {
        let same =
            number == self.by && (!PORT || bytes.service() == self.service && bytes.same_destination(self.first));
        if same {
            let towards = if PORT { self.towards } else { local.flows.keys_towards(self.keys, bytes) };
            let hash = local.flows.hash_by(&towards, bytes);
            return Some(Flow { vip: self.number, hash, whole: self.whole });
        }
        let (protocol, port) = bytes.protocol_and_port();
        let vip = if PORT { shared.port_vip(number, protocol, port)? } else { number };
        let mask = shared.mask(vip)?;
        let keys = local.flows.keys_of(mask, vip);
        let towards = local.flows.keys_towards(keys, bytes);
        let first = self.by == Self::NONE.by;
        let whole = mask == KeyMask::Flow && (!PORT || bytes.may_be_to(|| shared.vip(vip)?.receiver));
        // In a vector of many VIPs each packet comes this way: to note each would take longer than to look the next one up, except
        // by its port.
        if PORT || first {
            *self = Run {
                by: number,
                service: bytes.service(),
                number: vip,
                keys,
                towards,
                first: bytes,
                whole,
                many: !first,
            };
        } else {
            self.many = true;
        }
        // Not from where they were just put, for which it would have to wait.
        Some(Flow { vip, hash: local.flows.hash_by(&towards, bytes), whole })
    }

    /// The only VIP of the packets; `None`: there are others.
    #[inline(always)]
    pub(super) fn only(&self) -> Option<u32> {
        (!self.many).then_some(self.number)
    }
}
