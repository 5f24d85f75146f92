//! A list of places in an array, in the order in which they were added.

/// No place.
pub(super) const NONE: u16 = u16::MAX;

/// The neighbours of a place in a list.
#[derive(Clone, Copy)]
pub(super) struct Link {
    before: u16,
    after: u16,
}

impl Default for Link {
    fn default() -> Self {
        Link { before: NONE, after: NONE }
    }
}

/// The ends of a list.
#[derive(Clone, Copy)]
pub(super) struct List {
    first: u16,
    last: u16,
}

impl Default for List {
    fn default() -> Self {
        List { first: NONE, last: NONE }
    }
}

impl List {
    /// The one that was added first.
    pub(super) fn first(&self) -> Option<u16> {
        (self.first != NONE).then_some(self.first)
    }

    /// Adds a place, which is in no list.
    pub(super) fn push<T: AsMut<Link>>(&mut self, at: u16, all: &mut [T]) {
        let before = std::mem::replace(&mut self.last, at);
        *all[usize::from(at)].as_mut() = Link { before, after: NONE };
        if before == NONE {
            self.first = at;
        } else {
            all[usize::from(before)].as_mut().after = at;
        }
    }

    /// Takes a place out, which is in this list.
    pub(super) fn remove<T: AsMut<Link>>(&mut self, at: u16, all: &mut [T]) {
        let Link { before, after } = std::mem::take(all[usize::from(at)].as_mut());
        if before == NONE {
            self.first = after;
        } else {
            all[usize::from(before)].as_mut().after = after;
        }
        if after == NONE {
            self.last = before;
        } else {
            all[usize::from(after)].as_mut().before = before;
        }
    }
}
