//! `ip4-input`: what claims to be an IPv4 packet is checked here, once; later nodes trust it.
//!
//! Uses: the header. Sets: the packet's length (link padding is cut off), the interface's `ip4` count. Next: the
//! features of `ip4-unicast`, then `ip4-lookup`; `ip4-icmp-error` for an expired TTL; `ip4-drop`.

use vnet::arcs::{ArcStart, IP4_UNICAST};
use vnet::wire::ip4::{self, Ip4Error};
use vnet::{Cx, IfIndex, NodeId, NodeSpec, Packet, PacketNode, Scope, Tables, Vector, next_nodes, node_errors};

use super::HeaderTrace;

next_nodes! {
    /// Where `ip4-input` sends packets.
    pub enum Next {
        /// Broken.
        Drop => "ip4-drop",
        /// Sound.
        Lookup => "ip4-lookup",
        ; To
    }
}

node_errors! {
    /// Why `ip4-input` drops.
    pub enum Error {
        /// Fewer bytes than a header.
        Short => error "ip4 length too short",
        /// Not version 4.
        Version => error "ip4 bad version",
        /// A header length below 20 bytes, or beyond the packet.
        HeaderLength => error "ip4 bad header length",
        /// A total length below the header's, or beyond the frame.
        TotalLength => error "ip4 length > l2 length",
        /// RFC 791: the header checksum is wrong.
        Checksum => error "bad ip4 checksum",
        /// A packet with a TTL of 0 should not have been sent.
        TtlZero => error "ip4 ttl is 0",
        /// An option that runs out of the header.
        Options => error "ip4 bad options",
        /// Claims to come from one of our own addresses.
        OwnSource => error "ip4 source address is our own",
        /// A multicast or broadcast source (RFC 1122 section 3.2.1.3).
        BadSource => error "ip4 source address is not a host",
        /// The interface has no IPv4 address.
        NotEnabled => error "ip4 is not enabled on the interface",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip4-input", |_| Ip4Input { from: NOBODY, packets: 0 })
}

/// Looks at an interface once for a run of packets that came in by it: a vector mostly is one run.
struct Ip4Input {
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
            && ip4::common(packet.data(), packet.plain_len()).is_some_and(|header| {
                // The first byte by itself: the whole in this machine's order would have to be turned around.
                header.source.to_bytes()[0] < (NO_HOSTS >> 24) as u8
                    && !tables.own4.contains(header.source.get())
                    && header.ttl != 0
            })
    }
}

/// From here on addresses are no hosts': multicast, reserved, broadcast.
const NO_HOSTS: u32 = 0xe000_0000;

impl Ip4Input {
    /// The first packet of a run; one with options, behind which the link has padded, or that is to be dropped.
    #[inline(never)]
    fn uncommon(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> NodeId {
        let next = self.judge(cx, packet);
        cx.number_of(next)
    }

    fn judge(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Next {
        let rx = packet.meta().rx;
        if rx != self.from.rx && !self.change(cx, rx) {
            cx.interface(rx).ip4.add(1);
            return cx.drop(packet, Error::NotEnabled);
        }
        self.packets += 1;
        let length = packet.len();
        let facts = match ip4::check(packet.data(), length) {
            Ok(facts) => facts,
            Err(error) => return cx.drop(packet, blame(error)),
        };
        if facts.total_len != length {
            packet.truncate(facts.total_len);
        }
        if cx.tables.own4.contains(facts.source) {
            return cx.drop(packet, Error::OwnSource);
        }
        if facts.source >= NO_HOSTS {
            return cx.drop(packet, Error::BadSource);
        }
        if facts.ttl == 0 {
            return cx.drop(packet, Error::TtlZero);
        }
        Next::To(self.from.way.enter(packet))
    }

    /// Begins a run; `false`: the interface takes no IPv4 packets.
    fn change(&mut self, cx: &Cx<'_, '_, Self>, rx: IfIndex) -> bool {
        self.settle(cx);
        let enabled = cx.tables.interface(rx).ip4;
        let way = cx.arc(IP4_UNICAST, rx).unwrap_or(ArcStart::none(cx.number_of(Next::Lookup)));
        self.from = if enabled { From { rx, way } } else { NOBODY };
        enabled
    }

    fn settle(&mut self, cx: &Cx<'_, '_, Self>) {
        cx.interface(self.from.rx).ip4.add(std::mem::take(&mut self.packets));
    }
}

impl PacketNode for Ip4Input {
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
        HeaderTrace::new(packet)
    }
}

#[cold]
fn blame(error: Ip4Error) -> Error {
    match error {
        Ip4Error::TooShort => Error::Short,
        Ip4Error::BadVersion => Error::Version,
        Ip4Error::BadHeaderLength => Error::HeaderLength,
        Ip4Error::BadTotalLength => Error::TotalLength,
        Ip4Error::BadChecksum => Error::Checksum,
        Ip4Error::BadOptions => Error::Options,
    }
}
