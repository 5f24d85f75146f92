//! Anonymous memory on 2 MB pages where the kernel has some.

use memmap2::{Advice, MmapMut, MmapOptions};

/// The pages under a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum PageKind {
    /// Reserved huge pages of 2 MB.
    Huge,
    /// Ordinary pages; the kernel was asked to join them (transparent huge pages).
    Ordinary,
}

impl std::fmt::Display for PageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PageKind::Huge => "2 MB pages",
            PageKind::Ordinary => "ordinary pages (no 2 MB pages reserved; transparent huge pages asked for)",
        })
    }
}

const HUGE: usize = 2 << 20;

/// Zeroed memory that starts at a multiple of 2 MB when it is larger than that, of a page otherwise.
pub(super) struct Mapping {
    map: MmapMut,
    start: usize,
    pub(super) kind: PageKind,
}

impl Mapping {
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

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        // The offset is below the mapping's length: `new` added a whole huge page for it.
        self.map[self.start..].as_mut_ptr()
    }
}
