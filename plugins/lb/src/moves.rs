//! What a change of the configuration moves.
//!
//! Known flows stay with their servers, because the flow tables say so. Those whose scheduler would choose another
//! server now are at risk: where their entry is lost, or another balancer of the fleet takes them over, they move.

use std::fmt;

use serde::Serialize;

use crate::config::{LbConfig, Scheduler, State, Touched};
use crate::tables::{LbTables, VipEntry};

/// Hashes that are tried where tables have no slots in common.
const SAMPLES: u32 = 1 << 16;

/// What moves at one VIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// What belongs to another server than before; `None` where no table and no hash decides, or the VIP goes.
    pub shares: Option<Shares>,
    /// Known flows that the scheduler would give to another server now. Flow tables know no slots: of a server that
    /// lost a third of its slots this is a third of the flows.
    pub at_risk: u64,
    /// Known flows that are forgotten now, and chosen a server for again with their next packet.
    pub forgotten: u64,
}

/// Parts of a scheduler's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shares {
    /// `slots`, or `hashes` where there are none or their number changes.
    pub unit: &'static str,
    /// So many have another server.
    pub moved: u32,
    /// Of so many.
    pub of: u32,
}

impl Moves {
    /// Whether there is nothing to tell.
    pub fn is_nothing(&self) -> bool {
        self.at_risk == 0 && self.forgotten == 0 && self.shares.is_none_or(|shares| shares.moved == 0)
    }
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Shares { unit, moved, of }) = self.shares {
            write!(f, "moved {moved} of {of} {unit}, ")?;
        }
        write!(f, "{} {} at risk", self.at_risk, flows(self.at_risk))?;
        if self.forgotten > 0 {
            write!(f, ", {} {} forgotten", self.forgotten, flows(self.forgotten))?;
        }
        writeln!(f)
    }
}

fn flows(count: u64) -> &'static str {
    if count == 1 { "flow" } else { "flows" }
}

/// A change that is not settled: the configuration, which knows what was before, and the tables before and after.
#[derive(Clone, Copy)]
pub struct Stage<'s> {
    /// The configuration.
    pub config: &'s LbConfig,
    /// The tables before.
    pub old: &'s LbTables,
    /// The tables after.
    pub new: &'s LbTables,
}

impl Stage<'_> {
    /// The indices of VIPs whose flows the change may move, of those that it touches.
    pub fn affected(self, touched: &Touched) -> Vec<u32> {
        let changed = |index: &u32| {
            let used = self.config.vip_before(*index).is_some_and(|vip| vip.state == State::Used);
            let (Some(old), Some(new)) = (self.old.vip(*index), self.new.vip(*index)) else { return false };
            used && (old.version != new.version
                || self.is_removed(*index)
                || self.servers(*index).any(|s| self.forgets(s)))
        };
        touched.vips.iter().copied().filter(changed).collect()
    }

    /// The slots of the servers that a VIP had.
    pub fn servers(self, index: u32) -> impl Iterator<Item = u32> {
        self.config.vip_before(index).map(|vip| &vip.servers[..]).unwrap_or_default().iter().copied()
    }

    /// What the change moves at a VIP; `flows` says how many flows a slot's server has.
    pub fn moves(self, index: u32, flows: impl Fn(u32) -> u64) -> Moves {
        let (Some(old), Some(new)) = (self.old.vip(index), self.new.vip(index)) else { return Moves::default() };
        let compared = if self.is_removed(index) { Compared::All } else { Compared::of(old, new) };
        let mut moves = Moves { shares: compared.shares(), ..Moves::default() };
        for slot in self.servers(index) {
            let count = flows(slot);
            if self.forgets(slot) {
                moves.forgotten += count;
            } else {
                moves.at_risk += compared.at_risk(slot, count);
            }
        }
        moves
    }

    fn is_removed(self, index: u32) -> bool {
        self.config.vip(index).is_none_or(|vip| vip.state == State::Removed)
    }

    /// Whether the flows of a slot's server are forgotten.
    fn forgets(self, slot: u32) -> bool {
        self.config.handle_before(slot) != self.config.handles()[slot as usize]
    }
}

/// The lists of a scheduler before and after.
enum Compared {
    /// Nothing stays.
    All,
    /// Servers that were in a list that goes by turns or loads, and are not any more.
    Gone(Vec<u32>),
    /// By the server's slot: the shares that it had, and how many of them it lost.
    Shares { had: Vec<(u32, u32)>, shares: Shares },
}

impl Compared {
    fn of(old: &VipEntry, new: &VipEntry) -> Compared {
        let source = |vip: &VipEntry| vip.scheduler == Scheduler::Sh;
        if !old.scheduler.is_stateless() && !new.scheduler.is_stateless() {
            let gone = old.slots.iter().filter(|slot| !new.slots.contains(slot));
            return Compared::Gone(gone.copied().collect());
        }
        if !old.scheduler.is_stateless() || !new.scheduler.is_stateless() || source(old) != source(new) {
            return Compared::All;
        }
        let maglev = old.scheduler == Scheduler::Maglev && new.scheduler == Scheduler::Maglev;
        let (unit, of) = match old.slots.len() {
            len if maglev && len == new.slots.len() => ("slots", len as u32),
            _ => ("hashes", SAMPLES),
        };
        let share = |vip: &VipEntry, n: u32| {
            let at = u64::from(n) * vip.slots.len() as u64 / u64::from(of);
            vip.slots.get(at as usize).copied().unwrap_or(0)
        };
        let (mut had, mut moved) = (Vec::new(), 0);
        for n in 0..of {
            let (then, now) = (share(old, n), share(new, n));
            if then == 0 {
                continue;
            }
            if then as usize >= had.len() {
                had.resize(then as usize + 1, (0, 0));
            }
            let (all, lost) = &mut had[then as usize];
            *all += 1;
            *lost += u32::from(then != now);
            moved += u32::from(then != now);
        }
        Compared::Shares { had, shares: Shares { unit, moved, of } }
    }

    fn shares(&self) -> Option<Shares> {
        match self {
            Compared::Shares { shares, .. } => Some(*shares),
            _ => None,
        }
    }

    /// How many of a server's flows are at risk.
    fn at_risk(&self, slot: u32, flows: u64) -> u64 {
        match self {
            Compared::All => flows,
            Compared::Gone(gone) => flows * u64::from(gone.contains(&slot)),
            Compared::Shares { had, .. } => match had.get(slot as usize) {
                Some(&(all @ 1.., lost)) => (flows * u64::from(lost) + u64::from(all) / 2) / u64::from(all),
                // One that takes no flows had its flows at risk before.
                _ => 0,
            },
        }
    }
}
