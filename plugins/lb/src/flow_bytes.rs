//! A flow's key as its bytes stand in a packet: for the flow table's hash, which is taken of every packet.
//!
//! Of an IPv4 header 16 bytes on end are all that counts, and two fields that do not, which a mask clears:
//!
//! | bytes | |
//! |---|---|
//! | 0 | time to live |
//! | 1 | protocol |
//! | 2, 3 | checksum |
//! | 4 to 7, 8 to 11 | source and destination |
//! | 12, 13 and 14, 15 | source and destination port |
//!
//! Of IPv6's the addresses are 16 bytes each, and protocol and ports stand in a third block: in bytes 1 and 4 to 7. So bytes
//! 0, 2 and 3 are free in either: there the VIP stands, by which the same flow of two VIPs is two.

use std::net::IpAddr;

use vnet::simd::Block;

use crate::slot_hash::KeyMask;

/// See the head of this module.
pub trait FlowBytes: Copy + Send + 'static {
    /// What of the last block counts, and of an address that is not the source.
    fn mask(mask: KeyMask) -> Block;
    /// The protocol in bits 8 to 15, and in the uppermost 16 the two bytes of the destination port as they stand, where others are
    /// 0: to be compared.
    fn service(self) -> u64;
    /// Protocol and destination port.
    #[inline]
    fn protocol_and_port(self) -> (u8, u16) {
        let service = self.service();
        ((service >> 8) as u8, ((service >> 48) as u16).swap_bytes())
    }
    /// No flow.
    const NONE: Self;
    /// Whether the destination is this one, if there is one. Of IPv6; IPv4's is looked at where it matters, in
    /// [`Outer::change_from`](crate::outer::Outer::change_from).
    fn may_be_to(self, receiver: impl FnOnce() -> Option<IpAddr>) -> bool;
    /// Whether the destination is that of another flow, likewise.
    fn same_destination(self, other: Self) -> bool;
    /// Of one block, what the destination is of it where it does not fit the last one: by a keyed permutation of blocks.
    fn destination(self, mask: Block, permute: impl FnOnce(Block) -> Block) -> Block;
    /// All else of that block: the last one, and with it the source where it does not fit, by another permutation.
    fn block(self, mask: Block, permute: impl FnOnce(Block) -> Block) -> Block;
}

/// Where [`FlowBytes::service`] has the protocol, and the port.
const PROTOCOL: u64 = 0xff00;
const PORT: u64 = 0xffff << 48;

/// Of a VIP (an index below 2^24): what the last block is changed by.
#[inline(always)]
pub(crate) fn of_vip(vip: u32) -> Block {
    Block::from_words([u64::from(vip & 0xff | (vip & 0xff_ff00) << 8), 0])
}

/// A flow of IPv4.
#[derive(Clone, Copy, Debug)]
pub struct Bytes4(Block);

impl Bytes4 {
    /// From bytes 8 to 23 of a packet without options.
    #[inline(always)]
    pub fn of_packet(bytes: [u8; 16]) -> Bytes4 {
        Bytes4(Block::from_bytes(bytes))
    }

    /// From the words of a key.
    #[inline(always)]
    pub(crate) fn of_words([addresses, ports]: [u64; 2]) -> Bytes4 {
        let protocol = ports >> 32 << 48;
        let block = u128::from(protocol) << 64 | u128::from(addresses) << 32 | u128::from(ports as u32);
        Bytes4(Block::from_bytes(block.to_be_bytes()))
    }
}

