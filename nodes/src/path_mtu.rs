//! What `ip4-icmp-input` and `ip6-icmp-input` do with errors about packets of our own tunnels ([`vnet::path_mtu`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vnet::path_mtu::{Judged, TunnelEnd};
use vnet::wire::icmp_inner::{Inner4, Inner6, Kind};
use vnet::wire::ip4::protocol;
use vnet::wire::{Ip4Header, Ip6Header};
use vnet::{Cx, Notice, PacketNode};

use crate::ip4::icmp_error::RateLimit;

/// What became of an error.
pub(crate) enum Heard {
    /// It is about nothing that a tunnel of ours sent.
    NotOurs,
    /// It cannot be so, or is known.
    Nothing,
    /// The control thread knows.
    Told,
    /// There were too many of them in this second: others follow, as long as packets are too long.
    TooMany,
}

/// An error that a packet was too long: what it quotes, how long that was, and what would fit.
pub(crate) struct TooLong {
    end: TunnelEnd,
    len: usize,
    said: u32,
}

impl TooLong {
    /// Reads an error that begins with its IPv4 header, and goes to the sender of what it quotes.
    pub(crate) fn read4(bytes: &[u8]) -> Option<TooLong> {
        let (quote, outer) = (Inner4::read(bytes).ok()?, Ip4Header::ref_from_prefix(bytes).ok()?.0);
        let quoted = Ip4Header::ref_from_prefix(bytes.get(quote.at..)?).ok()?.0;
        let (Kind::TooBig { mtu }, key) = (quote.kind, quote.key) else { return None };
        let ends = (Ipv4Addr::from_bits(key.src).into(), Ipv4Addr::from_bits(key.dst).into());
        let end = end(ends, key.proto, key.dport);
        let len = usize::from(quoted.total_len.get());
        (outer.destination.get() == key.src).then_some(TooLong { end, len, said: mtu })
    }

    /// The same of IPv6.
    pub(crate) fn read6(bytes: &[u8]) -> Option<TooLong> {
        let (quote, outer) = (Inner6::read(bytes).ok()?, Ip6Header::ref_from_prefix(bytes).ok()?.0);
        let quoted = Ip6Header::ref_from_prefix(bytes.get(quote.at..)?).ok()?.0;
        let (Kind::TooBig { mtu }, key) = (quote.kind, quote.key) else { return None };
        let ends = (Ipv6Addr::from(key.src).into(), Ipv6Addr::from(key.dst).into());
        let end = end(ends, key.proto, key.dport);
        let len = Ip6Header::LEN + usize::from(quoted.payload_len.get());
        (outer.destination == key.src).then_some(TooLong { end, len, said: mtu })
    }

    /// Tells the control thread, if there is something to tell.
    pub(crate) fn hear<N: PacketNode>(&self, cx: &mut Cx<'_, '_, N>, limit: &mut RateLimit) -> Heard {
        match cx.tables.path_mtus.judge(&self.end, self.len, self.said) {
            Judged::NotOurs => Heard::NotOurs,
            Judged::Nothing => Heard::Nothing,
            Judged::Lower(_) if !limit.take(cx.now().seconds) => Heard::TooMany,
            Judged::Lower(mtu) => match cx.notify(Notice::PathMtu { destination: self.end.destination, mtu }) {
                true => Heard::Told,
                false => Heard::TooMany,
            },
        }
    }
}

fn end((source, destination): (IpAddr, IpAddr), protocol: u8, dport: u16) -> TunnelEnd {
    let port = if protocol == protocol::UDP { dport } else { 0 };
    TunnelEnd { source, destination, protocol, port }
}
