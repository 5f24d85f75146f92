//! An array in two levels of chunks that versions share.

use std::sync::Arc;

type Page<T, const N: usize> = Arc<[T; N]>;

/// An array in pages of `N`, `PAGES` of which are a book (both powers of two). A clone shares all of them; a write copies the page
/// and the book it is in if, and only if, a clone still has them. So a version costs one pointer per book, and one that
/// differs in a place a page and a book's pointers more, where [`Chunked`](crate::chunked::Chunked) copies a pointer per
/// chunk: that would be dearer than all else about a change where there are thousands.
#[derive(Clone, Debug)]
pub(super) struct Paged<T, const N: usize, const PAGES: usize> {
    books: Vec<Arc<[Page<T, N>; PAGES]>>,
    /// Stands for all pages to which nothing was written, or that were given back.
    blank: Page<T, N>,
}

impl<T: Copy, const N: usize, const PAGES: usize> Paged<T, N, PAGES> {
    /// All values are `fill`.
    pub(super) fn new(fill: T) -> Self {
        const { assert!(N.is_power_of_two() && PAGES.is_power_of_two()) };
        Paged { books: Vec::new(), blank: Arc::new([fill; N]) }
    }

    /// The value at `index`.
    #[inline(always)]
    pub(super) fn get(&self, index: u32) -> &T {
        &self.page(index)[index as usize % N]
    }

    /// The page that has `index`.
    #[inline(always)]
    pub(super) fn page(&self, index: u32) -> &[T; N] {
        // The remainders are in range by construction: only the book is checked for.
        let index = index as usize;
        self.books.get(index / (N * PAGES)).map_or(&self.blank, |book| &book[index / N % PAGES])
    }

    /// The place of `index`.
    pub(super) fn slot(&mut self, index: u32) -> &mut T {
        &mut Arc::make_mut(self.page_mut(index as usize))[index as usize % N]
    }

    /// Gives back the memory of the page that has `index`, and of books at the end without pages. The page's values are
    /// from now on what all were in the beginning.
    pub(super) fn give_back(&mut self, index: u32) {
        let blank = self.blank.clone();
        *self.page_mut(index as usize) = blank;
        let is_blank = |book: &Arc<[Page<T, N>; PAGES]>| book.iter().all(|page| Arc::ptr_eq(page, &self.blank));
        while self.books.last().is_some_and(is_blank) {
            self.books.pop();
        }
    }

    fn page_mut(&mut self, index: usize) -> &mut Page<T, N> {
        let book = index / (N * PAGES);
        while self.books.len() <= book {
            self.books.push(Arc::new(std::array::from_fn(|_| self.blank.clone())));
        }
        &mut Arc::make_mut(&mut self.books[book])[index / N % PAGES]
    }

    /// Pages that take up memory of their own.
    #[cfg(test)]
    pub(super) fn made(&self) -> usize {
        let pages = self.books.iter().flat_map(|book| book.iter());
        pages.filter(|page| !Arc::ptr_eq(page, &self.blank)).count()
    }
}

#[cfg(test)]
impl<T, const N: usize, const PAGES: usize> Paged<T, N, PAGES> {
    /// How many pages of one are not those of another.
    pub(super) fn apart(&self, other: &Self) -> usize {
        let pages = |paged: &Self| paged.books.iter().flat_map(|book| book.to_vec()).collect::<Vec<_>>();
        let (own, others) = (pages(self), pages(other));
        own.iter().zip(&others).filter(|(one, other)| !Arc::ptr_eq(one, other)).count()
            + own.len().abs_diff(others.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_values_and_shares_the_rest() {
        let mut now = Paged::<u32, 4, 64>::new(7);
        assert_eq!((*now.get(0), *now.get(100_000), now.made()), (7, 7, 0));
        for i in 0..600 {
            *now.slot(i) = i;
        }
        assert_eq!((now.made(), now.books.len()), (150, 3));
        let before = now.clone();
        *now.slot(300) = 77;
        assert_eq!((*before.get(300), *now.get(300), *now.get(301)), (300, 77, 301));
        let shared = |book: usize| Arc::ptr_eq(&before.books[book], &now.books[book]);
        assert!(shared(0) && !shared(1) && shared(2));
        let pages = (0..64).filter(|&page| !Arc::ptr_eq(&before.books[1][page], &now.books[1][page]));
        assert_eq!(pages.collect::<Vec<_>>(), [300 / 4 - 64]);
    }

    #[test]
    fn a_page_that_is_given_back_takes_no_memory_and_can_be_written_again() {
        let mut now = Paged::<u32, 4, 64>::new(7);
        (0..600).for_each(|i| *now.slot(i) = i);
        let before = now.clone();
        now.give_back(5);
        assert_eq!((*now.get(4), *now.get(7), *now.get(8), now.made()), (7, 7, 8, 149));
        (512..600).for_each(|i| now.give_back(i));
        assert_eq!((now.books.len(), *now.get(512), *now.get(511)), (2, 7, 511));
        *now.slot(5) = 1;
        assert_eq!((*now.get(4), *now.get(5), *before.get(5), *before.get(599)), (7, 1, 5, 599));
    }
}
