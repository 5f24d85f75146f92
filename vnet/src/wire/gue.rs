//! GUE, generic UDP encapsulation (draft-ietf-intarea-gue-09): what stands between UDP and the packet inside.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The UDP port that GUE is received at (IANA "Service Name and Transport Protocol Port Number Registry").
pub const PORT: u16 = 6080;

/// The part of variant 0's header that is always there: 4 bytes (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct GueHeader {
    /// Variant (2 bits), whether it is a control message (1 bit), words of 4 bytes that follow this header (5 bits).
    pub first: u8,
    /// What is inside: a protocol number, or the kind of control message.
    pub protocol: u8,
    /// Which optional fields follow. None is known here.
    pub flags: U16,
}
header!(GueHeader);

impl GueHeader {
    /// Variant 0 around a packet of this protocol, without optional fields.
    #[inline]
    pub fn new(protocol: u8) -> Self {
        Self { first: 0, protocol, flags: U16::new(0) }
    }

    /// The bytes that follow this header and belong to it.
    #[inline]
    fn more_len(&self) -> usize {
        usize::from(self.first & 0x1f) * 4
    }
}

/// A received header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gue {
    /// What is inside: a protocol number, as of [`ip4::protocol`](super::ip4::protocol).
    pub protocol: u8,
    /// Bytes up to what is inside: 0 in variant 1, else 4 to 128.
    pub header_len: usize,
}

/// Why a message is not one that carries a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GueError {
    /// Not all there.
    #[error("GUE header truncated")]
    Short,
    /// Neither 0 nor 1, or variant 1 with something else than IPv4 or IPv6 (section 4.1).
    #[error("unknown GUE variant")]
    Variant,
    /// A control message (section 3.2.2), which here nobody understands.
    #[error("GUE control message")]
    Control,
    /// Optional fields that here nobody knows: what follows cannot be understood without them (section 3.1).
    #[error("unknown GUE flags")]
    Flags,
}

/// Reads the message that follows a UDP header. Private data behind the header (section 3.4) is skipped.
///
/// # Errors
/// See [`GueError`].
#[inline]
pub fn parse(message: &[u8]) -> Result<Gue, GueError> {
    use super::ip4::protocol;
    let first = *message.first().ok_or(GueError::Short)?;
    // Variant 1 is no header at all: the two bits are the first of the inner packet's version.
    match first >> 4 {
        4 => return Ok(Gue { protocol: protocol::IP_IN_IP, header_len: 0 }),
        6 => return Ok(Gue { protocol: protocol::IPV6, header_len: 0 }),
        0..=3 => {}
        _ => return Err(GueError::Variant),
    }
    let (header, rest) = GueHeader::ref_from_prefix(message).map_err(|_| GueError::Short)?;
    if rest.len() < header.more_len() {
        return Err(GueError::Short);
    }
    if header.first & 0x20 != 0 {
        return Err(GueError::Control);
    }
    if header.flags.get() != 0 {
        return Err(GueError::Flags);
    }
    Ok(Gue { protocol: header.protocol, header_len: GueHeader::LEN + header.more_len() })
}

/// The source port of a flow: in the range that is nobody's (RFC 6335 section 6), so that routers spread flows (section 5.11).
#[inline(always)]
pub fn source_port(flow_hash: u32) -> u16 {
    0xc000 | (flow_hash ^ flow_hash >> 14) as u16 & 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_we_emit_is_read() {
        let mut bytes = [0xff; 4];
        GueHeader::new(41).emit(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 41, 0, 0]);
        assert_eq!(parse(&bytes), Ok(Gue { protocol: 41, header_len: 4 }));
    }

    #[test]
    fn variants() {
        assert_eq!(parse(&[0x45]), Ok(Gue { protocol: 4, header_len: 0 }));
        assert_eq!(parse(&[0x6f]), Ok(Gue { protocol: 41, header_len: 0 }));
        for first in [0x50, 0x70, 0x80, 0xc0, 0xff] {
            assert_eq!(parse(&[first; 200]), Err(GueError::Variant), "{first:x}");
        }
        assert_eq!(parse(&[]), Err(GueError::Short));
    }

    #[test]
    fn ports_are_of_the_dynamic_range() {
        assert_eq!((source_port(0), source_port(0x3fff)), (49152, 65535));
    }

    proptest! {
        #[test]
        fn reads_every_header_of_variant_0(
            words in 0u8..32, protocol: u8, control: bool, flags in prop_oneof![Just(0u16), any::<u16>()], cut in 0usize..128,
        ) {
            let mut bytes = vec![u8::from(control) << 5 | words, protocol];
            bytes.extend(flags.to_be_bytes());
            bytes.extend(std::iter::repeat_n(0xa5, usize::from(words) * 4));
            let expected = match (control, flags) {
                (true, _) => Err(GueError::Control),
                (false, 0) => Ok(Gue { protocol, header_len: bytes.len() }),
                _ => Err(GueError::Flags),
            };
            prop_assert_eq!(parse(&bytes), expected);
            if cut < bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]), Err(GueError::Short));
            }
        }

        #[test]
        fn never_panics_and_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
            if let Ok(gue) = parse(&bytes) {
                prop_assert!(gue.header_len <= bytes.len());
            }
        }
    }
}
