//! The Internet checksum (RFC 1071), its incremental update (RFC 1624), and pseudo-headers.
//!
//! A running sum is a `u64` of 16-bit words in host order, with the carries still in its upper bits: no packet is long
//! enough to overflow it. [`fold`] brings the carries home, [`finish`] also complements, which gives the field.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::UdpHeader;

/// Adds the 16-bit words of `bytes` to `start`. A last odd byte counts as if a zero followed it, so that only the last
/// slice of several may have an odd length; [`Sum`] joins slices of any length.
#[inline]
pub fn sum(bytes: &[u8], start: u64) -> u64 {
    // RFC 1071 section 2 (B): words added in the wrong byte order give the sum in the wrong byte order, so the words
    // are loaded as they come, four bytes at a time, and the result is swapped once.
    let (words, tail) = bytes.as_chunks::<4>();
    let mut native: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let (pairs, odd) = tail.as_chunks::<2>();
    for pair in pairs {
        native += u64::from(u16::from_ne_bytes(*pair));
    }
    if let [last] = odd {
        native += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    start + u64::from(u16::from_be(fold(native)))
}

macro_rules! one_complement {
    ($name:ident, $word:ty) => {
        /// A sum in ones' complement: the carry goes round (RFC 1071 section 2), which is two instructions.
        #[inline(always)]
        pub fn $name(a: $word, b: $word) -> $word {
            let (sum, carry) = a.overflowing_add(b);
            sum + <$word>::from(carry)
        }
    };
}

one_complement!(add16, u16);
one_complement!(add32, u32);
one_complement!(add64, u64);

/// The 16-bit sum with all carries added in (one's complement addition).
#[inline(always)]
pub fn fold(sum: u64) -> u16 {
    let sum = add32(sum as u32, (sum >> 32) as u32);
    // Both halves added in both halves: what the lower one carries is what the upper one lacks.
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The value of the checksum field for this sum, host order.
#[inline(always)]
pub fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The same for UDP, where 0 says that there is no checksum (RFC 768): then 0xffff, which verifies alike.
#[inline(always)]
pub fn finish_nonzero(sum: u64) -> u16 {
    match finish(sum) {
        0 => 0xffff,
        field => field,
    }
}

/// A sum over several slices of any length, as if they were one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    sum: u64,
    odd: bool,
}

impl Sum {
    /// Begins with a sum made elsewhere, for instance that of a pseudo-header.
    #[inline]
    pub fn starting_at(start: u64) -> Self {
        Self { sum: start, odd: false }
    }

    /// Adds the next slice.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let part = fold(sum(bytes, 0));
        // After an odd number of bytes every byte stands in the other half of its word.
        self.sum += u64::from(if self.odd { part.swap_bytes() } else { part });
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The running sum, for [`finish`].
    #[inline]
    pub fn value(self) -> u64 {
        self.sum
    }
}

/// The sum over `segments`, as if they were one slice, from byte `skip` on.
pub fn sum_segments<'a>(segments: impl IntoIterator<Item = &'a [u8]>, mut skip: usize, start: u64) -> u64 {
    let mut total = Sum::starting_at(start);
    for segment in segments {
        let rest = segment.get(skip..).unwrap_or_default();
        skip -= segment.len() - rest.len();
        total.add(rest);
    }
    total.value()
}

/// The sum of IPv4's pseudo-header for TCP and UDP (RFC 9293 section 3.1). Addresses in host order; `len` counts the
/// transport header and its payload.
#[inline(always)]
pub fn pseudo4(source: u32, destination: u32, protocol: u8, len: u16) -> u64 {
    u64::from(source) + u64::from(destination) + u64::from(protocol) + u64::from(len)
}

