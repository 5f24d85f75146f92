//! Clamping TCP's maximum segment size (RFC 9293 section 3.7.1), so that what comes back or follows fits a tunnel.

use vnet::wire::checksum::update16;

/// TCP's fixed header.
const HEADER: usize = 20;
/// Where its checksum stands.
const CHECKSUM: usize = 16;

/// Options: the end of them, a filler, the maximum segment size.
const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;

/// Lowers the maximum segment size that a SYN tells to `most`, if it tells a higher one; whether it did. The checksum follows,
/// unless it is `unfinished`: then options are not in it yet.
pub fn clamp(tcp: &mut [u8], most: u16, unfinished: bool) -> bool {
    let Some(at) = find(tcp) else { return false };
    let old = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if old <= most {
        return false;
    }
    tcp[at..at + 2].copy_from_slice(&most.to_be_bytes());
    if !unfinished {
        let field = u16::from_be_bytes([tcp[CHECKSUM], tcp[CHECKSUM + 1]]);
        // Where the number begins at an odd place its bytes are in two words of the sum, the other way round.
        let turned = |value: u16| if at.is_multiple_of(2) { value } else { value.swap_bytes() };
        let field = update16(field, turned(old), turned(most));
        tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&field.to_be_bytes());
    }
    true
}

/// Where the number stands.
fn find(tcp: &[u8]) -> Option<usize> {
    let end = usize::from(tcp.get(12)? >> 4) * 4;
    let options = tcp.get(..end)?;
    let mut at = HEADER;
    loop {
        match *options.get(at)? {
            END => return None,
            NOP => at += 1,
            kind => {
                let len = usize::from(*options.get(at + 1)?);
                if kind == MSS && len == 4 && at + 4 <= end {
                    return Some(at + 2);
                }
                // RFC 9293 section 3.1: the length counts the kind and itself.
                at += len.max(2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{TcpHeader, TcpOptionElement};
    use proptest::prelude::*;

    use super::*;

    fn syn(options: &[TcpOptionElement]) -> (TcpHeader, Vec<u8>) {
        let mut tcp = TcpHeader::new(1, 80, 9, 64240);
        tcp.syn = true;
        tcp.set_options(options).unwrap();
        tcp.checksum = tcp.calc_checksum_ipv4_raw([10, 0, 1, 2], [90, 0, 0, 1], &[]).unwrap();
        let bytes = tcp.to_bytes().to_vec();
        (tcp, bytes)
    }

    #[test]
    fn a_higher_number_is_lowered_wherever_it_stands() {
        let mss = TcpOptionElement::MaximumSegmentSize;
        for before in [
            &[][..],
            &[TcpOptionElement::Noop],
            &[TcpOptionElement::Noop, TcpOptionElement::Noop],
            &[TcpOptionElement::SelectiveAcknowledgementPermitted],
        ] {
            for (told, most, expected) in [(1460, 1400, 1400), (1400, 1400, 1400), (536, 1400, 536)] {
                let options = [before, &[mss(told)]].concat();
                let (_, mut bytes) = syn(&options);
                assert_eq!(clamp(&mut bytes, most, false), told != expected);
                let options = [before, &[mss(expected)]].concat();
                assert_eq!(bytes, syn(&options).1);
            }
        }
        let (_, mut bytes) = syn(&[mss(1460)]);
        let before = bytes[CHECKSUM..CHECKSUM + 2].to_vec();
        assert!(clamp(&mut bytes, 1400, true));
        assert_eq!(bytes[CHECKSUM..CHECKSUM + 2], before, "an unfinished checksum has no options in it");
        let (_, mut without) = syn(&[]);
        assert!(!clamp(&mut without, 1, false));
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_options(mut bytes in prop::collection::vec(any::<u8>(), 0..80), most: u16, unfinished: bool) {
            let before = bytes.clone();
            let changed = clamp(&mut bytes, most, unfinished);
            prop_assert!(changed || bytes == before);
        }
    }
}
