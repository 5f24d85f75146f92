//! Servers that QUIC's connection IDs name: draft-ietf-quic-load-balancers-21 ("QUIC-LB").
//!
//! Servers put their IDs into the connection IDs that they give out, plain or encrypted, so that packets of a connection
//! reach its server whatever addresses the client moves to. The encoding has been the same since version 19 of the draft.
//! What is here is without state: a packet whose connection ID names no server is left to the flow table and the scheduler,
//! which are the draft's fallback (section 4).

mod cipher;
mod configs;
mod id;
mod names;
mod packet;
#[cfg(test)]
mod tests;

use std::fmt;

use cipher::Cipher;
pub use configs::Configs;
pub use id::{ServerId, ServerIdError, from_hex};
pub use names::Names;

/// Connection IDs of QUIC version 1 are no longer than this (RFC 9000, section 17.2).
pub const MAX_CID: usize = 20;
/// Configurations are numbered by three bits, of which all ones say that there is none (section 3.2).
const NO_CONFIG: u8 = 0b111;

/// How servers make connection IDs, the same for all servers behind a VIP (section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Config {
    /// The number of this configuration, 0 to 6: the "config rotation" bits.
    pub id: u8,
    /// Bytes of a server ID: at least 1.
    pub server_id_len: u8,
    /// Bytes of the nonce: at least 4, and 19 at most together with the server ID.
    pub nonce_len: u8,
    /// The AES-128 key; plain without. It is not told.
    #[serde(rename = "encrypted", serialize_with = "whether")]
    pub key: Option<[u8; 16]>,
    /// All servers write the length of connection IDs into their first byte (section 3.3). Fewer connection IDs that clients
    /// made up are then taken for those of a server.
    pub encodes_len: bool,
}

impl fmt::Debug for Config {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { id, server_id_len, nonce_len, key, encodes_len } = self;
        let key = key.map(|_| "...");
        write!(f, "config {id}: {server_id_len} + {nonce_len} bytes, key {key:?}, encodes_len {encodes_len}")
    }
}

/// Writes whether there is a key.
fn whether<S: serde::Serializer>(key: &Option<[u8; 16]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(key.is_some())
}

impl fmt::Display for Config {
    /// In a line of `show lb vips verbose`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { id, server_id_len, nonce_len, key, encodes_len } = self;
        write!(f, "quic-lb:{id} server-id-len:{server_id_len} nonce-len:{nonce_len}")?;
        f.write_str(if key.is_some() { " encrypted" } else { "" })?;
        f.write_str(if *encodes_len { " encodes-len" } else { "" })
    }
}

impl Config {
    /// Whether there can be such a one.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self) -> Result<(), QuicLbError> {
        let Config { id, server_id_len, nonce_len, .. } = *self;
        if id >= NO_CONFIG {
            return Err(QuicLbError::Id(id));
        }
        if !(1..=ServerId::MAX as u8).contains(&server_id_len) {
            return Err(QuicLbError::ServerId(server_id_len));
        }
        if !(4..=18).contains(&nonce_len) {
            return Err(QuicLbError::Nonce(nonce_len));
        }
        if server_id_len + nonce_len >= MAX_CID as u8 {
            return Err(QuicLbError::Both(server_id_len + nonce_len));
        }
        Ok(())
    }
}

/// A configuration that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuicLbError {
    /// The number.
    #[error("expected a config id from 0 to 6, got {0}")]
    Id(u8),
    /// Two of the same number.
    #[error("there is a config {0} already")]
    Twice(u8),
    /// The server ID.
    #[error("expected a server ID of 1 to 15 bytes, got {0}")]
    ServerId(u8),
    /// The nonce.
    #[error("expected a nonce of 4 to 18 bytes, got {0}")]
    Nonce(u8),
    /// Both.
    #[error("server ID and nonce must have 19 bytes at most, not {0}")]
    Both(u8),
    /// A server ID or a nonce of another length than is configured.
    #[error("expected {expected} bytes, got {got}")]
    Length {
        /// The configured length.
        expected: u8,
        /// That which came.
        got: usize,
    },
}

/// Finds the servers that connection IDs name, by one configuration, or by several while servers change over from one to
/// the next.
#[derive(Clone)]
pub struct QuicLb {
    /// One or more, each of another number.
    coders: Vec<Coder>,
}

