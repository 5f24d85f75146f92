//! The memory of a table.

use vnet::mem::{HugeArray, LentArray};

use super::bucket::{Bucket, beside};
use super::{FlowHash, FlowTableError, check};

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) bucket: usize,
    pub(super) way: usize,
}

/// Memory for a table of a power of two of buckets, made away from packet threads: all its pages are there.
pub struct FlowMemory(HugeArray<Bucket>);

impl FlowMemory {
    /// Empty buckets. Takes a second for a gigabyte.
    ///
    /// # Errors
    /// If `buckets` is not a power of two or out of range, or there is not so much memory.
    pub fn new(buckets: u32) -> Result<Self, FlowTableError> {
        check(buckets, 1)?;
        let memory = || FlowTableError::Memory(buckets);
        // The kernel maps more than it has; who then writes to it is killed.
        if available().is_some_and(|bytes| bytes < u64::from(buckets) * size_of::<Bucket>() as u64) {
            return Err(memory());
        }
        let mut array = HugeArray::new(buckets as usize).map_err(|_| memory())?;
        // Zero as they are already, but a page is only there once it was written to.
        array.fill(Bucket::EMPTY);
        Ok(Self(array))
    }

    /// The number of buckets.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The buckets that may have a flow: its own, and the one beside, which has it if its own was full.
    #[inline]
    pub(super) fn places(&self, hash: FlowHash) -> [usize; 2] {
        let (own, mask) = (hash.bucket as usize, self.len() - 1);
        [own & mask, beside(own) & mask]
    }

    /// Where a flow has an entry.
    pub(super) fn spot(&self, hash: FlowHash) -> Option<Spot> {
        self.first(hash, |bucket| bucket.find(hash.identity))
    }

    /// A flow's entry: its bucket, and where in it.
    pub(super) fn entry(&self, hash: FlowHash) -> Option<(&Bucket, usize)> {
        let Spot { bucket, way } = self.spot(hash)?;
        Some((self.wrapped(bucket), way))
    }

    /// The same, to change.
    pub(super) fn entry_mut(&mut self, hash: FlowHash) -> Option<(&mut Bucket, usize)> {
        let Spot { bucket, way } = self.spot(hash)?;
        Some((self.wrapped_mut(bucket), way))
    }

    /// The first of the buckets that may have a flow in which an entry is `wanted`.
    pub(super) fn first(&self, hash: FlowHash, wanted: impl Fn(&Bucket) -> Option<usize>) -> Option<Spot> {
        let each = |bucket| Some(Spot { bucket, way: wanted(self.wrapped(bucket))? });
        self.places(hash).into_iter().find_map(each)
    }

    /// The number of buckets, as a power of two.
    #[inline(always)]
    pub(super) fn bits(&self) -> u32 {
        self.0.len().trailing_zeros()
    }

    /// The bucket that the lowest bits of `index` pick.
    #[inline(always)]
    pub(super) fn wrapped(&self, index: usize) -> &Bucket {
        self.0.wrapped(index)
    }

    /// The same, to change.
    #[inline(always)]
    pub(super) fn wrapped_mut(&mut self, index: usize) -> &mut Bucket {
        self.0.wrapped_mut(index)
    }

    #[inline(always)]
    pub(super) fn lent(&mut self) -> LentArray<'_, Bucket> {
        self.0.lent()
    }
}

/// The bytes that the kernel could give without swapping, if it says so (proc(5), `MemAvailable`).
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kilobytes * 1024)
}
