//! ICMP and ICMPv6 errors: what is quoted is read, gets other addresses and ports, and is read again.
#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use vnet::wire::icmp_inner::{Ends, Inner4, Inner6, Rewrite};
use vnet::wire::{Ip4Header, checksum, icmp4, icmp6, ip4};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    // What the addresses and ports become.
    let (new, bytes) = bytes.split_at(bytes.len().min(4));
    let new = u32::from_le_bytes(std::array::from_fn(|at| new.get(at).copied().unwrap_or(*kind)));
    let quoted = kind & 1 != 0;
    if kind & 2 == 0 {
        four(if quoted { error4(*kind, bytes) } else { bytes.to_vec() }, *kind, new);
    } else {
        six(if quoted { error6(*kind, bytes) } else { bytes.to_vec() }, *kind, new);
    }
});

fn error4(kind: u8, quote: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 576];
    let problem = match kind >> 2 & 3 {
        0 => icmp4::Problem::TimeExceeded,
        1 => icmp4::Problem::Unreachable(kind >> 4),
        _ => icmp4::Problem::FragmentationNeeded { mtu: u16::from(kind) * 8 },
    };
    let len = problem.emit(Ipv4Addr::new(10, 0, 1, 2), Ipv4Addr::new(90, 0, 0, 1), 64, quote, &mut out);
    out.truncate(len.expect("there is room"));
    out
}

fn error6(kind: u8, quote: &[u8]) -> Vec<u8> {
    let mut out = vec![0; icmp6::MIN_MTU];
    let problem = match kind >> 2 & 3 {
        0 => icmp6::Problem::TimeExceeded,
        1 => icmp6::Problem::Unreachable(kind >> 4),
        2 => icmp6::Problem::Parameter { code: 1, pointer: kind.into() },
        _ => icmp6::Problem::TooBig { mtu: u32::from(kind) * 8 },
    };
    let len = problem.emit(Ipv6Addr::LOCALHOST, Ipv6Addr::from(7), 64, quote, &mut out);
    out.truncate(len.expect("there is room"));
    out
}

/// Some of the addresses and ports.
fn change<A: Copy>(kind: u8, address: A, new: u32) -> Rewrite<A> {
    let some = |bit: u8| (kind >> bit & 1 != 0).then_some(address);
    Rewrite {
        outer: Ends { source: some(2), destination: some(3) },
        inner: Ends { source: some(4), destination: some(5) },
        sport: (kind & 0x40 != 0).then_some(new as u16),
        dport: (kind & 0x80 != 0).then_some((new >> 16) as u16),
    }
}

fn four(mut packet: Vec<u8>, kind: u8, new: u32) {
    let Ok(inner) = Inner4::read(&packet) else { return };
    assert!(inner.icmp + 28 <= inner.upper && inner.upper <= packet.len() && inner.upper <= inner.end);
    let header_ok = |packet: &[u8]| checksum::fold(checksum::sum(&packet[..inner.icmp], 0)) == 0xffff;
    let right = (inner.checksum_ok(&packet), header_ok(&packet));
    let rewrite = change(kind, new.to_be_bytes(), new);
    rewrite.apply(&mut packet, &inner).expect("it was read of this packet");
    assert_eq!(right, (inner.checksum_ok(&packet), header_ok(&packet)));
    let again = Inner4::read(&packet).expect("nothing else has changed");
    let mut key = inner.key;
    (key.src, key.dst) =
        (rewrite.inner.source.map_or(key.src, |_| new), rewrite.inner.destination.map_or(key.dst, |_| new));
    (key.sport, key.dport) = ports(&rewrite, inner.ports, key.proto == ip4::protocol::ICMP, (key.sport, key.dport));
    assert_eq!((again.key, again.kind, again.upper), (key, inner.kind, inner.upper));
    let (outer, _) = Ip4Header::ref_from_prefix(&packet).expect("it was read");
    assert!(rewrite.outer.source.is_none() || outer.source.get() == new);
}

fn six(mut packet: Vec<u8>, kind: u8, new: u32) {
    let Ok(inner) = Inner6::read(&packet) else { return };
    assert!(inner.icmp + 48 <= inner.upper && inner.upper <= packet.len() && inner.upper <= inner.end);
    let right = inner.checksum_ok(&packet);
    let address = u128::from(new).wrapping_mul(0x1_0000_0001_0000_0003).to_le_bytes();
    let rewrite = change(kind, address, new);
    rewrite.apply(&mut packet, &inner).expect("it was read of this packet");
    assert_eq!(right, inner.checksum_ok(&packet));
    let again = Inner6::read(&packet).expect("nothing else has changed");
    let mut key = inner.key;
    (key.src, key.dst) = (rewrite.inner.source.unwrap_or(key.src), rewrite.inner.destination.unwrap_or(key.dst));
    (key.sport, key.dport) = ports(&rewrite, inner.ports, key.proto == ip4::protocol::ICMP6, (key.sport, key.dport));
    assert_eq!((again.key, again.kind, again.upper), (key, inner.kind, inner.upper));
}

/// The ports as they should be: of an echo, both are its identifier.
fn ports<A>(rewrite: &Rewrite<A>, there: bool, echo: bool, (sport, dport): (u16, u16)) -> (u16, u16) {
    match (there, echo) {
        (false, _) => (sport, dport),
        (true, false) => (rewrite.sport.unwrap_or(sport), rewrite.dport.unwrap_or(dport)),
        (true, true) => {
            let id = rewrite.sport.or(rewrite.dport).unwrap_or(sport);
            (id, id)
        }
    }
}
