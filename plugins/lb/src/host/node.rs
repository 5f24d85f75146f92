//! `lb4-host-l3dsr`: packets to us whose DSCP stands for a VIP become packets to the VIP again.
//!
//! Uses: the DSCP. Sets: the destination, the DSCP (0), the checksums. Next: `ip4-lookup`.

use std::net::Ipv4Addr;

use trace::{Record, Text};
use vnet::wire::ip4::Ip4Header;
use vnet::{Cx, NodeSpec, Offload, Packet, PacketNode, Scope, next_nodes, node_errors};

use crate::l3dsr::{Readdressed, readdress};

/// The node.
pub const NAME: &str = "lb4-host-l3dsr";

/// The VIP that each DSCP stands for.
#[derive(Debug)]
pub struct HostTables {
    vips: [Option<Ipv4Addr>; 64],
}

impl Default for HostTables {
    fn default() -> Self {
        HostTables::new([])
    }
}

impl HostTables {
    /// Of DSCPs and VIPs.
    pub fn new(pairs: impl IntoIterator<Item = (u8, Ipv4Addr)>) -> HostTables {
        let mut vips = [None; 64];
        for (dscp, vip) in pairs {
            vips[usize::from(dscp & 63)] = Some(vip);
        }
        HostTables { vips }
    }

    fn vip(&self, dscp: u8) -> Option<Ipv4Addr> {
        self.vips[usize::from(dscp & 63)]
    }
}

next_nodes! {
    /// Where `lb4-host-l3dsr` sends packets.
    pub enum Next {
        /// The DSCP stands for nothing any more.
        Drop => "ip4-drop",
        /// To the VIP.
        Lookup => "ip4-lookup",
    }
}

node_errors! {
    /// What `lb4-host-l3dsr` finds.
    pub enum Error {
        /// Packets whose destination is the VIP again.
        Restored => info "L3DSR packets given back their VIP",
        /// The DSCP was given back a moment ago.
        NoVip => error "dscp stands for no VIP",
        /// Fewer bytes than a header; only a broken node sends one here.
        Short => error "packet too short",
    }
}

pub(crate) fn node() -> NodeSpec {
    NodeSpec::packet(NAME, |_| Restore)
}

struct Restore;

/// `L3DSR: dscp N dst A vip A`
#[derive(serde::Serialize)]
pub struct RestoreTrace {
    dscp: u8,
    destination: Ipv4Addr,
    vip: Option<Ipv4Addr>,
}

impl Record for RestoreTrace {
    fn text(&self, text: &mut Text) {
        let vip = self.vip.map_or_else(|| "none".into(), |vip| vip.to_string());
        text.line(format_args!("L3DSR: dscp {} dst {} vip {vip}", self.dscp, self.destination));
    }
}

impl PacketNode for Restore {
    type Next = Next;
    type Error = Error;
    type Shared = HostTables;
    type Local = ();
    type Staged = ();
    type Trace = RestoreTrace;
    const TRACE_ON_ENTRY: bool = true;

    fn finish(&mut self, cx: &mut Cx<'_, '_, Self>, packet: &mut Packet<'_>, (): ()) -> Next {
        let Ok((header, _)) = Ip4Header::ref_from_prefix(packet.data()) else {
            return cx.drop(packet, Error::Short);
        };
        let Some(vip) = cx.shared.vip(header.dscp()) else {
            return cx.drop(packet, Error::NoVip);
        };
        let partial =
            packet.meta().offload.contains(Offload::CHECKSUM) && packet.csum_start() == Some(header.header_len());
        restore(packet.data_mut(), vip, partial);
        cx.count(Error::Restored);
        Next::Lookup
    }

    fn trace(&self, scope: &Scope<'_, HostTables, ()>, packet: &Packet<'_>, (): ()) -> RestoreTrace {
        let (dscp, destination) = Ip4Header::ref_from_prefix(packet.data())
            .map_or((0, Ipv4Addr::UNSPECIFIED), |(header, _)| (header.dscp(), header.destination_address()));
        RestoreTrace { dscp, destination, vip: scope.shared.vip(dscp) }
    }
}

/// Makes the packet one to the VIP, without a DSCP. `partial`: the transport checksum is still only that of the pseudo-header.
fn restore(packet: &mut [u8], vip: Ipv4Addr, partial: bool) {
    // Where there is no header there was no way here.
    readdress(packet, Readdressed { to: vip.octets(), change: None, dscp: 0, unfinished: partial });
}

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4Header, PacketBuilder};
    use proptest::prelude::*;

    use super::*;

    fn build(destination: [u8; 4], class: u8, tcp: bool, payload: &[u8]) -> Vec<u8> {
        let mut ip = Ipv4Header::new(0, 9, 0.into(), [10, 1, 2, 3], destination).unwrap();
        ip.dscp = (class >> 2).try_into().unwrap();
        ip.ecn = (class & 3).try_into().unwrap();
        let builder = PacketBuilder::ip(etherparse::IpHeaders::Ipv4(ip, Default::default()));
        let mut packet = Vec::new();
        match tcp {
            true => builder.tcp(5, 80, 7, 9).write(&mut packet, payload).unwrap(),
            false => builder.udp(5, 80).write(&mut packet, payload).unwrap(),
        }
        packet
    }

    proptest! {
        #[test]
        fn the_packet_is_the_one_that_was_sent(
            server: [u8; 4], vip: [u8; 4], dscp in 1u8..64, ecn in 0u8..4, tcp: bool,
            payload in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut packet = build(server, dscp << 2 | ecn, tcp, &payload);
            restore(&mut packet, vip.into(), false);
            prop_assert_eq!(packet, build(vip, ecn, tcp, &payload));
        }

        #[test]
        fn unfinished_checksums_become_right_later(server: [u8; 4], vip: [u8; 4], tcp: bool) {
            use vnet::wire::checksum::{complete, fold, pseudo4_of};
            let leave = |packet: &mut [u8], to: [u8; 4]| {
                let (number, at) = if tcp { (6, 36) } else { (17, 26) };
                let len = packet.len() as u16 - 20;
                let sum = fold(pseudo4_of([10, 1, 2, 3].into(), to.into(), number, len));
                packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
                at
            };
            let mut packet = build(server, 4, tcp, b"payload");
            let at = leave(&mut packet, server);
            restore(&mut packet, vip.into(), true);
            let sum = complete([&packet[..]], 20, at - 20);
            packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            prop_assert_eq!(packet, build(vip, 0, tcp, b"payload"));
        }

        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..80), partial: bool) {
            restore(&mut bytes, Ipv4Addr::LOCALHOST, partial);
        }
    }

    #[test]
    fn absent_checksums_and_later_pieces_stay() {
        let mut packet = build([10, 0, 0, 1], 28, false, b"x");
        packet[26..28].fill(0);
        restore(&mut packet, [90, 0, 0, 1].into(), false);
        assert_eq!(packet[26..28], [0, 0]);
        let mut piece = build([10, 0, 0, 1], 28, true, b"x");
        piece[7] = 1;
        let header = Ipv4Header::from_slice(&piece).unwrap().0;
        piece[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
        let before = piece[20..].to_vec();
        restore(&mut piece, [90, 0, 0, 1].into(), false);
        assert_eq!(piece[20..], before);
        let header = Ipv4Header::from_slice(&piece).unwrap().0;
        assert_eq!(header.header_checksum, header.calc_header_checksum());
    }
}
