//! Neighbour discovery (RFC 4861): `icmp6-neighbor-solicitation` answers for our addresses, `icmp6-neighbor-advertisement`
//! takes answers in, both learn; `icmp6-router-solicitation` and `icmp6-router-advertisement` count what we do not take
//! part in.
//!
//! Uses: the message, the interface's addresses, the forwarding table (plugins' prefixes are ours, too). Sets: the answer,
//! in place of the question. Next: the interface's output node; `ip6-drop`.

use std::net::Ipv6Addr;

use vnet::fib::ForwardKind;
use vnet::neighbor::{How, Learn};
use vnet::wire::ip6_ext;
use vnet::wire::nd::{self, Message};
use vnet::wire::{EthernetHeader, Ip6Header, Mac};
use vnet::{
    Cx, IfIndex, NodeSpec, Notice, Offload, Packet, PacketNode, Router, Scope, Tables, next_nodes, node_errors,
};

use crate::ip4::HeaderTrace;

next_nodes! {
    /// Where the nodes of neighbour discovery send packets.
    pub enum Next {
        /// Nothing to answer.
        Drop => "ip6-drop",
        ; To
    }
}

node_errors! {
    /// What the nodes of neighbour discovery find.
    pub enum Error {
        /// Solicitations that were answered.
        Sent => info "neighbor advertisements sent",
        /// Senders that were told to the control thread.
        Learned => info "neighbor solicitation source learned",
        /// Answers to us.
        Received => info "neighbor advertisements received",
        /// Said to all.
        Announcement => info "unsolicited neighbor advertisements received",
        /// RFC 4861 section 7.1: it has been forwarded.
        HopLimit => error "neighbor discovery hop limit is not 255",
        /// RFC 4861 section 7.1: a message that no one should send.
        Malformed => error "malformed neighbor discovery message",
        /// RFC 4861 section 7.1: options that do not fit the message.
        BadOptions => error "neighbor discovery options malformed",
        /// RFC 6980 section 5: not in fragments; and here behind no other extension header.
        Extension => error "neighbor discovery behind extension headers",
        /// For somebody else.
        NotLocal => error "neighbor solicitation target is not ours",
        /// The sender's address is in none of the interface's prefixes.
        SourceNotLocal => error "neighbor solicitation source not on the link",
        /// The link address in the message is not the frame's.
        MacMismatch => error "neighbor discovery link address differs from the frame's source",
        /// The sender claims the interface's own link address.
        OwnMac => error "neighbor discovery link address is the interface's own",
        /// Another station says that it has an address of ours.
        Duplicate => error "neighbor advertisement for an address of ours",
        /// Another station asks whether it may have an address of ours (RFC 4862 section 5.4.3).
        Probe => error "another station would have an address of ours",
        /// An advertisement that names no link address.
        NoLink => error "neighbor advertisement without a link address",
        /// The control thread has too much to learn already.
        Busy => warn "neighbor learning queue full",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the link header",
    }
}

node_errors! {
    /// What we do not take part in.
    pub enum RouterError {
        /// We advertise no prefixes.
        Solicitation => info "router solicitations ignored",
        /// Routes are the operator's.
        Advertisement => info "router advertisements ignored",
    }
}

pub(super) fn nodes() -> Vec<NodeSpec> {
    vec![
        NodeSpec::packet("icmp6-neighbor-solicitation", |_| Solicitation),
        NodeSpec::packet("icmp6-neighbor-advertisement", |_| Advertisement),
        NodeSpec::packet("icmp6-router-solicitation", |_| Ignored(RouterError::Solicitation)),
        NodeSpec::packet("icmp6-router-advertisement", |_| Ignored(RouterError::Advertisement)),
    ]
}

/// What a valid message says, and who sent it.
struct Seen {
    message: Message,
    source: Ipv6Addr,
    /// Where the frame came from.
    station: Mac,
}

/// Reads and checks a message.
fn read(tables: &Tables, packet: &Packet<'_>) -> Result<Seen, Error> {
    let bytes = packet.data();
    let message = nd::check(bytes).map_err(|error| match error {
        _ if ip6_ext::walk(bytes).is_ok_and(|upper| upper.offset > Ip6Header::LEN) => Error::Extension,
        nd::NdError::HopLimit => Error::HopLimit,
        nd::NdError::Options => Error::BadOptions,
        _ => Error::Malformed,
    })?;
    let (Ok((ip, _)), Ok((frame, _))) =
        (Ip6Header::ref_from_prefix(bytes), EthernetHeader::ref_from_prefix(packet.l2_bytes()))
    else {
        return Err(Error::MacMismatch);
    };
    let (source, station) = (ip.source_address(), frame.source);
    // As with ARP, whoever speaks for another's link address is not believed.
    if message.link.is_some_and(|mac| mac != station) {
        return Err(Error::MacMismatch);
    }
    if station.0 == tables.interface(packet.meta().rx).mac {
        return Err(Error::OwnMac);
    }
    Ok(Seen { message, source, station })
}

