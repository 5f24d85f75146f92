//! A packet on its way into another worker's memory: its bytes, and in a few words what the engine and the nodes know of it.
//!
//! Buffers never change hands between workers; what is here is copied out of one and into another.

use super::meta::Span;
use super::packet::{Packet, ROOM};
use super::pool::{Buffer, Pool};
use crate::ids::IfIndex;

/// Words that describe a packet beside its bytes.
pub(crate) const CARRIED: usize = 6;

impl Packet<'_> {
    /// What describes the packet: all metadata but the chain, the trace and the reason for a drop, which mean something to
    /// one worker alone.
    pub(crate) fn carried(&self) -> [u64; CARRIED] {
        let meta = self.meta();
        let halves = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [
            quarters([self.lowest(), meta.span.start(), meta.l2, meta.l3]),
            quarters([meta.csum_start, meta.offload.bits(), meta.gso_size, meta.csum_offset]),
            halves(meta.rx.0, meta.tx.0),
            halves(meta.forward, meta.dpo),
            halves(meta.flow_hash, u32::from(meta.feature)),
            halves(meta.opaque[0], meta.opaque[1]),
        ]
    }

    /// The packet's bytes in order, those of headers in front of its present start first that are still marked.
    pub(crate) fn carried_bytes(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.marked(self.lowest())).chain(self.segments().skip(1))
    }

    /// How many they are.
    pub(crate) fn carried_len(&self) -> usize {
        self.len() + usize::from(self.meta().span.start() - self.lowest())
    }

    fn lowest(&self) -> u16 {
        let meta = self.meta();
        meta.span.start().min(meta.l2).min(meta.l3)
    }
}

impl Pool {
    /// Makes a packet of what [`Packet::carried`] gave, and of `len` bytes that `read` fills in, piece after piece; `None`
    /// where there are too few buffers.
    pub(crate) fn put(
        &mut self,
        words: &[u64; CARRIED],
        len: usize,
        mut read: impl FnMut(&mut [u8]),
    ) -> Option<Buffer> {
        let mut buffer = self.alloc()?;
        let [low, start, l2, l3] = parts(words[0]).map(|mark| mark.min(ROOM as u16));
        let [csum_start, offload, gso_size, csum_offset] = parts(words[1]);
        let here = len.min(ROOM - usize::from(low));
        let mut packet = self.packet(&mut buffer);
        packet.meta_mut().span = Span::new(low, here as u16);
        read(packet.data_mut());
        let mut left = len - here;
        while left > 0 {
            let mut piece = [0; 2048];
            let piece = &mut piece[..left.min(2048)];
            left -= piece.len();
            read(piece);
            if !self.append(&mut buffer, piece) {
                self.free(buffer);
                return None;
            }
        }
        let mut packet = self.packet(&mut buffer);
        packet.pull(usize::from(start.saturating_sub(low)));
        let meta = packet.meta_mut();
        (meta.l2, meta.l3, meta.csum_start) = (l2, l3, csum_start);
        meta.offload = super::Offload::from_bits_retain(offload);
        (meta.gso_size, meta.csum_offset) = (gso_size, csum_offset);
        (meta.rx, meta.tx) = (IfIndex(words[2] as u32), IfIndex((words[2] >> 32) as u32));
        (meta.forward, meta.dpo) = (words[3] as u32, (words[3] >> 32) as u32);
        (meta.flow_hash, meta.feature) = (words[4] as u32, (words[4] >> 32) as u16);
        meta.opaque = [words[5] as u32, (words[5] >> 32) as u32];
        Some(buffer)
    }
}

fn quarters(quarters: [u16; 4]) -> u64 {
    quarters.iter().rev().fold(0, |word, quarter| word << 16 | u64::from(*quarter))
}

fn parts(word: u64) -> [u16; 4] {
    [0, 16, 32, 48].map(|shift| (word >> shift) as u16)
}

#[cfg(test)]
mod tests {
    use super::super::{DATA_SIZE, HEADROOM, Offload};
    use super::*;
    use proptest::prelude::*;

    /// Moves a packet from one pool to another.
    fn moved(packet: &Packet<'_>, to: &mut Pool) -> Option<Buffer> {
        let bytes: Vec<u8> = packet.carried_bytes().flatten().copied().collect();
        assert_eq!(bytes.len(), packet.carried_len());
        let mut rest = &bytes[..];
        to.put(&packet.carried(), bytes.len(), |out| {
            let (now, later) = rest.split_at(out.len());
            out.copy_from_slice(now);
            rest = later;
        })
    }

    proptest! {
        #[test]
        fn a_packet_arrives_as_it_left(
            len in prop_oneof![0usize..200, 2000usize..2300, 0usize..70_000], pulled in 0usize..80, pushed in 0usize..80, seed: u32,
        ) {
            let (mut here, mut there) = (Pool::new(64).unwrap(), Pool::new(64).unwrap());
            let bytes: Vec<u8> = (0..len).map(|at| (at as u32).wrapping_mul(seed | 1) as u8).collect();
            let mut buffer = here.alloc().unwrap();
            prop_assert!(here.append(&mut buffer, &bytes));
            let mut packet = here.packet(&mut buffer);
            packet.mark_l2();
            let pulled = packet.pull(pulled);
            packet.mark_l3();
            packet.push(if pulled { pushed } else { 0 });
            let csum = pushed % 7;
            packet.set_csum_start(csum);
            let meta = packet.meta_mut();
            meta.offload = Offload::GSO_TCP6 | Offload::CHECKSUM;
            (meta.gso_size, meta.csum_offset) = (seed as u16, 6);
            (meta.rx, meta.tx, meta.forward, meta.dpo) = (IfIndex(seed), IfIndex(!seed), seed ^ 1, seed ^ 2);
            (meta.flow_hash, meta.feature, meta.opaque) = (seed ^ 3, !seed as u16, [seed ^ 4, seed ^ 5]);
            let mut arrived = moved(&packet, &mut there).unwrap();
            let copy = there.packet(&mut arrived);
            prop_assert_eq!(copy.len(), packet.len());
            prop_assert!(copy.segments().flatten().eq(packet.segments().flatten()));
            prop_assert_eq!(copy.header_offsets(), packet.header_offsets());
            prop_assert_eq!((copy.headroom(), copy.csum_start()), (packet.headroom(), Some(csum)));
            let marked = packet.l2_bytes();
            prop_assert_eq!(&copy.l2_bytes()[..marked.len()], marked);
            prop_assert_eq!(copy.carried(), packet.carried());
            there.free(arrived);
            here.free(buffer);
            prop_assert_eq!((here.in_use(), there.in_use()), (0, 0));
        }

        #[test]
        fn whatever_the_words_say_nothing_breaks(words: [u64; CARRIED], len in 0usize..9000) {
            let mut pool = Pool::new(8).unwrap();
            if let Some(buffer) = pool.put(&words, len, |out| out.fill(7)) {
                pool.free(buffer);
            }
            prop_assert_eq!(pool.in_use(), 0);
        }
    }

    #[test]
    fn a_pool_that_is_too_small_keeps_nothing() {
        let (mut here, mut there) = (Pool::new(8).unwrap(), Pool::new(2).unwrap());
        let mut buffer = here.alloc().unwrap();
        assert!(here.append(&mut buffer, &[1; 3 * DATA_SIZE + HEADROOM]));
        assert!(moved(&here.packet(&mut buffer), &mut there).is_none());
        assert_eq!(there.in_use(), 0);
        here.free(buffer);
    }
}