impl fmt::Debug for QuicLb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configs()).finish()
    }
}

impl QuicLb {
    /// By one configuration.
    ///
    /// # Errors
    /// If there cannot be such a one.
    pub fn new(config: Config) -> Result<QuicLb, QuicLbError> {
        Ok(QuicLb { coders: vec![Coder::new(config)?] })
    }

    /// By another one, too ("config rotation", section 3.1).
    ///
    /// # Errors
    /// If there cannot be such a one, or there is one of its number.
    pub fn and(mut self, config: Config) -> Result<QuicLb, QuicLbError> {
        if self.configs().any(|other| other.id == config.id) {
            return Err(QuicLbError::Twice(config.id));
        }
        self.coders.push(Coder::new(config)?);
        Ok(self)
    }

    /// By all of these.
    pub fn of(configs: &Configs) -> QuicLb {
        // They were looked at when they were put there.
        QuicLb { coders: configs.iter().filter_map(|config| Coder::new(*config).ok()).collect() }
    }

    /// The configurations.
    pub fn configs(&self) -> impl Iterator<Item = &Config> {
        self.coders.iter().map(|coder| &coder.config)
    }

    /// The server that the packet at the head of a UDP payload is for. `None`: its connection ID names none ("unroutable",
    /// section 4.1); it may be one that the client made up for its first packets. That the server exists is the caller's to
    /// find out.
    pub fn server_id(&self, udp_payload: &[u8]) -> Option<ServerId> {
        let found = packet::destination(udp_payload)?;
        let (first, rest) = found.bytes.split_first()?;
        let coder = self.coders.iter().find(|coder| coder.config.id == first >> 5)?;
        if coder.config.encodes_len {
            let says = usize::from(first & 0x1f);
            // A long header has the connection ID and nothing more; behind a short one comes the rest of the packet.
            if found.exact && says != rest.len() || says < coder.plain_len() {
                return None;
            }
        }
        coder.decode(rest)
    }

    /// A connection ID that names a server, as servers make it by the first configuration. `random` fills the first byte
    /// where it does not have the length.
    ///
    /// # Errors
    /// If the server ID or the nonce has not the configured length.
    pub fn connection_id(&self, server: &ServerId, nonce: &[u8], random: u8) -> Result<Vec<u8>, QuicLbError> {
        match self.coders.first() {
            Some(coder) => coder.encode(server, nonce, random),
            None => Ok(Vec::new()),
        }
    }
}

/// One configuration at work.
#[derive(Clone)]
struct Coder {
    config: Config,
    cipher: Option<Cipher>,
}

impl Coder {
    fn new(config: Config) -> Result<Coder, QuicLbError> {
        config.check()?;
        Ok(Coder { config, cipher: config.key.map(|key| Cipher::new(&key)) })
    }

    /// Bytes of server ID and nonce.
    fn plain_len(&self) -> usize {
        usize::from(self.config.server_id_len + self.config.nonce_len)
    }

    /// From what follows the first byte. Servers may have put more behind (section 5.4).
    fn decode(&self, rest: &[u8]) -> Option<ServerId> {
        let block = rest.get(..self.plain_len())?;
        let server_id_len = usize::from(self.config.server_id_len);
        match &self.cipher {
            None => ServerId::new(&block[..server_id_len]),
            Some(cipher) => {
                let mut plain = [0; MAX_CID - 1];
                let plain = &mut plain[..block.len()];
                plain.copy_from_slice(block);
                cipher.decrypt(plain, server_id_len);
                ServerId::new(&plain[..server_id_len])
            }
        }
    }

    fn encode(&self, server: &ServerId, nonce: &[u8], random: u8) -> Result<Vec<u8>, QuicLbError> {
        let Config { id, server_id_len, nonce_len, encodes_len, .. } = self.config;
        for (expected, got) in [(server_id_len, server.as_slice().len()), (nonce_len, nonce.len())] {
            if usize::from(expected) != got {
                return Err(QuicLbError::Length { expected, got });
            }
        }
        let low = if encodes_len { server_id_len + nonce_len } else { random & 0x1f };
        let mut cid = vec![id << 5 | low];
        cid.extend(server.as_slice());
        cid.extend(nonce);
        if let Some(cipher) = &self.cipher {
            cipher.encrypt(&mut cid[1..]);
        }
        Ok(cid)
    }
}
