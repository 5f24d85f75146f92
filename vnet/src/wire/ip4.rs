//! IPv4 headers (RFC 791): the view, and the check that every received packet passes once.

use std::net::Ipv4Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{self, add64, finish, fold};

/// Protocol numbers (IANA "Assigned Internet Protocol Numbers"), for IPv4 and IPv6.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IPv4 inside IP.
    pub const IP_IN_IP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 inside IP.
    pub const IPV6: u8 = 41;
    /// GRE.
    pub const GRE: u8 = 47;
    /// ICMP for IPv6.
    pub const ICMP6: u8 = 58;
}

/// Bit of [`Ip4Header::flags_offset`]: must not be fragmented.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Bit of [`Ip4Header::flags_offset`]: not the last fragment.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Bits of [`Ip4Header::flags_offset`] that hold the offset, in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// An IPv4 header without its options: 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ip4Header {
    /// Version (4 bits) and header length in 4-byte words (4 bits).
    pub version_ihl: u8,
    /// DSCP (6 bits) and ECN (2 bits).
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: U16,
    /// Tells the fragments of one packet from those of another.
    pub id: U16,
    /// [`DONT_FRAGMENT`], [`MORE_FRAGMENTS`], and the fragment's offset.
    pub flags_offset: U16,
    /// Hops left.
    pub ttl: u8,
    /// What the payload is: see [`protocol`].
    pub protocol: u8,
    /// Checksum of the header.
    pub checksum: U16,
    /// The sender, host order by `.get()`.
    pub source: U32,
    /// The receiver, host order by `.get()`.
    pub destination: U32,
}
header!(Ip4Header);

impl Ip4Header {
    /// A header without options, complete with its checksum. The total length is cut off at 65535.
    #[inline]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload_len: usize, ttl: u8) -> Self {
        let mut header = Self {
            version_ihl: 0x45,
            tos: 0,
            total_len: U16::new(payload_len.saturating_add(Self::LEN).min(usize::from(u16::MAX)) as u16),
            id: U16::new(0),
            flags_offset: U16::new(0),
            ttl,
            protocol,
            checksum: U16::new(0),
            source: U32::new(source.to_bits()),
            destination: U32::new(destination.to_bits()),
        };
        header.set_checksum();
        header
    }

    /// The version; anything but 4 is an error.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Bytes of header with options: 0 to 60, at least 20 once [`check`] has passed.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0xf) * 4
    }

    /// The sender.
    #[inline(always)]
    pub fn source_address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.source.get())
    }

    /// The receiver.
    #[inline(always)]
    pub fn destination_address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.destination.get())
    }

    /// The differentiated services code point (RFC 2474).
    #[inline(always)]
    pub fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    /// The congestion notification field (RFC 3168).
    #[inline(always)]
    pub fn ecn(&self) -> u8 {
        self.tos & 3
    }

    /// Whether the packet is a fragment: any of them, the first and the last included.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.flags_offset.get() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Whether the payload begins with its own header: the packet is whole, or the first of its fragments.
    #[inline(always)]
    pub fn first_fragment(&self) -> bool {
        self.flags_offset.get() & OFFSET_MASK == 0
    }

    /// Where the fragment's payload belongs in the whole packet's, in bytes.
    #[inline(always)]
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.flags_offset.get() & OFFSET_MASK) * 8
    }

    /// Whether fragments follow this one.
    #[inline(always)]
    pub fn more_fragments(&self) -> bool {
        self.flags_offset.get() & MORE_FRAGMENTS != 0
    }

    /// Whether the sender forbids fragmentation.
    #[inline(always)]
    pub fn dont_fragment(&self) -> bool {
        self.flags_offset.get() & DONT_FRAGMENT != 0
    }

    /// The header that these bytes are.
    #[inline(always)]
    pub fn of_bytes_mut(bytes: &mut [u8; Self::LEN]) -> &mut Self {
        zerocopy::transmute_mut!(bytes)
    }

    /// Takes one hop off and amends the checksum (RFC 1624): for a TTL of at least 1.
    #[inline(always)]
    pub fn decrement_ttl(&mut self) {
        self.ttl = self.ttl.wrapping_sub(1);
        // The TTL is the upper half of its word, so one less there is 0x100 more in the checksum: 1 with its bytes swapped,
        // since a sum with carries that go round is the same in any order of bytes (RFC 1071 section 2). A sum of 0xffff,
        // which no header but an empty one has, becomes 0.
        let field = u16::from_le_bytes(self.checksum.to_bytes());
        let short = u16::from(field < 0xfffe);
        self.checksum = field.wrapping_add(2).wrapping_sub(short).to_le_bytes().into();
    }

    /// Computes the checksum of a header without options. [`write_checksum`] takes them into account.
    #[inline]
    pub fn set_checksum(&mut self) {
        self.checksum.set(0);
        self.checksum.set(finish(checksum::sum(self.as_bytes(), 0)));
    }

    /// Changes the total length and amends the checksum.
    #[inline(always)]
    pub fn update_total_len(&mut self, total_len: u16) {
        self.checksum.set(checksum::update16(self.checksum.get(), self.total_len.get(), total_len));
        self.total_len.set(total_len);
    }

    /// Changes the receiver (host order) and amends the checksum; the transport checksum is the caller's.
    #[inline(always)]
    pub fn update_destination(&mut self, destination: u32) {
        self.checksum.set(checksum::update32(self.checksum.get(), self.destination.get(), destination));
        self.destination.set(destination);
    }

    /// The sum of the pseudo-header for `len` bytes of transport header and payload.
    #[inline(always)]
    pub fn pseudo_sum(&self, len: u16) -> u64 {
        checksum::pseudo4(self.source.get(), self.destination.get(), self.protocol, len)
    }
}

