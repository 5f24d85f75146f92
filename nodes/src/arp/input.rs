//! `arp-input` and `arp-reply`: requests for our addresses are answered, senders are learned.
//!
//! Uses: the ARP packet, the interface's addresses, the forwarding table (plugins' prefixes are ours, too). Sets: the
//! reply, in place. Next: the interface's output node; `error-drop`.

use trace::{Record, Text};
use vnet::fib::ForwardKind;
use vnet::neighbor::{How, Learn, Learned, Refusal};
use vnet::wire::{ArpHeader, EthernetHeader, HeaderBytes, Mac, Start, arp, ethernet};
use vnet::{
    Cx, ErrorCodes, IfIndex, NodeSpec, Notice, Offload, Packet, PacketNode, Scope, Tables, next_nodes, node_errors,
};

next_nodes! {
    /// Where `arp-input` sends packets.
    pub enum InputNext {
        /// Not ARP for IPv4 over Ethernet.
        Drop => "error-drop",
        /// A request or a reply.
        Reply => "arp-reply",
    }
}

next_nodes! {
    /// Where `arp-reply` sends packets.
    pub enum ReplyNext {
        /// Nothing to answer.
        Drop => "error-drop",
        ; To
    }
}

node_errors! {
    /// Why `arp-input` drops.
    pub enum InputError {
        /// Fewer bytes than an ARP packet.
        Short => error "ARP packet too short",
        /// Not Ethernet.
        BadType => error "ARP hardware or protocol type is not Ethernet/IP4",
        /// Neither request nor reply.
        BadOperation => error "ARP operation is neither request nor reply",
    }
}

node_errors! {
    /// What `arp-reply` finds.
    pub enum ReplyError {
        /// Requests that were answered.
        Sent => info "ARP replies sent",
        /// Senders of requests that the table of neighbours took in or confirmed.
        Learned => info "ARP request IP4 source address learned",
        /// Senders of replies that the table of neighbours took in or confirmed.
        ReplyLearned => info "ARP reply IP4 source address learned",
        /// For somebody else.
        NotLocal => error "IP4 destination address not local to subnet",
        /// The sender's address is ours: somebody has taken it, or it is our own packet.
        OwnSource => error "IP4 source address matches local interface",
        /// The sender claims the interface's own link address.
        OwnMac => error "ARP sender MAC is the interface's own",
        /// The sender's link address differs in ARP packet and frame (RFC 5227 section 2.1 has no such packets).
        MacMismatch => error "ARP sender MAC differs from the frame's source",
        /// The sender's address is in none of the interface's prefixes.
        SourceNotLocal => error "IP4 source address not local to subnet",
        /// The interface has no address.
        NoAddress => error "ARP is disabled: the interface has no IP4 address",
        /// The control thread has too much to learn already.
        Busy => warn "ARP learning queue full",
        /// Announcements.
        Gratuitous => info "gratuitous ARP received",
        /// Replies to us.
        ReplyReceived => info "ARP replies received",
        /// The sender claims a link address that no host has, which would be answered to many.
        GroupMac => error "ARP sender MAC is not a host's",
        /// The table did not take the sender in: nobody has such an address here.
        Ignored => warn "ARP sender ignored",
        /// The sender has another link address than is known, which is static or was confirmed a moment ago; or it has
        /// an address of ours.
        Conflict => warn "ARP conflict ignored",
        /// More new senders than are learned in a second, or than there is room for.
        Limited => warn "ARP learning is limited",
    }
}

pub(super) fn nodes() -> Vec<NodeSpec> {
    vec![NodeSpec::packet("arp-input", |_| ArpInput), NodeSpec::packet("arp-reply", |_| ArpReply)]
}

/// The ARP packet as it came.
#[derive(serde::Serialize)]
#[serde(transparent)]
pub struct ArpTrace(HeaderBytes);

impl ArpTrace {
    fn new(packet: &Packet<'_>) -> Self {
        ArpTrace(HeaderBytes::new(Start::Arp, packet.data()))
    }
}

impl Record for ArpTrace {
    fn text(&self, text: &mut Text) {
        self.0.text(text);
    }
}

struct ArpInput;

impl PacketNode for ArpInput {
    type Next = InputNext;
    type Error = InputError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ArpTrace;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> InputNext {
        let Ok((header, _)) = ArpHeader::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, InputError::Short);
        };
        if !header.is_ip4_over_ethernet() {
            return cx.drop(packet, InputError::BadType);
        }
        match header.operation.get() {
            arp::REQUEST | arp::REPLY => InputNext::Reply,
            _ => cx.drop(packet, InputError::BadOperation),
        }
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> ArpTrace {
        ArpTrace::new(packet)
    }
}

struct ArpReply;

