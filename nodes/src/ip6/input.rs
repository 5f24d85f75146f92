//! `ip6-input`: what claims to be an IPv6 packet is checked here, once; later nodes trust it.
//!
//! Uses: the header. Sets: the packet's length (link padding is cut off), the interface's `ip6` count. Next: the
//! features of `ip6-unicast`, then `ip6-lookup`; `ip6-receive` for what is addressed to us on this link alone; `ip6-drop`.

use std::net::Ipv6Addr;

use vnet::arcs::{ArcStart, IP6_UNICAST};
use vnet::wire::ip6::{self, ALL_NODES, ALL_ROUTERS, Ip6Error, Ip6Facts};
use vnet::{Cx, IfIndex, NodeId, NodeSpec, Packet, PacketNode, Scope, Tables, Vector, next_nodes, node_errors};

use crate::ip4::HeaderTrace;

next_nodes! {
    /// Where `ip6-input` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip6-drop",
        /// Sound.
        Lookup => "ip6-lookup",
        /// For a group that we are in, or our link-local address.
        Receive => "ip6-receive",
        ; To
    }
}

node_errors! {
    /// Why `ip6-input` drops.
    pub enum Error {
        /// Fewer bytes than a header.
        Short => error "ip6 length too short",
        /// Not version 6.
        Version => error "ip6 bad version",
        /// A payload length beyond the frame.
        Length => error "ip6 payload length > l2 length",
        /// A packet with a hop limit of 0 should not have been sent.
        HopLimitZero => error "ip6 hop limit is 0",
        /// Claims to come from one of our own addresses.
        OwnSource => error "ip6 source address is our own",
        /// A group, the loopback address, or none where one is needed (RFC 4291 section 2.5).
        BadSource => error "ip6 source address is not a host",
        /// The unspecified or the loopback address.
        BadDestination => error "ip6 destination address is not a host",
        /// A group that we are not in.
        OtherGroup => error "ip6 multicast group not joined",
        /// Link-local, and not ours: such packets are not forwarded (RFC 4291 section 2.5.6).
        OtherLinkLocal => error "ip6 link-local destination is not ours",
        /// The interface has no IPv6 address.
        NotEnabled => error "ip6 is not enabled on the interface",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip6-input", |_| Ip6Input { from: NOBODY, packets: 0 })
}

/// Looks at an interface once for a run of packets that came in by it: a vector mostly is one run.
struct Ip6Input {
    from: From,
    packets: u64,
}

/// What is the same for all packets of a run.
#[derive(Clone, Copy)]
struct From {
    rx: IfIndex,
    way: ArcStart,
}

/// Before the first run: no packet comes in by an interface of this number.
const NOBODY: From = From { rx: IfIndex(u32::MAX), way: ArcStart::NONE };

impl From {
    /// Whether a packet is one of the run, and sound, and of the most common kind.
    #[inline(always)]
    fn takes(self, tables: &Tables, packet: &Packet<'_>) -> bool {
        packet.meta().rx == self.rx
            && ip6::common(packet.data(), packet.plain_len()).is_some_and(|header| {
                is_plain(header.source[0])
                    && is_plain(header.destination[0])
                    && header.hop_limit != 0
                    && !tables.own6.contains(header.source_address())
            })
    }
}

/// Whether addresses that begin so are all hosts': neither groups, nor link-local, nor the special ones of `::/8`.
#[inline(always)]
fn is_plain(first: u8) -> bool {
    (1..0xfe).contains(&first)
}

impl Ip6Input {
    /// The first packet of a run; one behind which the link has padded, of a special address, or that is to be dropped.
    #[inline(never)]
    fn uncommon(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> NodeId {
        let next = self.judge(cx, packet);
        cx.number_of(next)
    }

    fn judge(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Next {
        let rx = packet.meta().rx;
        if rx != self.from.rx && !self.change(cx, rx) {
            cx.interface(rx).ip6.add(1);
            return cx.drop(packet, Error::NotEnabled);
        }
        self.packets += 1;
        let length = packet.len();
        let facts = match ip6::check(packet.data(), length) {
            Ok(facts) => facts,
            Err(error) => return cx.drop(packet, blame(error)),
        };
        if facts.total_len != length {
            packet.truncate(facts.total_len);
        }
        match judge_addresses(cx.tables, rx, &facts) {
            Err(error) => cx.drop(packet, error),
            Ok(Scoped::Link) => Next::Receive,
            Ok(Scoped::Global) => Next::To(self.from.way.enter(packet)),
        }
    }

    /// Begins a run; `false`: the interface takes no IPv6 packets.
    fn change(&mut self, cx: &Cx<'_, '_, Self>, rx: IfIndex) -> bool {
        self.settle(cx);
        let enabled = cx.tables.interface(rx).ip6;
        let way = cx.arc(IP6_UNICAST, rx).unwrap_or(ArcStart::none(cx.number_of(Next::Lookup)));
        self.from = if enabled { From { rx, way } } else { NOBODY };
        enabled
    }

    fn settle(&mut self, cx: &Cx<'_, '_, Self>) {
        cx.interface(self.from.rx).ip6.add(std::mem::take(&mut self.packets));
    }
}

/// How far a sound packet's destination reaches.
enum Scoped {
    /// To us, on this link.
    Link,
    /// As far as the routes say.
    Global,
}

fn judge_addresses(tables: &Tables, rx: IfIndex, facts: &Ip6Facts) -> Result<Scoped, Error> {
    let (source, destination) = (facts.source, facts.destination);
    if tables.own6.contains(source) {
        return Err(Error::OwnSource);
    }
    // Without an address one may ask groups of the link for one (RFC 4862 section 5.4.2).
    let asks = source.is_unspecified() && destination.is_multicast() && ip6::is_link_scope(destination);
    if source.is_multicast() || source.is_loopback() || (source.is_unspecified() && !asks) {
        return Err(Error::BadSource);
    }
    if facts.hop_limit == 0 {
        return Err(Error::HopLimitZero);
    }
    if destination.is_multicast() {
        return if is_joined(destination) { Ok(Scoped::Link) } else { Err(Error::OtherGroup) };
    }
    if destination.is_unspecified() || destination.is_loopback() {
        return Err(Error::BadDestination);
    }
    if ip6::is_link_scope(destination) {
        let ours = destination == tables.interface(rx).link_local();
        return if ours { Ok(Scoped::Link) } else { Err(Error::OtherLinkLocal) };
    }
    Ok(Scoped::Global)
}

/// Groups that every interface is in: all nodes, all routers, and those of solicitations, whoever is meant: the node that
/// answers them looks at the target, which may be a plugin's address.
fn is_joined(group: Ipv6Addr) -> bool {
    let solicited = group.octets()[..13] == ip6::solicited_node(Ipv6Addr::UNSPECIFIED).octets()[..13];
    group == ALL_NODES || group == ALL_ROUTERS || solicited
}

impl PacketNode for Ip6Input {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next) {
        let rx = vector.packet(0).meta().rx;
        if rx != self.from.rx {
            self.change(cx, rx);
        }
        let (from, tables) = (self.from, cx.tables);
        let done = vector.head(|packet| {
            let takes = from.takes(tables, packet);
            if takes {
                from.way.enter(packet);
            }
            takes
        });
        self.packets += done as u64;
        (done, Next::To(from.way.node()))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        if self.from.takes(cx.tables, packet) {
            self.packets += 1;
            return Next::To(self.from.way.enter(packet));
        }
        Next::To(self.uncommon(cx, &mut packet.again()))
    }

    #[inline(always)]
    fn end(&mut self, cx: &mut Cx<'_, '_, Self>, _: usize) {
        self.settle(cx);
        self.from = NOBODY;
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<Ipv6Addr>(packet)
    }
}

#[cold]
fn blame(error: Ip6Error) -> Error {
    match error {
        Ip6Error::TooShort => Error::Short,
        Ip6Error::BadVersion => Error::Version,
        Ip6Error::BadLength => Error::Length,
    }
}
