//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{self, EthernetHeader, Mac};

/// Operation: who has this address?
pub const REQUEST: u16 = 1;
/// Operation: I have.
pub const REPLY: u16 = 2;
/// Hardware type of Ethernet.
pub const ETHERNET: u16 = 1;

/// An ARP message about IPv4 over Ethernet: 28 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ArpHeader {
    /// Hardware type: [`ETHERNET`].
    pub hardware: U16,
    /// Protocol type: [`ethernet::IP4`].
    pub protocol: U16,
    /// Bytes of a hardware address: 6.
    pub hardware_len: u8,
    /// Bytes of a protocol address: 4.
    pub protocol_len: u8,
    /// [`REQUEST`], [`REPLY`], or what we do not answer.
    pub operation: U16,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Protocol address of the sender, host order by `.get()`.
    pub sender: U32,
    /// Hardware address of the target; 0 in requests.
    pub target_mac: Mac,
    /// Protocol address of the target, host order by `.get()`.
    pub target: U32,
}
header!(ArpHeader);

impl ArpHeader {
    /// A message.
    pub fn new(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Self {
        Self {
            hardware: U16::new(ETHERNET),
            protocol: U16::new(ethernet::IP4),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(operation),
            sender_mac: sender.0,
            sender: U32::new(sender.1.to_bits()),
            target_mac: target.0,
            target: U32::new(target.1.to_bits()),
        }
    }

    /// Whether the message is about IPv4 over Ethernet; only then the four addresses mean anything.
    #[inline(always)]
    pub fn is_ip4_over_ethernet(&self) -> bool {
        self.hardware.get() == ETHERNET
            && self.protocol.get() == ethernet::IP4
            && self.hardware_len == 6
            && self.protocol_len == 4
    }

    /// The sender's IPv4 address.
    #[inline(always)]
    pub fn sender_address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.sender.get())
    }

    /// The target's IPv4 address.
    #[inline(always)]
    pub fn target_address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.target.get())
    }

    /// Whether the sender announces itself (RFC 5227 section 3): it asks for, or answers about, its own address.
    #[inline(always)]
    pub fn is_gratuitous(&self) -> bool {
        self.sender.get() == self.target.get()
    }

    /// Turns a request for our address into our reply, in place.
    #[inline]
    pub fn into_reply(&mut self, mac: Mac) {
        let (asker, address) = (self.sender_mac, self.sender);
        self.operation.set(REPLY);
        (self.sender_mac, self.sender) = (mac, self.target);
        (self.target_mac, self.target) = (asker, address);
    }
}

/// Bytes of a frame made here: no padding, the device adds it.
pub const FRAME_LEN: usize = EthernetHeader::LEN + ArpHeader::LEN;

/// The frame that asks everybody who has `target`.
pub fn request(mac: Mac, source: Ipv4Addr, target: Ipv4Addr) -> [u8; FRAME_LEN] {
    frame(Mac::BROADCAST, mac, ArpHeader::new(REQUEST, (mac, source), (Mac::ZERO, target)))
}

/// The frame that tells `asker` that `address` is at `mac`.
pub fn reply(mac: Mac, address: Ipv4Addr, asker: (Mac, Ipv4Addr)) -> [u8; FRAME_LEN] {
    frame(asker.0, mac, ArpHeader::new(REPLY, (mac, address), asker))
}

/// The frame that tells everybody that `address` is at `mac`, as an announcement (RFC 5227 section 3).
pub fn announcement(mac: Mac, address: Ipv4Addr) -> [u8; FRAME_LEN] {
    request(mac, address, address)
}

fn frame(destination: Mac, source: Mac, arp: ArpHeader) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    let (link, message) = frame.split_at_mut(EthernetHeader::LEN);
    link.copy_from_slice(EthernetHeader::new(destination, source, ethernet::ARP).as_bytes());
    message.copy_from_slice(arp.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn request_and_reply_agree_with_etherparse(ours: [u8; 6], theirs: [u8; 6], us: u32, them: u32) {
            let (us, them) = (Ipv4Addr::from_bits(us), Ipv4Addr::from_bits(them));
            let asked = request(ours.into(), us, them);
            let judged = etherparse::SlicedPacket::from_ethernet(&asked).unwrap();
            let Some(etherparse::NetSlice::Arp(arp)) = judged.net else { panic!("not ARP") };
            prop_assert_eq!(arp.operation().0, REQUEST);
            prop_assert_eq!((arp.sender_hw_addr(), arp.sender_protocol_addr()), (&ours[..], &us.octets()[..]));
            prop_assert_eq!((arp.target_hw_addr(), arp.target_protocol_addr()), (&[0; 6][..], &them.octets()[..]));
            // The other side answers: built from nothing, and made in place, must be the same.
            let answer = reply(theirs.into(), them, (ours.into(), us));
            let mut asked = asked;
            let (header, _) = ArpHeader::mut_from_prefix(&mut asked[EthernetHeader::LEN..]).unwrap();
            prop_assert!(header.is_ip4_over_ethernet());
            header.into_reply(theirs.into());
            prop_assert_eq!(&asked[EthernetHeader::LEN..], &answer[EthernetHeader::LEN..]);
            let answer = ArpHeader::ref_from_prefix(&answer[EthernetHeader::LEN..]).unwrap().0;
            prop_assert_eq!((answer.sender_address(), answer.target_address()), (them, us));
        }
    }

    #[test]
    fn an_announcement_is_gratuitous() {
        let frame = announcement(Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1));
        let (header, _) = ArpHeader::ref_from_prefix(&frame[14..]).unwrap();
        assert!(header.is_gratuitous());
        assert_eq!(frame[..6], [0xff; 6]);
    }
}
