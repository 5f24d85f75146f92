//! The words of `lb vip` about QUIC's connection IDs.

use cli::{Args, CliError};

use crate::config::{LbError, VipKey};
use crate::quic_lb::{Config, Configs, from_hex};

/// What a command says about a VIP's configurations. Those of other numbers stay as they are.
#[derive(Default)]
pub(super) struct QuicWords {
    /// None of those before stay.
    off: bool,
    /// By number: what it is to be, or that it is to go.
    each: Vec<(u8, Option<Config>)>,
}

impl QuicWords {
    /// Takes what follows `quic-lb`: `off`, or a number with `off` or with lengths, perhaps a key.
    pub(super) fn take(&mut self, args: &mut Args<'_>) -> Result<(), CliError> {
        if args.keyword("off") {
            if std::mem::replace(&mut self.off, true) {
                return Err(CliError::at("`quic-lb off' is given twice"));
            }
            return Ok(());
        }
        let id = args.number("off, or the number of a quic-lb config", 0..=6u8)?;
        if self.each.iter().any(|(other, _)| *other == id) {
            return Err(CliError::at(format!("`quic-lb {id}' is given twice")));
        }
        let config = if args.keyword("off") { None } else { Some(config(id, args)?) };
        self.each.push((id, config));
        Ok(())
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        !self.off && self.each.is_empty()
    }

    /// What becomes of a VIP's configurations.
    pub(super) fn apply(&self, vip: &VipKey, before: Configs) -> Result<Configs, LbError> {
        let mut configs = if self.off { Configs::default() } else { before };
        for (id, config) in &self.each {
            match config {
                Some(config) => configs.set(*config)?,
                None if configs.remove(*id) => {}
                None => return Err(LbError::NoQuicLb(*vip, *id)),
            }
        }
        Ok(configs)
    }
}

/// A configuration, behind its number.
fn config(id: u8, args: &mut Args<'_>) -> Result<Config, CliError> {
    let length = |args: &mut Args<'_>, word: &str, range| {
        if args.keyword(word) {
            return args.number("a number of bytes", range);
        }
        Err(CliError::at(format!(
            "quic-lb {id} needs server-id-len and then nonce-len: expected {word}, got {}",
            args.got()
        )))
    };
    let server_id_len = length(args, "server-id-len", 1..=15)?;
    let nonce_len = length(args, "nonce-len", 4..=18)?;
    let key = if args.keyword("key") {
        // A wrong one may be a right one with a digit too many: it is not shown.
        let bytes = args.next().and_then(from_hex).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        Some(bytes.ok_or_else(|| CliError::at("expected a key of 16 bytes, 32 hexadecimal digits"))?)
    } else {
        None
    };
    Ok(Config { id, server_id_len, nonce_len, key, encodes_len: args.keyword("encodes-len") })
}
