//! The change that L3DSR makes to packets on their way to a server, and that a server's agent takes back.

use vnet::wire::Change;
use vnet::wire::ip4::{Ip4Header, protocol};

/// Gives an IPv4 packet another destination (in host order) and a DSCP, with every checksum that covers them. ECN stays as it is (RFC
/// 3168). `unfinished`: the transport checksum is still only that of the pseudo-header. `false`, and nothing changes: there is no
/// header.
#[inline(always)]
pub(crate) fn readdress(packet: &mut [u8], to: u32, dscp: u8, unfinished: bool) -> bool {
    let Ok((header, rest)) = Ip4Header::mut_from_prefix(packet) else { return false };
    let class = dscp << 2 | header.tos & 3;
    let readdressed = Change::NONE.four(header.destination.to_bytes(), to.to_be_bytes());
    let changed = readdressed.two([header.version_ihl, header.tos], [header.version_ihl, class]);
    header.tos = class;
    header.destination.set(to);
    header.checksum = changed.of_field(header.checksum.to_bytes()).into();
    let udp = match header.protocol {
        // Of a datagram in pieces only the first has a transport header; in the others there is data.
        _ if !header.first_fragment() => return true,
        protocol::TCP => false,
        protocol::UDP => true,
        _ => return true,
    };
    let options = header.header_len().saturating_sub(Ip4Header::LEN);
    let field = rest.get_mut(options + if udp { 6 } else { 16 }..).and_then(|rest| rest.first_chunk_mut::<2>());
    let Some(field) = field else { return true };
    *field = match udp {
        _ if unfinished => readdressed.of_sum(*field),
        true => readdressed.of_udp_field(*field),
        false => readdressed.of_field(*field),
    };
    true
}