impl FlowBytes for Bytes4 {
    #[inline(always)]
    fn mask(mask: KeyMask) -> Block {
        const MASKS: [Block; 3] = [
            Block::from_bytes([0; 16]),
            Block::from_bytes([0, 255, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            Block::from_bytes([0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        MASKS[mask as usize]
    }

    #[inline(always)]
    fn service(self) -> u64 {
        let [first, second] = self.0.to_words();
        first & PROTOCOL | second & PORT
    }

    const NONE: Self = Bytes4(Block::from_bytes([0; 16]));

    #[inline(always)]
    fn may_be_to(self, _: impl FnOnce() -> Option<IpAddr>) -> bool {
        true
    }

    #[inline(always)]
    fn same_destination(self, _: Self) -> bool {
        true
    }

    #[inline(always)]
    fn destination(self, _: Block, _: impl FnOnce(Block) -> Block) -> Block {
        Block::from_bytes([0; 16])
    }

    #[inline(always)]
    fn block(self, mask: Block, _: impl FnOnce(Block) -> Block) -> Block {
        self.0.and(mask)
    }
}

/// A flow of IPv6.
#[derive(Clone, Copy, Debug)]
pub struct Bytes6 {
    source: Block,
    destination: Block,
    /// The first half of the last block.
    rest: u64,
}

impl Bytes6 {
    /// From a packet's addresses and next header, and the four bytes of its ports.
    #[inline(always)]
    pub fn of_packet(source: [u8; 16], destination: [u8; 16], protocol: u8, ports: [u8; 4]) -> Bytes6 {
        let rest = u64::from(u32::from_le_bytes(ports)) << 32 | u64::from(protocol) << 8;
        Bytes6 { source: Block::from_bytes(source), destination: Block::from_bytes(destination), rest }
    }

    /// From the words of a key.
    #[inline(always)]
    pub(crate) fn of_words([s0, s1, d0, d1, ports]: [u64; 5]) -> Bytes6 {
        let address = |high, low| (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        Self::of_packet(address(s0, s1), address(d0, d1), (ports >> 32) as u8, (ports as u32).to_be_bytes())
    }
}

impl FlowBytes for Bytes6 {
    #[inline(always)]
    fn mask(mask: KeyMask) -> Block {
        Block::from_bytes(if mask == KeyMask::Flow { [255; 16] } else { [0; 16] })
    }

    #[inline(always)]
    fn service(self) -> u64 {
        self.rest & (PROTOCOL | PORT)
    }

    const NONE: Self = {
        let none = Block::from_bytes([0; 16]);
        Bytes6 { source: none, destination: none, rest: 0 }
    };

    fn may_be_to(self, receiver: impl FnOnce() -> Option<IpAddr>) -> bool {
        receiver().is_none_or(|receiver| receiver == IpAddr::from(self.destination.to_bytes()))
    }

    #[inline(always)]
    fn same_destination(self, other: Self) -> bool {
        self.destination == other.destination
    }

    #[inline(always)]
    fn destination(self, mask: Block, permute: impl FnOnce(Block) -> Block) -> Block {
        permute(self.destination.and(mask))
    }

    #[inline(always)]
    fn block(self, mask: Block, permute: impl FnOnce(Block) -> Block) -> Block {
        Block::from_words([self.rest, 0]).and(mask).xor(permute(self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_as_in_a_packet() {
        let packet = [64, 17, 0xab, 0xcd, 10, 0, 0, 1, 90, 0, 0, 2, 0x12, 0x34, 0, 53];
        let words = [0x0a00_0001_5a00_0002, 17 << 32 | 0x1234_0035];
        let (read, made) = (Bytes4::of_packet(packet), Bytes4::of_words(words));
        for mask in [KeyMask::None, KeyMask::Flow, KeyMask::Source] {
            let block = |bytes: Bytes4| bytes.block(Bytes4::mask(mask), |block| block);
            assert_eq!(block(read), block(made));
            // Of the words the same counts.
            assert_eq!(block(Bytes4::of_words(mask.apply(words))), block(made));
            // Where a VIP stands nothing else does.
            let vip = of_vip(0xff_ffff);
            assert_eq!(block(read).and(vip), of_vip(0));
        }
        assert_eq!((read.service(), read.protocol_and_port()), (made.service(), (17, 53)));
        assert_ne!(of_vip(0x12_3456), of_vip(0x12_3457));
    }

    #[test]
    fn a_key_of_ip6_stands_as_in_a_packet() {
        let (source, destination) = (std::array::from_fn(|at| at as u8), std::array::from_fn(|at| 100 + at as u8));
        let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
        let read = Bytes6::of_packet(source, destination, 6, [0x12, 0x34, 0, 80]);
        let words = [
            word(&source[..8]),
            word(&source[8..]),
            word(&destination[..8]),
            word(&destination[8..]),
            6 << 32 | 0x1234_0050,
        ];
        let made = Bytes6::of_words(words);
        let (all, alone) = (Bytes6::mask(KeyMask::Flow), Bytes6::mask(KeyMask::Source));
        // Each part alone: the other one is nothing.
        let (kept, gone) = (|block: Block| block, |_: Block| of_vip(0));
        for mask in [all, alone] {
            assert_eq!(read.destination(mask, kept), made.destination(mask, kept));
            assert_eq!(read.block(mask, kept), made.block(mask, kept));
            assert_eq!(read.block(mask, gone).and(of_vip(0xff_ffff)), of_vip(0));
        }
        assert_eq!(read.block(all, gone).to_bytes()[..8], [0, 6, 0, 0, 0x12, 0x34, 0, 80]);
        assert_eq!(read.destination(all, kept).to_bytes(), destination);
        assert_eq!((read.block(alone, gone), read.destination(alone, kept)), (of_vip(0), of_vip(0)));
        assert_eq!(read.block(alone, kept).to_bytes(), source);
        assert_eq!((read.service(), read.protocol_and_port()), (made.service(), (6, 80)));
    }
}
