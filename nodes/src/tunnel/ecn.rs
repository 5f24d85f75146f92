//! Congestion marks on the way out of a tunnel (RFC 6040 section 4.2).

use vnet::wire::{Ip4Header, Ip6Header, checksum};

use super::Inner;

/// Not ECN-capable.
const NOT_ECT: u8 = 0;
/// ECN-capable, the other way to say so.
const ECT_1: u8 = 1;
/// ECN-capable.
const ECT_0: u8 = 2;
/// Congestion was met.
const CE: u8 = 3;

/// The congestion notification field of a packet that comes out of a tunnel; `None`: the packet must be dropped, because it
/// met congestion and its receiver would not understand the mark.
fn combined(outer: u8, inner: u8) -> Option<u8> {
    match (outer, inner) {
        (CE, NOT_ECT) => None,
        (CE, _) => Some(CE),
        (ECT_1, ECT_0) => Some(ECT_1),
        _ => Some(inner),
    }
}

/// Takes the outer header's mark over into the packet that begins with its inner header; `false`: it must be dropped. What is
/// too short for a header stays as it is.
#[inline(always)]
pub(super) fn take_over(outer: u8, inner: Inner, bytes: &mut [u8]) -> bool {
    // The other two change nothing, whatever is inside.
    if outer == NOT_ECT || outer == ECT_0 {
        return true;
    }
    mark(outer, inner, bytes)
}

#[cold]
fn mark(outer: u8, inner: Inner, bytes: &mut [u8]) -> bool {
    match inner {
        Inner::Ip4 => {
            let Ok((header, _)) = Ip4Header::mut_from_prefix(bytes) else { return true };
            let Some(ecn) = combined(outer, header.ecn()) else { return false };
            let class = header.tos & !3 | ecn;
            let word = |class| u16::from_be_bytes([header.version_ihl, class]);
            let sum = checksum::update16(header.checksum.get(), word(header.tos), word(class));
            if class != header.tos {
                header.tos = class;
                header.checksum.set(sum);
            }
        }
        Inner::Ip6 => {
            let Ok((header, _)) = Ip6Header::mut_from_prefix(bytes) else { return true };
            let Some(ecn) = combined(outer, header.traffic_class() & 3) else { return false };
            let word = header.version_class_flow.get();
            header.version_class_flow.set(word & !(3 << 20) | u32::from(ecn) << 20);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6040, figure 4: rows are the inner field, columns the outer (Not-ECT, ECT(0), ECT(1), CE).
    #[test]
    fn as_the_table_says() {
        let columns = [NOT_ECT, ECT_0, ECT_1, CE];
        let table = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE); 4]),
        ];
        for (inner, row) in table {
            for (outer, expected) in columns.into_iter().zip(row) {
                assert_eq!(combined(outer, inner), expected, "outer {outer} inner {inner}");
                let mut packet4 = [0; 20];
                let mut header = Ip4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, 0, 9);
                header.tos = 0xb8 | inner;
                header.set_checksum();
                header.emit(&mut packet4).unwrap();
                assert_eq!(take_over(outer, Inner::Ip4, &mut packet4), expected.is_some());
                if let Some(ecn) = expected {
                    header.tos = 0xb8 | ecn;
                    header.set_checksum();
                    assert_eq!(packet4, header.as_bytes());
                }
                let mut packet6 = [0; 40];
                let mut header = Ip6Header::new([1; 16].into(), [2; 16].into(), 17, 0, 9);
                let class = |ecn: u8| 6 << 28 | u32::from(0xb8 | ecn) << 20 | 0xabcde;
                header.version_class_flow.set(class(inner));
                header.emit(&mut packet6).unwrap();
                assert_eq!(take_over(outer, Inner::Ip6, &mut packet6), expected.is_some());
                if let Some(ecn) = expected {
                    header.version_class_flow.set(class(ecn));
                    assert_eq!(packet6, header.as_bytes());
                }
            }
        }
    }

    #[test]
    fn what_is_no_header_stays() {
        let mut short = [0xff; 19];
        assert!(take_over(CE, Inner::Ip4, &mut short) && take_over(CE, Inner::Ip6, &mut short));
        assert_eq!(short, [0xff; 19]);
    }
}
