//! What NAT and tunnels need of the router: routes that lead answers, and errors, back to the balancer, and room for sessions.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vnet::Router;
use vnet::fib::Prefix;
use vnet::router::Family as RouterFamily;

use super::LbControl;
use crate::config::{Encap, Family, IpPrefix, LbConfig};
use crate::flow_table::HashKeys;
use crate::format::NatReport;
use crate::local::{LbLocal, WAYS};
use crate::nat::{AT_ONCE, Followed, Sessions, Table, Translated};
use crate::node::in2out::OWN;

/// The name under which routes to our own addresses stand.
const SOURCE: &str = "lb-snat";

/// The most sessions that a worker has, whatever its flow table: of IPv6 some 120 MB.
const MAX_SESSIONS: usize = 1 << 20;

/// See the head of this module.
#[derive(Default)]
pub(super) struct Translation {
    routes4: BTreeSet<Ipv4Addr>,
    routes6: BTreeSet<Ipv6Addr>,
    sources4: Sources<Ipv4Addr>,
    sources6: Sources<Ipv6Addr>,
    /// Those that the router was told of.
    named: Own,
}

/// The addresses that servers see with full NAT.
struct Sources<A> {
    /// Those that new sessions get.
    present: BTreeSet<A>,
    /// Those that were so before, and may still have sessions.
    leaving: BTreeSet<A>,
}

impl<A> Default for Sources<A> {
    fn default() -> Self {
        Sources { present: BTreeSet::new(), leaving: BTreeSet::new() }
    }
}

impl<A: Ord> Sources<A> {
    /// New sessions get these from now on; none: there is no full NAT.
    fn follow(&mut self, wanted: BTreeSet<A>) {
        let before = std::mem::replace(&mut self.present, wanted);
        self.leaving.extend(before);
        self.leaving.retain(|address| !self.present.contains(address));
        if self.present.is_empty() {
            self.leaving.clear();
        }
    }
}

/// Our own addresses that the load balancer answers for.
#[derive(Default)]
struct Own {
    ip4: Vec<Ipv4Addr>,
    ip6: Vec<Ipv6Addr>,
}

impl Translation {
    /// Does what follows from the configuration and from the addresses of interfaces; before tables are published.
    pub(super) fn follow(&mut self, router: &mut Router, config: &LbConfig) {
        let conf = config.conf();
        let has = |wanted| config.has_encap(wanted);
        let (mut ip4, mut ip6) = (BTreeSet::new(), BTreeSet::new());
        self.sources4.follow(if has(Encap::Fullnat4) { conf.sources4().collect() } else { BTreeSet::new() });
        self.sources6.follow(if has(Encap::Fullnat6) { conf.sources6().collect() } else { BTreeSet::new() });
        ip4.extend(self.sources4.present.iter().chain(&self.sources4.leaving));
        ip6.extend(self.sources6.present.iter().chain(&self.sources6.leaving));
        // Errors about tunnel packets come to the address that these are from.
        let tunnels =
            |to: Family| config.kinds().any(|(encap, vip)| encap.server(vip) == to && encap.outside(vip).is_some());
        if conf.ip4_src != Ipv4Addr::BROADCAST && !router.rib().is_own_address(conf.ip4_src) && tunnels(Family::Ip4) {
            ip4.insert(conf.ip4_src);
        }
        if conf.ip6_src.to_bits() != u128::MAX && !router.rib6().is_own_address(conf.ip6_src) && tunnels(Family::Ip6) {
            ip6.insert(conf.ip6_src);
        }
        let node_port = |family: Family| config.node_ports().any(|(_, vip)| vip.family() == family);
        let (node_port4, node_port6) = (node_port(Family::Ip4), node_port(Family::Ip6));
        for record in router.records().filter(|_| node_port4 || node_port6) {
            if node_port4 {
                ip4.extend(record.addresses().iter().map(|own| own.address));
            }
            if node_port6 {
                ip6.extend(record.addresses6().iter().map(|own| own.address));
            }
        }
        // What is a VIP is one already.
        let is_vip = |address: IpAddr| config.vips_of(IpPrefix::host(address)).next().is_some();
        ip4.retain(|address| !is_vip((*address).into()));
        ip6.retain(|address| !is_vip((*address).into()));
        self.routes4 = set_routes(router, std::mem::take(&mut self.routes4), ip4, OWN[0]);
        self.routes6 = set_routes(router, std::mem::take(&mut self.routes6), ip6, OWN[1]);
        let room = (conf.buckets as usize * WAYS).min(MAX_SESSIONS);
        if has(Encap::Nat4) || has(Encap::Fullnat4) {
            make_room(router, room, |local| &mut local.nat4);
        }
        if has(Encap::Nat6) || has(Encap::Fullnat6) {
            make_room(router, room, |local| &mut local.nat6);
        }
    }

