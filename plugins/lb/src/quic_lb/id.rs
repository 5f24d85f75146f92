//! What a server is called in connection IDs.

use std::fmt;
use std::str::FromStr;

/// A server ID: 1 to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId {
    /// Zero behind the end.
    bytes: [u8; Self::MAX],
    len: u8,
}

/// A text that is no server ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a server ID of 1 to 15 bytes, two hexadecimal digits each")]
pub struct ServerIdError;

impl ServerId {
    /// The most bytes: a nonce has four at least, and both have 19 at most.
    pub const MAX: usize = 15;

    /// From its bytes; `None` if there are none or too many.
    pub fn new(id: &[u8]) -> Option<ServerId> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..id.len()).filter(|place| !place.is_empty())?.copy_from_slice(id);
        Some(ServerId { bytes, len: id.len() as u8 })
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl FromStr for ServerId {
    type Err = ServerIdError;

    /// From hexadecimal digits, perhaps after `0x`.
    fn from_str(text: &str) -> Result<ServerId, ServerIdError> {
        from_hex(text).and_then(|bytes| ServerId::new(&bytes)).ok_or(ServerIdError)
    }
}

/// Bytes from pairs of hexadecimal digits, perhaps after `0x`; `None` if it is something else.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.last()?)?);
    digits.chunks_exact(2).map(byte).collect()
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ServerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
