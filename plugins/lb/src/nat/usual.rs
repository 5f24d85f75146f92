//! Flows as they stand in packets whose headers stand as usual: compared with what is there, and written, as they are.

use std::fmt::Debug;

use vnet::wire::{FlowKey4, FlowKey6};

use super::{FlowKey, SessionChange};
use crate::outer::Outer;

/// Addresses and ports in a row, as in a packet without options or extension headers, and the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<const N: usize> {
    ends: [u8; N],
    protocol: u8,
}

/// A family whose packets of TCP and UDP mostly have headers of one length. All of it is about such packets: IPv4 without options,
/// IPv6 without extension headers, and no fragments, which is for the caller to know.
pub trait Usual: FlowKey {
    /// A key as it stands in a packet.
    type Standing: Copy + Debug + Send + Sync + 'static;

    /// This key.
    fn standing(&self) -> Self::Standing;
    /// The key.
    fn of_standing(standing: &Self::Standing) -> Self;
    /// That of packets the other way.
    fn turned(standing: &Self::Standing) -> Self::Standing;
    /// Whether it is that of a packet.
    fn stands_in(standing: &Self::Standing, packet: &[u8]) -> bool;
    /// Makes a packet of the same protocol, which changes so, one of this key. `false`, and nothing changes: it is cut short, or has
    /// used up its hops.
    fn write_in(standing: &Self::Standing, packet: &mut [u8], change: SessionChange, unfinished: bool) -> bool;
    /// Makes a packet one for a server, as [`Outer`] says, from whom it is from. `false` as above.
    fn lead_to(server: &Outer, packet: &mut [u8], unfinished: bool) -> bool;
}

impl Usual for FlowKey4 {
    type Standing = Standing<12>;

    fn standing(&self) -> Standing<12> {
        let mut ends = [0; 12];
        ends[..4].copy_from_slice(&self.src.to_be_bytes());
        ends[4..8].copy_from_slice(&self.dst.to_be_bytes());
        ends[8..10].copy_from_slice(&self.sport.to_be_bytes());
        ends[10..].copy_from_slice(&self.dport.to_be_bytes());
        Standing { ends, protocol: self.proto }
    }

    fn of_standing(Standing { ends: [a, b, c, d, e, f, g, h, i, j, k, l], protocol }: &Standing<12>) -> FlowKey4 {
        FlowKey4 {
            src: u32::from_be_bytes([*a, *b, *c, *d]),
            dst: u32::from_be_bytes([*e, *f, *g, *h]),
            sport: u16::from_be_bytes([*i, *j]),
            dport: u16::from_be_bytes([*k, *l]),
            proto: *protocol,
        }
    }

    #[inline(always)]
    fn turned(Standing { ends: [a, b, c, d, e, f, g, h, i, j, k, l], protocol }: &Standing<12>) -> Standing<12> {
        Standing { ends: [*e, *f, *g, *h, *a, *b, *c, *d, *k, *l, *i, *j], protocol: *protocol }
    }

    #[inline(always)]
    fn stands_in(standing: &Standing<12>, packet: &[u8]) -> bool {
        packet.first_chunk::<24>().is_some_and(|head| head[12..] == standing.ends && head[9] == standing.protocol)
    }

    #[inline(always)]
    fn write_in(standing: &Standing<12>, packet: &mut [u8], change: SessionChange, unfinished: bool) -> bool {
        let live = packet.first_chunk::<24>().is_some_and(|head| head[8] > 1);
        if !live || !change.amend(packet, 20, standing.protocol, unfinished) {
            return false;
        }
        let Some(head) = packet.first_chunk_mut::<24>() else { return false };
        let sum = change.addresses().of_field([head[10], head[11]]);
        head[10..12].copy_from_slice(&sum);
        head[12..].copy_from_slice(&standing.ends);
        true
    }

    #[inline(always)]
    fn lead_to(server: &Outer, packet: &mut [u8], unfinished: bool) -> bool {
        // As long as UDP's header, so that its length is not asked for again.
        let Some(head) = packet.first_chunk::<28>().filter(|head| head[8] > 1) else { return false };
        let to = [head[16], head[17], head[18], head[19]];
        let (protocol, change) = (head[9], server.change_from(to).unwrap_or_else(|| change4(server, head)));
        if !change.amend(packet, 20, protocol, unfinished) {
            return false;
        }
        let Some(head) = packet.first_chunk_mut::<24>() else { return false };
        let sum = change.addresses().of_field([head[10], head[11]]);
        head[10..12].copy_from_slice(&sum);
        head[16..20].copy_from_slice(&server.address4());
        head[22..].copy_from_slice(&server.port().to_be_bytes());
        true
    }
}

