//! From one version of the tables to the next.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Router;
use crate::arcs::ArcIndex;
use crate::ids::IfIndex;
use crate::tables::{Connected, OwnAddresses, Tables};

impl Router {
    /// The tables as they will be published next.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Notes that the tables have changed.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Gives all changes since the last call to the workers, as one. Commands end with this.
    pub fn publish(&mut self) {
        if !self.dirty {
            return;
        }
        // Observers may change routes themselves; that belongs to the same version.
        let mut observers = std::mem::take(&mut self.observers);
        self.tables.fib4 = self.rib.publish();
        self.dirty = false;
        for observer in &mut observers {
            observer(self);
        }
        observers.append(&mut self.observers);
        self.observers = observers;
        // Seldom: each costs a pointer for every part of the table.
        if self.dirty {
            self.tables.fib4 = self.rib.publish();
            self.dirty = false;
        }
        self.tables.version += 1;
        let old = self.published.replace(Arc::new(self.tables.clone()));
        self.retired.push_back(old);
        for thread in &self.threads {
            thread.shared.nudge();
        }
        // Not earlier: by the tables of before, the interface may be down.
        self.send_announcements();
        self.reclaim();
    }

    /// Frees versions that no worker uses any more: on this thread, never on a packet thread.
    pub(super) fn reclaim(&mut self) {
        let oldest = self.threads.iter().map(|t| t.shared.using.load(Ordering::Acquire)).min().unwrap_or(u64::MAX);
        while self.retired.front().is_some_and(|tables| tables.version < oldest) {
            self.retired.pop_front();
        }
    }

    /// Publishes and waits until every worker uses the newest version, so that what the old one named may go.
    pub(super) fn publish_and_settle(&mut self) {
        self.touch();
        self.publish();
        // Mail is read before the tables are looked at, so the answer to a second letter proves the pass between.
        self.ask_all(|_| ());
        self.ask_all(|_| ());
        self.reclaim();
    }

    /// Replaces a plugin's part of the tables, which takes effect with the next [`Router::publish`].
    ///
    /// # Panics
    /// When no extension of this type was registered.
    pub fn set_extension<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        let slot = self
            .tables
            .extensions
            .iter()
            .position(|(id, _)| *id == TypeId::of::<T>())
            .expect("an extension is registered before the router is built");
        self.tables.extensions[slot].1 = value;
        self.touch();
    }

    /// Adds our own addresses beyond those of interfaces (sources of tunnels): packets that claim to come from them are
    /// dropped. What the same owner type set before is replaced.
    pub fn set_own_addresses<Owner: 'static>(&mut self, addresses: impl IntoIterator<Item = u32>) {
        let owner = TypeId::of::<Owner>();
        self.own_extra.retain(|(other, _)| *other != owner);
        self.own_extra.extend(addresses.into_iter().map(|address| (owner, address)));
        self.refresh_own_addresses();
    }

    pub(super) fn refresh_own_addresses(&mut self) {
        let interfaces = self.interfaces.iter().flatten().flat_map(|record| &record.addresses);
        let own = interfaces.map(|a| u32::from(a.address)).chain(self.own_extra.iter().map(|(_, a)| *a));
        self.tables.own4 = OwnAddresses::new(own);
        let connected = |record: &Option<super::InterfaceRecord>| {
            record.as_ref().map(|record| record.addresses.clone()).unwrap_or_default()
        };
        self.tables.connected4 = Connected::new(self.interfaces.iter().map(connected));
        self.touch();
    }

    /// Puts a feature into an interface's way, or takes it out.
    ///
    /// # Errors
    /// In words, when the arc has no such feature.
    pub fn set_feature(&mut self, arc: ArcIndex, feature: &str, interface: IfIndex, on: bool) -> Result<(), String> {
        let (name, order) = &self.arcs[usize::from(arc.0)];
        let node = self.registry.find(feature).filter(|node| order.contains(node));
        let node = node.ok_or_else(|| format!("arc `{name}` has no feature `{feature}`"))?;
        let mut chain: Vec<_> = self.tables.arc(arc).chain(interface).to_vec();
        chain.retain(|&other| other != node);
        if on {
            chain.push(node);
        }
        chain.sort_by_key(|node| order.iter().position(|other| other == node));
        self.tables.arcs[usize::from(arc.0)].set(interface, chain);
        self.touch();
        Ok(())
    }
}