    /// Takes away the route to an address that a VIP is to have instead.
    pub(super) fn give_way(&mut self, router: &mut Router, prefix: IpPrefix) {
        match prefix.address() {
            IpAddr::V4(address) if prefix.len() == 32 && self.routes4.remove(&address) => {
                let _ = Prefix::new(address, 32).map(|prefix| router.del_plugin_route(prefix, SOURCE));
            }
            IpAddr::V6(address) if prefix.len() == 128 && self.routes6.remove(&address) => {
                let _ = Prefix::new(address, 128).map(|prefix| router.del_plugin_route(prefix, SOURCE));
            }
            _ => (),
        }
    }

    /// What `show lb` says of NAT.
    pub(super) fn reports(&self, router: &mut Router, config: &LbConfig) -> Vec<NatReport> {
        let conf = config.conf();
        let has = |wanted| config.has_encap(wanted);
        let ends = |mut pool: Vec<IpAddr>| Some((*pool.first()?, pool.pop()?));
        let pool4 = ends(conf.sources4().map(IpAddr::from).collect()).filter(|_| has(Encap::Fullnat4));
        let pool6 = ends(conf.sources6().map(IpAddr::from).collect()).filter(|_| has(Encap::Fullnat6));
        let sums = router.ask_all(|worker| {
            let of = |local: &mut LbLocal| {
                [(local.nat4.used(), local.nat4.capacity()), (local.nat6.used(), local.nat6.capacity())]
            };
            worker.local::<LbLocal>().map(of).unwrap_or_default()
        });
        let sum = |at: usize| sums.iter().fold((0, 0), |(used, size), one| (used + one[at].0, size + one[at].1));
        let held4 = held4(router, &self.sources4.leaving).into_iter().map(|(address, count)| (address.into(), count));
        let held6 = held6(router, &self.sources6.leaving).into_iter().map(|(address, count)| (address.into(), count));
        let of = |family, pool, (used, size), leaving| NatReport { family, pool, used, size, leaving };
        let both = [of(Family::Ip4, pool4, sum(0), held4.collect()), of(Family::Ip6, pool6, sum(1), held6.collect())];
        both.into_iter().filter(|report| report.size > 0).collect()
    }

    /// Lets go of former sources without sessions. To be followed by [`follow`](Self::follow).
    pub(super) fn let_go(&mut self, router: &mut Router) {
        let (held4, held6) = (held4(router, &self.sources4.leaving), held6(router, &self.sources6.leaving));
        self.sources4.leaving = held4.into_iter().map(|(address, _)| address).collect();
        self.sources6.leaving = held6.into_iter().map(|(address, _)| address).collect();
    }

    /// Tells the router which addresses neighbours must find here.
    pub(super) fn name_own(&mut self, router: &mut Router, config: &LbConfig) {
        let own = self.own(config);
        if own.ip4 != self.named.ip4 {
            router.set_own_addresses_of::<LbControl, _>(own.ip4.iter().copied());
        }
        if own.ip6 != self.named.ip6 {
            router.set_own_addresses_of::<LbControl, _>(own.ip6.iter().copied());
        }
        self.named = own;
    }

    fn own(&self, config: &LbConfig) -> Own {
        let conf = config.conf();
        let mut ip4: Vec<_> = (conf.ip4_src != Ipv4Addr::BROADCAST).then_some(conf.ip4_src).into_iter().collect();
        let mut ip6: Vec<_> = (conf.ip6_src.to_bits() != u128::MAX).then_some(conf.ip6_src).into_iter().collect();
        if config.has_encap(Encap::Fullnat4) {
            ip4.extend(conf.sources4().filter(|address| *address != conf.ip4_src));
        }
        if config.has_encap(Encap::Fullnat6) {
            ip6.extend(conf.sources6().filter(|address| *address != conf.ip6_src));
        }
        // What a VIP has taken over is the VIP's.
        ip4.extend(self.sources4.leaving.intersection(&self.routes4).filter(|address| **address != conf.ip4_src));
        ip6.extend(self.sources6.leaving.intersection(&self.routes6).filter(|address| **address != conf.ip6_src));
        Own { ip4, ip6 }
    }
}

