//! What the fragments of one datagram have in common.

use crate::slot_hash::{FlowWords, slot_of};

/// The name of a datagram, of either family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    source: [u8; 16],
    destination: [u8; 16],
    id: u32,
    /// The protocol of an IPv4 datagram; [`SIX`] for all of IPv6.
    protocol: u16,
}

/// No protocol of IPv4.
const SIX: u16 = 0x100;

impl Key {
    /// Of IPv4 (RFC 791 section 3.2): addresses in host order, identifier, protocol.
    pub fn ip4(source: u32, destination: u32, id: u16, protocol: u8) -> Key {
        let wide = |address: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.to_be_bytes());
            bytes
        };
        Key { source: wide(source), destination: wide(destination), id: id.into(), protocol: protocol.into() }
    }

    /// Of IPv6 (RFC 8200 section 4.5): addresses and identifier. The next header is not among it: it may be another in each
    /// fragment.
    pub fn ip6(source: [u8; 16], destination: [u8; 16], id: u32) -> Key {
        Key { source, destination, id, protocol: SIX }
    }

    /// The worker that brings the fragments of the datagram together, of so many. The identifier is not asked, so that datagrams
    /// of a flow stay in order.
    pub fn home(&self, workers: usize) -> usize {
        let word = |bytes: &[u8; 16], at: usize| {
            bytes[at..].first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_be_bytes(*bytes))
        };
        let [s0, s1] = [0, 8].map(|at| word(&self.source, at));
        let [d0, d1] = [0, 8].map(|at| word(&self.destination, at));
        slot_of([s0, s1, d0, d1, self.protocol.into()].slot_hash(), workers)
    }
}
