//! An array in chunks that versions share.

use std::sync::Arc;

/// An array in chunks of `N` (a power of two). A clone shares all chunks; a write copies the chunk it is in if, and
/// only if, a clone still has it.
#[derive(Debug)]
pub(crate) struct Chunked<T, const N: usize>(Vec<Arc<[T; N]>>);

impl<T, const N: usize> Clone for Chunked<T, N> {
    fn clone(&self) -> Self {
        Chunked(self.0.clone())
    }
}

impl<T, const N: usize> Default for Chunked<T, N> {
    fn default() -> Self {
        const { assert!(N.is_power_of_two()) };
        Chunked(Vec::new())
    }
}

impl<T: Clone, const N: usize> Chunked<T, N> {
    /// The value at `index`, if there is such a chunk.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        // The remainder is below N by construction: only the chunk is checked for.
        self.0.get(index / N).map(|chunk| &chunk[index % N])
    }

    /// The value at `index`, or `other` where there is no such chunk. Without the detour over an `Option`, which costs a
    /// comparison more.
    #[inline(always)]
    pub(crate) fn get_or<'a>(&'a self, index: usize, other: &'a T) -> &'a T {
        match self.0.get(index / N) {
            Some(chunk) => &chunk[index % N],
            None => other,
        }
    }

    /// The place of `index`; chunks up to it are made, full of `fill`.
    pub(crate) fn slot(&mut self, index: usize, fill: &T) -> &mut T {
        while self.0.len() <= index / N {
            self.0.push(Arc::new(std::array::from_fn(|_| fill.clone())));
        }
        &mut Arc::make_mut(&mut self.0[index / N])[index % N]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_values_and_shares_the_rest() {
        let mut now = Chunked::<u32, 4>::default();
        for i in 0..10 {
            *now.slot(i, &0) = i as u32;
        }
        let before = now.clone();
        *now.slot(5, &0) = 77;
        assert_eq!((before.get(5), now.get(5)), (Some(&5), Some(&77)));
        assert!(Arc::ptr_eq(&before.0[0], &now.0[0]) && !Arc::ptr_eq(&before.0[1], &now.0[1]));
        let place = Arc::as_ptr(&now.0[1]);
        *now.slot(6, &0) = 78;
        assert_eq!(place, Arc::as_ptr(&now.0[1]), "a chunk that nobody shares is written in place");
        assert_eq!(now.get(12), None);
    }
}
