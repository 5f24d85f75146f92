//! `ip6-rewrite`: the last IPv6 step of a packet that leaves.
//!
//! Uses: `meta.forward`, an adjacency. Sets: the hop limit, the link header. Next: the interface's output node;
//! `ip6-icmp-error` where the hop limit ends, the packet is too long (only its sender may cut it, RFC 8200 section 5) or its
//! source is of another link; `ip6-frag` for what is too long and our own, unless the sender of what is in it can be told.

use vnet::fib::Adjacency;
use vnet::wire::Ip6Header;
use vnet::wire::icmp6::{self, Problem};
use vnet::{AdjIndex, Cx, NodeId, NodeSpec, Offload, Packet, PacketNode, Scope, Vector, next_nodes, node_errors};

use super::icmp_error;
use super::own::{self, TooLong};
use crate::ip4::rewrite::RewriteTrace;
use crate::tunnel::Inner;

next_nodes! {
    /// Where `ip6-rewrite` sends packets.
    pub enum Next {
        /// The packet is broken.
        Drop => "ip6-drop",
        /// Tell the sender.
        IcmpError => "ip6-icmp-error",
        /// Tell the sender of what is in a tunnel's packet.
        IcmpError4 => "ip4-icmp-error",
        /// Too long for the way out, and our own.
        Fragment => "ip6-frag",
        ; To
    }
}

node_errors! {
    /// What `ip6-rewrite` finds.
    pub enum Error {
        /// RFC 8200 section 3: the packet has used up its hops.
        HopLimit => error "ip6 hop limit <= 1",
        /// It does not fit the way out.
        TooBig => error "ip6 MTU exceeded",
        /// RFC 4291 section 2.5.6: its source means nothing beyond the link that it came from.
        LinkLocalSource => error "ip6 link-local source is not forwarded",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the link header",
        /// Shorter than an IPv6 header; only a broken node sends one here.
        Short => error "packet too short",
    }
}

pub(super) fn node() -> NodeSpec {
    NodeSpec::packet("ip6-rewrite", |_| Rewrite)
}

struct Rewrite;

impl PacketNode for Rewrite {
    type Next = Next;
    type Error = Error;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = RewriteTrace;

    #[inline(always)]
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Next) {
        let fib = &cx.tables.fib6;
        let to = fib.adjacency(AdjIndex(vector.packet(0).meta().forward)).node;
        let done = vector.head(|packet| {
            let adjacency = fib.get_adjacency(AdjIndex(packet.meta().forward));
            adjacency.is_some_and(|adjacency| adjacency.node == to && rewrite(packet, adjacency))
        });
        (done, Next::To(to))
    }

    #[inline(always)]
    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let adjacency = cx.tables.fib6.get_adjacency(AdjIndex(packet.meta().forward));
        if let Some(adjacency) = adjacency
            && rewrite(packet, adjacency)
        {
            return Next::To(adjacency.node);
        }
        Next::To(Self::uncommon(cx, &mut packet.again()))
    }

    fn trace(&self, scope: &Scope<'_, (), ()>, packet: &Packet<'_>, (): ()) -> RewriteTrace {
        RewriteTrace::of(scope.tables, scope.tables.fib6.adjacency(AdjIndex(packet.meta().forward)), packet)
    }
}

/// Takes a hop off a packet of the common kind and puts Ethernet's header in front; `false`, and nothing changes, for
/// others.
#[inline(always)]
fn rewrite(packet: &mut Packet<'_>, adjacency: &Adjacency) -> bool {
    if !packet.meta().offload.contains(Offload::LOCAL)
        && packet.plain_len() <= usize::from(adjacency.ethernet_mtu)
        && let Ok((header, _)) = Ip6Header::ref_from_prefix(packet.data())
        && header.hop_limit > 1
        && header.source[0] < 0xfe
        && let Some((link, header)) = packet.push_before::<14, { Ip6Header::LEN }>()
    {
        adjacency.write_ethernet(link);
        Ip6Header::of_bytes_mut(header).hop_limit -= 1;
        return true;
    }
    false
}

impl Rewrite {
    /// What this router made itself, what is too long or too old, and what gets another link header than Ethernet's.
    #[inline(never)]
    fn uncommon(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> NodeId {
        let next = Self::judge(cx, packet);
        cx.number_of(next)
    }

    fn judge(cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>) -> Next {
        let adjacency = cx.tables.fib6.adjacency(AdjIndex(packet.meta().forward));
        let local = packet.meta().offload.contains(Offload::LOCAL);
        if packet.meta().offload.contains(Offload::MAY_CUT)
            && let Some(what) = own::too_long(cx.tables, packet, adjacency.mtu)
        {
            return match what {
                TooLong::Cut => Next::Fragment,
                TooLong::Told(inner) => {
                    cx.blame(packet, Error::TooBig);
                    if inner == Inner::Ip4 { Next::IcmpError4 } else { Next::IcmpError }
                }
            };
        }
        let (length, mtu) = (packet.len(), adjacency.mtu);
        let whole = packet.meta().offload.intersects(Offload::GSO).then(|| crate::ip4::gso_piece_len(packet)).flatten();
        let Ok((header, _)) = Ip6Header::mut_from_prefix(packet.data_mut()) else {
            return cx.drop(packet, Error::Short);
        };
        if !local {
            if header.source_address().is_unicast_link_local() {
                return refuse(cx, packet, Error::LinkLocalSource, Problem::Unreachable(icmp6::SCOPE));
            }
            if header.hop_limit <= 1 {
                return refuse(cx, packet, Error::HopLimit, Problem::TimeExceeded);
            }
        }
        // A large segment will be cut into pieces that fit.
        if whole.unwrap_or(length) > mtu as usize {
            return refuse(cx, packet, Error::TooBig, Problem::TooBig { mtu });
        }
        header.hop_limit -= u8::from(!local);
        let header = adjacency.rewrite();
        let Some(bytes) = packet.push(header.len()) else {
            return cx.drop(packet, Error::NoHeadroom);
        };
        bytes[..header.len()].copy_from_slice(header);
        Next::To(adjacency.node)
    }
}

#[cold]
fn refuse(cx: &Cx<'_, '_, Rewrite>, packet: &mut Packet<'_>, error: Error, problem: Problem) -> Next {
    cx.blame(packet, error);
    icmp_error::request(packet, problem);
    Next::IcmpError
}