/// What [`check`] found, so that nobody reads it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip4Facts {
    /// Bytes of header, options included: 20 to 60.
    pub header_len: usize,
    /// Bytes of header and payload; what the frame has beyond is padding.
    pub total_len: usize,
    /// The sender, host order.
    pub source: u32,
    /// The receiver, host order.
    pub destination: u32,
    /// Hops left. Not judged here: a packet for this host may come with any (RFC 1812 section 4.2.2.9).
    pub ttl: u8,
    /// See [`protocol`].
    pub protocol: u8,
}

/// What is wrong with an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ip4Error {
    /// Fewer bytes than the header has, in the frame or in its first buffer.
    #[error("header truncated")]
    TooShort,
    /// Not version 4.
    #[error("bad version")]
    BadVersion,
    /// Below 20 bytes.
    #[error("bad header length")]
    BadHeaderLength,
    /// Below the header's length, or beyond the frame.
    #[error("bad total length")]
    BadTotalLength,
    /// RFC 1122 section 3.2.1.2: such a packet is silently dropped.
    #[error("bad checksum")]
    BadChecksum,
    /// An option that runs out of the header.
    #[error("bad options")]
    BadOptions,
}

/// Checks a received header (RFC 1812 section 5.2.2). `packet` begins with the header and holds at least all of it;
/// `frame_len` is the number of bytes of the whole chain from there on.
///
/// # Errors
/// The first thing wrong, in the order of [`Ip4Error`] (options last).
#[inline(always)]
pub fn check(packet: &[u8], frame_len: usize) -> Result<Ip4Facts, Ip4Error> {
    let Some(bytes) = packet.first_chunk::<{ Ip4Header::LEN }>() else {
        return Err(Ip4Error::TooShort);
    };
    let (header, _) = Ip4Header::ref_from_prefix(bytes).map_err(|_| Ip4Error::TooShort)?;
    let total_len = usize::from(header.total_len.get());
    // Frames without padding are the rule.
    let whole = total_len == frame_len || (Ip4Header::LEN..frame_len).contains(&total_len);
    let sound = header.version_ihl == 0x45 && whole && sums_up(bytes);
    if !sound {
        // Broken, or with options.
        judge(packet, frame_len)?;
    }
    Ok(Ip4Facts {
        header_len: header.header_len(),
        total_len,
        source: header.source.get(),
        destination: header.destination.get(),
        ttl: header.ttl,
        protocol: header.protocol,
    })
}

