//! IPv6 as routing sees it.

use std::net::{IpAddr, Ipv6Addr};

use super::address::{Address, Prefix};
use super::trie6::Trie6;
use crate::wire::{Mac, ip6};

impl Address for Ipv6Addr {
    const BITS: u8 = 128;
    const SHORT: &'static str = "ip6";
    const LONG: &'static str = "ipv6";
    const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
    /// Solicitations go to a group of each target; what stands here is shown and never sent.
    const REQUEST: ([u8; 6], [u8; 2]) = ([0xff; 6], [0x86, 0xdd]);
    const UNSPECIFIED: Self = Ipv6Addr::UNSPECIFIED;
    type Trie = Trie6;

    fn masked(self, len: u8) -> Self {
        Self::from_bits(self.to_bits() & !host_bits(len))
    }

    fn last(self, len: u8) -> Self {
        Self::from_bits(self.to_bits() | host_bits(len))
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V6(self)
    }

    /// Link-local addresses (RFC 4291 section 2.5.6) and groups are not forwarded; nor are the unspecified and the loopback
    /// address (sections 2.5.2 and 2.5.3).
    fn specials() -> Vec<Prefix<Self>> {
        let special = |a: u128, len| Prefix::new(Ipv6Addr::from_bits(a), len);
        let specials =
            [special(0, 0), special(0, 128), special(1, 128), special(0xfe80 << 112, 10), special(0xff00 << 112, 8)];
        specials.into_iter().flatten().collect()
    }

    /// There is no broadcast.
    fn reserves_ends(_: u8) -> bool {
        false
    }

    fn link_local(mac: [u8; 6]) -> Option<Self> {
        Some(ip6::link_local(Mac(mac)))
    }

    fn is_link_local(self) -> bool {
        self.is_unicast_link_local()
    }
}

fn host_bits(len: u8) -> u128 {
    u128::MAX.checked_shr(len.into()).unwrap_or(0)
}
