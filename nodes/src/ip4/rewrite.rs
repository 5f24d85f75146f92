//! IPv4's part of [`rewrite`](crate::ip::rewrite): the TTL, and what DF forbids.

use std::net::Ipv4Addr;

use vnet::wire::icmp4::Problem;
use vnet::wire::{EthernetHeader, Ip4Header};
use vnet::{Cx, Offload, Packet, next_nodes, node_errors};

use super::icmp_error;
use crate::frag;
use crate::ip::rewrite::{Leave, Rewrite, is_longer};

next_nodes! {
    /// Where `ip4-rewrite` sends packets.
    pub enum Next {
        /// The packet is broken.
        Drop => "ip4-drop",
        /// Tell the sender.
        IcmpError => "ip4-icmp-error",
        /// Too long for the way out, and may be cut.
        Fragment => "ip4-frag",
        ; To
    }
}

node_errors! {
    /// What `ip4-rewrite` finds.
    pub enum Error {
        /// RFC 792: the packet has used up its hops.
        TtlExpired => error "ip4 ttl <= 1",
        /// RFC 791: DF is set and the packet does not fit.
        MustFragment => error "ip4 MTU exceeded and DF set",
        /// Another node took the room in front of the packet.
        NoHeadroom => error "no room for the link header",
        /// Shorter than an IPv4 header; only a broken node sends one here.
        Short => error "packet too short",
    }
}

impl Leave for Ipv4Addr {
    type Next = Next;
    type Error = Error;
    const NO_HEADROOM: Error = Error::NoHeadroom;

    #[inline(always)]
    fn step<'p>(packet: &'p mut Packet<'_>) -> Option<&'p mut [u8; EthernetHeader::LEN]> {
        let (header, _) = Ip4Header::ref_from_prefix(packet.data()).ok()?;
        if header.ttl <= 1 {
            return None;
        }
        let (link, header) = packet.push_before::<{ EthernetHeader::LEN }, { Ip4Header::LEN }>()?;
        Ip4Header::of_bytes_mut(header).decrement_ttl();
        Some(link)
    }

    fn judge(cx: &Cx<'_, '_, Rewrite<Self>>, packet: &mut Packet<'_>, mtu: u32) -> Result<(), Next> {
        let (local, longer) = (packet.meta().offload.contains(Offload::LOCAL), is_longer(packet, mtu));
        let Ok((header, _)) = Ip4Header::mut_from_prefix(packet.data_mut()) else {
            return Err(cx.drop(packet, Error::Short));
        };
        if !local && header.ttl <= 1 {
            return Err(refuse(cx, packet, Error::TtlExpired, Problem::TimeExceeded));
        }
        if longer && header.dont_fragment() {
            let mtu = mtu.min(u32::from(u16::MAX)) as u16;
            return Err(refuse(cx, packet, Error::MustFragment, Problem::FragmentationNeeded { mtu }));
        }
        if !local {
            header.decrement_ttl();
        }
        if longer {
            frag::request(packet, mtu);
            return Err(Next::Fragment);
        }
        Ok(())
    }
}

#[cold]
fn refuse(cx: &Cx<'_, '_, Rewrite<Ipv4Addr>>, packet: &mut Packet<'_>, error: Error, problem: Problem) -> Next {
    cx.blame(packet, error);
    icmp_error::request(packet, problem);
    Next::IcmpError
}