/// The header of a packet of the most common kind: sound, without options, and as long as the frame. `None`: [`check`]
/// tells.
#[inline(always)]
pub fn common(packet: &[u8], frame_len: usize) -> Option<&Ip4Header> {
    let bytes = packet.first_chunk::<{ Ip4Header::LEN }>()?;
    let (header, _) = Ip4Header::ref_from_prefix(bytes).ok()?;
    let sound = header.version_ihl == 0x45 && usize::from(header.total_len.get()) == frame_len && sums_up(bytes);
    sound.then_some(header)
}

/// Whether the checksum of a header without options is right, of one that is not all zeroes. Its sum in ones' complement must be 0xffff, which is to
/// say that the plain sum is a multiple of 65535 and not 0; in which byte order it is taken does not matter.
#[inline(always)]
fn sums_up(bytes: &[u8; 20]) -> bool {
    /// 65535 times this is 1 modulo 2^64.
    const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
    const { assert!(INVERSE.wrapping_mul(65535) == 1) }
    let ([a, b], rest) = bytes.as_chunks::<8>() else { return false };
    let last = rest.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
    // 2^64 is 1 modulo 65535, so carries go round.
    let sum = add64(add64(u64::from_ne_bytes(*a), u64::from_ne_bytes(*b)), last.into());
    // Multiplied by the inverse, the multiples of 65535 are the quotients, and everything else is larger (Granlund and
    // Montgomery, "Division by Invariant Integers using Multiplication", section 9).
    sum.wrapping_mul(INVERSE) <= u64::MAX / 65535
}

#[cold]
fn judge(packet: &[u8], frame_len: usize) -> Result<(), Ip4Error> {
    let (header, _) = Ip4Header::ref_from_prefix(packet).map_err(|_| Ip4Error::TooShort)?;
    let (header_len, total_len) = (header.header_len(), usize::from(header.total_len.get()));
    if header.version() != 4 {
        return Err(Ip4Error::BadVersion);
    }
    if header_len < Ip4Header::LEN {
        return Err(Ip4Error::BadHeaderLength);
    }
    let whole = packet.get(..header_len).ok_or(Ip4Error::TooShort)?;
    if total_len < header_len || total_len > frame_len {
        return Err(Ip4Error::BadTotalLength);
    }
    if fold(checksum::sum(whole, 0)) != 0xffff {
        return Err(Ip4Error::BadChecksum);
    }
    options(&whole[Ip4Header::LEN..]).try_for_each(|option| option.map(drop).ok_or(Ip4Error::BadOptions))
}

/// Option that ends the list.
const END_OF_OPTIONS: u8 = 0;
/// Option that fills a byte.
const NO_OPERATION: u8 = 1;

/// The options of a header (RFC 791 section 3.1), each with its type byte first; ends at the end of the list. An
/// option that runs out of the header gives one `None`.
pub fn options(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let len = match *bytes.first()? {
            END_OF_OPTIONS => return None,
            NO_OPERATION => 1,
            _ => bytes.get(1).map_or(0, |len| usize::from(*len)),
        };
        // Only the two options above are shorter than type and length.
        let fits = len >= 2 || bytes[0] == NO_OPERATION;
        let split = fits.then(|| bytes.split_at_checked(len)).flatten();
        bytes = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(option, _)| option))
    })
}

/// Computes the checksum of the header at the start of `packet`, with its options.
///
/// # Errors
/// [`Short`](super::Short) if the header is not all there, or claims fewer than 20 bytes.
pub fn write_checksum(packet: &mut [u8]) -> Result<(), super::Short> {
    let len = Ip4Header::ref_from_prefix(packet)?.0.header_len();
    let whole = packet.get_mut(..len).filter(|whole| whole.len() >= Ip4Header::LEN).ok_or(super::Short)?;
    whole[10..12].fill(0);
    let field = finish(checksum::sum(whole, 0));
    whole[10..12].copy_from_slice(&field.to_be_bytes());
    Ok(())
}

#[cfg(test)]
#[path = "tests/ip4.rs"]
mod tests;
