//! What is said at start-up about the pages under packet buffers.

use vnet::mem::{PageKind, PoolStats, STRIDE};

/// A reserved page, in bytes.
const HUGE: usize = 2 << 20;

/// A sentence, where buffers got ordinary pages because too few huge ones are reserved; they work, but more slowly.
pub(crate) fn note(pools: &[PoolStats]) -> Option<String> {
    let ordinary: Vec<_> = pools.iter().filter(|pool| pool.pages == PageKind::Ordinary).collect();
    let first = ordinary.first()?;
    let pages = (first.total as usize * STRIDE).div_ceil(HUGE);
    // A pool that is smaller than a huge page would not use one.
    let small = pages < 2;
    (!small).then(|| {
        let (these, all) = (ordinary.len(), pools.len());
        format!(
            "the buffers of {these} of {all} packet threads are on ordinary pages: too few pages of 2 MB are reserved \
             in /proc/sys/vm/nr_hugepages (each thread needs {pages})"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_pages_are_noted_where_nobody_asked_for_them() {
        let pool = |total, pages| PoolStats { total, available: total, exhausted: 0, pages };
        let [huge, ordinary, small] =
            [PageKind::Huge, PageKind::Ordinary, PageKind::Small].map(|kind| pool(16_384, kind));
        assert_eq!(note(&[huge, huge]), None);
        assert_eq!(note(&[small]), None, "asked for in the start-up file");
        assert_eq!(note(&[pool(256, PageKind::Ordinary)]), None, "too small for a huge page");
        let text = note(&[huge, ordinary]).unwrap();
        assert!(text.starts_with("the buffers of 1 of 2 packet threads are on ordinary pages"), "{text}");
        assert!(text.ends_with("(each thread needs 19)"), "{text}");
    }
}
