//! Finding the flows of a vector. In a loop of its own, because there is little else in it: the processor has many packets under way
//! at once, and the buckets' way from memory is the longest of all.

use super::{Staged, rare};
use crate::flow_table::{FlowHash, Known};
use crate::handle::ServerHandle;
use crate::local::LbLocal;

/// So many servers' lines are in a first-level cache, or soon are.
const NEAR: usize = 256;

/// What is staged of a packet, whose flow may be known.
pub(super) trait Seeking {
    /// The flow.
    fn flow(&mut self) -> &mut Staged;
    /// Takes note of what is known of it.
    fn found(&mut self, known: Option<Known>);
}

impl Seeking for Staged {
    #[inline(always)]
    fn flow(&mut self) -> &mut Staged {
        self
    }

    #[inline(always)]
    fn found(&mut self, known: Option<Known>) {
        self.found = known.map_or(ServerHandle::NONE, |known| known.server).bits();
    }
}

/// Finds the flows of packets of the `only` VIP, or of several. They are counted as packets of flows that are known;
/// [`rare::find`] takes the others off again.
#[inline(always)]
pub(super) fn all<S: Seeking>(local: &mut LbLocal, staged: &mut [S], (only, now): (Option<u32>, u32)) {
    match only {
        Some(vip) if local.servers.len() <= NEAR => {
            let known = each::<false, S>(local, staged, now);
            rare::counters(local, vip).known += known as u64;
        }
        _ => _ = each::<true, S>(local, staged, now),
    }
}

/// Gives how many packets have a flow. `MANY`: of several VIPs, for which they are counted here, or of many servers, of which what is
/// kept has a way to come, too.
#[inline(always)]
fn each<const MANY: bool, S: Seeking>(local: &mut LbLocal, staged: &mut [S], now: u32) -> usize {
    let LbLocal { flows, servers, vips, .. } = local;
    let (mut finder, mut servers, mut vips, mut counted) = (flows.finder(), servers.lent(), vips.lent(), 0);
    for one in staged {
        let Staged { identity, found, .. } = *one.flow();
        if identity == 0 {
            continue;
        }
        counted += 1;
        one.found(finder.known(FlowHash { identity, bucket: found }, now));
        if MANY {
            let flow = one.flow();
            vnet::mem::prefetch(servers.wrapped_mut(ServerHandle::from_bits(flow.found).place()));
            if let Some(counters) = vips.get_mut(flow.vip() as usize) {
                counters.known += 1;
            }
        }
    }
    counted
}
