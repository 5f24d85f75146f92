//! The keyed hash of flows.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::marker::PhantomData;

use aes::Aes256;
use aes::cipher::{BlockEncrypt, KeyInit};
use vnet::simd::{AesRounds, Block};

use crate::flow_bytes::{FlowBytes, of_vip};
use crate::handle::ServerHandle;
use crate::slot_hash::KeyMask;

/// The keys of the hash: drawn at random when a process starts, so that nobody outside can choose flows that fall
/// together. Whoever carries a flow table from one process to another carries these with it.
///
/// The hash is made of rounds of AES with secret keys, of which processors do one in an instruction. A flow of IPv4 with its VIP is
/// one block, and goes through four rounds: with these every difference between two blocks is spread over at least 25 S-boxes (Daemen
/// and Rijmen, The Design of Rijndael, section 9.5), so that none of a block's differences is much likelier than another to
/// be gone from what is used of the result, 96 bits. IPv6's addresses go through three rounds each (at least 9 S-boxes) before they are
/// summed up with the rest.
#[derive(Clone, Copy)]
pub struct HashKeys {
    words: [u64; 4],
    rounds: AesRounds,
    /// Of the last block, before its rounds.
    first: Block,
    last: [Block; 4],
    /// Of a source and of a destination.
    addresses: [Block; 2],
    address: [Block; 3],
}

/// One of two keyed permutations of blocks.
#[derive(Clone, Copy, Debug)]
enum Permutation {
    /// For sources.
    Source,
    /// For destinations.
    Destination,
}

/// The hash of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash {
    /// What the flow is recognised by; never 0.
    pub identity: u64,
    /// Picks the bucket, by as many of the lowest bits as are needed.
    pub bucket: u32,
}

impl FlowHash {
    /// That of the part of a flow that one server has: where a client has several connections by the same addresses and ports, which
    /// name their servers. It is told apart as well as the flow is, whose bits are random already.
    #[must_use]
    pub fn with(self, server: ServerHandle) -> FlowHash {
        let mixed = (u64::from(server.bits()) << 1 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        FlowHash { identity: (self.identity ^ mixed).max(1), bucket: self.bucket ^ (mixed >> 32) as u32 }
    }
}

impl HashKeys {
    /// Keys from the randomness of the standard library's hash tables, which comes from the kernel.
    pub fn random() -> Self {
        Self::from_words(std::array::from_fn(|n| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_usize(n);
            hasher.finish()
        }))
    }

    /// These keys.
    pub fn from_words(words: [u64; 4]) -> Self {
        let mut key = [0; 32];
        key.as_chunks_mut().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
        let (cipher, mut count) = (Aes256::new(&key.into()), 0u128);
        let mut next = || {
            count += 1;
            let mut block = count.to_le_bytes().into();
            cipher.encrypt_block(&mut block);
            Block::from_bytes(block.into())
        };
        let (first, last, addresses, address) =
            (next(), [(); 4].map(|()| next()), [(); 2].map(|()| next()), [(); 3].map(|()| next()));
        Self { words, rounds: AesRounds::new(), first, last, addresses, address }
    }

    /// The keys, for handing them on.
    pub fn words(&self) -> [u64; 4] {
        self.words
    }

    /// The keys of a VIP (an index below 2^24) with this mask.
    #[inline(always)]
    pub(super) fn of<B: FlowBytes>(&self, mask: KeyMask, vip: u32) -> VipKeys<B> {
        // The usual one is a constant, for which no packet has to wait.
        let mask = if mask == KeyMask::Flow { B::mask(KeyMask::Flow) } else { unusual::<B>(mask) };
        VipKeys { mask, first: self.first.xor(of_vip(vip)), _bytes: PhantomData }
    }

    /// The same for its flows that have the destination of this one.
    #[inline(always)]
    pub(super) fn towards<B: FlowBytes>(&self, vip: VipKeys<B>, bytes: B) -> RunKeys<B> {
        let destination = bytes.destination(vip.mask, |address| self.permute(Permutation::Destination, address));
        RunKeys(VipKeys { first: vip.first.xor(destination), ..vip })
    }

    /// The hash of a flow that has the destination that the keys are for.
    #[inline(always)]
    pub(super) fn hash<B: FlowBytes>(&self, RunKeys(keys): &RunKeys<B>, bytes: B) -> FlowHash {
        let block = bytes.block(keys.mask, |block| self.permute(Permutation::Source, block)).xor(keys.first);
        let [identity, bucket] = self.rounds.apply(block, &self.last).to_words();
        FlowHash { identity: identity.max(1), bucket: bucket as u32 }
    }

    #[inline(always)]
    fn permute(&self, which: Permutation, address: Block) -> Block {
        self.rounds.apply(address.xor(self.addresses[which as usize]), &self.address)
    }
}

#[cold]
#[inline(never)]
fn unusual<B: FlowBytes>(mask: KeyMask) -> Block {
    B::mask(mask)
}

/// How the flows of one VIP are hashed.
#[derive(Clone, Copy, Debug)]
pub struct VipKeys<B> {
    mask: Block,
    first: Block,
    _bytes: PhantomData<B>,
}

/// How those of them are that have one destination.
#[derive(Clone, Copy, Debug)]
pub struct RunKeys<B>(VipKeys<B>);

impl<B> VipKeys<B> {
    /// Where there is no VIP.
    pub const NONE: Self = {
        let none = Block::from_bytes([0; 16]);
        Self { mask: none, first: none, _bytes: PhantomData }
    };
}

impl<B> RunKeys<B> {
    /// Where there is no VIP.
    pub const NONE: Self = RunKeys(VipKeys::NONE);
}
