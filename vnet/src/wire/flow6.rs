//! What tells one IPv6 flow from another.

use super::icmp6::{ECHO_REPLY, ECHO_REQUEST};
use super::ip4::protocol;
use super::ip6::Ip6Header;
use super::ip6_ext::{self, ChainError};

/// Addresses, ports and protocol of an IPv6 packet; the ports are those behind all extension headers.
///
/// They are those of TCP and UDP; both are the identifier for an ICMPv6 echo, so that an echo is a flow too; both are 0 for
/// everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct FlowKey6 {
    /// The sender.
    pub src: [u8; 16],
    /// The receiver.
    pub dst: [u8; 16],
    /// Port of the sender, host order.
    pub sport: u16,
    /// Port of the receiver, host order.
    pub dport: u16,
    /// What is behind the extension headers: see [`protocol`].
    pub proto: u8,
}

/// Why a packet has no flow key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flow6Error {
    /// The packet ends before its ports.
    #[error("header truncated")]
    Short,
    /// A fragment, first or later: only the first has ports, and all must go one way.
    #[error("fragment")]
    Fragment,
    /// The extension headers cannot be gone through.
    #[error("{0}")]
    Chain(#[from] ChainError),
}

impl FlowKey6 {
    /// Reads the key of the packet whose IPv6 header begins `packet`.
    ///
    /// # Errors
    /// See [`Flow6Error`].
    #[inline]
    pub fn read(packet: &[u8]) -> Result<Self, Flow6Error> {
        let (ip, _) = Ip6Header::ref_from_prefix(packet).map_err(|_| Flow6Error::Short)?;
        let upper = ip6_ext::walk(packet)?;
        // A fragment header around a whole packet is none (RFC 6946).
        if upper.piece.is_some_and(|piece| !piece.is_atomic()) {
            return Err(Flow6Error::Fragment);
        }
        let ports = match upper.protocol {
            protocol::TCP | protocol::UDP => word(packet, upper.offset)?,
            protocol::ICMP6 => icmp(packet, upper.offset)?,
            _ => 0,
        };
        let (sport, dport) = ((ports >> 16) as u16, ports as u16);
        Ok(Self { src: ip.source, dst: ip.destination, sport, dport, proto: upper.protocol })
    }

    /// The key in five words, for hashing and comparing: addresses, then protocol and ports.
    #[inline(always)]
    pub fn words(&self) -> [u64; 5] {
        let half = |bytes: &[u8; 16], at: usize| bytes[at..].first_chunk().map_or(0, |half| u64::from_be_bytes(*half));
        let ports = u64::from(self.proto) << 32 | u64::from(self.sport) << 16 | u64::from(self.dport);
        [half(&self.src, 0), half(&self.src, 8), half(&self.dst, 0), half(&self.dst, 8), ports]
    }

    /// The key of packets the other way.
    #[inline(always)]
    pub fn reverse(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, proto: self.proto }
    }
}

#[inline(always)]
fn word(packet: &[u8], at: usize) -> Result<u32, Flow6Error> {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(Flow6Error::Short)?;
    Ok(u32::from_be_bytes(*bytes))
}

fn icmp(packet: &[u8], at: usize) -> Result<u32, Flow6Error> {
    let kind = (word(packet, at)? >> 24) as u8;
    if kind != ECHO_REQUEST && kind != ECHO_REPLY {
        return Ok(0);
    }
    let id = word(packet, at + 4)? >> 16;
    Ok(id << 16 | id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    const SOURCE: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    const DESTINATION: [u8; 16] = [0x20, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    fn key(sport: u16, dport: u16, proto: u8) -> FlowKey6 {
        FlowKey6 { src: SOURCE, dst: DESTINATION, sport, dport, proto }
    }

    /// The same packet with `count` headers of destination options in front of what it carries.
    fn with_options(packet: &[u8], count: usize) -> Vec<u8> {
        let mut all = packet[..40].to_vec();
        for number in 0..count {
            let next = if number + 1 == count { packet[6] } else { ip6_ext::DESTINATION };
            all.extend([next, 0, 1, 4, 0, 0, 0, 0]);
        }
        if count > 0 {
            all[6] = ip6_ext::DESTINATION;
        }
        all.extend(&packet[40..]);
        all
    }

    proptest! {
        #[test]
        fn reads_ports_wherever_they_are(sport: u16, dport: u16, id: u16, count in 0usize..=8) {
            let (mut tcp, mut udp, mut echo) = (Vec::new(), Vec::new(), Vec::new());
            let builder = || PacketBuilder::ipv6(SOURCE, DESTINATION, 9);
            builder().tcp(sport, dport, 1, 2).write(&mut tcp, &[]).unwrap();
            builder().udp(sport, dport).write(&mut udp, &[]).unwrap();
            builder().icmpv6_echo_request(id, 3).write(&mut echo, &[]).unwrap();
            for (packet, key) in [(tcp, key(sport, dport, 6)), (udp, key(sport, dport, 17)), (echo, key(id, id, 58))] {
                let packet = with_options(&packet, count);
                prop_assert_eq!(FlowKey6::read(&packet), Ok(key));
                prop_assert_eq!(key.reverse().reverse(), key);
                prop_assert_eq!(FlowKey6::read(&packet[..40 + count * 8 + 3]), Err(Flow6Error::Short));
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = FlowKey6::read(&bytes);
        }

        #[test]
        fn words_tell_keys_apart(
            a: ([u8; 16], [u8; 16], u16, u16, u8), b: ([u8; 16], [u8; 16], u16, u16, u8),
        ) {
            let key = |k: ([u8; 16], [u8; 16], u16, u16, u8)| {
                FlowKey6 { src: k.0, dst: k.1, sport: k.2, dport: k.3, proto: k.4 }
            };
            prop_assert_eq!(key(a).words() == key(b).words(), a == b);
        }
    }

    #[test]
    fn fragments_have_no_key_and_whole_packets_with_a_fragment_header_do() {
        let mut udp = Vec::new();
        PacketBuilder::ipv6(SOURCE, DESTINATION, 9).udp(7, 8).write(&mut udp, &[]).unwrap();
        let piece = |offset_more: u8| {
            [&udp[..6], &[ip6_ext::FRAGMENT, 9], &udp[8..40], &[17, 0, 0, offset_more, 0, 0, 0, 1], &udp[40..]].concat()
        };
        assert_eq!(FlowKey6::read(&piece(0)), Ok(key(7, 8, 17)));
        assert_eq!(FlowKey6::read(&piece(1)), Err(Flow6Error::Fragment));
        assert_eq!(FlowKey6::read(&piece(8)), Err(Flow6Error::Fragment));
        let looping = [&udp[..6], &[60, 9], &udp[8..40], &[60, 0, 0, 0, 0, 0, 0, 0].repeat(20)].concat();
        assert_eq!(FlowKey6::read(&looping), Err(Flow6Error::Chain(ChainError::TooMany)));
    }
}
