//! What VIPs and servers must be, by themselves.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Conf, Encap, Family, IpPrefix, LbConfig, LbError, Ping, Scheduler, ServerSpec, Service, Vip, VipKey, VipOptions,
};
use crate::maglev::{self, Member};

pub(super) fn checked_weight(weight: u32) -> Result<u8, LbError> {
    u8::try_from(weight).ok().filter(|&weight| weight <= 100).ok_or(LbError::Weight)
}

pub(super) fn check_room(vip: &Vip, members: &[Member]) -> Result<(), LbError> {
    if vip.options.scheduler != Scheduler::Maglev {
        return Ok(());
    }
    let weights: Vec<u32> =
        members.iter().map(|member| u32::from(member.weight)).filter(|&weight| weight > 0).collect();
    let new_len = vip.options.new_len;
    match maglev::shares(new_len, &weights) {
        Ok(_) => Ok(()),
        Err(maglev::NoRoom { needed }) => Err(LbError::NoRoom { vip: vip.key, new_len, needed }),
    }
}

/// Whether a VIP can have such options.
pub(super) fn check_options(key: &VipKey, options: &VipOptions, conf: &Conf) -> Result<(), LbError> {
    let (vip, encap) = (*key, options.encap);
    let family = key.prefix.family();
    if encap.nodes(family).is_none() {
        let needs = if family == Family::Ip4 { Family::Ip6 } else { Family::Ip4 };
        return Err(LbError::VipFamily { vip, encap: encap.name(), needs });
    }
    if !encap.is_nat() {
        let given = [(options.target_port.is_some(), "target_port"), (options.node_port, "type")];
        return match given.into_iter().find(|(given, _)| *given) {
            Some((_, what)) => Err(LbError::NatOnly { what, encap: encap.name() }),
            None => Ok(()),
        };
    }
    match key.service {
        Service::All => Err(LbError::NatNeedsPort { vip, encap: encap.name() }),
        Service::Port { .. } if options.ping == Some(Ping::Balance) => {
            Err(LbError::PingNat { vip, encap: encap.name() })
        }
        Service::Port { .. } if conf.sources4().next().is_none() && encap == Encap::Fullnat4 => {
            Err(LbError::NoSources { vip, encap: encap.name(), digit: '4' })
        }
        Service::Port { .. } if conf.sources6().next().is_none() && encap == Encap::Fullnat6 => {
            Err(LbError::NoSources { vip, encap: encap.name(), digit: '6' })
        }
        Service::Port { .. } => Ok(()),
    }
}

impl LbConfig {
    /// Whether an address can be a server of a VIP.
    pub(super) fn check_server(&self, vip: &Vip, spec: &ServerSpec) -> Result<(), LbError> {
        let (encap, server) = (vip.options.encap, spec.address);
        let (family, needed) = (Family::of(server), encap.server(vip.family()));
        if family != needed && encap.is_nat() {
            let (from, to, vip_family) = (vip.family().digit(), family.digit(), vip.family());
            return Err(LbError::NatFamily {
                from,
                to,
                vip: vip.key.prefix,
                vip_family,
                server,
                server_family: family,
            });
        }
        if family != needed {
            return Err(LbError::Family { server, encap: encap.name(), family: needed });
        }
        if spec.port.is_some() && !encap.is_nat() {
            return Err(LbError::NatOnly { what: "target_port", encap: encap.name() });
        }
        if spec.port.is_none() && vip.options.target_port.is_none() && encap.is_nat() {
            return Err(LbError::NatNeedsTarget { vip: vip.key, encap: encap.name() });
        }
        if spec.mac.is_some() && encap != Encap::L2dsr {
            return Err(LbError::L2dsrOnly(encap.name()));
        }
        let broadcast = server == IpAddr::V4(Ipv4Addr::BROADCAST);
        let link_local = matches!(server, IpAddr::V6(server) if server.is_unicast_link_local());
        if server.is_unspecified() || server.is_multicast() || broadcast || link_local {
            return Err(LbError::NotUnicast(server));
        }
        if [IpAddr::V4(self.conf.ip4_src), IpAddr::V6(self.conf.ip6_src)].contains(&server) {
            return Err(LbError::OwnServer(server));
        }
        match self.covering(server) {
            Some(vip) => Err(LbError::Loop { server, vip }),
            None => Ok(()),
        }
    }

    /// Whether tunnels and NAT may have these sources: not those of whom packets go to.
    pub(super) fn check_sources(&self, sources: &BTreeSet<IpAddr>) -> Result<(), LbError> {
        for address in sources {
            if let Some((_, vip)) = self.vips().find(|(_, vip)| vip.key.prefix.contains(*address)) {
                return Err(LbError::PoolInVip { address: *address, vip: vip.key.prefix });
            }
        }
        let server = self.servers().map(|(_, server)| server).find(|server| sources.contains(&server.address));
        let vip = server.and_then(|server| Some((server.address, self.vip(server.vip)?.key.prefix)));
        vip.map_or(Ok(()), |(address, vip)| Err(LbError::SourceServer { address, vip }))
    }
}

/// Whether no host can send from an address.
pub(super) fn nobody4(source: Ipv4Addr) -> bool {
    source.is_unspecified() || source.is_multicast() || source.is_broadcast()
}

/// The same of IPv6.
pub(super) fn nobody6(source: Ipv6Addr) -> bool {
    source.is_unspecified() || source.is_multicast() || source.is_unicast_link_local()
}

/// Addresses that a pool of sources may have: each is a route.
const MAX_POOL: u128 = 1024;

/// Whether a pool can be.
pub(super) fn check_pool<A: Copy + Into<IpAddr>>(first: A, last: A, nobody: impl Fn(A) -> bool) -> Result<(), LbError> {
    if let Some(source) = [first, last].into_iter().find(|source| nobody(*source)) {
        return Err(LbError::Source(source.into()));
    }
    let bits = |address: A| match address.into() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    match bits(last).checked_sub(bits(first)) {
        Some(more) if more < MAX_POOL => Ok(()),
        _ => Err(LbError::Pool { first: first.into(), last: last.into(), most: MAX_POOL as u32 }),
    }
}

/// Whether no host can have any address of the prefix: multicast, the limited broadcast, "this network" (RFC 1122, section
/// 3.2.1.3). A prefix that has other addresses too, as 0.0.0.0/0 has, may be a VIP.
pub(super) fn nobody_has(prefix: IpPrefix) -> bool {
    let address = match prefix.address() {
        IpAddr::V4(address) => address,
        // RFC 4291: multicast, link-local, the unspecified address and loopback.
        IpAddr::V6(address) => {
            return (address.is_multicast() && prefix.len() >= 8)
                || (address.is_unicast_link_local() && prefix.len() >= 10)
                || (prefix.len() == 128 && (address.is_unspecified() || address.is_loopback()));
        }
    };
    (address.is_multicast() && prefix.len() >= 4)
        || address.is_broadcast()
        || (address.octets()[0] == 0 && prefix.len() >= 8)
}
