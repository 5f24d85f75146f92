//! A large fixed array on huge pages, for tables that are hit at random.

use super::mapping::{Mapping, PageKind};
use std::ops::{Deref, DerefMut};

/// `len` zeroed values of `T` on 2 MB pages where there are any.
///
/// Invariant: `start` points to `last + 1` initialised values of `T` inside `mapping`, which nobody else can reach.
pub struct HugeArray<T> {
    start: std::ptr::NonNull<T>,
    last: usize,
    mapping: Mapping,
}

// SAFETY: the array owns its memory alone, like a `Vec<T>`.
unsafe impl<T: Send> Send for HugeArray<T> {}
// SAFETY: shared access only reads, like a `Vec<T>`.
unsafe impl<T: Sync> Sync for HugeArray<T> {}

impl<T: zerocopy::FromZeros> HugeArray<T> {
    /// Maps the array.
    ///
    /// # Errors
    /// When the kernel has no memory left for the mapping, or `len` is 0.
    pub fn new(len: usize) -> std::io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>()) }
        if len == 0 {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let bytes = len.checked_mul(size_of::<T>()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let mut mapping = Mapping::new(bytes)?;
        // The mapping is aligned to a page, zeroed, and `T` may be all zeroes.
        let start = std::ptr::NonNull::new(mapping.as_mut_ptr().cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(HugeArray { start, last: len - 1, mapping })
    }

    /// The pages under the array.
    pub fn pages(&self) -> PageKind {
        self.mapping.kind
    }
}

impl<T> HugeArray<T> {
    /// The value at `index & (len - 1)`: where the length is a power of two, that is `index` modulo the length.
    #[inline(always)]
    pub fn wrapped(&self, index: usize) -> &T {
        // SAFETY: the index is at most `last`; the rest is the type's invariant.
        unsafe { self.start.add(index & self.last).as_ref() }
    }

    /// The same, to change.
    #[inline(always)]
    pub fn wrapped_mut(&mut self, index: usize) -> &mut T {
        // SAFETY: as for `wrapped`, and `&mut self` is exclusive.
        unsafe { self.start.add(index & self.last).as_mut() }
    }

    /// The array for a loop that also writes elsewhere: where it is need not be read again after each write.
    #[inline(always)]
    pub fn lent(&mut self) -> LentArray<'_, T> {
        LentArray { start: self.start, last: self.last, _array: std::marker::PhantomData }
    }
}

/// A [`HugeArray`] for the time of a loop.
///
/// Invariant: `start` points to `last + 1` values of `T` that are borrowed exclusively for `'a`.
pub struct LentArray<'a, T> {
    start: std::ptr::NonNull<T>,
    last: usize,
    _array: std::marker::PhantomData<&'a mut [T]>,
}

impl<T> LentArray<'_, T> {
    /// As [`HugeArray::wrapped_mut`].
    #[inline(always)]
    pub fn wrapped_mut(&mut self, index: usize) -> &mut T {
        // SAFETY: the index is at most `last`; the rest is the type's invariant.
        unsafe { self.start.add(index & self.last).as_mut() }
    }
}

impl<T> Deref for HugeArray<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the type's invariant.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.last + 1) }
    }
}

impl<T> DerefMut for HugeArray<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the type's invariant, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.last + 1) }
    }
}
