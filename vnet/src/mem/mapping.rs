//! Anonymous memory on pages of the size that was asked for.

use std::io::{Error, ErrorKind};

use memmap2::{Advice, MmapMut, MmapOptions};

/// The pages that memory shall have, in the words of VPP's start-up file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum PageSize {
    /// Reserved pages of 2 MB where there are enough, otherwise ordinary ones that the kernel is asked to join
    /// (transparent huge pages).
    #[default]
    Default,
    /// Reserved pages of the size that the kernel takes for these.
    DefaultHugepage,
    /// Ordinary pages of 4 KB, not joined.
    Small,
    /// Reserved pages of 2 MB.
    Huge,
    /// Reserved pages of 1 GB.
    Gigantic,
}

impl PageSize {
    /// All of them, with their words.
    pub const ALL: [(PageSize, &str); 5] = [
        (PageSize::Default, "default"),
        (PageSize::DefaultHugepage, "default-hugepage"),
        (PageSize::Small, "4K"),
        (PageSize::Huge, "2M"),
        (PageSize::Gigantic, "1G"),
    ];
}

impl std::fmt::Display for PageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = PageSize::ALL.iter().find(|(size, _)| size == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

/// No word for a size of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected default, default-hugepage, 4K, 2M or 1G")]
pub struct NoPageSize;

impl std::str::FromStr for PageSize {
    type Err = NoPageSize;
    fn from_str(word: &str) -> Result<PageSize, NoPageSize> {
        let found = PageSize::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
        found.map(|(size, _)| *size).ok_or(NoPageSize)
    }
}

/// The pages under a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum PageKind {
    /// Reserved huge pages of 2 MB.
    Huge,
    /// Reserved huge pages of 1 GB.
    Gigantic,
    /// Reserved pages of the size that the kernel takes for these.
    DefaultHuge,
    /// Ordinary pages; the kernel was asked to join them (transparent huge pages).
    Ordinary,
    /// Ordinary pages; the kernel was asked not to join them.
    Small,
}

impl std::fmt::Display for PageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PageKind::Huge => "2 MB pages",
            PageKind::Gigantic => "1 GB pages",
            PageKind::DefaultHuge => "huge pages of the kernel's default size",
            PageKind::Ordinary => "ordinary pages (too few 2 MB pages reserved; transparent huge pages asked for)",
            PageKind::Small => "4 KB pages",
        })
    }
}

const HUGE: usize = 2 << 20;
const GIGANTIC: usize = 1 << 30;

/// Zeroed memory that starts at a multiple of 2 MB when it is larger than that, of a page otherwise.
pub(super) struct Mapping {
    map: MmapMut,
    start: usize,
    pub(super) kind: PageKind,
}

impl Mapping {
    /// As [`Mapping::with_pages`] with [`PageSize::Default`].
    pub(super) fn new(bytes: usize) -> std::io::Result<Mapping> {
        let rounded = bytes.next_multiple_of(HUGE);
        if bytes >= HUGE
            && let Ok(map) = MmapOptions::new().len(rounded).huge(Some(21)).map_anon()
        {
            return Ok(Mapping { map, start: 0, kind: PageKind::Huge });
        }
        if bytes < HUGE {
            let map = MmapOptions::new().len(bytes.max(1)).map_anon()?;
            return Ok(Mapping { map, start: 0, kind: PageKind::Ordinary });
        }
        let map = MmapOptions::new().len(rounded + HUGE).map_anon()?;
        // Best effort: a kernel without transparent huge pages answers with an error that changes nothing.
        let _ = map.advise(Advice::HugePage);
        let start = map.as_ptr() as usize;
        let start = start.next_multiple_of(HUGE) - start;
        Ok(Mapping { map, start, kind: PageKind::Ordinary })
    }

    /// Maps memory on pages of a size.
    ///
    /// # Errors
    /// The kernel's; where it has too few huge pages, in words that say what was asked for and where to reserve them.
    pub(super) fn with_pages(bytes: usize, pages: PageSize) -> std::io::Result<Mapping> {
        match pages {
            PageSize::Default => Mapping::new(bytes),
            PageSize::Small => {
                let map = MmapOptions::new().len(bytes.max(1)).map_anon()?;
                // Best effort, as above.
                let _ = map.advise(Advice::NoHugePage);
                Ok(Mapping { map, start: 0, kind: PageKind::Small })
            }
            PageSize::DefaultHugepage => reserved(bytes, pages, default_hugepage(), None, PageKind::DefaultHuge),
            PageSize::Huge => reserved(bytes, pages, HUGE, Some(21), PageKind::Huge),
            PageSize::Gigantic => reserved(bytes, pages, GIGANTIC, Some(30), PageKind::Gigantic),
        }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        // The offset is below the mapping's length: `new` added a whole huge page for it.
        self.map[self.start..].as_mut_ptr()
    }
}

/// Memory on reserved pages of `size` bytes, or nothing. `log2` is that size as `mmap(2)` wants it.
fn reserved(bytes: usize, pages: PageSize, size: usize, log2: Option<u8>, kind: PageKind) -> std::io::Result<Mapping> {
    let count = bytes.max(1).div_ceil(size);
    match MmapOptions::new().len(count * size).huge(log2).map_anon() {
        Ok(map) => Ok(Mapping { map, start: 0, kind }),
        Err(error) => {
            let (kib, mib) = (size >> 10, bytes.div_ceil(1 << 20));
            let also = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages");
            Err(Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "page-size {pages}: the kernel has too few free huge pages of {kib} kB ({error}): {mib} MB need \
                     {count}; reserve them in /proc/sys/vm/nr_hugepages, or for this size alone in {also}"
                ),
            ))
        }
    }
}

/// The size of huge pages that the kernel takes where none is named (`Hugepagesize` in `proc_meminfo(5)`), in bytes.
fn default_hugepage() -> usize {
    let facts = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        facts.lines().find_map(|line| line.strip_prefix("Hugepagesize:")?.split_whitespace().next()?.parse().ok());
    kib.map_or(HUGE, |kib: usize| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_sizes_are_vpps() {
        for (size, word) in PageSize::ALL {
            assert_eq!((word.parse(), size.to_string().as_str()), (Ok(size), word));
        }
        assert_eq!("2m".parse(), Ok(PageSize::Huge));
        assert_eq!("3m".parse::<PageSize>(), Err(NoPageSize));
    }

    #[test]
    fn memory_is_on_the_pages_asked_for_or_not_at_all() {
        let small = Mapping::with_pages(3 << 20, PageSize::Small).unwrap();
        assert_eq!(small.kind, PageKind::Small);
        // More than any machine has reserved.
        for (size, word) in
            [(PageSize::Huge, "2M"), (PageSize::Gigantic, "1G"), (PageSize::DefaultHugepage, "default-")]
        {
            let error = Mapping::with_pages(1 << 45, size).err().unwrap().to_string();
            assert!(error.starts_with(&format!("page-size {word}")), "{error}");
            assert!(error.contains("/proc/sys/vm/nr_hugepages"), "{error}");
        }
        let mut any = Mapping::with_pages(3 << 20, PageSize::Default).unwrap();
        assert_eq!(any.as_mut_ptr() as usize % HUGE, 0);
    }
}
