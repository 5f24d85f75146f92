//! Segment sizes that hosts tell each other (RFC 9293 section 3.7.1), lowered where the VIP wants that.
//!
//! A client's SYN says how long the segments of the server may be, the server's SYN-ACK how long those of the client, which
//! are what goes in tunnels. With direct return the SYN is all that comes by; with NAT both do.

use vnet::wire::ip4::protocol;
use vnet::{Offload, Packet, Tables};

use super::family::Inner;
use super::nat::NatInner;
use crate::config::MssClamp;
use crate::handle::ServerHandle;
use crate::local::Way;
use crate::mss;
use crate::nat::FlowKey;
use crate::tables::LbTables;

/// Where TCP's flags stand, and the first of a connection.
const FLAGS: usize = 13;
const SYN: u8 = 2;

/// Lowers the size that a SYN tells, of a flow whose way to the server takes packets of `room` bytes.
pub(super) fn clamp<I: Inner>(shared: &LbTables, packet: &mut Packet<'_>, vip: u32, room: u16) {
    let most = match shared.vip(vip).and_then(|entry| entry.mss_clamp) {
        Some(MssClamp::At(most)) => most,
        Some(MssClamp::Auto) => room.saturating_sub(I::HEADERS),
        Some(MssClamp::Off) | None => return,
    };
    let unfinished = packet.meta().offload.contains(Offload::CHECKSUM);
    if let Some(tcp) = I::transport(packet.data()).and_then(|at| packet.data_mut().get_mut(at..)) {
        mss::clamp(tcp, most, unfinished);
    }
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
pub(super) fn answer<I: Inner>(tables: &Tables, shared: &LbTables, packet: &mut Packet<'_>, server: ServerHandle) {
    let Some(server) = shared.server(server) else { return };
    if shared.vip(server.vip_index).is_some_and(|entry| entry.mss_clamp.is_some()) {
        clamp::<I>(shared, packet, server.vip_index, Way::new(tables, server).room);
    }
}
