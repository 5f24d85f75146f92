//! What VIPs and servers must be, by themselves.

use std::net::IpAddr;

use super::{Family, IpPrefix, LbError, Scheduler, Service, Vip, VipKey, VipOptions};
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
pub(super) fn check_options(key: &VipKey, options: &VipOptions) -> Result<(), LbError> {
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
        Service::Port { .. } => Ok(()),
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
