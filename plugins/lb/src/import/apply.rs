//! A plan becomes one change of the configuration.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use vnet::router::InterfaceRecord;
use vnet::wire::Mac;
use vnet::{IfIndex, Router};

use super::{ImportError, Plan, PlannedServer, PlannedVip};
use crate::config::{
    Change, Encap, EncapWords, LbConfig, LbError, ServerSpec, Service, State, VipKey, VipOptions, VipUpdate,
};
use crate::control::{LbControl, Listed, ListedServer, Mode};

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// VIPs and how many servers they got.
    pub vips: Vec<ImportedVip>,
    /// Static neighbours that were set: servers on a connected network, with their MACs.
    pub neighbors: usize,
    /// Servers whose MACs are of no use, because they are reached by way of a router, whose MAC goes into the frames.
    pub routed: Vec<IpAddr>,
    /// Static neighbours in place of other learned ones.
    pub replaced: Vec<Replaced>,
    /// Neighbours that could not be set, and why.
    pub failed: Vec<String>,
}

/// A MAC in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// Whose.
    pub address: IpAddr,
    /// What the list says.
    pub mac: Mac,
    /// What the network said.
    pub learned: Mac,
}

/// What became of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedVip {
    /// What names it.
    pub vip: VipKey,
    /// Its index.
    pub index: u32,
    /// Whether it was not there before.
    pub created: bool,
    /// Servers that it got.
    pub servers: usize,
}

/// Carries out a plan, or only finds out whether it could be.
///
/// # Errors
/// The first line that cannot be, and why; nothing has changed then.
pub fn apply(lb: &mut LbControl, router: &mut Router, plan: &Plan, mode: Mode) -> Result<Imported, ImportError> {
    let items = plan.vips.iter().map(|vip| 1 + vip.servers.len()).sum();
    // A change that fails on its way would leave the routes of the VIPs before: what passes here does not fail.
    let try_first = |lb: &mut LbControl, router: &mut Router, items| {
        lb.change_or_try(router, Mode::Try, |config| build(config, plan, items)).map(|(vips, _)| vips)
    };
    let vips = match (try_first(lb, router, items), mode) {
        (Err(reason), _) => return Err(first_fault(plan, items, reason, |items| try_first(lb, router, items).err())),
        (Ok(_), _) if let Some(error) = plan.servers().find_map(|server| taken(lb, router, server)) => {
            return Err(error);
        }
        (Ok(vips), Mode::Try) => vips,
        (Ok(_), Mode::Change) => {
            let done = lb.change_or_try(router, mode, |config| build(config, plan, items));
            done.map_err(|reason| ImportError { line: 0, reason })?.0
        }
    };
    let mut imported = Imported { vips, ..Imported::default() };
    for (vip, planned) in plan.vips.iter().enumerate() {
        for server in &planned.servers {
            if let Some(mac) = server.mac {
                let index = imported.vips.get(vip).map_or(0, |vip| vip.index);
                set_neighbor(lb, router, (server.address, mac, index), mode, &mut imported);
            }
        }
    }
    Ok(imported)
}

/// The configuration with the first so many VIPs and servers of a plan.
fn build(config: &mut LbConfig, plan: &Plan, mut items: usize) -> Result<(Vec<ImportedVip>, Change), LbError> {
    let (mut done, mut all) = (Vec::new(), Change::default());
    for vip in &plan.vips {
        if items == 0 {
            break;
        }
        let (index, created, change) = put_vip(config, vip)?;
        all.steps.extend(change.steps);
        let servers = &vip.servers[..vip.servers.len().min(items - 1)];
        items -= 1 + servers.len();
        // Those of one weight at once: thousands one by one take their time.
        for same in servers.chunk_by(|a, b| a.weight == b.weight) {
            all.steps.extend(put_servers(config, &vip.key, same)?.steps);
        }
        done.push(ImportedVip { vip: vip.key, index, created, servers: servers.len() });
    }
    Ok((done, all))
}

/// Adds a VIP, or makes sure that the one which is there is as it is to be.
fn put_vip(config: &mut LbConfig, vip: &PlannedVip) -> Result<(u32, bool, Change), LbError> {
    let encap = Encap::new(vip.encap, EncapWords { dscp: vip.dscp, variant: None })?;
    let there = config.find(&vip.key).ok().and_then(|index| config.vip(index)).map(|vip| vip.options);
    let Some(options) = there else {
        let default = VipOptions::default();
        let options = VipOptions {
            encap,
            scheduler: vip.scheduler.unwrap_or(default.scheduler),
            new_len: vip.new_len.unwrap_or(default.new_len),
            target_port: service_port(vip).filter(|_| encap.is_nat()),
            ..default
        };
        let (index, change) = config.add_vip(vip.key, options)?;
        return Ok((index, true, change));
    };
    if options.encap != encap {
        let has = format!("encap {}", options.encap.name());
        return Err(LbError::Fixed { vip: vip.key, what: "encap", has });
    }
    let update = VipUpdate { scheduler: vip.scheduler, new_len: vip.new_len, ..VipUpdate::default() };
    let (index, change) = config.set_vip(&vip.key, update)?;
    Ok((index, false, change))
}