/// [`pseudo4`] for addresses.
#[inline]
pub fn pseudo4_of(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> u64 {
    pseudo4(source.to_bits(), destination.to_bits(), protocol, len)
}

/// The sum of IPv6's pseudo-header (RFC 8200 section 8.1).
#[inline]
pub fn pseudo6(source: &Ipv6Addr, destination: &Ipv6Addr, protocol: u8, len: u32) -> u64 {
    sum(&source.octets(), sum(&destination.octets(), u64::from(protocol) + u64::from(len)))
}

/// The field after one 16-bit word it covers changed from `old` to `new` (RFC 1624 section 3, equation 3).
#[inline(always)]
pub fn update16(field: u16, old: u16, new: u16) -> u16 {
    finish(u64::from(!field) + u64::from(!old) + u64::from(new))
}

/// The same for 32 bits at an even distance from the start.
#[inline(always)]
pub fn update32(field: u16, old: u32, new: u32) -> u16 {
    finish(u64::from(!field) + u64::from(!old) + u64::from(new))
}

/// What belongs in the transport checksum field of a packet whose sender left it to others (virtio 1.2 section
/// 5.1.6.2): the field, `offset` bytes after byte `start`, already holds the sum of the pseudo-header, and everything
/// from `start` on is covered. At UDP's offset it is never 0; TCP and ICMP send the 0 that they get.
///
/// `segments` are the packet's pieces in order. The caller writes the result at `start + offset`.
pub fn complete<'a>(segments: impl IntoIterator<Item = &'a [u8]>, start: usize, offset: usize) -> u16 {
    let sum = sum_segments(segments, start, 0);
    if offset == UdpHeader::CHECKSUM_OFFSET { finish_nonzero(sum) } else { finish(sum) }
}

#[cfg(test)]
mod tests {
    use super::super::TcpHeader;
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn example_of_rfc_1071() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0)), 0xddf2);
    }

    proptest! {
        #[test]
        fn sum_agrees_with_the_plain_way_and_with_others(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            prop_assert_eq!(fold(sum(&bytes, 0)), plain(&bytes));
            prop_assert_eq!(finish(sum(&bytes, 0)), pnet_packet::util::checksum(&bytes, usize::MAX / 2));
        }

        #[test]
        fn segments_of_any_length_sum_as_one(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9), skip in 0usize..30,
        ) {
            let whole = pieces.concat();
            let from = skip.min(whole.len());
            let sum = sum_segments(pieces.iter().map(Vec::as_slice), skip, 7);
            prop_assert_eq!(fold(sum), fold(7 + u64::from(plain(&whole[from..]))));
        }

        #[test]
        fn incremental_update_is_the_full_sum(mut words: [u16; 10], at in 0usize..10, new: u16, wide: u32) {
            let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
            // A header is never all zero, so its sum never is either.
            words[(at + 3) % 10] |= 1;
            let field = finish(sum(&bytes(&words), 0));
            let mut changed = words;
            changed[at] = new;
            prop_assert_eq!(update16(field, words[at], new), finish(sum(&bytes(&changed), 0)));
            let at = at / 2 * 2;
            let mut changed = words;
            let old = u32::from(words[at]) << 16 | u32::from(words[at + 1]);
            (changed[at], changed[at + 1]) = ((wide >> 16) as u16, wide as u16);
            prop_assume!(changed != [0; 10]);
            prop_assert_eq!(update32(field, old, wide), finish(sum(&bytes(&changed), 0)));
        }

        #[test]
        fn completes_what_a_sender_left(
            source: u32, destination: u32, payload in prop::collection::vec(any::<u8>(), 0..40), cut in 0usize..60,
        ) {
            let (source, destination) = (Ipv4Addr::from_bits(source), Ipv4Addr::from_bits(destination));
            let mut packet = Vec::new();
            etherparse::PacketBuilder::ipv4(source.octets(), destination.octets(), 9)
                .udp(1000, 2000).write(&mut packet, &payload).unwrap();
            let right = packet[26..28].to_vec();
            let partial = fold(pseudo4_of(source, destination, 17, 8 + payload.len() as u16));
            packet[26..28].copy_from_slice(&partial.to_be_bytes());
            let (a, b) = packet.split_at(cut.min(packet.len()));
            prop_assert_eq!(complete([a, b], 20, 6).to_be_bytes().to_vec(), right);
        }

        #[test]
        fn pseudo_header_of_ip6(
            source: [u8; 16], destination: [u8; 16], payload in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut packet = Vec::new();
            etherparse::PacketBuilder::ipv6(source, destination, 9).udp(1, 2).write(&mut packet, &payload).unwrap();
            let start = pseudo6(&source.into(), &destination.into(), 17, 8 + payload.len() as u32);
            prop_assert_eq!(fold(sum(&packet[40..], start)), 0xffff);
        }
    }

    #[test]
    fn udp_alone_never_sends_zero() {
        // RFC 768; RFC 9293 section 3.1 knows no such exception.
        let segment = [0xff; 20];
        assert_eq!(complete([&segment[..]], 0, UdpHeader::CHECKSUM_OFFSET), 0xffff);
        assert_eq!(complete([&segment[..]], 0, TcpHeader::CHECKSUM_OFFSET), 0);
    }
}