/// Those of these addresses that have sessions, and how many.
fn held4(router: &mut Router, addresses: &BTreeSet<Ipv4Addr>) -> Vec<(Ipv4Addr, usize)> {
    let words = addresses.iter().map(|address| address.to_bits()).collect();
    let counts = count_sources(router, words, |local| &local.nat4);
    addresses.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// The same of IPv6.
fn held6(router: &mut Router, addresses: &BTreeSet<Ipv6Addr>) -> Vec<(Ipv6Addr, usize)> {
    let bytes = addresses.iter().map(Ipv6Addr::octets).collect();
    let counts = count_sources(router, bytes, |local| &local.nat6);
    addresses.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// Places of sessions that a worker looks at in one pass, for somebody who asks.
const LOOKED_AT: usize = 2048;

/// How many sessions there are by each of these addresses, which are in order, on all workers.
fn count_sources<K: Translated>(
    router: &mut Router,
    addresses: Arc<[K::Address]>,
    sessions: fn(&LbLocal) -> &Sessions<K>,
) -> Vec<usize> {
    let mut sums = vec![0; addresses.len()];
    for worker in 0..if sums.is_empty() { 0 } else { router.workers() } {
        // It goes there and back, so that workers need no memory for it.
        let (mut counts, mut from) = (vec![0u32; sums.len()], Some(0));
        while let Some(at) = from {
            let addresses = addresses.clone();
            (counts, from) = router.ask(worker, move |worker| {
                let local = worker.local::<LbLocal>();
                let next =
                    local.and_then(|local| sessions(local).count_sources(at, LOOKED_AT, &addresses, &mut counts));
                (counts, next)
            });
        }
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as usize);
    }
    sums
}

/// Takes routes to addresses away and adds others; gives those that there are.
fn set_routes<A: RouterFamily + Ord>(
    router: &mut Router,
    before: BTreeSet<A>,
    wanted: BTreeSet<A>,
    node: &str,
) -> BTreeSet<A> {
    let Some(node) = router.node(node) else { return before };
    for prefix in before.difference(&wanted).filter_map(|address| Prefix::new(*address, A::BITS)) {
        let _ = router.del_plugin_route(prefix, SOURCE);
    }
    let mut there = BTreeSet::new();
    for address in wanted {
        if before.contains(&address) {
            there.insert(address);
            continue;
        }
        let added = Prefix::new(address, A::BITS).map(|prefix| router.add_plugin_route(prefix, SOURCE, node, 0));
        match added {
            Some(Ok(())) => {
                there.insert(address);
            }
            Some(Err(error)) => {
                router.log().add(vnet::router::Level::Error, "lb", format_args!("address {address} for NAT: {error}"));
            }
            None => (),
        }
    }
    there
}

/// Sees to it that every worker has room for so many sessions. Those that there are follow in many passes.
fn make_room<K: Translated>(router: &mut Router, room: usize, sessions: fn(&mut LbLocal) -> &mut Sessions<K>) {
    for worker in 0..router.workers() {
        let has = router.ask(worker, move |worker| worker.local::<LbLocal>().map(|local| sessions(local).capacity()));
        if has.is_none_or(|has| has >= room) {
            continue;
        }
        let larger = Table::with_capacity(room, HashKeys::random().words());
        // What is not needed, or not any more, comes back and goes on this thread.
        let refused = router.ask(worker, move |worker| match worker.local::<LbLocal>() {
            Some(local) => sessions(local).grow(larger),
            None => Some(larger),
        });
        drop(refused);
        let follow = move |worker: &mut vnet::Worker| match worker.local::<LbLocal>() {
            Some(local) => sessions(local).follow(AT_ONCE),
            None => Followed::All(None),
        };
        while let Followed::More = router.ask(worker, follow) {}
    }
}