struct Solicitation;

impl PacketNode for Solicitation {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let rx = packet.meta().rx;
        let Seen { message: Message { target, link, .. }, source, station } = match read(cx.tables, packet) {
            Ok(seen) => seen,
            Err(error) => return cx.drop(packet, error),
        };
        if !is_ours(cx.tables, target, rx) {
            return cx.drop(packet, Error::NotLocal);
        }
        if source.is_unspecified() {
            cx.count(Error::Probe);
            conflict(cx, rx, target, station);
        } else if !is_on_link(cx.tables, source, rx) {
            return cx.drop(packet, Error::SourceNotLocal);
        } else if let Some(mac) = link {
            learn(cx, Learn { interface: rx, address: source, mac: mac.0, how: How::Request });
            cx.count(Error::Learned);
        }
        let interface = cx.tables.interface(rx);
        let frame = nd::advertisement(Mac(interface.mac), target, (station, source));
        let (_, bytes) = frame.split_at(EthernetHeader::LEN);
        packet.truncate(bytes.len());
        let there = packet.data().len();
        packet.append(&bytes[there..]);
        if packet.data().len() != bytes.len() || packet.push(EthernetHeader::LEN).is_none() {
            return cx.drop(packet, Error::NoHeadroom);
        }
        packet.data_mut()[..frame.len()].copy_from_slice(&frame);
        packet.mark_l2();
        let meta = packet.meta_mut();
        (meta.tx, meta.offload) = (rx, Offload::LOCAL);
        cx.count(Error::Sent);
        Next::To(interface.output)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<Ipv6Addr>(packet)
    }
}

struct Advertisement;

impl PacketNode for Advertisement {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let rx = packet.meta().rx;
        let Seen { message: Message { target, link, flags }, station, .. } = match read(cx.tables, packet) {
            Ok(seen) => seen,
            Err(error) => return cx.drop(packet, error),
        };
        if cx.tables.own6.contains(target) {
            conflict(cx, rx, target, station);
            return cx.drop(packet, Error::Duplicate);
        }
        let Some(mac) = link else {
            return cx.drop(packet, Error::NoLink);
        };
        let solicited = flags & nd::SOLICITED != 0;
        let how = match (flags & nd::OVERRIDE != 0, solicited) {
            (false, _) => How::Hint,
            (true, true) => How::Reply,
            (true, false) => How::Announcement,
        };
        learn(cx, Learn { interface: rx, address: target, mac: mac.0, how });
        cx.drop(packet, if solicited { Error::Received } else { Error::Announcement })
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<Ipv6Addr>(packet)
    }
}

/// What other nodes are for.
struct Ignored(RouterError);

impl PacketNode for Ignored {
    type Next = Next;
    type Error = RouterError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        cx.drop(packet, self.0)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<Ipv6Addr>(packet)
    }
}

fn learn<N: PacketNode<Error = Error>>(cx: &mut Cx<'_, '_, N>, seen: Learn<Ipv6Addr>) {
    if !cx.notify(Notice::Learn6(seen)) {
        cx.count(Error::Busy);
    }
}

/// Another station uses, or would use, an address of ours.
fn conflict<N: PacketNode>(cx: &mut Cx<'_, '_, N>, interface: IfIndex, address: Ipv6Addr, station: Mac) {
    cx.notify(Notice::Call(Box::new(move |router: &mut Router| {
        router.address_conflict(interface, address, station.0);
    })));
}

/// Whether we answer for an address on this interface: it is the interface's own, or a plugin has it (a VIP) and the
/// interface's connected prefix covers it.
fn is_ours(tables: &Tables, target: Ipv6Addr, rx: IfIndex) -> bool {
    if target == tables.interface(rx).link_local() {
        return true;
    }
    let forward = tables.fib6.forward(tables.fib6.find(target));
    match forward.kind {
        ForwardKind::Local => forward.index == rx.0,
        ForwardKind::Plugin => tables.connected6.covers(rx, target),
        _ => false,
    }
}

/// Whether the sender may be reached over this interface.
fn is_on_link(tables: &Tables, sender: Ipv6Addr, rx: IfIndex) -> bool {
    sender.is_unicast_link_local() || tables.connected6.covers(rx, sender)
}
