//! IPv6's part of [`rewrite`](crate::ip::rewrite): the hop limit; what is too long, which only its sender may cut (RFC 8200
//! section 5); a source of another link. Our own packets that are too long are cut, unless the sender of what is in them can
//! be told.

use std::net::Ipv6Addr;

use vnet::wire::icmp6::{self, Problem};
use vnet::wire::{EthernetHeader, Ip6Header};
use vnet::{Cx, Offload, Packet, next_nodes, node_errors};

use super::icmp_error;
use super::own::{self, TooLong};
use crate::ip::rewrite::{Leave, Rewrite, is_longer};
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

impl Leave for Ipv6Addr {
    type Next = Next;
    type Error = Error;
    const NO_HEADROOM: Error = Error::NoHeadroom;

    #[inline(always)]
    fn step<'p>(packet: &'p mut Packet<'_>) -> Option<&'p mut [u8; EthernetHeader::LEN]> {
        let (header, _) = Ip6Header::ref_from_prefix(packet.data()).ok()?;
        if header.hop_limit <= 1 || header.source[0] >= 0xfe {
            return None;
        }
        let (link, header) = packet.push_before::<{ EthernetHeader::LEN }, { Ip6Header::LEN }>()?;
        Ip6Header::of_bytes_mut(header).hop_limit -= 1;
        Some(link)
    }

    fn judge(cx: &Cx<'_, '_, Rewrite<Self>>, packet: &mut Packet<'_>, mtu: u32) -> Result<(), Next> {
        if packet.meta().offload.contains(Offload::MAY_CUT)
            && let Some(what) = own::too_long(cx.tables, packet, mtu)
        {
            return Err(match what {
                TooLong::Cut => Next::Fragment,
                TooLong::Told(inner) => {
                    cx.blame(packet, Error::TooBig);
                    if inner == Inner::Ip4 { Next::IcmpError4 } else { Next::IcmpError }
                }
            });
        }
        let (local, longer) = (packet.meta().offload.contains(Offload::LOCAL), is_longer(packet, mtu));
        let Ok((header, _)) = Ip6Header::mut_from_prefix(packet.data_mut()) else {
            return Err(cx.drop(packet, Error::Short));
        };
        if !local && header.source_address().is_unicast_link_local() {
            return Err(refuse(cx, packet, Error::LinkLocalSource, Problem::Unreachable(icmp6::SCOPE)));
        }
        if !local && header.hop_limit <= 1 {
            return Err(refuse(cx, packet, Error::HopLimit, Problem::TimeExceeded));
        }
        if longer {
            return Err(refuse(cx, packet, Error::TooBig, Problem::TooBig { mtu }));
        }
        header.hop_limit -= u8::from(!local);
        Ok(())
    }
}

#[cold]
fn refuse(cx: &Cx<'_, '_, Rewrite<Ipv6Addr>>, packet: &mut Packet<'_>, error: Error, problem: Problem) -> Next {
    cx.blame(packet, error);
    icmp_error::request(packet, problem);
    Next::IcmpError
}
