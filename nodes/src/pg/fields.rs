//! Values that change from packet to packet.

/// How a value goes from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Always the same.
    Fixed,
    /// One more with every packet, from the last back to the first (`A - B`).
    Step,
    /// Drawn anew for every packet (`A + B`).
    Random,
}

/// A value between two others, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest value.
    pub low: u64,
    /// The highest value; not below `low`.
    pub high: u64,
    /// The way between them.
    pub course: Course,
}

impl Span {
    /// A value that does not change.
    pub fn fixed(value: u64) -> Span {
        Span { low: value, high: value, course: Course::Fixed }
    }

    /// Whether all packets have the same value.
    pub fn is_fixed(&self) -> bool {
        self.low == self.high
    }

    /// The value for the packet with this number.
    #[inline]
    pub(super) fn value(&self, packet: u64, random: &mut Random) -> u64 {
        // A span over all 64 bits has no count; no field is that wide.
        let count = (self.high - self.low).saturating_add(1);
        match self.course {
            Course::Fixed => self.low,
            Course::Step => self.low + packet % count,
            Course::Random => self.low + random.below(count),
        }
    }
}

/// A fast source of numbers that look random: the same ones every time, so that a test can be repeated.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number (SplitMix64).
    #[inline]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`.
    #[inline]
    fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_span() {
        let mut random = Random::new(1);
        let step = Span { low: 3, high: 5, course: Course::Step };
        assert_eq!((0..5).map(|n| step.value(n, &mut random)).collect::<Vec<_>>(), [3, 4, 5, 3, 4]);
        let drawn = Span { low: 3, high: 6, course: Course::Random };
        let mut seen = [0; 10];
        for packet in 0..1000 {
            seen[drawn.value(packet, &mut random) as usize] += 1;
        }
        assert!(seen[..3].iter().chain(&seen[7..]).all(|&n| n == 0) && seen[3..7].iter().all(|&n| n > 150), "{seen:?}");
        assert_eq!(Span::fixed(7).value(9, &mut random), 7);
    }
}
