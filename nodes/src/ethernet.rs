//! `ethernet-input`: from frames to packets.
//!
//! Uses: the Ethernet header, the interface's MAC. Sets: the marks of both headers. Next: `ip4-input`, `ip6-input`, `arp-input`;
//! `error-drop` for all else.

use trace::{Record, Text};
use vnet::wire::ethernet::{self, EthernetHeader};
use vnet::{Cx, IfIndex, NodeSpec, Packet, PacketNode, Scope, Tables, Vector, next_nodes, node_errors};

use crate::frame_trace::HeaderOnly;

next_nodes! {
    /// Where `ethernet-input` sends packets.
    pub enum Next {
        /// Not for us, or not understood.
        Drop => "error-drop",
        /// IPv4.
        Ip4 => "ip4-input",
        /// IPv6.
        Ip6 => "ip6-input",
        /// ARP.
        Arp => "arp-input",
    }
}

node_errors! {
    /// Why `ethernet-input` drops.
    pub enum Error {
        /// Shorter than an Ethernet header.
        Short => error "frame too short",
        /// For another station, and the interface is not promiscuous.
        MacMismatch => error "l3 mac mismatch",
        /// An Ethertype that nothing here handles.
        UnknownType => error "unknown ethernet type",
        /// IEEE 802.1Q or 802.1ad.
        Vlan => error "VLAN tagged frames are not supported",
        /// The interface is not set up.
        Down => error "interface is down",
        /// An IEEE 802.3 frame with a length where the type stands.
        Llc => error "802.3 LLC frame",
    }
}

pub(crate) fn node() -> NodeSpec {
    NodeSpec::packet("ethernet-input", |_| EthernetInput { from: NOBODY })
}

/// Looks at an interface once for a run of packets that came in by it: a vector mostly is one run.
struct EthernetInput {
    from: From,
}

/// What is the same for all packets of a run.
#[derive(Clone, Copy)]
struct From {
    rx: IfIndex,
    /// The interface's own address, in the upper bits with its first byte lowest.
    mac: u64,
    /// The type of the run's first packet if that is IPv6, or else IPv4; as it stands in headers, so that it need not be
    /// turned round for each.
    kind: [u8; 2],
}

/// Before the first run: no packet comes in by an interface of this number.
const NOBODY: From = From { rx: IfIndex(u32::MAX), mac: 0, kind: ethernet::IP4.to_be_bytes() };
/// The group bit (IEEE 802.3 section 3.2.3), of broadcast and multicast.
const GROUP_BIT: u64 = 1 << 16;

impl From {
    /// Takes the Ethernet header off a packet of the run that is of its kind and for this station alone; of others, `false`, it
    /// only notes where the header is.
    #[inline(always)]
    fn takes(self, packet: &mut Packet<'_>) -> bool {
        packet.mark_l2();
        let Some(header) = packet.data().first_chunk() else { return false };
        let common = packet.meta().rx == self.rx && facts(header) == (self.mac, self.kind);
        if common {
            packet.pull(size_of::<EthernetHeader>());
            packet.mark_l3();
        }
        common
    }

    /// Where the packets of the run go.
    #[inline(always)]
    fn next(self) -> Next {
        if self.kind == ethernet::IP6.to_be_bytes() { Next::Ip6 } else { Next::Ip4 }
    }
}

impl EthernetInput {
    /// The first packet of a run; one that is not of its kind, not to us alone, or to be dropped.
    #[inline(never)]
    fn uncommon(&mut self, cx: &Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Next {
        let rx = packet.meta().rx;
        if rx != self.from.rx && !self.change(cx.tables, packet) {
            return cx.drop(packet, Error::Down);
        }
        let Some(header) = packet.data().first_chunk() else {
            return cx.drop(packet, Error::Short);
        };
        let (to, kind) = facts(header);
        if to != self.from.mac && to & GROUP_BIT == 0 {
            return cx.drop(packet, Error::MacMismatch);
        }
        packet.pull(size_of::<EthernetHeader>());
        packet.mark_l3();
        match u16::from_be_bytes(kind) {
            ethernet::IP4 => Next::Ip4,
            ethernet::IP6 => Next::Ip6,
            ethernet::ARP => Next::Arp,
            kind => cx.drop(packet, other(kind)),
        }
    }

    /// Begins a run; `false`: the interface takes no packets.
    fn change(&mut self, tables: &Tables, first: &Packet<'_>) -> bool {
        let rx = first.meta().rx;
        let interface = tables.interface(rx);
        let ip6 = first.data().first_chunk().is_some_and(|header| facts(header).1 == ethernet::IP6.to_be_bytes());
        let kind = if ip6 { ethernet::IP6 } else { ethernet::IP4 };
        let mac = upper(interface.mac);
        self.from = if interface.is_up() { From { rx, mac, kind: kind.to_be_bytes() } } else { NOBODY };
        interface.is_up()
    }
}

/// An address in the upper six bytes of a word.
#[inline(always)]
fn upper([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_le_bytes([0, 0, a, b, c, d, e, f])
}

/// `IP4: SRC -> DST`, after a line with the interface for frames of a packet generator.
#[derive(serde::Serialize)]
pub struct EthernetTrace {
    generated: Option<u32>,
    header: HeaderOnly,
}

impl Record for EthernetTrace {
    fn text(&self, text: &mut Text) {
        if let Some(interface) = self.generated {
            text.line(format_args!("frame: flags 0x1, hw-if-index {interface}, sw-if-index {interface}"));
        }
        self.header.text(text);
    }
}

impl PacketNode for EthernetInput {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = EthernetTrace;

    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next) {
        self.change(cx.tables, &vector.packet(0));
        let from = self.from;
        (vector.head(|packet| from.takes(packet)), from.next())
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        if self.from.takes(packet) { self.from.next() } else { self.uncommon(cx, &mut packet.again()) }
    }

    #[inline(always)]
    fn end(&mut self, _: &mut Cx<'_, '_, Self>, _: usize) {
        self.from = NOBODY;
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> EthernetTrace {
        let generated = packet.meta().opaque[0] == crate::GENERATED;
        EthernetTrace { generated: generated.then_some(packet.meta().rx.0), header: HeaderOnly::new(packet) }
    }
}

/// The receiver, as [`upper`] writes it, and the type.
#[inline(always)]
fn facts(header: &[u8; 14]) -> (u64, [u8; 2]) {
    let word = header.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    (word << 16, [header[12], header[13]])
}

#[cold]
fn other(ethertype: u16) -> Error {
    match ethertype {
        ethernet::VLAN | ethernet::VLAN_AD => Error::Vlan,
        // IEEE 802.3 section 3.2.6: up to 1500 it is a length.
        0..=1500 => Error::Llc,
        _ => Error::UnknownType,
    }
}
