//! What a packet's trace says of the tunnel that it came through.

use std::net::IpAddr;

use trace::{Record, Text};
use vnet::Packet;
use vnet::wire::{Ip4Header, Ip6Header};

use super::{Ends, Kind, Outer};

/// `GRE: tunnel N len N src A dst A`; `any` stands for N where the packet was taken for what is in it.
#[derive(serde::Serialize)]
pub struct TunnelTrace {
    #[serde(skip)]
    kind: &'static str,
    tunnel: Option<u32>,
    /// Taken for what is in it, from whoever it came.
    open: bool,
    len: usize,
    source: IpAddr,
    destination: IpAddr,
}

impl TunnelTrace {
    /// Of a packet that begins with its outer header.
    pub fn new<K: Kind, A: Outer>(ends: &Ends, packet: &Packet<'_>) -> TunnelTrace {
        let outer = A::read(packet.data());
        let tunnel = outer.and_then(|outer| ends.tunnel::<K, A>(outer.local, outer.remote));
        let inner = outer.and_then(|outer| K::read(packet, outer.at, outer.protocol).ok());
        let open = tunnel.is_none()
            && inner.is_some_and(|(at, inner)| {
                packet.data().get(at..).is_some_and(|bytes| ends.open(inner, bytes).is_some())
            });
        let (len, source, destination) = addresses::<A>(packet.data());
        let tunnel = tunnel.and_then(|way| way.instance);
        TunnelTrace { kind: K::NAME, tunnel, open, len, source, destination }
    }
}

fn addresses<A: Outer>(bytes: &[u8]) -> (usize, IpAddr, IpAddr) {
    let none = A::UNSPECIFIED.to_ip();
    if A::BITS == 32 {
        return Ip4Header::ref_from_prefix(bytes).map_or((0, none, none), |(ip, _)| {
            (ip.total_len.get().into(), ip.source_address().into(), ip.destination_address().into())
        });
    }
    Ip6Header::ref_from_prefix(bytes).map_or((0, none, none), |(ip, _)| {
        let len = Ip6Header::LEN + usize::from(ip.payload_len.get());
        (len, ip.source_address().into(), ip.destination_address().into())
    })
}

impl Record for TunnelTrace {
    fn text(&self, text: &mut Text) {
        let TunnelTrace { kind, len, source, destination, .. } = self;
        let tunnel = match self.tunnel {
            Some(tunnel) => tunnel.to_string(),
            None if self.open => "any".into(),
            None => "none".into(),
        };
        text.line(format_args!("{kind}: tunnel {tunnel} len {len} src {source} dst {destination}"));
    }
}
