//! Tunnels over IPv4, of any [`Kind`]: interfaces that put headers in front of packets, and the table by which the node of a
//! kind that takes them off again finds the interface.

mod control;
mod encapsulate;
mod trace;

use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::AHashMap;
use vnet::{Builder, Cx, IfIndex, NodeSpec, Packet, PacketNode};

pub use self::trace::TunnelTrace;
pub use control::{TunnelError, Tunnels};

/// What tells a kind of tunnel from others.
pub trait Kind: Send + Sync + 'static {
    /// In commands and names of interfaces.
    const WORD: &'static str;
    /// In texts.
    const NAME: &'static str;
    /// The same with its article.
    const A_NAME: &'static str;
    /// The outer header's protocol.
    const PROTOCOL: u8;
    /// What stands between the outer header and an inner IPv4 packet.
    const SHIM: &'static [u8];
    /// Bytes that a tunnel adds.
    const LEN: usize = 20 + Self::SHIM.len();
}

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

impl Tunnel {
    /// Takes `outer` bytes of headers off a packet, which now came in by the tunnel's interface; `false`, and nothing changes: the
    /// first buffer holds fewer.
    pub(crate) fn arrive<N: PacketNode>(&self, cx: &Cx<'_, '_, N>, packet: &mut Packet<'_>, outer: usize) -> bool {
        if !packet.pull(outer) {
            return false;
        }
        packet.mark_l3();
        packet.meta_mut().rx = self.interface;
        cx.interface(self.interface).rx.add(1, packet.len() as u64);
        true
    }
}

/// All tunnels of a kind, as workers know them.
pub struct TunnelTable<K> {
    /// By our end and the other; 0.0.0.0 where any other end will do.
    by_ends: Arc<AHashMap<(u32, u32), Tunnel>>,
    _kind: PhantomData<K>,
}

impl<K> Default for TunnelTable<K> {
    fn default() -> Self {
        TunnelTable::new(&[])
    }
}

impl<K> TunnelTable<K> {
    fn new(tunnels: &[Tunnel]) -> TunnelTable<K> {
        let ends = |t: &Tunnel| (u32::from(t.source), t.destination.map_or(0, u32::from));
        let by_ends = Arc::new(tunnels.iter().map(|t| (ends(t), *t)).collect());
        TunnelTable { by_ends, _kind: PhantomData }
    }

    /// The tunnel of a packet from `remote` to `local`: the one with just these ends, or else a multipoint one.
    pub fn find(&self, local: u32, remote: u32) -> Option<Tunnel> {
        self.by_ends.get(&(local, remote)).or_else(|| self.by_ends.get(&(local, 0))).copied()
    }
}

/// Registers a kind and the node that takes its headers off.
pub(crate) fn register<K: Kind>(builder: &mut Builder, input: NodeSpec) {
    builder.extension(TunnelTable::<K>::default());
    builder.state(Tunnels::<K>::default());
    builder.node(input);
}
