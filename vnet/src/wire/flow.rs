//! What tells one IPv4 flow from another.

use super::icmp4::{ECHO_REPLY, ECHO_REQUEST};
use super::ip4::{Ip4Header, protocol};

/// Addresses, ports and protocol of an IPv4 packet, all in host order.
///
/// The ports are those of TCP and UDP; both are the identifier for an ICMP echo, so that an echo is a flow too; both
/// are 0 for everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct FlowKey4 {
    /// The sender.
    pub src: u32,
    /// The receiver.
    pub dst: u32,
    /// Port of the sender.
    pub sport: u16,
    /// Port of the receiver.
    pub dport: u16,
    /// See [`protocol`].
    pub proto: u8,
}

/// Why a packet has no flow key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// The packet ends before its ports.
    #[error("header truncated")]
    Short,
    /// A fragment, first or later: only the first has ports, and all must go one way.
    #[error("fragment")]
    Fragment,
}

impl FlowKey4 {
    /// Reads the key of the packet whose IPv4 header begins `packet`, at the header's real length.
    ///
    /// # Errors
    /// See [`FlowError`].
    #[inline(always)]
    pub fn read(packet: &[u8]) -> Result<Self, FlowError> {
        let (ip, _) = Ip4Header::ref_from_prefix(packet).map_err(|_| FlowError::Short)?;
        if ip.is_fragment() {
            return Err(FlowError::Fragment);
        }
        let ports = match ip.protocol {
            protocol::TCP | protocol::UDP => word(packet, ip.header_len())?,
            protocol::ICMP => icmp(packet, ip.header_len())?,
            _ => 0,
        };
        Ok(Self {
            src: ip.source.get(),
            dst: ip.destination.get(),
            sport: (ports >> 16) as u16,
            dport: ports as u16,
            proto: ip.protocol,
        })
    }

    /// The key in two words, for hashing and comparing: addresses, then protocol and ports.
    #[inline(always)]
    pub fn words(&self) -> [u64; 2] {
        [
            u64::from(self.src) << 32 | u64::from(self.dst),
            u64::from(self.proto) << 32 | u64::from(self.sport) << 16 | u64::from(self.dport),
        ]
    }

    /// The key of packets the other way.
    #[inline(always)]
    pub fn reverse(self) -> Self {
        Self { src: self.dst, dst: self.src, sport: self.dport, dport: self.sport, proto: self.proto }
    }
}

#[inline(always)]
fn word(packet: &[u8], at: usize) -> Result<u32, FlowError> {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(FlowError::Short)?;
    // A header length below 20 would read the header itself.
    if at < Ip4Header::LEN { Err(FlowError::Short) } else { Ok(u32::from_be_bytes(*bytes)) }
}

fn icmp(packet: &[u8], at: usize) -> Result<u32, FlowError> {
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
    use etherparse::{IpNumber, Ipv4Header, PacketBuilder};
    use proptest::prelude::*;

    const SOURCE: [u8; 4] = [10, 0, 1, 2];
    const DESTINATION: [u8; 4] = [90, 0, 0, 1];

    fn key(sport: u16, dport: u16, proto: u8) -> FlowKey4 {
        FlowKey4 { src: 0x0a00_0102, dst: 0x5a00_0001, sport, dport, proto }
    }

    /// The same packet with `words` words of options.
    fn with_options(packet: &[u8], words: usize) -> Vec<u8> {
        let (mut header, rest) = Ipv4Header::from_slice(packet).unwrap();
        header.options = etherparse::Ipv4Options::try_from(&vec![1; words * 4][..]).unwrap();
        [&header.to_bytes()[..], rest].concat()
    }

    proptest! {
        #[test]
        fn reads_ports_wherever_they_are(sport: u16, dport: u16, id: u16, words in 0usize..=10) {
            let (mut tcp, mut udp, mut echo) = (Vec::new(), Vec::new(), Vec::new());
            let builder = || PacketBuilder::ipv4(SOURCE, DESTINATION, 9);
            builder().tcp(sport, dport, 1, 2).write(&mut tcp, &[]).unwrap();
            builder().udp(sport, dport).write(&mut udp, &[]).unwrap();
            builder().icmpv4_echo_request(id, 3).write(&mut echo, &[]).unwrap();
            for (packet, key) in [(tcp, key(sport, dport, 6)), (udp, key(sport, dport, 17)), (echo, key(id, id, 1))] {
                let packet = with_options(&packet, words);
                prop_assert_eq!(FlowKey4::read(&packet), Ok(key));
                prop_assert_eq!(key.reverse().reverse(), key);
                prop_assert_eq!(FlowKey4::read(&packet[..20 + words * 4 + 3]), Err(FlowError::Short));
            }
        }

        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..80), sane: bool) {
            if sane && bytes.len() > 9 {
                (bytes[6], bytes[7], bytes[9]) = (0, 0, [1, 6, 17][usize::from(bytes[9] % 3)]);
            }
            let _ = FlowKey4::read(&bytes);
        }

        #[test]
        fn words_tell_keys_apart(a: (u32, u32, u16, u16, u8), b: (u32, u32, u16, u16, u8)) {
            let key = |k: (u32, u32, u16, u16, u8)| FlowKey4 { src: k.0, dst: k.1, sport: k.2, dport: k.3, proto: k.4 };
            prop_assert_eq!(key(a).words() == key(b).words(), a == b);
        }
    }

    #[test]
    fn fragments_have_no_key_and_other_protocols_no_ports() {
        let mut header = Ipv4Header::new(100, 9, IpNumber::UDP, SOURCE, DESTINATION).unwrap();
        let read = |header: &Ipv4Header| FlowKey4::read(&[&header.to_bytes()[..], &[0; 8]].concat());
        header.more_fragments = true;
        assert_eq!(read(&header), Err(FlowError::Fragment));
        header.more_fragments = false;
        header.fragment_offset = 3.try_into().unwrap();
        assert_eq!(read(&header), Err(FlowError::Fragment));
        header.fragment_offset = 0.try_into().unwrap();
        header.protocol = IpNumber(89);
        assert_eq!(read(&header), Ok(key(0, 0, 89)));
        header.protocol = IpNumber::ICMP;
        let error = [&header.to_bytes()[..], &[3, 1, 0, 0, 9, 9, 9, 9]].concat();
        assert_eq!(FlowKey4::read(&error), Ok(key(0, 0, 1)), "an ICMP error has no identifier");
        let mut lying = error;
        lying[0] = 0x41;
        assert_eq!(FlowKey4::read(&lying), Err(FlowError::Short), "ports inside the header");
    }
}
