//! From one version of the tables to the next.

use std::any::TypeId;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Family, Router};
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
        (self.dirty, self.forwards_anew) = (true, true);
    }

    /// From here on changes wait for each other, or not any more: while they do, [`publish`](Self::publish) does nothing.
    pub fn gather(&mut self, on: bool) {
        self.gathering = on;
    }

    /// Whether changes wait for each other.
    pub fn gathers(&self) -> bool {
        self.gathering
    }

    /// Gives all changes since the last call to the workers, as one. Commands end with this.
    pub fn publish(&mut self) {
        if !self.dirty || self.gathering {
            return;
        }
        // Observers may change routes themselves; that belongs to the same version.
        let mut observers = std::mem::take(&mut self.observers);
        self.publish_routes();
        self.dirty = false;
        for observer in &mut observers {
            observer(self);
        }
        observers.append(&mut self.observers);
        self.observers = observers;
        // Seldom: each costs a pointer for every part of the table.
        if self.dirty {
            self.publish_routes();
            self.dirty = false;
        }
        self.tables.version += 1;
        if std::mem::take(&mut self.forwards_anew) {
            self.tables.forwarding = self.tables.version;
        }
        let old = self.published.replace(Arc::new(self.tables.clone()));
        self.retired.push_back(old);
        for thread in &self.threads {
            thread.shared.nudge();
        }
        // Not earlier: by the tables of before, the interface may be down.
        self.send_announcements();
        self.reclaim();
    }

    fn publish_routes(&mut self) {
        if !self.forwards_anew {
            return;
        }
        self.tables.fib4 = self.ip4.rib.publish();
        self.tables.fib6 = self.ip6.rib.publish();
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
        let gathering = std::mem::take(&mut self.gathering);
        self.publish();
        self.gathering = gathering;
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
        self.dirty = true;
    }

    /// Adds our own IPv4 addresses beyond those of interfaces (sources of tunnels), in host order: packets that claim to come
    /// from them are dropped. What the same owner type set before is replaced.
    pub fn set_own_addresses<Owner: 'static>(&mut self, addresses: impl IntoIterator<Item = u32>) {
        self.set_own_addresses_of::<Owner, Ipv4Addr>(addresses.into_iter().map(Ipv4Addr::from));
    }

    /// The same for either family.
    pub fn set_own_addresses_of<Owner: 'static, A: Family>(&mut self, addresses: impl IntoIterator<Item = A>) {
        let (owner, control) = (TypeId::of::<Owner>(), A::control_mut(self));
        control.own_extra.retain(|(other, _)| *other != owner);
        control.own_extra.extend(addresses.into_iter().map(|address| (owner, address)));
        self.refresh_own_addresses();
    }

    pub(super) fn refresh_own_addresses(&mut self) {
        self.tables.own4 = OwnAddresses::new(self.own::<Ipv4Addr>().into_iter().map(u32::from));
        self.tables.own6 = OwnAddresses::new(self.own::<Ipv6Addr>());
        self.tables.connected4 = self.connected();
        self.tables.connected6 = self.connected();
        self.touch();
    }

    fn own<A: Family>(&self) -> Vec<A> {
        let given = self.records().flat_map(A::addresses).map(|own| own.address);
        let extra = A::control(self).own_extra.iter().map(|(_, address)| *address);
        let on_links = self.records().filter_map(|record| A::own_link_local(self.tables.interface(record.index())));
        given.chain(extra).chain(on_links).collect()
    }

    fn connected<A: Family>(&self) -> Connected<A> {
        let of_record = |record: &Option<super::InterfaceRecord>| {
            record.as_ref().map(|record| A::addresses(record).to_vec()).unwrap_or_default()
        };
        Connected::new(self.interfaces.iter().map(of_record))
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
