//! Which lines are whose.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Lines in a page: 16 KB, which a change copies at most for each line that it touches.
pub(super) const PAGE: usize = 256;

/// How many lines may be taken together: few waste much, and none more than a quarter.
const SIZES: [u8; 16] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 21, 28, 36, 51, 64];

/// The size to take for each number of lines.
const SIZE_OF: [u8; 65] = {
    let mut sizes = [0; 65];
    let (mut lines, mut size) = (1, 0);
    while lines < sizes.len() {
        if lines > SIZES[size] as usize {
            size += 1;
        }
        sizes[lines] = size as u8;
        lines += 1;
    }
    sizes
};

/// The runs of lines that are free. Each page is cut into runs of one size.
#[derive(Debug)]
pub(super) struct Room {
    /// By size, their first lines. The lowest is taken first, so that whole pages become free, and give their memory back.
    free: [BinaryHeap<Reverse<u32>>; SIZES.len()],
    /// Runs in use of each page.
    in_use: Vec<u16>,
    lines: usize,
}

impl Room {
    pub(super) fn new() -> Room {
        // Line 0 stands for none, so nobody may have it.
        Room { free: std::array::from_fn(|_| BinaryHeap::new()), in_use: vec![1], lines: 0 }
    }

    /// Lines in use, those included that are taken and not needed.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Takes a run of 1 to 64 lines; gives the first.
    pub(super) fn take(&mut self, lines: usize) -> u32 {
        let size = usize::from(SIZE_OF[lines]);
        let run = usize::from(SIZES[size]);
        if self.free[size].is_empty() {
            let page = self.in_use.len() * PAGE;
            self.in_use.push(0);
            self.free[size].extend((0..PAGE / run).map(|i| Reverse((page + i * run) as u32)));
        }
        let Some(Reverse(first)) = self.free[size].pop() else { return 0 };
        self.in_use[first as usize / PAGE] += 1;
        self.lines += run;
        first
    }

    /// Gives back a run that was taken for as many lines; true if the page is free now.
    pub(super) fn give(&mut self, first: u32, lines: usize) -> bool {
        let size = usize::from(SIZE_OF[lines]);
        self.free[size].push(Reverse(first));
        self.lines -= usize::from(SIZES[size]);
        let in_use = &mut self.in_use[first as usize / PAGE];
        *in_use -= 1;
        *in_use == 0
    }

    /// Whether a run has room for one number of lines as well as for another.
    pub(super) fn same(lines: usize, others: usize) -> bool {
        SIZE_OF[lines] == SIZE_OF[others]
    }
}
