//! GRE tunnels over IPv4 (RFC 2784): `gre4-input` takes the outer headers off, `NAME-tx` puts them on.

mod input;
mod tunnel;

use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::AHashMap;
use vnet::{Builder, IfIndex};

pub use tunnel::{TunnelError, Tunnels};

/// A tunnel, as workers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Its interface.
    pub interface: IfIndex,
    /// The instance number, as in `gre0`.
    pub instance: u32,
    /// Our end.
    pub source: Ipv4Addr,
    /// The other end; `None`: any (multipoint).
    pub destination: Option<Ipv4Addr>,
}

/// All tunnels, as workers know them.
#[derive(Clone, Debug, Default)]
pub struct TunnelTable {
    /// By our end and the other; 0.0.0.0 where any other end will do.
    by_ends: Arc<AHashMap<(u32, u32), Tunnel>>,
}

impl TunnelTable {
    fn new(tunnels: &[Tunnel]) -> TunnelTable {
        let ends = |t: &Tunnel| (u32::from(t.source), t.destination.map_or(0, u32::from));
        TunnelTable { by_ends: Arc::new(tunnels.iter().map(|t| (ends(t), *t)).collect()) }
    }

    /// The tunnel of a packet from `remote` to `local`: the one with just these ends, or else a multipoint one.
    pub fn find(&self, local: u32, remote: u32) -> Option<Tunnel> {
        self.by_ends.get(&(local, remote)).or_else(|| self.by_ends.get(&(local, 0))).copied()
    }
}

pub(crate) fn register(builder: &mut Builder) {
    builder.extension(TunnelTable::default());
    builder.state(Tunnels::default());
    builder.node(input::node());
}
