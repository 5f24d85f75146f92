//! Segment sizes that hosts tell each other (RFC 9293 section 3.7.1), lowered where the VIP wants that.
//!
//! A client's SYN says how long the segments of the server may be, the server's SYN-ACK how long those of the client, which
//! are what goes in tunnels. With direct return the SYN is all that comes by. With NAT both do, and so do the segments of
//! both: what fits must fit the way to the server and the way to the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nodes::ip::Ip;
use vnet::wire::ip4::protocol;
use vnet::{Offload, Packet, Tables};

use super::family::Inner;
use super::nat::NatInner;
use super::rare::Balancing;
use crate::config::MssClamp;
use crate::handle::ServerHandle;
use crate::local::{Way, mtu_of};
use crate::mss;
use crate::nat::FlowKey;
use crate::tables::LbTables;

/// Where TCP's flags stand, and the first of a connection.
const FLAGS: usize = 13;
const SYN: u8 = 2;

/// Lowers the size that a client's SYN tells, whose way to the server takes packets of `room` bytes.
#[cold]
#[inline(never)]
pub(super) fn question<B: Balancing>(tables: &Tables, shared: &LbTables, packet: &mut Packet<'_>, vip: u32, room: u16) {
    let Some(clamp) = shared.vip(vip).and_then(|entry| entry.mss_clamp) else { return };
    let room = || if B::ENCAP.is_nat() { room.min(room_to(tables, sender(packet.data()))) } else { room };
    let most = most::<B::Family>(clamp, room);
    lower::<B::Family>(packet, most);
}

/// Whether a packet of this flow, with its transport header, begins a connection, or says yes to it.
#[inline]
pub(super) fn is_syn<I: NatInner>(packet: &Packet<'_>, key: &I::Key) -> bool {
    let flags = || packet.data().get(I::transport(packet.data())? + FLAGS);
    key.protocol() == protocol::TCP && flags().is_some_and(|flags| flags & SYN != 0)
}

/// Lowers the size that a server's answer tells its client.
#[cold]
#[inline(never)]
pub(super) fn answer<I: Inner>(
    tables: &Tables,
    shared: &LbTables,
    packet: &mut Packet<'_>,
    server: ServerHandle,
    client: IpAddr,
) {
    let Some(server) = shared.server(server) else { return };
    let Some(clamp) = shared.vip(server.vip_index).and_then(|entry| entry.mss_clamp) else { return };
    let room = || Way::new(tables, shared, server).room.min(room_to(tables, Some(client)));
    lower::<I>(packet, most::<I>(clamp, room));
}

/// The most that may be told, where the ways take packets of `room` bytes.
fn most<I: Inner>(clamp: MssClamp, room: impl FnOnce() -> u16) -> u16 {
    match clamp {
        MssClamp::At(most) => most,
        MssClamp::Auto => room().saturating_sub(I::HEADERS),
        MssClamp::Off => u16::MAX,
    }
}

fn lower<I: Inner>(packet: &mut Packet<'_>, most: u16) {
    let unfinished = packet.meta().offload.contains(Offload::CHECKSUM);
    if let Some(tcp) = I::transport(packet.data()).and_then(|at| packet.data_mut().get_mut(at..)) {
        mss::clamp(tcp, most, unfinished);
    }
}

/// The longest packet that the way to a client takes.
fn room_to(tables: &Tables, client: Option<IpAddr>) -> u16 {
    fn of<A: Ip>(tables: &Tables, client: A) -> Option<u32> {
        let fib = A::fib(tables);
        mtu_of(fib, fib.forward(fib.find(client)))
    }
    let mtu = match client {
        Some(IpAddr::V4(client)) => of(tables, client),
        Some(IpAddr::V6(client)) => of(tables, client),
        None => None,
    };
    mtu.and_then(|mtu| mtu.try_into().ok()).unwrap_or(u16::MAX)
}

/// Who sent an IP packet.
fn sender(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}
