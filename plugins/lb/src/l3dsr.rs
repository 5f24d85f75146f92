//! The change that L3DSR makes to packets on their way to a server, and that a server's agent takes back.

use vnet::wire::checksum::{update16, update32};
use vnet::wire::ip4::{Ip4Header, protocol};

/// Gives an IPv4 packet another destination (in host order) and a DSCP, with every checksum that covers them. ECN stays as it is (RFC
/// 3168). `unfinished`: the transport checksum is still only that of the pseudo-header. `false`, and nothing changes: there is no
/// header.
#[inline(always)]
pub(crate) fn readdress(packet: &mut [u8], to: u32, dscp: u8, unfinished: bool) -> bool {
    let Ok((header, rest)) = Ip4Header::mut_from_prefix(packet) else { return false };
    let old = header.destination.get();
    // Version, header length and type of service are one word of the sum.
    let word = |class| u16::from_be_bytes([header.version_ihl, class]);
    let class = dscp << 2 | header.tos & 3;
    let sum = update16(update32(header.checksum.get(), old, to), word(header.tos), word(class));
    header.tos = class;
    header.destination.set(to);
    header.checksum.set(sum);
    let at = match header.protocol {
        // Of a datagram in pieces only the first has a transport header; in the others there is data.
        _ if !header.first_fragment() => return true,
        protocol::TCP => 16,
        protocol::UDP => 6,
        _ => return true,
    };
    let options = header.header_len().saturating_sub(Ip4Header::LEN);
    let Some(field) = rest.get_mut(options + at..).and_then(|rest| rest.first_chunk_mut::<2>()) else { return true };
    let had = u16::from_be_bytes(*field);
    let has = match at {
        _ if unfinished => !update32(!had, old, to),
        // RFC 768: a checksum of 0 is none, and one that comes to 0 is sent as all ones.
        6 if had == 0 => return true,
        6 => match update32(had, old, to) {
            0 => 0xffff,
            sum => sum,
        },
        _ => update32(had, old, to),
    };
    *field = has.to_be_bytes();
    true
}
