//! What the fragments of one datagram have in common.

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
}
