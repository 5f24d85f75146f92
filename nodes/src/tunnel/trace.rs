//! What a packet's trace says of the tunnel that it came through.

use std::net::Ipv4Addr;

use trace::{Record, Text};
use vnet::Packet;
use vnet::wire::Ip4Header;

use super::{Kind, TunnelTable};

/// `GRE: tunnel N len N src A dst A`
#[derive(serde::Serialize)]
pub struct TunnelTrace {
    #[serde(skip)]
    kind: &'static str,
    tunnel: Option<u32>,
    len: u16,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl TunnelTrace {
    /// Of a packet that begins with its outer header.
    pub fn new<K: Kind>(table: &TunnelTable<K>, packet: &Packet<'_>) -> TunnelTrace {
        let (len, source, destination) = match Ip4Header::ref_from_prefix(packet.data()) {
            Ok((ip, _)) => (ip.total_len.get(), ip.source_address(), ip.destination_address()),
            Err(_) => (0, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
        };
        let tunnel = table.find(destination.into(), source.into()).map(|tunnel| tunnel.instance);
        TunnelTrace { kind: K::NAME, tunnel, len, source, destination }
    }
}

impl Record for TunnelTrace {
    fn text(&self, text: &mut Text) {
        let TunnelTrace { kind, len, source, destination, .. } = self;
        let tunnel = self.tunnel.map_or("none".into(), |tunnel| tunnel.to_string());
        text.line(format_args!("{kind}: tunnel {tunnel} len {len} src {source} dst {destination}"));
    }
}
