//! Packets that are too long for the way out.

use etherparse::{IpNumber, Ipv4Header, Ipv4Options};

use crate::support::{Bed, MAC0, hex};

/// Record route (stays in the first fragment), no operation, router alert (goes into every fragment), end.
const OPTIONS: [u8; 12] = [7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0];
const COPIED: [u8; 4] = [0x94, 4, 0, 0];

/// A frame to 90.0.0.1 that may be cut, perhaps a fragment itself.
fn frame(options: &[u8], payload: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let mut header = Ipv4Header::new(0, 64, IpNumber(89), [10, 0, 1, 2], [90, 0, 0, 1]).unwrap();
    header.options = Ipv4Options::try_from(options).unwrap();
    (header.dont_fragment, header.more_fragments, header.identification) = (false, more, 0x1234);
    header.fragment_offset = (offset / 8).try_into().unwrap();
    header.set_payload_len(payload.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [&hex(MAC0)[..], &[2, 0, 0, 0, 1, 2, 8, 0], &header.to_bytes(), payload].concat()
}

/// Sends a frame where at most `mtu` bytes pass, and judges what comes out.
fn judge(bed: &mut Bed, options: bool, payload: &[u8], mtu: usize, offset: u16, more: bool) {
    let options: &[u8] = if options { &OPTIONS } else { &[] };
    bed.vppctl(&format!("set interface mtu {mtu} pg1"));
    let [_, out] = bed.send("pg0", &[frame(options, payload, offset, more)]);
    let mut whole = Vec::new();
    for (number, piece) in out.iter().enumerate() {
        assert!(piece.len() - 14 <= mtu, "{} bytes for an MTU of {mtu}", piece.len() - 14);
        let (header, payload) = Ipv4Header::from_slice(&piece[14..]).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), piece.len() - 14);
        assert_eq!((header.identification, header.time_to_live), (0x1234, 63));
        assert_eq!(usize::from(header.fragment_offset.byte_offset()), usize::from(offset) + whole.len());
        assert_eq!(header.more_fragments, more || number + 1 < out.len());
        let expected = if number == 0 || options.is_empty() { options } else { &COPIED };
        assert_eq!(header.options.as_slice(), expected);
        whole.extend_from_slice(payload);
    }
    assert!(whole == payload, "{} bytes came of {}", whole.len(), payload.len());
}

#[test]
fn fragments_fit_and_make_the_whole() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    for mtu in [68, 75, 576, 1279, 1500] {
        for (at, len) in [mtu - 20, mtu - 19, 2 * mtu - 40, 1999, 2049, 8800].into_iter().enumerate() {
            let payload: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
            judge(&mut bed, at % 2 == 0, &payload, mtu, 0, false);
            judge(&mut bed, at % 2 == 1, &payload, mtu, 16, false);
            // What others follow has a length of eights.
            judge(&mut bed, at % 3 == 0, &payload[..len & !7], mtu, 8000, true);
        }
    }
}

#[test]
fn the_smallest_mtu_has_room_behind_the_longest_header() {
    let mut bed = Bed::new();
    bed.type_all("ip route add 90.0.0.0/8 via 10.0.2.2\n set interface mtu 68 pg1");
    let [_, out] = bed.send("pg0", &[frame(&[1; 40], &[1; 24], 0, false)]);
    assert_eq!(out.iter().map(|piece| piece.len() - 14).collect::<Vec<_>>(), [68, 36]);
}

#[test]
fn ipv4_may_have_an_mtu_of_its_own() {
    let mut bed = Bed::new();
    bed.vppctl("ip route add 90.0.0.0/8 via 10.0.2.2");
    let lengths = |bed: &mut Bed| -> Vec<usize> {
        let [_, out] = bed.send("pg0", &[frame(&[], &[1; 980], 0, false)]);
        out.iter().map(|piece| piece.len() - 14).collect()
    };
    bed.vppctl("set interface mtu ip4 576 pg1");
    assert!(bed.vppctl("show interface pg1").contains(" 9000/576/0/0 "));
    assert_eq!(lengths(&mut bed), [572, 448]);
    bed.vppctl("set interface mtu packet 500 pg1");
    assert_eq!(lengths(&mut bed), [500, 500, 40], "the smaller one counts");
    bed.type_all("set interface mtu 9000 pg1\n set interface mtu ip4 0 pg1");
    assert_eq!(lengths(&mut bed), [1000]);
}
