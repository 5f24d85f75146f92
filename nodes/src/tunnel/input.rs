//! `gre4-input`, `gre6-input`, and so on for every kind: from the outer packet to the inner.
//!
//! Uses: the outer header and the kind's own. Sets: the tunnel's interface as the one that the packet came in by; the inner
//! congestion mark, from the outer (RFC 6040). Next: `ip4-input` or `ip6-input`, by what is inside.

use std::marker::PhantomData;

use vnet::{Cx, Offload, Packet, PacketNode, Scope, next_nodes};

use super::ends::Way;
use super::{Ends, Facts, Fate, Inner, Kind, Outer, TunnelTrace, ecn};

next_nodes! {
    /// Where the nodes send packets.
    pub enum Next {
        /// Broken, or the tunnel is down.
        Drop => "error-drop",
        /// An IPv4 packet was inside.
        Ip4 => "ip4-input",
        /// An IPv6 packet was inside.
        Ip6 => "ip6-input",
        /// Nobody has configured the tunnel.
        Punt4 => "ip4-punt",
        /// The same over IPv6.
        Punt6 => "ip6-punt",
    }
}

/// What [`Ends`] said of the last packet's tunnel: what comes in together mostly comes from one.
struct Last<A: Outer> {
    local: A::Key,
    remote: A::Key,
    tunnel: Option<Way>,
}

/// Takes the headers of a kind off.
pub(super) struct Decapsulate<K, A: Outer> {
    /// Within a vector.
    last: Option<Last<A>>,
    _kind: PhantomData<K>,
}

impl<K: Kind, A: Outer> Decapsulate<K, A> {
    pub(super) fn new() -> Self {
        Decapsulate { last: None, _kind: PhantomData }
    }

    #[inline(always)]
    fn tunnel(&mut self, ends: &Ends, outer: &Facts<A>) -> Option<Way> {
        if let Some(last) = &self.last
            && (last.local, last.remote) == (outer.local, outer.remote)
        {
            return last.tunnel;
        }
        let tunnel = ends.tunnel::<K, A>(outer.local, outer.remote);
        self.last = Some(Last { local: outer.local, remote: outer.remote, tunnel });
        tunnel
    }
}

impl<K: Kind, A: Outer> PacketNode for Decapsulate<K, A> {
    type Next = Next;
    type Error = K::Error;
    type Shared = Ends;
    type Local = ();
    type Staged = ();
    type Trace = TunnelTrace;
    const TRACE_ON_ENTRY: bool = true;

    #[inline]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Some(outer) = A::read(packet.data()) else {
            return cx.drop(packet, K::error(Fate::Short));
        };
        let (at, inner) = match K::read(packet, outer.at, outer.protocol) {
            Ok(found) => found,
            Err(error) => return cx.drop(packet, error),
        };
        let Some(bytes) = packet.data().get(at..) else {
            return cx.drop(packet, K::error(Fate::Short));
        };
        let Some(way) = self.tunnel(cx.shared, &outer).or_else(|| cx.shared.open(inner, bytes)) else {
            cx.blame(packet, K::error(Fate::NoTunnel));
            return A::PUNT;
        };
        if !cx.tables.interface(way.interface).is_up() {
            return cx.drop(packet, K::error(Fate::Down));
        }
        if !ecn::take_over(outer.ecn, inner, &mut packet.data_mut()[at..]) {
            return cx.drop(packet, K::error(Fate::Congested));
        }
        // `at` is within the first buffer, as was seen above.
        packet.pull(at);
        packet.mark_l3();
        let meta = packet.meta_mut();
        meta.rx = way.interface;
        // What was said of the outer packet is not true of the inner; what is left to do concerns the inner.
        meta.offload &= Offload::UNFINISHED | Offload::GSO_ECN;
        cx.interface(way.interface).rx.add(1, packet.len() as u64);
        cx.count(K::error(Fate::Decapsulated));
        match inner {
            Inner::Ip4 => Next::Ip4,
            Inner::Ip6 => Next::Ip6,
        }
    }

    #[inline(always)]
    fn end(&mut self, _: &mut Cx<'_, '_, Self>, _: usize) {
        self.last = None;
    }

    fn trace(&self, scope: &Scope<'_, Ends, ()>, packet: &Packet<'_>, (): ()) -> TunnelTrace {
        TunnelTrace::new::<K, A>(scope.shared, packet)
    }
}
