//! ICMP for IPv4 (RFC 792): echo, and the errors that a router sends.

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Short;
use super::checksum::{self, finish, fold};
use super::ip4::{Ip4Header, protocol};

/// Type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: source quench (deprecated by RFC 6633).
pub const SOURCE_QUENCH: u8 = 4;
/// Type: redirect.
pub const REDIRECT: u8 = 5;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Code of [`UNREACHABLE`]: no route to the network.
pub const NET: u8 = 0;
/// Code of [`UNREACHABLE`]: the host does not answer.
pub const HOST: u8 = 1;
/// Code of [`UNREACHABLE`]: nothing here speaks the protocol.
pub const PROTOCOL: u8 = 2;
/// Code of [`UNREACHABLE`]: nothing here listens on the port.
pub const PORT: u8 = 3;
/// Code of [`UNREACHABLE`]: too long, and may not be fragmented.
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// Code of [`UNREACHABLE`]: forbidden by an administrator (RFC 1812 section 5.2.7.1).
pub const PROHIBITED: u8 = 13;
/// Code of [`TIME_EXCEEDED`]: pieces are missing; 0 speaks of hops.
pub const REASSEMBLY: u8 = 1;

/// The first 8 bytes of an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmp4Header {
    /// The type.
    pub kind: u8,
    /// The code, within the type.
    pub code: u8,
    /// Checksum of the whole message.
    pub checksum: U16,
    /// First half of what depends on the type: the identifier of an echo.
    pub id: U16,
    /// Second half: the sequence number of an echo, the MTU where fragmentation is needed (RFC 1191 section 4).
    pub sequence: U16,
}
header!(Icmp4Header);

impl Icmp4Header {
    /// A header; its checksum is that of a message without more bytes.
    #[inline]
    pub fn new(kind: u8, code: u8, id: u16, sequence: u16) -> Self {
        let mut header = Self { kind, code, checksum: U16::new(0), id: U16::new(id), sequence: U16::new(sequence) };
        header.checksum.set(finish(checksum::sum(header.as_bytes(), 0)));
        header
    }

    /// Whether the message asks for an echo.
    #[inline(always)]
    pub fn is_echo_request(&self) -> bool {
        self.kind == ECHO_REQUEST && self.code == 0
    }

    /// Turns a request into the reply and amends the checksum; the rest of the message stays.
    #[inline]
    pub fn into_reply(&mut self) {
        let word = |kind: u8, code: u8| u16::from_be_bytes([kind, code]);
        self.checksum.set(checksum::update16(self.checksum.get(), word(self.kind, self.code), word(ECHO_REPLY, 0)));
        (self.kind, self.code) = (ECHO_REPLY, 0);
    }
}

/// An echo request or reply, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Request or reply.
    pub request: bool,
    /// Says whose echo it is.
    pub id: u16,
    /// Counts the echoes.
    pub sequence: u16,
}

impl Echo {
    /// Writes the whole packet, IPv4 header first, into `out`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Short`] if `out` is too short, or the packet would be longer than 65535 bytes.
    pub fn emit(
        self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        ttl: u8,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Short> {
        let kind = if self.request { ECHO_REQUEST } else { ECHO_REPLY };
        let header = Icmp4Header::new(kind, 0, self.id, self.sequence);
        packet(
            Ip4Header::new(source, destination, protocol::ICMP, Icmp4Header::LEN + payload.len(), ttl),
            header,
            payload,
            out,
        )
    }
}

/// An error that a router reports to a packet's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The packet has used up its hops.
    TimeExceeded,
    /// Pieces of the packet were missing when their time was up.
    ReassemblyTimeExceeded,
    /// The packet cannot get there: a code such as [`HOST`].
    Unreachable(u8),
    /// The packet may not be fragmented and is longer than `mtu` bytes (RFC 1191).
    FragmentationNeeded {
        /// What would fit.
        mtu: u16,
    },
}

impl Problem {
    /// The header of the message.
    pub fn header(self) -> Icmp4Header {
        match self {
            Self::TimeExceeded => Icmp4Header::new(TIME_EXCEEDED, 0, 0, 0),
            Self::ReassemblyTimeExceeded => Icmp4Header::new(TIME_EXCEEDED, REASSEMBLY, 0, 0),
            Self::Unreachable(code) => Icmp4Header::new(UNREACHABLE, code, 0, 0),
            Self::FragmentationNeeded { mtu } => Icmp4Header::new(UNREACHABLE, FRAGMENTATION_NEEDED, 0, mtu),
        }
    }