impl PacketNode for ArpReply {
    type Next = ReplyNext;
    type Error = ReplyError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ArpTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> ReplyNext {
        let rx = packet.meta().rx;
        let (Ok((header, _)), Ok((frame, _))) =
            (ArpHeader::ref_from_prefix(packet.data()), EthernetHeader::ref_from_prefix(packet.l2_bytes()))
        else {
            return cx.drop(packet, ReplyError::MacMismatch);
        };
        let (sender, target) = (header.sender_address(), header.target_address());
        let (sender_mac, frame_mac) = (header.sender_mac, frame.source);
        let (request, gratuitous) = (header.operation.get() == arp::REQUEST, header.is_gratuitous());
        let interface = cx.tables.interface(rx);
        if !interface.ip4 {
            return cx.drop(packet, ReplyError::NoAddress);
        }
        if sender_mac != frame_mac {
            return cx.drop(packet, ReplyError::MacMismatch);
        }
        if !sender_mac.is_unicast() {
            return cx.drop(packet, ReplyError::GroupMac);
        }
        if cx.tables.own4.contains(sender.into()) {
            return cx.drop(packet, ReplyError::OwnSource);
        }
        if sender_mac.0 == interface.mac {
            return cx.drop(packet, ReplyError::OwnMac);
        }
        let ours = is_ours(cx.tables, target.into(), rx);
        // RFC 5227 section 2.1.1: a probe has no sender address, and nothing is learned from it.
        if !sender.is_unspecified() {
            let how = match (gratuitous, ours, request) {
                (false, true, true) => How::Request,
                (false, true, false) => How::Reply,
                _ => How::Announcement,
            };
            if !cx.notify(Notice::Learn(Learn { interface: rx, address: sender, mac: sender_mac.0, how })) {
                cx.count(ReplyError::Busy);
            }
        }
        if gratuitous {
            return cx.drop(packet, ReplyError::Gratuitous);
        }
        if !request {
            return cx.drop(packet, if ours { ReplyError::ReplyReceived } else { ReplyError::NotLocal });
        }
        if !ours {
            return cx.drop(packet, ReplyError::NotLocal);
        }
        if !sender.is_unspecified() && !on_link(cx.tables, sender.into(), rx) {
            return cx.drop(packet, ReplyError::SourceNotLocal);
        }
        let (mac, output) = (Mac(interface.mac), interface.output);
        if let Ok((header, _)) = ArpHeader::mut_from_prefix(packet.data_mut()) {
            header.into_reply(mac);
        }
        packet.truncate(ArpHeader::LEN);
        let Some(bytes) = packet.push(EthernetHeader::LEN) else {
            return cx.drop(packet, ReplyError::MacMismatch);
        };
        // The header was there a moment ago: the room for it is, too.
        let _ = EthernetHeader::new(frame_mac, mac, ethernet::ARP).emit(bytes);
        packet.mark_l2();
        packet.meta_mut().tx = rx;
        packet.meta_mut().offload = Offload::LOCAL;
        cx.count(ReplyError::Sent);
        ReplyNext::To(output)
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> ArpTrace {
        ArpTrace::new(packet)
    }
}

/// What `arp-reply` counts when the table of neighbours has judged a sender. Announcements have been counted as such;
/// and that nobody asked for one, or that a request came from off the link, too.
pub(super) fn verdict(how: How, learned: Learned) -> Option<u16> {
    let error = match (learned, how) {
        (Learned::Refused(why), _) => match why {
            Refusal::NotOnLink if how == How::Request => return None,
            Refusal::Unasked | Refusal::Hint => return None,
            Refusal::NotOnLink | Refusal::Reserved | Refusal::BadMac => ReplyError::Ignored,
            Refusal::Static | Refusal::TooSoon | Refusal::OwnAddress => ReplyError::Conflict,
            Refusal::RateLimited | Refusal::Full => ReplyError::Limited,
        },
        (_, How::Request) => ReplyError::Learned,
        (_, How::Reply) => ReplyError::ReplyLearned,
        (_, How::Announcement | How::Hint) => return None,
    };
    Some(error.code())
}

/// Whether we answer for an address on this interface: it is the interface's own, or a plugin has it (a VIP) and the
/// interface's connected prefix covers it.
fn is_ours(tables: &Tables, target: u32, interface: IfIndex) -> bool {
    let forward = tables.fib4.forward(tables.fib4.lookup(target));
    match forward.kind {
        ForwardKind::Local => forward.index == interface.0,
        ForwardKind::Plugin => tables.connected4.covers(interface, target),
        _ => false,
    }
}

/// Whether the sender may be reached over this interface.
fn on_link(tables: &Tables, sender: u32, interface: IfIndex) -> bool {
    tables.connected4.covers(interface, sender)
}
