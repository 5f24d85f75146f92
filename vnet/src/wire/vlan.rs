//! VLAN tags (IEEE 802.1Q section 9.6): recognised, so that tagged frames are refused by name and print.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{VLAN, VLAN_AD};

/// What follows the Ethertype [`VLAN`] or [`VLAN_AD`]: 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VlanTag {
    /// Priority (3 bits), drop eligible (1 bit), VLAN identifier (12 bits).
    pub control: U16,
    /// What follows the tag.
    pub ethertype: U16,
}
header!(VlanTag);

impl VlanTag {
    /// A tag.
    pub fn new(id: u16, priority: u8, ethertype: u16) -> Self {
        Self { control: U16::new(id & 0xfff | u16::from(priority & 7) << 13), ethertype: U16::new(ethertype) }
    }

    /// The VLAN identifier.
    #[inline(always)]
    pub fn id(&self) -> u16 {
        self.control.get() & 0xfff
    }

    /// The priority, 0 to 7.
    #[inline(always)]
    pub fn priority(&self) -> u8 {
        (self.control.get() >> 13) as u8
    }

    /// The drop eligible indicator (once the canonical format indicator).
    #[inline(always)]
    pub fn drop_eligible(&self) -> bool {
        self.control.get() & 0x1000 != 0
    }
}

/// Whether a tag follows this Ethertype.
#[inline(always)]
pub fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, VLAN | VLAN_AD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tag_agrees_with_etherparse(id in 0u16..4096, priority in 0u8..8, ethertype: u16) {
            let tag = VlanTag::new(id, priority, ethertype);
            let (theirs, _) = etherparse::SingleVlanHeader::from_slice(tag.as_bytes()).unwrap();
            prop_assert_eq!((theirs.vlan_id.value(), theirs.pcp.value()), (id, priority));
            prop_assert_eq!((theirs.drop_eligible_indicator, theirs.ether_type.0), (false, ethertype));
            let read = VlanTag::ref_from_prefix(tag.as_bytes()).unwrap().0;
            prop_assert_eq!((read.id(), read.priority(), read.drop_eligible()), (id, priority, false));
        }
    }

    #[test]
    fn knows_both_kinds_of_tag() {
        assert!(is_tag(VLAN) && is_tag(VLAN_AD) && !is_tag(super::super::ethernet::IP4));
    }
}
