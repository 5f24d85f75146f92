//! What a change has replaced: enough to undo it, to say what it moves, and to build no more than what it touches.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conf, IpPrefix, LbConfig, Server, Vip};
use crate::handle::ServerHandle;

/// What was there before the changes that were not settled yet, by number; the rest is as it was.
#[derive(Clone, Debug, Default)]
pub struct Before {
    pub(super) conf: Option<Conf>,
    pub(super) vips: BTreeMap<u32, Option<Vip>>,
    pub(super) servers: BTreeMap<u32, Option<Server>>,
    pub(super) handles: BTreeMap<u32, ServerHandle>,
    pub(super) groups: BTreeMap<u32, Option<IpPrefix>>,
}

/// What a change touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Whether parameters have changed.
    pub conf: bool,
    /// VIPs that are others now, or whose servers are.
    pub vips: BTreeSet<u32>,
    /// Slots whose servers are others now, or whose VIPs are, or everything if the parameters are.
    pub servers: BTreeSet<u32>,
    /// VIPs that have come.
    pub new_vips: Vec<u32>,
    /// Slots to which servers have come.
    pub new_servers: Vec<u32>,
}

impl Before {
    /// Whether servers have come or gone.
    pub fn changes_servers(&self, now: &LbConfig) -> bool {
        self.servers.iter().any(|(slot, before)| before.is_none() != now.server(*slot).is_none())
    }
}

impl LbConfig {
    /// What was there before the changes since the last [`settle`](Self::settle).
    pub fn before(&self) -> &Before {
        &self.before
    }

    /// Keeps the changes.
    pub fn settle(&mut self) {
        self.before = Before::default();
    }

    /// Takes back all changes since the last [`settle`](Self::settle).
    pub fn undo(&mut self) {
        let Before { conf, vips, servers, handles, groups } = std::mem::take(&mut self.before);
        self.conf = conf.unwrap_or(self.conf);
        // Servers are known by the kind of their VIPs: they go first, and come last.
        servers.keys().for_each(|slot| self.write_server(*slot, None));
        vips.into_iter().for_each(|(index, vip)| self.write_vip(index, vip));
        servers.into_iter().for_each(|(slot, server)| self.write_server(slot, server));
        handles.into_iter().for_each(|(slot, handle)| self.handles[slot as usize] = handle);
        groups.into_iter().for_each(|(group, prefix)| self.write_group(group, prefix));
        self.before = Before::default();
    }

    /// A VIP as it was.
    pub fn vip_before(&self, index: u32) -> Option<&Vip> {
        self.before.vips.get(&index).map_or_else(|| self.vip(index), Option::as_ref)
    }

    /// A server as it was.
    pub fn server_before(&self, slot: u32) -> Option<&Server> {
        self.before.servers.get(&slot).map_or_else(|| self.server(slot), Option::as_ref)
    }

    /// The handle that a slot had.
    pub fn handle_before(&self, slot: u32) -> ServerHandle {
        let now = || self.handles.get(slot as usize).copied().unwrap_or_default();
        self.before.handles.get(&slot).copied().unwrap_or_else(now)
    }

    /// What the changes touch.
    pub fn touched(&self) -> Touched {
        let Before { conf, vips, servers, handles, .. } = &self.before;
        let conf = conf.is_some();
        let of_slots = |slot: &u32| [self.server(*slot), self.server_before(*slot)].into_iter().flatten();
        let slots = || servers.keys().chain(handles.keys());
        let of_vips = |index: &u32| self.vip(*index).map(|vip| &vip.servers[..]).unwrap_or_default();
        let mut touched = Touched {
            conf,
            vips: vips.keys().copied().chain(slots().flat_map(of_slots).map(|server| server.vip)).collect(),
            servers: slots().chain(vips.keys().flat_map(of_vips)).copied().collect(),
            new_vips: vips.iter().filter(|(_, vip)| vip.is_none()).map(|(index, _)| *index).collect(),
            new_servers: servers.iter().filter(|(_, server)| server.is_none()).map(|(slot, _)| *slot).collect(),
        };
        if conf {
            touched.servers.extend(self.servers().map(|(slot, _)| slot));
        }
        touched
    }

    /// Everything, as if it had just come.
    pub fn all(&self) -> Touched {
        let vips: BTreeSet<u32> = self.vips().map(|(index, _)| index).collect();
        let servers: BTreeSet<u32> = self.servers().map(|(slot, _)| slot).collect();
        let (new_vips, new_servers) = (vips.iter().copied().collect(), servers.iter().copied().collect());
        Touched { conf: true, vips, servers, new_vips, new_servers }
    }
}