impl Usual for FlowKey6 {
    type Standing = Standing<36>;

    fn standing(&self) -> Standing<36> {
        let mut ends = [0; 36];
        ends[..16].copy_from_slice(&self.src);
        ends[16..32].copy_from_slice(&self.dst);
        ends[32..34].copy_from_slice(&self.sport.to_be_bytes());
        ends[34..].copy_from_slice(&self.dport.to_be_bytes());
        Standing { ends, protocol: self.proto }
    }

    fn of_standing(Standing { ends, protocol }: &Standing<36>) -> FlowKey6 {
        let address = |at: usize| std::array::from_fn(|n| ends[at + n]);
        let port = |at: usize| u16::from_be_bytes([ends[at], ends[at + 1]]);
        FlowKey6 { src: address(0), dst: address(16), sport: port(32), dport: port(34), proto: *protocol }
    }

    #[inline(always)]
    fn turned(Standing { ends, protocol }: &Standing<36>) -> Standing<36> {
        let mut turned = *ends;
        turned[..16].copy_from_slice(&ends[16..32]);
        turned[16..32].copy_from_slice(&ends[..16]);
        turned[32..34].copy_from_slice(&ends[34..]);
        turned[34..].copy_from_slice(&ends[32..34]);
        Standing { ends: turned, protocol: *protocol }
    }

    #[inline(always)]
    fn stands_in(standing: &Standing<36>, packet: &[u8]) -> bool {
        // Piece by piece: all bytes at once would be compared by a function.
        let ends = &standing.ends;
        packet.first_chunk::<44>().is_some_and(|head| {
            head[8..24] == ends[..16]
                && head[24..40] == ends[16..32]
                && head[40..] == ends[32..]
                && head[6] == standing.protocol
        })
    }

    #[inline(always)]
    fn write_in(standing: &Standing<36>, packet: &mut [u8], change: SessionChange, unfinished: bool) -> bool {
        let live = packet.first_chunk::<44>().is_some_and(|head| head[7] > 1);
        if !live || !change.amend(packet, 40, standing.protocol, unfinished) {
            return false;
        }
        let Some(head) = packet.first_chunk_mut::<44>() else { return false };
        head[8..].copy_from_slice(&standing.ends);
        true
    }

    #[inline(always)]
    fn lead_to(server: &Outer, packet: &mut [u8], unfinished: bool) -> bool {
        let Some(head) = packet.first_chunk::<48>().filter(|head| head[7] > 1) else { return false };
        let (protocol, change) = (head[6], server.change().unwrap_or_else(|| change6(server, head)));
        if !change.amend(packet, 40, protocol, unfinished) {
            return false;
        }
        let Some(head) = packet.first_chunk_mut::<44>() else { return false };
        head[24..40].copy_from_slice(server.address6());
        head[42..].copy_from_slice(&server.port().to_be_bytes());
        true
    }
}

/// What a server changes in checksums of one packet, where not all packets of its VIP are to one address.
#[cold]
#[inline(never)]
fn change4(server: &Outer, head: &[u8; 28]) -> SessionChange {
    let key =
        |[a, b, c, d]: [u8; 4], dport| FlowKey4 { dst: u32::from_be_bytes([a, b, c, d]), dport, ..FlowKey4::default() };
    let had = key([head[16], head[17], head[18], head[19]], u16::from_be_bytes([head[22], head[23]]));
    SessionChange::new(&had, &key(server.address4(), server.port()))
}

/// The same of IPv6.
#[cold]
#[inline(never)]
fn change6(server: &Outer, head: &[u8; 48]) -> SessionChange {
    let key = |dst, dport| FlowKey6 { dst, dport, ..FlowKey6::default() };
    let had = key(std::array::from_fn(|n| head[24 + n]), u16::from_be_bytes([head[42], head[43]]));
    SessionChange::new(&had, &key(*server.address6(), server.port()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_stays_the_same(src: u32, dst: u32, sport: u16, dport: u16, proto: u8, six: ([u8; 16], [u8; 16])) {
            let key = FlowKey4 { src, dst, sport, dport, proto };
            prop_assert_eq!(FlowKey4::of_standing(&key.standing()), key);
            prop_assert_eq!(FlowKey4::of_standing(&FlowKey4::turned(&key.standing())), key.reverse());
            let key = FlowKey6 { src: six.0, dst: six.1, sport, dport, proto };
            prop_assert_eq!(FlowKey6::of_standing(&key.standing()), key);
            prop_assert_eq!(FlowKey6::of_standing(&FlowKey6::turned(&key.standing())), key.reverse());
        }
    }
}
