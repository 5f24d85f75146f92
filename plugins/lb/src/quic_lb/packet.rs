//! Where the destination connection ID is in a packet of any version of QUIC (RFC 8999, section 5).

/// The first byte's bit that says that the header is long. No other bit of it means the same in all versions.
const LONG: u8 = 0x80;

/// A destination connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination<'p> {
    /// The connection ID, or where it begins.
    pub(super) bytes: &'p [u8],
    /// Whether it ends where `bytes` end: a long header says how long it is; behind a short one follows all the rest.
    pub(super) exact: bool,
}

/// That of the packet at the head of a UDP payload. `None`: the payload ends before it does.
pub(super) fn destination(payload: &[u8]) -> Option<Destination<'_>> {
    let (first, rest) = payload.split_first()?;
    if first & LONG == 0 {
        return Some(Destination { bytes: rest, exact: false });
    }
    // Behind the version.
    let (len, rest) = rest.get(4..)?.split_first()?;
    Some(Destination { bytes: rest.get(..usize::from(*len))?, exact: true })
}
