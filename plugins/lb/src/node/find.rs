//! Finding the flows of a vector. In a loop of its own, because there is little else in it: the processor has many packets under way
//! at once, and the buckets' way from memory is the longest of all.

use std::ptr;

use vnet::VECTOR;

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
    let left = match only {
        Some(vip) if local.servers.len() <= NEAR => {
            let (without, left) = at_hand::<false, S>(local, staged, now);
            rare::counters(local, vip).known += (staged.len() - without) as u64;
            left
        }
        _ => at_hand::<true, S>(local, staged, now).1,
    };
    if left > 0 {
        others(local, staged, left, now);
    }
}

/// A flow that is not at hand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Left {
    /// Where the packet's [`Seeking`] is: to count packets, too, would cost all of them two instructions.
    address: usize,
    bucket: u32,
}

/// Gives how many packets have no flow, and how many of the others are in `local.left`. `MANY`: of several VIPs, for which they are
/// counted here, or of many servers, of which what is kept has a way to come, too.
///
/// A function of its own, so that the loop has the registers to itself, without a call in it: even one that is hardly ever made would cost
/// all packets more than it saves a few.
#[inline(never)]
fn at_hand<const MANY: bool, S: Seeking>(local: &mut LbLocal, staged: &mut [S], now: u32) -> (usize, usize) {
    let LbLocal { flows, servers, vips, left, .. } = local;
    let (mut finder, mut servers, mut vips) = (flows.finder(), servers.lent(), vips.lent());
    let (mut without, mut lefts) = (0, 0);
    for one in staged {
        let Staged { identity, found, .. } = *one.flow();
        if identity == 0 {
            without += 1;
            continue;
        }
        let known = finder.at_hand(FlowHash { identity, bucket: found }, now);
        if known.is_none() {
            left[lefts % VECTOR] = Left { address: ptr::from_mut(one).addr(), bucket: found };
            lefts += 1;
        }
        one.found(known);
        if MANY {
            let flow = one.flow();
            vnet::mem::prefetch(servers.wrapped_mut(ServerHandle::from_bits(flow.found).place()));
            // There is room for a VIP before there are tables with it.
            vips.wrapped_mut(flow.vip() as usize).known += 1;
        }
    }
    (without, lefts)
}

/// Finds those that are `left`, if they are known.
#[inline(never)]
fn others<S: Seeking>(local: &mut LbLocal, staged: &mut [S], left: usize, now: u32) {
    let LbLocal { flows, servers, left: all, .. } = local;
    let mut servers = servers.lent();
    let first = staged.as_ptr().addr();
    for &Left { address, bucket } in &all[..left.min(VECTOR)] {
        let one = &mut staged[(address - first) / size_of::<S>()];
        let identity = one.flow().identity;
        one.found(flows.known(FlowHash { identity, bucket }, now));
        vnet::mem::prefetch(servers.wrapped_mut(ServerHandle::from_bits(one.flow().found).place()));
    }
}
