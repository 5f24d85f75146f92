//! The parameters.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::flow_table::Timeouts;
use crate::nat::PoolRange;

/// What `lb conf` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conf {
    /// The source of packets that are sent to servers over IPv4.
    pub ip4_src: Ipv4Addr,
    /// The same over IPv6.
    pub ip6_src: Ipv6Addr,
    /// What servers see instead of clients with full NAT over IPv4; `None`: `ip4_src`.
    pub snat4: Option<PoolRange<Ipv4Addr>>,
    /// The same over IPv6.
    pub snat6: Option<PoolRange<Ipv6Addr>>,
    /// Buckets of each worker's flow table.
    pub buckets: u32,
    /// Seconds after which a silent flow is forgotten, where nothing else is set for its state.
    pub timeout: u32,
    /// The same for TCP flows of which one packet came,
    pub half_open: Option<u32>,
    /// for those of which more came,
    pub established: Option<u32>,
    /// for those that are closing,
    pub closing: Option<u32>,
    /// and for all others.
    pub udp: Option<u32>,
}

impl Conf {
    /// The addresses that servers see with full NAT over IPv4; none where nothing is set.
    pub fn sources4(&self) -> impl Iterator<Item = Ipv4Addr> {
        let own =
            (self.ip4_src != Ipv4Addr::BROADCAST).then_some(PoolRange { first: self.ip4_src, last: self.ip4_src });
        let pool = self.snat4.or(own);
        pool.into_iter().flat_map(|pool| (pool.first.to_bits()..=pool.last.to_bits()).map(Ipv4Addr::from_bits))
    }

    /// The same over IPv6.
    pub fn sources6(&self) -> impl Iterator<Item = Ipv6Addr> {
        let own =
            (self.ip6_src.to_bits() != u128::MAX).then_some(PoolRange { first: self.ip6_src, last: self.ip6_src });
        let pool = self.snat6.or(own);
        pool.into_iter().flat_map(|pool| (pool.first.to_bits()..=pool.last.to_bits()).map(Ipv6Addr::from_bits))
    }

    /// How long flows may be silent.
    pub fn timeouts(&self) -> Timeouts {
        let or = |one: Option<u32>| one.unwrap_or(self.timeout);
        Timeouts {
            plain: or(self.udp),
            half_open: or(self.half_open),
            established: or(self.established),
            closing: or(self.closing),
        }
    }
}

impl fmt::Display for Conf {
    /// The line that sets all of it: what is not there is not set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Conf::default();
        f.write_str("lb conf")?;
        let mut word =
            |word: &str, value: Option<&dyn fmt::Display>| value.map_or(Ok(()), |value| write!(f, " {word} {value}"));
        word("ip4-src-address", (self.ip4_src != usual.ip4_src).then_some(&self.ip4_src as _))?;
        word("ip6-src-address", (self.ip6_src != usual.ip6_src).then_some(&self.ip6_src as _))?;
        word("buckets", Some(&self.buckets))?;
        word("timeout", Some(&self.timeout))?;
        let states = [self.half_open, self.established, self.closing, self.udp];
        for (name, seconds) in ["half-open", "established", "closing", "udp"].into_iter().zip(&states) {
            word(name, seconds.as_ref().map(|seconds| seconds as _))?;
        }
        word("snat4", self.snat4.as_ref().map(|pool| pool as _))?;
        word("snat6", self.snat6.as_ref().map(|pool| pool as _))?;
        writeln!(f)
    }
}

impl Default for Conf {
    fn default() -> Self {
        Self {
            ip4_src: Ipv4Addr::BROADCAST,
            ip6_src: Ipv6Addr::from_bits(u128::MAX),
            snat4: None,
            snat6: None,
            buckets: 1024,
            timeout: 40,
            half_open: None,
            established: None,
            closing: None,
            udp: None,
        }
    }
}

/// The parts of [`Conf`] to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `Conf`")]
pub struct ConfUpdate {
    pub ip4_src: Option<Ipv4Addr>,
    pub ip6_src: Option<Ipv6Addr>,
    pub snat4: Option<PoolRange<Ipv4Addr>>,
    pub snat6: Option<PoolRange<Ipv6Addr>>,
    pub buckets: Option<u32>,
    pub timeout: Option<u32>,
    pub half_open: Option<u32>,
    pub established: Option<u32>,
    pub closing: Option<u32>,
    pub udp: Option<u32>,
}
