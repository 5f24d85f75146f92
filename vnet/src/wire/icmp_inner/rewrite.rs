//! Other addresses and ports for an ICMP error and the packet that it quotes, with every checksum that covers them.

use super::Inner;
use crate::wire::checksum::{finish, finish_nonzero};
use crate::wire::flow::FlowKey4;
use crate::wire::flow6::FlowKey6;
use crate::wire::icmp4::Icmp4Header;
use crate::wire::ip4::{Ip4Header, protocol};
use crate::wire::ip6::Ip6Header;
use crate::wire::{Short, TcpHeader, UdpHeader};

/// Addresses to be written into an IP header, in network order; `None`: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends<Address> {
    /// The sender.
    pub source: Option<Address>,
    /// The receiver.
    pub destination: Option<Address>,
}

/// What is to be changed in an ICMP error. Checksums are amended, not computed anew (RFC 1624), so that a quote that ends
/// early will do, and a checksum that was wrong stays wrong. Half a checksum at a quote's end is left as it is.
///
/// Changed with the addresses and ports of the quoted packet: its IPv4 header's checksum; the checksum of its TCP, UDP,
/// or echo, if the quote has it (UDP without one stays without); that of the error itself. With the error's own
/// addresses: its IPv4 header's checksum, or ICMPv6's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite<Address> {
    /// The error's own addresses.
    pub outer: Ends<Address>,
    /// The quoted packet's addresses.
    pub inner: Ends<Address>,
    /// The quoted packet's source port; of an echo, its identifier. Not changed where the quote has no ports.
    pub sport: Option<u16>,
    /// The quoted packet's destination port; of an echo, its identifier.
    pub dport: Option<u16>,
}

/// For an ICMP error.
pub type Rewrite4 = Rewrite<[u8; 4]>;
/// For an ICMPv6 error.
pub type Rewrite6 = Rewrite<[u8; 16]>;

/// What a protocol's checksum needs to know.
struct Upper {
    protocol: u8,
    /// Where the field stands after the header's start.
    field: usize,
    /// It covers the addresses, too.
    pseudo: bool,
    echo: bool,
}

impl Rewrite<[u8; 4]> {
    /// Changes the error that begins with its IPv4 header and of which `inner` was read.
    ///
    /// # Errors
    /// [`Short`], and nothing changes, if this is not the packet that `inner` was read of.
    pub fn apply(&self, packet: &mut [u8], inner: &Inner<FlowKey4>) -> Result<(), Short> {
        let packet = message(packet, inner, Ip4Header::LEN)?;
        let amended = write_ends(packet, 12, &self.outer);
        amend(packet, 10, amended);
        let addresses = write_ends(packet, inner.at + 12, &self.inner);
        // The sum of a header with its checksum is always the same: what was added to one part is taken off another.
        let mut changed = addresses + amend(packet, inner.at + 10, addresses);
        changed += self.write_ports(packet, inner.upper, inner.ports, inner.key.proto, addresses);
        amend(packet, inner.icmp + 2, changed);
        Ok(())
    }
}

impl Rewrite<[u8; 16]> {
    /// Changes the error that begins with its IPv6 header and of which `inner` was read.
    ///
    /// # Errors
    /// [`Short`], and nothing changes, if this is not the packet that `inner` was read of.
    pub fn apply(&self, packet: &mut [u8], inner: &Inner<FlowKey6>) -> Result<(), Short> {
        let packet = message(packet, inner, Ip6Header::LEN)?;
        let outer = write_ends(packet, 8, &self.outer);
        let addresses = write_ends(packet, inner.at + 8, &self.inner);
        let ports = self.write_ports(packet, inner.upper, inner.ports, inner.key.proto, addresses);
        amend(packet, inner.icmp + 2, outer + addresses + ports);
        Ok(())
    }
}

impl<Address> Rewrite<Address> {
    /// Writes the ports of the quoted packet and amends its checksum; gives what that changes in the sum of the whole.
    fn write_ports(&self, packet: &mut [u8], at: usize, ports: bool, number: u8, addresses: u64) -> u64 {
        if !ports {
            // No header that could have a checksum.
            return 0;
        }
        let upper = Upper {
            protocol: number,
            field: match number {
                protocol::TCP => TcpHeader::CHECKSUM_OFFSET,
                protocol::UDP => UdpHeader::CHECKSUM_OFFSET,
                _ => 2,
            },
            pseudo: number != protocol::ICMP,
            echo: matches!(number, protocol::ICMP | protocol::ICMP6),
        };
        let mut changed = 0;
        if upper.echo {
            if let Some(id) = self.sport.or(self.dport) {
                changed += write(packet, at + 4, id);
            }
        } else {
            for (port, at) in [(self.sport, at), (self.dport, at + 2)] {
                if let Some(port) = port {
                    changed += write(packet, at, port);
                }
            }
        }
        let covered = changed + if upper.pseudo { addresses } else { 0 };
        changed + amend_upper(packet, at + upper.field, upper.protocol, covered)
    }
}

/// The error without what stands behind it in its frame, which no checksum covers.
fn message<'p, Key>(packet: &'p mut [u8], inner: &Inner<Key>, header: usize) -> Result<&'p mut [u8], Short> {
    let end = inner.end.min(packet.len());
    let packet = packet.get_mut(..end).ok_or(Short)?;
    let need = if inner.ports { inner.upper + 4 } else { inner.upper };
    let fits = packet.len() >= need.max(inner.at + header) && inner.icmp >= header;
    if fits && inner.at >= inner.icmp + Icmp4Header::LEN { Ok(packet) } else { Err(Short) }
}

/// Writes the addresses, the first of which stands at `at`; gives the change of the sum.
fn write_ends<const N: usize>(packet: &mut [u8], at: usize, ends: &Ends<[u8; N]>) -> u64 {
    let mut changed = 0;
    for (address, at) in [(&ends.source, at), (&ends.destination, at + N)] {
        let Some(address) = address else { continue };
        for (number, word) in address.as_chunks::<2>().0.iter().enumerate() {
            changed += write(packet, at + number * 2, u16::from_be_bytes(*word));
        }
    }
    changed
}

/// Writes a word; gives what that changes in the sum over the bytes (RFC 1624 section 3: `~m + m'`).
fn write(packet: &mut [u8], at: usize, new: u16) -> u64 {
    let Some(bytes) = packet.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) else { return 0 };
    let old = u16::from_be_bytes(*bytes);
    *bytes = new.to_be_bytes();
    if old == new { 0 } else { u64::from(!old) + u64::from(new) }
}

fn field(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?))
}

/// Amends the checksum at `at` by the change of what it covers; gives what that changes in the sum of what covers it.
fn amend(packet: &mut [u8], at: usize, changed: u64) -> u64 {
    match field(packet, at) {
        Some(old) if changed != 0 => write(packet, at, finish(u64::from(!old) + changed)),
        _ => 0,
    }
}

/// The same for the checksum of a quoted packet, which may be beyond the end of the quote, or not there at all.
fn amend_upper(packet: &mut [u8], at: usize, number: u8, changed: u64) -> u64 {
    match field(packet, at) {
        Some(0) if number == protocol::UDP => 0,
        Some(old) if number == protocol::UDP && changed != 0 => {
            write(packet, at, finish_nonzero(u64::from(!old) + changed))
        }
        _ => amend(packet, at, changed),
    }
}
