//! IPv6's part of [`icmp`], and `ip6-icmp-echo-request`, which answers.
//!
//! Uses: the message. Sets: the reply, in place. Next: `ip6-lookup`, or the way that the request came where it came from the
//! link alone; `ip6-frag` for what does not fit there.

use std::net::{IpAddr, Ipv6Addr};

use vnet::wire::ip4::protocol;
use vnet::wire::{Icmp6Header, Ip6Header, checksum, icmp6, ip6_ext};
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, Tables, next_nodes, node_errors};

use crate::frag;
use crate::ip::icmp::{self, Icmp, Message, Says};
use crate::ip4::HeaderTrace;
use crate::link_back::LinkBack;
use crate::path_mtu::TooLong;
use crate::ping::Seen;

next_nodes! {
    /// Where `ip6-icmp-input` sends packets.
    pub enum InputNext {
        /// Broken.
        Drop => "ip6-drop",
        /// A question to us.
        Echo => "ip6-icmp-echo-request",
        /// Somebody looks for an address.
        Solicitation => "icmp6-neighbor-solicitation",
        /// Somebody says where an address is.
        Advertisement => "icmp6-neighbor-advertisement",
        /// Somebody looks for a router.
        RouterSolicitation => "icmp6-router-solicitation",
        /// Another router speaks.
        RouterAdvertisement => "icmp6-router-advertisement",
        /// Nobody waits for it.
        Punt => "ip6-punt",
    }
}

next_nodes! {
    /// Where `ip6-icmp-echo-request` sends packets.
    pub enum EchoNext {
        /// Broken.
        Drop => "ip6-drop",
        /// The answer.
        Lookup => "ip6-lookup",
        /// An answer that does not fit the link that it goes back on.
        Fragment => "ip6-frag",
        ; To
    }
}

node_errors! {
    /// What `ip6-icmp-echo-request` does.
    pub enum EchoError {
        /// Answers.
        Sent => info "echo replies sent",
        /// Fewer bytes than a message.
        Short => error "ICMP message too short",
        /// There is no address to answer from, or no link to answer on.
        NoSource => error "echo reply not sent: no address",
    }
}

pub(super) fn nodes() -> Vec<NodeSpec> {
    vec![icmp::node::<Ipv6Addr>(), NodeSpec::packet("ip6-icmp-echo-request", |_| Echo)]
}

impl Icmp for Ipv6Addr {
    const NODE: &'static str = "ip6-icmp-input";
    type Next = InputNext;
    const PUNT: InputNext = InputNext::Punt;

    fn message(packet: &Packet<'_>) -> Option<Message<InputNext>> {
        let (ip, at, icmp) = parts(packet.data())?;
        let len = packet.len() - at;
        let says = match icmp.kind {
            icmp6::ECHO_REQUEST => Says::Next(InputNext::Echo),
            icmp6::NEIGHBOR_SOLICITATION => Says::Next(InputNext::Solicitation),
            icmp6::NEIGHBOR_ADVERTISEMENT => Says::Next(InputNext::Advertisement),
            icmp6::ROUTER_SOLICITATION => Says::Next(InputNext::RouterSolicitation),
            icmp6::ROUTER_ADVERTISEMENT => Says::Next(InputNext::RouterAdvertisement),
            icmp6::ECHO_REPLY => {
                let seen = Seen { from: IpAddr::V6(ip.source_address()), ttl: ip.hop_limit, len };
                Says::EchoReply(seen, (icmp.word.get() >> 16) as u16, icmp.word.get() as u16)
            }
            icmp6::TOO_BIG => TooLong::read6(packet.data()).map_or(Says::Unknown, Says::TooLong),
            _ => Says::Unknown,
        };
        Some(Message { at, start: ip.pseudo_sum(protocol::ICMP6, len as u32), says })
    }
}

/// The IPv6 header, where the message begins, and its first bytes.
fn parts(bytes: &[u8]) -> Option<(&Ip6Header, usize, &Icmp6Header)> {
    let (ip, _) = Ip6Header::ref_from_prefix(bytes).ok()?;
    let at = ip6_ext::walk(bytes).ok()?.offset;
    let (icmp, _) = Icmp6Header::ref_from_prefix(bytes.get(at..)?).ok()?;
    Some((ip, at, icmp))
}

struct Echo;

impl PacketNode for Echo {
    type Next = EchoNext;
    type Error = EchoError;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = HeaderTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> EchoNext {
        let Some((ip, at, _)) = parts(packet.data()) else {
            return cx.drop(packet, EchoError::Short);
        };
        let (asker, asked, rx) = (ip.source_address(), ip.destination_address(), packet.meta().rx);
        let on_link = asker.is_unicast_link_local() || asked.is_multicast();
        // RFC 4443 section 4.2: the answer to a question to a group is from one of ours.
        let us = match asked.is_multicast() {
            false => Some(asked),
            true if asker.is_unicast_link_local() => Some(cx.tables.interface(rx).link_local()),
            true => cx.tables.connected6.source(rx, asker),
        };
        let Some(us) = us.filter(|_| !asker.is_unspecified()) else {
            return cx.drop(packet, EchoError::NoSource);
        };
        let Some((front, message)) = packet.data_mut().split_at_mut_checked(at) else {
            return cx.drop(packet, EchoError::Short);
        };
        let (Ok((ip, _)), Ok((icmp, _))) = (Ip6Header::mut_from_prefix(front), Icmp6Header::mut_from_prefix(message))
        else {
            return cx.drop(packet, EchoError::Short);
        };
        icmp.into_reply();
        // Of the pseudo-header, only this can be another.
        let sum = checksum::sum(&us.octets(), u64::from(!icmp.checksum.get()));
        let old = checksum::fold(checksum::sum(&asked.octets(), 0));
        icmp.checksum.set(checksum::finish(sum + u64::from(!old)));
        (ip.source, ip.destination, ip.hop_limit) = (us.octets(), asker.octets(), 64);
        without_extensions(packet, at);
        packet.meta_mut().offload = Offload::LOCAL | Offload::MAY_CUT;
        let next = if on_link { back(cx.tables, packet) } else { Some(EchoNext::Lookup) };
        let Some(next) = next else {
            return cx.drop(packet, EchoError::NoSource);
        };
        cx.count(EchoError::Sent);
        next
    }

    fn trace(&self, _: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> HeaderTrace {
        HeaderTrace::of::<Ipv6Addr>(packet)
    }
}

/// Takes out what stands between the header and the message at `at`: options, routes and identifications are the asker's (RFC 8200 section
/// 8.4, RFC 5095, RFC 8021).
fn without_extensions(packet: &mut Packet<'_>, at: usize) {
    let extensions = at.saturating_sub(Ip6Header::LEN);
    if extensions == 0 {
        return;
    }
    let len = packet.len() - at;
    packet.data_mut().copy_within(..Ip6Header::LEN, extensions);
    packet.pull(extensions);
    packet.mark_l3();
    if let Ok((ip, _)) = Ip6Header::mut_from_prefix(packet.data_mut()) {
        ip.next_header = protocol::ICMP6;
        // It was in a packet with a length of 16 bits.
        ip.payload_len.set(len as u16);
    }
}

/// The answer's way back on the link that the question came from.
fn back(tables: &Tables, packet: &mut Packet<'_>) -> Option<EchoNext> {
    let mtu = u32::from(tables.interface(packet.meta().rx).ip6_mtu());
    if packet.len() > mtu as usize {
        frag::request_back(packet, mtu);
        return Some(EchoNext::Fragment);
    }
    LinkBack::new::<Ipv6Addr>(tables, packet)?.put(packet).map(EchoNext::To)
}