    /// Writes the whole packet, IPv4 header first, into `out`; returns its length in bytes. `original` is the packet
    /// it is about, as it came; as much of it is quoted as RFC 1812 section 4.3.2.3 asks for: the message ends at 576
    /// bytes. Ask [`may_report`] first.
    ///
    /// # Errors
    /// [`Short`] if `out` has fewer than 576 bytes and the message needs them.
    pub fn emit(
        self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        ttl: u8,
        original: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Short> {
        let quote = &original[..original.len().min(MAX_QUOTE)];
        let mut ip = Ip4Header::new(source, destination, protocol::ICMP, Icmp4Header::LEN + quote.len(), ttl);
        // RFC 1812 section 4.3.2.5: precedence of internetwork control.
        ip.tos = 0xc0;
        ip.set_checksum();
        packet(ip, self.header(), quote, out)
    }
}

/// Bytes of a packet that an error message quotes at most.
pub const MAX_QUOTE: usize = 576 - Ip4Header::LEN - Icmp4Header::LEN;

fn packet(ip: Ip4Header, mut icmp: Icmp4Header, payload: &[u8], out: &mut [u8]) -> Result<usize, Short> {
    let total = Ip4Header::LEN + Icmp4Header::LEN + payload.len();
    if total > usize::from(u16::MAX) {
        return Err(Short);
    }
    icmp.checksum.set(0);
    icmp.checksum.set(finish(checksum::sum(payload, checksum::sum(icmp.as_bytes(), 0))));
    let rest = icmp.emit(ip.emit(out)?)?;
    rest.get_mut(..payload.len()).ok_or(Short)?.copy_from_slice(payload);
    Ok(total)
}

/// Whether an error about this packet may be sent at all (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7): not about
/// an ICMP error, a fragment other than the first, or a packet to or from anything but one host. Broadcast on the link
/// and of subnets is for the caller to know.
pub fn may_report(packet: &[u8]) -> bool {
    let Ok((ip, _)) = Ip4Header::ref_from_prefix(packet) else {
        return false;
    };
    // RFC 1122 section 3.2.1.3: this network, loopback, multicast and beyond.
    let one_host = |address: Ipv4Addr| address.octets()[0] != 0 && !address.is_loopback() && address.octets()[0] < 224;
    if !ip.first_fragment() || !one_host(ip.source_address()) || ip.destination_address().octets()[0] >= 224 {
        return false;
    }
    if ip.protocol != protocol::ICMP {
        return true;
    }
    // Without its type one cannot know that it is no error.
    packet.get(ip.header_len()).is_some_and(|kind| !is_error(*kind))
}

/// Whether messages of this type report an error.
#[inline]
pub fn is_error(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether the checksum of a whole message, from its type byte on, is right.
#[inline]
pub fn checksum_ok(message: &[u8]) -> bool {
    fold(checksum::sum(message, 0)) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Icmpv4Slice, Icmpv4Type, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
    const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);

    fn judge(packet: &[u8]) -> Icmpv4Slice<'_> {
        assert!(super::super::ip4::check(packet, packet.len()).is_ok());
        assert!(checksum_ok(&packet[20..]));
        match SlicedPacket::from_ip(packet).unwrap().transport {
            Some(TransportSlice::Icmpv4(icmp)) => icmp,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn echo_agrees_with_etherparse(id: u16, sequence: u16, payload in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut out = [0; 200];
            let len = Echo { request: true, id, sequence }.emit(US, THEM, 64, &payload, &mut out).unwrap();
            let theirs = judge(&out[..len]);
            let echo = etherparse::IcmpEchoHeader { id, seq: sequence };
            prop_assert_eq!(theirs.icmp_type(), Icmpv4Type::EchoRequest(echo));
            prop_assert_eq!(theirs.payload(), &payload[..]);
            let expected = theirs.icmp_type().calc_checksum(&payload);
            prop_assert_eq!(theirs.checksum(), expected);
            // The reply made in place is the reply made from nothing.
            let mut reply = [0; 200];
            Echo { request: false, id, sequence }.emit(US, THEM, 64, &payload, &mut reply).unwrap();
            Icmp4Header::mut_from_prefix(&mut out[20..]).unwrap().0.into_reply();
            prop_assert_eq!(&out[..len], &reply[..len]);
        }

        #[test]
        fn errors_agree_with_etherparse(
            original in prop::collection::vec(any::<u8>(), 20..700), mtu: u16, code in 0u8..4,
        ) {
            for problem in [
                Problem::TimeExceeded, Problem::ReassemblyTimeExceeded, Problem::Unreachable(code),
                Problem::FragmentationNeeded { mtu },
            ] {
                let mut out = [0; 576];
                let len = problem.emit(US, THEM, 255, &original, &mut out).unwrap();
                prop_assert_eq!(len, (original.len() + 28).min(576));
                let theirs = judge(&out[..len]);
                let name = format!("{:?}", theirs.icmp_type());
                match problem {
                    Problem::TimeExceeded => prop_assert!(name.contains("TtlExceeded"), "{}", name),
                    Problem::ReassemblyTimeExceeded => prop_assert!(name.contains("FragmentReassembly"), "{}", name),
                    Problem::Unreachable(_) => prop_assert!(name.contains("Unreachable"), "{}", name),
                    Problem::FragmentationNeeded { mtu } =>
                        prop_assert!(name.contains(&format!("next_hop_mtu: {mtu}")), "{}", name),
                }
                prop_assert!(original.starts_with(theirs.payload()));
                prop_assert!(!may_report(&out[..len]));
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = may_report(&bytes);
            let mut out = [0; 40];
            let _ = Problem::TimeExceeded.emit(US, THEM, 1, &bytes, &mut out);
        }
    }

    #[test]
    fn reports_only_what_it_may() {
        let about = |source: [u8; 4], destination: [u8; 4], number: u8, field: u16| {
            let mut ip = Ip4Header::new(source.into(), destination.into(), number, 8, 1);
            ip.flags_offset.set(field);
            may_report(ip.as_bytes())
        };
        let (us, them) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        assert!(about(us, them, protocol::UDP, 0));
        assert!(about(us, them, protocol::UDP, 0x2000), "the first fragment");
        assert!(!about(us, them, protocol::UDP, 0x2001), "a later fragment");
        assert!(!about([0; 4], them, protocol::UDP, 0));
        assert!(!about([127, 0, 0, 1], them, protocol::UDP, 0));
        assert!(!about([224, 0, 0, 1], them, protocol::UDP, 0));
        assert!(!about(us, [239, 1, 1, 1], protocol::UDP, 0));
        assert!(!about(us, [255; 4], protocol::UDP, 0));
        assert!(!about(us, them, protocol::ICMP, 0), "no type byte");
        let mut out = [0; 64];
        let len = Echo { request: true, id: 1, sequence: 1 }.emit(US, THEM, 1, b"", &mut out).unwrap();
        assert!(may_report(&out[..len]));
    }
}
