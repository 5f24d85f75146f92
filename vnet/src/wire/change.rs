//! What a change to the bytes that a checksum covers does to the checksum (RFC 1624 section 3, equation 3).

use super::checksum::{add16, fold};

/// A change to bytes at even distances from the start of what a checksum covers; of several bytes in any order.
///
/// Old bytes count negatively, that is as their complement. Words are added in the order of bytes of this machine, as they stand in
/// the packet: the sum is the same up to that order (RFC 1071 section 2 (B)), which is the field's, too.
#[derive(Clone, Copy, Debug)]
pub struct Change(u64);

impl Change {
    /// Nothing.
    pub const NONE: Change = Change(0);

    /// And two bytes.
    #[inline(always)]
    #[must_use]
    pub fn two(self, old: [u8; 2], new: [u8; 2]) -> Change {
        Change(self.0 + u64::from(!u16::from_ne_bytes(old)) + u64::from(u16::from_ne_bytes(new)))
    }

    /// And four bytes.
    #[inline(always)]
    #[must_use]
    pub fn four(self, old: [u8; 4], new: [u8; 4]) -> Change {
        Change(self.0 + u64::from(!u32::from_ne_bytes(old)) + u64::from(u32::from_ne_bytes(new)))
    }

    /// And sixteen bytes.
    #[inline(always)]
    #[must_use]
    pub fn sixteen(self, old: [u8; 16], new: [u8; 16]) -> Change {
        let pairs = old.as_chunks::<4>().0.iter().zip(new.as_chunks::<4>().0);
        pairs.fold(self, |change, (old, new)| change.four(*old, *new))
    }

    /// The same in two bytes, for whoever keeps it.
    #[inline(always)]
    pub fn keep(self) -> Kept {
        Kept(fold(self.0))
    }

    /// As [`Kept::of_field`].
    #[inline(always)]
    pub fn of_field(self, field: [u8; 2]) -> [u8; 2] {
        self.keep().of_field(field)
    }

    /// As [`Kept::of_sum`].
    #[inline(always)]
    pub fn of_sum(self, field: [u8; 2]) -> [u8; 2] {
        self.keep().of_sum(field)
    }

    /// As [`Kept::of_udp_field`].
    #[inline(always)]
    pub fn of_udp_field(self, field: [u8; 2]) -> [u8; 2] {
        self.keep().of_udp_field(field)
    }
}

/// A [`Change`] in two bytes.
#[derive(Clone, Copy, Debug)]
pub struct Kept(u16);

impl Kept {
    /// Nothing.
    pub const NONE: Kept = Kept(0);

    /// Both bytes as a number, for [`Kept::from_bits`].
    #[inline(always)]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// From what [`Kept::bits`] gave.
    #[inline(always)]
    pub fn from_bits(bits: u16) -> Kept {
        Kept(bits)
    }

    /// The change back: less what it was more.
    #[inline(always)]
    #[must_use]
    pub fn back(self) -> Kept {
        Kept(!self.0)
    }

    /// And two bytes more.
    #[inline(always)]
    #[must_use]
    pub fn two(self, old: [u8; 2], new: [u8; 2]) -> Kept {
        Kept(add16(add16(self.0, !u16::from_ne_bytes(old)), u16::from_ne_bytes(new)))
    }

    /// The checksum field after the change.
    #[inline(always)]
    pub fn of_field(self, field: [u8; 2]) -> [u8; 2] {
        (!add16(self.0, !u16::from_ne_bytes(field))).to_ne_bytes()
    }

    /// The field after the change where it holds the sum itself: that of a pseudo-header, which a device is to complete.
    #[inline(always)]
    pub fn of_sum(self, field: [u8; 2]) -> [u8; 2] {
        add16(self.0, u16::from_ne_bytes(field)).to_ne_bytes()
    }

    /// UDP's field after the change: 0 says that there is no checksum, and stays; one that comes to 0 is sent as all ones (RFC 768).
    #[inline(always)]
    pub fn of_udp_field(self, field: [u8; 2]) -> [u8; 2] {
        // As numbers: pairs of bytes are taken apart.
        let before = u16::from_ne_bytes(field);
        // Taken off the field instead of added to its complement, which is the same but for how 0 is written: what is added to a
        // number other than 0 never comes to 0.
        let after = add16(before, !self.0);
        if before == 0 { field } else { after.to_ne_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::checksum::{finish, sum};
    use super::*;

    proptest! {
        #[test]
        fn a_changed_field_is_that_of_the_changed_bytes(mut bytes: [u8; 40], two: [u8; 2], four: [u8; 4], many: [u8; 16]) {
            // No header is all zero.
            bytes[39] |= 1;
            let field = |bytes: &[u8]| finish(sum(bytes, 0)).to_be_bytes();
            let before = field(&bytes);
            let change = Change::NONE
                .two([bytes[2], bytes[3]], two)
                .four(*bytes[4..].first_chunk().unwrap(), four)
                .sixteen(*bytes[8..].first_chunk().unwrap(), many);
            bytes[2..4].copy_from_slice(&two);
            bytes[4..8].copy_from_slice(&four);
            bytes[8..24].copy_from_slice(&many);
            prop_assert_eq!(change.of_field(before), field(&bytes));
            let more = change.keep().two([bytes[30], bytes[31]], two);
            let mut others = bytes;
            others[30..32].copy_from_slice(&two);
            prop_assert_eq!(more.of_field(before), field(&others));
            prop_assert_eq!(change.keep().of_field(before), field(&bytes));
            prop_assert_eq!(change.keep().back().of_field(field(&bytes)), before);
            prop_assert_eq!(Kept::from_bits(change.keep().bits()).of_field(before), field(&bytes));
            prop_assert_eq!(change.of_sum(before.map(|byte| !byte)), field(&bytes).map(|byte| !byte));
            prop_assert_eq!(change.of_udp_field([0; 2]), [0; 2]);
        }

        #[test]
        fn a_datagrams_field_is_what_it_is_elsewhere_but_never_0(change: u16, field: u16) {
            for change in [change, 0, u16::MAX, field, !field].map(Kept::from_bits) {
                for field in [field, 1, u16::MAX].map(u16::to_ne_bytes).into_iter().filter(|field| *field != [0; 2]) {
                    let elsewhere = change.of_field(field);
                    let expected = if elsewhere == [0; 2] { [0xff; 2] } else { elsewhere };
                    prop_assert_eq!(change.of_udp_field(field), expected);
                }
            }
        }
    }

    #[test]
    fn a_datagram_always_has_a_checksum_if_it_had_one() {
        let change = Change::NONE.two([0, 1], [0, 2]);
        assert_eq!(change.of_field([0, 1]), [0, 0]);
        assert_eq!(change.of_udp_field([0, 1]), [0xff, 0xff]);
    }
}
