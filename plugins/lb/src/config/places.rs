//! Numbered places, of which those that get free are given out again, the lowest first.

use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub(super) struct Places<T> {
    list: Vec<Option<T>>,
    /// Those in `list` that are free to be given out.
    free: BTreeSet<u32>,
}

impl<T> Places<T> {
    /// Of which the first so many are never given out.
    pub(super) fn from(first: usize) -> Self {
        Places { list: (0..first).map(|_| None).collect(), free: BTreeSet::new() }
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.list.get(number as usize)?.as_ref()
    }

    /// What is there, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.list).filter_map(|(number, value)| Some((number, value.as_ref()?)))
    }

    /// The number that a new one gets.
    pub(super) fn next(&self) -> u32 {
        self.free.first().copied().unwrap_or(self.list.len() as u32)
    }

    /// The number of the last of so many new ones.
    pub(super) fn last_of(&self, fresh: usize) -> usize {
        self.list.len() + fresh.saturating_sub(self.free.len()) - 1
    }

    /// Puts something in a place, or nothing; gives what was there.
    pub(super) fn put(&mut self, number: u32, value: Option<T>) -> Option<T> {
        while self.list.len() <= number as usize {
            self.free.insert(self.list.len() as u32);
            self.list.push(None);
        }
        if value.is_some() {
            self.free.remove(&number);
        } else {
            self.free.insert(number);
        }
        std::mem::replace(&mut self.list[number as usize], value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_next() {
        let mut places = Places::from(1);
        for value in ["a", "b", "c"] {
            let number = places.next();
            assert_eq!(places.put(number, Some(value)), None);
        }
        assert_eq!((places.next(), places.last_of(0), places.last_of(2)), (4, 3, 5));
        assert_eq!((places.put(3, None), places.put(1, None), places.next()), (Some("c"), Some("a"), 1));
        assert_eq!((places.last_of(2), places.last_of(3)), (3, 4));
        assert_eq!(places.iter().collect::<Vec<_>>(), [(2, &"b")]);
        assert_eq!(
            (places.put(1, Some("d")), places.next(), places.get(1), places.get(9)),
            (None, 3, Some(&"d"), None)
        );
    }
}
