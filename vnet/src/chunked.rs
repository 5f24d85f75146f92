//! An array in chunks that versions share.

use std::sync::Arc;

/// An array in chunks of `N` (a power of two). A clone shares all chunks; a write copies the chunk it is in if, and
/// only if, a clone still has it. A chunk that nobody needs is given back by pointing to one that all such share.
#[derive(Debug)]
pub struct Chunked<T, const N: usize> {
    chunks: Vec<Arc<[T; N]>>,
    /// What stands for chunks that were given back, once there was one.
    blank: Option<Arc<[T; N]>>,
}

impl<T, const N: usize> Clone for Chunked<T, N> {
    fn clone(&self) -> Self {
        Chunked { chunks: self.chunks.clone(), blank: self.blank.clone() }
    }
}

impl<T, const N: usize> Default for Chunked<T, N> {
    fn default() -> Self {
        const { assert!(N.is_power_of_two()) };
        Chunked { chunks: Vec::new(), blank: None }
    }
}

impl<T: Clone, const N: usize> Chunked<T, N> {
    /// The value at `index`, if there is such a chunk.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&T> {
        get(&self.chunks, index)
    }

    /// All values, for a loop: what is read here stays the same while the loop writes to other memory.
    #[inline(always)]
    pub fn view(&self) -> View<'_, T, N> {
        let only = if let [only] = &self.chunks[..] { &only[..] } else { &[] };
        View { only, chunks: &self.chunks }
    }

    /// The value at `index`, or `other` where there is no such chunk. Without the detour over an `Option`, which costs a
    /// comparison more.
    #[inline(always)]
    pub fn get_or<'a>(&'a self, index: usize, other: &'a T) -> &'a T {
        get_or(&self.chunks, index, other)
    }

    /// The place of `index`; chunks up to it are made, full of `fill`, which is the same at every call.
    pub fn slot(&mut self, index: usize, fill: &T) -> &mut T {
        while self.chunks.len() <= index / N {
            let chunk = self.blank.clone().unwrap_or_else(|| Arc::new(std::array::from_fn(|_| fill.clone())));
            self.chunks.push(chunk);
        }
        &mut Arc::make_mut(&mut self.chunks[index / N])[index % N]
    }

    /// Gives back the memory of the chunk that has `index`, and of pointers at the end to chunks that were given back. Its
    /// values are `fill` from now on.
    pub fn give_back(&mut self, index: usize, fill: &T) {
        let Some(chunk) = self.chunks.get_mut(index / N) else { return };
        let blank = self.blank.get_or_insert_with(|| Arc::new(std::array::from_fn(|_| fill.clone())));
        *chunk = blank.clone();
        while self.chunks.last().is_some_and(|last| Arc::ptr_eq(last, blank)) {
            self.chunks.pop();
        }
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }

    /// Chunks that take up memory of their own.
    #[cfg(test)]
    pub(crate) fn made(&self) -> usize {
        let blank = |chunk: &&Arc<[T; N]>| self.blank.as_ref().is_some_and(|blank| Arc::ptr_eq(chunk, blank));
        self.chunks.iter().filter(|chunk| !blank(chunk)).count()
    }
}

/// The values of a [`Chunked`].
#[derive(Clone, Copy)]
pub struct View<'c, T, const N: usize> {
    /// Those of the first chunk, where there is no other, as in most configurations: then the way over the chunk's pointer is spared.
    /// Were it spared for some and not for others, branches would be guessed wrongly.
    only: &'c [T],
    chunks: &'c [Arc<[T; N]>],
}

impl<'c, T, const N: usize> View<'c, T, N> {
    /// The value at `index`, if there is such a chunk.
    #[inline(always)]
    pub fn get(self, index: usize) -> Option<&'c T> {
        self.only.get(index).or_else(|| get(self.chunks, index))
    }

    /// The value at `index`, or `other` where there is no such chunk: see [`Chunked::get_or`].
    #[inline(always)]
    pub fn get_or(self, index: usize, other: &'c T) -> &'c T {
        match self.only.get(index) {
            Some(value) => value,
            None => get_or(self.chunks, index, other),
        }
    }
}

#[inline(always)]
fn get<T, const N: usize>(chunks: &[Arc<[T; N]>], index: usize) -> Option<&T> {
    // The remainder is below N by construction: only the chunk is checked for.
    chunks.get(index / N).map(|chunk| &chunk[index % N])
}

#[inline(always)]
fn get_or<'c, T, const N: usize>(chunks: &'c [Arc<[T; N]>], index: usize, other: &'c T) -> &'c T {
    match chunks.get(index / N) {
        Some(chunk) => &chunk[index % N],
        None => other,
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
        assert!(Arc::ptr_eq(&before.chunks[0], &now.chunks[0]) && !Arc::ptr_eq(&before.chunks[1], &now.chunks[1]));
        let place = Arc::as_ptr(&now.chunks[1]);
        *now.slot(6, &0) = 78;
        assert_eq!(place, Arc::as_ptr(&now.chunks[1]), "a chunk that nobody shares is written in place");
        assert_eq!(now.get(12), None);
    }
    #[test]
    fn a_chunk_that_is_given_back_takes_no_memory_and_can_be_written_again() {
        let mut now = Chunked::<u32, 4>::default();
        for i in 0..12 {
            *now.slot(i, &0) = i as u32 + 1;
        }
        let before = now.clone();
        now.give_back(5, &0);
        assert_eq!((now.made(), now.get(5), now.get(8)), (2, Some(&0), Some(&9)));
        *now.slot(4, &0) = 77;
        assert_eq!((now.made(), now.get(4), now.get(5)), (3, Some(&77), Some(&0)));
        now.give_back(4, &0);
        now.give_back(11, &0);
        assert_eq!((now.made(), now.get(8), now.get(4)), (1, None, None), "nothing stands behind the last chunk");
        *now.slot(9, &0) = 1;
        assert_eq!((now.get(4), now.get(8), now.get(9)), (Some(&0), Some(&0), Some(&1)));
        assert_eq!((before.get(5), before.get(11)), (Some(&6), Some(&12)));
    }
}
