//! Which flow a packet belongs to.

use vnet::wire::ip4::protocol;
use vnet::wire::{FlowKey4, flow::FlowError};

use super::Staged;

/// Why a packet is none of the common ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFlow {
    Fragment,
    Short,
    NoVip,
    /// It has a flow, and a checksum to be completed or to be cut into pieces first.
    Unfinished,
}

/// Where the reason stands in [`Staged::found`]: above a handle's slot, which is 0 then, so that no server is found.
const REASON_AT: u32 = 24;

impl NoFlow {
    #[cold]
    pub(super) fn staged(self, vip: u32) -> Staged {
        Staged { identity: 0, vip, found: (self as u32) << REASON_AT }
    }

    pub(super) fn of(staged: Staged) -> NoFlow {
        let reasons = [NoFlow::Fragment, NoFlow::Short, NoFlow::NoVip, NoFlow::Unfinished];
        reasons[(staged.found >> REASON_AT) as usize % reasons.len()]
    }
}

impl From<FlowError> for NoFlow {
    fn from(error: FlowError) -> NoFlow {
        match error {
            FlowError::Fragment => NoFlow::Fragment,
            FlowError::Short => NoFlow::Short,
        }
    }
}

/// The words of a flow's key: at once for TCP and UDP without options, or else as [`FlowKey4`] reads them.
#[inline(always)]
pub(super) fn words(packet: &[u8]) -> Result<[u64; 2], NoFlow> {
    if let Some(head) = packet.first_chunk::<24>()
        && let ([first, _, _], _) = head.as_chunks::<8>()
        && u64::from_le_bytes(*first) & FIRST_MASK == FIRST
        && let [.., protocol @ (protocol::TCP | protocol::UDP), _, _] = head[..12]
        && let ([addresses], ports) = head[12..].as_chunks::<8>()
        && let ([ports], _) = ports.as_chunks::<4>()
    {
        let ports = u64::from(u32::from_be_bytes(*ports));
        return Ok([u64::from_be_bytes(*addresses), u64::from(protocol) << 32 | ports]);
    }
    other_words(packet)
}

/// What counts of a header's first eight bytes: version and length, "more fragments", and the offset.
const FIRST_MASK: u64 = u64::from_le_bytes([0xff, 0, 0, 0, 0, 0, 0x3f, 0xff]);
/// Version 4, 20 bytes, not a fragment.
const FIRST: u64 = 0x45;

#[inline(never)]
fn other_words(packet: &[u8]) -> Result<[u64; 2], NoFlow> {
    Ok(FlowKey4::read(packet)?.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_back_and_name_no_server() {
        for why in [NoFlow::Fragment, NoFlow::Short, NoFlow::NoVip, NoFlow::Unfinished] {
            let staged = why.staged(5);
            assert_eq!((NoFlow::of(staged), staged.identity, staged.vip), (why, 0, 5));
            assert!(crate::handle::ServerHandle::from_bits(staged.found).is_none());
        }
    }

    /// The short way to a key gives what the long one gives, whatever the bytes are.
    #[test]
    fn both_ways_to_a_key_agree() {
        let mut bytes = [0x45, 0, 0, 28, 1, 2, 0x40, 0, 64, 6, 3, 4, 10, 0, 1, 2, 90, 0, 0, 1, 0x12, 0x34, 0, 80, 7, 7];
        let mut seen = 0;
        for (at, value) in (0..12).flat_map(|at| (0..=255).map(move |value| (at, value))) {
            let before = std::mem::replace(&mut bytes[at], value);
            for len in [19, 23, 24, 26] {
                let (short, long) = (words(&bytes[..len]), FlowKey4::read(&bytes[..len]));
                assert_eq!(short.as_ref().ok(), long.as_ref().map(FlowKey4::words).as_ref().ok(), "{bytes:x?}");
                seen += u32::from(short.is_ok());
            }
            bytes[at] = before;
        }
        assert!(seen > 1000);
    }
}
