//! UDP headers (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{self, fold};

/// A UDP header: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct UdpHeader {
    /// Port of the sender.
    pub source: U16,
    /// Port of the receiver.
    pub destination: U16,
    /// Bytes of header and payload.
    pub len: U16,
    /// Checksum over pseudo-header, header and payload; 0 means none.
    pub checksum: U16,
}
header!(UdpHeader);

impl UdpHeader {
    /// Where the checksum stands in the header.
    pub const CHECKSUM_OFFSET: usize = 6;

    /// A header without a checksum. The length is cut off at 65535.
    #[inline]
    pub fn new(source: u16, destination: u16, payload_len: usize) -> Self {
        Self {
            source: U16::new(source),
            destination: U16::new(destination),
            len: U16::new(payload_len.saturating_add(Self::LEN).min(usize::from(u16::MAX)) as u16),
            checksum: U16::new(0),
        }
    }

    /// Computes the checksum. `pseudo` is the sum of the pseudo-header.
    pub fn set_checksum(&mut self, pseudo: u64, payload: &[u8]) {
        self.checksum.set(0);
        self.checksum.set(checksum::finish_nonzero(checksum::sum(self.as_bytes(), checksum::sum(payload, pseudo))));
    }
}

/// Whether a datagram's checksum is right, or absent. `datagram` begins with the header and ends where that says.
///
/// # Errors
/// [`Short`](super::Short) without a whole header.
pub fn checksum_ok(pseudo: u64, datagram: &[u8]) -> Result<bool, super::Short> {
    let (header, _) = UdpHeader::ref_from_prefix(datagram)?;
    Ok(header.checksum.get() == 0 || fold(checksum::sum(datagram, pseudo)) == 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_checksum_of_zero_is_sent_as_ones() {
        let mut header = UdpHeader::new(0x1000, 0x2000, 2);
        let before = checksum::sum(header.as_bytes(), checksum::pseudo4(1, 2, 17, 10));
        header.set_checksum(checksum::pseudo4(1, 2, 17, 10), &(!fold(before)).to_be_bytes());
        assert_eq!(header.checksum.get(), 0xffff);
    }

    proptest! {
        #[test]
        fn datagram_agrees_with_etherparse(
            source: [u8; 4], destination: [u8; 4], ports: (u16, u16),
            payload in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut header = UdpHeader::new(ports.0, ports.1, payload.len());
            let pseudo = checksum::pseudo4_of(source.into(), destination.into(), 17, header.len.get());
            header.set_checksum(pseudo, &payload);
            let theirs = etherparse::UdpHeader::from_slice(header.as_bytes()).unwrap().0;
            prop_assert_eq!((theirs.source_port, theirs.destination_port), ports);
            prop_assert_eq!(usize::from(theirs.length), payload.len() + 8);
            let expected = theirs.calc_checksum_ipv4_raw(source, destination, &payload).unwrap();
            prop_assert_eq!(expected, header.checksum.get());
            let pnet = pnet_packet::udp::UdpPacket::new(header.as_bytes()).unwrap();
            prop_assert_eq!(pnet.get_length(), header.len.get());
            let mut datagram = [header.as_bytes(), &payload].concat();
            prop_assert_eq!(checksum_ok(pseudo, &datagram), Ok(true));
            datagram[0] ^= 1;
            prop_assert_eq!(checksum_ok(pseudo, &datagram), Ok(false));
            datagram[6..8].fill(0);
            prop_assert_eq!(checksum_ok(pseudo, &datagram), Ok(true));
        }
    }
}