/// The port of a VIP of one: what servers that name none of their own have, too.
fn service_port(vip: &PlannedVip) -> Option<u16> {
    match vip.key.service {
        Service::All => None,
        Service::Port { port, .. } => Some(port),
    }
}

/// Adds servers of the same weight, which must not be there.
fn put_servers(config: &mut LbConfig, vip: &VipKey, servers: &[PlannedServer]) -> Result<Change, LbError> {
    let l2dsr = config.vip(config.find(vip)?).is_some_and(|vip| vip.options.encap == Encap::L2dsr);
    let spec = |server: &PlannedServer| ServerSpec {
        address: server.address,
        port: server.port,
        // Elsewhere a MAC is a neighbour's.
        mac: server.mac.filter(|_| l2dsr).map(|mac| mac.0),
        server_id: None,
    };
    let specs: Vec<ServerSpec> = servers.iter().map(spec).collect();
    let weight = servers.first().and_then(|server| server.weight);
    if weight.is_some() {
        // With a weight, those that are there would take it.
        let there = config.vip(config.find(vip)?).map(|vip| vip.servers.as_slice()).unwrap_or_default();
        let used = there.iter().filter_map(|slot| config.server(*slot)).filter(|server| server.state == State::Used);
        let used: HashSet<_> = used.map(|server| (server.address, server.port)).collect();
        if let Some(server) = specs.iter().find(|spec| used.contains(&spec.key())) {
            return Err(LbError::ServerExists { server: *server, vip: *vip });
        }
    }
    config.add_servers(vip, &specs, weight, false)
}

/// The first line of a plan that is refused, of a plan that is refused for `reason`. `refused` says why the first so many
/// VIPs and servers are; more never pass where fewer do not.
fn first_fault(
    plan: &Plan,
    items: usize,
    reason: String,
    mut refused: impl FnMut(usize) -> Option<String>,
) -> ImportError {
    let (mut passes, mut fails, mut reason) = (0, items, reason);
    while fails - passes > 1 {
        let middle = passes.midpoint(fails);
        match refused(middle) {
            None => passes = middle,
            Some(why) => (fails, reason) = (middle, why),
        }
    }
    let lines = plan.vips.iter().flat_map(|vip| {
        let servers = vip.servers.iter().map(|server| server.line);
        std::iter::once(vip.line).chain(servers)
    });
    ImportError { line: lines.into_iter().nth(fails.saturating_sub(1)).unwrap_or(0), reason }
}

/// Why a server cannot have the MAC that a line says, if it cannot: the operator has set another one by hand.
fn taken(lb: &LbControl, router: &Router, server: &PlannedServer) -> Option<ImportError> {
    let PlannedServer { line, address, mac, .. } = *server;
    let mac = mac?;
    let has = lb.listed.check(router, on_link(router, address)?, address, mac).err()?;
    let reason = format!("server {address} is to have MAC {mac}, and is a static neighbor with MAC {has}");
    Some(ImportError { line, reason })
}

/// Sets a static neighbour where a server is on a connected network. Elsewhere the way to it decides which MAC goes into
/// frames, as for every routed packet.
fn set_neighbor(
    lb: &mut LbControl,
    router: &mut Router,
    (address, mac, vip): (IpAddr, Mac, u32),
    mode: Mode,
    imported: &mut Imported,
) {
    let Some(interface) = on_link(router, address) else {
        imported.routed.push(address);
        return;
    };
    let server = ListedServer { interface, address, mac, vip };
    if let Some(learned) = Listed::learned(router, server) {
        imported.replaced.push(Replaced { address, mac, learned });
    }
    let set = if mode == Mode::Try { Ok(()) } else { lb.listed.set(router, server) };
    match set {
        Ok(()) => imported.neighbors += 1,
        Err(error) => imported.failed.push(format!("{address}: {error}")),
    }
}

/// The interface on whose network an address is.
fn on_link(router: &Router, address: IpAddr) -> Option<IfIndex> {
    let here = |index: &IfIndex| match address {
        IpAddr::V4(address) => router.rib().is_on_link(*index, address),
        IpAddr::V6(address) => router.rib6().is_on_link(*index, address),
    };
    router.records().map(InterfaceRecord::index).find(here)
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ImportedVip { vip, index, created, servers } in &self.vips {
            let how = if *created { "added" } else { "was there" };
            writeln!(f, "vip[{index}] {vip}: {how}, {servers} server{} added", if *servers == 1 { "" } else { "s" })?;
        }
        match self.neighbors {
            0 => (),
            1 => writeln!(f, "1 static neighbor set")?,
            count => writeln!(f, "{count} static neighbors set")?,
        }
        for Replaced { address, mac, learned } in &self.replaced {
            writeln!(f, "{address} has MAC {mac} now in place of {learned}, which was learned")?;
        }
        match self.routed.as_slice() {
            [] => (),
            [one] => writeln!(f, "MAC of {one} not used: it is on no connected network, its next hop's MAC is used")?,
            [first, rest @ ..] => writeln!(
                f,
                "MACs of {first} and {} others not used: they are on no connected network, their next hops' MACs are used",
                rest.len()
            )?,
        }
        self.failed.iter().try_for_each(|failed| writeln!(f, "neighbor not set: {failed}"))
    }
}
